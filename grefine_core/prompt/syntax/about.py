"""Clauses about the picture itself: how it was taken or made, its light, its colours, what it looks like.

"The telephoto lens compresses the distance", "It reads like a page from a bedtime story", "Shot on an old phone",
"Make it look like a still from a film": what such a clause names is in no place of the picture, unless the clause says
that the picture shows it, or names something of the scene again ("the tracks", "her skin").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .clauses import sentences
from .lexicon import phrases_of, style_lexicon, word_lists
from .senses import can_be_seen
from .terms import starts_phrase
from .tokens import AND, COMMA, WORD, Token
from .words import ADVERB, DETERMINER, GLUE, MODIFIER, NOMINAL, NOUN, POSSESSIVE

_SUBJECTS = frozenset(["it", "this", "that", "everything", "all", "these"])
_WISHES = frozenset(["want", "like", "love", "prefer", "need"])
_ASKING = frozenset(["make", "keep", "give", "let", "use"])  # whatever the tagger takes them for
_INDEFINITE = frozenset(["a", "an", "some", "no", "any", "another"])
_CLAUSE_WORDS = frozenset(
    ["while", "as", "where", "so", "because", "when", "but", "yet", "although", "though", "whereas"]
)
_FINITE = ("VBZ", "VBP", "VBD", "MD")
_WATCHERS = frozenset(["viewer", "viewers", "observer", "onlooker", "spectator", "beholder", "audience", "us"])
_LOOKING = frozenset(
    ["look", "looks", "peer", "peers", "point", "points", "gaze", "gazes", "stare", "stares", "aim", "aims", "tilts"]
)
_TOWARDS = frozenset(["at", "into", "toward", "towards", "onto", "over", "across", "through", "down", "up", "on"])
_LONGEST_SUBJECT = 10  # words


def mark_about(tokens: Sequence[Token], roles: Sequence[str]) -> None:
    """Write into the tokens which of them are said about the picture as a whole."""
    if not any(token.told for token in tokens):
        return
    for start, end in sentences(tokens):
        before, opened = (start, start), False
        for first, last in _clauses(tokens, roles, start, end):
            if _goes_on(tokens, before, first) or _opens_picture(tokens, roles, first, last, end):
                for token in tokens[first:last]:
                    token.about = not token.quoted
                opened = tokens[first].lower not in _SUBJECTS
            else:
                _mark_clause(tokens, roles, first, last, opened)
                opened = False
            before = (first, last)
        _mark_comparisons(tokens, roles, start, end)


def _clauses(tokens: Sequence[Token], roles: Sequence[str], start: int, end: int) -> Iterator[tuple[int, int]]:
    """(start, end) of the stretches that have a subject and a verb of their own."""
    first = start
    for i in range(start + 1, end):
        opens = tokens[i].kind in (COMMA, AND) or tokens[i].tag == "CC" or tokens[i].lower in _CLAUSE_WORDS
        if not opens:
            continue
        k = i + 1
        while k < end and (tokens[k].tag == "CC" or tokens[k].lower in _CLAUSE_WORDS or tokens[k].lower == "that"):
            k += 1
        if k < end and _finite_behind(tokens, roles, k, end):
            if i > first:
                yield first, i
            first = k
    if end > first:
        yield first, end


def _goes_on(tokens: Sequence[Token], before: tuple[int, int], first: int) -> bool:
    """Whether a clause says what the picture is like: "the photograph looks as though it belongs in a cookbook"."""
    gap = [token.lower for token in tokens[before[1] : first]]
    return gap == ["as", "though"] and tokens[before[0]].about and tokens[first].lower in _SUBJECTS


def _opens_picture(tokens: Sequence[Token], roles: Sequence[str], first: int, last: int, end: int) -> bool:
    """Whether a clause tells how the picture was made that the next one names: "Shot from a drone, the view …"."""
    lists, k = word_lists(), last + 1
    if tokens[first].lower not in lists["taken"] or k >= end or tokens[last].kind != COMMA:
        return False
    if tokens[k].lower not in ("the", "this"):
        return False
    while k < min(end, last + _LONGEST_SUBJECT) and roles[k] in (*NOMINAL, DETERMINER, GLUE):
        k += 1
    head = tokens[k - 1].lower
    return any(head in lists[name] for name in ("picture-topics", "wholes", "views")) or head in style_lexicon().media


def _finite_behind(tokens: Sequence[Token], roles: Sequence[str], i: int, end: int) -> int:
    """Index of the finite verb of the noun phrase or pronoun that starts at `i`; 0 if there is none."""
    k = i
    while k < min(end, i + _LONGEST_SUBJECT) and (
        roles[k] in (*NOMINAL, DETERMINER, GLUE, POSSESSIVE, ADVERB) or tokens[k].tag in ("PRP", "DT", "RB")
    ):
        k += 1
    if k == i or k >= end:
        return 0
    finite = tokens[k].tag in _FINITE or (tokens[k].lower in word_lists()["be"] and tokens[k].lower != "being")
    return k if finite else 0


def _mark_clause(tokens: Sequence[Token], roles: Sequence[str], start: int, end: int, opened: bool) -> None:
    """Mark what one clause says about the picture, if it does; `opened`: what stands in front names its subject so."""
    first = start
    while first < end and (
        tokens[first].tag in ("RB", "UH", "CC") or tokens[first].lower in ("please", "overall", "maybe")
    ):
        first += 1
        if first < end and tokens[first].kind == COMMA:
            first += 1
    if first >= end:
        return
    behind = _topic(tokens, roles, first, end) or _opening(tokens, roles, first, end)
    behind = behind or (_verb_behind(tokens, first, end) if opened else 0)
    if not behind:
        _mark_named(tokens, roles, first, end)
        return
    stop = _shown_from(tokens, behind, end)
    _mark_nouns(tokens, roles, behind, stop, all_of_it=False)
    for i in range(first, max(stop, behind)):
        tokens[i].about = tokens[i].about or roles[i] not in (*NOMINAL, GLUE) or i < behind
    if stop < end and tokens[stop].tag == "VBG":
        tokens[stop].about = True  # "…, emphasizing": the picture does
    for start, last in _phrases(roles, stop, end):
        head = tokens[last - 1].lower
        if head in style_lexicon().heads and head not in word_lists()["loose-heads"] - {"texture", "textures"}:
            for token in tokens[start:last]:
                token.about = True  # "emphasizing the texture of every whisker"


def _phrases(roles: Sequence[str], start: int, end: int) -> Iterator[tuple[int, int]]:
    """(start, end) of the noun phrases without their articles."""
    i = start
    while i < end:
        first = i
        while i < end and roles[i] in (*NOMINAL, GLUE, POSSESSIVE):
            i += 1
        if i > first:
            yield first, i
        i += i == first


def _mark_named(tokens: Sequence[Token], roles: Sequence[str], first: int, end: int) -> None:
    """What the whole is called: "it is a peaceful, pastoral scene with rich colors"."""
    k = first + 1
    if tokens[first].lower not in _SUBJECTS or k + 1 >= end or tokens[k].lower not in word_lists()["be"]:
        return
    lists = word_lists()
    for start, last in _phrases(roles, k + 1, min(end, k + _LONGEST_SUBJECT)):
        if tokens[last - 1].lower in lists["views"] or tokens[last - 1].lower in lists["wholes"]:
            for token in tokens[start:last]:
                token.about = True
        if roles[last - 1] == NOUN:
            return


def _topic(tokens: Sequence[Token], roles: Sequence[str], first: int, end: int) -> int:
    """Index behind the subject of a clause, if that is the picture or what it is made with; else 0."""
    lists = word_lists()
    k = first
    definite = True
    if tokens[k].lower in ("a", "an", "his", "her", "their", "my", "one", "its", "two", "another"):
        definite = False
    while k < min(end, first + _LONGEST_SUBJECT) and roles[k] in (*NOMINAL, DETERMINER, GLUE, POSSESSIVE):
        k += 1
    if k == first or k >= end:
        return 0
    head = tokens[k - 1]
    phrase = " ".join(token.lower for token in tokens[max(first, k - 3) : k])
    phrases = (phrase, " ".join(phrase.split()[-2:]), head.lower)
    named = any(name in lists["picture-topics"] for name in phrases)
    if " of " in phrase and phrase in lists["picture-topics"]:
        definite = True  # "a shallow depth of field" is of the picture with any article
    if definite and head.lower in lists["wholes"]:
        return _said_of_it(tokens, k, end)
    gear = any(name in lists["gear-topics"] for name in phrases)
    if gear and tokens[first].tag != "PRP$" and not definite:
        return _verb_behind(tokens, k, end)
    if not definite or not (named or gear) or head.quoted:
        return 0
    verb = _verb_behind(tokens, k, end)
    if not verb:
        return 0
    if tokens[verb - 1].lower in lists["posture"] and tokens[verb - 1].lower not in ("hovers", "floats"):
        return 0  # "the camera hangs from his neck"
    if head.lower in lists["makers"] and tokens[verb - 1].lower not in lists["makers-verbs"]:
        return 0
    return verb


def _verb_behind(tokens: Sequence[Token], i: int, end: int) -> int:
    """Index behind the finite verb of a subject that ends at `i`, its prepositional phrases skipped; 0 without one."""
    for k in range(i, min(end, i + _LONGEST_SUBJECT)):
        if tokens[k].tag in _FINITE or (tokens[k].lower in word_lists()["be"] and tokens[k].lower != "being"):
            return k + 1
        if k == i and tokens[k].tag == "VBN" and k + 1 < end and tokens[k + 1].tag in ("DT", "PRP$"):
            return k + 1  # "the photographer used a slow shutter"
        if tokens[k].kind == COMMA and k > i + 8:
            return 0
    return 0


def _opening(tokens: Sequence[Token], roles: Sequence[str], first: int, end: int) -> int:
    """Index behind the words that open a clause about the picture without naming it: "Shot on", "Make it look"."""
    lists, word = word_lists(), tokens[first].lower
    after = tokens[first + 1] if first + 1 < end else None
    if after is None:
        return 0
    if word in lists["taken"] and (after.tag in ("IN", "RB", "TO") or after.lower in ("like", "as")):
        by_place = after.lower in ("from", "through", "at", "during", "against", "by", "near", "inside", "under", "to")
        return 0 if by_place else first + 1
    if word in _SUBJECTS:
        return _said_of_it(tokens, first + 1, end)
    if word in ("i", "we") or (word in lists["wished"] and (tokens[first].tag[:2] == "VB" or word in _ASKING)):
        k = first
        while k < end and k < first + 4 and tokens[k].lower not in _SUBJECTS and tokens[k].tag not in ("DT", "PRP$"):
            k += 1
        if k >= end or k == first:
            return first + 1 if word == "use" and _names_style(tokens, roles, first + 1, end) else 0
        if word in ("i", "we") and not any(token.lower in _WISHES for token in tokens[first:k]):
            return 0
        if tokens[k].lower in _SUBJECTS and tokens[k].tag != "DT":
            return _wanted_of_it(tokens, roles, k + 1, end)
        return first + 1 if _names_style(tokens, roles, k, end) else 0
    return 0


def _said_of_it(tokens: Sequence[Token], i: int, end: int) -> int:
    """Index behind the verbs of "it should feel like", "it was captured on"; 0 if they may be of something else."""
    lists = word_lists()
    for k in range(i, min(end, i + 6)):
        word = tokens[k].lower
        after = tokens[k + 1].lower if k + 1 < end else ""
        if word in lists["seeming"]:
            return k + 1 if after in ("like", "as", "very", "a", "straight", "almost", "more") or k + 1 == end else 0
        if word in lists["taken"]:
            return k + 1 if after in ("on", "with", "in", "using", "as", "like") else 0
        if tokens[k].tag not in ("MD", "RB", "TO") and word not in lists["be"] and word not in ("has", "have", "been"):
            return 0
    return 0


def _wanted_of_it(tokens: Sequence[Token], roles: Sequence[str], i: int, end: int) -> int:
    """Index behind "it" in "make it look like", "I'd like it to feel warm", "give it a vintage look"."""
    lists, k = word_lists(), i
    while k < end and tokens[k].tag in ("TO", "RB", "VB") and tokens[k].lower not in lists["seeming"]:
        k += 1
    if k < end and (tokens[k].lower in lists["seeming"] or tokens[k].lower in lists["taken"]):
        return k + 1
    if k < end and (tokens[k].lower in ("in", "with") or tokens[k].tag in ("DT", "JJ", "VBN")):
        return i if _names_style(tokens, roles, k, end) or _ends_at(tokens, k + 1, end) else 0
    return 0


def _ends_at(tokens: Sequence[Token], i: int, end: int) -> bool:
    return i >= end or tokens[i].kind != WORD or tokens[i].tag == "CC"


def _names_style(tokens: Sequence[Token], roles: Sequence[str], i: int, end: int) -> bool:
    """Whether the first noun phrase from `i` on is a matter of style: "the look of", "deep purples"."""
    lists, lexicon, k = word_lists(), style_lexicon(), i
    while k < end and (roles[k] not in NOMINAL) and k < i + 4:
        k += 1
    while k + 1 < end and roles[k + 1] in (*NOMINAL, GLUE):
        k += 1
    if k >= end:
        return False
    word = tokens[k].lower
    said = " ".join(token.lower for token in tokens[i : k + 1])
    if any(topic in said for topic in ("depth of field", "point of view", "field of view")):
        return True
    colored = word in lists["colors"] or word.removesuffix("s") in lists["colors"]
    return colored or word in lists["picture-topics"] or word in lexicon.heads or word in lexicon.strong_media


def _shown_from(tokens: Sequence[Token], start: int, end: int) -> int:
    """Index from which on a clause about the picture tells what is in it: behind "shows", "a close-up of"."""
    lists = word_lists()
    for i in range(max(start - 1, 0), end):
        word = tokens[i].lower
        if i + 2 < end and _WATCHERS & {tokens[i + 1].lower, tokens[i + 2].lower}:
            continue  # "makes the viewer feel like part of the game"
        if word in lists["showing"] or word in lists["lighting-up"]:
            return i
        if (
            word == "of"
            and i > start
            and (tokens[i - 1].lower in lists["views"] or tokens[i - 1].lower in ("photo", "still"))
        ):
            return i
        if word in ("on", "around") and tokens[i - 1].lower in lists["centering"]:
            return i
        looks = tokens[i].tag == "IN" and word in _TOWARDS and tokens[start - 1].lower in _LOOKING
        if looks:
            return i  # "the camera looks up at a skyscraper"
    return end


def _mark_nouns(tokens: Sequence[Token], roles: Sequence[str], start: int, end: int, all_of_it: bool) -> None:
    """Mark the noun phrases from `start` on, but not those that stand for something of the scene."""
    lists, lexicon = word_lists(), style_lexicon()
    done, compared = start, all_of_it
    for first, i in _phrases(roles, start, end):
        compared = compared or any(
            token.lower in lists["comparing"] or token.lower in lists["evoking"] for token in tokens[done:first]
        )
        done, before = i, tokens[first - 1]
        definite = before.tag in ("DT", "PRP$", "PDT") and before.lower not in _INDEFINITE
        head = tokens[i - 1].lower
        style = head in lexicon.heads or head in lists["picture-topics"] or head in lists["picture-places"]
        style = style or any(token.lower == "of" for token in tokens[first:i])  # "the depth of field shallow"
        followed = i < end and tokens[i].lower == "of"
        kept = definite and not style and (can_be_seen(head) or head in lists["animate"] or head in lists["feature"])
        if kept and not compared and not (followed and head in lexicon.media):
            continue
        for token in tokens[first:i]:
            token.about = not token.quoted


def _mark_comparisons(tokens: Sequence[Token], roles: Sequence[str], start: int, end: int) -> None:
    """Pictures that this one is like, anywhere: "like a still from a horror film", "as if snapped by a relative"."""
    lists, lexicon = word_lists(), style_lexicon()
    phrases = phrases_of("comparing-phrases")
    for i in range(start, end):
        length = starts_phrase(tokens, i, phrases)
        unreal = tokens[i].lower == "as" and i + 3 < end and tokens[i + 1].lower in ("if", "though")
        if unreal and tokens[i + 2].lower in lists["taken"] and tokens[i + 3].tag == "IN":
            length = 4  # "as though taken with a phone"
        if length:
            _mark_nouns(tokens, roles, i + length, _next_break(tokens, i, end), all_of_it=True)
            for token in tokens[i : i + length]:
                token.about = True
            continue
        if tokens[i].lower not in ("like", "resembling") or tokens[i].tag not in ("IN", "VBG", "JJ", "VB"):
            continue
        k = i + 1
        while k < end and roles[k] in (DETERMINER, MODIFIER, GLUE, ADVERB):
            k += 1
        while k + 1 < end and roles[k + 1] in (NOUN, GLUE) and roles[k] == NOUN:
            k += 1
        if (
            k < end
            and roles[k] == NOUN
            and (tokens[k].lower in lexicon.media or tokens[k].lower in lists["likenesses"])
        ):
            _mark_nouns(tokens, roles, i + 1, _next_break(tokens, i, end), all_of_it=True)


def _next_break(tokens: Sequence[Token], i: int, end: int) -> int:
    while i < end and tokens[i].kind != COMMA and tokens[i].lower not in _CLAUSE_WORDS - {"as"}:
        i += 1
    return i
