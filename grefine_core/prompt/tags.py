"""Tags, as picture boards and models trained on them have it: "long_hair", "2girls", "bat_(animal)", "artist:name"."""

from __future__ import annotations

import re
from functools import lru_cache
from types import MappingProxyType

from .syntax.lexicon import common_words, read_sections, style_lexicon, word_lists
from .syntax.senses import is_abstract, noun_kinds

UNDERSCORE = re.compile(r"(?<=[^\W_])_+(?=[^\W_])|(?<=[^\W_])_+(?=\\?\()")
COUNTED = re.compile(r"(?<![\w.-])(\d{1,2})\+?([a-z]{3,})(?![\w'’-])", re.IGNORECASE)
_META = re.compile(
    r"\s*(?:(?:score|source|rating|year)[_:]\w+|year \d{4}"
    r"|(?:artist|by|art by|drawn by|style|meta|medium|series|copyright|franchise|studio|lore|general|uploader):[^:]+"
    r"|(?:art_|drawn_)?by_\S.*|gen_\d_\w+)\s*",
    re.IGNORECASE,
)
NAMESPACE = re.compile(r"\s*(?:character|char|species|oc|clothing|object|tag):(?=\w)", re.IGNORECASE)
_SOMEBODY_ELSE = re.compile(
    r"\w+ing (?:at|to|towards?|with) (?:the )?(?:viewer|another|camera|others?|self|each other)"
)
_ABOUT_ALL = re.compile(r".*\\?\((?:medium|style|artwork|artstyle|texture|meme|cosplay)\\?\)\s*")
_SAYS_KIND = re.compile(r"[^\W_]_+\\?\(")
_SEEN = frozenset("AMPVDBYOLGHEIN")  # see `senses`: kinds of nouns that can be seen
_ACTS = re.compile(r"(?:ness|ity|tude|[ae]nce|[ae]ncy|ism|ment|ship|hood|lry)$")
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


@lru_cache(maxsize=1)
def _lists() -> MappingProxyType[str, frozenset[str]]:
    return MappingProxyType({name: frozenset(terms) for name, terms in read_sections("parts.txt").items()})


def is_style_tag(piece: str) -> bool:
    """Whether a tag is about the whole picture, or tells how somebody is rather than what there is to see."""
    spoken = _spoken(piece)
    if (
        _META.fullmatch(piece.strip(" \t[]{}"))
        or _is_unseen(spoken)
        or spoken in _lists()["style-tags"]
        or _SOMEBODY_ELSE.fullmatch(spoken)
    ):
        return True
    if _ABOUT_ALL.fullmatch(piece) and "cosplay" not in spoken:
        return True
    first, _, last = spoken.rpartition(" ")
    return (bool(first) and last in _lists()["style-tag-ends"]) or spoken.startswith("very ")


def _is_unseen(word: str) -> bool:
    """Whether a tag of one word names nothing that can be seen: "maintenance", "melancholy"."""
    lists = word_lists()
    if " " in word or word in _lists()["thing-tags"] or word in _things():
        return False
    kinds = noun_kinds(word)
    act = bool(kinds) and _SEEN.isdisjoint(kinds) and _ACTS.search(word) is not None
    return (act or is_abstract(word)) and not any(
        word in lists[name] for name in ("visible", "feature", "animate", "colors", "body")
    )


@lru_cache(maxsize=1)
def _things() -> frozenset[str]:
    return frozenset(noun for nouns in read_sections("nouns.txt").values() for noun in nouns)


def names_thing(written: str, piece: str) -> bool:
    """Whether a tag surely names a thing: it says what kind of one ("saber_(fate)"), or is known to.

    written: the tag as it stands in the prompt; piece: without its markup.
    """
    return _SAYS_KIND.search(written) is not None or _spoken(piece) in _lists()["thing-tags"]


def counted_noun(text: str) -> str | None:
    """The noun of a number and a noun in one word ("2girls"); None for other words ("8k", "90s")."""
    match = COUNTED.fullmatch(text)
    if match is None:
        return None
    noun = match[2].lower()
    lists = _lists()
    if noun in lists["counted"]:
        return noun
    known = any(name in ("NN", "NNS") for name in common_words().get(noun, "").split("|"))
    lexicon = style_lexicon()
    if not known or noun in lists["units"] or noun in lexicon.media or noun in lexicon.heads or noun in lexicon.words:
        return None
    return noun


def is_tag(piece: str) -> bool:
    """Whether a comma-part is a tag by itself: underscores between its words, a counted thing, a sign of tag lists."""
    if UNDERSCORE.search(piece) and len(piece.split()) <= 4:
        return True
    plain = _spoken(piece)
    if plain in _lists()["tag-signs"]:
        return True
    return len(plain.split()) <= 4 and any(counted_noun(match.group()) for match in COUNTED.finditer(piece))


def _spoken(piece: str) -> str:
    """A tag as words in lower case."""
    return " ".join(re.sub(r"[\\()_]+", " ", piece).lower().split())


def is_short(piece: str) -> bool:
    """Whether a comma-part among tags is a tag: a few words without the small ones that sentences have."""
    words = [word.lower() for word in _WORD.findall(piece)]
    small = word_lists()["small"] | word_lists()["be"] | word_lists()["pronouns"]
    return len(words) <= 4 and not any(word in small for word in words)
