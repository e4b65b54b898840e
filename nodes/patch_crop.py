"""Patches of a MODEL that hold a picture, fitted to the part of it that is sampled.

SUPIR, the inpainting and other ControlNets of Qwen-Image and Z-Image (as model patches) and the like hang objects on
the model that were given the picture as a whole. Those that are known get copies with the pictures cut; what they have
made of the whole is dropped, and they make it anew. Imports without the host.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from types import CellType, FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor

from ..grefine_core.errors import InputError
from .conditioning_crop import lies_over
from .window import Window, grid_of


@dataclass(frozen=True)
class _Holder:
    """Which attributes of a class of patches have a place in the picture, and what follows from them.

    Attributes:
        pictures: `(B, H, W, C)`, fitted to what is sampled by their middle.
        films: as `pictures`, of one film and not of several pictures.
        masks: `(…, H, W)`, likewise.
        guides: latents of the very picture, `(B, C, h, w)`.
        made: what it has made of them, and makes again where that is gone: an empty tensor stands for "of no size",
            for the host moves it between devices before anybody asks.
        reset: what says for which size that was made, or belongs to a step of sampling.
    """

    pictures: tuple[str, ...] = ()
    films: tuple[str, ...] = ()
    masks: tuple[str, ...] = ()
    guides: tuple[str, ...] = ()
    made: tuple[str, ...] = ()
    reset: tuple[str, ...] = ()


#: By the names that the host gives to the classes.
_HOLDERS = {
    "SUPIRPatch": _Holder(guides=("hint_latent",), reset=("cached_features",)),
    "DiffSynthCnetPatch": _Holder(("image",), (), ("mask",), made=("encoded_image",), reset=("encoded_image_size",)),
    "ZImageControlPatch": _Holder(
        ("image", "inpaint_image"), (), ("mask",), made=("encoded_image",), reset=("encoded_image_size", "temp_data")
    ),
    "AnimaLLLitePatch": _Holder(("image",), (), ("mask",)),
    "WanUni3CCnetPatch": _Holder(films=("render_video",), reset=("prepared_render", "temp_data")),
}
#: In the name of SUPIR's function that draws results towards the picture, whose latent it keeps to itself.
_SUPIR = "SUPIR"
_OPTIONS = (
    "sampler_post_cfg_function",
    "sampler_pre_cfg_function",
    "sampler_cfg_function",
    "model_function_wrapper",
)
_TRANSFORMER = ("patches", "patches_replace", "wrappers", "callbacks")


def follow(model: Any, window: Window, cell: int, name: str) -> Any:
    """The host's MODEL with its patches cut to the window; the model itself if none holds a picture.

    cell: how many sampled pixels a latent cell covers. name: of the node's input, for messages.

    Raises:
        InputError: a patch that holds a picture is not known, or its picture is another one, or there are several.
    """
    cutter = _Patches(window, cell, name)
    options = model.model_options
    inner = options.get("transformer_options", {})
    moved = {key: cutter.moved(options[key]) for key in _OPTIONS if key in options}
    moved_inner = {key: cutter.moved(inner[key]) for key in _TRANSFORMER if key in inner}
    moved = {key: value for key, value in moved.items() if value is not options[key]}
    moved_inner = {key: value for key, value in moved_inner.items() if value is not inner[key]}
    if not moved and not moved_inner:
        return model
    clone = model.clone()
    clone.model_options.update(moved)
    if moved_inner:
        clone.model_options["transformer_options"] = {**clone.model_options["transformer_options"], **moved_inner}
    return clone


@dataclass
class _Patches:
    """Moves patches to a window; one object is one object afterwards, too, for patches share their state through it."""

    window: Window
    cell: int
    name: str
    _copies: dict[int, Any] = field(default_factory=dict)

    def moved(self, patch: Any) -> Any:
        """A patch, or a structure of them, for the window: the very same if no picture is in it."""
        if isinstance(patch, list | tuple):
            return self._rebuilt(patch, [self.moved(each) for each in patch], type(patch))
        if isinstance(patch, dict):
            new = {key: self.moved(value) for key, value in patch.items()}
            return patch if all(new[key] is patch[key] for key in new) else new
        if isinstance(patch, partial):
            self._refuse_if([patch.args, patch.keywords], getattr(patch.func, "__qualname__", repr(patch.func)))
            old = (patch.func, patch.args, patch.keywords)
            function, given, named = (self.moved(each) for each in old)
            unchanged = function is old[0] and given is old[1] and named is old[2]
            return patch if unchanged else partial(function, *given, **named)
        if isinstance(patch, MethodType):
            holder = self._object(patch.__self__)
            return patch if holder is patch.__self__ else patch.__func__.__get__(holder)
        if isinstance(patch, FunctionType):
            return self._function(patch)
        return self._object(patch)

    @property
    def _as_it_is(self) -> bool:
        """Whether there is nothing to cut, and of several pictures none to pick."""
        return self.window.everything and self.window.count == 1

    @staticmethod
    def _rebuilt(old: Any, new: list[Any], kind: Callable[[list[Any]], Any]) -> Any:
        return old if all(a is b for a, b in zip(new, old, strict=True)) else kind(new)

    def _function(self, function: FunctionType) -> Any:
        """A function with a picture of its own: SUPIR's is known."""
        held = [_content(each) for each in function.__closure__ or ()]
        defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
        if not any(isinstance(value, Tensor | list | tuple | dict) for value in [*held, *defaults]):
            return function
        if _SUPIR in function.__qualname__:
            guides = [self._guide(value) if isinstance(value, Tensor) and value.ndim >= 4 else None for value in held]
            if self._as_it_is or all(guide is None for guide in guides):
                return function
            pairs = zip(guides, function.__closure__ or (), strict=True)
            return _with_cells(function, tuple(each if guide is None else CellType(guide) for guide, each in pairs))
        self._refuse_if([*held, *defaults], function.__qualname__)
        return function

    def _object(self, thing: Any) -> Any:
        if id(thing) not in self._copies:
            self._copies[id(thing)] = self._object_moved(thing)
        return self._copies[id(thing)]

    def _object_moved(self, thing: Any) -> Any:
        if isinstance(thing, type | torch.nn.Module | FunctionType | MethodType) or hasattr(thing, "model_options"):
            return thing
        attributes = getattr(thing, "__dict__", None)
        if not attributes:
            return thing
        kinds = [_HOLDERS[each.__name__] for each in type(thing).__mro__ if each.__name__ in _HOLDERS]
        if kinds:
            return self._cut(thing, kinds[0])
        # Patches that work for another one, which has the picture.
        links = {name: self._object(value) for name, value in attributes.items() if _known(value)}
        changed = {name: value for name, value in links.items() if value is not attributes[name]}
        self._refuse_if([value for name, value in attributes.items() if name not in links], type(thing).__qualname__)
        if not changed:
            return thing
        result = copy.copy(thing)
        for name, value in changed.items():
            setattr(result, name, value)
        return result

    def _cut(self, thing: Any, holder: _Holder) -> Any:
        window, what = self.window, f"{self.name}: {type(thing).__name__}, pictures"
        guides = {name: self._guide(getattr(thing, name)) for name in holder.guides}
        if self._as_it_is:
            return thing  # the guides have been looked at; all else the host fits by itself, and has done so
        result = copy.copy(thing)
        for name, guide in guides.items():
            setattr(result, name, guide)
        for name in (*holder.pictures, *holder.films):
            value = getattr(thing, name, None)
            if isinstance(value, Tensor):
                own = value if name in holder.films else window.own(value, what)
                setattr(
                    result, name, window.cut(own.movedim(-1, -3), "cubic", "center").clamp(0.0, 1.0).movedim(-3, -1)
                )
        for name in holder.masks:
            value = getattr(thing, name, None)
            if isinstance(value, Tensor):
                setattr(result, name, window.cut(window.own(value, what), "linear", "center"))
        for name in holder.made:
            value = getattr(thing, name, None)
            setattr(result, name, value.new_empty(0) if isinstance(value, Tensor) else None)
        for name in holder.reset:
            setattr(result, name, None)
        return result

    def _guide(self, latent: Tensor) -> Tensor:
        """A guiding latent of the whole picture, of which a last cell that is not full may be missing."""
        window, cell = self.window, self.cell
        size, plane = window.place.size, (latent.shape[-2], latent.shape[-1])
        own = window.own(latent, f"{self.name}: SUPIR, pictures")
        if not grid_of(size, plane, cell):
            raise InputError(
                f"{self.name}: SUPIR was given a picture of about {plane[1] * cell}×{plane[0] * cell}, the one to "
                f"work on has {size[1]}×{size[0]}. Connect the picture that goes into the stage to its `image`."
            )
        grid = (window.size[0] // cell, window.size[1] // cell)
        scaled = window.place.crop.resized
        return window.cut(own, "linear" if scaled else "nearest", "cells", cell=cell, size=grid)

    def _refuse_if(self, values: list[Any], what: str) -> None:
        if not self.window.everything and lies_over(values, self.window, self.cell):
            raise InputError(
                f"{self.name}: its patch {what} holds a whole picture or mask and cannot be cut to a part of it. Take "
                "it off the model, or work on the whole picture at once (one crop or tile that covers it)."
            )


def _known(value: Any) -> bool:
    return any(each.__name__ in _HOLDERS for each in type(value).__mro__)


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a name that is not bound yet
        return None


def _with_cells(function: FunctionType, cells: tuple[CellType, ...]) -> FunctionType:
    """The same function that finds other values where it was made."""
    new = FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__, cells)
    new.__kwdefaults__ = function.__kwdefaults__
    new.__qualname__, new.__dict__ = function.__qualname__, dict(function.__dict__)
    return new
