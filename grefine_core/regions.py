"""Masks from verdicts: the region of every unmatched phrase by itself, with room for what is missing.

A merged map that is binarised as a whole lets the strongest phrase decide where all others show. Here the verdict says
*whether* something is repaired, the phrase's map only *where* (method, section 5).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from .checks import number, whole_number
from .errors import InputError
from .masks import Bool, Mask, binarize_map, drop_specks, feather_mask, fill_mask_holes, grow_mask, looked_up
from .prompt.syntax.relations import stand_apart
from .tensors import as_masks, fit_empty, match_masks

if TYPE_CHECKING:
    from .alignment.results import PhraseQuality
    from .diagnosis import Diagnosis

__all__ = ["PhraseRegion", "RegionMasks", "RegionOptions", "find_regions", "phrases_in"]

#: Regions are found on a grid of at most this many cells a side: a map has a cell for each patch, some dozens.
_GRID = 256
#: What a matched phrase fills more of the picture than this with is its ground, which everything lies on.
_GROUND = 0.5
#: Above this share of its map's own range is the thing itself, not its surroundings.
_INNER = 0.6
#: How much the middle is preferred where a map prefers nothing.
_MIDDLE = 1e-3

#: A region with less of its area than this in the largest disc inside it is a frame or a sliver.
_ROUND = 0.25
#: A region that fills less of its convex hull than this is scattered.
_SOLID = 0.5
#: What any place is worth beside what the maps say of it: a thing needs room first.
_ANYWHERE = 1.0

Values = NDArray[np.float32]


@dataclass(frozen=True)
class RegionOptions:
    """How regions are made.

    Attributes:
        level: a phrase's region is what lies above this share of its map's own range, in (0, 1).
        phrases: at most so many phrases are repaired in one pass, the largest deficits first; 1 or more.
        area: their regions together cover at most this share of the picture, in (0, 1].
        free_area: the same for one thing that is missing and hangs on nothing that is there, or on a ground,
            or on something larger than this.
        room: how far the region of an ancestor grows for what is missing beside it, in radii of a disc of its area.
        max_area: where the picture looks bad on more than this share, that is left to stage 2; in [0, 1].
        whole: mark the whole picture for what is missing and hangs on nothing, as the paper does.
        calibrated: ask of what looks bad that it is above the threshold that was measured for the quality model, where
            it was, and take the bar of the perceptual score that was measured in place of the option's.
        seed_area: on how much of the picture it has to be above that threshold, connected, in [0, 1]. What lies around
            it belongs to it as far as the options' own, lower threshold goes.
        doubt: where the picture as a whole passes, the threshold that was measured moves towards 1 by this share of
            what is left: score and map together say how a picture does, and a good one has its odd places.
    """

    level: float = 0.6
    phrases: int = 4
    area: float = 0.5
    free_area: float = 0.25
    room: float = 1.0
    max_area: float = 0.6
    whole: bool = False
    calibrated: bool = True
    seed_area: float = 0.01
    doubt: float = 0.8

    def __post_init__(self) -> None:
        for name, low, high in (
            ("level", 0.01, 0.99),
            ("area", 0.001, 1.0),
            ("free_area", 0.001, 1.0),
            ("room", 0.0, 10.0),
            ("max_area", 0.0, 1.0),
            ("seed_area", 0.0, 1.0),
            ("doubt", 0.0, 1.0),
        ):
            number(getattr(self, name), name, low, high)
        whole_number(self.phrases, "phrases", 1, 1000)


@dataclass(frozen=True)
class PhraseRegion:
    """Where one unmatched phrase is to be mended, or why it is not in this pass."""

    phrase: int
    """Its index among the picture's phrases."""
    where: str
    """"own": where it is; "ancestor": around what it hangs on; "free": a place of its own; "image": everywhere."""
    area: float
    """Share of the picture, in [0, 1], before the mask is grown; 0 if it is left out."""
    left_out: str = ""
    """Why it waits for another pass, in plain words; empty if it is in the mask."""


