"""Reading the markup of a prompt the way the host reads it.

Weights follow ComfyUI (``comfy/sd1_clip.py``: ``escape_important``, ``parse_parentheses``, ``token_weights``): bare
parentheses multiply the weight around them by 1.1, ``(text:1.3)`` *sets* it to 1.3 whatever stands around it, a number
that does not parse is text, ``\\(`` and ``\\)`` are text, and parentheses that do not balance are read exactly as oddly
as the host reads them. ``[x]`` is plain text for the host, therefore here too. On top of that the tags that extensions
and front ends take out of a prompt are recognised: LoRA tags, embeddings, wildcards, ``BREAK``, ``AND``, ``{a|b}``,
the words that open a region (``ADDCOL``), Midjourney's parameters (``--ar 16:9``, ``::2``, ``--no text``), addresses.

Every function takes any string and never raises on what is in it.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass

# The host recurses once a level and dies of a RecursionError at about a thousand; nobody writes two hundred.
MAX_DEPTH = 200

_PAREN = re.compile(r"\\[()]|[()]")
_LORA = re.compile(r"<\w+:[^<>\n]*>")  # <lora:…>, <hypernet:…>, <lyco:…> and their many relatives
_EMBEDDING = re.compile(r"(?<!\w)embedding:(?:\\[()]|[^\s()])+")
_WILDCARD = re.compile(r"__(?=[^_\s])[\w\u0300-\u036f./*+\\-]{1,255}?(?<!_)__(?!_)")  # no file's name is longer
_BREAK = re.compile(r"(?<!\w)(?:BREAK|ADDCOMM|ADDCOL|ADDROW|ADDBASE)(?!\w)")
# Regions of programs for prompts: "COUPLE MASK(0 0.5)", "AREA(0 1, 0.5 1)", "FILL()"; what is in brackets are numbers.
_CALL = re.compile(
    r"(?<!\w)(?:[A-Z][A-Z_]{2,30}\([\s\d.,;:%-]{0,80}\)|(?:STYLE|TE|SDXL|IMASK|MASKW|ATTN)\([^()\n]{0,40}\))"
)
_COUPLE = re.compile(r"(?<!\w)COUPLE(?::[ \t]*[\d.]+)?(?!\w)")
_COMMAND = re.compile(r"\s*/imagine\b(?:\s+prompt\b)?\s*:?", re.IGNORECASE)
_LINK = re.compile(r"(?<!\w)(?:https?://|www\.)[^\s,<>()]+", re.IGNORECASE)
_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)"
# Weights in steps, as Compel writes them: "(red hat)++", "fog--".
_STEPS = re.compile(r"(?:(?<=\w)(?:\+{2,5}|-{2,5})|(?<=\))(?:\+{1,5}|-{1,5}))(?=[\s,.;:)]|$)")
_AND = re.compile(rf"(?:(?<=\S)[ \t]*:[ \t]*{_NUMBER}\s+)?(?<!\w)AND(?!\w)(?:[ \t]*:[ \t]*{_NUMBER})?")
_LAST_WEIGHT = re.compile(rf":[ \t]*{_NUMBER}\s*")
# Midjourney's parameters: what may follow the name of each. Telephones make one dash of the two.
_PARAMETER = re.compile(r"(?<!\S)(?:--|[—–])([A-Za-z]{1,16})(?![\w-])")
_VALUE = re.compile(r"[ \t]+(?!--|[—–])([^\s,]+)")
_NUMERIC = re.compile(r"[-+]?[\d.]+(?:[:x/][\d.]+)?")
_VALUES = {
    "number": "ar aspect bs c chaos cfg cw exp height h iw motion niji ow q quality r repeat s seed steps stop stylize "
    "sv sw v version w weird width",
    "word": "model profile sampler style",
    "codes": "cref oref p personalize sref",
    "none": "creative draft fast hd loop public raw relax stealth test testp tile turbo upanime upbeta uplight video",
    "absent": "no",
}
_PARAMETERS = {name: value for value, names in _VALUES.items() for name in names.split()}
# Not in front of "(" either: "std::vector" stays one word when the weight of "vector" is raised.
_PART_WEIGHT = re.compile(rf"::[ \t]*({_NUMBER})?(?![\w:(])")
# NovelAI's weights stand in front: "1.3::black cat::", "-1::fog::".
_FRONT_WEIGHT = re.compile(rf"(?<![^\s,|{{}}\[\]])({_NUMBER})::(?=[^\s\d:])")

_SPECIAL = re.compile(r"[()\\<{|}—–+]|embedding:|__|BREAK|AND|ADD|COUPLE|--|::|/imagine|://|[wW]{3}\.")
SEPARATORS = frozenset({"lora", "embedding", "wildcard", "break", "and", "parameter", "link", "absent"})
"""Kinds of spans that part what stands on both sides of them."""


@dataclass(frozen=True)
class Span:
    """A stretch of a prompt, ``prompt[start:end]``, that is of one kind and has one effective weight.

    ``kind`` is one of ``text``, ``open`` and ``close`` (the parentheses of a weight group; ``close`` holds its ``:1.3``
    as well), ``escape`` (the backslash of ``\\(``), ``lora``, ``embedding``, ``wildcard``, ``break`` (also the region
    of another program: ``AREA(0 0.5, 0 1)``), ``and``, ``step`` (``++``), ``choice`` (a ``{``, ``|`` or ``}``),
    ``parameter`` (``--ar 16:9``, ``::2``), ``absent`` (what follows ``--no``, or has a ``::`` weight below 0: it must
    not be in the picture), ``link``. ``weight`` is what the host gives to a token
    there.
    """

    start: int
    end: int
    kind: str
    weight: float


@dataclass(frozen=True)
class Segment:
    """A stretch ``prompt[start:end]`` that the host hands to the tokenizer in one piece, with its weight.

    ``group`` is the index of the innermost :class:`Group` around it, ``None`` at the top level.
    """

    start: int
    end: int
    weight: float
    group: int | None


@dataclass(frozen=True)
class Group:
    """One weight group: ``prompt[start]`` is its ``(``, ``prompt[end - 1]`` its ``)``.

    ``content_end`` is where what it weights ends: at the ``:`` of its number if ``explicit``, else at the ``)``.
    """

    start: int
    content_end: int
    end: int
    weight: float
    explicit: bool
    parent: int | None


@dataclass(frozen=True)
class Reading:
    """How the host reads a prompt: the segments it tokenizes, in order, and the groups that gave them weights."""

    segments: tuple[Segment, ...]
    groups: tuple[Group, ...]


def read(prompt: str) -> Reading:
    """Return the segments and groups of ``prompt`` by the host's rules (``token_weights``), unbalanced too."""
    marks = [(m.start(), m.group()) for m in _PAREN.finditer(prompt) if len(m.group()) == 1]
    positions = [position for position, _ in marks]
    kinds = dict(marks)
    segments: list[Segment] = []
    groups: list[Group] = []
    # Stretches still to be read, the next one last; a depth of None marks one that is not split further.
    stack: list[tuple[int, int, float, int | None, int | None]] = [(0, len(prompt), 1.0, None, 0)]
    while stack:
        start, end, weight, parent, depth = stack.pop()
        if depth is None:
            segments.append(Segment(start, end, weight, parent))
            continue
        pending: list[tuple[int, int, float, int | None, int | None]] = []
        inside = marks[bisect_left(positions, start) : bisect_left(positions, end)]
        for lo, hi in _items(inside, start, end):
            if hi - lo >= 2 and kinds.get(lo) == "(" and kinds.get(hi - 1) == ")" and depth < MAX_DEPTH:
                content_end, inner, explicit = _weight_of(prompt, lo, hi, weight)
                groups.append(Group(lo, content_end, hi, inner, explicit, parent))
                pending.append((lo + 1, content_end, inner, len(groups) - 1, depth + 1))
            else:
                pending.append((lo, hi, weight, parent, None))
        stack.extend(reversed(pending))
    return Reading(tuple(segments), tuple(groups))


