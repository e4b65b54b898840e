"""The options of ``refine``, what the two stages expect of an engine, their progress and their seeds.

The stages do the cropping, resizing, blending, colour keeping and checking. An engine only answers "repaint this crop"
or "restore this picture". Implementations: the diffusers engines of this package, and the ComfyUI nodes' own, built
on the host's samplers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar, cast, runtime_checkable

from torch import Tensor

from ..errors import InputError
from ..regions import RegionOptions
from .crops import CropOptions, Place

# Options, grouped by the step that they belong to; defaults are those of the steps themselves


@dataclass(frozen=True)
class MaskOptions:
    """From maps to masks; see ``masks.merge_maps`` (merge, weights) and ``masks.binarize_map`` (all else)."""

    merge: str = "max"
    weights: Sequence[float] | None = None
    method: str = "threshold"
    threshold: float = 0.5
    top: float = 0.2
    floor: float = 0.3
    contrast: float = 0.1
    min_area: float = 0.001
    grow: float = 0.02
    feather: float = 0.02
    fill_holes: bool = True


@dataclass(frozen=True)
class PlanOptions:
    """Whether, how strongly, in how many steps; see ``plan.plan_refinement``."""

    mode: str = "verdicts"
    steps: int = 20
    stage1_min: float = 0.5
    stage1_max: float = 0.9
    stage2_strength: float = 0.2
    perceptual_bar: float = 0.8
    alignment_bar: float = 0.8
    region_bar: float = 0.0


@dataclass(frozen=True)
class EmphasisOptions:
    """How the unmatched phrases are emphasised; see ``emphasis.emphasize``."""

    minimum: float = 1.1
    maximum: float = 1.5
    style: Literal["weight", "repeat"] = "weight"


@dataclass(frozen=True)
class RefineOptions:
    """Everything that ``refine`` can be told.

    Attributes:
        masks, plan, emphasis, crop: of the steps.
        guard: whether changes that harm are refused.
        tolerance: by how much an indicator may fall, against the stage's input and against the picture's own; for the
            guard's rule "scores".
        stage1_keep_color: match the crops' colours to their surroundings.
        stage2_keep_color: give the restored picture the colours that it had.
        regions: how masks are made of verdicts, see ``regions.find_regions``; None = of both maps merged, as ``masks``
            says. With regions, ``masks`` says how the perceptual map is binarised; ``merge`` and ``weights`` are not
            asked.
        own_phrases: whether a region's own phrases stand in front of its prompt.
        rule: of the guard, see ``guard``.
        attempts: how often a region (in stage 2: the picture) is tried while it is refused, 1 or more; needs the guard.
        keep: what a person keeps though the guard refuses it, as ``attempts.read_keep`` reads it: "2, 3:4" is region 2,
            and the fourth attempt at region 3.
    """

    masks: MaskOptions = field(default_factory=MaskOptions)
    plan: PlanOptions = field(default_factory=PlanOptions)
    emphasis: EmphasisOptions = field(default_factory=EmphasisOptions)
    crop: CropOptions = field(default_factory=CropOptions)
    guard: bool = True
    tolerance: float = 0.0
    stage1_keep_color: bool = True
    stage2_keep_color: bool = True
    regions: RegionOptions | None = field(default_factory=RegionOptions)
    own_phrases: bool = False
    rule: Literal["gain", "scores"] = "gain"
    attempts: int = 1
    keep: str = ""


#: ``progress(done, total, preview)``: denoiser calls done and planned, and optionally a preview picture
#: ``(1, h, w, 3)`` in [0, 1]. Whatever it raises (``Cancelled``, a host's interrupt) stops the work and propagates.
Progress = Callable[[int, int, "Tensor | None"], None]


@dataclass(frozen=True)
class Capabilities:
    """What an engine can. It has them as its attribute ``capabilities``; without that attribute it can all of it.

    Attributes:
        steps: makes as many denoiser calls as it is asked for; otherwise it is one call, however many are planned.
        strength: changes a picture as far as the strength says; otherwise stage 2 mixes what it restored with what it
            was given, in this proportion.
        scale: what it gives is so many times as large as what it was given, on both sides; the stage brings it back.
    """

    steps: bool = True
    strength: bool = True
    scale: int = 1


def capabilities_of(engine: object) -> Capabilities:
    """What the engine states that it can."""
    return getattr(engine, "capabilities", None) or Capabilities()


@runtime_checkable
class Inpainter(Protocol):
    """Repaints the masked part of one crop. May have a method ``at``, see ``placed``.

    Attributes:
        size_multiple: both sides of every crop are multiples of this many pixels.
        min_side: the shorter side of a crop should have at least this many pixels (512 for SD- and SDXL-type models,
            1 where any size works). The picture is enlarged only if it is itself smaller.
        native_side: side in pixels of the square the model was trained on (1024 for SDXL).
        capabilities: optional; see ``Capabilities``.
    """

    @property
    def size_multiple(self) -> int: ...  # noqa: D102 - see above; read-only, so that engines may compute them

    @property
    def min_side(self) -> int: ...  # noqa: D102

    @property
    def native_side(self) -> int: ...  # noqa: D102

    def inpaint(
        self,
        image: Tensor,
        mask: Tensor,
        *,
        prompt: str,
        strength: float,
        steps: int,
        seed: int,
        index: int = 0,
        progress: Progress | None = None,
    ) -> Tensor:
        """Return the crop with its masked part repainted.

        Args:
            image: ``(1, h, w, 3)`` in [0, 1]; h and w are multiples of ``size_multiple``.
            mask: ``(1, h, w)`` in [0, 1], 1 = repaint. May be soft.
            prompt: what the picture should show, with weights as ComfyUI writes them. Engines that hold their own
                conditioning ignore it.
            strength: (0, 1]; the noise level at which denoising starts, 1 = from pure noise.
            steps: exactly so many denoiser calls are made, whatever the strength.
            seed: of the noise; same seed, same inputs, same device: same bytes.
            index: the picture's place in the batch, for engines that hold one conditioning per picture.
            progress: called after every denoiser call.

        Returns:
            ``(1, h, w, 3)`` in [0, 1]. The caller pastes it; nothing outside the mask has to be kept.
        """
        ...


@runtime_checkable
class PhasedInpainter(Protocol):
    """What an ``Inpainter`` may have beside ``inpaint``, which is then the three of these one after the other.

    Where the crops of a picture do not hang on one another, the stage encodes all of them, then samples all, then
    decodes all: a device that holds one model at a time loads each of them once for a picture, not once for a region.
    """

    def encode(self, image: Tensor, mask: Tensor, *, index: int = 0) -> Any:
        """What ``sample`` needs of one crop; arguments as in ``Inpainter.inpaint``. All of a picture's are held."""
        ...

    def sample(
        self,
        encoded: Any,
        *,
        prompt: str,
        strength: float,
        steps: int,
        seed: int,
        index: int = 0,
        progress: Progress | None = None,
    ) -> Any:
        """What ``decode`` needs; arguments as in ``Inpainter.inpaint``. All of a picture's are held."""
        ...

    def decode(self, sampled: Any) -> Tensor:
        """The crop with its masked part repainted, ``(1, h, w, 3)`` in [0, 1]."""
        ...


