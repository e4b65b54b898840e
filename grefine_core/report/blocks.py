"""The parts of a comparison sheet that are words and figures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from ..markup import spans
from .data import GuardEntry, Report
from .text import ACCENT, BACKGROUND, BAD, FAINT, GOOD, MOST_LINES, PANEL, TEXT, Color, Run, text_block

if TYPE_CHECKING:
    from PIL import Image

    from ..alignment.results import PhraseQuality

_MARKS: dict[str, Color] = {
    "none": (38, 82, 60),
    "modifier": (128, 84, 20),
    "noun": (134, 42, 40),
    "style": (58, 63, 75),
}
_MOST_ROWS = 30  # of phrases
_MEANINGS = {
    "none": "shown",
    "modifier": "there, but not as described",
    "noun": "not there",
    "style": "style, not judged",
}


def header(report: Report, width: int) -> Image.Image:
    """The sheet's title."""
    verdict = "refined" if report.changed else "unchanged, bit for bit"
    height, across = report.size
    seed = "" if report.seed is None else f", seed {report.seed}"
    return _stack(
        [
            text_block([Run("G-Refine"), Run(f"   {verdict}", GOOD if report.changed else FAINT)], width, 30),
            text_block([Run(f"{across} x {height} pixels{seed}", FAINT)], width, 18),
        ],
        width,
        0,
    )


def before_caption(report: Report) -> list[Run]:
    """What stands over the picture as it was."""
    ps, as_ = report.before
    return [Run("Before"), Run(f"   perceptual {ps:.3f}   alignment {as_:.3f}", FAINT)]


def after_caption(report: Report) -> list[Run]:
    """What stands over the result, with what it gained."""
    runs = [Run("After")]
    for name, old, new in zip(("perceptual", "alignment"), report.before, report.after, strict=True):
        runs += [Run(f"   {name} {new:.3f} ", FAINT), _difference(old, new)]
    return runs


def key(report: Report, width: int) -> Image.Image:
    """What the colours on the maps and frames mean."""
    from . import panels
    from .colors import heatmap

    runs = []
    if "denoise" in report.maps:
        runs = [Run("outline: what stage 1 repaints", ACCENT)]
        if any(entry.region is not None for entry in report.guard):
            runs += [Run("     frames: "), Run("kept", GOOD), Run(" and ", FAINT), Run("refused", BAD)]
            runs += [Run(" by the guard", FAINT)]
    image = text_block([Run("no defect"), Run(" " * 34 + "defect     "), *runs], width, 18)
    if {"perceptual_defect", "alignment_defect"} & set(report.maps):
        from . import fonts

        left = round(fonts.length("no defect  ", 18))
        bar = torch.linspace(0, 1, max(round(fonts.length(" " * 34, 18)) - 16, 2)).expand(12, -1)
        image.paste(panels.to_pillow(heatmap(bar)[0]), (left, 8))
        return image
    return text_block(runs, width, 18)


def words(report: Report, width: int) -> list[Image.Image]:
    """Everything under the pictures: scores, phrases, prompts, decisions."""
    found = [_section("Scores", [_scores(report, width)], width)]
    if report.phrases:
        found.append(_section("Phrases of the prompt", [_legend(report, width), _chips(report.phrases, width)], width))
    if report.prompt:
        found.append(_section("Prompt", [text_block([Run(report.prompt)], width)], width))
    if report.emphasized_prompt and report.emphasized_prompt != report.prompt:
        found.append(_section("Emphasised prompt", [text_block(_weighted(report.emphasized_prompt), width)], width))
    decisions = [text_block([Run(report.plan.reason)], width)] if report.plan is not None else []
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


def _scores(report: Report, width: int) -> Image.Image:
    from PIL import Image, ImageDraw

    rows: list[tuple[str, float, float | None]] = [
        ("perceptual", report.before[0], report.after[0]),
        ("alignment", report.before[1], report.after[1]),
    ]
    rows += [(name, value, report.factors_after.get(name)) for name, value in report.factors.items()]
    if report.worst_region is not None:
        rows.append(("worst region", report.worst_region, report.worst_region_after))
    step, label, bar = 34, 160, width // 2
    image = Image.new("RGB", (width, step * len(rows)), BACKGROUND)
    draw = ImageDraw.Draw(image)
    for index, (name, old, new) in enumerate(rows):
        top = index * step
        strong = index < 2
        image.paste(text_block([Run(name, TEXT if strong else FAINT)], label), (0, top))
        draw.rectangle((label, top + 8, label + bar, top + 22), fill=PANEL)
        shown = old if new is None else new
        draw.rectangle((label, top + 8, label + round(bar * _within(shown)), top + 22), fill=_bar(old, new))
        mark = label + round(bar * _within(old))
        draw.rectangle((mark - 1, top + 4, mark + 1, top + 26), fill=TEXT)
        figures = [Run(f"{old:.3f}", FAINT)]
        if new is not None:
            figures += [Run(f" -> {new:.3f}  "), _difference(old, new)]
        image.paste(text_block(figures, width - label - bar - 20), (label + bar + 20, top))
    return image


def _within(value: float) -> float:
    """``value`` clamped to [0, 1]; what could not be measured has no length."""
    return min(max(value, 0.0), 1.0) if math.isfinite(value) else 0.0


def _bar(old: float, new: float | None) -> Color:
    if new is None or not abs(new - old) >= 5e-4:
        return FAINT
    return GOOD if new > old else BAD


def _difference(old: float, new: float) -> Run:
    gained = new - old
    if not math.isfinite(gained):
        return Run("(not measured)", FAINT)
    if abs(gained) < 5e-4:
        return Run("(same)", FAINT)
    return Run(f"({gained:+.3f})", GOOD if gained > 0 else BAD)


def _kind(verdict: PhraseQuality) -> str:
    return "style" if verdict.phrase.is_style else verdict.defect


def _legend(report: Report, width: int) -> Image.Image:
    present = {_kind(verdict) for verdict in report.phrases}
    runs: list[Run] = []
    for kind, meaning in _MEANINGS.items():
        if kind in present:
            runs += [Run("   ", TEXT, _MARKS[kind]), Run(f" {meaning}     ", FAINT)]
    return text_block(runs, width, 18)


def _chips(phrases: tuple[PhraseQuality, ...], width: int) -> Image.Image:
    """One box for each phrase, its score in it, set in lines; of very many the first, and how many more there are."""
    from PIL import Image, ImageDraw

    from . import fonts

    size, high, gap = 20, 38, 10
    boxes: list[tuple[int, int, Image.Image, Color]] = []
    x = y = 0
    for number, verdict in enumerate(phrases):
        color = _MARKS[_kind(verdict)]
        runs = [Run(verdict.phrase.text)]
        if not verdict.phrase.is_style:
            runs.append(Run(f"  {verdict.score:.2f}", (200, 203, 210)))
        wide = min(int(sum(fonts.length(run.text, size) for run in runs)) + 2, width - 24)
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
        where = f"{right - left} x {bottom - top} at ({left}, {top})"
    verdict = Run("kept", GOOD) if entry.accepted else Run("refused", BAD)
    return [Run(f"Stage {entry.stage}, {where}: "), verdict, Run(f" - {entry.reason}", FAINT)]


def _stack(parts: list[Image.Image], width: int, gap: int) -> Image.Image:
    from PIL import Image

    image = Image.new("RGB", (width, sum(part.height for part in parts) + gap * (len(parts) - 1)), BACKGROUND)
    top = 0
    for part in parts:
        image.paste(part, (0, top))
        top += part.height + gap
    return image