def read_weights(prompt: str) -> list[tuple[str, float]]:
    """Return ``(text, weight)`` pairs, the very list the host's ``token_weights`` makes of ``prompt`` (unescaped)."""
    pairs = []
    for segment in read(prompt).segments:
        text = prompt[segment.start : segment.end].replace("\\)", ")").replace("\\(", "(")
        pairs.append((text.replace("\0\1", ")").replace("\0\2", "("), segment.weight))
    return pairs


def spans(prompt: str) -> list[Span]:
    """Return the spans of ``prompt`` in order; they cover it without gap or overlap (an empty prompt has none)."""
    if not _SPECIAL.search(prompt):
        return [Span(0, len(prompt), "text", 1.0)] if prompt else []
    kinds = ["text"] * len(prompt)
    runs = [0] * len(prompt)  # neighbours of one kind stay apart when they come from different matches
    weights = [1.0] * len(prompt)
    reading = read(prompt)
    number = 0

    def mark(start: int, end: int, kind: str) -> None:
        nonlocal number
        number += 1
        for position in range(start, end):
            if kinds[position] in ("text", "escape"):
                kinds[position], runs[position] = kind, number

    for index, segment in enumerate(reading.segments):
        for position in range(segment.start, segment.end):
            weights[position], runs[position] = segment.weight, -index - 1
    for pattern in (_CALL, _COUPLE):
        for match in pattern.finditer(prompt):
            mark(*match.span(), "break")
    for group in reading.groups:
        mark(group.start, group.start + 1, "open")
        mark(group.content_end, group.end, "close")
        for position in (group.start, *range(group.content_end, group.end)):
            weights[position] = group.weight
    for match in _PAREN.finditer(prompt):
        if len(match.group()) == 2:
            mark(match.start(), match.start() + 1, "escape")
    for match in _LORA.finditer(prompt):
        mark(*match.span(), "lora")
    for match in _EMBEDDING.finditer(prompt):
        end = match.start() + len(match.group().rstrip(","))
        stop = next((p for p in range(match.start(), end) if kinds[p] not in ("text", "escape")), end)
        mark(match.start(), stop, "embedding")
    for match in _WILDCARD.finditer(prompt):
        mark(*match.span(), "wildcard")
    for match in _BREAK.finditer(prompt):
        mark(*match.span(), "break")
    for start, end in _ands(prompt):
        mark(start, end, "and")
    stepped = any(sign in prompt for sign in ("++", ")+", ")-"))  # else two dashes are a dash
    for match in _STEPS.finditer(prompt) if stepped else ():
        mark(*match.span(), "step")
    for match in _LINK.finditer(prompt):
        mark(match.start(), match.start() + len(match.group().rstrip(".;:!?'\"")), "link")
    command = _COMMAND.match(prompt)
    if command is not None:
        mark(command.start(), command.end(), "parameter")
    for start, end, kind in _parameters(prompt):
        mark(start, end, kind)
    for position in _choices(prompt, kinds):
        mark(position, position + 1, "choice")

    found: list[Span] = []
    start = 0
    for position in range(1, len(prompt) + 1):
        if position == len(prompt) or runs[position] != runs[start] or kinds[position] != kinds[start]:
            found.append(Span(start, position, kinds[start], weights[start]))
            start = position
    return found


