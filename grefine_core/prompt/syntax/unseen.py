"""Which units name nothing that can be looked for: places in the picture, the whole of it, moods and qualities."""

from __future__ import annotations

import re

from .attachment import is_animate
from .lexicon import style_lexicon, word_lists
from .senses import ADJECTIVE, can_be_seen, code_of, is_abstract, noun_kinds
from .tokens import Token
from .tree import Unit

_SEEN = frozenset("AMPVDBYOLGIHN")  # see `senses`: kinds of things that can be seen
_THINGS = frozenset("AMPVDBYO")
_OUTLOOKS = frozenset(["of", "over", "across", "onto"])
_BOUNDARIES = frozenset(["edge", "edges", "corner", "corners"])
_SOURCES = frozenset(["source", "sources"])
_SPANS = frozenset(["seconds", "minutes", "hours", "days", "weeks", "months", "years", "decades", "centuries"])
_FRUIT = frozenset(["oranges"])  # of the colours in the plural, those that are things
_BODY = frozenset(["back", "front", "side", "sides"])
_DECADE = re.compile(r"(?:1\d|20)\d0s|\d0s")
_AGE = re.compile(r"(?:twen|thir|for|fif|six|seven|eigh|nine)ties")
_WIDE_PLACES = frozenset(["background", "foreground", "distance", "midground", "frame", "horizon line"])


def names_no_thing(unit: Unit, following: Unit | None, content_seen: bool) -> bool:
    """Whether a unit names no thing: "in the background", "the overall mood", "a sense of wonder".

    following: the unit behind it. content_seen: whether a thing was named in front of it.
    """
    lists = word_lists()
    if unit.head is None or unit.head.quoted or _stands_there(unit):
        return False
    if _is_the_view(unit) or _DECADE.fullmatch(unit.key) or (unit.head.told and _AGE.fullmatch(unit.key)):
        return True  # "in his sixties"
    wide = unit.relation == "prep" and unit.key in _WIDE_PLACES and unit.determined
    plain = all(token is unit.head or token.lower in lists["picture-wholes"] for token in unit.words)
    if wide and all(token is unit.head or _describes(token) for token in unit.words):
        return True  # "in the hazy distance", "in the dim background"
    if plain and unit.key in lists["picture-places"]:
        if _is_boundary(unit, following) or _is_body(unit, following):
            return False
        return unit.relation == "prep" or (unit.determined and content_seen)
    overlooks = unit.key in ("view", "views", "glimpse") and unit.preposition == "with"
    if (
        overlooks
        and following is not None
        and following.governor is unit
        and unit.head.told
        and following.preposition in _OUTLOOKS
    ):
        return True  # "a terrace with a view of the sea"
    described = all(token is unit.head or token.tag.startswith(("JJ", "VB", "RB", "NN")) for token in unit.words)
    whole = unit.key in lists["whole-qualities"] and unit.determined and unit.relation == "start"
    if whole and unit.head.told and described:
        return True  # "the saturated colors"
    shows = any(token.lower in lists["showing"] for token in unit.verbs)
    if plain and unit.key in lists["views"] and shows and unit.relation == "start":
        return True  # "an overhead view shows a table"
    if plain and unit.key in lists["picture-words"] and unit.determined:
        if unit.key == "frame" and following is not None and following.governor is unit and can_be_seen(following.key):
            return following.preposition != "of"  # "the frame of a roller coaster"
        held = unit.relation == "object" and unit.article in ("a", "an") and can_be_seen(unit.key)
        return not held  # "lifts a frame"
    above = unit.governor
    # "… A puppy sleeps. Bright, airy and full of joy."
    left_over = above is not None and above.head is None and unit.preposition == "of" and unit.sentence > 0
    return content_seen and (unit.head.told or left_over) and _is_unseen(unit, following)


def _describes(token: Token) -> bool:
    """Whether a word in front of a noun is no noun itself, whatever the tagger took it for."""
    return token.tag.startswith(("JJ", "VB", "RB")) or code_of(token.lower)[:1] == ADJECTIVE


def _is_boundary(unit: Unit, following: Unit | None) -> bool:
    """Whether a sentence tells of the edge or the corner of a thing: "a cap with light along its edge".

    Where the picture is meant, the place opens the clause ("In the corner hang dried chillies"), or the picture is
    named.
    """
    above = unit.governor
    if unit.head is None or not unit.head.told or unit.key not in _BOUNDARIES or len(unit.words) > 1:
        return False
    if following is not None and following.governor is unit and following.preposition == "of":
        return following.key not in word_lists()["picture-words"] and following.key not in style_lexicon().media
    return unit.owned or (above is not None and not above.style and above.sentence == unit.sentence)