@dataclass(frozen=True)
class RegionMasks:
    """What is to be repainted in one picture, and for which of its findings."""

    mask: Mask
    """Of this one picture: ``denoise`` and ``composite`` (1, H, W), ``area`` (1,)."""
    phrases: tuple[PhraseRegion, ...]
    """One for each unmatched phrase, the largest deficit first."""
    perceptual_area: float
    """Share of the picture that looks bad, in [0, 1]."""
    perceptual_left: bool
    """Whether that was too much for stage 1 and is left to stage 2."""
    owners: Tensor
    """(H, W) uint8: bit 0 where the picture looks bad, bit n where the n-th of ``taken`` is mended, both as far as the
    mask has grown; ``CORE`` where it looks bad itself."""

    @property
    def taken(self) -> tuple[PhraseRegion, ...]:
        """Those of ``phrases`` that are in the mask."""
        return tuple(region for region in self.phrases if not region.left_out)

    @property
    def left_out(self) -> tuple[PhraseRegion, ...]:
        """Those that wait for another pass."""
        return tuple(region for region in self.phrases if region.left_out)


#: Of one picture no more phrases than this are in one mask: a bit each, beside two of the perceptual part.
MOST_PHRASES = 6
CORE = 1 << 7


def find_regions(
    diagnosis: Diagnosis,
    options: RegionOptions | None = None,
    *,
    perceptual_map: Tensor | None = None,
    protect: Tensor | None = None,
    grow: float = 0.02,
    feather: float = 0.02,
    fill_holes: bool = True,
    interrupt: Callable[[], None] | None = None,
    **binarize: Any,
) -> RegionMasks:
    """Masks of one picture: where it looks bad, united with the region of every unmatched phrase.

    Nothing unmatched and nothing above the threshold gives an empty mask; one unmatched phrase gives one that is not
    empty, unless all of its region is protected. A phrase's own region is binarised by its own range. What is missing
    gets room: the region of what it hangs on, grown, without what is there beside it, and without that itself where it
    is there and the prompt puts the two side by side; or, hanging on nothing or on a ground, the one place where the
    maps are best and nothing that matches is.

    Args:
        diagnosis: of the picture.
        options: see ``RegionOptions``.
        perceptual_map: ``(H, W)`` in [0, 1], high = bad; None = that of the diagnosis.
        protect: ``(H, W)`` or ``(1, H, W)``; above 0 = never in a mask.
        grow: by how much the masks grow, as a share of the shorter side, in [0, 1].
        feather: width of the composite mask's soft edge, likewise.
        fill_holes: whether what is enclosed is repainted as well.
        interrupt: called between phrases; what it raises stops the work.
        binarize: how the perceptual map is binarised, see ``masks.binarize_map``.

    Raises:
        InputError: sizes that do not fit, or numbers out of range.

    Source: method, section 5; room, caps and own ranges are ours.
    """
    options = options or RegionOptions()
    height, width = diagnosis.size
    pixels_grow, pixels_feather = (
        round(number(value, name, 0.0, 1.0) * min(height, width))
        for name, value in (("grow", grow), ("feather", feather))
    )
    looks = diagnosis.perceptual_map if perceptual_map is None else perceptual_map
    shield = _shield(protect, (height, width))
    device = torch.device("cpu") if looks is None else looks.device

    bad = np.zeros((height, width), dtype=bool)
    if looks is not None:
        limit = _limit(diagnosis, options)
        if limit is not None:
            binarize = {**binarize, "threshold": min(limit, binarize.get("threshold", 0.5))}
        found = binarize_map(
            looks, grow=0.0, feather=0.0, fill_holes=fill_holes, protect=protect, interrupt=interrupt, **binarize
        )
        bad = found.denoise[0].cpu().numpy() > 0
        if bad.shape != (height, width):
            raise InputError(
                f"perceptual_map: {bad.shape[1]}×{bad.shape[0]} pixels, but the diagnosis is of {width}×{height}. Make "
                "both from the same picture."
            )
        if limit is not None:
            bad = _reaching(bad, as_masks(looks, "perceptual_map")[0].cpu().numpy() > limit, options.seed_area)
    share = float(bad.mean())
    left = share > options.max_area
    owners = np.zeros((height, width), dtype=np.uint8)
    if not left:
        owners[grow_mask(bad, pixels_grow)] = 1
        owners[bad] |= CORE

    regions: list[PhraseRegion] = []
    most = min(options.phrases, MOST_PHRASES)
    union = np.zeros((height, width), dtype=bool)
    taken = 0
    for index, where, small, spared in _places(diagnosis.phrases, diagnosis.unmatched, (height, width), options):
        if interrupt is not None:
            interrupt()
        if taken == most:
            regions.append(PhraseRegion(index, where, 0.0, f"only {most} phrases are repaired in one pass"))
            continue
        region = _enlarged(small, (height, width))
        if fill_holes:
            region = fill_mask_holes(region)
        if spared is not None:
            region = region & ~_enlarged(spared, (height, width))
        if shield is not None:
            region = region & ~shield
            if not region.any():
                regions.append(PhraseRegion(index, where, 0.0, "all of its region is protected"))
                continue
        together = float((union | region).mean())
        if taken and together > options.area:
            reason = f"with it the masks would cover {together:.0%} of the picture, more than {options.area:.0%}"
            regions.append(PhraseRegion(index, where, 0.0, reason))
            continue
        taken += 1
        union |= region
        owners[grow_mask(region, pixels_grow)] |= 1 << taken
        regions.append(PhraseRegion(index, where, float(region.mean())))
    if shield is not None:
        owners[shield] = 0
    mask = owners > 0
    soft = feather_mask(mask, pixels_feather)
    return RegionMasks(
        mask=Mask(
            denoise=torch.from_numpy(mask.astype(np.float32)).unsqueeze(0).to(device),
            composite=torch.from_numpy(soft).unsqueeze(0).to(device),
            area=torch.tensor([float(mask.mean())], device=device),
        ),
        phrases=tuple(regions),
        perceptual_area=share,
        perceptual_left=left,
        owners=torch.from_numpy(owners),
    )


