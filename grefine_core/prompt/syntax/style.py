"""Which units are style and quality tags: medium, artist, camera, lighting, movement, quality, mood.

A tag asks for nothing that could be missing from one place of the picture. Known words come from
data/style_lexicon.txt and data/artists.txt; unknown artists are recognised by where they stand (behind "by", beside
other artists) and by looking like names, free-standing adjectives by having no noun.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .lexicon import common_words, style_lexicon, word_lists
from .senses import code_of, is_unknown, names_thing
from .tokens import Token
from .tree import Unit
from .unseen import acts, names_no_thing
from .words import kinds

# Names: known artists, and words that look like somebody's name.


def is_known_artist(words: Sequence[str]) -> bool:
    """Whether the words (lower case) are, or end with, the name of an artist of data/artists.txt."""
    artists = style_lexicon().artists
    if " ".join(words) in artists:
        return True
    return any(" ".join(words[-length:]) in artists for length in range(2, min(5, len(words))))


def is_certain_name(words: Sequence[Token]) -> bool:
    """A name even where a thing may stand ("surrounded by …"): several words, or a capital."""
    several = len(words) > 1 or words[0].text[:1].isupper()
    return several and looks_like_name(words)


def looks_like_name(words: Sequence[Token]) -> bool:
    """Whether the words look like somebody's name: first names, capitals, words no lexicon knows."""
    if not 1 <= len(words) <= 5:
        return False
    lexicon, common = style_lexicon(), common_words()
    plain = [token for token in words if token.lower not in word_lists()["name-particles"]]
    if not plain:
        return False
    first = plain[0].lower
    starts_with_name = first in lexicon.first_names or first.endswith(".")
    strange = 0
    for token in plain:
        word = token.lower
        known = common.get(word)
        named = word in lexicon.first_names or word in lexicon.surnames or (len(word) <= 2 and word.endswith("."))
        if named or known is None or known == "NNP" or (token.text[:1].isupper() and token.tag.startswith("NNP")):
            strange += 1
        if word in lexicon.words and not named:
            return False
    if starts_with_name and len(plain) > 1:
        return strange >= 1 and all(token.tag != "IN" for token in plain)
    return strange == len(plain)


def looks_like_artist(words: Sequence[Token]) -> bool:
    """Whether capitals may be the name of somebody: an unknown last word, or a first name in front."""
    first, last = words[0].lower, words[-1].lower
    lexicon = style_lexicon()
    if first in lexicon.first_names or looks_like_name(words):
        return True
    return last not in common_words() and not code_of(last)


_STYLED = frozenset(["style", "styled", "style's", "aesthetic", "inspired"])
_FRAMED = frozenset(["framed", "unframed", "hanging", "torn", "crumpled", "peeling"])  # so a picture on a wall
_SOURCES = frozenset(["film", "movie", "series", "show", "game", "anime", "manga", "cartoon", "magazine", "musical"])
_LOGOS = frozenset(["line", "mascot", "monoline", "lettermark", "wordmark"])  # what kinds of logos there are

# Whether a phrase, seen alone, is made of style vocabulary.

_PLAIN_COLORS = frozenset(
    ["red", "blue", "green", "yellow", "purple", "pink", "white", "black", "grey", "gray", "brown", "teal", "cyan"]
)
_ADJECTIVE_ENDINGS = re.compile(  # "clownfish", "radish" and "table" end otherwise
    r"(?:ous|ful|less|esque|(?<!f)(?<!rad)ish|istic|(?<!t)able|ible|punk|core|wave|ism|inspired|like|ized|ised)$"
)
_NUMBER = re.compile(r"[\d ]+(?:k|d|mm|s|p|fps|px|th)?|\d[\d.:/x]*\w{0,3}|[fƒ] ?/? ?\d.*")


