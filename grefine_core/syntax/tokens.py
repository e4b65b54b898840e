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
  | (?P<quiet>[\s_"“”„«»`´'‘’]+)
  | (?P<other>.)
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_NEGATED = re.compile(r"(?i)^(do|does|did|ca|could|wo|would|should|is|are|was|were|has|have|had)n$")


class Token:
    """One token; `tag` is filled in by the tagger, everything else by `tokenize`."""

    __slots__ = ("kind", "lower", "start", "tag", "text")

    def __init__(self, text: str, start: int, kind: str) -> None:
        self.text = text
        self.start = start
        self.kind = kind
        self.lower = text.lower().replace("’", "'")
        self.tag = ""

    @property
    def end(self) -> int:
        """Offset just behind the token."""
        return self.start + len(self.text)

    def __repr__(self) -> str:
        return f"{self.text}/{self.tag or self.kind}"


def tokenize(text: str) -> list[Token]:
    """Tokens of `text` in order; `text[token.start : token.end] == token.text` for every one of them."""
    tokens: list[Token] = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        found, start = match.group(), match.start()
        if kind == "quiet":
            continue
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


def _split_word(found: str, start: int) -> list[Token]:
    """ "don't" is two words to the tagger, as in the treebank."""
    lower = found.lower()
    if lower.endswith(("n't", "n’t")) and _NEGATED.match(lower[:-2]):
        return [Token(found[:-3], start, WORD), Token(found[-3:], start + len(found) - 3, WORD)]
    return [Token(found, start, WORD)]