def _is_body(unit: Unit, following: Unit | None) -> bool:
    """Whether a place is a part of somebody: "sleeps on its back", "on the back of an enormous turtle"."""
    if unit.key not in _BODY or unit.head is None or not unit.head.told:
        return False
    if following is not None and following.governor is unit and following.preposition == "of":
        return is_animate(following) or noun_kinds(following.key)[:1] in ("A", "P")
    return unit.owned


def _is_the_view(unit: Unit) -> bool:
    """Whether the unit is "the view" of a sentence: "palm fronds frame the view"."""
    return unit.lower == ["view"] and unit.article == "the" and unit.words[0].told


def _is_unseen(unit: Unit, following: Unit | None) -> bool:
    """Whether a unit names a mood, a quality or a thought, by its noun or by what is said about it."""
    lists, key, above = word_lists(), unit.key, unit.governor
    if unit.lower[:1] == ["sense"]:
        return True  # "a sense of scale", whatever a scale is elsewhere
    if key in _SPANS or (above is not None and above.key in _SPANS and unit.preposition == "of"):
        return True  # "handles darkened by years of use"
    held = above is not None and not above.style and unit.preposition == "of" and can_be_seen(above.key)
    if held and key in _FRUIT:
        return False  # "a crate of oranges"
    if key in lists["visible"] or key in lists["feature"] or key in lists["animate"] or key in lists["colors"]:
        return False
    if _measures_things(unit, following):
        return False
    if unit.head is not None and len(unit.words) > 1 and unit.head.text.istitle():
        return False  # "Milky Way"
    if key in lists["moods"] or is_abstract(key):
        return True
    about = above is not None and above.style and bool(above.verbs) and above.verbs[-1].lower in lists["evoking"]
    if about and unit.relation in ("object", "conj"):
        return True
    measures = following is not None and following.governor is unit and following.preposition == "of"
    if measures and following is not None and key in lists["mood-measures"]:
        return following.key in lists["moods"] or is_abstract(following.key)
    if measures and following is not None and key in _SOURCES:
        return following.key in style_lexicon().heads  # "the only source of illumination"
    if unit.relation == "prep" and above is not None and above.style and above.key in lists["picture-words"]:
        return key in lists["picture-words"] or key in style_lexicon().heads  # "the palette consists of earth tones"
    kinds = noun_kinds(key)
    if not kinds or kinds[0] in _SEEN or key in lists["time"]:
        return False
    if above is None:
        return False
    if unit.determined and above.head is not None and above.head.about:
        return False  # "emphasizing the texture of every whisker"
    if unit.relation == "prep" and unit.preposition in ("of", "between", "from"):
        return above.style and above.head is not None and (above.key in lists["moods"] or is_abstract(above.key))
    told = bool(above.verbs) and above.verbs[-1].lower in lists["telling"]
    return unit.relation in ("object", "conj") and told


def _measures_things(unit: Unit, following: Unit | None) -> bool:
    """Whether an abstract noun tells how things are there: "a scatter of coins", "a gap between his teeth"."""
    if following is None or unit.article not in ("a", "an"):
        return False
    if following.governor is not unit and following.preposition != "between":
        return False
    if following.preposition not in ("of", "between") or unit.key in word_lists()["mood-measures"]:
        return False
    several = following.head is not None and following.head.tag == "NNS"
    seen = can_be_seen(following.key) or following.key in word_lists()["feature"]
    shown = several or (seen and following.preposition == "between")
    return shown and following.key not in word_lists()["moods"] and not is_abstract(following.key)


def _stands_there(unit: Unit) -> bool:
    """Whether something is in a place of the picture, whatever its name is elsewhere: "a camera hangs there"."""
    placed = any(token.lower in word_lists()["posture"] for token in unit.verbs)
    return placed and unit.article in ("a", "an") and can_be_seen(unit.key)


def acts(unit: Unit) -> bool:
    """Whether a style word of a sentence is a thing after all: somebody's ("its wallpaper"), or one that acts."""
    if unit.head is None or not unit.head.told:
        return False
    if _stands_there(unit):
        return True
    if unit.key in word_lists()["picture-words"]:
        return False
    lexicon, loose, lists = style_lexicon(), unit.key in word_lists()["loose-heads"], word_lists()
    several = unit.key.endswith("s") and unit.key in lexicon.media and not unit.head.about
    shown = lists["showing"] | lists["evoking"] | lists["seeming"]
    if several and any(token.tag == "VBP" and token.lower not in shown for token in unit.verbs):
        return True  # "chalk drawings cover the pavement"
    # "its glow painting his chin"
    seen = loose or (unit.owned and unit.key in lists["visible"]) or not _THINGS.isdisjoint(noun_kinds(unit.key))
    if not seen or unit.key in lexicon.strong_media or (unit.key in lexicon.heads and not loose):
        return False
    pictured = unit.key in lexicon.media and not unit.owned
    return unit.owned or any(
        token.tag in ("VBZ", "VBP") and not (pictured and token.lower in shown) for token in unit.verbs
    )