def is_free_style(unit: Unit) -> bool:
    """Whether the unit would be a tag if it stood between commas."""
    lexicon, words = style_lexicon(), unit.lower
    joined = " ".join(words)
    if unit.determined and len(words) == 1 and joined not in lexicon.tail_words and joined not in lexicon.terms:
        return False  # "the drowned and the saved"
    if unit.key in word_lists()["loose-heads"] and unit.verbs:
        return False  # "light filtering through" happens in the picture
    if len(words) > 1 and all(word in word_lists()["colors"] for word in words):
        return True  # "teal and gold"
    shades = words[-1].endswith("s") and words[-1][:-1] in word_lists()["colors"]
    if shades and len(words) > 1 and all(token.tag.startswith(("JJ", "VB")) for token in unit.words[:-1]):
        return True  # "gentle greens"
    if len(words) == 1 and joined in _PLAIN_COLORS and unit.relation == "start":
        return True  # a color alone, between commas
    if len(words) > 1 and words[-1] in ("aesthetic", "aesthetics", "vibes", "gradient"):
        return True  # "Tim Burton aesthetic"
    if joined in lexicon.terms or unit.key in lexicon.heads or _NUMBER.fullmatch(joined):
        return True
    if unit.kind == "predicate":
        return False
    if any(joined == term or joined.startswith(term + " ") for term in ("trending",)):
        return True
    if all(_style_word(token, len(words), token is unit.head) for token in unit.words):
        return True
    if (
        words[0] in lexicon.sites
        and unit.words[0].part != "tag"  # somebody of a game: "naruto_uzumaki"
        and unit.words[0].lower not in lexicon.media
        and not unit.verbs
        and all(_NUMBER.fullmatch(word) or len(word) < 3 or word not in common_words() for word in words[1:])
    ):
        return True  # "canon eos r 5", "nikon d850"
    if covered(words) or (" ".join(words[-2:]) in lexicon.common_terms and covered_or_adjectives(unit)):
        return True
    return unit.head is not None and unit.head.lower in lexicon.strong_media and covered(words[:-1])


def is_shorthand(words: Sequence[str]) -> bool:
    """An abbreviation no lexicon knows ("osl", "r/artwork"): jargon of a community rather than a thing."""
    if len(words) == 2 and words[0] in ("r", "u"):
        return True
    word = words[0]
    return len(words) == 1 and len(word) <= 3 and word not in common_words() and not names_thing(word)


def covered_or_adjectives(unit: Unit) -> bool:
    """Whether all words but the last two are adjectives or style words: "dutch still life"."""
    return all(_style_word(token, len(unit.words), False) for token in unit.words[:-2])


def _style_word(token: Token, count: int, is_head: bool) -> bool:
    word = token.lower
    lexicon = style_lexicon()
    if word in lexicon.words or word in lexicon.heads or word in lexicon.strong_media:
        return True
    tag = token.tag
    if count == 1 and word in word_lists()["adjective-ing"] | word_lists()["transitive"]:
        return True
    if tag in ("JJ", "JJR", "JJS", "RB", "RBR", "RBS", "VBN", "VBG", "CD", "VBD"):
        return not (tag == "JJ" and (count == 1 or is_head) and "NN" in kinds(word))
    if word in common_words():
        return False
    return bool(_ADJECTIVE_ENDINGS.search(word))


def covered(words: Sequence[str]) -> bool:
    """Whether known terms, laid end to end, cover the words."""
    lexicon = style_lexicon()
    reach = [True] + [False] * len(words)
    for end in range(1, len(words) + 1):
        for start in range(max(0, end - 4), end):
            if reach[start]:
                part = words[start:end]
                single = len(part) == 1 and (
                    part[0] in lexicon.words or part[0] in lexicon.heads or part[0] in lexicon.media
                )
                if single or " ".join(part) in lexicon.terms:
                    reach[end] = True
                    break
    return reach[-1]


def subject_length(unit: Unit) -> int:
    """How many words in front of the medium name a thing: "steampunk walter white portrait" has three."""
    lexicon, words = style_lexicon(), unit.lower
    end = len(words)
    while end:
        pair = " ".join(words[end - 2 : end]) if end > 1 else ""
        if pair == "close up" or pair in word_lists()["medium-tails"]:
            end -= 2
        elif words[end - 1] in lexicon.tail_words:
            end -= 2 if pair in lexicon.terms else 1
        else:
            break
    if all(word in lexicon.words or word in word_lists()["genres"] for word in words[:end]):
        return 0  # "vintage travel poster"
    named = any(
        token.tag.startswith("NN") and token.lower not in lexicon.words for token in unit.words[:end]
    ) and not covered(words[:end])
    return end if named else 0


def mark_style(units: Sequence[Unit]) -> list[Unit]:
    """Set `style` on the units and return them; style units that belong together are merged, mixed ones split."""
    state = _State(units)
    for position in range(len(units)):
        state.visit(position)
    state.adopt_neighbours()
    state.adopt_names_at_end()
    state.keep_something()
    return _merge(state.result)


