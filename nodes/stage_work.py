"""What both stage nodes do around the work itself: match lists to pictures, find what there is to do, put results back.

Imports without the host.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..grefine_core.errors import InputError
from ..grefine_core.refine.protocols import Progress
from ..grefine_core.refine.seeds import seeds_for
from . import inputs

MOST_STEPS = 200
#: Of a prompt to paint by. Every 77 tokens, some 300 characters, are one more piece that each attention looks at.
MOST_CHARACTERS = 20_000


@dataclass(frozen=True)
class Work:
    """Pictures with their settings, checked; `active` are the places of those that there is anything to do for.

    `batches` are the values as they came in: a batch in which nothing changes is handed back as that very object.
    """

    batches: tuple[Any, ...]
    pictures: inputs.Pictures
    strengths: tuple[float, ...]
    steps: tuple[int, ...]
    active: tuple[int, ...]

    def run(self, one: Callable[[int, Progress | None], Tensor], progress: Progress | None) -> list[Any]:
        """Call `one(place, progress)` for every active picture, and put all pictures back into their batches.

        one: gives `(1, H, W, C)` with the channels and the device of the picture, so that it goes into a batch with
            untouched ones.
        progress: gets the work done over all pictures, in units of a picture's own total.
        """
        results = list(self.pictures.items)
        for count, place in enumerate(self.active):
            results[place] = one(place, _part(progress, count, len(self.active)))
        out, start = [], 0
        for given, size in zip(self.batches, self.pictures.sizes, strict=True):
            touched = any(start <= place < start + size for place in self.active)
            batch = results[start : start + size]
            out.append(given if not touched else torch.cat(batch) if size > 1 else batch[0])
            start += size
        return out


def find_work(
    image: Sequence[object],
    run: Sequence[object],
    strength: Sequence[object],
    steps: Sequence[object],
    masks: Callable[[inputs.Pictures], Sequence[Sequence[Tensor]]] | None = None,
) -> Work:
    """Match `run`, `strength` and `steps` to the pictures and find those with something to do.

    masks: gives, for the pictures, lists of one mask each; a picture with an empty one has nothing to do.

    Raises:
        InputError: wrong types, ranges or counts; the input is named.
    """
    pictures = inputs.flatten_images(image, "image", canvas=True)
    count = len(pictures)
    runs = [inputs.flag(value, "run") for value in inputs.per_picture(_filled(run), "run", count)]
    strengths = [
        inputs.number(value, "strength", 0.0, 1.0) for value in inputs.per_picture(_filled(strength), "strength", count)
    ]
    calls = [
        inputs.whole_number(value, "steps", 0, MOST_STEPS)
        for value in inputs.per_picture(_filled(steps), "steps", count)
    ]
    needed = [runs[place] and strengths[place] > 0.0 and calls[place] > 0 for place in range(count)]
    if any(needed) and masks is not None:
        for each in masks(pictures):
            needed = [want and bool((mask > 0).any()) for want, mask in zip(needed, each, strict=True)]
    active = tuple(place for place in range(count) if needed[place])
    return Work(tuple(_filled(image)), pictures, tuple(strengths), tuple(calls), active)


def seeds(values: Sequence[object], count: int) -> list[int]:
    """One seed for each picture: derived from a single one, as the core derives them, or as many as there are.

    Raises:
        InputError: another number of seeds, or no whole number in 0 … 2⁶⁴ − 1.
    """
    given: list[Any] = _filled(values)
    return seeds_for(given[0] if len(given) == 1 else given, count)


def prompts(values: Sequence[object], name: str, count: int) -> list[str]:
    """One text for each picture: as many as pictures, or one for all.

    Raises:
        InputError: another number (both are named), no text, or one over `MOST_CHARACTERS`.
    """
    given = [inputs.text(value, name) for value in inputs.per_picture(_filled(values), name, count)]
    for text in given:
        if len(text) > MOST_CHARACTERS:
            raise InputError(
                f"{name}: {len(text):,} characters, starting with {text[:40]!r}; prompts of up to "
                f"{MOST_CHARACTERS:,} are painted by. Shorten it, and see whether something was pasted by mistake."
            )
    return given


def unevaluated(values: dict[str, Any]) -> list[str]:
    """The names of the lazy inputs that the host has not computed yet."""
    return [name for name, value in values.items() if not inputs.given(value)]


def conditionings(values: Sequence[object], name: str, count: int) -> list[Any]:
    """One CONDITIONING for each picture: as many as pictures, or one for all.

    Raises:
        InputError: another number (both are named), or something that is no conditioning.
    """
    matched = inputs.per_picture(_filled(values), name, count)
    for value in matched:
        pairs = value if isinstance(value, list) else []
        if not pairs or not all(
            isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[1], dict) for pair in pairs
        ):
            raise InputError(f"{name}: this is no conditioning. Connect a text encode node (CLIP Text Encode).")
    return matched


def _filled(values: Any) -> list[Any]:
    listed = list(values) if isinstance(values, list | tuple) else [values]
    return [value for value in listed if value is not None]


def _part(progress: Progress | None, before: int, of: int) -> Progress | None:
    if progress is None or of == 1:
        return progress
    outer = progress

    def report(done: int, total: int, preview: Tensor | None) -> None:
        outer(before * total + done, of * total, preview)

    return report
