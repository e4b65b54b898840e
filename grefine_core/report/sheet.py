"""The comparison sheet: before, after, what was found, what was done, and what it brought, in one picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..alignment.results import IN_WORDS
from ..checks import whole_number
from ..errors import InputError
from ..prompt.markup import spans
from ..tensors import as_images
from .colors import overlay
from .data import GuardEntry, Report
from .text import ACCENT, BACKGROUND, BAD, FAINT, GOOD, MOST_LINES, PANEL, TEXT, Color, Run, text_block
from .words import SAME, kept_though, mask_title, phrase_verdict, shown

if TYPE_CHECKING:
    from PIL import Image

    from ..alignment.results import PhraseQuality


# The parts of a comparison sheet that are words and figures.

_MARKS: dict[str, Color] = {
    "none": (38, 82, 60),
    "modifier": (128, 84, 20),
    "noun": (134, 42, 40),
    "style": (58, 63, 75),
    "unmeasured": (58, 63, 75),
}
_MOST_ROWS = 30  # of phrases


def header(report: Report, width: int) -> Image.Image:
    """The sheet's title."""
    verdict = "refined" if report.changed else "unchanged, bit for bit"
    height, across = report.size
    seed = "" if report.seed is None else f", seed {report.seed}"
    return _stack(
        [
            text_block([Run("G-Refine"), Run(f"   {verdict}", GOOD if report.changed else FAINT)], width, 30),
            text_block([Run(f"{across} × {height} pixels{seed}", FAINT)], width, 18),
        ],
        width,
        0,
    )


def before_caption(report: Report) -> list[Run]:
    """What stands over the picture as it was."""
    ps, as_ = report.before
    alignment = f"{as_:.3f}" if report.alignment_measured else "not measured"
    return [Run("Before"), Run(f"   perceptual {ps:.3f}   alignment {alignment}", FAINT)]


def after_caption(report: Report) -> list[Run]:
    """What stands over the result, with what it gained."""
    runs = [Run("After")]
    for name, old, new in zip(("perceptual", "alignment"), report.before, report.after, strict=True):
        if name == "alignment" and not report.alignment_measured:
            continue
        runs += [Run(f"   {name} {new:.3f} ", FAINT), _difference(old, new)]
    return runs


def key(report: Report, width: int) -> Image.Image:
    """What the colours on the maps and frames mean."""
    from .colors import heatmap

    runs = []
    if "denoise" in report.maps:
        runs = [Run("outline: the mask of stage 1", ACCENT)]
        if any(entry.region is not None for entry in report.guard):
            runs += [Run("     frames: "), Run("kept", GOOD), Run(" and ", FAINT), Run("refused", BAD)]
            runs += [Run(" by the guard", FAINT)]
    image = text_block([Run("no defect"), Run(" " * 34 + "defect     "), *runs], width, 18)
    if {"perceptual_defect", "alignment_defect"} & set(report.maps):
        from . import text

        left = round(text.length("no defect  ", 18))
        bar = torch.linspace(0, 1, max(round(text.length(" " * 34, 18)) - 16, 2)).expand(12, -1)
        image.paste(to_pillow(heatmap(bar)[0]), (left, 8))
        return image
    return text_block(runs, width, 18)


def words(report: Report, width: int) -> list[Image.Image]:
    """Everything under the pictures: scores, phrases, prompts, decisions."""
    found = [_section("Scores", [_bars(_scores(report), width, strong=2)], width)]
    if report.shares:
        shares = [(name, share, report.shares_after.get(name)) for name, share in report.shares.items()]
        title = "Factors: what share of its bound each reaches; their product is the perceptual score"
        found.append(_section(title, [_bars(shares, width)], width))
    if told := kept_though(report):
        found.append(text_block([Run(told, ACCENT)], width))
    if report.phrases:
        title = "Phrases of the prompt, in the picture before: what share of its bound each reaches; 1.00 is matched"
        found.append(_section(title, [_legend(report, width), _chips(report.phrases, width)], width))
    if report.prompt:
        found.append(_section("Prompt", [text_block([Run(report.prompt)], width)], width))
    if report.emphasized_prompt and report.emphasized_prompt != report.prompt:
        found.append(_section("Emphasised prompt", [text_block(_weighted(report.emphasized_prompt), width)], width))
    # What was planned is no news of what was done: the guard's decisions follow.
    planned = [] if report.plan is None else [Run("Plan: "), Run(report.plan.reason, FAINT)]
    decisions = [text_block(planned, width)] if planned else []
    for texts in ([_decision(entry) for entry in report.guard], [[Run(note, FAINT)] for note in report.notes]):
        decisions += [text_block(runs, width, most=3) for runs in _first(texts)]
    if decisions:
        found.append(_section("Decisions", decisions, width))
    return found


