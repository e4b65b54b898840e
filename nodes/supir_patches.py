"""Guides that a model was given for a whole picture, fitted to the part of it that is sampled.

SUPIR, as newer hosts have it, hangs patches on the model that hold the latent of the picture it follows, and a function
that draws results towards it. Both are made for the picture as a whole, while a restorer works on a padded picture, or
on tiles of a large one. Imports without the host; whatever is not recognised is left as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..grefine_core.errors import InputError

#: The attribute of the host's patches that holds the guiding latent `(1, C, h, w)`.
_LATENT = "hint_latent"
#: In the name of its function that acts on results.
_AUTHOR = "SUPIR"


@dataclass(frozen=True)
class Part:
    """A rectangle of a picture's latent cells; `whole` is the (height, width) that it is a part of."""

    top: int
    left: int
    bottom: int
    right: int
    whole: tuple[int, int]

    def cut(self, latent: Tensor) -> Tensor:
        """This part of a latent `(…, h, w)` of the whole."""
        return latent[..., self.top : self.bottom, self.left : self.right].contiguous()


def fitted(model: Any, part: Part) -> Any:
    """The host's MODEL with its guides cut to one part of the picture; the model itself if it has none.

    Raises:
        InputError: the guiding picture is another one, or there are several.
    """
    patches = model.model_options.get("transformer_options", {}).get("patches", {})
    holders = {id(holder): holder for entries in patches.values() for holder in map(_holder, entries) if holder}
    if not holders:
        return model
    cut = {number: _cut(holder, part) for number, holder in holders.items()}
    clone = model.clone()
    options = clone.model_options
    options["transformer_options"]["patches"] = {
        name: [_moved(entry, cut) for entry in entries] for name, entries in patches.items()
    }
    height, width = getattr(next(iter(holders.values())), _LATENT).shape[-2:]
    results = "sampler_post_cfg_function"
    options[results] = [
        _on_part(each, part, (height, width)) if _is_guide(each) else each for each in options.get(results, [])
    ]
    return clone


def _function(entry: Any) -> Any:
    """The function of a patch; some are pairs of what they replace and the function."""
    return entry[-1] if isinstance(entry, tuple) else entry


def _holder(entry: Any) -> Any:
    """The object that a patch is a method of, if it holds a guiding latent."""
    holder = getattr(_function(entry), "__self__", None)
    return holder if isinstance(getattr(holder, _LATENT, None), Tensor) else None


def _cut(holder: Any, part: Part) -> Any:
    result = copy.copy(holder)
    setattr(result, _LATENT, part.cut(_fit(getattr(holder, _LATENT), part.whole)))
    return result


def _fit(latent: Tensor, whole: tuple[int, int]) -> Tensor:
    """The latent over all of the padded picture: the host's VAE drops a last cell that is not full, pads repeat it."""
    missing = [wanted - had for wanted, had in zip(whole, latent.shape[-2:], strict=True)]
    if latent.shape[0] != 1:
        raise InputError(
            f"restorer: SUPIR was given {latent.shape[0]} pictures at once. Put Rebatch Images with batch_size 1 in "
            "front, so that each picture gets a model of its own."
        )
    if not all(0 <= cells <= 1 for cells in missing):
        height, width = (8 * cells for cells in latent.shape[-2:])
        raise InputError(
            f"restorer: SUPIR was given a picture of about {width}×{height}, the one to restore has about "
            f"{8 * whole[1]}×{8 * whole[0]}. Connect the picture that goes into Stage-2 Restore to its `image`."
        )
    if missing == [0, 0]:
        return latent
    return F.pad(latent.float(), (0, missing[1], 0, missing[0]), mode="replicate").to(latent.dtype)


def _moved(entry: Any, cut: dict[int, Any]) -> Any:
    holder = _holder(entry)
    if holder is None:
        return entry
    function = _function(entry).__func__.__get__(cut[id(holder)])
    return (*entry[:-1], function) if isinstance(entry, tuple) else function


def _is_guide(function: Any) -> bool:
    return _AUTHOR in getattr(function, "__qualname__", "")


def _on_part(
    function: Callable[[dict[str, Any]], Tensor], part: Part, size: tuple[int, int]
) -> Callable[[dict[str, Any]], Tensor]:
    """`function` for a part of a picture of `size` cells: it is shown a whole, of which only the part is looked at."""
    bottom, right = min(part.bottom, size[0]), min(part.right, size[1])
    place = (..., slice(part.top, bottom), slice(part.left, right))
    within = (..., slice(bottom - part.top), slice(right - part.left))

    def guided(arguments: dict[str, Any]) -> Tensor:
        denoised = arguments["denoised"]
        whole = torch.zeros((*denoised.shape[:-2], *size), dtype=denoised.dtype, device=denoised.device)
        whole[place] = denoised[within]
        result: Tensor = denoised.clone()
        result[within] = function({**arguments, "denoised": whole})[place]
        return result

    return guided