def open_parentheses(prompt: str, start: int, end: int) -> int:
    """How many more parentheses open than close in ``prompt[start:end]``, escaped ones not counted."""
    marks = _PAREN.findall(prompt, start, end)
    return marks.count("(") - marks.count(")")


def plain_text(prompt: str) -> str:
    """Return ``prompt`` with its markup blanked out, **the same length**: an offset in it is an offset in the prompt.

    Every character of markup becomes a blank, and so does what must not be in the picture (``--no text``); what
    separates phrases (LoRA tags, embeddings, wildcards, ``BREAK``, ``AND``, parameters, addresses, the ``|`` of a
    choice) becomes one comma and blanks. All other characters stay what and where they are.
    """
    pieces = []
    for span in spans(prompt):
        length = span.end - span.start
        if span.kind == "text":
            pieces.append(prompt[span.start : span.end])
        elif span.kind in SEPARATORS or prompt[span.start : span.end] == "|":
            pieces.append("," + " " * (length - 1))
        else:
            pieces.append(" " * length)
    return "".join(pieces)


def strip_markup(prompt: str) -> str:
    """Return the words of ``prompt`` as a text encoder without weights should read them, blanks and commas tidied."""
    pieces = []
    for span in spans(prompt):
        if span.kind == "text":
            pieces.append(prompt[span.start : span.end])
        elif span.kind in SEPARATORS or prompt[span.start : span.end] == "|":
            pieces.append(" , ")
        elif span.kind != "escape":
            pieces.append(" ")
    text = " ".join("".join(pieces).split())
    text = re.sub(r"(?: ?,)+(?= ?,)", "", text)  # a run of commas is one
    text = re.sub(r" (?=[,.;:!?](?: |$))", "", text)
    return text.strip(" ,")