def _first(texts: list[list[Run]]) -> list[list[Run]]:
    """No more of them than can be read, and how many there were."""
    more = len(texts) - MOST_LINES
    return [*texts[:MOST_LINES], [Run(f"... and {more} more", FAINT)]] if more > 0 else texts


def _section(title: str, parts: list[Image.Image], width: int) -> Image.Image:
    return _stack([text_block([Run(title, FAINT)], width, 18), *parts], width, 4)


#: Name, figure before, and after (None: it was not measured).
_Row = tuple[str, float, float | None]


def _scores(report: Report) -> list[_Row]:
    rows: list[_Row] = [
        ("perceptual", report.before[0], report.after[0]),
        ("alignment", *(report.before[1:] + report.after[1:] if report.alignment_measured else (math.nan, None))),
    ]
    if report.worst_region is not None:
        rows.append(("worst region", report.worst_region, report.worst_region_after))
    return rows


def _bars(rows: Sequence[_Row], width: int, strong: int = 0) -> Image.Image:
    """One line for each figure in [0, 1], with a bar; the first ``strong`` of them stand out."""
    from PIL import Image, ImageDraw

    step, label, bar = 34, 160, width // 2
    image = Image.new("RGB", (width, step * len(rows)), BACKGROUND)
    draw = ImageDraw.Draw(image)
    for index, (name, old, new) in enumerate(rows):
        top = index * step
        image.paste(text_block([Run(name, TEXT if index < strong else FAINT)], label), (0, top))
        draw.rectangle((label, top + 8, label + bar, top + 22), fill=PANEL)
        reached = label + round(bar * _within(old if new is None else new))
        draw.rectangle((label, top + 8, reached, top + 22), fill=_bar(old, new))
        mark = label + round(bar * _within(old))
        draw.rectangle((mark - 1, top + 4, mark + 1, top + 26), fill=TEXT)
        figures = [Run(shown(old, 3) if math.isfinite(old) else "not measured", FAINT)]
        if new is not None:
            figures += [Run(f" → {shown(new, 3)}  "), _difference(old, new)]
        image.paste(text_block(figures, width - label - bar - 20), (label + bar + 20, top))
    return image


def _within(value: float) -> float:
    """``value`` clamped to [0, 1]; what could not be measured has no length."""
    return min(max(value, 0.0), 1.0) if math.isfinite(value) else 0.0


def _bar(old: float, new: float | None) -> Color:
    if new is None or not abs(new - old) >= SAME:
        return FAINT
    return GOOD if new > old else BAD


def _difference(old: float, new: float) -> Run:
    gained = new - old
    if not math.isfinite(gained):
        return Run("(not measured)", FAINT)
    if abs(gained) < SAME:
        return Run("(same)", FAINT)
    return Run(f"({gained:+.3f})", GOOD if gained > 0 else BAD)


def _kind(verdict: PhraseQuality) -> str:
    if verdict.phrase.is_style:
        return "style"
    return verdict.defect if verdict.measured else "unmeasured"


def _legend(report: Report, width: int) -> Image.Image:
    present = {_kind(verdict) for verdict in report.phrases}
    runs: list[Run] = []
    for kind, meaning in IN_WORDS.items():
        if kind in present:
            runs += [Run("   ", TEXT, _MARKS[kind]), Run(f" {meaning}     ", FAINT)]
    return text_block(runs, width, 18)


def _chips(phrases: tuple[PhraseQuality, ...], width: int) -> Image.Image:
    """One box for each phrase, its verdict in it, set in lines; of very many the first, and how many more there are."""
    from PIL import Image, ImageDraw

    from . import text

    size, high, gap = 20, 38, 10
    boxes: list[tuple[int, int, Image.Image, Color]] = []
    x = y = 0
    for number, verdict in enumerate(phrases):
        color = _MARKS[_kind(verdict)]
        runs = [Run(verdict.phrase.text), Run(f": {phrase_verdict(verdict)}", (200, 203, 210))]
        wide = min(int(sum(text.length(run.text, size) for run in runs)) + 2, width - 24)
        if x and x + wide + 24 > width:
            x, y = 0, y + high + gap
        if y >= _MOST_ROWS * (high + gap):
            boxes.append((0, y, text_block([Run(f"... and {len(phrases) - number} more")], 300, size), BACKGROUND))
            break
        label = text_block(runs, wide + 1, size, color).crop((0, 0, wide + 1, 30))
        boxes.append((x, y, label, color))
        x += wide + 24 + gap
    image = Image.new("RGB", (width, y + high), BACKGROUND)
    draw = ImageDraw.Draw(image)
    for left, top, label, color in boxes:
        draw.rounded_rectangle((left, top, left + label.width + 22, top + high - 1), radius=9, fill=color)
        image.paste(label, (left + 11, top + 5))
    return image


