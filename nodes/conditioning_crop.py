"""Conditioning that was made for a whole picture, cut to the part of it that is sampled.

The host fits whatever hangs on a conditioning to what it samples, so that in a crop or a tile a ControlNet would be
shown the whole picture, small. Here everything with a place follows the crop: on copies, for conditioning and controls
are the user's, and the host's cache holds on to them. A conditioning without any of it passes as it is. Imports without
the host.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..grefine_core.errors import InputError
from .window import Fit, Window, grid_of

#: Latents of the picture, one or several, that the host fits to what is sampled, or takes for as large.
_LATENTS = (
    "concat_latent_image",
    "concat_image",
    "control_video",
    "guiding_frames",
    "lq_latent",
    "noise_concat",
    "pose_video_latent",
    "ref_latent",
    "time_dim_concat",
    "time_dim_replace",
    "vace_frames",
    "vace_mask",
)
#: What has a place in the picture in ways of its own, and is that of films or of models that are no painters.
_NEVER = (
    "camera_conditions",
    "condition",
    "context_latents",
    "driving_mask_28ch",
    "face_video_pixels",
    "generated_keyframes",
    "guide_attention_entries",
    "keyframe_idxs",
    "minimax_keyframes",
    "minimax_refs",
    "ref_mask_28ch",
    "reference_motion",
    "stable_cascade_prior",
)
_REFERENCES = "reference_latents"
#: What a control holds beside its hint, in the host and in the pack of advanced controls: masks `(B, H, W)`.
_CONTROL_MASKS = ("mask_cond_hint_original", "tk_mask_cond_hint_original")
_CONTROL_KNOWN = (*_CONTROL_MASKS, "cond_hint_original", "cond_hint", "extra_concat_orig", "extra_concat")
_CONTROL_LINKS = ("previous_controlnet", "multigpu_clones")


@dataclass
class Cutter:
    """Cuts conditionings to one window; positive and negative share their controls, as the host wants it.

    Attributes:
        window: what is sampled.
        cell: how many sampled pixels a latent cell covers; what the host counts areas in.
        whole_references: leave reference latents as they are.
        redraw: encodes pictures `(1, h, w, 3)` of the window as latents, after `pixels` has made a picture of latents
            of the whole; both None where latents have to be cut as they are.
    """

    window: Window
    cell: int
    whole_references: bool = False
    pixels: Callable[[Tensor], Tensor | None] | None = None
    redraw: Callable[[Tensor], Tensor] | None = None
    _controls: dict[int, Any] = field(default_factory=dict)

    def conditioning(self, given: Any, name: str) -> Any:
        """A conditioning (list of [tensor, options]) for the window; the very same one if nothing in it has a place.

        Raises:
            InputError: something in it cannot be cut, or nothing of it is left.
        """
        if self.window.everything and self.window.count == 1:
            return given
        found = [(entry, self._options(entry[1], name)) for entry in given]
        if all(options is entry[1] for entry, options in found):
            return given
        kept = [
            entry if options is entry[1] else [entry[0], options] for entry, options in found if options is not None
        ]
        if not kept:
            top, left, bottom, right = self.window.place.crop.box
            raise InputError(
                f"{name}: none of its areas and masks reaches the part of the picture from x = {left}, y = {top} to "
                f"{right}, {bottom}. Combine it with a prompt for the rest of the picture (Conditioning Combine)."
            )
        return kept

    def _options(self, options: dict[str, Any], name: str) -> dict[str, Any] | None:
        """The options of one entry; None if it counts for nothing in the window."""
        changed: dict[str, Any] = {}
        for key, value in options.items():
            if value is None or isinstance(value, bool | int | float | str):
                continue
            new = self._value(key, value, options, f"{name}: its {key}")
            if new is None:
                return None
            if new is not value:
                changed[key] = new
        if "attention_mask" in changed:
            changed["attention_mask_img_shape"] = self._tokens(options["attention_mask_img_shape"])
        return {**options, **changed} if changed else options

    def _value(self, key: str, value: Any, options: dict[str, Any], what: str) -> Any:
        """A value as it is for the window, the very same where that makes no difference; None if the entry ends."""
        if key == "area":
            return self._area(value)
        if key == "mask":
            mask = self._mask(value, "stretch", what)
            # Where its mask is nowhere the host would call the model for nothing.
            return mask if "default" in options or bool(mask.any()) else None
        if key == "concat_mask":
            return self._mask(value, "center", what)
        if key == "attention_mask":
            return self._attention(value, options)
        if key == "control":
            return self._control(value, what)
        if key == "gligen":
            return self._gligen(value)
        if key == _REFERENCES:
            return self._references(value, what)
        if key in _LATENTS:
            # With a mask it is what inpainting models are shown: the stages make it anew of every crop.
            exact = "concat_mask" not in options
            return _each(value, lambda latent: self._latent(latent, what, exact))
        if key in _NEVER:
            raise InputError(_refusal(what))
        return self._unknown(value, what)

    # Areas, masks and boxes

    def _area(self, area: Any) -> Any:
        """`(height, width, y, x)` in cells, or shares of the picture behind the word "percentage"."""
        shares = area[0] == "percentage"
        numbers = area[1:] if shares else area
        half = len(numbers) // 2
        tall, wide, y, x = (float(each) for each in (*numbers[half - 2 : half], *numbers[-2:]))
        rows, columns = self.window.place.size if shares else (self.cell, self.cell)
        box = self._cells((y * rows, x * columns, (y + tall) * rows, (x + wide) * columns))
        if box is None:
            return None
        top, left, bottom, right = box
        return bottom - top, right - left, top, left

    def _cells(self, box: tuple[float, float, float, float]) -> tuple[int, int, int, int] | None:
        """A rectangle of the picture in whole cells of the window; None if less than half a cell is inside."""
        inside = self.window.inside(box)
        if inside is None:
            return None
        top, left, bottom, right = (each / self.cell for each in inside)
        if min(bottom - top, right - left) < 0.5:
            return None
        height, width = self._grid()
        top_cell, left_cell = min(round(top), height - 1), min(round(left), width - 1)
        return top_cell, left_cell, max(top_cell + 1, round(bottom)), max(left_cell + 1, round(right))

    def _grid(self) -> tuple[int, int]:
        height, width = self.window.size
        return height // self.cell, width // self.cell

    def _mask(self, mask: Tensor, fit: Fit, what: str) -> Tensor:
        """A mask `(H, W)` or `(B, …, H, W)` of any size."""
        mask = mask if mask.ndim == 2 else self.window.own(mask, what)
        return mask if _one_for_all(mask) else self.window.cut(mask, "linear", fit)

    def _gligen(self, value: Any) -> Any:
        """(kind, model, boxes); a box is (text, height, width, y, x) in cells. Other kinds than "position" the host
        does not read."""
        if value[0] != "position":
            return value
        boxes = []
        for text, tall, wide, y, x, *more in value[2]:
            box = self._cells(tuple(side * self.cell for side in (y, x, y + tall, x + wide)))
            if box is not None:
                top, left, bottom, right = box
                boxes.append((text, bottom - top, right - left, top, left, *more))
        return (*value[:2], boxes, *value[3:])

    def _tokens(self, shape: Any) -> tuple[int, int]:
        """How many of an attention mask's tokens, down and across, the window has."""
        covered = (self.window.span(axis)[1] * self.window.size[axis] / self.window.place.size[axis] for axis in (0, 1))
        rows, columns = (max(1, round(tokens * share)) for tokens, share in zip(shape, covered, strict=True))
        return rows, columns

    def _attention(self, mask: Tensor, options: dict[str, Any]) -> Tensor:
        """A mask `(B, tokens, tokens)` whose last tokens are those of a grid over the picture."""
        shape = options.get("attention_mask_img_shape", (1, 1))
        if mask.ndim != 3 or tuple(shape) == (1, 1):
            return mask
        rows, columns = shape
        before = mask.shape[-1] - rows * columns
        numbers = torch.arange(rows * columns).reshape(rows, columns)
        own = self.window.cut(numbers, "nearest", "stretch", size=self._tokens(shape)).flatten()
        kept = torch.cat([torch.arange(before), own + before]).to(mask.device)
        return mask.index_select(-1, kept).index_select(-2, kept)

    # Latents

    def _references(self, value: Any, what: str) -> Any:
        """The picture itself as an edit model sees it is cut; another picture, or a smaller one, is for all crops."""
        if self.whole_references:
            return value
        size, cell = self.window.place.size, self.cell

        def reference(latent: Tensor) -> Tensor:
            same = latent.ndim >= 4 and grid_of(size, (latent.shape[-2], latent.shape[-1]), cell)
            return self._latent(latent, what) if same else latent

        return _each(value, reference)

    def _latent(self, latent: Tensor, what: str, exact: bool = True) -> Tensor:
        """Latents `(B, C, …, h, w)` of the picture as those of the window.

        Cell by cell where the crop lies on the cells. Else, if `exact`, the picture that they stand for is cut, where
        the VAE knows it: cells that are moved by a part of their side, or enlarged, are another picture.
        """
        own = self.window.own(latent, what)
        plane, grid = (own.shape[-2], own.shape[-1]), self._grid()
        if _one_for_all(own):
            return own
        fit: Fit = "cells" if grid_of(self.window.place.size, plane, self.cell) else "center"
        if self.window.on_grid(plane, fit, self.cell, grid):
            return self.window.cut(own, "nearest", fit, cell=self.cell, size=grid)
        if exact and fit == "cells" and self.pixels is not None and self.redraw is not None:
            picture = self.pixels(own)
            if picture is not None:
                drawn = picture.movedim(-1, 1)
                part = self.window.cut(drawn, "cubic", "cells" if _full(drawn, plane, self.cell) else "center")
                return self.redraw(part.clamp(0.0, 1.0).movedim(1, -1))
        return self.window.cut(own, "linear", fit, cell=self.cell, size=grid)

    def _unknown(self, value: Any, what: str) -> Any:
        """What nobody has told of: with the picture's own sides it lies over it, and anything else does not."""
        if isinstance(value, Tensor):
            return self._by_size(value, what)
        if isinstance(value, list | tuple) and any(isinstance(each, Tensor) for each in value):
            return _each(value, lambda each: self._by_size(each, what) if isinstance(each, Tensor) else each)
        if lies_over(value, self.window, self.cell):
            raise InputError(_refusal(what))
        return value

    def _by_size(self, value: Tensor, what: str) -> Tensor:
        if not lies_over(value, self.window, self.cell):
            return value
        if tuple(value.shape[-2:]) == self.window.place.size:
            return self._mask(value, "stretch", what)
        if value.ndim >= 4 and grid_of(self.window.place.size, (value.shape[-2], value.shape[-1]), self.cell):
            return self._latent(value, what)
        return self.window.cut(self.window.own(value, what).movedim(-1, 1), "linear", "stretch").movedim(1, -1)

    # Controls

    def _control(self, control: Any, what: str) -> Any:
        """A copy of a ControlNet, and of all that it is chained to, with their hints cut.

        Strength, range of steps and hooks are the copies' as they were: a control copies itself with them.
        """
        if id(control) not in self._controls:
            self._controls[id(control)] = self._control_copy(control, what)
        return self._controls[id(control)]

    def _control_copy(self, control: Any, what: str) -> Any:
        kind = type(control).__name__
        if not callable(getattr(control, "copy", None)) or not hasattr(control, "cond_hint_original"):
            raise InputError(_refusal(f"{what} ({kind})"))
        copy = control.copy()
        kinds = "nearest" if getattr(control, "upscale_algorithm", "") == "nearest-exact" else "linear"
        hint = control.cond_hint_original
        if isinstance(hint, Tensor):
            own = self.window.own(hint, f"{what} ({kind}), pictures")
            copy.cond_hint_original = self.window.cut(own, kinds, "center")  # type: ignore[arg-type]
        extra = getattr(control, "extra_concat_orig", None)
        if extra:
            copy.extra_concat_orig = [self._mask(mask, "center", what) for mask in extra]
        for name in _CONTROL_MASKS:
            mask = getattr(control, name, None)
            if isinstance(mask, Tensor):
                setattr(copy, name, self._mask(mask, "center", what))
        for name, value in vars(copy).items():
            if name not in _CONTROL_KNOWN and name not in _CONTROL_LINKS and lies_over(value, self.window, self.cell):
                raise InputError(_refusal(f"{what} ({kind}), {name},"))
        if control.previous_controlnet is not None:
            copy.previous_controlnet = self._control(control.previous_controlnet, what)
        for device, clone in getattr(control, "multigpu_clones", {}).items():
            copy.multigpu_clones[device] = self._control(clone, what)
        return copy


