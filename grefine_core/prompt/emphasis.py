"""Putting weight on the phrases that a picture does not show (method, section 4)."""

from __future__ import annotations

import logging
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from ..checks import choice, number
from ..errors import InputError
from .markup import Reading, Segment, Span, open_parentheses, read, read_weights, spans

if TYPE_CHECKING:
    from .syntax.tree import Phrase

__all__ = ["STYLES", "emphasize"]


# Where a prompt may be cut in two without changing its tokens.

_SPECIAL_TOKENS = re.compile(r"<\|(?:start|end)oftext\|>", re.IGNORECASE)
_CONTRACTIONS = ("s", "t", "re", "ve", "m", "ll", "d")
#: Characters on either side that can matter to a cut: a run of marks that combine, far longer than any in use.
_REACH = 256


class TokenBoundaries:
    """Answers, for one prompt, whether a cut at an offset is clean."""

    def __init__(self, prompt: str, spans: list[Span]) -> None:
        """``spans``: the prompt's, as :func:`grefine_core.prompt.markup.spans` gives them."""
        self.prompt = prompt
        self._sticky = _sticky(prompt, spans)
        self._uncut = [match.span() for match in _SPECIAL_TOKENS.finditer(prompt)]

    def clean(self, position: int, segment: Segment) -> bool:
        """Whether a cut at ``position``, within ``segment``, leaves the tokens as they are."""
        if position in (segment.start, segment.end):
            return True  # the host cuts here anyway
        if self.prompt[position - 1] == "\\":
            return False  # it would escape what is put in, or be torn from what it escapes
        if position - 1 in self._sticky or position in self._sticky:
            return False
        if any(start < position < end for start, end in self._uncut):
            return False
        left = _unescape(self.prompt[max(segment.start, position - _REACH) : position])
        right = _unescape(self.prompt[position : min(segment.end, position + _REACH)])
        return _clean(left, right)

    def tighten(self, start: int, end: int, segment: Segment) -> tuple[int, int] | None:
        """Return the range within ``start``…``end`` that can be cut out cleanly, ``None`` if that would lose letters.

        Blanks and, where it must be, punctuation at the ends stay outside; a quotation mark in front that the tokenizer
        glues to the word comes in.
        """
        prompt = self.prompt
        while start < end and (prompt[start].isspace() or not self.clean(start, segment)):
            if self._quoted(start, segment):
                start -= 1
                break
            if prompt[start].isalnum():
                return None
            start += 1
        while start < end and (prompt[end - 1].isspace() or not self.clean(end, segment)):
            if prompt[end - 1].isalnum():
                return None
            end -= 1
        return (start, end) if start < end else None

    def _quoted(self, start: int, segment: Segment) -> bool:
        return start > segment.start and self.prompt[start - 1] == "'" and self.clean(start - 1, segment)


def _clean(left: str, right: str) -> bool:
    if right.startswith("embedding:") and not left.endswith((" ", "\n")):
        return False  # the host takes it for an embedding only at the start of a segment
    if left.lower() + right.lower() != (left + right).lower():
        return False
    together = _nfc(left + right)
    left, right = _nfc(left), _nfc(right)
    if left + right != together:
        return False
    # With control characters (zero-width blanks, say) as they are, and without: one tokenizer drops them.
    pairs = ((left, right), (_visible_end(left), _visible_start(right)))
    return all(not a or not b or _apart(a[-1], b) for a, b in pairs)


def _apart(before: str, right: str) -> bool:
    """Whether the tokenizer separates the character ``before`` from the text ``right`` that follows it."""
    after = right[0]
    if _is_blank(before) or _is_blank(after):
        return True
    if unicodedata.category(after)[0] == "M":
        return False
    if before == "'" and right.lower().startswith(_CONTRACTIONS):
        return False
    # Letters and digits are told apart by CLIP's tokenizer, but "8k" is one word nevertheless.
    return before.isalnum() != after.isalnum()


def _sticky(prompt: str, spans: list[Span]) -> frozenset[int]:
    """Return the offsets of markup that is replaced by text later, and would then touch what stands beside it."""
    found: set[int] = set()
    opened: list[list[int]] = []
    for span in spans:
        if span.kind == "wildcard":
            found.update(range(span.start, span.end))
        if span.kind != "choice":
            continue
        if prompt[span.start] == "{":
            opened.append([])
        opened[-1].append(span.start)
        if prompt[span.start] == "}":
            marks = opened.pop()
            around = prompt[max(marks[0] - 1, 0) : marks[0]] + prompt[marks[-1] + 1 : marks[-1] + 2]
            if any(character.isalnum() or character in "{}_" for character in around):
                found.update(marks)
    return frozenset(found)