@runtime_checkable
class Restorer(Protocol):
    """Mildly redraws a whole picture. May have a method ``at``, see ``placed``.

    Attributes:
        size_multiple: both sides of every picture are multiples of this many pixels (the stage pads).
        min_side: smaller pictures are enlarged to this shorter side first.
        capabilities: optional; see ``Capabilities``.
    """

    @property
    def size_multiple(self) -> int: ...  # noqa: D102

    @property
    def min_side(self) -> int: ...  # noqa: D102

    def restore(
        self,
        image: Tensor,
        *,
        prompt: str,
        strength: float,
        steps: int,
        seed: int,
        index: int = 0,
        progress: Progress | None = None,
    ) -> Tensor:
        """Return the restored picture ``(1, h, w, 3)``; same size and same arguments as in ``Inpainter.inpaint``."""
        ...


Engine = TypeVar("Engine", Inpainter, Restorer)


def resolve_engine(engine: Engine | Callable[[], Engine], method: str) -> Engine:
    """Return the engine itself, calling ``engine`` if it is a zero-argument loader.

    Loaders let a caller hand over an engine that is read from disk only if a stage really has something to do.
    ``method`` ("inpaint" or "restore") tells an engine from a loader.

    Raises:
        TypeError: neither an engine nor a loader of one.
    """
    candidate: Any = engine
    if not hasattr(candidate, method) and callable(candidate):
        candidate = candidate()
    if not hasattr(candidate, method):
        raise TypeError(f"{type(candidate).__name__} has no method {method!r}: it is no engine for this stage.")
    return cast(Engine, candidate)


