"""The verbs of sentences, where the tagger took them for nouns or adjectives.

A sentence has a verb that agrees with its subject; a heap of noun phrases has none. So where a clause of a sentence has
no verb yet, it is looked for where it must stand: behind the subject, in the form that goes with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .lexicon import common_words, word_lists
from .senses import ADJECTIVE, VERB, code_of, may_act, names_thing, noun_kinds, noun_pairs, singular
from .tokens import AND, COMMA, STOP, WALL, WORD, Token

_SHORTEST = 4  # words of a sentence
_FINITE = ("VBZ", "VBP", "MD", "VB")
_OBJECT = ("DT", "PRP$", "PRP", "PDT", "WP$")  # opens what a verb acts on
_BEHIND = (*_OBJECT, "IN", "TO", "RP", "RB", "EX")
_THIRD = frozenset(["he", "she", "it", "everything", "everyone", "everybody", "nobody", "someone", "something"])
_MANY = frozenset(["they", "we", "you", "i"])
_CLOSED = frozenset(["DT", "PRP", "PRP$", "CC", "TO", "MD", "CD", "POS", "WDT", "WP", "WP$", "WRB", "EX", "PDT"])
_OPENERS = frozenset(["while", "as", "when", "where", "which", "who", "that", "because", "until", "though", "whose"])
_LOOK_BACK = 12  # words between a verb and its subject


def mend_clauses(tokens: Sequence[Token]) -> dict[int, str]:
    """Write better tags into the verbs of sentences; index of a word -> "verb" or "predicate", where that is certain."""
    found: dict[int, str] = {}
    for start, end in _sentences(tokens):
        for token in tokens[start:end]:
            token.told = True
        _mend_progressive(tokens, start, end, found)
        _mend_pronouns(tokens, start, end, found)
        _mend_subjects(tokens, start, end, found)
        _mend_series(tokens, start, end, found)
        _mend_causatives(tokens, start, end, found)
        _mark_predicates(tokens, start, end, found)
    return found


def _sentences(tokens: Sequence[Token]) -> Iterator[tuple[int, int]]:
    """(start, end) of what is written as a sentence: with a capital, or a pronoun, and a full stop."""
    start, told = 0, False
    for end in range(len(tokens) + 1):
        at_end = end == len(tokens)
        if not at_end and tokens[end].kind not in (STOP, WALL):
            continue
        stopped = not at_end and tokens[end].text[0] in ".!?…"
        prose = all(token.part == "prose" for token in tokens[start:end])
        if prose and end - start >= _SHORTEST and (stopped or (at_end and told)):
            yield start, end
        told = told or stopped
        start = end + 1


def _clauses(tokens: Sequence[Token], start: int, end: int) -> Iterator[tuple[int, int]]:
    """(start, end) of the stretches between commas, conjunctions and relative pronouns."""
    first = start
    for i in range(start, end + 1):
        opens = i < end and (
            tokens[i].kind in (COMMA, AND) or tokens[i].tag == "CC" or (i > start and tokens[i].lower in _OPENERS)
        )
        if i == end or opens:
            if i > first:
                yield first, i
            first = i + 1


def _is_finite(tokens: Sequence[Token], i: int) -> bool:
    token = tokens[i]
    if token.lower in word_lists()["be"]:
        return token.lower not in ("be", "been", "being")
    if token.tag == "VB":
        return i > 0 and tokens[i - 1].tag != "TO"
    if token.tag == "VBD":
        return i + 1 < len(tokens) and tokens[i + 1].tag in _OBJECT
    return token.tag in _FINITE


def _has_verb(tokens: Sequence[Token], start: int, end: int) -> bool:
    return any(_is_finite(tokens, i) for i in range(start, end))


def _is_plural(token: Token) -> bool:
    word = token.lower
    if word in ("people", "children", "men", "women", "police", "mice", "geese", "feet", "teeth", "wolves", "leaves"):
        return True
    if not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return False
    return token.tag == "NNS" or bool(singular(word)) or token.tag == "NNPS"


def _is_verb_form(token: Token) -> bool:
    """Whether a word may be a verb of a clause, in its basic form or in -s."""
    word = token.lower
    if token.kind != WORD or token.quoted or token.tag in _CLOSED or word.endswith(("ing", "ed")):
        return False
    if not word.isalpha() or word in word_lists()["place-prepositions"]:
        return False
    known = common_words().get(word, "").split("|")
    return may_act(word) or bool({"VBZ", "VBP"} & set(known))


def _ends(tokens: Sequence[Token], i: int, end: int) -> bool:
    return i >= end or tokens[i].kind != WORD or tokens[i].tag == "CC"


def _subject(tokens: Sequence[Token], start: int, i: int) -> Token | None:
    """Head of the subject of a verb at `i`: the last noun of the first noun phrase of its clause."""
    head = None
    for token in tokens[max(start, i - _LOOK_BACK) : i]:
        noun = token.tag.startswith("NN") or (token.tag in ("JJ", "VBP", "VB") and bool(noun_kinds(token.lower)))
        if noun:
            head = token
        elif head is not None and token.tag not in ("JJ", "POS", "HYPH", "CD", "VBN", "RB"):
            break
        elif token.tag in ("IN", "TO") and token.lower not in _OPENERS:
            return None  # "Behind the bar …": what follows may be anything
    return head


def _mend_subjects(tokens: Sequence[Token], start: int, end: int, found: dict[int, str]) -> None:
    """The verbs behind subjects that are nouns: "light trembles", "a tiger guards the bed"."""
    whole = not _has_verb(tokens, start, end)
    for first, last in _clauses(tokens, start, end):
        if _has_verb(tokens, first, last):
            whole = False
            continue
        for i in range(first + 1, last):
            if _is_verb(tokens, first, i, last, whole):
                tokens[i].tag = "VBZ" if tokens[i].lower.endswith("s") else "VBP"
                found[i] = "verb"
                whole = False
                break


def _is_verb(tokens: Sequence[Token], first: int, i: int, end: int, needed: bool) -> bool:
    """Whether the word at `i` is the verb of a clause that has none; `needed`: nor has the whole sentence."""
    token = tokens[i]
    if not _is_verb_form(token):
        return False
    word, k = token.lower, i - 1
    while k > first and tokens[k].tag == "RB":
        k -= 1
    before = tokens[k]
    subject = _subject(tokens, first, k + 1)
    noun = before.tag.startswith("NN") or (before.tag in ("JJ", "VBP", "VB") and bool(noun_kinds(before.lower)))
    if subject is None or not noun or f"{before.lower} {word}" in noun_pairs():
        return False
    single = word.endswith("s") and not word.endswith("ss")
    if single == _is_plural(subject):
        return False
    close, after = before is subject, tokens[i + 1] if i + 1 < end else None
    thing = names_thing(word) and code_of(singular(word) or word)[:1] != VERB
    determined = tokens[first].tag in ("DT", "PRP$", "CD") or first == i - 1 or tokens[first].tag.startswith("JJ")
    if after is None or _ends(tokens, i + 1, end):
        return needed and close and not thing and (i + 1 == end or tokens[i + 1].kind != WORD)
    if after.tag in _OBJECT or (k < i - 1 and after.tag in _BEHIND):
        return determined or needed
    if after.tag in _BEHIND:
        acts = subject.lower in word_lists()["animate"] or singular(subject.lower) in word_lists()["animate"]
        return (not thing and (close or needed)) or (needed and close and acts)
    if after.tag[:2] in ("NN", "JJ", "CD", "VB"):  # without an article
        return needed and (single or _is_plural(before)) and f"{word} {after.lower}" not in noun_pairs()
    return False


def _mend_pronouns(tokens: Sequence[Token], start: int, end: int, found: dict[int, str]) -> None:
    """The verbs of pronouns: "we glimpse a sea", "he now rests on a bench"."""
    for i in range(start, end - 1):
        word = tokens[i].lower
        if word not in _THIRD | _MANY or (i > start and tokens[i - 1].tag in ("IN", "VBG", "TO")):
            continue
        k = i + 1
        while k < end and (tokens[k].tag in ("RB", "MD") or tokens[k].lower in word_lists()["be"]):
            k += 1
        modal = any(token.tag == "MD" for token in tokens[i + 1 : k])
        if k == end or any(token.lower in word_lists()["be"] for token in tokens[i + 1 : k]):
            continue
        single = tokens[k].lower.endswith("s") and not tokens[k].lower.endswith("ss")
        if _is_verb_form(tokens[k]) and single == (word in _THIRD and not modal):
            tokens[k].tag = "VB" if modal else "VBZ" if single else "VBP"
            found[k] = "verb"


def _mend_series(tokens: Sequence[Token], start: int, end: int, found: dict[int, str]) -> None:
    """Further verbs of one subject: "leans on the counter and counts its coins"."""
    seen = False
    for i in range(start, end - 1):
        seen = seen or _is_finite(tokens, i)
        token = tokens[i + 1]
        opens = tokens[i].tag == "CC" or tokens[i].kind in (COMMA, AND)
        if not (opens and seen and _is_verb_form(token) and token.lower.endswith("s")):
            continue
        after = tokens[i + 2] if i + 2 < end else None
        acts = after is not None and (after.tag in _OBJECT or (after.tag in _BEHIND and not names_thing(token.lower)))
        if acts:
            token.tag = "VBZ"
            found[i + 1] = "verb"


def _mend_progressive(tokens: Sequence[Token], start: int, end: int, found: dict[int, str]) -> None:
    """What somebody is doing: "is weighing blue crystals"."""
    lists = word_lists()
    for i in range(start, end - 1):
        if tokens[i].lower not in lists["be"]:
            continue
        k = i + 1
        while k < end - 1 and tokens[k].tag == "RB":
            k += 1
        token, after = tokens[k], tokens[k + 1] if k + 1 < end else None
        if not token.lower.endswith("ing") or len(token.lower) < 5:
            continue
        describes = code_of(token.lower)[:1] == ADJECTIVE or token.lower in lists["adjective-ing"]
        if describes and (after is None or after.tag not in ("DT", "PRP$", "IN", "TO", "RP", "RB")):
            continue
        if token.tag.startswith("NN") and token.lower in lists["things-ing"]:
            continue
        token.tag = "VBG"
        found[k] = "verb"


def _mend_causatives(tokens: Sequence[Token], start: int, end: int, found: dict[int, str]) -> None:
    """What something is made to do: "makes the red fruit pop"."""
    for i in range(start, end - 2):
        if tokens[i].lower not in word_lists()["causatives"] or not tokens[i].tag.startswith("VB"):
            continue
        k, noun = i + 1, False
        while k < end and k - i < _LOOK_BACK and tokens[k].tag[:2] in ("DT", "PR", "JJ", "NN", "CD"):
            if noun and _is_verb_form(tokens[k]) and not _is_plural(tokens[k]) and not tokens[k].lower.endswith("s"):
                behind = tokens[k + 1] if k + 1 < end else None
                if (behind is None or behind.kind != WORD or behind.tag in _BEHIND) and (
                    f"{tokens[k - 1].lower} {tokens[k].lower}" not in noun_pairs()
                ):
                    tokens[k].tag = "VB"
                    found[k] = "verb"
                    break
            noun = tokens[k].tag.startswith("NN") or tokens[k].tag == "PRP"
            k += 1


def _mark_predicates(tokens: Sequence[Token], start: int, end: int, found: dict[int, str]) -> None:
    """Adjectives behind linking verbs, in a list, too: "looks crisp, clean and delicious"."""
    lists = word_lists()
    for i in range(start, end - 1):
        if tokens[i].lower not in lists["linking"] and tokens[i].lower not in lists["be"]:
            continue
        if tokens[i].lower in lists["linking"] and not tokens[i].tag.startswith("VB"):
            continue
        last, k = i, i + 1
        adjectives: list[int] = []
        while k < end:
            token = tokens[k]
            if _is_adjective(token) and not _describes_noun(tokens, k, end):
                adjectives.append(k)
                last = k
            elif token.tag != "RB" and token.kind != COMMA and token.tag != "CC":
                break
            k += 1
        if last > i:
            found.update((k, "predicate") for k in adjectives)


def _is_adjective(token: Token) -> bool:
    if token.kind != WORD or token.quoted:
        return False
    return token.tag == "JJ" or (token.tag in ("NN", "VB", "RB") and code_of(token.lower)[:1] == ADJECTIVE)


def _describes_noun(tokens: Sequence[Token], i: int, end: int) -> bool:
    """Whether a noun follows that the adjective belongs to."""
    for token in tokens[i + 1 : min(end, i + _LOOK_BACK)]:
        if token.tag.startswith("NN") and not _is_adjective(token):
            return True
        if not (token.tag in ("JJ", "VBN", "VBG", "CD") or token.kind == "hyphen" or _is_adjective(token)):
            return False
    return False
