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

from .syntax.lexicon import common_words, read_sections, word_lists
from .syntax.tokens import WALL_MARK

_NAME = r"[A-Za-z][\w'’-]*(?:(?:[ \t]+|[ \t]*[/&+][ \t]*)[\w'’%-]+){0,3}?"
_LABEL = re.compile(
    rf"""(?:^|(?P<comma>(?<=,))|(?<=[\n\r{WALL_MARK}.;!?|\]])|(?<=:)(?![^:\n]{{0,60}}[ \t]/{{1,2}}[ \t])
        |(?<=[ \t][/–—•~»-])|(?<=[ \t]//))[ \t]*(?:[-•*#>]+[ \t]*)?(?P<marks>[\[*]*)[ \t]*
    (?P<name>{_NAME})[ \t]*[\]*]*
    (?:[ \t]*:(?!:)\**(?=\s|["'“]|$)|(?P<dash>[ \t]+[-–—](?=[ \t]))|(?P<equals>[ \t]*(?:=>?|→|->|⇒|»|\?(?=[ \t]))(?!=))
    |(?P<bar>[ \t]*\|(?!\|)(?=[ \t]*[^\s|])))""",
    re.VERBOSE,
)
_TITLE = re.compile(r"^[ \t]*#{1,6}[ \t]*(?P<name>[A-Za-z][\w '’-]{0,40}?)[ \t]*:?[ \t]*$", re.MULTILINE)
_MARKED = re.compile(r"[:=|?]|[→⇒»]|->|[ \t][-–—][ \t]")
_ELEMENT = re.compile(  # <subject>a fox</subject>
    r"</?([A-Za-z][\w-]{0,30}(?: [\w-]{1,20})?)(?: +[\w-]{1,20}=\"[^\"<>\n]{0,40}\")*>"
)
_BRACKETED = re.compile(  # [Subject] a fox [Style] ink
    r"(?:\[|\(|\{|<|【|«|\*\*|##)[ \t]*(?P<name>[A-Za-z][\w '’-]{0,30})[ \t]*(?:\]|\)|\}|>|】|»|\*\*|##)"
    r"(?![ \t]*[:=,.;)\]}]|[ \t]*$)"
)

