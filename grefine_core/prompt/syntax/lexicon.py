"""The hand-written word lists that ship with the parser, read once.

A list file has sections in brackets; terms are separated by commas or line ends; "#" opens a comment line.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import lru_cache
from types import MappingProxyType

from .tagger import DATA, shipped_model

_FILLERS = frozenset(["of", "the", "a", "an", "in", "on", "and", "by", "to", "for", "with", "at", "&", "/", "-"])
_VERB_TAGS = {"VBG": "NN|VBG", "VBN": "VBD|VBN"}


def read_sections(name: str) -> dict[str, list[str]]:
    """Section -> terms in lower case, in the order of the file."""
    sections: dict[str, list[str]] = defaultdict(list)
    current = ""
    for line in (DATA / name).read_text(encoding="utf-8").splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        header = re.fullmatch(r"\[([^\]]+)\]", line)
        if header:
            current = header.group(1)
            continue
        sections[current] += [term.strip().lower() for term in line.split(", ") if term.strip()]
    return dict(sections)


@lru_cache(maxsize=1)
def word_lists() -> MappingProxyType[str, frozenset[str]]:
    """The classes of data/word_lists.txt."""
    return MappingProxyType({name: frozenset(terms) for name, terms in read_sections("word_lists.txt").items()})


@lru_cache(maxsize=1)
def common_words() -> MappingProxyType[str, str]:
    """Word -> class of the tagger's lexicon and the prompt words; used to tell names from ordinary words."""
    words = dict(shipped_model()["lexicon"])
    words.update(prompt_words())
    return MappingProxyType(words)


@lru_cache(maxsize=1)
def adjectives() -> frozenset[str]:
    """Prompt words listed as adjectives and nothing else."""
    sections = read_sections("prompt_words.txt")
    nouns = {word for section, terms in sections.items() if section in ("NN", "NNS") for word in terms}
    return frozenset(word for word in sections["JJ"] if word not in nouns)


