"""Putting weight on the phrases that a picture does not show (method, section 4)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..checks import choice, number
from ..errors import InputError
from .moved import Spans, move, places
from .repeat import repeat_phrases
from .weights import raise_weights

if TYPE_CHECKING:
    from ..alignment.results import PhraseQuality

__all__ = ["STYLES", "emphasize"]

STYLES = ("weight", "repeat")


def emphasize(
    prompt: str,
    phrases: Iterable[PhraseQuality],
    *,
    minimum: float = 1.1,
    maximum: float = 1.5,
    style: str = "weight",
) -> str:
    """Return ``prompt`` with its unmatched phrases emphasised (method, section 4).

    - ``style="weight"``: ``(red balloon:1.30)``, in ComfyUI's syntax. The weight is ``minimum + (maximum - minimum) ·
      deficit``, to two decimals. A phrase with a lower weight is raised, one that has as much already is left alone.
      The host's own prompt parser finds the same tokens as before, with other weights: markup, escaped parentheses,
      embeddings, LoRA tags, ``BREAK``, wildcards and unicode stay as they are, and where the markup around a phrase is
      too broken to add to it (or a word cannot be cut out without changing tokens) that phrase is left alone and the
      log says so.
    - ``style="repeat"``: ``…, red balloon`` at the end, for text encoders that ignore weights (T5).

    A second application changes nothing, nothing unmatched gives the very same string, and style phrases ("8k") are
    never emphasised.

    Args:
        prompt: as it was given to the parser, markup included.
        phrases: the verdicts on the phrases *of this prompt*, or of the same prompt with other weights; their spans say
            where to write.
        minimum: weight of a phrase that is just missed, from 0 to 10.
        maximum: weight of a phrase that is not there at all, from ``minimum`` to 10.
        style: ``"weight"`` or ``"repeat"``.

    Raises:
        InputError: no string, no phrases or those of another prompt, numbers out of range, an unknown style.
    """
    if not isinstance(prompt, str):
        raise InputError(f"prompt: expected a string, got {type(prompt).__name__}.")
    style = choice(style, "style", STYLES)
    low = number(minimum, "minimum", 0.0, 10.0)
    high = number(maximum, "maximum", 0.0, 10.0)
    if low > high:
        raise InputError(f"minimum: {low:g} is over maximum {high:g}; the weight must rise with the deficit.")
    unmatched = []
    moved: dict[str, dict[int, int] | None] = {}
    for index, verdict in enumerate(_listed(phrases)):
        if verdict.defect == "none" or verdict.phrase.is_style:
            continue
        spans = _spans_here(prompt, verdict, index, moved)
        deficit = number(verdict.deficit, f"phrases[{index}].deficit", 0.0, 1.0)
        unmatched.append((verdict.phrase, spans, round(low + (high - low) * deficit, 2)))
    if not unmatched:
        return prompt
    if style == "repeat":
        return repeat_phrases(prompt, [phrase for phrase, _, _ in unmatched])
    targets = [(start, end, target) for _, spans, target in unmatched for start, end in spans]
    return raise_weights(prompt, targets)


def _listed(phrases: Iterable[PhraseQuality]) -> list[PhraseQuality]:
    if not isinstance(phrases, Iterable):
        raise InputError(f"phrases: expected the verdicts on the prompt's phrases, got {type(phrases).__name__}.")
    listed = list(phrases)
    for index, verdict in enumerate(listed):
        if not hasattr(verdict, "phrase") or not hasattr(verdict, "defect"):
            raise InputError(
                f"phrases[{index}]: expected a phrase with its verdict (PhraseQuality), got {type(verdict).__name__}. "
                "A batch has one tuple of them for each picture; give the one of this prompt."
            )
    return listed


def _spans_here(prompt: str, verdict: PhraseQuality, index: int, moved: dict[str, dict[int, int] | None]) -> Spans:
    """Where a phrase stands in ``prompt``, also if that is what an earlier emphasis made of the phrase's own prompt.

    Phrases that were parsed from another prompt are refused: their spans would put weights anywhere. ``moved`` holds
    the places that are known already, by original prompt: finding them reads both prompts whole.
    """
    spans = verdict.phrase.spans
    original = getattr(verdict.phrase, "prompt", "")
    if original and original != prompt:
        if original not in moved:
            moved[original] = places(original, prompt)
        where = moved[original]
        if where is not None:
            return move(spans, where)
    written = "".join(prompt[start:end] for start, end in spans)
    fits = all(0 <= start < end <= len(prompt) for start, end in spans)
    if not fits or _letters(written) != _letters(verdict.phrase.text):
        raise InputError(
            f"phrases[{index}]: {verdict.phrase.text!r} does not stand where its spans {list(spans)} point to in this "
            "prompt. The phrases must come from the same prompt, markup included."
        )
    return spans


def _letters(text: str) -> str:
    return "".join(character for character in text if character.isalnum())