def placed(engine: Engine, place: Place) -> Engine:
    """The engine for one crop (or, in stage 2, for one whole picture).

    What an engine was given for the whole picture, such as the hint of a ControlNet, has to follow the crop. An engine
    with such things has a method ``at(place)`` that returns the engine for what lies there; others are returned as they
    are.
    """
    at = getattr(engine, "at", None)
    return engine if at is None else cast(Engine, at(place))


# Progress: one count of denoiser calls over many engine calls and both stages


def part_of(progress: Progress | None, before: int, planned: int, total: int) -> Progress | None:
    """A callback for one engine call of ``planned`` steps, after ``before`` of ``total`` steps of the whole stage."""
    if progress is None:
        return None
    outer = progress

    def report(done: int, of: int, preview: Tensor | None) -> None:
        outer(before + round(min(done, of) / max(of, 1) * planned), total, preview)

    return report


class Tally:
    """One count over both stages. How many calls stage 1 needs is known once it has planned its crops."""

    def __init__(self, progress: Progress | None, second_total: int) -> None:
        self._progress, self._second_total, self._first_total = progress, second_total, 0
        self.first: Progress | None = None if progress is None else self._first
        self.second: Progress | None = None if progress is None else self._second

    def _first(self, done: int, total: int, preview: Tensor | None) -> None:
        assert self._progress is not None
        self._first_total = total
        self._progress(done, total + self._second_total, preview)

    def _second(self, done: int, total: int, preview: Tensor | None) -> None:
        assert self._progress is not None
        self._progress(self._first_total + done, self._first_total + total, preview)


# Seeds of pictures, regions and stages, all derived from the user's one

_LARGEST = 2**64 - 1


def picture_seed(seed: int, index: int) -> int:
    """Seed of picture ``index`` in a batch; ``seed`` itself for the first."""
    return seed if index == 0 else _mix(seed, "picture", index)


def region_seed(seed: int, index: int) -> int:
    """Seed of region ``index`` of the picture whose seed is ``seed``; ``seed`` itself for the first."""
    return seed if index == 0 else _mix(seed, "region", index)


def attempt_seed(seed: int, attempt: int) -> int:
    """Seed of an attempt, from 1, at what ``seed`` is of; ``seed`` itself for the first."""
    return seed if attempt == 1 else _mix(seed, "attempt", attempt)


def second_stage_seed(seed: int) -> int:
    """Seed of stage 2. Not stage 1's: the same noise twice burns its pattern into the picture."""
    return _mix(seed, "stage", 2)


def seeds_for(seed: int | Sequence[int], count: int) -> list[int]:
    """One seed for each of ``count`` pictures, from one seed or from a sequence of ``count`` seeds.

    Raises:
        InputError: another number of seeds, or a seed that is no integer in 0 … 2**64 - 1.
    """
    if isinstance(seed, int):
        _check(seed)
        return [picture_seed(seed, index) for index in range(count)]
    if not isinstance(seed, Sequence):
        raise InputError(f"seed: expected an integer from 0 to 2**64 - 1, or one for each picture, got {seed!r}.")
    seeds = list(seed)
    if len(seeds) != count:
        raise InputError(f"seed: {len(seeds)} seeds for {count} pictures; give one, or one for each picture.")
    for value in seeds:
        _check(value)
    return seeds


def _check(seed: object) -> None:
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed <= _LARGEST:
        raise InputError(f"seed: expected an integer from 0 to 2**64 - 1, got {seed!r}.")


def _mix(seed: int, kind: str, index: int) -> int:
    digest = hashlib.sha256(f"{seed}/{kind}/{index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1  # 63 bits: a valid signed seed everywhere