def _items(marks: list[tuple[int, str]], start: int, end: int) -> list[tuple[int, int]]:
    """Cut a stretch at its outer parentheses as the host's ``parse_parentheses`` does, negative levels included."""
    found = []
    level = 0
    for position, mark in marks:
        if mark == "(":
            if level == 0:
                if position > start:
                    found.append((start, position))
                start = position
            level += 1
        else:
            level -= 1
            if level == 0:
                found.append((start, position + 1))
                start = position + 1
    if end > start:
        found.append((start, end))
    return found


def _weight_of(prompt: str, start: int, end: int, outer: float) -> tuple[int, float, bool]:
    """Return where the content of the group ``prompt[start:end]`` ends, its weight, and whether a number sets it."""
    colon = prompt.rfind(":", start + 1, end - 1)
    if colon > start + 1:
        try:
            return colon, float(prompt[colon + 1 : end - 1]), True
        except ValueError:
            pass  # the host takes the colon for text, too
    return end - 1, outer * 1.1, False


def _ands(prompt: str) -> list[tuple[int, int]]:
    """Return the ranges of the ``AND`` operators with their weights; in a prompt that shouts, AND is a word."""
    found = [m.span() for m in _AND.finditer(prompt) if not _shouted(prompt, m)]
    if found:
        # Composable prompts weight the last part at the very end: "a cat :1.2 AND a dog :0.8".
        # Looked for at the last colon alone, not at every blank: there may be very many.
        colon = prompt.rfind(":", found[-1][1])
        if colon >= 0 and _LAST_WEIGHT.fullmatch(prompt, colon):
            start = len(prompt[:colon].rstrip(" \t"))
            if start > found[-1][1]:
                found.append((start, len(prompt)))
    return found


def _parameters(prompt: str) -> list[tuple[int, int, str]]:
    """Return (start, end, kind) of Midjourney's parameters and part weights, and of what they keep out of the picture.

    A name that is not known is a parameter if a number, another parameter or nothing follows; else the two dashes are
    dashes.
    """
    found: list[tuple[int, int, str]] = []
    starts = [(m.start(), m.end(), m[1].lower()) for m in _PARAMETER.finditer(prompt)]
    for index, (start, end, name) in enumerate(starts):
        following = starts[index + 1][0] if index + 1 < len(starts) else len(prompt)
        value = _PARAMETERS.get(name)
        if value == "absent":
            line = prompt.find("\n", end, following)
            found += [(start, end, "parameter"), (end, line if line >= 0 else following, "absent")]
            continue
        match = _VALUE.match(prompt, end, following)
        if value is None:
            if match is None and prompt[end:following].strip():
                continue
            if match is not None and not _NUMERIC.fullmatch(match[1]):
                continue
        if match is not None and value != "none" and (value in ("word", "codes") or _NUMERIC.fullmatch(match[1])):
            end = match.end()
            while value == "codes" and (match := _VALUE.match(prompt, end, following)) is not None:
                if not any(character.isdigit() for character in match[1]):
                    break
                end = match.end()
        found.append((start, end, "parameter"))
    for front in _FRONT_WEIGHT.finditer(prompt):
        found.append((*front.span(), "parameter"))
        if float(front[1]) < 0:
            closing = prompt.find("::", front.end())
            found.append((front.end(), closing if closing >= 0 else len(prompt), "absent"))
    before = 0
    for weight in _PART_WEIGHT.finditer(prompt):
        if weight[1] is not None and float(weight[1]) < 0:
            found.append((before, weight.start(), "absent"))
        found.append((*weight.span(), "parameter"))
        before = weight.end()
    return found


def _shouted(prompt: str, match: re.Match[str]) -> bool:
    before = re.search(r"(\w+)\W*$", prompt[max(0, match.start() - 80) : match.start()])
    after = re.match(r"\W*(\w+)", prompt[match.end() : match.end() + 80])
    return all(m is not None and len(m[1]) > 1 and m[1].isupper() and m[1] != "BREAK" for m in (before, after))


def _choices(prompt: str, kinds: list[str]) -> list[int]:
    """Return the positions of the braces that balance and of the bars between them."""
    found: list[int] = []
    opened: list[int] = []
    bars: list[list[int]] = []
    for match in re.finditer(r"[{|}]", prompt):
        position = match.start()
        if kinds[position] != "text" or (position and prompt[position - 1] == "\\"):
            continue
        if match.group() == "{":
            opened.append(position)
            bars.append([])
        elif opened and match.group() == "|":
            bars[-1].append(position)
        elif opened:
            found += [opened.pop(), *bars.pop(), position]
    return sorted(found)
