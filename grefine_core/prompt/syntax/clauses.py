"""The verbs of sentences, where the tagger took them for nouns or adjectives.

A sentence has a verb that agrees with its subject; a heap of noun phrases has none. So where a clause of a sentence has
no verb yet, it is looked for where it must stand: behind the subject, in the form that goes with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .lexicon import IRREGULAR_PARTICIPLES, common_words, word_lists
from .predicates import ends, is_comparative, mark_colored, mark_painted, mark_predicates, mark_results
from .senses import ADJECTIVE, ADVERB, VERB, code_of, is_unknown, may_act, names_thing, noun_kinds, noun_pairs, singular
from .tokens import AND, COMMA, STOP, WALL, WORD, Token

_SHORTEST = 2  # words of a sentence
_FINITE = ("VBZ", "VBP", "MD", "VB")
_OBJECT = ("DT", "PRP$", "PRP", "PDT", "WP$")  # opens what a verb acts on
_BEHIND = (*_OBJECT, "IN", "TO", "RP", "RB", "EX")
_THIRD = frozenset(["he", "she", "it", "everything", "everyone", "everybody", "nobody", "someone", "something"])
_MANY = frozenset(["they", "we", "you", "i"])
_EITHER = frozenset(
    ["it", "you", "everything", "everyone", "everybody", "nobody", "someone", "something"]
)  # objects, too
_CLOSED = frozenset(["DT", "PRP", "PRP$", "CC", "TO", "MD", "CD", "POS", "WDT", "WP", "WP$", "WRB", "EX", "PDT"])
_OPENERS = frozenset(
    ["while", "as", "when", "where", "which", "who", "that", "because", "until", "though", "whose", "so"]
)
_VERBS_OF = frozenset(["smell", "dream", "reek", "consist", "speak", "think", "boast"])  # go with "of"
_AGREEING = {"both": "VBP", "another": "VBZ", "each": "VBZ"}  # the verbs of these if they stand for nouns
_BOTH = frozenset(["both", "either", "neither"])  # in front of two things, and of no verb
_LOOK_BACK = 12  # words between a verb and its subject


def mend_clauses(tokens: Sequence[Token]) -> dict[int, str]:
    """Write better tags into the verbs of sentences; index of a word -> what it is, where that is certain.

    "verb", "predicate" (an adjective without its noun) or "noun".
    """
    found: dict[int, str] = {}
    mark_painted(tokens, found)
    written = list(sentences(tokens))
    for start, end in written:
        _mend_nouns(tokens, start, end, found)
        _mend_progressive(tokens, start, end, found)
        _mend_pronouns(tokens, start, end, found)
        _mend_subjects(tokens, start, end, found)
        _mend_interrupted(tokens, start, end, found)
        _mend_series(tokens, start, end, found)
        _mend_causatives(tokens, start, end, found)
        _mend_perfect(tokens, start, end, found)
        mark_predicates(tokens, start, end, found)
        mark_results(tokens, start, end, found)
        mark_colored(tokens, start, end, found)
        told = any(_is_finite(tokens, i) for i in range(start, end))
        for token in tokens[start:end]:
            token.told = told
    if any(tokens[start].told for start, _ in written):
        for start, end in written:
            if not tokens[start].told and _mend_bare(tokens, start, end, found):
                for token in tokens[start:end]:
                    token.told = True
    return found


def sentences(tokens: Sequence[Token]) -> Iterator[tuple[int, int]]:
    """(start, end) of what is written as a sentence: with a capital, or a pronoun, and a full stop."""
    start, told = 0, False
    for end in range(len(tokens) + 1):
        at_end = end == len(tokens)
        if not at_end and tokens[end].kind not in (STOP, WALL):
            continue
        stopped = not at_end and tokens[end].text[0] in ".!?…"
        prose = all(token.part == "prose" for token in tokens[start:end])
        written = stopped or (at_end and told and start < end and tokens[start].tag in (*_OBJECT, "EX"))
        if prose and end - start >= _SHORTEST and written:
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
    """Whether the tagger took the word for the verb of a clause."""
    token = tokens[i]
    if token.tag == "POS":
        return False
    if token.lower in word_lists()["be"]:
        return token.lower not in ("be", "been", "being")
    if token.tag == "VB":
        return i > 0 and tokens[i - 1].kind == WORD and tokens[i - 1].tag != "TO"
    if token.tag == "VBD":
        return i + 1 < len(tokens) and tokens[i + 1].tag in _OBJECT
    return token.tag in _FINITE


def _has_verb(tokens: Sequence[Token], start: int, end: int, found: dict[int, str], awaited: bool = False) -> bool:
    """Whether a clause has its verb; a verb that does not agree with its subject was a noun.

    awaited: a clause in front has a subject and no verb ("a woman with freckles and dreadlocks looks up").
    """
    seen = False
    for i in range(start, end):
        token = tokens[i]
        if found.get(i) == "verb" and token.tag != "VBG":
            seen = True
        elif _is_finite(tokens, i):
            if token.tag in ("MD", "VBD") or token.lower in word_lists()["be"]:
                seen = True
                continue
            k = _behind_adverbs(tokens, start, i)
            subject = _subject(tokens, start, k + 1)
            single = _is_third(token)
            if subject is not None and _is_noun(tokens[k]) and single == _is_plural(subject) and k == i - 1:
                either = subject.lower in word_lists()["same-plurals"] or subject.lower.endswith("fish")
                if not awaited and noun_kinds(token.lower) and not seen and not either:
                    token.tag = "NNS" if single else "NN"
                    continue
            elif subject is not None and _is_noun(tokens[k]) and _is_verb_form(token) and not seen:
                found[i] = "verb"
            seen = True
    return seen


def _behind_adverbs(tokens: Sequence[Token], start: int, i: int) -> int:
    """Index of the word in front of `i` and of the adverbs, or the lettering, there."""
    k = i - 1
    while k > start and (tokens[k].tag == "RB" or tokens[k].quoted):
        k -= 1
    return k


def _is_noun(token: Token) -> bool:
    """Whether the word may be a noun: as it is tagged, or since no verb stands there."""
    if token.tag.startswith("NN"):
        return True
    known = token.tag in ("JJ", "VBP", "VB") and (bool(noun_kinds(token.lower)) or is_unknown(token.lower))
    return known and code_of(token.lower)[:1] != ADJECTIVE and token.lower not in word_lists()["colors"]


def _acts_first(token: Token) -> bool:
    """Whether a word is a verb before it is anything else: "tugs"."""
    return code_of(singular(token.lower) or token.lower)[:1] == VERB


def _is_only_verb(token: Token) -> bool:
    """Whether a word is a verb in its basic form or in -s, and never anything else: "appear", "recedes"."""
    word = token.lower
    if token.quoted or code_of(singular(word) if _is_third(token) else word) != VERB:
        return False
    return not {"NN", "NNS", "JJ"} & set(common_words().get(word, "").split("|"))


def _is_plural(token: Token) -> bool:
    word = token.lower
    if word.endswith(("people", "women", "children", "sfolk", "rfolk")) or word in (
        "men",
        "police",
        "passersby",
        "crew",
        "kids",
        "mice",
        "geese",
        "feet",
        "teeth",
        "wolves",
        "leaves",
    ):
        return True
    if not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return False
    return token.tag == "NNS" or bool(singular(word)) or token.tag == "NNPS"


def _is_third(token: Token) -> bool:
    """Whether a verb of this form goes with one subject: "falls"."""
    return token.lower.endswith("s") and not token.lower.endswith("ss")


def _is_verb_form(token: Token) -> bool:
    """Whether a word may be a verb of a clause, in its basic form or in -s."""
    word = token.lower
    if token.kind != WORD or token.quoted or token.tag in _CLOSED or not token.text[:1].islower():
        return False
    if word.endswith(("ing", "ed")) and VERB not in code_of(word):
        return False
    if not word.isalpha() or word in word_lists()["place-prepositions"]:
        return False
    known = common_words().get(word, "").split("|")
    return may_act(word) or bool({"VBZ", "VBP"} & set(known))


def _subject(tokens: Sequence[Token], start: int, i: int) -> Token | None:
    """Head of the subject of a verb at `i`: the last noun of the first noun phrase of its clause."""
    head = None
    for token in tokens[max(start, i - _LOOK_BACK) : i]:
        known = bool(noun_kinds(token.lower)) or is_unknown(token.lower)
        if head is not None and token.quoted:
            continue  # "the words 'VISIT LUNA' appear"
        if token.tag.startswith("NN") or (token.tag in ("JJ", "VBP", "VB") and known):
            head = token
        elif head is not None and token.tag not in ("JJ", "POS", "HYPH", "CD", "VBN", "RB"):
            break
        elif token.tag in ("IN", "TO") and token.lower not in _OPENERS:
            return None  # "Behind the bar …": what follows may be anything
    return head


def _mend_subjects(tokens: Sequence[Token], start: int, end: int, found: dict[int, str]) -> None:
    """The verbs behind subjects that are nouns: "light trembles", "a tiger guards the bed"."""
    seen = pending = fronted = bare = False
    for first, last in _clauses(tokens, start, end):
        opener = tokens[first - 1] if first > start else None
        if _has_verb(tokens, first, last, found, awaited=pending and not seen):
            seen, pending = True, False
            continue
        joined = opener is not None and (opener.tag == "CC" or opener.kind == AND)
        paired = (
            joined and pending and bare and tokens[max(0, first - 2)].kind != COMMA
        )  # "a bride and her father dance"
        under = opener is not None and opener.lower in _OPENERS
        # ", and" hardly ends a list whose last thing has a verb: "…, and bundles of lavender dry from the beams".
        apart = joined and seen and first > start + 1 and tokens[first - 2].kind == COMMA
        needed = opener is None or under or (not seen and (fronted or (joined and pending)))
        for i in range(first + 1, last):
            own = apart and i > first + 2 and tokens[i - 2].lower == "of" and _is_plural(tokens[first])
            own = own or (apart and tokens[first].tag in ("DT", "PRP$") and _acts_first(tokens[i]))
            if _is_verb(tokens, first, i, last, needed or own, paired):
                tokens[i].tag = "VBZ" if tokens[i].lower.endswith("s") else "VBP"
                if tokens[i - 1].tag in ("JJ", "VB", "VBP"):
                    tokens[i - 1].tag = "NNS" if _is_plural(tokens[i - 1]) else "NN"
                found[i] = "verb"
                seen = True
                break
        else:
            pending = not seen
            bare = all(token.tag not in ("IN", "TO", "VBG", "VBN") for token in tokens[first:last])
            fronted = fronted or (opener is None and tokens[first].tag in ("IN", "RB", "VBN", "VBG"))
            continue
        pending = False


def _mend_bare(tokens: Sequence[Token], start: int, end: int, found: dict[int, str]) -> bool:
    """The verb of a sentence that none was found for, among others that have one: "Laundry flaps on a line."."""
    for i in range(start + 1, min(end, start + _LOOK_BACK)):
        token, after = tokens[i], tokens[i + 1] if i + 1 < end else None
        if token.kind != WORD:
            return False
        subject, k = _subject(tokens, start, i), i - 1
        while k > start and (tokens[k].tag in ("RB", "VBG") or tokens[k].lower in word_lists()["end-adverbs"]):
            k -= 1
        stops = after is None or after.tag in _BEHIND or after.kind == COMMA
        stops = stops or (after is not None and after.lower in word_lists()["end-adverbs"])
        if subject is None or tokens[k] is not subject or not stops or not _is_verb_form(token):
            continue
        several = _is_plural(subject) or subject.lower in word_lists()["same-plurals"]
        if f"{tokens[i - 1].lower} {token.lower}" in noun_pairs() or _is_third(token) == several:
            continue
        if (
            after is not None
            and after.kind == WORD
            and f"{tokens[i - 1].lower} {singular(token.lower)}" in noun_pairs()
        ):
            continue  # "Coffee beans on a table."
        token.tag, found[i] = "VBZ" if _is_third(token) else "VBP", "verb"
        if after is not None and after.lower in word_lists()["end-adverbs"]:
            after.tag = "IN"  # "hurry past without looking"
        return True
    return False


def _is_verb(tokens: Sequence[Token], first: int, i: int, end: int, needed: bool, many: bool) -> bool:
    """Whether the word at `i` is the verb of a clause that has none.

    needed: the sentence has none so far, so that one must come. many: the subject has a part before "and".
    """
    token = tokens[i]
    if not _is_verb_form(token):
        return False
    word, k = token.lower, _behind_adverbs(tokens, first, i)
    before, subject = tokens[k], _subject(tokens, first, k + 1)
    named = _is_noun(before) or (k > first and tokens[k - 1].lower == "of" and bool(noun_kinds(before.lower)))
    if subject is None or not named:
        return False  # the lavender of "bundles of lavender dry from the beams" is a noun, too
    if f"{before.lower} {word}" in noun_pairs() and before is subject:
        return False  # but "shafts of light filter through"
    counted = any(
        token.tag == "CD" and token.lower.isalnum() and token.lower not in ("one", "1")
        for token in tokens[max(first, k - 3) : k]
    )
    single, several = word.endswith("s") and not word.endswith("ss"), many or counted or _is_plural(subject)
    if single == several and (single or subject.lower not in word_lists()["same-plurals"]):
        return False
    speaks = word in _VERBS_OF or singular(word) in _VERBS_OF
    if i + 1 < end and tokens[i + 1].lower == "of" and before is not subject and not speaks:
        return False  # "condensation beads on the iron frame of the roof"
    several = several or not single
    close, after = before is subject, tokens[i + 1] if i + 1 < end else None
    thing = names_thing(word) and code_of(singular(word) or word)[:1] != VERB
    determined = tokens[first].tag in ("DT", "PRP$", "CD") or first == i - 1 or tokens[first].tag.startswith("JJ")
    if single and noun_kinds(word) and _stands_before_verb(tokens, i, end):
        return False  # "storm clouds gather"
    if after is None or ends(tokens, i + 1, end):
        stops = i + 1 == len(tokens) or tokens[i + 1].kind == STOP
        somebody = close and subject.lower in word_lists()["animate"]  # "while a small dog barks"
        determined = tokens[first].tag in ("DT", "PRP$") and (stops or somebody)
        if needed and not close and word in word_lists()["posture"]:
            return True  # "on which a vase of dried grass stands"
        return needed and close and (not thing or determined or (several and not single))
    if after.tag in _OBJECT or (k < i - 1 and after.tag in _BEHIND):
        return determined or needed
    if after.tag in _BEHIND or after.lower in word_lists()["end-adverbs"]:
        if several and not single and (close or needed):
            return True  # no plural stands in front of another noun: "sparks shower across"
        acts = subject.lower in word_lists()["animate"] or singular(subject.lower) in word_lists()["animate"]
        if single and (tokens[first].lower in ("a", "an") if close else _is_plural(before)):
            return True  # no plural stands behind "a river", nor behind the macaws of "a flock of macaws"
        acts = acts or tokens[first].tag in ("DT", "PRP$") or noun_kinds(before.lower)[:1] in ("Y", "H", "B", "D")
        return (not thing and (close or needed)) or (needed and close and acts)
    behind = tokens[i + 2] if i + 2 < end else None
    closes = ends(tokens, i + 2, end) or (not thing and behind is not None and behind.tag in _BEHIND)
    if after.tag in ("VBN", "JJ") and several and not single and (not noun_kinds(word) or closes):
        return True  # "gears lie scattered", "sheep graze undisturbed on"
    if after.tag[:2] in ("NN", "JJ", "CD", "VB"):  # without an article
        return needed and (single or _is_plural(before)) and f"{word} {after.lower}" not in noun_pairs()
    return False


def _mend_nouns(tokens: Sequence[Token], start: int, end: int, found: dict[int, str]) -> None:
    """Nouns that were read as something else: behind articles, in front of verbs; adverbs and comparatives."""
    listed = False  # behind "there are", where no other verb comes before the noun
    for i in range(start, end):
        token, after = tokens[i], tokens[i + 1] if i + 1 < end else None
        if token.tag == "EX":
            listed = True
        elif listed and (token.kind != WORD or token.tag in ("IN", "CC", "WDT", "WP", "WRB", "TO", "RB", "VBG")):
            listed = False
        elif token.tag == "NNP" and token.text.islower() and code_of(token.lower)[:1] == ADJECTIVE:
            token.tag = "JJ"  # "laden with figs"
        elif listed and token.tag in ("VBZ", "VBP") and token.lower not in word_lists()["be"]:
            token.tag = "NNS" if token.tag == "VBZ" else "NN"  # "there are cookie crumbs everywhere"
        if token.kind != WORD:
            continue
        behind_noun = i > start and (tokens[i - 1].quoted or tokens[i - 1].tag in ("NN", "NNS"))
        if behind_noun and token.tag in ("NN", "NNS", "JJ") and _is_only_verb(token):
            token.tag = "VBZ" if _is_third(token) else "VBP"
            found[i] = "verb"  # "layers of white card recede"
        paired = after is not None and after.tag in ("JJ", "NN") and f"{token.lower} {after.lower}" in noun_pairs()
        last = i + 2 == end or (i + 2 < end and (tokens[i + 2].kind != WORD or tokens[i + 2].tag in _BEHIND))
        if after is not None and paired and last:
            after.tag, found[i + 1] = "NN", "noun"  # "a cracked salt flat"
        token.tag = _mended(tokens, start, i, end)
        before = tokens[i - 1] if i > start else None
        counted = before is not None and token.tag == _AGREEING.get(before.lower)
        if before is not None and counted:
            before.tag, found[i] = "PRP", "verb"
        elif before is not None and before.lower == "both" and token.tag in ("VBZ", "NNS"):
            before.tag, token.tag = "PDT", "NNS"  # "rests both hands on a staff"
        opens = token.tag in ("VBZ", "VBP") and after is not None and after.tag in ("DT", "PRP$")
        if opens and before is not None and before.tag == "JJ" and noun_kinds(before.lower):
            before.tag, found[i] = "NN", "verb"  # "blue swallows the reef": no two noun phrases stand side by side
        if token.tag == "VBG" and after is not None and after.tag == "VBZ":
            after.tag = "NNS"  # "painting faces"


def _mended(tokens: Sequence[Token], start: int, i: int, end: int) -> str:
    """The tag of the word at `i`, mended where it is none of a noun and should be, or the other way round."""
    token, before = tokens[i], tokens[i - 1] if i > start else None
    word, tag, lists = token.lower, token.tag, word_lists()
    behind = tokens[i + 1] if i + 1 < end else None
    after = "" if behind is None else behind.tag
    stops = behind is None or behind.kind != WORD
    noun, plural = bool(noun_kinds(word)), "NNS" if word.endswith("s") else "NN"
    if tag == "VBZ" and noun and _stands_before_verb(tokens, i, end):
        return "NNS"  # "Storm clouds gather", "Maple leaves carpet a path"
    if before is None:
        return "NNS" if tag == "VBZ" and noun and behind is not None and after not in _OBJECT else tag
    named = behind is not None and behind.lower == "of" and before.tag[:2] in ("NN", "JJ") and word not in _VERBS_OF
    if tag in ("VB", "VBP") and noun and named:
        return "NN"  # "the iron frame of the roof"
    if before.lower == "to" and _is_verb_form(token) and (after in _OBJECT or (stops and not names_thing(word))):
        return "VB"  # "crouches to tie her boot"
    if (
        before.kind == COMMA
        and (word in lists["past-forms"] or word in IRREGULAR_PARTICIPLES)
        and after in ("IN", "RB")
        and tag in ("VB", "VBP", "VBD", "NN", "JJ")
    ):
        return "VBN"  # "an egg, cut in half"
    if tag == "VBD" and before.tag in ("DT", "PRP$", "JJ") and after.startswith("NN"):
        return "NN" if noun else "JJ"  # "a green felt mat"
    if word == "well" and before.tag == "NN" and before.lower in lists["materials"] and ends(tokens, i + 1, end):
        return "NN"  # "a stone well"
    if tag == "MD" and noun and before.tag[:2] in ("NN", "VB") and (stops or after in ("IN", "DT")):
        return "NN"  # "an oil can"
    if tag in ("VB", "VBP", "VBZ") and noun and before.tag in ("DT", "PRP$"):
        if tag == _AGREEING.get(before.lower):
            return tag  # "both chew", "another dusts": as nouns they would be in the other number
        return plural
    described = before.tag in ("JJ", "VBN") and i > start + 1 and tokens[i - 2].tag in ("DT", "PRP$")
    if tag == "RB" and noun and described and ends(tokens, i + 1, end):
        return "NN"  # "above the overgrown midway"
    if tag == "RB" and noun and before.tag == "PRP$" and (stops or after in _BEHIND):
        return "NN"  # "sleeps on its back"
    if tag == "RB" and noun and before.tag in ("DT", "PRP$", "JJ", "VBN") and ADVERB not in code_of(word):
        return "NN" if ends(tokens, i + 1, end) else tag
    if tag.startswith("NN") and word in lists["end-adverbs"] and ends(tokens, i + 1, end):
        return "RB"
    if tag in ("NN", "JJ") and word in lists["end-adverbs"] and after == "IN" and before.tag.startswith("VB"):
        return "RB"  # "squeeze past with baskets"
    if tag == "NN" and is_comparative(word) and not after.startswith("NN"):
        return "JJR"
    opens = before.kind == COMMA and word in lists["transitive"] and word.endswith("ing")
    return "VBG" if opens and tag == "NN" and after[:2] in ("NN", "VB", "JJ", "DT") else tag


def _stands_before_verb(tokens: Sequence[Token], i: int, end: int) -> bool:
    """Whether a verb in its basic form stands behind the word: it is one, hardly anything else, or has an object."""
    token, behind = tokens[i + 1] if i + 1 < end else None, tokens[i + 2] if i + 2 < end else None
    if token is None or _is_third(token) or not _is_verb_form(token) or token.tag in _BEHIND:
        return False
    first = token.tag in ("VB", "VBP") or code_of(token.lower)[:1] == VERB
    return first or (behind is not None and behind.tag in _OBJECT)


def _mend_pronouns(tokens: Sequence[Token], start: int, end: int, found: dict[int, str]) -> None:
    """The verbs of pronouns: "we glimpse a sea", "he now rests on a bench"."""
    for i in range(start, end - 1):
        word = tokens[i].lower
        stands = word in word_lists()["lone-pronouns"] and i > start and tokens[i - 1].tag == "DT"
        after = tokens[i + 2] if i + 2 < end else None
        told = after is not None and (after.quoted or after.tag in _BEHIND)
        stands = stands or (word in ("another", "each") and told and _is_verb_form(tokens[i + 1]))
        stands = stands or (word == "one" and (i == start or tokens[i - 1].kind == COMMA))
        if word not in _THIRD | _MANY and not stands:
            continue
        if word in _EITHER and i > start and tokens[i - 1].tag in ("IN", "VBG", "TO"):
            continue
        k = i + 1
        while k < end and (tokens[k].tag in ("RB", "MD") or tokens[k].lower in word_lists()["be"]):
            k += 1
        modal = any(token.tag == "MD" for token in tokens[i + 1 : k])
        if k == end or any(token.lower in word_lists()["be"] for token in tokens[i + 1 : k]):
            continue
        single = _is_third(tokens[k])
        lettering = k + 1 < end and tokens[k + 1].quoted
        if stands and not lettering and not ends(tokens, k + 1, end) and tokens[k + 1].tag not in (*_BEHIND, "CC"):
            continue  # "the other dogs"
        if stands and single:
            tokens[i].tag = "PRP"
        if _is_verb_form(tokens[k]) and single == ((word in _THIRD or stands) and not modal):
            tokens[k].tag = "VB" if modal else "VBZ" if single else "VBP"
            found[k] = "verb"


def _mend_interrupted(tokens: Sequence[Token], start: int, end: int, found: dict[int, str]) -> None:
    """Verbs behind what stands between them and their subjects: "its fur, full of spots, ripples in the wind"."""
    opening = [token.tag for token in tokens[start : min(end, start + 3)]]
    if (
        opening[:1] in (["RB"], ["IN"])
        and opening[1:2] in (["VBP"], ["VBZ"])
        and opening[2:] in (["DT"], ["CD"], ["JJ"])
    ):
        found[start + 1] = "verb"  # "Outside stand a bicycle and a bench"
        return
    commas = [i for i in range(start, end) if tokens[i].kind == COMMA]
    if len(commas) < 2:
        return
    subject = _subject(tokens, start, commas[0])
    if subject is None or any(_is_finite(tokens, i) for i in range(start, commas[0])):
        return
    for comma in commas[1:]:
        k = comma + 1
        while k < end and tokens[k].tag == "RB":
            k += 1
        if k >= end or any(_is_finite(tokens, i) for i in range(commas[0], comma)):
            return
        if _is_verb_form(tokens[k]) and _is_third(tokens[k]) != _is_plural(subject):
            behind = tokens[k + 1] if k + 1 < end else None
            if tokens[k].tag in ("VBZ", "VBP") or (behind is not None and behind.tag in _BEHIND):
                tokens[k].tag, found[k] = "VBZ" if _is_third(tokens[k]) else "VBP", "verb"
                return


def _is_result(token: Token) -> bool:
    return token.tag.startswith("JJ") or token.lower in word_lists()["colors"]


def _lifts(tokens: Sequence[Token], i: int, end: int) -> bool:
    """Whether a word in -s stands in front of what it acts on: "lifts a tray"."""
    return i + 1 < end and _is_third(tokens[i]) and _is_verb_form(tokens[i]) and tokens[i + 1].tag in _OBJECT


def _mend_series(tokens: Sequence[Token], start: int, end: int, found: dict[int, str]) -> None:
    """Further verbs of one subject: "leans on the counter and counts its coins", "perch on stools and slurp"."""
    form = ""
    for i in range(start, end - 1):
        finite = tokens[i].tag in ("VBZ", "VBP") or (tokens[i].tag == "VB" and _is_finite(tokens, i))
        if finite and tokens[i].lower not in word_lists()["be"]:
            form = "VBZ" if _is_third(tokens[i]) else "VBP"
        at = i + 1
        while at + 1 < end and tokens[at].tag == "RB" and tokens[i].tag == "CC":
            at += 1  # "and slowly spins"
        token = tokens[at]
        opens = (tokens[i].tag == "CC" and tokens[i].lower not in _BOTH) or tokens[i].kind in (COMMA, AND)
        single = _is_third(token)
        behind = tokens[i + 2 : i + 4]
        if (
            not form
            and tokens[i].kind == COMMA
            and len(behind) == 2
            and behind[0].tag == "CC"
            and (behind[1].tag == "VBZ" or _lifts(tokens, i + 3, end))
            and single
            and _is_verb_form(token)
        ):
            found[i + 3] = "verb"
            behind[1].tag = "VBZ"
            token.tag, found[i + 1] = "VBZ", "verb"  # "Its owner, a farm girl, laughs and holds the halter"
            continue
        if opens and form == "VBZ" and token.tag in ("VB", "VBP") and _is_listed(tokens, start, i):
            token.tag = "NN"  # "carves out every wrinkle and pore"
        if not (opens and form and _is_verb_form(token) and single == (form == "VBZ")):
            continue
        after = tokens[at + 1] if at + 1 < end else None
        first = at > i + 1 or code_of(singular(token.lower) or token.lower)[:1] == VERB
        joined = tokens[i].tag == "CC"
        pair = joined and i > start and tokens[i - 1].tag == form  # "boils and spits hot oil"
        if after is None or ends(tokens, at + 1, end):
            acts = joined and (first or not names_thing(token.lower))
        elif (
            (token.tag == form or first or not names_thing(token.lower))
            and after.tag[:2] in ("NN", "JJ")
            and f"{token.lower} {after.lower}" not in noun_pairs()
        ):
            acts = True  # "kneels by a stream and swirls gravel"
        elif after.tag in _OBJECT or pair or (_is_result(after) and ends(tokens, at + 2, end)):
            acts = True
        else:
            acts = after.tag in _BEHIND and (first or (joined and token.tag == form) or not names_thing(token.lower))
        if acts:
            token.tag = form
            found[at] = "verb"


def _is_listed(tokens: Sequence[Token], start: int, i: int) -> bool:
    """Whether a word behind the "and" at `i` is a noun like the one in front: no verb of its form stands there."""
    token = tokens[i + 1]
    before = tokens[max(start, i - _LOOK_BACK) : i]
    plain = tokens[i].tag == "CC" and i > start and tokens[i - 1].tag == "NN" and ends(tokens, i + 2, len(tokens))
    other = any(word.tag in ("VB", "VBP", "TO", "MD") for word in before)
    return plain and not other and bool(noun_kinds(token.lower)) and not _is_third(token)


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


def _mend_perfect(tokens: Sequence[Token], start: int, end: int, found: dict[int, str]) -> None:
    """What somebody has done: "has left a bicycle", "has run dry"."""
    for i in range(start, end - 1):
        if tokens[i].lower not in ("has", "have", "had"):
            continue
        k = i + 1
        while k < end - 1 and tokens[k].tag == "RB":
            k += 1
        after = tokens[k + 1] if k + 1 < end else None
        if tokens[k].lower in word_lists()["past-forms"] and (after is None or not after.tag.startswith("NN")):
            tokens[k].tag, found[k] = "VBN", "verb"
            if after is not None and after.tag == "JJ" and ends(tokens, k + 2, end):
                found[k + 1] = "predicate"


def _mend_causatives(tokens: Sequence[Token], start: int, end: int, found: dict[int, str]) -> None:
    """What something is made to do: "makes the red fruit pop"."""
    for i in range(start, end - 2):
        if tokens[i].lower not in word_lists()["causatives"] or not tokens[i].tag.startswith("VB"):
            continue
        k, noun = i + 1, False
        while k < end and k - i < _LOOK_BACK and tokens[k].tag[:2] in ("DT", "PR", "JJ", "NN", "CD", "VB"):
            if noun and _is_verb_form(tokens[k]) and not _is_plural(tokens[k]) and not tokens[k].lower.endswith("s"):
                behind = tokens[k + 1] if k + 1 < end else None
                if (behind is None or behind.kind != WORD or behind.tag in _BEHIND) and (
                    f"{tokens[k - 1].lower} {tokens[k].lower}" not in noun_pairs()
                ):
                    tokens[k].tag = "VB"
                    found[k] = "verb"
                    break
            if tokens[k].tag == "VBZ" and noun_kinds(tokens[k].lower):
                tokens[k].tag = "NNS"  # "makes the brass bells gleam"
            noun = tokens[k].tag.startswith("NN") or tokens[k].tag == "PRP"
            k += 1