def lies_over(value: Any, window: Window, cell: int, depth: int = 3) -> bool:
    """Whether `value`, or something in it, has the sides of the whole picture, in pixels or in latent cells."""
    if isinstance(value, Tensor):
        size = window.place.size
        if value.ndim < 3:
            return tuple(value.shape) == size
        plane = (value.shape[-2], value.shape[-1])
        if plane == size or (value.ndim >= 4 and tuple(value.shape[-3:-1]) == size):
            return True
        return cell > 1 and value.ndim >= 4 and grid_of(size, plane, cell)
    if depth and isinstance(value, dict):
        return any(lies_over(each, window, cell, depth - 1) for each in value.values())
    if depth and isinstance(value, list | tuple):
        return any(lies_over(each, window, cell, depth - 1) for each in value)
    return False


def _each(value: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """`function` of a tensor, or of each in a list; the very same list if it changes none."""
    if not isinstance(value, list | tuple):
        return function(value)
    new = [function(each) for each in value]
    return value if all(a is b for a, b in zip(new, value, strict=True)) else type(value)(new)


def _one_for_all(values: Tensor) -> bool:
    """Whether it is the same everywhere, as the host writes "all of it": a single value."""
    return values.shape[-1] == 1 and values.shape[-2] == 1


def _full(picture: Tensor, plane: Sequence[int], cell: int) -> bool:
    return tuple(picture.shape[-2:]) == (plane[0] * cell, plane[1] * cell)


def _refusal(what: str) -> str:
    return (
        f"{what} was made for the whole picture and cannot be cut to a part of it. Take it off, or work on the whole "
        "picture at once (one crop or tile that covers it)."
    )