def plural(noun: str) -> str:
    """The regular plural of a noun."""
    if noun.endswith(("s", "x", "z", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


_IRREGULAR = """
bear/borne beat/beaten bend/bent bind/bound bite/bitten blow/blown break/broken bring/brought
build/built buy/bought cast/cast catch/caught cut/cut dig/dug draw/drawn drink/drunk drive/driven
eat/eaten feed/fed fight/fought fling/flung fly/flown freeze/frozen give/given grind/ground hang/hung
hide/hidden hold/held knit/knit lay/laid lead/led leave/left lend/lent light/lit make/made put/put
read/read ride/ridden ring/rung run/run saw/sawn seek/sought sell/sold set/set sew/sewn shake/shaken
shear/shorn shed/shed shine/shone shoot/shot show/shown shut/shut sing/sung sink/sunk sling/slung
slit/slit spin/spun spit/spat split/split spread/spread steal/stolen stick/stuck sting/stung
strike/struck string/strung sweep/swept swing/swung take/taken teach/taught tear/torn throw/thrown
tread/trodden wear/worn weave/woven wind/wound write/written
"""
_PARTICIPLES = {pair.partition("/")[0]: pair.partition("/")[2] for pair in _IRREGULAR.split()}
IRREGULAR_PARTICIPLES = frozenset(_PARTICIPLES.values())


def third_person(verb: str) -> str:
    """The form of a verb that goes with one subject: "carries"."""
    return plural(verb)


def present_participle(verb: str) -> str:
    """The regular form in -ing: "lying", "sitting", "waving"."""
    if verb.endswith("ie"):
        return verb[:-2] + "ying"
    if verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")):
        return verb[:-1] + "ing"
    return _doubled(verb) + "ing"


def participle(verb: str) -> str:
    """The past participle: "torn", "carried", "wrapped"."""
    if verb in _PARTICIPLES:
        return _PARTICIPLES[verb]
    if verb.endswith("e"):
        return verb + "d"
    if verb.endswith("y") and verb[-2:-1] not in "aeiou":
        return verb[:-1] + "ied"
    return _doubled(verb) + "ed"


def _doubled(verb: str) -> str:
    """A verb of one syllable with its last consonant twice, where spelling asks for it: "sitt", "wrapp"."""
    short = re.fullmatch(r"[^aeiou]*(?:qu)?[aeiou][bcdfgklmnprtvz]", verb) is not None
    return verb + ("k" if verb.endswith("c") else verb[-1]) if short else verb


@lru_cache(maxsize=1)
def sentence_verbs() -> MappingProxyType[str, str]:
    """Word -> its tags as a verb, for the verbs of data/verbs.txt in their basic form and in -s."""
    verbs = {verb for verbs in read_sections("verbs.txt").values() for verb in verbs}
    found = dict.fromkeys(verbs, "VB|VBP")
    found.update({third_person(verb): "VBZ" for verb in verbs})
    return MappingProxyType(found)


@lru_cache(maxsize=1)
def sentence_words() -> MappingProxyType[str, str]:
    """Word -> class as in `prompt_words`, for sentences: there the verbs of data/verbs.txt may be verbs, too."""
    known: dict[str, str] = shipped_model()["lexicon"]
    words = prompt_words()
    found = dict(words)
    for word, tags in sentence_verbs().items():
        noun = {"NN"} if tags != "VBZ" else {"NNS"}
        before = words.get(word) or known.get(word) or ""
        found[word] = "|".join(sorted({*before.split("|"), *tags.split("|"), *noun} - {""}))
    return MappingProxyType(found)


@lru_cache(maxsize=1)
def prompt_words() -> dict[str, str]:
    """Word -> class for words that the treebank does not know in the sense prompts use."""
    known: dict[str, str] = shipped_model()["lexicon"]
    senses: dict[str, set[str]] = defaultdict(set)
    for section, terms in read_sections("prompt_words.txt").items():
        for word in terms:
            if " " not in word:
                senses[word].update(_VERB_TAGS.get(section, section).split("|"))
    things = {word for terms in read_sections("nouns.txt").values() for word in terms}
    for word in things | word_lists()["animate"] | word_lists()["feature"]:
        if word not in known and word not in senses:
            senses[word].add("NNS" if word.endswith("s") and not word.endswith("ss") else "NN")
    for word in [word for word, tags in senses.items() if tags == {"NN"}]:
        senses.setdefault(plural(word), {"NNS"})
    words: dict[str, str] = {}
    either = word_lists()["noun-or-verb"]
    for word in sorted(senses):
        tags = senses[word]
        already = set(known[word].split("|")) if word in known else set()
        if tags == {"NN"} and word not in either:
            already = {tag for tag in already if not tag.startswith("VB")}  # nobody chefs in a prompt
        elif not tags <= already and tags != {"JJ"}:
            already = {tag for tag in already if tag.startswith("VB")} if word in either else set()
        words[word] = "|".join(sorted(tags | already))
    return words


class StyleLexicon:
    """The vocabulary of style and quality tags.

    terms: whole tags, several words joined with blanks. words: single words that are tags. media, weak_media: nouns
    that name the picture itself. heads: nouns that make their phrase a tag. verbs: participles of tags.
    artists: whole names; surnames: their last words; first_names.
    """

    def __init__(self) -> None:
        sections = read_sections("style_lexicon.txt")
        names = read_sections("artists.txt")
        self.media = frozenset(sections["media"])
        self.weak_media = frozenset(sections["media-weak"])
        self.heads = frozenset(sections["heads"])
        self.verbs = frozenset(sections["verbs-of-style"])
        skipped = ("media", "media-weak", "heads", "verbs-of-style")
        tags = [term for section, terms in sections.items() if section not in skipped for term in terms]
        # Phrases carry no conjunctions, so "dungeons and dragons" has to be known as "dungeons dragons", too.
        self.sites = frozenset(sections["sites"])
        self.terms = frozenset(tags) | {
            " ".join(w for w in tag.replace("-", " ").split() if w not in _FILLERS)
            for tag in tags
            if " " in tag or "-" in tag
        }
        self.words = frozenset(term for term in tags if " " not in term)
        self.strong_media = self.media - self.weak_media
        self.tail_words = self.media | self.heads | self.words
        self.common_terms = self.terms - self.sites
        self.artists = frozenset(names["artists"])
        self.surnames = frozenset(name.split()[-1] for name in self.artists if " " in name)
        self.first_names = frozenset(names["first-names"])


@lru_cache(maxsize=1)
def style_lexicon() -> StyleLexicon:
    """The style vocabulary, read once."""
    return StyleLexicon()


@lru_cache(maxsize=8)
def phrases_of(section: str) -> MappingProxyType[str, tuple[tuple[str, ...], ...]]:
    """First word -> the phrases of a class of data/word_lists.txt that start with it, the longest first."""
    found: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for phrase in word_lists()[section]:
        words = tuple(phrase.split())
        found[words[0]].append(words)
    return MappingProxyType(
        {first: tuple(sorted(group, key=lambda words: (-len(words), words))) for first, group in found.items()}
    )


def wide_prepositions() -> MappingProxyType[str, tuple[tuple[str, ...], ...]]:
    """First word -> the prepositions of several words that start with it, the longest first."""
    return phrases_of("wide-prepositions")
