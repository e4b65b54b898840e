"""What a node shows on itself: a small picture, and what it found in words.

The host's own `images` would reach every program that fetches a prompt's results; these are for people alone. They lie
under a key of our own, which `web/shown.js` draws in the browser and everybody else leaves aside. Imports without the
host.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ..grefine_core.alignment.results import IN_WORDS, why_not_measured
from ..grefine_core.report import sheet
from ..grefine_core.report.words import OF_ITS_BOUND, SAME, phrase_figures, phrase_verdict, shown, split_reason

if TYPE_CHECKING:
    from ..grefine_core.alignment.results import PhraseQuality
    from ..grefine_core.report import GuardEntry


# Results in words


def phrase_lines(phrases: Sequence[PhraseQuality], include_style: bool = False) -> str:
    """The phrases of one picture in words, one to a line, in the prompt's order."""
    if not phrases:
        return "The prompt names nothing to look for."
    return "\n".join(_line(quality, phrases, include_style) for quality in phrases)


def _line(quality: PhraseQuality, phrases: Sequence[PhraseQuality], include_style: bool) -> str:
    text = quality.phrase.text
    if quality.phrase.is_foreign:
        return f"{text}: not measured, the text model reads English and not {quality.phrase.language}"
    if quality.phrase.is_style and not include_style:
        return f"{text}: {IN_WORDS['style']}"
    said = f"{text}: {IN_WORDS[quality.verdict]}"
    if not quality.measured:
        return said
    said = f"{said} ({phrase_figures(quality)})"
    if quality.defect == "none":
        return said
    place = "the whole picture" if quality.region is None else f"the region of '{phrases[quality.region].phrase.text}'"
    return f"{said}, to be {'drawn' if quality.defect == 'noun' else 'redrawn'} in {place}"


#: The key in a node's `ui`.
KEY = "grefine"
#: The longer side of a picture on a node, which is some 300 pixels wide.
SIDE = 512
#: Of a larger batch the first pictures are shown, and how many there were.
MOST = 16
#: Of a longer card the first lines are shown: a pasted prompt has thousands of phrases.
MOST_LINES = 80
_PHRASE_KINDS = {"none": "good", "modifier": "warn", "noun": "bad"}

Line = dict[str, Any]
Card = dict[str, Any]


def line(text: str, kind: str = "", **more: Any) -> Line:
    """One line on a node. `kind`: "", "good", "warn", "bad", "faint". `chip`: beside others; `title`: on hover;
    `main`: also on the node around a subgraph with this one inside."""
    return {"text": text, "kind": kind, **more}


def cards(
    lines: Iterable[Sequence[Line]],
    pictures: Iterable[Tensor] = (),
    compared: Iterable[tuple[Tensor, Tensor]] = (),
) -> dict[str, list[Card]]:
    """A node's `ui`: one card for each picture, with its lines.

    Args:
        lines: those of each picture.
        pictures: `(H, W, 3)` or masks `(H, W)` in [0, 1], in the same order; no more are asked for than are shown.
            They are files no larger than `SIDE` in the host's temporary folder, which it empties at its start.
        compared: pictures before and after, `(H, W, 3)` each, laid one over the other with a slider between them.
    """
    listed = [_shortened(each) for each in lines]
    previewed: list[Card] = [{"lines": each} for each in listed[:MOST]]
    if len(listed) > MOST:
        previewed.append({"lines": [line(f"and {len(listed) - MOST} more pictures", "faint")]})
    for card, picture in zip(previewed[:MOST], pictures, strict=False):
        card["picture"] = _save(picture)
    for card, pair in zip(previewed[:MOST], compared, strict=False):
        card["compare"] = [_save(picture) for picture in pair]
    return {KEY: previewed}


def _shortened(lines: Sequence[Line]) -> list[Line]:
    if len(lines) <= MOST_LINES:
        return list(lines)
    return [*lines[:MOST_LINES], line(f"and {len(lines) - MOST_LINES} more", "faint")]


def phrases(verdicts: Sequence[PhraseQuality], words: str) -> Iterator[Line]:
    """The phrases of one picture, coloured by their defects; `words` has a line for each, shown under the mouse.

    Each says in words what its colour says.
    """
    for verdict, told in zip(verdicts, words.split("\n"), strict=False):
        text = f"{verdict.phrase.text}: {phrase_verdict(verdict)}"
        if verdict.phrase.is_style or not verdict.measured:
            yield line(text, "faint", chip=True, title=told)
        else:
            yield line(text, _PHRASE_KINDS[verdict.defect], chip=True, title=told, main=True)


def factors(ratios: Mapping[str, float], scores: Mapping[str, float]) -> Line:
    """The factors of one picture, each with its share of its bound: its ratio, cut off at 1. The raw `scores` are under
    the mouse."""
    shares = " · ".join(f"{name} {shown(min(ratio, 1.0))}" for name, ratio in ratios.items())
    raw = ", ".join(f"{name} {score:.2f}" for name, score in scores.items())
    title = f"What share of its bound each factor reaches; their product is the perceptual score.\nRaw scores: {raw}"
    return line(f"Share {OF_ITS_BOUND}: {shares}", "faint", title=title)


def alignment(score: float, verdicts: Sequence[PhraseQuality]) -> Line:
    """AS of one picture, or why there is none."""
    reason = why_not_measured(verdicts)
    text = f"Alignment score: {score:.3f}" if reason is None else f"Alignment is not measured: {reason}."
    return line(text, main=True)


def decision(entry: GuardEntry, stage: str) -> list[Line]:
    """One decision of the guard, and what fell though the change is kept."""
    where = "the whole picture"
    if entry.region is not None:
        top, left, bottom, right = entry.region
        where = f"{right - left} × {bottom - top} at ({left}, {top})"
    verdict = "kept" if entry.accepted else "refused"
    said, fell = split_reason(entry)
    head = line(f"{stage}, {where}: {verdict} – {'; '.join(said)}", "good" if entry.accepted else "bad", main=True)
    return [head, *([line(f"Kept, though {', '.join(fell)}.", "warn", main=True)] if fell else [])]


def change(name: str, old: float, new: float) -> Line:
    """A score before and after."""
    gained = new - old
    kind = "" if abs(gained) < SAME else "good" if gained > 0 else "bad"
    return line(f"{name}: {old:.3f} → {new:.3f} ({gained:+.3f})", kind, main=True)


def _save(picture: Tensor) -> dict[str, str]:
    """A file that the host's `/view` serves. Masks as PNG, whose edges stay edges; pictures as JPEG, which is quick."""
    from . import host

    mask = picture.ndim == 2
    small = sheet.small(picture, SIDE)
    name = f"grefine_{uuid.uuid4().hex}.{'png' if mask else 'jpg'}"
    target = host.temporary_folder() / name
    if mask:
        small.convert("L").save(target, compress_level=1)
    else:
        small.save(target, quality=90)
    return {"filename": name, "subfolder": "", "type": "temp"}