def _weighted(prompt: str) -> list[Run]:
    """The prompt with all that has a weight of its own in colour."""
    return [
        Run(prompt[span.start : span.end], TEXT if span.kind == "text" and span.weight == 1.0 else ACCENT)
        if span.kind in ("text", "escape", "open", "close")
        else Run(prompt[span.start : span.end], FAINT)
        for span in spans(prompt)
    ]


def _decision(entry: GuardEntry) -> list[Run]:
    where = "whole picture"
    if entry.region is not None:
        top, left, bottom, right = entry.region
        where = f"{right - left} × {bottom - top} at ({left}, {top})"
    verdict = Run("kept", GOOD) if entry.accepted else Run("refused", BAD)
    return [Run(f"Stage {entry.stage}, {where}: "), verdict, Run(f" – {entry.reason}", FAINT)]


def _stack(parts: list[Image.Image], width: int, gap: int) -> Image.Image:
    from PIL import Image

    image = Image.new("RGB", (width, sum(part.height for part in parts) + gap * (len(parts) - 1)), BACKGROUND)
    top = 0
    for part in parts:
        image.paste(part, (0, top))
        top += part.height + gap
    return image


# The pictures of a comparison sheet, at a size that can be looked at.

_STRIP = 512
_NEAREST_FROM = 3.0  # from this enlargement on, pixels are shown as pixels