def phrases_in(owners: Tensor, where: Tensor, regions: Sequence[PhraseRegion]) -> tuple[tuple[int, ...], bool]:
    """The phrases that are mended inside of ``where`` ``(H, W)`` bool, and whether the picture looks bad there.

    Args:
        owners: of ``RegionMasks``.
        where: bool, the same size.
        regions: ``RegionMasks.taken``.
    """
    bits = torch.unique(owners[where.to(owners.device)]).tolist()
    present = 0
    for each in bits:
        present |= each
    phrases = tuple(region.phrase for place, region in enumerate(regions, start=1) if present >> place & 1)
    return phrases, bool(present & 1)


def _limit(diagnosis: Diagnosis, options: RegionOptions) -> float | None:
    """What the defect map has to reach, by what was measured for the quality model; None where nothing was."""
    limit = diagnosis.map_threshold
    if not options.calibrated or limit is None:
        return None
    score, bar = diagnosis.whole_score, diagnosis.perceptual_bar
    passes = score is not None and bar is not None and score >= bar
    return limit + options.doubt * (1.0 - limit) if passes else limit


def _reaching(bad: Bool, sure: Bool, area: float) -> Bool:
    """The connected parts of ``bad`` that hold a connected part of ``sure`` of at least this share of the picture."""
    from scipy import ndimage

    sure = drop_specks(sure & bad, area * sure.size)
    if not sure.any():
        return np.zeros_like(bad)
    labels, count = ndimage.label(bad, structure=np.ones((3, 3), dtype=bool))
    reached = np.zeros(count + 1, dtype=bool)
    reached[np.unique(labels[sure])] = True
    reached[0] = False
    return looked_up(reached, labels)


def _shield(protect: Tensor | None, size: tuple[int, int]) -> Bool | None:
    if protect is None:
        return None
    masks = match_masks(as_masks(protect, "protect"), torch.empty(1, *size, 1), "protect", "picture")
    return np.asarray(fit_empty(masks, size)[0].cpu().numpy() > 0)