def _is_part_of_picture(unit: Unit) -> bool:
    """Whether all words of a unit tell where in the picture something is: "far left", "the bottom right corner"."""
    lists = word_lists()
    sides = lists["picture-sides"]
    words = [token.lower for token in unit.words + unit.verbs if token.lower not in lists["picture-verbs"]]
    if len(words) < 2 or not all(word in sides or word in lists["picture-areas"] for word in words):
        return len(words) == 1 and words[0] in ("left", "right") and not unit.determined
    return any(word in sides for word in words)


class _State:
    """The walk over the units: whether a list of artists is being read, whether content has been seen."""

    def __init__(self, units: Sequence[Unit]) -> None:
        self.units = units
        self.lexicon = style_lexicon()
        self.artists = False
        self.artist_units: set[int] = set()
        self.content_seen = False
        self.result: list[Unit] = []

    def visit(self, position: int) -> None:
        unit = self.units[position]
        free = unit.relation == "start" or (
            unit.relation == "prep"
            and unit.governor is None
            and unit.preposition in ("in", "with")
            and not self.content_seen
        )
        governed = unit.governor is not None and unit.governor.style
        told = unit.words[0].part == "style" if unit.words else False
        if unit.words and (unit.head.about if unit.head is not None else all(token.about for token in unit.words)):
            unit.style = True
            self.result.append(unit)
            return
        if unit.head is not None and unit.head.part == "tag" and unit.key in word_lists()["particle"]:
            unit.head = next((t for t in unit.words if t.lower not in word_lists()["particle"]), None)  # "leg_up"
        if not told and unit.head is None and unit.words and not unit.verbs and unit.words[0].part == "tag":
            last = next((t for t in reversed(unit.words) if t.lower not in word_lists()["particle"]), unit.words[-1])
            noun = "NN" in kinds(last.lower) or is_unknown(last.lower)
            thing = noun and not last.lower.endswith("ing") and not is_free_style(unit)
            unit.head = last if thing else None  # "crystal"; "faceless" and "dribbling" tell how somebody is
            told = not thing
        if unit.words and unit.words[0].part == "thing":
            unit.words = sorted(unit.words + unit.verbs, key=lambda token: token.start)  # "bob_cut" does not cut
            unit.head, unit.verbs = unit.words[-1] if unit.verbs else unit.head or unit.words[-1], []
            self.result.append(unit)
            self.content_seen = True
            return
        if told or (unit.head is not None and unit.head.counted):
            unit.style = told  # a heading or a tag has said so; a counted thing is one
            self.result.append(unit)
            self.content_seen = self.content_seen or not told
            return
        framed = len(unit.words) > 1 and unit.key in self.lexicon.media and unit.words[0].lower in _FRAMED
        if framed or " ".join(unit.lower[-2:]) in word_lists()["style-named-things"]:
            self.result.append(unit)
            self.content_seen = True
            return
        following = self.units[position + 1] if position + 1 < len(self.units) else None
        if _is_part_of_picture(unit) or names_no_thing(unit, following, self.content_seen):
            unit.style = True
            self.result.append(unit)
            return
        if self._artist(unit, free) and not self._acts(unit, position):
            unit.style = True
            self.artists = True
            self.artist_units.add(unit.index)
        elif (
            governed
            and unit.governor is not None
            and unit.preposition == "of"
            and (unit.governor.key in word_lists()["style-of"] or unit.governor.preposition == "of")
        ):
            unit.style = True
            self.artists = True
        elif unit.kind == "predicate" and unit.key in self.lexicon.verbs:
            unit.style = self._predicate_is_style(position)
        elif free and self._is_whole(unit, position):
            unit.style = False
        elif unit.relation == "next" and (self._is_term(unit) or self._ends_row(unit)):
            unit.style = True  # in a row of things: "mountains tracking camera", "snow HDR sunset"
        else:
            unit.style = self._is_style(unit, free or (unit.relation == "next" and governed), position)
        if unit.style and acts(unit):
            unit.style = False
        if unit.head is None and unit.words and all(token.told for token in unit.words) and unit.kind != "predicate":
            unit.style = True  # adjectives of a sentence, left over
        if unit.style and unit.key not in self.lexicon.media and any(token.quoted for token in unit.verbs):
            unit.style = False  # "neon lights spelling LOVE"
        front = None if unit.style else self._split_front(unit)
        if front is not None:
            self.result.append(front)
        self.result.append(unit)
        if not unit.style:
            tail = self._split_tail(unit)
            if tail is not None:
                self.result.append(tail)
            self.content_seen = True
            self.artists = False

    # Artists --------------------------------------------------------------------------------------------------------

    def _artist(self, unit: Unit, free: bool) -> bool:
        words = unit.lower
        if not words or (unit.verbs and unit.preposition != "by" and not self.artists):
            return False
        if unit.preposition == "by":
            if is_known_artist(words) or (" ".join(words) in self.lexicon.sites and not unit.determined):
                return True
            if unit.determined or (unit.governor is not None and not unit.governor.style and unit.governor.verbs):
                return not unit.determined and is_certain_name(unit.words)
            if unit.words[0].told and all(token.text.islower() and code_of(token.lower) for token in unit.words):
                return False  # "half hidden by steam"
            if unit.governor is None or unit.governor.style:
                return not is_free_style(unit)
            return is_certain_name(unit.words)
        listed = free or unit.relation in ("conj", "next")
        if self.artists and listed:
            return is_known_artist(words) or (looks_like_name(unit.words) and not is_free_style(unit))
        return free and is_known_artist(words)

    def _acts(self, unit: Unit, position: int) -> bool:
        """Whether a famous name opens the prompt as somebody in the picture: "salvador dali with a red hat"."""
        if unit.relation != "start" or self.content_seen or position:
            return False
        following = self.units[1] if len(self.units) > 1 else None
        return following is not None and following.governor is unit and following.relation == "prep" and (
            following.preposition in word_lists()["place-prepositions"] or following.preposition in ("with", "as")
        ) and not is_free_style(following)  # fmt: skip

    def adopt_neighbours(self) -> None:
        """Names without "by" right beside an artist are artists: "krenz cushart, sakimi chan, artgerm"."""
        artists = self.artist_units
        units = self.result
        governors = {id(unit.governor) for unit in units if unit.relation != "conj"}
        for direction in (1, -1):
            ordered = units if direction == 1 else units[::-1]
            beside = False
            for unit in ordered:
                if unit.index in artists:
                    beside = True
                elif unit.style:
                    beside = False
                else:
                    lone = unit.relation in ("start", "conj") and not unit.verbs and unit.index != self.units[0].index
                    lone = lone and id(unit) not in governors
                    beside = beside and lone and 2 <= len(unit.words) <= 4 and looks_like_name(unit.words)
                    if beside:
                        unit.style = True
                        artists.add(unit.index)

    def adopt_names_at_end(self) -> None:
        """Names among the tags at the end are artists: "two women, palm trees, Slim Aarons, faded colors"."""
        governors = {id(unit.governor) for unit in self.result}
        lower = any(not unit.style and unit.words and unit.words[0].text.islower() for unit in self.result)
        for unit in reversed(self.result[1:] if lower else []):
            if unit.style:
                continue
            alone = unit.relation == "start" and not unit.verbs and id(unit) not in governors
            surname = len(unit.words) == 1 and unit.key in style_lexicon().surnames and not code_of(unit.key)
            capitals = 2 - surname <= len(unit.words) <= 3 and all(token.text.istitle() for token in unit.words)
            prose = all(token.part == "prose" and not token.quoted and not token.told for token in unit.words)
            strange = any(not code_of(token.lower) for token in unit.words)
            if not (alone and capitals and prose and strange and looks_like_artist(unit.words)):
                return
            unit.style = True

    def _is_term(self, unit: Unit) -> bool:
        """Whether the unit is just a known tag of several words, or one in capitals."""
        several = len(unit.words) > 1 or (bool(unit.words) and unit.words[0].text.isupper())
        if unit.words and all(word in word_lists()["pure-style"] for word in unit.lower):
            return True
        return several and " ".join(unit.lower) in self.lexicon.terms

    def _ends_row(self, unit: Unit) -> bool:
        """Whether a medium stands in a row of things: "orange sunset national geographic photo"."""
        heads = self.lexicon.strong_media | (self.lexicon.heads - word_lists()["loose-heads"])
        return len(unit.words) > 1 and not unit.verbs and unit.key in heads and is_free_style(unit)

    def _is_whole(self, unit: Unit, position: int) -> bool:
        """Whether "of …" follows a noun that is no medium: "field of flowers", whatever "field" is alone."""
        key = unit.key
        following = self.units[position + 1] if position + 1 < len(self.units) else None
        if unit.head is not None and (key in self.lexicon.media or key in word_lists()["wall-media"]):
            placed = following is not None and following.governor is unit and following.preposition in ("on", "across")
            if (placed and key in word_lists()["wall-media"]) or (unit.owned and key in self.lexicon.weak_media):
                return True  # "graffiti on a wall", "a book, its cover"
        if unit.head is None or key in self.lexicon.media or key in self.lexicon.heads:
            return False
        if len(unit.words) > 1 and " ".join(unit.lower) in self.lexicon.terms:
            return False  # "a close up of"
        if " ".join(unit.lower[-2:]) in ("close up", "wide shot", "medium shot") and covered_or_adjectives(unit):
            return False
        if following is None or following.governor is not unit or following.preposition != "of":
            return False
        return f"{unit.key} of {following.key}" not in self.lexicon.terms

    def keep_something(self) -> None:
        """A prompt of tags alone still means its first noun, if that is a thing: "cartoon character in a style of"."""
        if any(not unit.style for unit in self.result) or not self.result:
            return
        first, lexicon = self.result[0], self.lexicon
        if len(self.result) == 1 and len(first.words) == 1 and not first.verbs and first.head is not None:
            noun = first.key not in lexicon.media and first.key not in lexicon.heads and first.key not in lexicon.sites
            noun = noun and first.head.tag.startswith("NN") and "JJ" not in kinds(first.key)
            first.style = not (noun and first.key.isalpha() and len(first.key) > 3)  # "solitude", not "8k" or "hdr"
            return
        known = " ".join(first.lower) in lexicon.terms or first.key in lexicon.media or first.key in lexicon.heads
        if first.head is not None and first.index not in self.artist_units and not known and first.relation == "start":
            first.style = not first.head.tag.startswith("NN") or first.kind == "predicate"

    # Style words ----------------------------------------------------------------------------------------------------

    def _is_style(self, unit: Unit, free: bool, position: int) -> bool:
        words = unit.lower
        if not words:
            return False
        if free:
            untold = self.content_seen and unit.words[0].part != "tag"
            design = untold and unit.key in word_lists()["designs"] and covered(words[:-1]) and not unit.determined
            shorthand = untold and not unit.determined and is_shorthand(words)
            title = self.content_seen and unit.key in _SOURCES and unit.words[0].text.istitle() and not unit.determined
            known = is_free_style(unit) or self._medium(unit, position)
            return known or shorthand or design or (title and len(words) > 1)
        governed = unit.governor is not None and unit.governor.style
        if unit.relation == "conj":
            previous = self.units[position - 1]
            if previous.style:
                return is_free_style(unit) or self._medium(unit, position)
            governed = False
        if governed and unit.preposition == "from" and unit.key in _SOURCES:
            return True  # "a still from a horror film"
        if governed and unit.preposition != "of" and unit.relation != "object":
            return is_free_style(unit)
        if governed and unit.relation == "object" and not unit.determined and unit.key in self.lexicon.strong_media:
            return True  # "paper quilling art"
        if unit.preposition in word_lists()["within"]:
            key = unit.key
            joined = " ".join(words)
            if key in self.lexicon.heads and (key not in word_lists()["loose-heads"] or len(words) > 1):
                return True
            if joined in self.lexicon.common_terms and len(words) > 1 and unit.preposition != "from":
                return True
            if unit.preposition in ("in", "as", "using") and not unit.determined:
                strong = key in self.lexicon.media and key not in self.lexicon.weak_media
                return strong and (len(words) > 1 or joined in self.lexicon.words)
        return False

    def _medium(self, unit: Unit, position: int) -> bool:
        """Whether the head names the picture: "oil painting of …", "full length portrait"."""
        key = unit.key
        lexicon = self.lexicon
        if unit.head is None or key not in lexicon.media:
            return False
        of = any(other.governor is unit and other.preposition in ("of", "about", "with", "by", "depicting", "showing")
                 for other in self.units[position + 1 : position + 3])  # fmt: skip
        if of or self.content_seen:
            return True
        return subject_length(unit) == 0

    def _split_tail(self, unit: Unit) -> Unit | None:
        """Split "walter white | portrait": the words in front are content, the medium becomes a tag of its own."""
        if unit.head is None or not unit.words:
            return None
        pure = [token for token in unit.words + unit.verbs if token.lower in word_lists()["pure-style"]]
        behind = [token for token in pure if token.start >= unit.head.start and len(unit.words) > 1]
        if behind and not unit.determined:
            return _without(unit, behind)  # "soft shadow | minimal"
        if unit.words[-1] is not unit.head:
            return None
        lexicon = self.lexicon
        tail = " ".join(unit.lower[-2:])
        if unit.key in lexicon.media and unit.relation == "start" and not self.content_seen:
            length = subject_length(unit)
        elif tail in word_lists()["medium-tails"]:
            length = len(unit.words) - 2
            if not any(token.tag.startswith("NN") for token in unit.words[:length]):
                return None  # "a large framed oil painting" on a wall
        else:
            return None
        if not 0 < length < len(unit.words):
            return None
        style = Unit(-1, unit.fragment, unit.sentence)
        style.words, unit.words = unit.words[length:], unit.words[:length]
        style.head, style.style = style.words[-1], True
        nouns = [token for token in unit.words if token.tag.startswith("NN")]
        unit.head = nouns[-1] if nouns else unit.words[-1]
        return style

    def _split_front(self, unit: Unit) -> Unit | None:
        """Split "aerial photography | forest": a medium in front of what it shows, without "of"."""
        words, pure = unit.lower, word_lists()["pure-style"]
        if unit.relation == "start":
            named = next((i for i in range(1, min(4, len(words) - 1)) if words[i] in _STYLED), 0)
            if named and not unit.determined:
                return self._cut(unit, named + 1)  # "pixar style grumpy cactus"
            if not self.content_seen and (length := self._medium_in_front(words)):
                return self._cut(unit, length)
        found = 0
        while (
            not unit.determined
            and found < len(words) - 1
            and words[found] in pure
            and unit.words[found] is not unit.head
        ):
            found += 1  # "hyperrealistic macro | dewdrop"
        return self._cut(unit, found) if found else None

    def _medium_in_front(self, words: Sequence[str]) -> int:
        """How many of a unit's words are a medium, or the style of a design, in front of what it shows."""
        media, designs = word_lists()["front-media"], word_lists()["designs"]
        for length in range(1, min(8, len(words))):
            shown = length > 1 and words[length - 1] in media and words[length] not in word_lists()["medium-things"]
            design = words[length] in designs and length == len(words) - 1
            design = design and (words[length - 1] in self.lexicon.words or words[length - 1] in _LOGOS)
            if (shown or design) and covered([word for word in words[:length] if shown or word not in _LOGOS]):
                return length
        return 0

    @staticmethod
    def _cut(unit: Unit, length: int) -> Unit:
        """Make a style unit of the first words of a unit."""
        style = Unit(-1, unit.fragment, unit.sentence)
        style.words, unit.words = unit.words[:length], unit.words[length:]
        style.head, style.style = style.words[-1], True
        return style

    def _predicate_is_style(self, position: int) -> bool:
        """ "trending on artstation", "rendered in octane"; not "painted wings" or "drawn by horses"."""
        unit = self.units[position]
        if unit.key == "trending":
            return True
        if position + 1 >= len(self.units) or self.units[position + 1].governor is not unit:
            return True
        target = self.units[position + 1]
        if target.preposition == "by":
            return not target.determined
        return unit.key in word_lists()["site-verbs"] and (is_free_style(target) or target.key in self.lexicon.media)