def _unescape(text: str) -> str:
    return text.replace("\\)", ")").replace("\\(", "(")


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _is_blank(character: str) -> bool:
    return character in " \t\n\r" or unicodedata.category(character) == "Zs"


def _is_control(character: str) -> bool:
    return unicodedata.category(character)[0] == "C" and character not in "\t\n\r"


def _visible_end(text: str) -> str:
    while text and _is_control(text[-1]):
        text = text[:-1]
    return text


def _visible_start(text: str) -> str:
    while text and _is_control(text[0]):
        text = text[1:]
    return text


# Raising the weights of parts of a prompt, in the host's syntax and without touching anything else.

_log = logging.getLogger(__name__)

CLOSE_ENOUGH = 0.005
"""Weights are written with two decimals; less than half of the last one is no difference."""


@dataclass(frozen=True)
class _Edit:
    """One change: ``prompt[start:end]`` gets the weight ``target``."""

    start: int
    end: int
    target: float
    writes: tuple[tuple[int, int, str], ...]
    """(from, to, text): what is put in the place of ``prompt[from:to]``, from left to right."""


def raise_weights(prompt: str, targets: Sequence[tuple[int, int, float]]) -> str:
    """Return ``prompt`` with every range ``(start, end, target)`` at an effective weight of ``target`` at least.

    A range that fills its own ``(…:w)`` group gets a new number there, any other its own parentheses; a number sets the
    weight whatever stands around it. The result is read the host's way once more, and an edit that would change
    anything but the weights it is for is left out.

    Args:
        prompt: in the host's syntax.
        targets: (start, end, weight) each, offsets into ``prompt``, the end exclusive.

    Returns:
        The prompt with new weights, to two decimals.

    Source: ours, for the syntax of ComfyUI's prompts.
    """
    edits = _edits(prompt, targets)
    if not edits:
        return prompt
    changed = _apply(prompt, edits)
    if not _harmless(prompt, edits, changed):
        edits = _harmless_ones(prompt, edits)
        changed = _apply(prompt, edits)
    return changed


def _edits(prompt: str, targets: Sequence[tuple[int, int, float]]) -> list[_Edit]:
    wanted = [0.0] * len(prompt)
    for start, end, target in targets:
        for position in range(start, end):
            wanted[position] = max(wanted[position], target)
    tags = spans(prompt)
    for span in tags:
        if span.kind not in ("text", "escape"):
            wanted[span.start : span.end] = [0.0] * (span.end - span.start)
    boundaries = TokenBoundaries(prompt, tags)
    reading = read(prompt)
    edits = []
    for segment in reading.segments:
        level, counted = 0, segment.start
        for start, end in _runs(wanted, segment):
            target = wanted[start]
            # "not below" and not "at least": a weight of nan is nobody's to repair.
            if not segment.weight < target - CLOSE_ENOUGH or not math.isfinite(segment.weight):
                continue
            cut = boundaries.tighten(start, end, segment)
            if cut is not None:
                edit = _edit(prompt, reading, segment, *cut, target)
                # Parentheses that the host took for text: among them it takes more of them for text, too.
                level, counted = level + open_parentheses(prompt, counted, edit.start), edit.start
                if level == 0:
                    edits.append(edit)
                else:
                    _log.info("Not emphasised, the markup around it is ambiguous: %r", prompt[start:end])
            elif any(character.isalnum() for character in prompt[start:end]):
                _log.info("Not emphasised, it cannot be cut out of its surroundings: %r", prompt[start:end])
    return edits


def _runs(wanted: list[float], segment: Segment) -> list[tuple[int, int]]:
    """Return the maximal ranges of one target above 0 within ``segment``."""
    found = []
    start = segment.start
    for position in range(segment.start + 1, segment.end + 1):
        if position == segment.end or wanted[position] != wanted[start]:
            if wanted[start] > 0:
                found.append((start, position))
            start = position
    return found


def _edit(prompt: str, reading: Reading, segment: Segment, start: int, end: int, target: float) -> _Edit:
    number = f":{target:.2f})"
    if segment.group is not None:
        group = reading.groups[segment.group]
        fills = (segment.start, segment.end) == (group.start + 1, group.content_end)
        if fills and prompt[segment.start : segment.end].strip() == prompt[start:end]:
            return _Edit(segment.start, segment.end, target, ((group.content_end, group.end, number),))
    return _Edit(start, end, target, ((start, start, "("), (end, end, number)))


