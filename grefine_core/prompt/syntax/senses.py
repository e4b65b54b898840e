"""What WordNet knows of words: their parts of speech, what kind of thing a noun names, nouns of two words.

Prompts use far more words than the treebank that the tagger has learned from. Read once, from a file that
`tools/make_word_senses.py` has made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from .lexicon import style_lexicon
from .tagger import DATA, read_model

# Letters of a word's code: capitals for the first senses of the noun (WordNet's files of nouns), small letters for the
# other parts of speech, the most frequent first.
MADE, ANIMAL, PERSON, PLANT, FOOD, BODY, SUBSTANCE, OBJECT, PLACE = "M", "A", "P", "V", "D", "B", "Y", "O", "L"
VERB, ADJECTIVE, ADVERB, RARE_VERB = "v", "a", "r", "x"
_THINGS = frozenset("MAPVDBYOLH")
_NOT_SEEN = frozenset("QCFZRX")  # attributes, thoughts, feelings, states, relations, processes
_SEEN = frozenset("MAVDBYOI")
_ADJECTIVE = re.compile(r"(?:ous|ful|less|esque|(?<!f)ish|ic|ive|able|ible|al|ed|en|y|ing|ly|er|est)$")
_ABSTRACT = re.compile(r"(?:ness|ity|tude|[ae]nce|[ae]ncy|ism|dom|ment|ion|ship|hood|lgia|ury|tery)$")
_TAGS = {VERB: ("VB", "VBP"), ADJECTIVE: ("JJ",), ADVERB: ("RB",), RARE_VERB: ()}


@lru_cache(maxsize=1)
def _words() -> dict[str, str]:
    content = read_model(DATA / "word_senses.json.gz")
    return {word: code for code, words in content["words"].items() for word in words.split()}


@lru_cache(maxsize=1)
def noun_pairs() -> frozenset[str]:
    """Nouns of two words: "coffee cup", "polar bear"."""
    return frozenset(read_model(DATA / "word_senses.json.gz")["pairs"].split(","))


def code_of(word: str) -> str:
    """The code of a word in its basic form (lower case); "" for an unknown one."""
    return _words().get(word, "")


def is_unknown(word: str) -> bool:
    """Whether neither WordNet nor its own ending says what the word is: names of plants and animals, mostly."""
    return word.isalpha() and not code_of(word) and not singular(word) and not _ADJECTIVE.search(word)


@lru_cache(maxsize=8192)
def singular(word: str) -> str:
    """The basic form of a regular plural, or of a verb in -s; "" if the word is none that is known."""
    return next((base for base in _bases(word) if base in _words()), "")


def _bases(word: str) -> Iterator[str]:
    if len(word) < 4 or not word.endswith("s") or word.endswith("ss"):
        return
    if word.endswith("ies"):
        yield word[:-3] + "y"
    elif word.endswith("ves"):
        yield word[:-3] + "f"
        yield word[:-3] + "fe"
    elif word.endswith(("ses", "xes", "zes", "ches", "shes", "oes")):
        yield word[:-2]
    yield word[:-1]


@lru_cache(maxsize=8192)
def noun_kinds(word: str) -> str:
    """What a noun, or the noun that it is the plural of, names first: capital letters; "" for no known noun."""
    code = code_of(singular(word)) or code_of(word)  # "letters": those of an alphabet before literature
    return "".join(letter for letter in code if letter.isupper())


def names_thing(word: str) -> bool:
    """Whether a noun first of all names something that can be seen."""
    return noun_kinds(word)[:1] in _THINGS if noun_kinds(word) else False


def is_gerund(word: str) -> bool:
    """Whether a word in -ing may be a form of a verb: "holding", "lying", but neither "swing" nor "ceiling"."""
    stem = word[:-3]
    bases = (stem, stem + "e", stem[:-1] if stem[-1:] in (stem[-2:-1], "k") else stem, stem[:-1] + "ie")
    return not code_of(word) or any(may_act(base) for base in bases)


def can_be_seen(word: str) -> bool:
    """Whether a noun names, in one of its first senses, something that can be seen."""
    return not _SEEN.isdisjoint(noun_kinds(word))


def is_abstract(word: str) -> bool:
    """Whether a noun names nothing that can be seen: "loneliness", "elegance"."""
    found = noun_kinds(word)
    if not found or found[0] not in _NOT_SEEN or not _SEEN.isdisjoint(found):
        return False
    return found[0] != "Z" or _ABSTRACT.search(word) is not None  # "a wound" is a state, too


def may_act(word: str) -> bool:
    """Whether the word is a verb in its basic form or in -s, however rare."""
    return not {VERB, RARE_VERB}.isdisjoint(code_of(word) + code_of(singular(word)))


@lru_cache(maxsize=8192)
def tag_class(word: str) -> str:
    """The tags a word takes, as the tagger's lexicon has them ("NN|VB|VBP"); "" for an unknown one."""
    code = code_of(word)
    tags: set[str] = set()
    lists = style_lexicon()
    if word in lists.first_names or word in lists.surnames:
        return ""
    if code:
        if code[0] in _THINGS:
            code = code.replace(VERB, "")  # "to fork" and "to telescope" are rare
        tags.update(tag for letter in code for tag in (_TAGS[letter] if letter.islower() else ("NN",)))
    elif code := code_of(singular(word)):
        if any(letter.isupper() for letter in code):
            tags.add("NNS")
        if VERB in code:
            tags.add("VBZ")
    return "|".join(sorted(tags))