def _places(
    phrases: Sequence[PhraseQuality], unmatched: Sequence[int], size: tuple[int, int], options: RegionOptions
) -> list[tuple[int, str, Bool, Bool | None]]:
    """(phrase, where, its region on the working grid, what in it stays as it is) of every unmatched phrase."""
    scale = min(1.0, _GRID / max(size))
    grid = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    maps = {index: _values(phrase.map, grid) for index, phrase in enumerate(phrases)}
    there = {
        index: _above(maps[index], options.level)
        for index, phrase in enumerate(phrases)
        if phrase.matched and phrase.map is not None
    }
    found: list[tuple[int, str, Bool, Bool | None]] = []
    given = np.zeros(grid, dtype=bool)  # to other missing things: two in one place would be painted as one
    for index in unmatched:
        phrase = phrases[index]
        anchor = phrase.region
        if phrase.defect == "noun" and anchor is None and options.whole:
            found.append((index, "image", np.ones(grid, dtype=bool), None))
        elif phrase.defect == "noun" and anchor is None:
            taken = _united((region for region in there.values() if region.mean() <= _GROUND), grid)
            best = _free_place(maps[index], taken, options)
            place = best if _holds_a_thing(best) else _place(maps[index], ~taken, given, options)
            found.append((index, "free", place if place.any() else best, None))
            given |= found[-1][2]
        elif phrase.defect == "noun" and anchor != index:
            assert anchor is not None
            chain = _ancestors(phrases, index)
            beside = _united((region for other, region in there.items() if other not in chain), grid)
            whole = phrases[anchor].matched and stand_apart(phrases[anchor].phrase, phrase.phrase)
            room = _with_room(maps[anchor], maps[index], beside, given, options, spare=whole)
            found.append((index, "ancestor", *room))
            given |= room[0]
        else:
            found.append((index, "own", _capped(maps[index], _above(maps[index], options.level), options.area), None))
    return found


def _ancestors(phrases: Sequence[PhraseQuality], index: int) -> set[int]:
    chain = {index}
    above = phrases[index].phrase.ancestor
    while above is not None and 0 <= above < len(phrases) and above not in chain:
        chain.add(above)
        above = phrases[above].phrase.ancestor
    return chain


def _united(regions: Any, grid: tuple[int, int]) -> Bool:
    union = np.zeros(grid, dtype=bool)
    for region in regions:
        union |= region
    return union


def _values(values: Tensor | None, grid: tuple[int, int]) -> Values:
    """A map on the working grid, in [0, 1] by its own range; where all places are alike the middle is the best."""
    rows, columns = (np.linspace(-1.0, 1.0, side, dtype=np.float32) for side in grid)
    middle: Values = 1.0 - (rows[:, None] ** 2 + columns[None, :] ** 2) / 2.0
    if values is None:
        return middle
    cells = values.detach().float().cpu()
    low, high = float(cells.min()), float(cells.max())
    if high - low < 1e-6:
        return middle
    spread = ((cells - low) / (high - low)).reshape(1, 1, *cells.shape)
    large = F.interpolate(spread, size=grid, mode="bilinear", align_corners=False)[0, 0].numpy()
    return _own_range(large + _MIDDLE * middle)


def _own_range(values: Values) -> Values:
    low, high = float(values.min()), float(values.max())
    if high - low < 1e-12:
        return np.ones_like(values)
    return (values - low) / (high - low)


def _above(values: Values, level: float) -> Bool:
    return np.asarray(_own_range(values) >= level)


def _capped(values: Values, region: Bool, cap: float) -> Bool:
    """The best part of ``region`` that is no more than ``cap`` of the picture, and never nothing."""
    most = max(1, math.floor(cap * region.size))
    if int(region.sum()) <= most:
        return region
    inside = np.where(region, values, -np.inf)
    limit = np.partition(inside.ravel(), -most)[-most]
    best = inside > limit
    return best if best.any() else _nearest_to_the_middle(np.asarray(inside >= limit), most)


def _nearest_to_the_middle(region: Bool, most: int) -> Bool:
    """At most so many cells of a region whose places are all alike."""
    rows, columns = np.nonzero(region)
    height, width = region.shape
    away = (rows * 2 + 1 - height) ** 2 / height**2 + (columns * 2 + 1 - width) ** 2 / width**2
    chosen = np.argsort(away, kind="stable")[:most]
    kept = np.zeros_like(region)
    kept[rows[chosen], columns[chosen]] = True
    return kept