def _without(unit: Unit, tokens: Sequence[Token]) -> Unit:
    """Take `tokens` out of the unit; they are a tag of their own."""
    style = Unit(-1, unit.fragment, unit.sentence)
    style.words, style.head, style.style = list(tokens), tokens[-1], True
    unit.words = [token for token in unit.words if token not in tokens]
    unit.verbs = [token for token in unit.verbs if token not in tokens]
    if unit.head in tokens:
        nouns = [token for token in unit.words if token.tag.startswith("NN")]
        unit.head = nouns[-1] if nouns else unit.words[-1]
    return style


def _merge(units: Sequence[Unit]) -> list[Unit]:
    """Join a predicate and what it is about into one tag; "8 k trending on artstation" is one."""
    merged: list[Unit] = []
    replaced: dict[int, Unit] = {}
    for unit in units:
        above = unit.governor
        if above is not None and id(above) in replaced:
            unit.governor = above = replaced[id(above)]
        joins = (
            above is not None
            and above.style
            and merged
            and merged[-1] is above
            and above.words[-1].lower in word_lists()["site-verbs"]
            and (unit.style or above.words[-1].lower == "trending")
            and unit.relation == "prep"
            and unit.preposition != "by"
        ) or (
            above is not None
            and above.style
            and unit.style
            and merged
            and merged[-1] is above
            and unit.preposition == "of"
            and above.preposition == "of"
        )
        if joins and above is not None:
            above.words = above.words + unit.words
            above.verbs = above.verbs + unit.verbs
            above.head = above.head or unit.head
            replaced[id(unit)] = above
            continue
        merged.append(unit)
    return merged
