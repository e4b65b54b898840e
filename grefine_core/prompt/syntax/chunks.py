"""From roles to noun-phrase units, each with the unit that governs it.

One pass from left to right over the words. A unit is open as long as words join its noun phrase; verbs, participles
and predicate adjectives join the unit of their subject. What governs a unit is decided when it opens, by the rules of
`attachment`; style tags are only told apart afterwards (`style`), so here "portrait of a king" is two units.
"""

from __future__ import annotations

from collections.abc import Sequence

from .attachment import (
    conjunct_governor,
    governor_of,
    is_animate,
    is_feature,
    is_medium,
    subject_before,
    subject_of,
    upwards,
    wears,
)
from .lexicon import style_lexicon, wide_prepositions, word_lists
from .rows import starts_in_rows
from .terms import is_ban
from .tokens import Token
from .tree import Unit
from .words import (
    ADVERB,
    BARRIER,
    BREAK,
    CONJUNCTION,
    DETERMINER,
    END,
    GLUE,
    MODIFIER,
    NEGATION,
    NOMINAL,
    NOUN,
    PARTICLE,
    POSSESSIVE,
    PREPOSITION,
    RELATIVE,
    SKIP,
    STARTS,
    VERB,
    kinds,
)


class Chunker:
    """Builds the units of one prompt; `run` returns them in the order of the prompt."""

    def __init__(self, tokens: Sequence[Token], roles: Sequence[str]) -> None:
        self.tokens = tokens
        self.roles = roles
        self.rows = starts_in_rows(tokens, roles)  # where another thing starts without a comma
        self.units: list[Unit] = []
        self.open: Unit | None = None
        self.fragment = 0
        self.sentence = 0
        self.relation = "start"
        self.preposition = ""
        self.governor: Unit | None = None
        self.determined = self.owned = False
        self.article = ""
        self.subject: Unit | None = None  # of the verb read last, while words may still join it
        self.clause: Unit | None = None  # main noun of the clause: subject of finite verbs
        self.new_clause = False
        self.relative: Unit | None = None
        self.counted: Unit | None = None  # what was counted last ("2girls")
        self.leading: list[Token] = []  # verbs in front of any noun
        self.negated = False
        self.negator = ""  # the word that negated last
        self.banned = ""  # how far a "leave out …" reaches: "clause", or the "sentence" that it opens
        self.dropped: set[int] = set()  # indices of negated units
        self.absent: list[Unit] = []  # these units, when all is read

    def run(self) -> list[Unit]:
        """All units but the negated ones."""
        i = 0
        while i < len(self.tokens):
            i = self._step(i)
        self._close()
        if self.leading and self.units:
            self.units[-1].verbs += self.leading
        for unit in self.units:
            above = unit.governor
            if unit.words and unit.words[0].part == "absent":
                self.dropped.add(unit.index)
            if any(token.lower in ("missing", "absent") for token in unit.verbs):
                self.dropped.add(unit.index)  # "its doors missing"
            if unit.relation == "prep" and above is not None and above.index in self.dropped and self._goes_with(unit):
                self.dropped.add(unit.index)  # "no people in the background"
        self.absent = [unit for unit in self.units if unit.index in self.dropped]
        return [unit for unit in self.units if unit.index not in self.dropped and (unit.words or unit.verbs)]

    def _goes_with(self, unit: Unit) -> bool:
        """Whether what hangs on something absent is absent, too: "no man with a hat", but not "no leaf in a field"."""
        place = unit.preposition.split()[0] in word_lists()["place-prepositions"]
        return not place or unit.key in word_lists()["picture-places"]

    # One token ------------------------------------------------------------------------------------------------------

    def _step(self, i: int) -> int:
        role, token = self.roles[i], self.tokens[i]
        if role in NOMINAL:
            return self._nominal(i, role)
        if role == POSSESSIVE:
            if self.open is not None:
                self.open.words.append(token)
                self.open.head = None
        elif role in (ADVERB, VERB) and token.about:
            self._close()  # "shot on film": of nothing in the picture
            self.subject = None
            self._expect("start", None)
        elif role == ADVERB:
            self._adverb(token, i)
        elif role == VERB:
            return self._verb(i)
        elif role == PARTICLE:
            if self.subject is not None:
                self.subject.verbs.append(token)
        elif role == PREPOSITION:
            return self._preposition(i)
        elif role == DETERMINER:
            self._determiner(i)
        elif role == CONJUNCTION:
            self._conjunction(i)
        elif role == RELATIVE:
            self._close()
            self.relative = self.units[-1] if self.units else None
            self._expect("next", self.relative)
        elif role == NEGATION:
            if token.lower in ("without", "lacking", "minus"):
                self._close()
            if not (self.open is not None and self.open.head is None):
                self._close()
            self.negated, self.negator = True, token.lower
            if is_ban(self.tokens, i):
                opens = i == 0 or self.roles[i - 1] in (END, BARRIER)
                self.banned = "sentence" if opens and token.text[:1].isupper() else "clause"
        elif role == SKIP:
            self._skip(token)
        elif role in STARTS:
            self._break(i, role)
        return i + 1

    def _expect(self, relation: str, governor: Unit | None, preposition: str = "") -> None:
        self.relation, self.governor, self.preposition = relation, governor, preposition

    def _open(self) -> Unit:
        unit = Unit(len(self.units), self.fragment, self.sentence)
        relation = self.relation
        if relation == "start" and self.units and self.units[-1].fragment == self.fragment:
            relation = "next"
        unit.relation, unit.preposition = relation, self.preposition
        unit.governor = self.governor if relation != "next" or self.governor else self.nearest()
        unit.determined, unit.owned = self.determined, self.owned
        unit.article = self.article if self.determined else ""
        if self.negated:
            self.dropped.add(unit.index)
        self.units.append(unit)
        self.open = unit
        if self.leading:
            unit.verbs += self.leading
            self.leading = []
        self.determined = self.owned = False
        return unit

    def _close(self) -> None:
        unit = self.open
        if unit is None:
            return
        self.open = None
        if unit.head is None and unit.words and unit.words[-1].tag == "POS":
            unit.words.pop()
            unit.head = unit.words[-1] if unit.words else None
        self.negated = False
        if unit.head is not None or unit.relation != "start":
            shown = unit.preposition == "of" and is_medium(unit.governor)
            if self.clause is None or self.new_clause or self.clause.fragment != unit.fragment or shown:
                self.clause, self.new_clause = unit, False
        self._expect("next", None)

    def nearest(self) -> Unit | None:
        """The unit in front, if it belongs to the same fragment."""
        if self.units and self.units[-1].fragment == self.fragment:
            return self.units[-1]
        return None

    # Noun phrases ---------------------------------------------------------------------------------------------------

    def _nominal(self, i: int, role: str) -> int:
        token = self.tokens[i]
        if token.quoted and self._lettering(token):
            return i + 1
        if self.open is None:
            predicate = self._predicate(i, role)
            if predicate is not None:
                predicate.verbs.append(token)
                return i + 1
            self._open()
        unit = self.open
        if unit is None:  # for the type checker: _open has set it
            return i + 1
        in_row = i in self.rows
        if unit.head is not None and (
            in_row or (role == MODIFIER and self._splits(unit, i)) or wears(unit, self.tokens, self.roles, i)
        ):
            self._close()
            if in_row:
                self._expect("next", self._bearer(unit, i))
            unit = self._open()
        self.subject = None
        unit.words.append(token)
        if role == NOUN:
            unit.head = token
            self.counted = unit if token.counted else self.counted
        return i + 1

    def _bearer(self, unit: Unit, i: int) -> Unit | None:
        """What a thing hangs on that stands right behind another: who wears it, else what that one hangs on."""
        i += 1
        while i < len(self.roles) and self.roles[i] in (*NOMINAL, GLUE) and i not in self.rows:
            i += 1
        chain = upwards(unit)
        bearer = next((one for one in chain if is_animate(one)), None)
        if bearer is not None and is_feature(self.tokens[i - 1].lower):
            return bearer
        return chain[-1] if len(chain) > 1 else unit

    def _lettering(self, token: Token) -> bool:
        """Hang a word in quotation marks on what bears it; False if nothing does."""
        bearer = self.open if self.open is not None and self.open.head is not None else self.subject
        if bearer is None and self.open is None and self.relation in ("prep", "object", "next"):
            bearer = self.governor
        if bearer is None and self.open is None and self.relation == "start" and token.titled and self.units:
            bearer = self.units[-1]  # "a birthday cake, text: 'Happy Birthday'"
        if bearer is None and self.open is None and self.relation == "start" and self._is_shown(token):
            bearer = self.units[-1]  # "wooden sign, 'Fresh Eggs'"
        if bearer is None:
            return False
        self._close()
        bearer.verbs.append(token)
        self._after_verb(bearer)
        return True

    def _is_shown(self, token: Token) -> bool:
        """Whether words in quotation marks that stand by themselves are to be read on the thing in front of them.

        Some put every tag into quotation marks, the first one, too.
        """
        if not self.units or self.tokens[0].start > 0 or self.units[-1].words[-1:] == []:
            return False
        unit = self.units[-1]
        carries = unit.key in word_lists()["carriers"] or token.text[:1].isupper()
        return carries and unit.head is not None and not unit.head.quoted and unit.sentence >= self.sentence - 1

    def _predicate(self, i: int, role: str) -> Unit | None:
        """The subject that an adjective without a noun joins: "is very happy", "on a stormy ,"."""
        if role != MODIFIER or self._noun_follows(i):
            return None
        if i + 1 < len(self.roles) and self.roles[i + 1] == MODIFIER and self.tokens[i + 1].tag == "CD":
            return None
        if self.relation == "copula":
            return self.governor
        token = self.tokens[i]
        if token.told and self.relation == "start" and self.units and self.units[-1].sentence == self.sentence:
            subject = subject_before(self)  # "a cat is stretched across a quilt, unaware of the storm"
            if subject is not None and subject.sentence == self.sentence:
                return subject
        if i + 1 < len(self.roles) and self.roles[i + 1] == BREAK and self._list_goes_on(i + 1):
            return None
        if (
            self.relation == "prep"
            and "JJ" in kinds(token.lower)
            and token.tag in ("JJ", "JJR", "VBN")
            and "NN" not in kinds(token.lower)
        ):
            return self.governor
        if self.relation in ("next", "object") and self.subject is not None:
            return self.subject
        return None

    def _noun_follows(self, i: int) -> bool:
        before = MODIFIER
        for k, role in enumerate(self.roles[i + 1 : i + 13], start=i + 2):
            if role == NOUN:
                return True
            # "inconceivable and spectacular a scene": some put the article late.
            joins = role == CONJUNCTION and k < len(self.roles) and self.roles[k] == MODIFIER
            if role not in (MODIFIER, GLUE) and not joins and not (role == DETERMINER and before == MODIFIER):
                return False
            before = role
        return False

    def _splits(self, unit: Unit, i: int) -> bool:
        """Whether a modifier behind a noun opens a new phrase: behind a medium ("oil portrait red cathedral")."""
        head = unit.key
        lexicon = style_lexicon()
        if head not in lexicon.media or head in lexicon.weak_media or not self._noun_follows(i):
            return False
        if head + " " + self.tokens[i].lower in lexicon.terms:
            return False
        noun = ""
        for role, token in zip(self.roles[i : i + 12], self.tokens[i : i + 12], strict=True):
            if role not in (MODIFIER, NOUN, GLUE):
                break
            noun = token.lower if role == NOUN else noun
        return noun not in lexicon.words and noun not in lexicon.heads and noun not in lexicon.media

    def _determiner(self, i: int) -> None:
        unit = self.open
        if unit is not None and unit.head is None and unit.words and self._noun_follows(i):
            unit.determined = True  # "spectacular a scene"
            return
        self._close()
        self.subject = None
        self.determined, self.owned = True, self.tokens[i].tag == "PRP$"
        self.article = self.tokens[i].lower

    def _adverb(self, token: Token, i: int) -> None:
        if self.negated:
            return
        if self.open is None and self.subject is None and self.roles[i + 1 : i + 2] == [VERB]:
            return  # "she carefully places"
        if self.open is not None:
            self.open.verbs.append(token)
        elif self.subject is not None:
            self.subject.verbs.append(token)
        else:
            unit = self._open()
            unit.words.append(token)

    # Between the noun phrases ---------------------------------------------------------------------------------------

    def _verb(self, i: int) -> int:
        token = self.tokens[i]
        unit = self.open
        trending = token.lower == "trending"
        if trending and unit is not None and unit.head is None:
            unit.words.append(token)  # "8 k trending on artstation"
            self._after_verb(unit)
            return i + 1
        self._close()
        starts = self.nearest() is None
        if trending or (starts and token.lower in style_lexicon().verbs):
            self._expect("start" if starts else "next", None)
            fresh = self._open()
            fresh.kind = "predicate"
            fresh.words.append(token)
            self.open = None
            self._after_verb(fresh)
            return i + 1
        subject = subject_of(self, i)
        if self.negated:
            self._after_verb(subject)  # "isn't wearing a hat": its object is negated, too
            return i + 1
        if subject is None or (is_medium(subject) and self.roles[i - 1] == PREPOSITION):
            self.leading.append(token)
            self._expect("start", None)
            return i + 1
        subject.verbs.append(token)
        self._after_verb(subject)
        return i + 1

    def _after_verb(self, subject: Unit | None) -> None:
        self.subject = subject
        self._expect("object", subject)

    def _preposition(self, i: int) -> int:
        word, length = self.tokens[i].lower, 1
        for words in wide_prepositions().get(word, ()):
            same = tuple(token.lower for token in self.tokens[i : i + len(words)]) == words
            if same and set(self.roles[i : i + len(words)]) == {PREPOSITION}:
                word, length = " ".join(words), len(words)
                break
        if self.negated and self.relation == "object":
            self.negated = False
        unit = self.open
        partitive = unit is not None and unit.head is not None and unit.key in word_lists()["partitive"]
        if word == "of" and partitive and self._nominal_after(i):
            return i + 1 + (self.roles[i + 1] == DETERMINER)  # "a pair of lips": the unit stays open
        self._close()
        governor = governor_of(self, word, i + length)
        if self.subject is not None:
            governor = self.subject
        if governor is None and word == "of" and self.units:
            governor = self.units[-1]  # "in the, style, of …"
        self._expect("prep", governor, word)
        self.subject = None
        self.relative = None
        self.new_clause = word in ("as", "while", "when", "where", "because", "if", "than")
        return i + length

    def _nominal_after(self, i: int) -> bool:
        rest = self.roles[i + 1 : i + 3]
        return bool(rest) and (rest[0] in NOMINAL or (rest[0] == DETERMINER and len(rest) > 1 and rest[1] in NOMINAL))

    def _conjunction(self, i: int) -> None:
        unit = self.open
        following = self.roles[i + 1] if i + 1 < len(self.roles) else END
        if unit is not None and unit.head is None and unit.words and following in (*NOMINAL, DETERMINER, ADVERB):
            return  # "monstrous and twisted altar"
        described = unit is not None and unit.head is not None and unit.words[-1] is not unit.head
        if described and following == MODIFIER and self._noun_follows(i + 1):
            return  # "hybrid exquisite and beautiful hatchet"
        if unit is not None and unit.head is not None and self._pair(unit, i):
            return
        if unit is None and self.relation == "prep" and following != VERB:
            return  # "art by and greg rutkowski"
        negated = unit is not None and unit.index in self.dropped and self.tokens[i].lower in ("or", "nor", "and")
        listed = unit is None and self.negated and self.tokens[i].lower in ("or", "nor")  # "no hats, or umbrellas"
        self._close()
        if following == VERB or (following == SKIP and self.subject is not None):
            return
        predicate = following in (MODIFIER, ADVERB) and not self._noun_follows(i + 1)
        if predicate and self.subject is not None and self.relation in ("copula", "object"):
            return  # "is playful and adventurous"
        before = self.nearest()
        if before is not None:
            self._expect("conj", conjunct_governor(before))
        elif self.units:
            self._expect("start", None)
        either = (
            self.tokens[i].lower in ("or", "nor")
            or bool(self.banned)
            or (before is not None and before.relation != "start")
        )
        other = self.negator == "no" and self.tokens[i].lower in ("and", "&", "+") and following == DETERMINER
        self.negated = listed or (negated and before is not None and either and not other)  # "no leaves and a crow"
        self.subject = None
        self.new_clause = before is self.clause

    def _pair(self, unit: Unit, i: int) -> bool:
        """ "salt and pepper", and adjectives that were read as nouns: "gold and silver ring" stays two."""
        if i + 1 >= len(self.tokens):
            return False
        middle = " and " if self.tokens[i].lower in ("and", "&", "+") else f" {self.tokens[i].lower} "
        pair = unit.key + middle + self.tokens[i + 1].lower
        return pair in word_lists()["pairs"] or f"{unit.key} & {self.tokens[i + 1].lower}" in style_lexicon().terms

    def _skip(self, token: Token) -> None:
        word = token.lower
        self._close()
        if word in ("is", "are", "was", "were", "'s", "being", "be", "am"):
            subject = self.relative or self.clause if self.clause and self.clause.fragment == self.fragment else None
            if word == "being":
                subject = self.nearest() or subject
            if subject is not None:
                self.subject = subject
                self._expect("copula", subject)
        elif word in ("while", "when", "where", "because", "if"):
            self.new_clause = True
            self.subject = None
        elif word in word_lists()["pronouns"] and self.relation == "prep":
            self._expect(
                "next", None
            )  # "with a hat above it and a dog": the pronoun was what the preposition asked for

    def _break(self, i: int, role: str) -> None:
        unit = self.open
        if role == BREAK and unit is not None and unit.head is None and unit.words and self._continues(unit, i):
            return
        banned = role == BREAK and self.units and self.units[-1].index in self.dropped and self._lists_more(i)
        self._close()
        self.fragment += 1
        self._expect("start", None)
        self.determined = self.owned = self.new_clause = False
        self.banned = self.banned if role == BREAK and self.banned == "sentence" else ""
        self.negated = bool(self.banned) or bool(banned)  # "Avoid text, logos and people."
        self.subject = self.relative = None
        if role == END:
            self.sentence += 1
            self.clause = None
            if self.leading and self.units:
                self.units[-1].verbs += self.leading
            self.leading = []

    def _lists_more(self, comma: int) -> bool:
        """Whether a list that an "or" ends goes on behind a comma: "no houses, cabins or roads"."""
        for k in range(comma + 1, min(len(self.roles), comma + 9)):
            if self.tokens[k].lower in ("or", "nor"):
                return True
            if self.roles[k] not in (*NOMINAL, GLUE, BREAK):
                return False
        return False

    def _continues(self, unit: Unit, i: int) -> bool:
        """Adjectives in front of a comma that belong to the noun behind it ("a modern, contemporary interior")."""
        opens_prompt = unit.index == 0 and not any(word in style_lexicon().terms for word in unit.lower)
        if not (unit.determined or unit.relation in ("prep", "object", "conj") or opens_prompt):
            return False
        return self._list_goes_on(i)

    def _list_goes_on(self, comma: int) -> bool:
        """Whether adjectives and commas from here on lead to a noun that is no style tag."""
        lexicon, start, k = style_lexicon(), comma + 1, comma + 1
        while k < len(self.roles) and k - comma < 12:
            role = self.roles[k]
            if role == NOUN:
                while k + 1 < len(self.roles) and self.roles[k + 1] in (*NOMINAL, GLUE) and k - comma < 12:
                    k += 1
                word, words = self.tokens[k].lower, [token.lower for token in self.tokens[start : k + 1]]
                tag = word in lexicon.heads or word in lexicon.words or word in lexicon.media
                return not tag and " ".join(words) not in lexicon.terms
            joins = role == CONJUNCTION and k > start and self.roles[k + 1 : k + 2] == [MODIFIER]
            if (role == BREAK and k > start) or joins:
                start = k + 1
            elif role not in (MODIFIER, GLUE):
                return False
            k += 1
        return False
