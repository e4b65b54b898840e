"""All attempts at a picture on one sheet: a row for each region, and one for the whole of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from .data import GuardEntry
from .sheet import row, to_pillow, to_tensor
from .text import BACKGROUND, BAD, FAINT, GOOD, Run

if TYPE_CHECKING:
    from PIL import Image

_COLUMN, _GAP = 320, 16

#: Picture (1, h, w, 3), what the guard said (None: nothing had changed), number of the region (None: stage 2, of the
#: whole picture) and of the attempt.
Tried = tuple[Tensor, GuardEntry | None, int | None, int]


def attempts_sheet(tried: Sequence[Tried]) -> Tensor:
    """Return ``(H, W, 3)`` in [0, 1]: every attempt with the guard's decision over it.

    Args:
        tried: at least one, in the order in which they were made.
    """
    from PIL import Image

    regions: dict[int | None, list[Tried]] = {}
    for each in tried:
        regions.setdefault(each[2], []).append(each)
    columns = max(map(len, regions.values()))
    rows = []
    for number in sorted(regions, key=lambda region: (region is None, region or 0)):
        panels = [_panel(each) for each in regions[number]]
        rows.append(row(panels, len(panels) * (_COLUMN + _GAP) - _GAP, _GAP, _COLUMN))
    width = columns * (_COLUMN + _GAP) - _GAP
    sheet = Image.new("RGB", (width, sum(each.height + _GAP for each in rows) - _GAP), BACKGROUND)
    top = 0
    for drawn in rows:
        sheet.paste(drawn, (0, top))
        top += drawn.height + _GAP
    return to_tensor(sheet)


def _panel(tried: Tried) -> tuple[list[Run], Image.Image]:
    picture, entry, region, attempt = tried
    caption = [Run(f"{'Whole picture' if region is None else f'Region {region}'}, attempt {attempt}: ")]
    if entry is None:
        caption.append(Run("as it was", FAINT))
    else:
        verdict = Run("kept", GOOD) if entry.accepted else Run("refused", BAD)
        caption += [verdict, Run(f" – {entry.reason}", FAINT)]
    return caption, to_pillow(picture[0, ..., :3])