def to_pillow(image: Tensor) -> Image.Image:
    """Return a picture ``(H, W, 3)`` in [0, 1] for Pillow."""
    from PIL import Image

    picture = Image.new("RGB", (image.shape[1], image.shape[0]))
    top = 0
    for rows in image.detach().split(_STRIP):  # a large picture is not copied as floats once more
        values = (rows.float().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
        picture.paste(Image.fromarray(values.contiguous().numpy()), (0, top))
        top += rows.shape[0]
    return picture


def to_tensor(image: Image.Image) -> Tensor:
    """Return a picture of Pillow's as ``(H, W, 3)`` float32 in [0, 1]."""
    data = torch.frombuffer(bytearray(image.convert("RGB").tobytes()), dtype=torch.uint8)
    return data.reshape(image.height, image.width, 3).to(torch.float32) / 255.0


def fit(image: Image.Image, width: int, height: int) -> Image.Image:
    """Return ``image`` scaled to fit in the box, small pictures enlarged, large ones reduced."""
    from PIL import Image

    scale = min(width / image.width, height / image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    method = Image.Resampling.NEAREST if scale >= _NEAREST_FROM else Image.Resampling.LANCZOS
    return image.resize(size, method)


def small(picture: Tensor, longest: int) -> Image.Image:
    """Return a picture ``(H, W, 3)`` or a map ``(H, W)`` in [0, 1] for Pillow, reduced to at most ``longest`` pixels.

    A large picture is averaged one channel after the other, so that this costs no memory of its size.
    """
    height, width = picture.shape[:2]
    scale = min(1.0, longest / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    channels = picture.detach().unsqueeze(-1) if picture.ndim == 2 else picture.detach()
    if scale < 1.0:
        average = torch.nn.functional.adaptive_avg_pool2d  # copies all that it is given: one channel at a time
        planes = [average(plane[None, ..., 0].float(), size) for plane in channels.split(1, dim=-1)]
        channels = torch.cat(planes).permute(1, 2, 0)
    return to_pillow(channels.expand(*size, 3))


def resize_map(values: Tensor, height: int, width: int) -> Tensor:
    """Return a map ``(H, W)`` at another size, ``(1, height, width)`` in [0, 1]."""
    resized = torch.nn.functional.interpolate(
        values.detach().float().cpu()[None, None], size=(height, width), mode="bilinear", antialias=True
    )
    return resized[0].clamp(0.0, 1.0)


def outlined(picture: Image.Image, mask: Tensor, entries: Sequence[GuardEntry]) -> Image.Image:
    """Return ``picture`` with ``mask`` ``(H, W)`` outlined, the rest dimmed, and the guard's regions framed."""
    from PIL import Image, ImageChops, ImageDraw, ImageFilter

    inside = Image.fromarray(((mask.detach().float().cpu() > 0).to(torch.uint8) * 255).numpy())
    inside = inside.resize(picture.size, Image.Resampling.NEAREST)
    shaded = Image.composite(picture, Image.blend(picture, Image.new("RGB", picture.size, BACKGROUND), 0.6), inside)
    edge = ImageChops.subtract(inside.filter(ImageFilter.MaxFilter(5)), inside)
    shaded.paste(ACCENT, mask=edge)
    draw = ImageDraw.Draw(shaded)
    down, right = picture.height / mask.shape[0], picture.width / mask.shape[1]
    for entry in entries:
        if entry.region is None:
            continue
        top, left, bottom, end = entry.region
        frame = (left * right, top * down, max(end * right - 1, left * right), max(bottom * down - 1, top * down))
        draw.rectangle(frame, outline=GOOD if entry.accepted else BAD, width=2)
    return shaded


def row(panels: Sequence[tuple[Sequence[Run], Image.Image]], width: int, gap: int, tallest: int) -> Image.Image:
    """Return pictures side by side, each under its caption, all fitted into equal columns."""
    from PIL import Image

    column = (width - gap * (len(panels) - 1)) // len(panels)
    fitted = [fit(image, column, tallest) for _, image in panels]
    captions = [text_block(caption, column) for caption, _ in panels]
    top = max(caption.height for caption in captions) + 6
    sheet = Image.new("RGB", (width, top + max(image.height for image in fitted)), BACKGROUND)
    for index, (caption, image) in enumerate(zip(captions, fitted, strict=True)):
        left = index * (column + gap)
        sheet.paste(caption, (left, top - 6 - caption.height))
        sheet.paste(image, (left, top))
    return sheet


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
    sheets = [to_tensor(_sheet(*each, width)) for each in zip(old, new, listed, strict=True)]
    tallest = max(sheet.shape[0] for sheet in sheets)
    filled = torch.tensor(BACKGROUND, dtype=torch.float32).div(255).repeat(len(sheets), tallest, width, 1)
    for index, sheet in enumerate(sheets):
        filled[index, : sheet.shape[0]] = sheet
    return filled


def _sheet(before: Tensor, after: Tensor, report: Report, width: int) -> Image.Image:
    from PIL import Image

    inner = width - 2 * _MARGIN
    first, second = to_pillow(before), to_pillow(after)
    column = (inner - _GAP) // 2
    pictures = [(before_caption(report), first), (after_caption(report), second)]
    maps = _map_panels(first, report)
    parts = [header(report, inner)]
    if before.shape[0] >= _TALL * before.shape[1] and maps:
        parts.append(row([*pictures, *maps], inner, _GAP, column))
    else:
        parts.append(row(pictures, inner, _GAP, column))
        if maps:
            # Always three columns, so that one map alone is not blown up to the whole width.
            third = (inner - 2 * _GAP) // 3
            parts.append(row(maps, third * len(maps) + _GAP * (len(maps) - 1), _GAP, third))
    if maps:
        parts.append(key(report, inner))
    parts += words(report, inner)
    height = sum(part.height + _GAP for part in parts) + 2 * _MARGIN - _GAP
    sheet = Image.new("RGB", (width, height), BACKGROUND)
    top = _MARGIN
    for part in parts:
        sheet.paste(part, (_MARGIN, top))
        top += part.height + _GAP
    return sheet


def _map_panels(picture: Image.Image, report: Report) -> list[tuple[list[Run], Image.Image]]:
    found = []
    base = fit(picture, _LONGEST, _LONGEST)
    for name, title in (("perceptual_defect", "Perceptual defects"), ("alignment_defect", "Not as the prompt says")):
        if name in report.maps:
            values = resize_map(report.maps[name], base.height, base.width)
            drawn = overlay(to_tensor(base), values)[0]
            caption = [Run(title), Run(f"   mean {float(report.maps[name].mean()):.2f}", FAINT)]
            found.append((caption, to_pillow(drawn)))
    if "denoise" in report.maps:
        drawn_mask = outlined(base, report.maps["denoise"], report.guard)
        share = "" if report.area is None else f"   {report.area:.1%} of the picture"
        found.append(([Run(mask_title(report)), Run(share, FAINT)], drawn_mask))
    return found
