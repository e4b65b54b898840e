"""Checking and arranging what the host hands to a node. Imports without the host, and has its own tests.

The host checks little: choices of V3 nodes are not validated on older versions, linked values never are. So every node
checks what it gets, and every message names the input as the user sees it, what was wrong, and what to do.

Nodes that *take lists* receive everything at once. A host list of image batches (say three pictures one by one, or one
batch of three) is flattened into single pictures here, values are matched to them (one for each, or one for all), and
results are put back into the batches that came in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, Generic, ParamSpec, TypeVar

import torch
from torch import Tensor

from ..grefine_core.checks import choice, number, whole_number
from ..grefine_core.diagnosis import Diagnosis
from ..grefine_core.errors import InputError
from ..grefine_core.plan import RepairPlan
from ..grefine_core.refine.protocols import Progress, seeds_for
from ..grefine_core.tensors import as_canvas, as_images, as_masks, match_masks
from .scores import refuse_scores

__all__ = [
    "MOST_CHARACTERS",
    "MOST_STEPS",
    "Pictures",
    "Shared",
    "Work",
    "choice",
    "conditionings",
    "diagnoses",
    "file_name",
    "find_work",
    "flag",
    "flatten_groups",
    "flatten_images",
    "flatten_masks",
    "given",
    "images",
    "instance",
    "json_object",
    "like_images",
    "masks",
    "number",
    "per_picture",
    "prompts",
    "repair_plans",
    "same_size",
    "seeds",
    "single",
    "text",
    "unevaluated",
    "whole_number",
]


T = TypeVar("T")
Inputs = ParamSpec("Inputs")
#: Longer ones no file system has; asked for them, it fails instead of answering no.
_LONGEST_NAME, _LONGEST_PART = 1024, 255


# Single values


def text(value: object, name: str) -> str:
    """`value` itself if it is a string that can be written as UTF-8: tokenizers and files take nothing else.

    Raises:
        InputError: anything else (a number or a list sent through the API, a link from another type), or half a
            character, as what cuts texts leaves of an emoji.
    """
    if not isinstance(value, str):
        raise InputError(f"{name}: expected text, got {_describe(value)}. Connect a STRING, or type the text in.")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"{name}: character {error.start + 1} is half a character ({value[error.start]!a}), as when an emoji was "
            "cut in two. Delete it."
        ) from error
    return value


def flag(value: object, name: str) -> bool:
    """`value` as a bool; 0 and 1 are accepted, because other packs' logic nodes give them.

    Raises:
        InputError: anything else.
    """
    if isinstance(value, bool) or (isinstance(value, int) and value in (0, 1)):
        return bool(value)
    raise InputError(f"{name}: expected true or false, got {_describe(value)}.")


def file_name(value: object, name: str) -> str:
    """`value` as a file name relative to a model folder, with forward or backward slashes as it came.

    Raises:
        InputError: no text, empty, absolute, or leading out of the folder with "..".
    """
    given = text(value, name)
    posix, windows = PurePosixPath(given), PureWindowsPath(given)
    if not given.strip() or "\0" in given:
        raise InputError(f"{name}: no file is selected. Choose one from the list.")
    if posix.is_absolute() or windows.anchor or ".." in posix.parts or ".." in windows.parts:
        raise InputError(f"{name}: {given!r:.120} is not inside the model folders. Give a name from the list.")
    if len(given) > _LONGEST_NAME or any(len(part.encode()) > _LONGEST_PART for part in windows.parts):
        raise InputError(f"{name}: {given!r:.120} is too long for the name of a file. Give a name from the list.")
    return given


def images(value: object, name: str) -> Tensor:
    """One IMAGE batch as `(B, H, W, 3)` float32 in [0, 1]; alpha is composited over white.

    Raises:
        InputError: as `grefine_core.tensors.as_images`.
    """
    return as_images(value, name)


def masks(value: object, name: str) -> Tensor:
    """One MASK batch as `(B, H, W)` float32 in [0, 1].

    Raises:
        InputError: as `grefine_core.tensors.as_masks`.
    """
    return as_masks(value, name)


def same_size(value: Tensor, name: str, reference: Tensor, reference_name: str) -> None:
    """Check that two MASK batches have one size, and one number of masks (or one of them a single one).

    Masks in which nothing is painted have every size: Load Image gives 64×64 zeros.

    Raises:
        InputError: they do not fit; both shapes are named.
    """
    counts = {value.shape[0], reference.shape[0]}
    painted = value.shape[1:] != reference.shape[1:] and bool(value.any()) and bool(reference.any())
    if painted or len(counts - {1}) > 1:
        raise InputError(
            f"{name}: shape {tuple(value.shape)} (B, H, W) does not match {reference_name} {tuple(reference.shape)}. "
            "Make both from the same pictures; one mask may serve them all."
        )


def instance(value: object, name: str, kind: type[T], what: str) -> T:
    """`value` itself if it is a `kind`; `what` says which node gives one.

    Raises:
        InputError: anything else, as when a link was made through a node that forgets types.
    """
    if not isinstance(value, kind):
        raise InputError(f"{name}: expected {what}, got {_describe(value)}.")
    return value


# Lists


def given(values: Sequence[object] | None) -> bool:
    """Whether an optional (or lazy) input of a node that takes lists is there: unconnected or unevaluated is not."""
    return values is not None and any(value is not None for value in values)


def single(values: object, name: str) -> Any:
    """The one value of an input that cannot differ between pictures (a model, an option of the whole node).

    Raises:
        InputError: no value, or several that differ.
    """
    listed = _listed(values)
    if not listed:
        raise InputError(f"{name}: nothing is connected.")
    if any(value is not listed[0] and not _same(value, listed[0]) for value in listed[1:]):
        raise InputError(f"{name}: {len(listed)} different values; this input takes one for all pictures.")
    return listed[0]


def per_picture(values: object, name: str, count: int) -> list[Any]:
    """`count` values: as many as pictures as they are, or one repeated.

    Raises:
        InputError: another number; both counts are named.
    """
    listed = _listed(values)
    if len(listed) == count:
        return listed
    if len(listed) == 1:
        return listed * count
    raise InputError(f"{name}: {len(listed)} values for {count} pictures. Give one for all of them, or one for each.")


@dataclass(frozen=True)
class Pictures:
    """Image batches taken apart: `items`, each `(1, H, W, C)`, and the sizes of the batches they came in."""

    items: tuple[Tensor, ...]
    sizes: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.items)

    def regroup(self, results: Sequence[Tensor]) -> list[Tensor]:
        """Put one `(1, …)` result per picture back into batches of the sizes that came in.

        Raises:
            ValueError: another number of results than pictures: a mistake in the node, not of the user.
        """
        if len(results) != len(self.items):
            raise ValueError(f"{len(results)} results for {len(self.items)} pictures")
        batches, start = [], 0
        for size in self.sizes:
            batch = list(results[start : start + size])
            if len({result.shape[-1] for result in batch}) > 1:  # some with alpha: no batch holds both
                batch = [as_images(result) for result in batch]
            batches.append(torch.cat(batch) if size > 1 else batch[0])  # a single one is not copied
            start += size
        return batches


def flatten_images(values: Sequence[object] | object, name: str, *, canvas: bool = False) -> Pictures:
    """Take a host list of IMAGE batches apart into single pictures, as `images` gives them.

    canvas: leave values, alpha and dtype as they are (`grefine_core.tensors.as_canvas`), for what is changed in places.

    Raises:
        InputError: no picture at all, or as `images`.
    """
    batches = [as_canvas(value, name) if canvas else as_images(value, name) for value in _listed(values)]
    if not batches:
        raise InputError(f"{name}: no picture is connected.")
    items = tuple(picture for batch in batches for picture in batch.split(1))
    return Pictures(items, tuple(batch.shape[0] for batch in batches))


def like_images(values: Sequence[object] | object, name: str, pictures: Pictures, pictures_name: str) -> list[Tensor]:
    """Take another list of IMAGE batches apart, as a canvas, that must match `pictures` one to one, in number and size.

    Raises:
        InputError: another number or other sizes; both are named.
    """
    others = flatten_images(values, name, canvas=True)
    if len(others) != len(pictures):
        raise InputError(
            f"{name}: {len(others)} pictures, but {pictures_name} has {len(pictures)}. Connect the same pictures, "
            "in the same order."
        )
    for index, (other, picture) in enumerate(zip(others.items, pictures.items, strict=True)):
        if other.shape[1:3] != picture.shape[1:3]:
            raise InputError(
                f"{name}: picture {index + 1} is {_size(other)}, but {_size(picture)} in {pictures_name}. "
                "Resize after this node, not before it."
            )
    return list(others.items)


def flatten_masks(values: Sequence[object] | object, name: str, pictures: Pictures, pictures_name: str) -> list[Tensor]:
    """One mask `(1, H, W)` for every picture, from a host list of MASK batches: as many as pictures, or one for all.

    Raises:
        InputError: another number of masks, or a mask of another size than its picture.
    """
    batches = [as_masks(value, name) for value in _listed(values)]
    flat = [mask for batch in batches for mask in batch.split(1)]
    matched = per_picture(flat, name, len(pictures))
    return [
        match_masks(mask, picture, name, pictures_name) for mask, picture in zip(matched, pictures.items, strict=True)
    ]


def flatten_groups(values: Sequence[object] | object, name: str, kind: type[T], what: str) -> list[tuple[T, ...]]:
    """One tuple for every picture out of a host list of GREFINE_PHRASES values (each one tuple per picture).

    Raises:
        InputError: something else than tuples of tuples of `kind`; `what` says which node gives them.
    """
    flat: list[tuple[T, ...]] = []
    for value in _listed(values):
        if not isinstance(value, tuple | list):
            raise InputError(f"{name}: expected {what}, got {_describe(value)}.")
        for group in value:
            if not isinstance(group, tuple | list) or not all(isinstance(item, kind) for item in group):
                raise InputError(f"{name}: expected {what}, got {_describe(group)}.")
            flat.append(tuple(group))
    return flat


def diagnoses(value: object, name: str = "diagnosis") -> tuple[Diagnosis, ...]:
    """The diagnosis of one batch: a `Diagnosis` for each of its pictures.

    Raises:
        InputError: something else, as when a link was made through a node that forgets types.
    """
    if not isinstance(value, tuple | list) or not all(isinstance(one, Diagnosis) for one in value):
        raise InputError(f"{name}: expected what PQ-Map or AQ-Map gives, got {_describe(value)}.")
    return tuple(value)


def repair_plans(values: Sequence[object] | None, name: str, pictures: Pictures) -> list[RepairPlan | None]:
    """The plan of each picture, None where there is none: as many as pictures, or one for all.

    Raises:
        InputError: another number, something else, or a plan for a picture of another size.
    """
    count = len(pictures)
    if not given(values):
        return [None] * count
    listed = list(values) if isinstance(values, list | tuple) else [values]
    if len(listed) not in (1, count):
        raise InputError(f"{name}: {len(listed)} plans for {count} pictures. Give one for each.")
    plans: list[Any] = listed if len(listed) == count else listed * count
    for place, (plan, picture) in enumerate(zip(plans, pictures.items, strict=True)):
        if plan is None:
            continue
        if not isinstance(plan, RepairPlan):
            raise InputError(f"{name}: expected what Binarize Map or Refine Plan gives, got {_describe(plan)}.")
        if tuple(plan.denoise.shape) != tuple(picture.shape[1:3]):
            raise InputError(
                f"{name}: of a picture of {plan.denoise.shape[1]}×{plan.denoise.shape[0]}, but picture {place + 1} is "
                f"{_size(picture)}. Make the plan from the same pictures."
            )
    return plans


def json_object(value: object, name: str) -> dict[str, Any]:
    """Parse the JSON text that another node of the pack gave.

    Raises:
        InputError: no text, or no JSON object.
    """
    written = text(value, name)
    try:
        parsed = json.loads(written)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{name}: is not JSON ({error}). Connect the guard's report; a guard that is bypassed hands on its prompt."
        ) from error
    if not isinstance(parsed, dict):
        raise InputError(f"{name}: expected a JSON object, got {_describe(parsed)}. Connect the guard's report.")
    return parsed


def _listed(values: Sequence[T] | T | None) -> list[T]:
    """A list of values, whether the host wrapped them or not; None (unconnected, unevaluated) is dropped."""
    if values is None:
        return []
    if isinstance(values, list):
        return [value for value in values if value is not None]
    if isinstance(values, tuple) and values == (None,):
        return []
    return [values]  # type: ignore[list-item]


def _same(first: object, second: object) -> bool:
    if isinstance(first, Tensor) or isinstance(second, Tensor):
        return False
    return type(first) is type(second) and bool(first == second)


def _identical(first: object, second: object) -> bool:
    """Whether the host means the same by both: it makes new lists for each call, of the same values."""
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        return len(first) == len(second) and all(map(_identical, first, second))
    return first is second or _same(first, second)


def _size(picture: Tensor) -> str:
    return f"{picture.shape[2]}×{picture.shape[1]}"


def _describe(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    if isinstance(value, Iterable):
        return f"a {type(value).__name__}"
    return f"{value!r} ({type(value).__name__})"


# The stages: what there is to do, prepared once, and results put back

MOST_STEPS = 200
#: Of a prompt to paint by. Every 77 tokens, some 300 characters, are one more piece that each attention looks at.
MOST_CHARACTERS = 20_000


@dataclass(frozen=True)
class Work:
    """Pictures with their settings, checked; `active` are the places of those that there is anything to do for.

    `batches` are the values as they came in: a batch in which nothing changes is handed back as that very object.
    `masks` are lists of one for each picture, as they were asked for; none if no picture is to be changed anyway.
    """

    batches: tuple[Any, ...]
    pictures: Pictures
    strengths: tuple[float, ...]
    steps: tuple[int, ...]
    active: tuple[int, ...]
    masks: tuple[Sequence[Tensor], ...] = ()

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
    masks: Callable[[Pictures], Sequence[Sequence[Tensor]]] | None = None,
    planned: Callable[[Pictures], Sequence[tuple[bool, float, int] | None]] | None = None,
) -> Work:
    """Match `run`, `strength` and `steps` to the pictures and find those with something to do.

    masks: gives, for the pictures, lists of one mask each; a picture with an empty one has nothing to do.
    planned: gives, for each picture, `run`, `strength` and `steps` of its plan, in place of the inputs; None = no plan.

    Raises:
        InputError: wrong types, ranges or counts, or a score for a strength; the input is named.
    """
    pictures = flatten_images(image, "image", canvas=True)
    count = len(pictures)
    runs = [flag(value, "run") for value in per_picture(_filled(run), "run", count)]
    refuse_scores(_filled(strength), "strength")
    strengths = [number(value, "strength", 0.0, 1.0) for value in per_picture(_filled(strength), "strength", count)]
    calls = [whole_number(value, "steps", 0, MOST_STEPS) for value in per_picture(_filled(steps), "steps", count)]
    for place, own in enumerate([] if planned is None else planned(pictures)):
        if own is not None:
            runs[place], strengths[place], calls[place] = own
    needed = [runs[place] and strengths[place] > 0.0 and calls[place] > 0 for place in range(count)]
    found = tuple(masks(pictures)) if any(needed) and masks is not None else ()
    for each in found:
        needed = [want and bool((mask > 0).any()) for want, mask in zip(needed, each, strict=True)]
    active = tuple(place for place in range(count) if needed[place])
    return Work(tuple(_filled(image)), pictures, tuple(strengths), tuple(calls), active, found)


class Shared(Generic[Inputs, T]):
    """What a node prepares of its inputs, for all the calls that the host makes for one result.

    The host asks a node with lazy inputs what it needs, once more when that is there, and then for the result, each
    time with the same values in new lists. `look` prepares, or gives what was prepared of these very values; `take`
    gives it out of hand, so that no picture is held beyond the node's work. One preparation is kept at a time.
    """

    def __init__(self, prepare: Callable[Inputs, T]) -> None:
        self._prepare = prepare
        self._kept: tuple[list[Any], T] | None = None

    def look(self, *args: Inputs.args, **kwargs: Inputs.kwargs) -> T:
        """What is prepared of these values, kept for the next call."""
        values = [*args, *sorted(kwargs.items())]
        kept = self._kept
        if kept is None or not _identical(kept[0], values):
            kept = self._kept = (values, self._prepare(*args, **kwargs))
        return kept[1]

    def take(self, *args: Inputs.args, **kwargs: Inputs.kwargs) -> T:
        """The same, and let go of."""
        try:
            return self.look(*args, **kwargs)
        finally:
            self._kept = None


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
    given = [text(value, name) for value in per_picture(_filled(values), name, count)]
    for prompt in given:
        if len(prompt) > MOST_CHARACTERS:
            raise InputError(
                f"{name}: {len(prompt):,} characters, starting with {prompt[:40]!r}; prompts of up to "
                f"{MOST_CHARACTERS:,} are painted by. Shorten it, and see whether something was pasted by mistake."
            )
    return given


def unevaluated(values: dict[str, Any]) -> list[str]:
    """The names of the lazy inputs that the host has not computed yet."""
    return [name for name, value in values.items() if not given(value)]


def conditionings(values: Sequence[object], name: str, count: int) -> list[Any]:
    """One CONDITIONING for each picture: as many as pictures, or one for all.

    Raises:
        InputError: another number (both are named), or something that is no conditioning.
    """
    matched = per_picture(_filled(values), name, count)
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
