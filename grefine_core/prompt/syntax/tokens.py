"""Words of a prompt with their offsets.

Prompts are typed in a hurry: "8 k", "1 9 7 9", "h. r. giger", "fox's", "blue_hair", "good - looking". Nothing is
rewritten here, so that every offset stays true; what belongs together becomes one token instead. NLTK's tokenizers read
sentences: `NLTKWordTokenizer` and `TreebankWordTokenizer` give other tokens for 13 of the 170 annotated prompts ("8 k",
"h. r. giger", titles in quotation marks), and with its `RegexpTokenizer` it is lost which kind of token was found.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

# Kinds of tokens.
WORD = "word"
COMMA = "comma"  # a weak break: the fragments on both sides belong to one sentence
STOP = "stop"  # a strong break
WALL = "wall"  # between tags, weight groups and other parts that are read by themselves: nothing reaches across
HYPHEN = "hyphen"  # joins words within one phrase
AND = "and"  # "&" and "+"
BREAKS = frozenset([COMMA, STOP, WALL])
WALL_MARK = "\x01"  # stands for a wall in a text; a prompt that has it means a wall, too

_NUMBER_UNITS = "k|d|mm|s|cm|m|p|fps|px|th|x"
_ABBREVIATIONS = "dr|mr|mrs|ms|st|jr|sr|prof|mt|vs|no"
_LETTER = r"[^\W_]"
_TOKEN = re.compile(
    rf"""
    (?P<apart>\d(?:[ ]\d)+(?:[ ]?(?:{_NUMBER_UNITS})\b)?(?![^\W_])   # 1 9 7 9, 2 0 5 0 s
       | \d+[ ](?:k|d|mm|s|p|fps)\b(?![ ]*['’])                      # 8 k, 2 d
       | \d+(?:[.,:/]\d+)+(?:{_LETTER}+)?                            # 1.8, 16:9, 1/4
       | [fƒ][ ]?/[ ]?\d+(?:\.[ ]?\d+)?)                                         # f/1.8
  | (?P<initial>(?:[^\W\d_]\.)+[^\W\d_]\.?(?=[\s,;)]|$)              # h.r., d.n.a
       | [^\W\d_]\.(?=[ ]?[^\W\d_])                                  # h. (giger)
       | (?:{_ABBREVIATIONS})\.(?=[ ][^\W\d_]))
  | (?P<clitic>n['’]t\b|['’](?:s|re|ve|ll|m|d)\b)
  | (?P<word>{_LETTER}+(?:['’](?!(?:s|re|ve|ll|m|d)\b){_LETTER}+)*
        (?:-{_LETTER}+(?:['’](?!s\b){_LETTER}+)*)*)
  | (?P<wall>\x01+)
  | (?P<stop>[.!?;|\n\r…•]+)
  | (?P<comma>[,:()\[\]{{}}<>~=*^@\#$%\\]+|[–—]|--+)
  | (?P<hyphen>[-/]+)
  | (?P<and>[&+])
  | (?P<quiet>[^\S\r\n]+|[_"“”„«»`´'‘’]+)                            # neither a line's end nor a clitic behind blanks
  | (?P<other>.)
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_QUOTED = re.compile(r"""(?<!\w)(["“„«]|['‘`])(\w[^"“”„«»\n]{0,89}?)(["”“»]|['’])(?!\w)""")
_QUOTED_WORDS = 10
_NEGATED = re.compile(r"(?i)^(do|does|did|ca|could|wo|would|should|is|are|was|were|has|have|had)n$")


class Token:
    """One token.

    `tag` is filled in by the tagger, `part`, `titled` and `counted` by the parser, `told` and `about` with the roles,
    the rest by `tokenize`.
    """

    __slots__ = ("about", "counted", "kind", "lower", "part", "quoted", "start", "tag", "text", "titled", "told")

    def __init__(self, text: str, start: int, kind: str, quoted: bool = False) -> None:
        self.text = text
        self.start = start
        self.kind = kind
        self.lower = unicodedata.normalize("NFC", text).lower().replace("’", "'")
        self.tag = ""
        self.quoted = quoted  # between quotation marks: a title, or text in the picture
        self.part = "prose"  # kind of the part it stands in, see `grefine_core.prompt.parts`
        self.titled = False  # lettering behind a heading: "text: 'HELLO'"
        self.about = False  # said about the picture as a whole, see `grefine_core.prompt.syntax.about`
        self.told = False  # in a sentence, see `grefine_core.prompt.syntax.clauses`
        self.counted = False  # a number and a thing in one: "2girls"

    @property
    def end(self) -> int:
        """Offset just behind the token."""
        return self.start + len(self.text)

    def __repr__(self) -> str:
        return f"{self.text}/{self.tag or self.kind}"


def tokenize(text: str) -> list[Token]:
    """Tokens of `text` in order; `text[token.start : token.end] == token.text` for every one of them.

    Accents that are characters of their own (as macOS writes them) belong to their letters.
    """
    read, places = _composed(text)
    tokens: list[Token] = []

    def add(start: int, end: int, kind: str, quoted: bool = False) -> None:
        first, behind = (start, end) if places is None else (places[start], places[end])
        tokens.append(Token(text[first:behind], first, kind, quoted))

    quotes = _quotes(read)[::-1]  # the next one last
    for match in _TOKEN.finditer(read):
        kind = match.lastgroup
        found, start, end = match.group(), match.start(), match.end()
        if kind == "quiet":
            continue
        while quotes and quotes[-1][1] <= start:
            quotes.pop()
        if quotes and quotes[-1][0] <= start:
            if kind in ("word", "initial", "apart"):
                add(start, end, WORD, quoted=True)
                continue
            if kind in ("stop", "comma", "hyphen", "clitic", "and"):
                continue  # "'Hello, world.' written on it" is one phrase
        if kind in ("apart", "initial"):
            add(start, end, WORD)
        elif kind == "word":
            if _is_negated(found):
                add(start, end - 3, WORD)
                add(end - 3, end, WORD)
            else:
                add(start, end, WORD)
        elif kind == "clitic":
            add(start, end, WORD)
        elif kind == "stop":
            add(start, end, STOP)
        elif kind == "wall":
            add(start, end, WALL)
        elif kind == "hyphen":
            spaced = start > 0 and read[start - 1].isspace()
            add(start, end, HYPHEN if spaced or found == "/" or found == "-" else COMMA)
        elif kind == "and":
            add(start, end, AND)
        else:  # commas, and anything else that is not a word (emoji, symbols): a weak break
            add(start, end, COMMA)
    return tokens


def mark_lettering(tokens: Sequence[Token], lettering: frozenset[str]) -> None:
    """Take capitals behind `lettering` ("says", "the words") for text to be shown, as if in quotation marks."""
    shown = spoken = False
    for token in tokens:
        capitals = token.kind == WORD and token.text.isupper() and len(token.text) > 1
        capitals = capitals or (spoken and token.kind == WORD and token.text[0].isupper())
        if shown and capitals:
            token.quoted = True
        spoken = token.lower in ("says", "saying", "say", "spells", "spelling") or (spoken and capitals)
        shown = token.lower in lettering or (shown and (capitals or token.kind in (HYPHEN, AND)))


def _composed(text: str) -> tuple[str, list[int] | None]:
    """`text` with its accents joined to their letters, and for every offset in that (its end, too) the one in `text`.

    Marks that join with nothing stand as a letter behind a letter. None where there are no marks: the offsets are the
    same then, and the text is.
    """
    if text.isascii() or not any(map(_is_mark, set(text))):
        return text, None
    pieces, places = [], []
    start = 0
    while start < len(text):
        end = start + 1
        while end < len(text) and _is_mark(text[end]):
            end += 1
        piece = unicodedata.normalize("NFC", text[start:end]) if end > start + 1 else text[start]
        if piece[0].isalpha():
            piece = piece[0] + "a" * (len(piece) - 1)
        pieces.append(piece)
        places += [min(start + index, end - 1) for index in range(len(piece))]
        start = end
    return "".join(pieces), [*places, len(text)]


def _is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] == "M"


def _quotes(text: str) -> list[tuple[int, int]]:
    """Spans between quotation marks, of a few words each; a prompt in quotation marks is just a prompt."""
    opening = len(text) - len(text.lstrip(" \"'`“”‘’«»„"))  # where the first word starts
    spans = [match.span(2) for match in _QUOTED.finditer(text)]
    return [(start, end) for start, end in spans if start > opening and len(text[start:end].split()) <= _QUOTED_WORDS]


def _is_negated(word: str) -> bool:
    """ "don't" is two words to the tagger, as in the treebank."""
    lower = word.lower()
    return lower.endswith(("n't", "n’t")) and _NEGATED.match(lower[:-2]) is not None
