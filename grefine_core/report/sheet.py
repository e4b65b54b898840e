"""The comparison sheet: before, after, what was found, what was done, and what it brought, in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..checks import whole_number
from ..errors import InputError
from ..tensors import as_images
from . import blocks, panels
from .colors import overlay
from .data import Report
from .text import BACKGROUND, FAINT, Run

if TYPE_CHECKING:
    from PIL import Image

_MARGIN = 32
_GAP = 24
_TALL = 1.5  # from this height to width on, all pictures stand side by side
_LONGEST = 768  # maps are drawn on no more than this: they are shown smaller anyway


def shown_size(picture: tuple[int, int]) -> tuple[int, int]:
    """The size (height, width) in which maps of a picture of that size lose nothing on a sheet."""
    scale = min(1.0, _LONGEST / max(picture))
    return max(1, round(picture[0] * scale)), max(1, round(picture[1] * scale))


def comparison_sheet(before: Tensor, after: Tensor, reports: Report | Sequence[Report], *, width: int = 1600) -> Tensor:
    """Draw one sheet for each picture: both versions, maps, mask, scores, phrases, prompts, plan, guard's decisions.

    Small pictures are enlarged and large ones reduced, so that a sheet can be read whatever the pictures' size.

    Args:
        before: ``(B, H, W, 3)`` in [0, 1], the input.
        after: ``(B, H, W, 3)`` in [0, 1], the result.
        reports: one for each picture; maps that a report lacks are left out.
        width: of a sheet in pixels, 800 or more; its height follows from what is on it.

    Returns:
        ``(B, h, width, 3)`` float32 in [0, 1]; shorter sheets of a batch are filled up at the bottom.

    Raises:
        InputError: shapes that are no pictures, or numbers of pictures and reports that differ.
    """
    old, new = as_images(before, "before"), as_images(after, "after")
    listed = [reports] if isinstance(reports, Report) else list(reports)
    width = whole_number(width, "width", 800, 16384)
    if not len(old) == len(new) == len(listed):
        raise InputError(
            f"reports: {len(listed)} for {len(old)} pictures before {tuple(old.shape)} and {len(new)} after "
            f"{tuple(new.shape)}; give one report for each pair."
        )
    sheets = [panels.to_tensor(_sheet(*each, width)) for each in zip(old, new, listed, strict=True)]
    tallest = max(sheet.shape[0] for sheet in sheets)
    filled = torch.tensor(BACKGROUND, dtype=torch.float32).div(255).repeat(len(sheets), tallest, width, 1)
    for index, sheet in enumerate(sheets):
        filled[index, : sheet.shape[0]] = sheet
    return filled


def _sheet(before: Tensor, after: Tensor, report: Report, width: int) -> Image.Image:
    from PIL import Image

    inner = width - 2 * _MARGIN
    first, second = panels.to_pillow(before), panels.to_pillow(after)
    column = (inner - _GAP) // 2
    pictures = [(blocks.before_caption(report), first), (blocks.after_caption(report), second)]
    maps = _map_panels(first, report)
    parts = [blocks.header(report, inner)]
    if before.shape[0] >= _TALL * before.shape[1] and maps:
        parts.append(panels.row([*pictures, *maps], inner, _GAP, column))
    else:
        parts.append(panels.row(pictures, inner, _GAP, column))
        if maps:
            # Always three columns, so that one map alone is not blown up to the whole width.
            third = (inner - 2 * _GAP) // 3
            parts.append(panels.row(maps, third * len(maps) + _GAP * (len(maps) - 1), _GAP, third))
    if maps:
        parts.append(blocks.key(report, inner))
    parts += blocks.words(report, inner)
    height = sum(part.height + _GAP for part in parts) + 2 * _MARGIN - _GAP
    sheet = Image.new("RGB", (width, height), BACKGROUND)
    top = _MARGIN
    for part in parts:
        sheet.paste(part, (_MARGIN, top))
        top += part.height + _GAP
    return sheet


def _map_panels(picture: Image.Image, report: Report) -> list[tuple[list[Run], Image.Image]]:
    found = []
    shown = panels.fit(picture, _LONGEST, _LONGEST)
    for name, title in (("perceptual_defect", "Perceptual defects"), ("alignment_defect", "Not as the prompt says")):
        if name in report.maps:
            values = panels.resize_map(report.maps[name], shown.height, shown.width)
            drawn = overlay(panels.to_tensor(shown), values)[0]
            caption = [Run(title), Run(f"   mean {float(report.maps[name].mean()):.2f}", FAINT)]
            found.append((caption, panels.to_pillow(drawn)))
    if "denoise" in report.maps:
        drawn_mask = panels.outlined(shown, report.maps["denoise"], report.guard)
        share = "" if report.area is None else f"   {report.area:.1%} of the picture"
        found.append(([Run("Repainted by stage 1"), Run(share, FAINT)], drawn_mask))
    return found