def _apply(prompt: str, edits: Sequence[_Edit]) -> str:
    pieces = []
    position = 0
    # Where one range ends and the next begins, the first is closed before the other is opened.
    ordered = sorted(edits, key=lambda edit: edit.start)
    for start, end, text in sorted((write for edit in ordered for write in edit.writes), key=lambda write: write[:2]):
        pieces += [prompt[position:start], text]
        position = end
    return "".join([*pieces, prompt[position:]])


def _harmless(prompt: str, edits: Sequence[_Edit], changed: str) -> bool:
    """Whether ``changed`` is ``prompt`` to the host, but for the weights that ``edits`` are for."""
    targets: list[float | None] = [None] * len(prompt)
    for edit in edits:
        targets[edit.start : edit.end] = [edit.target] * (edit.end - edit.start)
    expected = [
        (position, character, weight if (target := targets[position]) is None else target)
        for position, character, weight in characters(prompt)
    ]
    after = characters(changed)
    return len(expected) == len(after) and all(
        a[1] == b[1] and (a[2] == b[2] or (math.isnan(a[2]) and math.isnan(b[2])))
        for a, b in zip(expected, after, strict=True)
    )


def _harmless_ones(prompt: str, edits: Sequence[_Edit]) -> list[_Edit]:
    """Return the edits that can be made one after the other; asked again until no more of them fits.

    Many at once where they fit together: each question reads the whole prompt.
    """
    kept: list[_Edit] = []
    left = list(edits)
    while left:
        refused: list[_Edit] = []
        groups = [left]
        while groups:
            group = groups.pop()
            tried = [*kept, *group]
            if _harmless(prompt, tried, _apply(prompt, tried)):
                kept = tried
            elif len(group) == 1:
                refused += group
            else:
                middle = len(group) // 2
                groups += [group[middle:], group[:middle]]
        if len(refused) == len(left):
            break
        left = refused
    for edit in left:
        _log.info("Not emphasised, the markup around it is ambiguous: %r", prompt[edit.start : edit.end])
    return kept


def characters(prompt: str) -> list[tuple[int, str, float]]:
    """Return (offset, character, weight) of all that reaches the tokenizer."""
    found = []
    for segment in read(prompt).segments:
        for position in range(segment.start, segment.end):
            if prompt[position] == "\\" and prompt[position + 1 : position + 2] in ("(", ")"):
                continue
            found.append((position, prompt[position], segment.weight))
    return found


# Finding a prompt's phrases in the same prompt with other weights: in what an earlier emphasis made of it.

Spans = tuple[tuple[int, int], ...]


def span_mapping(original: str, prompt: str) -> dict[int, int] | None:
    """Return offset in ``original`` -> offset in ``prompt`` of every character that the host reads as text.

    ``None`` if they are not the same text with other weights.

    Args:
        original: the prompt that was parsed.
        prompt: the same with other weights.
    """
    before, after = characters(original), characters(prompt)
    if [character for _, character, _ in before] != [character for _, character, _ in after]:
        return None
    return {old[0]: new[0] for old, new in zip(before, after, strict=True)}


def map_spans(spans: Iterable[tuple[int, int]], mapping: Mapping[int, int]) -> Spans:
    """Return ``spans`` at their new places, as maximal ranges without markup in between.

    Args:
        spans: (start, end) each, the end exclusive.
        where: offset -> offset, see :func:`span_mapping`.
    """
    mapped: list[tuple[int, int]] = []
    for start, end in spans:
        for position in (mapping[old] for old in range(start, end) if old in mapping):
            if mapped and mapped[-1][1] == position:
                mapped[-1] = (mapped[-1][0], position + 1)
            else:
                mapped.append((position, position + 1))
    return tuple(mapped)


# Emphasis by repetition, for text encoders that do not know weights.


def repeat_phrases(prompt: str, phrases: Sequence[Phrase]) -> str:
    """Return ``prompt`` with ``, <phrase>`` appended for every phrase that is not repeated at its end already.

    Args:
        prompt: any text.
        phrases: those to repeat, in order.

    Source: ours, for text encoders that do not read weights (T5).
    """
    first: dict[str, int] = {}
    for phrase in phrases:
        first.setdefault(_escaped(phrase.text), phrase.spans[-1][1])
    repeated = _repeated(prompt, first)
    missing = [text for text in first if text not in repeated]
    if not missing:
        return prompt
    stripped = prompt.rstrip()
    separator = ", "
    if stripped.endswith(","):
        separator = "" if stripped != prompt else " "
    elif prompt and not (prompt[-1].isalnum() or prompt[-1].isspace()):
        separator = " , "  # tokenizers make one token of ".,"
    changed = prompt + separator + ", ".join(missing)
    if not _extends(prompt, changed):
        _log.info("Not repeated, the prompt's parentheses do not balance: %s", ", ".join(missing))
        return prompt
    return changed


