"""A prompt cut into its parts, each told for what it is: prose, a tag, a style, another language, something unwanted.

People write prompts in many manners, and mix them: sentences, tags ("1girl, long_hair"), weight groups side by side,
headings and JSON, one part in one language and the next in another. Here the prompt is cut where one part ends, by what
stands in the text alone; the grammar of a part is the business of `syntax`. Offsets stay those of the prompt.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Literal

from .gear import is_gear
from .headings import bracketed_headings, element_marks, headings, is_place, kind_of_heading, place_marks, tells_manner
from .languages import foreign_pieces, other_scripts
from .markup import SEPARATORS, Group, read, spans
from .syntax.lexicon import common_words, style_lexicon, word_lists
from .syntax.tokens import WALL_MARK
from .tags import COUNTED, NAMESPACE, counted_noun, is_short, is_style_tag, is_tag, names_thing

Kind = Literal["prose", "tag", "thing", "style", "absent", "foreign"]
PROSE: tuple[Kind, str] = ("prose", "")

# Where comma-parts end. A full stop ends one before a blank alone: "f/1.8", "h. r. giger" matter to nobody here.
_PIECE = re.compile(
    rf"[^,;!?\n\r|•…，。、；！？．｡､{WALL_MARK}]+?(?=[.:]\s|[.:]$|[,;!?\n\r|•…，。、；！？．｡､{WALL_MARK}]|$)"
)
_QUALIFIED = re.compile(  # bat_(animal), saber_\(fate\), bow (weapon)
    r"(?:(?<=[^\W_])|(?<=\d\)))_+\\?\((?![^()\n]*:[\d.]+\))[^()\n]{1,40}\)"
    r"|(?<=\w) \((?:weapon|object|animal|series|medium|character|food|flower)\)"
)
_QUOTES = tuple("\"'“”‘’„«»`´")
_QUALIFIER = re.compile(r"(?<=[\w\s])\(([^()\n]{1,40})\)")
_THE = re.compile(r"_the_")
_STRING = r'"(?:\\.|[^"\\])*"'
_JSON = re.compile(rf"(?P<string>{_STRING})|(?P<mark>[{{}}\[\]:,])|(?P<literal>[^\s\"{{}}\[\]:,]+)", re.DOTALL)
_JSON_START = re.compile(
    rf"\s*(?:```(?:json)?\s*)?(?:[{{\[]\s*(?:[{{\[]\s*)*{_STRING}\s*:|{_STRING}\s*:\s*[\"\[{{])", re.DOTALL
)
_QUOTED_VALUE = re.compile(r"""\s*(?:["“„«][^"“”„«»\n]{1,200}["”“»]|['‘][^'‘’\n]{1,200}['’](?!\w))""")
_MARK_OF_LIST = re.compile(r"^[ \t]*(?:\d{1,2}[.)]|[-*•–>]+|#+)[ \t]+", re.MULTILINE)
_INLINE_MARK = re.compile(
    r"(?<![^\s(])(?:#|\(?(?=[\dA-Ha-h]\)|[\dA-H]\.))([\dA-Ha-h])[).]?(?=\s)"
)  # A) … B) …, #1 … #2 …
_OPTION_COUNT = re.compile(r"(?<=\{)[\d.-]+\$\$(?:[^{}|$]{0,8}\$\$)?")  # {2$$a|b|c} of wildcard processors
_SCHEDULE = re.compile(r":[ \t]*\d*\.?\d+[ \t]*(?=\])")  # [cat:dog:0.5]
_MANNER = re.compile(  # "ghost of tsushima style", but not "a man with a hat in retro style"
    r"\s*(?:(?!(?:an?|the|with|wearing|his|her|its)\b)[\w'’.-]+[ \t]+){1,5}(?:style|aesthetics?)\s*", re.IGNORECASE
)
_OPEN = re.compile(r"\ban?(?:[ \t]+[\w-]+)?\s*$", re.IGNORECASE)  # "in a soft, dreamy style" goes on
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


@dataclass(frozen=True)
class Part:
    """A stretch ``prompt[start:end]`` of one kind; ``language`` names that of a foreign one."""

    start: int
    end: int
    kind: Kind
    language: str = ""


@dataclass(frozen=True)
class GroupEdges:
    """A weight group around ``prompt[start:end]``, and where walls may have to stand if it is a thing of its own."""

    start: int
    end: int
    walls: frozenset[int]


@dataclass(frozen=True)
class Outline:
    """A prompt as the parser reads it.

    ``text``: the prompt without markup, headings and foreign parts, of the same length, with a wall (``WALL_MARK``)
    where nothing may reach across. ``parts``: what is no prose, from left to right, without overlap. ``regions``:
    where another region of the picture begins (behind ``BREAK``, ``AND``, …). ``groups``: weight groups that may be
    things of their own, which only their grammar can tell; `outline` puts walls around them if asked to.
    """

    text: str
    parts: tuple[Part, ...]
    regions: tuple[int, ...]
    groups: tuple[GroupEdges, ...] = ()

    def kinds(self, positions: Iterable[int]) -> Iterator[Kind]:
        """The kinds of the parts that places lie in; the places in rising order."""
        index = 0
        for position in positions:
            while index < len(self.parts) and self.parts[index].end <= position:
                index += 1
            inside = index < len(self.parts) and self.parts[index].start <= position
            yield self.parts[index].kind if inside else "prose"


def outline(prompt: str, walls: Iterable[int] = ()) -> Outline:
    """Cut a prompt into its parts; any string has some, none is refused.

    walls: edges of `Outline.groups`, from an earlier reading, that part what stands on both sides of them.
    """
    draft = _Draft(prompt)
    draft.blank_markup()
    if _JSON_START.match(prompt):
        draft.read_json()
    else:
        draft.read_labels()
    draft.find_groups()
    for position in walls:
        draft.text[position] = WALL_MARK
    draft.part_languages()
    draft.part_tags()
    draft.part_gear()
    return draft.outline()


class _Draft:
    """The text while it is worked on, character by character, and the parts found so far."""

    def __init__(self, prompt: str) -> None:
        self.prompt = prompt
        self.text = list(prompt)
        self.kinds: list[tuple[Kind, str]] = [PROSE] * len(prompt)
        self.regions: list[int] = []
        self.groups: list[GroupEdges] = []

    def outline(self) -> Outline:
        """What came of it."""
        parts = []
        start = 0
        for kind, run in groupby(self.kinds):
            end = start + len(list(run))
            if kind != PROSE:
                parts.append(Part(start, end, *kind))
            start = end
        return Outline("".join(self.text), tuple(parts), tuple(self.regions), tuple(self.groups))

    def tell(self, start: int, end: int, kind: Kind, language: str = "") -> None:
        """Say what a stretch is, unless it is known already."""
        if all(known == PROSE for known in self.kinds[start:end]):
            self.kinds[start:end] = [(kind, language)] * (end - start)

    def blank(self, start: int, end: int, wall: bool = False) -> None:
        """Take a stretch out; with a wall in its place if something ends there."""
        self.text[start:end] = " " * (end - start)
        if wall and end > start:
            self.text[start] = WALL_MARK

    # Markup ---------------------------------------------------------------------------------------------------------

    def blank_markup(self) -> None:
        """Take the markup out, with walls at what parts the text."""
        found = [span for span in spans(self.prompt) if span.kind != "text"]
        parted = list(self.prompt)
        for span in found:
            if span.kind in SEPARATORS and span.kind != "absent":
                parted[span.start : span.end] = WALL_MARK * (span.end - span.start)
        for span in found:
            if span.kind == "absent":
                self.tell(span.start, span.end, "absent")
                continue
            bar = self.prompt[span.start : span.end] == "|"
            self.blank(span.start, span.end, span.kind in SEPARATORS or bar)
            if span.kind in ("break", "and"):
                self.regions.append(span.end)
        marked = "".join(parted)
        for start, end in place_marks(marked):
            self.blank(start, end, wall=True)
            self.regions.append(end)
            quoted = _QUOTED_VALUE.match(self.prompt, end)
            if quoted is not None and not quoted.group().isupper():
                self._open_quotes(quoted)
        self.regions.sort()
        for heading in bracketed_headings(marked):
            self.blank(heading.start, heading.end, wall=True)
            self._value(heading.end, heading.stop, heading.kind)
        for start, end in element_marks(marked):
            self.blank(start, end, wall=True)
        for pattern in (_OPTION_COUNT, _SCHEDULE, _QUALIFIED):
            for match in pattern.finditer(self.prompt):
                self.blank(*match.span())
        for group in sorted(read(self.prompt).groups, key=lambda group: group.start - group.end):
            self._close_up(group)

    def find_groups(self) -> None:
        """Weight groups that may be things of their own: "(red hat:1.2) (blue eyes)", not "a (red) hat"."""
        groups = [group for group in read(self.prompt).groups if group.content_end - group.start > 1]
        for group in sorted(groups, key=lambda group: group.start):
            walls: set[int] = set()
            before, after = self._word_before(group.start), self._word_after(group.end)
            last = self._word_before(group.content_end)
            if before and not _expects_more(before) and not _opens_little(self._word_after(group.start + 1)):
                walls = {group.start, group.end - 1}  # an aside: what follows goes on with what stands in front of it
            alone = len(self.prompt[group.start + 1 : group.content_end][:80].split()) == 1
            described = alone and before and (before in ("a", "an", "the") or _only_describes(before))
            if after and _may_end(last) and not _goes_on(after) and not described:
                walls.add(group.end - 1)
            self.groups.append(GroupEdges(group.start, group.content_end, frozenset(walls)))

    def _close_up(self, group: Group) -> None:
        """Move quotation marks and underscores around a weight group to its words: brackets do not part these."""
        text, start, end, close = self.text, group.start, group.end, group.content_end
        front, behind = text[start - 1] if start else "", text[end] if end < len(text) else ""
        if text[start] == " " and front == "_":
            text[start] = "_"
        elif text[start] == " " and front in _QUOTES and not (start > 1 and text[start - 2].isalnum()):
            text[start - 1], text[start] = " ", front
        if text[close] == " " and behind == "_":
            text[close:end] = "_" * (end - close)
        elif text[close] == " " and behind in _QUOTES and not (end + 1 < len(text) and text[end + 1].isalnum()):
            text[close], text[end] = behind, " "

    def _word_before(self, position: int) -> str:
        """The word that ends in front of a place, in lower case; "" if something else than blanks is between."""
        found = re.search(r"([\w'’-]+)[ \t]*$", "".join(self.text[max(0, position - 80) : position]))
        return found[1].lower() if found else ""

    def _word_after(self, position: int) -> str:
        found = re.match(r"[ \t]*([\w'’-]+)", "".join(self.text[position : position + 80]))
        return found[1].lower() if found else ""

    # Headings -------------------------------------------------------------------------------------------------------

    def read_json(self) -> None:
        """Take keys, brackets and settings of a JSON prompt out; what stands behind a key is of the key's kind."""
        outer: list[str] = ["prose"]
        kind, key = "prose", ""
        tokens = list(_JSON.finditer(self.prompt))
        for index, match in enumerate(tokens):
            start, end = match.span()
            if match.lastgroup == "mark":
                if match[0] in "{[":
                    outer.append(kind)
                elif match[0] in "}]" and len(outer) > 1:
                    kind = outer.pop()
                self.blank(start, end, wall=True)
                continue
            following = tokens[index + 1][0] if index + 1 < len(tokens) else ""
            if match.lastgroup == "string" and following == ":":
                key = match[0][1:-1]
                kind = kind_of_heading(key)
                kind = outer[-1] if kind == "prose" else kind
                self.blank(start, end, wall=True)
            elif match.lastgroup == "string":
                self.text[start] = self.text[end - 1] = WALL_MARK
                single = kind == "prose" and tells_manner(key, self.prompt[start + 1 : end - 1])
                self._value(start + 1, end - 1, "style" if single else kind)
            else:
                self.blank(start, end)

    def read_labels(self) -> None:
        """Take headings ("Subject: …") and the marks of lists out; what stands behind one is of the heading's kind."""
        text = "".join(self.text)
        for heading in headings(text):
            if heading.described:
                self._keep_name(heading.start, heading.end)
                continue
            self.blank(heading.start, heading.end, wall=True)
            quoted = _QUOTED_VALUE.match(text, heading.end, heading.stop)
            if quoted is not None and not heading.letters:
                self._open_quotes(quoted)
                self._value(heading.end, heading.stop, heading.kind)
            elif quoted is not None:
                self.tell(*quoted.span(), "style")  # text to be shown, on nothing that is named here
                self.blank(quoted.end(), quoted.end() + 1, wall=True)
            else:
                self._value(heading.end, heading.stop, heading.kind)
        for match in _MARK_OF_LIST.finditer(text):
            self.blank(*match.span())
        inline = list(_INLINE_MARK.finditer(self.prompt))
        if [match[1].upper() for match in inline[:2]] in (["1", "2"], ["A", "B"]):
            for match in inline:
                self.blank(*match.span(), wall=True)

    def _open_quotes(self, quoted: re.Match[str]) -> None:
        """Walls instead of quotation marks: as in JSON they are around a value, not around text to be shown."""
        self.text[quoted.end() - len(quoted.group().lstrip())] = self.text[quoted.end() - 1] = WALL_MARK

    def _keep_name(self, start: int, end: int) -> None:
        """Leave the words of a heading, without its marks."""
        for position in range(start, end):
            if not self.text[position].isalnum():
                self.text[position] = " "

    def _value(self, start: int, end: int, kind: str) -> None:
        if kind == "ignored" or is_place(self.prompt[start:end].strip(" \t\n,.;")):
            self.blank(start, end, wall=True)
        elif kind == "style":
            self.tell(start, end, "style")
        elif kind == "absent":
            self.tell(start, end, "absent")

    # Languages and tags ---------------------------------------------------------------------------------------------

    def part_languages(self) -> None:
        """Take what is not English out of the text."""
        text = "".join(self.text)
        pieces = _pieces(text)
        found = other_scripts(text)
        for (start, end), language in zip(
            pieces, foreign_pieces([text[start:end] for start, end in pieces]), strict=True
        ):
            if language is not None:
                first = next(i for i in range(start, end) if not text[i].isspace())
                found.append((first, start + len(text[start:end].rstrip()), language))
        for start, end, language in found:
            self.tell(start, end, "foreign", language)
            self.blank(start, end, wall=True)

    def part_tags(self) -> None:
        """Walls around tags, and the tags as parts: underscores, counted things, and what stands among them."""
        text = "".join(self.text)
        pieces = _pieces(text)
        signs = [is_tag(text[start:end]) for start, end in pieces]
        if not any(signs):
            return
        listed = sum(signs) > 1 or len(pieces) > 2
        for (start, end), sign in zip(pieces, signs, strict=True):
            piece = text[start:end]
            if not sign and not (listed and is_short(piece)):
                continue
            self._wall(start, -1)
            self._wall(end, 1)
            counted = [match.start() for match in COUNTED.finditer(piece) if counted_noun(match.group())]
            for before, after in pairwise(counted):
                gap = piece[before:after].rstrip(" \t")
                if len(gap.split()) == 1 and len(gap) < after - before:
                    self.text[start + after - 1] = WALL_MARK  # "1girl 1boy"
            if not re.search(r"[^\W\d_]{2}", piece) and not COUNTED.search(piece):
                self.blank(start, end)  # ":3", "^_^", "x_x"
                continue
            if is_style_tag(piece) or is_style_tag(self.prompt[start:end]):
                self.tell(start, end, "style")
            if match := NAMESPACE.match(piece):
                self.blank(start, start + match.end())
            for match in _THE.finditer(piece):
                self.blank(start + match.start(), start + match.end())  # part of a name: "ranni_the_witch"
            for match in _QUALIFIER.finditer(piece):
                self.blank(start + match.start(), start + match.end())
            self.tell(start, end, "thing" if names_thing(self.prompt[start:end], piece) else "tag")

    def part_gear(self) -> None:
        """What a picture is taken with is style, and so is "… style" as a part of its own behind others."""
        text, before = "".join(self.text), ""
        for start, end in _pieces(text):
            manner = before and not _OPEN.search(before) and _MANNER.fullmatch(text, start, end)
            if manner or is_gear(text[start:end]):
                self.tell(start, end, "style")
            before = text[start:end]

    def _wall(self, position: int, step: int) -> None:
        """Make the comma beside a piece a wall."""
        position += -1 if step < 0 else 0
        while 0 <= position < len(self.text) and self.text[position] in " \t":
            position += step
        if 0 <= position < len(self.text) and self.text[position] in ",;":
            self.text[position] = WALL_MARK


def _pieces(text: str) -> list[tuple[int, int]]:
    """(start, end) of the comma-parts that say something."""
    return [match.span() for match in _PIECE.finditer(text) if match.group().strip()]


# Words around weight groups.


def _classes(word: str) -> list[str]:
    return common_words().get(word, "").split("|")


def _expects_more(word: str) -> bool:
    """Whether what stands behind the word belongs to it: "a (red) hat", "wearing (a hat)", "very (old)"."""
    lists = word_lists()
    if word in lists["small"] or word in lists["be"] or word in lists["negation"] or word in lists["conjunctions"]:
        return True
    if word in lists["transitive"] or word in lists["transparent-verbs"] or word in lists["place-prepositions"]:
        return True
    return word in lists["colors"] or _only_describes(word)


def _only_describes(word: str) -> bool:
    """Whether the lexicon has the word, and not as a noun."""
    classes = _classes(word)
    return classes != [""] and not any(name.startswith("NN") for name in classes)


def _opens_little(word: str) -> bool:
    """Whether a group that starts so goes on with what stands in front: "a man (with a hat)"."""
    return word in word_lists()["small"] - {"a", "an", "the"} or word in word_lists()["conjunctions"]


def _may_end(word: str) -> bool:
    """Whether the word ends a thing: no adjective, no material, no preposition."""
    if not word or _expects_more(word):
        return False
    classes = _classes(word)
    describes = "JJ" in classes or word in word_lists()["materials"] | word_lists()["fabrics"]
    lexicon = style_lexicon()
    return not describes or word in lexicon.words or word in lexicon.heads or word in lexicon.media


def _goes_on(word: str) -> bool:
    """Whether the word goes on with what stands in front of it: "(a bear) catching (a salmon) in a river"."""
    lists = word_lists()
    if word in lists["small"] - {"a", "an", "the"} or word in lists["conjunctions"] or word in lists["be"]:
        return True
    if word in lists["place-prepositions"] or word in lists["pronouns"] or word in lists["posture"]:
        return True
    if word in lists["transparent-verbs"] or (word.endswith("ing") and word not in lists["noun-ing"]):
        return True
    classes = _classes(word)
    return classes != [""] and all(name.startswith(("VB", "IN", "RP", "MD", "W")) for name in classes)
