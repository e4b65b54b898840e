"""Where a prompt may be cut in two without changing its tokens.

The host tokenizes every weighted segment by itself, so a parenthesis is a cut. CLIP's tokenizer splits text, after
normalising it (NFC, lower case, blanks), into runs of letters, single digits, runs of everything else, and English
contractions; a cut that such a run or the normalisation would have crossed gives other tokens. Old and new versions of
the tokenizer differ (control characters, Chinese); a cut counts as clean only if it is so for both.
"""

from __future__ import annotations

import re
import unicodedata

from ..markup import Segment, Span

_SPECIAL_TOKENS = re.compile(r"<\|(?:start|end)oftext\|>", re.IGNORECASE)
_CONTRACTIONS = ("s", "t", "re", "ve", "m", "ll", "d")
#: Characters on either side that can matter to a cut: a run of marks that combine, far longer than any in use.
_REACH = 256


class Seams:
    """Answers, for one prompt, whether a cut at an offset is clean."""

    def __init__(self, prompt: str, spans: list[Span]) -> None:
        """``spans``: the prompt's, as :func:`grefine_core.markup.spans` gives them."""
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