def _with_room(
    anchor: Values, own: Values, beside: Bool, given: Bool, options: RegionOptions, spare: bool
) -> tuple[Bool, Bool | None]:
    """The region of ``anchor`` grown by ``room`` radii of a disc of its size, but not over what is ``beside`` it.

    With ``spare`` the anchor itself stays as it is, the second result, where there is room around it. An anchor that
    is everywhere, such as a ground, is no place: its map is above any level in a frame, in scraps, or all over. There,
    and on an anchor of more than ``free_area``, the thing gets one place, where the anchor's and its ``own`` map are
    best and nothing else is ``given`` one.
    """
    core = _capped(anchor, _above(anchor, options.level), options.area)
    kept = _above(anchor, max(_INNER, options.level)) if spare else np.zeros_like(core)
    if options.room > 0 and (core.mean() > options.free_area or not _holds_a_thing(core)):
        place = _place(anchor + own, ~(beside | kept), given, options)
        if place.any():
            return place, kept if spare else None
    radius = options.room * math.sqrt(core.sum() / math.pi)
    most = max(1, math.floor(options.area * core.size))
    while True:
        grown = (core | (grow_mask(core, radius) & ~beside)) & ~kept
        if int(grown.sum()) < int(core.sum()):
            return core, None
        if radius < 1.0 or int(grown.sum()) <= most:
            return grown, kept if spare else None
        radius *= 0.9


def _holds_a_thing(region: Bool) -> bool:
    """Whether there is room for a thing in one piece: no frame, no sliver, no scraps here and there."""
    from scipy import ndimage
    from scipy.spatial import ConvexHull

    if not region.any():
        return False
    area = float(region.sum())
    inside = np.pad(region, 1)
    radius = float(ndimage.distance_transform_edt(inside).max())
    if math.pi * radius**2 < _ROUND * area:
        return False
    rows = np.flatnonzero(region.any(axis=1))
    left = region[rows].argmax(axis=1)
    right = region.shape[1] - region[rows, ::-1].argmax(axis=1)
    corners = [np.stack([rows + down, side], axis=1) for down in (0, 1) for side in (left, right)]
    return area >= _SOLID * float(ConvexHull(np.concatenate(corners)).volume)


def _place(values: Values, allowed: Bool, given: Bool, options: RegionOptions) -> Bool:
    """The disc of ``free_area`` that lies in the picture and has the best values, as far as it is ``allowed`` and not
    ``given`` away; where all is, only the first counts."""
    from scipy import signal

    allowed = allowed & ~given if bool((allowed & ~given).any()) else allowed
    height, width = values.shape
    cap = min(options.free_area, options.area)
    radius = min(math.sqrt(cap * height * width / math.pi), (min(height, width) - 1) / 2)
    reach = int(radius)
    steps = np.arange(-reach, reach + 1)
    disc = (steps[:, None] ** 2 + steps[None, :] ** 2 <= radius**2).astype(np.float32)
    worth = np.where(allowed, _own_range(values) + _ANYWHERE, 0.0).astype(np.float32)
    total = signal.fftconvolve(worth, disc, mode="valid")
    row, column = np.unravel_index(int(np.round(total, 3).argmax()), total.shape)
    place = np.zeros_like(allowed)
    place[row : row + disc.shape[0], column : column + disc.shape[1]] = disc > 0
    return place & allowed


def _free_place(values: Values, taken: Bool, options: RegionOptions) -> Bool:
    """The one place where ``values`` are best and nothing else lies, as far as there is such a place."""
    from scipy import ndimage

    cap = min(options.free_area, options.area)
    if taken.all():  # there is none: where it shows best has to do
        taken = np.zeros_like(taken)
    ranked = _own_range(np.where(taken, np.float32(0.0), _own_range(values)))
    labels, _ = ndimage.label(_above(ranked, options.level))
    best = labels == labels[np.unravel_index(int(ranked.argmax()), ranked.shape)]
    return _capped(ranked, best, cap)


def _enlarged(region: Bool, size: tuple[int, int]) -> Bool:
    """A region of the working grid at the picture's size; one cell at least stays."""
    if region.shape == size:
        return region
    cells = torch.from_numpy(region.astype(np.float32)).reshape(1, 1, *region.shape)
    large = F.interpolate(cells, size=size, mode="bilinear", align_corners=False)[0, 0]
    chosen = large >= 0.5
    return np.asarray((chosen if bool(chosen.any()) else large >= large.max()).numpy())
