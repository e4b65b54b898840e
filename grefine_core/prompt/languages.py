"""Which stretches of a prompt are in another language than English, by their script and by common words.

What reads the texts of a prompt here (CLIP's text encoder) was trained on English captions, and so were the tagger and
the rules of `syntax`: a stretch in another language can be neither parsed nor measured; it is named, not guessed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from types import MappingProxyType

from .syntax.lexicon import common_words, read_sections, style_lexicon, word_lists

# Scripts other than the Latin one. A lone Greek letter is a symbol; one sign of these others is a word.
_SCRIPTS = {
    "Japanese": "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f",
    "Chinese": "\u2e80-\u2fdf\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff",
    "Korean": "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af",
    "Cyrillic script": "\u0400-\u052f",
    "Greek": "\u0370-\u03ff\u1f00-\u1fff",
    "Arabic script": "\u0600-\u06ff\u0750-\u077f\u08a0-\u08ff\ufb50-\ufdff\ufe70-\ufeff",
    "Hebrew": "\u0590-\u05ff\ufb1d-\ufb4f",
    "Thai": "\u0e00-\u0e7f",
    "Devanagari script": "\u0900-\u097f",
    "another script": "\u0530-\u058f\u0700-\u074f\u0780-\u08ff\u0980-\u0dff\u0e80-\u10ff\u1200-\u137f\u1780-\u18af",
}
_SIGN = "[" + "".join(_SCRIPTS.values()) + "]"
_OTHER_SCRIPT = re.compile(rf"[0-9]*{_SIGN}+(?:[ \t\u00b7・0-9-]*{_SIGN}+)*")
_NAMES = {name: re.compile(f"[{signs}]") for name, signs in _SCRIPTS.items()}
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_ARTICLE = re.compile(r"(?<!\w)[a-zà-ù]{1,5}['’](?=\w)", re.IGNORECASE)  # l'arbre, d'une, dell'acqua


@lru_cache(maxsize=1)
def _languages() -> MappingProxyType[str, frozenset[str]]:
    sections = read_sections("languages.txt")
    return MappingProxyType({name: frozenset(words) for name, words in sections.items() if name != "particles"})


@lru_cache(maxsize=1)
def _particles() -> frozenset[str]:
    return frozenset(read_sections("languages.txt")["particles"])


@lru_cache(maxsize=1)
def _index() -> MappingProxyType[str, tuple[str, ...]]:
    """Word -> the languages that have it."""
    index: dict[str, list[str]] = {}
    for language, words in _languages().items():
        for word in words:
            index.setdefault(word, []).append(language)
    return MappingProxyType({word: tuple(languages) for word, languages in index.items()})


def other_scripts(text: str) -> list[tuple[int, int, str]]:
    """(start, end, language) of the stretches that are not written in Latin letters; a lone Greek letter is none."""
    if text.isascii():
        return []
    found = []
    for match in _OTHER_SCRIPT.finditer(text):
        stretch = match.group()
        name = next(name for name, signs in _NAMES.items() if signs.search(stretch))
        if name != "Greek" or sum(character.isalpha() for character in stretch) > 1:
            found.append((*match.span(), name))
    # A prompt with kana anywhere is Japanese, also where it has Chinese signs alone.
    if any(name == "Japanese" for _, _, name in found):
        found = [(start, end, "Japanese" if name == "Chinese" else name) for start, end, name in found]
    return found


def foreign_pieces(pieces: Sequence[str]) -> list[str | None]:
    """The language of every piece of a prompt in Latin letters; None for English ones.

    A piece is foreign if words of one language stand in it, one of them no mere particle of names, and English words do
    not prevail. In a prompt with such a piece others are of the same language by one of its words, and where English
    knows none of theirs.
    """
    read = [[word.lower() for word in _WORD.findall(_ARTICLE.sub(" ", piece))] for piece in pieces]
    found: list[str | None] = [_language_of(words) for words in read]
    languages = Counter(language for language in found if language is not None)
    if not languages:
        return found
    language = max(languages, key=lambda name: (languages[name], name))
    known = _languages()[language]
    return [
        language if one is not None or (words and _follows(words, known)) else None
        for one, words in zip(found, read, strict=True)
    ]


def _language_of(words: Sequence[str]) -> str | None:
    index, particles = _index(), _particles()
    hits: Counter[str] = Counter()
    sure: set[str] = set()
    for word in dict.fromkeys(words):
        for language in index.get(word, ()):
            hits[language] += 1
            if word not in particles and not _is_english(word):
                sure.add(language)
    if not hits:
        return None
    best = max(hits, key=lambda name: (hits[name], name))
    if best not in sure or hits[best] < 2:
        return None
    own = _languages()[best]
    english = sum(_is_english(word) for word in words if word not in own)
    return best if english < hits[best] and english < len(words) / 2 else None


def _follows(words: Sequence[str], known: frozenset[str]) -> bool:
    """Whether a piece beside foreign ones is foreign, too."""
    own = sum(word in known for word in words)
    english = sum(_is_english(word) for word in words if word not in known)
    return english < own or english == 0


def _is_english(word: str) -> bool:
    common, lexicon = common_words(), style_lexicon()
    if word in lexicon.words or word in lexicon.media or word in lexicon.heads:
        return True
    return word in common or word in word_lists()["small"] or (word.endswith("s") and word[:-1] in common)
