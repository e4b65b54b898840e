"""Headings in a prompt: "Subject: a fox", "**Style** - ink", "left half: a lake", keys of JSON, and what they head.

A heading names no thing itself. A known one is one wherever a part may start; an unknown one ("Companion: an owl") is
one in the company of others, since a lone colon also stands in titles and in sentences.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from .syntax.lexicon import read_sections, word_lists
from .syntax.tokens import WALL_MARK

_NAME = r"[A-Za-z][\w'’-]*(?:(?:[ \t]+|[ \t]*[/&+][ \t]*)[\w'’-]+){0,3}?"
_LABEL = re.compile(
    rf"""(?:^|(?P<comma>(?<=,))|(?<=[\n\r{WALL_MARK}.;!?|:\]]))[ \t]*(?:[-•*#>]+[ \t]*)?(?P<marks>[\[*]*)[ \t]*
    (?P<name>{_NAME})[ \t]*[\]*]*
    (?:[ \t]*:(?!:)\**(?=\s|["'“]|$)|(?P<dash>[ \t]+[-–—](?=[ \t]))|(?P<equals>[ \t]*=(?!=)))""",
    re.VERBOSE,
)
_TITLE = re.compile(r"^[ \t]*#{1,6}[ \t]*(?P<name>[A-Za-z][\w '’-]{0,40}?)[ \t]*:?[ \t]*$", re.MULTILINE)
_MARKED = re.compile(r":|=|[ \t][-–—][ \t]")
_ELEMENT = re.compile(r"</?([A-Za-z][\w -]{0,30})>")  # <subject>a fox</subject>

# Places in the picture: "far left", "on the right side", "upper half of the image", "background".
_SIDE = r"(?:left|right|cent(?:er|re)|middle|top|bottom|upper|lower)"
_AREA = r"(?:side|half|third|quarter|quadrant|part|portion|section|corner|panel|region|area|edge|zone|frame)"
_GROUND = r"(?:fore|back|mid|middle[ -]?)ground"
_WHOLE = r"(?:image|picture|frame|scene|canvas|composition|photo|photograph|screen|shot)"
_PLACE = (
    r"(?:(?:in|on|at|to|towards?)[ \t]+)?(?:(?:the|its|their)[ \t]+)?"
    rf"(?:(?:(?:far|extreme|immediate|mid|very)[ \t-]+){{0,2}}{_SIDE}(?:[ \t-]+{_SIDE}){{0,2}}(?:[ \t-]+hand)?"
    rf"(?:[ \t-]+{_AREA})?|(?:far[ \t]+|immediate[ \t]+)?{_GROUND}|(?:far[ \t]+)?distance)"
    rf"(?:[ \t]+of[ \t]+(?:the[ \t]+)?{_WHOLE})?"
)
_ONLY_PLACE = re.compile(rf"[ \t]*{_PLACE}[ \t]*", re.IGNORECASE)
_NUMBER = r"(?:[ \t]*:[ \t]*\d*\.?\d+)?"
_PLACE_MARKS = re.compile(
    rf"""(?:(?P<before>^|[,;.!?|\n\r{WALL_MARK}])[ \t]*(?:
            \([ \t]*{_PLACE}[ \t]*{_NUMBER}[ \t]*\)      # (far left:1.2)
          | {_PLACE}[ \t]*(?::(?![:\d])|=|[ \t][-–—](?=[ \t]))            # left half:
          | {_SIDE}[ \t-]+(?:{_SIDE}|{_AREA})(?=[ \t]+(?:an?|the|one|two|three|four|five|\d)[ \t])   # top left a seed
        )
      | \[[ \t]*{_PLACE}[ \t]*{_NUMBER}[ \t]*\]:?         # [left]
      | <[ \t]*{_PLACE}[ \t]*>
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_AMBIGUOUS = frozenset(["top", "bottom", "distance"])  # alone they may be what somebody wears, or is far away


@dataclass(frozen=True)
class Heading:
    """A heading ``text[start:end]``; what it heads, which ends at ``stop``, is of ``kind``.

    The kinds are those of parts, and "ignored" for settings.
    """

    start: int
    end: int
    stop: int
    kind: str
    letters: bool  # what it heads may be text to be shown


@lru_cache(maxsize=1)
def _lists() -> MappingProxyType[str, frozenset[str]]:
    return MappingProxyType({name: frozenset(terms) for name, terms in read_sections("parts.txt").items()})


def headings(text: str) -> list[Heading]:
    """The headings of a prompt, from left to right."""
    found = _labels(text) if _MARKED.search(text) else []
    found += [match for match in _TITLE.finditer(text) if "\n" in text]
    found.sort(key=lambda match: match.start())
    result = []
    for index, match in enumerate(found):
        following = found[index + 1].start() if index + 1 < len(found) else len(text)
        kind = kind_of_heading(match["name"])
        letters = _plain(match["name"]) in _lists()["lettering-labels"]
        title = match.re is _TITLE
        stop = following if title else _end_of_value(text, match.end(), following, kind)
        result.append(Heading(match.start(), match.end(), stop, kind, letters))
    return result


def place_marks(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of what only tells where in the picture something is: "[left]", "(far right:1.1)", "top half:"."""
    for match in _PLACE_MARKS.finditer(text):
        start = match.start() + len(match["before"] or "")
        mark = match.group().strip(" \t,;.!?|\n\r()[]<>:=-–—" + WALL_MARK).lower()
        bare = text[start : match.end()].strip()[:1] in "([<"
        if not (bare and mark in _AMBIGUOUS):
            yield start, match.end()


def element_marks(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of the marks of elements, <subject> and </subject>, if the pair is there."""
    if "</" in text:
        matches = list(_ELEMENT.finditer(text))
        closed = {match[1].lower() for match in matches if match.group().startswith("</")}
        yield from (match.span() for match in matches if match[1].lower() in closed)


def is_place(text: str) -> bool:
    """Whether a stretch names nothing but a place in the picture."""
    return len(text) < 80 and _ONLY_PLACE.fullmatch(text) is not None


def kind_of_heading(name: str) -> str:
    """What stands behind a heading: "prose", "style", "absent", or "ignored" for settings.

    Unknown headings of several words are told by their first word, else by their last: "lighting setup", "key light".
    """
    plain = _plain(name)
    if (kind := _known_kind(plain)) is not None:
        return kind
    words = re.split(r"[ /&+]+", plain)
    if len(words) > 1:
        if words[0] in _lists()["style-openers"]:
            return "style"
        if (kind := _known_kind(words[-1])) is not None:
            return kind
    return "prose"


def _known_kind(plain: str) -> str | None:
    lists = _lists()
    for section, kind in (
        ("absent-labels", "absent"),
        ("ignored-labels", "ignored"),
        ("style-labels", "style"),
        ("labels", "prose"),
    ):
        if plain in lists[section]:
            return kind
    return None


def _plain(name: str) -> str:
    """A heading in lower case, without the number of "Region 2"; keys of programs as words ("cameraAngle")."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.sub(r"(?<=\w) (?:\d+|[a-d])$", "", " ".join(re.sub(r"[_-]+", " ", name).split()).lower())


def _labels(text: str) -> list[re.Match[str]]:
    """The matches of `_LABEL` that are headings."""
    found = []
    for match in _LABEL.finditer(text):
        known = _known_kind(_plain(match["name"])) is not None
        line_start = _starts_line(text, match.start())
        if match["dash"] and not (line_start or (known and match["comma"] is not None)):
            continue  # elsewhere it is a dash between two thoughts
        if known or _may_head(match["name"]):
            found.append((match, known, line_start))
    dashes = sum(match["dash"] is not None for match, _, _ in found)
    result = []
    for match, known, line_start in found:
        if match["dash"] and dashes < (1 if known and line_start else 2 if known else 3):
            continue
        titled = match["name"][:1].isupper() or bool(match["marks"])
        company = 3 if match["comma"] is not None and not titled else 2
        enough = len(found) >= company or (line_start and titled and "\n" in text)
        if enough or (known and match["equals"] is None):
            result.append(match)
    return result


def _starts_line(text: str, position: int) -> bool:
    """Whether nothing but blanks stands in front of a place in its line; no more than a few are looked at."""
    before = text[max(0, position - 80) : position].rstrip(" \t")
    return before.endswith(("\n", "\r")) or (not before and position < 80)


def _may_head(name: str) -> bool:
    """Whether words may be a heading that is not known: no sentence, no title of a book."""
    words = name.lower().split()
    lists = word_lists()
    never = lists["be"] | lists["pronouns"] | {"a", "an", "the", "with", "in", "on", "has", "have"}
    return len(words) <= 3 and not any(word in never for word in words)


def _end_of_value(text: str, start: int, following: int, kind: str) -> int:
    """Where what stands behind a heading ends: at the end of its line; a style at the end of its sentence."""
    stop = r"\n|[.!?](?=\s)|[|;]" if kind in ("style", "ignored") else r"\n"
    blank = re.compile(r"\s*").match(text, start, following)
    first = blank.end() if blank is not None else start
    found = re.compile(stop).search(text, first, following)
    return found.start() if found is not None else following
