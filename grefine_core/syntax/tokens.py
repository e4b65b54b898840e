"""Words of a prompt with their offsets.

Prompts are typed in a hurry: "8 k", "1 9 7 9", "h. r. giger", "fox's", "blue_hair", "good - looking". Nothing is
rewritten here, so that every offset stays true; what belongs together becomes one token instead.
"""

from __future__ import annotations

import re

# Kinds of tokens.
WORD = "word"
COMMA = "comma"  # a weak break: the fragments on both sides belong to one sentence
STOP = "stop"  # a strong break
HYPHEN = "hyphen"  # joins words within one phrase
AND = "and"  # "&" and "+"

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
  | (?P<stop>[.!?;|\n\r…•]+)
  | (?P<comma>[,:()\[\]{{}}<>~=*^@\#$%\\]+|[–—]|--+)
  | (?P<hyphen>[-/]+)
  | (?P<and>[&+])
  | (?P<quiet>[^\S\r\n]+|[_"“”„«»`´'‘’]+)                            # neither a line's end nor a clitic behind blanks
  | (?P<other>.)
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_QUOTED = re.compile(r"""(?<!\w)(["“„«]|['‘`])(\w[^"“”„«»\n]{0,59}?)(["”“»]|['’])(?!\w)""")
_QUOTED_WORDS = 6
_NEGATED = re.compile(r"(?i)^(do|does|did|ca|could|wo|would|should|is|are|was|were|has|have|had)n$")


class Token:
    """One token; `tag` is filled in by the tagger, everything else by `tokenize`."""

    __slots__ = ("kind", "lower", "quoted", "start", "tag", "text")

    def __init__(self, text: str, start: int, kind: str, quoted: bool = False) -> None:
        self.text = text
        self.start = start
        self.kind = kind
        self.lower = text.lower().replace("’", "'")
        self.tag = ""
        self.quoted = quoted  # between quotation marks: a title, or text in the picture

    @property
    def end(self) -> int:
        """Offset just behind the token."""
        return self.start + len(self.text)

    def __repr__(self) -> str:
        return f"{self.text}/{self.tag or self.kind}"


def tokenize(text: str) -> list[Token]:
    """Tokens of `text` in order; `text[token.start : token.end] == token.text` for every one of them."""
    tokens: list[Token] = []
    quotes = _quotes(text)[::-1]  # the next one last
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        found, start = match.group(), match.start()
        if kind == "quiet":
            continue
        while quotes and quotes[-1][1] <= start:
            quotes.pop()
        if quotes and quotes[-1][0] <= start:
            if kind == "word":
                tokens.append(Token(found, start, WORD, quoted=True))
                continue
            if kind in ("stop", "comma", "hyphen", "clitic"):
                continue  # "'Hello, world.' written on it" is one phrase
        if kind in ("apart", "initial"):
            tokens.append(Token(found, start, WORD))
        elif kind == "word":
            tokens.extend(_split_word(found, start))
        elif kind == "clitic":
            tokens.append(Token(found, start, WORD))
        elif kind == "stop":
            tokens.append(Token(found, start, STOP))
        elif kind == "hyphen":
            spaced = start > 0 and text[start - 1].isspace()
            tokens.append(Token(found, start, HYPHEN if spaced or found == "/" or found == "-" else COMMA))
        elif kind == "and":
            tokens.append(Token(found, start, AND))
        else:  # commas, and anything else that is not a word (emoji, symbols): a weak break
            tokens.append(Token(found, start, COMMA))
    return tokens


def _quotes(text: str) -> list[tuple[int, int]]:
    """Spans between quotation marks, of a few words each; a prompt in quotation marks is just a prompt."""
    opening = len(text) - len(text.lstrip(" \"'`“”‘’«»„"))  # where the first word starts
    spans = [match.span(2) for match in _QUOTED.finditer(text)]
    return [(start, end) for start, end in spans if start > opening and len(text[start:end].split()) <= _QUOTED_WORDS]


def _split_word(found: str, start: int) -> list[Token]:
    """ "don't" is two words to the tagger, as in the treebank."""
    lower = found.lower()
    if lower.endswith(("n't", "n’t")) and _NEGATED.match(lower[:-2]):
        return [Token(found[:-3], start, WORD), Token(found[-3:], start + len(found) - 3, WORD)]
    return [Token(found, start, WORD)]