# Places in the picture: "far left", "on the right side", "upper half of the image", "background".
_SIDE = r"(?:left(?:most)?|right(?:most)?|cent(?:er|re)|central|middle|top|bottom|upper|lower)"
_AREA = (
    r"(?:side|half|third|quarter|quadrant|part|portion|section|corner|panel|region|area|edge|zone|frame|column|row"
    r"|strip|cell)"
)
_ORDINAL = r"(?:(?:north|south|east|west)(?:ern)?|first|second|third|fourth|last)"
_NUMBERED = r"(?:region|zone|area|panel|quadrant|cell|column|row|section|image|scene|frame|part)"
_COUNT = r"(?:\d{1,2}|(?-i:[A-D])|one|two|three|four|five|six)\b"
_SHARE = r"(?:[ \t]*\(?[ \t]*\d{1,3}[ \t]*%(?:[ \t]+(?:width|height))?[ \t]*\)?)?"
_GROUND = r"(?:fore|back|mid|middle[ -]?)ground"
_WHOLE = r"(?:image|picture|frame|scene|canvas|composition|photo|photograph|screen|shot)"
_PLACE = (
    r"(?:(?:in|on|at|to|towards?)[ \t]+)?(?:(?:the|its|their)[ \t]+)?"
    rf"(?:(?:(?:far|extreme|immediate|mid|very)[ \t-]+){{0,2}}{_SIDE}(?:[ \t-]+{_SIDE}){{0,2}}(?:[ \t-]+hand)?"
    rf"(?:[ \t-]+{_AREA})?|{_ORDINAL}[ \t-]+(?:{_SIDE}[ \t-]+)?{_AREA}"
    rf"|(?:far[ \t]+|immediate[ \t]+)?{_GROUND}|(?:(?:far|middle|near|mid)[ \t-]+)?distance)"
    rf"(?:[ \t]+of[ \t]+(?:the[ \t]+)?{_WHOLE})?"
)
_ONLY_PLACE = re.compile(rf"[ \t]*{_PLACE}[ \t]*", re.IGNORECASE)
_NUMBER = r"(?:[ \t]*:[ \t]*\d*\.?\d+)?"
_PLACE_MARKS = re.compile(
    rf"""(?:(?P<before>^|[,;.!?|\n\r{WALL_MARK}])[ \t]*(?:
            \([ \t]*{_PLACE}[ \t]*{_NUMBER}[ \t]*\)      # (far left:1.2)
          | {_PLACE}{_SHARE}[ \t]*(?:=|[ \t][-–—](?=[ \t]))            # left half -
          | {_SIDE}[ \t-]+(?:{_SIDE}|{_AREA})(?=[ \t]+(?:an?|the|one|two|three|four|five|\d)[ \t])   # top left a seed
        )
      | (?<![\w-]){_PLACE}{_SHARE}[ \t]*:(?![:\d])                        # left half (40%):
      | (?<![\w-]){_NUMBERED}[ \t_#-]?{_COUNT}(?:[ \t]*[\[(][^()\[\]\n]{{0,40}}[\])])?[ \t]*:(?!:)   # Region 2 (60%):
      | [#=~*]{{1,3}}[ \t]*{_PLACE}[ \t]*[#=~*]{{1,3}}:?                  # #left#
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_AMBIGUOUS = frozenset(["top", "bottom", "distance"])  # alone they may be what somebody wears, or is far away
_BOX = re.compile(r"[\[({<【]([^\[\](){}<>【】\n]{1,60})[\])}>】](?:[ \t]*:(?!:))?")
_WEIGHT_AT_END = re.compile(r":[ \t]*\d*\.?\d+[ \t]*$")
_IN_BOX = re.compile(r"[A-Za-z]+|\d+(?:\.\d+)?|[^\s\w]|\S")
_BOX_PLACES = frozenset(
    """left right center centre central middle top bottom upper lower leftmost rightmost foreground background
    midground distance""".split()  # noqa: SIM905 - as a list of strings it would fill the page
)
_BOX_WORDS = _BOX_PLACES | frozenset(
    """far extreme immediate mid very side half third quarter quadrant part portion section corner panel region area
    edge zone frame row column cell hand of in on at to from the and first second fourth last one two three four five
    six whole width height image picture canvas scene x y w h px a b c d north south east west""".split()  # noqa: SIM905
)
_BOX_NUMBERED = frozenset(["region", "zone", "area", "panel", "quadrant", "cell", "column", "row", "section"])
_NUMBERED_MARK = re.compile(r"(?<![\w-])[A-Z]{2,12}[ _]?\d{1,2}[ \t]*:(?=\s)")  # COL1:
_CORNER = re.compile(  # top left cat, bottom right dog
    rf"(?:^|(?<=[,;.|\n\r{WALL_MARK}]))[ \t]*"
    r"((?:top|bottom|upper|lower|cent(?:er|re)|middle)[ -](?:left|right|cent(?:er|re)))(?=[ \t]+\w)",
    re.IGNORECASE,
)
_SIDE_LETTERS = re.compile(r"(?<![\w-])[LRCMTB][ \t]*:(?=\s)")


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
    described: bool = False  # a thing that is only described behind it: "Eyes: green"


@lru_cache(maxsize=1)
def _lists() -> MappingProxyType[str, frozenset[str]]:
    return MappingProxyType({name: frozenset(terms) for name, terms in read_sections("parts.txt").items()})


def bracketed_headings(prompt: str) -> list[Heading]:
    """Headings in brackets without a colon, several of them: "[Subject] a fox [Style] ink", "<style>ink</style>"."""
    matches = [match for match in _BRACKETED.finditer(prompt) if _may_head(match["name"])]
    known = [match for match in matches if _known_kind(_plain(match["name"])) is not None]
    if len(known) < 2 or prompt[: known[0].start()].strip(" \t\n`"):
        return []
    mark, sure = known[0].group()[0], {match.start() for match in known}
    if mark == "<":
        matches = known
    else:
        matches = [m for m in matches if m.group()[0] == mark and (m["name"][:1].isupper() or m.start() in sure)]
    result = []
    for index, match in enumerate(matches):
        following = matches[index + 1].start() if index + 1 < len(matches) else len(prompt)
        end = prompt.find("</", match.end(), following)
        stop = following if end < 0 else end
        result.append(Heading(match.start(), match.end(), stop, kind_of_heading(match["name"]), False))
    return result


def headings(text: str) -> list[Heading]:
    """The headings of a prompt, from left to right."""
    found = _labels(text) if _MARKED.search(text) else []
    found += [match for match in _TITLE.finditer(text) if "\n" in text]
    found.sort(key=lambda match: match.start())
    result = []
    for index, match in enumerate(found):
        following = found[index + 1].start() if index + 1 < len(found) else len(text)
        kind = kind_of_heading(match["name"])
        if _plain(match["name"]) in _lists()["person-or-setting"]:
            kind = "ignored" if _names_program(text[match.end() : following]) else "prose"
        letters = _plain(match["name"]) in _lists()["lettering-labels"]
        value = text[match.end() : following]
        if tells_manner(match["name"], value) or (
            _plain(match["name"]) in _lists()["title-labels"] and not re.match(r"\s*[\"'“”‘’„«]", value)
        ):
            kind = "style"
        title = match.re is _TITLE
        stop = following if title else _end_of_value(text, match.end(), following, kind)
        described = not title and kind == "prose" and _is_described(match["name"], text[match.end() : stop])
        result.append(Heading(match.start(), match.end(), stop, kind, letters, described))
    return result


def tells_manner(name: str, value: str) -> bool:
    """Whether a heading of what somebody does is followed by a single word: "Pose: kneeling"."""
    return _plain(name) in _lists()["manner-labels"] and re.match(r"\s*[\w'’-]+\s*(?:[,;.|\n]|$)", value) is not None


def _is_described(name: str, value: str) -> bool:
    """Whether a heading is a thing that somebody has, and what follows only describes it: "Hair: short black"."""
    lists = word_lists()
    if _plain(name) not in lists["feature"] | lists["body"]:
        return False
    words = re.split(r"[,;.|\n]", value.strip(), maxsplit=1)[0].lower().split()
    kinds = [common_words().get(word, "").split("|") for word in words]
    return 0 < len(words) < 4 and all(
        word in lists["colors"] or ("JJ" in kind and "NN" not in kind) for word, kind in zip(words, kinds, strict=True)
    )


def place_marks(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of what only tells where in the picture something is: "[left]", "(far right:1.1)", "top half:"."""
    yield from _boxes(text)
    for match in _PLACE_MARKS.finditer(text):
        start = match.start() + len(match["before"] or "")
        mark = match.group().strip(" \t,;.!?|\n\r()[]<>:=-–—" + WALL_MARK).lower()
        bare = text[start : match.end()].strip()[:1] in "([<"
        if not (bare and mark in _AMBIGUOUS):
            yield start, match.end()
    corners = list(_CORNER.finditer(text))
    if len({match[1].lower() for match in corners}) > 1:
        yield from (match.span(1) for match in corners)
    yield from (match.span() for match in _NUMBERED_MARK.finditer(text))
    letters = list(_SIDE_LETTERS.finditer(text))
    if len({match.group()[0] for match in letters}) > 1:
        yield from (match.span() for match in letters)  # L: … R: …


def _boxes(text: str) -> Iterator[tuple[int, int]]:
    """Brackets around places and numbers: "[left]", "[region 2: 50-100%]", "(0, 0, 512, 512):"."""
    found = []
    for match in _BOX.finditer(text):
        inside = _WEIGHT_AT_END.sub("", match[1]) if match.group()[0] == "(" else match[1]
        words = [word.lower() for word in _IN_BOX.findall(inside)]
        named = [word for word in words if word.isalpha()]
        numbers = [word for word in words if word[0].isdigit()]
        if not all(word in _BOX_WORDS for word in named):
            continue
        place = not _BOX_PLACES.isdisjoint(named) or (bool(numbers) and not _BOX_NUMBERED.isdisjoint(named))
        if match.group()[0] == "(":
            before = text[max(0, match.start() - 20) : match.start()].rstrip(" \t")
            starts = not before or before[-1] in ",;.!?|:\n\r" + WALL_MARK
            measured = len(numbers) > 3 or (len(numbers) > 1 and "%" in words)
            if not (measured or (place and (starts or not _BOX_NUMBERED.isdisjoint(named)))):
                continue
        elif not (place or (numbers and len(named) < 3)) or not (set(words) - {"{", "}"}):
            continue
        found.append((match.span(), len(named) == 1 and named[0] in _AMBIGUOUS and not numbers))
    several = len(found) > 1
    yield from (span for span, doubtful in found if several or not doubtful)


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


def _names_program(value: str) -> bool:
    """Whether "Model: …" goes on with the name of a file or a program: one word, or one with figures in it."""
    found = re.match(r"\s*([^\n,;|]{1,60}?)\s*(?:[\n,;|]|\.(?=\s|$)|$)", value)
    return (
        found is None or " " not in found[1] or any(character.isdigit() or character == "_" for character in found[1])
    )


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
    return re.sub(r"(?<=\w) (?:\d[\d%-]*|[a-d])$", "", " ".join(re.sub(r"[_-]+", " ", name).split()).lower())


def _labels(text: str) -> list[re.Match[str]]:
    """The matches of `_LABEL` that are headings."""
    found = []
    for match in _LABEL.finditer(text):
        known = _known_kind(_plain(match["name"])) is not None
        line_start = _starts_line(text, match.start())
        if match["dash"] and not (line_start or known):
            continue  # elsewhere it is a dash between two thoughts
        if match["bar"] and not known:
            continue  # elsewhere it parts things
        if known or _may_head(match["name"]):
            found.append((match, known, line_start))
    dashes = sum(match["dash"] is not None for match, _, _ in found)
    bars = sum(match["bar"] is not None for match, _, _ in found)
    first = next((match for match, _, _ in found if match["bar"]), None)
    table = first is not None and bars > 1 and not text[: first.start()].strip(" |\t\n" + WALL_MARK)
    result = []
    for match, known, line_start in found:
        if match["bar"] and not table:
            continue
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