def _repeated(prompt: str, first: dict[str, int]) -> set[str]:
    """Return which of the texts stand in the row of repetitions that ends the prompt, behind where they come first."""
    found: set[str] = set()
    end = len(prompt)
    while True:
        start = prompt.rfind(",", 0, end) + 1
        text = prompt[start:end].strip()
        if start == 0 or text not in first or start < first[text]:
            return found
        found.add(text)
        end = start - 1


def _escaped(text: str) -> str:
    """A word keeps the backslash of an escaped parenthesis or has none at all; what is appended has one."""
    return text.replace("\\(", "(").replace("\\)", ")").replace("(", "\\(").replace(")", "\\)")


def _extends(prompt: str, changed: str) -> bool:
    """Whether the host reads ``changed`` as ``prompt`` with something behind it."""
    before = [(character, weight) for text, weight in read_weights(prompt) for character in text]
    after = [(character, weight) for text, weight in read_weights(changed) for character in text]
    return repr(after[: len(before)]) == repr(before) and all(weight == 1.0 for _, weight in after[len(before) :])


STYLES = ("weight", "repeat")


class PhraseVerdict(Protocol):
    """What emphasis reads of the verdict on a phrase; ``PhraseQuality`` of AQ-Map is one."""

    @property
    def phrase(self) -> Phrase:
        """The phrase, with its spans in the prompt."""
        ...

    @property
    def defect(self) -> Literal["none", "noun", "modifier"]:
        """What is wrong with it."""
        ...

    @property
    def deficit(self) -> float:
        """In [0, 1], how far it is below its bound."""
        ...


def emphasize(
    prompt: str,
    phrases: Iterable[PhraseVerdict],
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

    Returns:
        The prompt; the very same string where nothing is emphasised.

    Raises:
        InputError: no string, no phrases or those of another prompt, numbers out of range, an unknown style.

    Source: method, section 4; G-Refine (arXiv 2404.18343), refiner: unmatched phrases are emphasised before stage 1.
        The weights' syntax is ComfyUI's.
    """
    if not isinstance(prompt, str):
        raise InputError(f"prompt: expected a string, got {type(prompt).__name__}.")
    style = choice(style, "style", STYLES)
    low = number(minimum, "minimum", 0.0, 10.0)
    high = number(maximum, "maximum", 0.0, 10.0)
    if low > high:
        raise InputError(f"minimum: {low:g} is over maximum {high:g}; the weight must rise with the deficit.")
    unmatched = []
    mappings: dict[str, dict[int, int] | None] = {}
    for index, verdict in enumerate(_listed(phrases)):
        if verdict.defect == "none" or verdict.phrase.is_style:
            continue
        spans = _spans_here(prompt, verdict, index, mappings)
        deficit = number(verdict.deficit, f"phrases[{index}].deficit", 0.0, 1.0)
        unmatched.append((verdict.phrase, spans, round(low + (high - low) * deficit, 2)))
    if not unmatched:
        return prompt
    if style == "repeat":
        return repeat_phrases(prompt, [phrase for phrase, _, _ in unmatched])
    targets = [(start, end, target) for _, spans, target in unmatched for start, end in _whole_tags(prompt, spans)]
    return raise_weights(prompt, targets)


def _whole_tags(prompt: str, spans: Spans) -> list[tuple[int, int]]:
    """The spans; those that only underscores part are one, so that a tag ("long_hair") stays a tag."""
    whole: list[tuple[int, int]] = []
    for start, end in spans:
        if whole and start > whole[-1][1] and not prompt[whole[-1][1] : start].strip("_"):
            whole[-1] = (whole[-1][0], end)
        else:
            whole.append((start, end))
    return whole


def _listed(phrases: Iterable[PhraseVerdict]) -> list[PhraseVerdict]:
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


def _spans_here(prompt: str, verdict: PhraseVerdict, index: int, mappings: dict[str, dict[int, int] | None]) -> Spans:
    """Where a phrase stands in ``prompt``, also if that is what an earlier emphasis made of the phrase's own prompt.

    Phrases that were parsed from another prompt are refused: their spans would put weights anywhere. ``mappings`` holds
    those that are known already, by original prompt: finding them reads both prompts whole.
    """
    spans = verdict.phrase.spans
    original = getattr(verdict.phrase, "prompt", "")
    if original and original != prompt:
        if original not in mappings:
            mappings[original] = span_mapping(original, prompt)
        mapping = mappings[original]
        if mapping is not None:
            return map_spans(spans, mapping)
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
