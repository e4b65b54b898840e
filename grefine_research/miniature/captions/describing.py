"""Prompts for miniature scenes, with their true scene graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from grefine_core.miniature.world import Split

from ..scene import Relation, Scene
from .caption import Caption, Writer
from .naming import article, be, name, pick, short_name
from .wordings import (
    GROUND_BEHIND,
    GROUND_COMMON,
    GROUND_LEAD,
    GROUND_STOP,
    GROUND_WITH,
    JOINS,
    OPENINGS,
    PREPOSITIONS,
    STRUCTURES,
    STYLE_TAGS,
    UNHELD_OPENINGS,
    VERBS,
    Structure,
)

_MIRRORED = {"above": "below", "below": "above", "beside": "beside"}
_NO_GROUND = 0.12
_STYLE_TAG = 0.08
_PREDICATE = 0.15


def describe(scene: Scene, rng: np.random.Generator, split: Split) -> Caption:
    """A prompt that names every item with all its modifiers and every relation, mostly the ground, too.

    Args:
        scene: one item or more.
        rng: decides structure and wording; the same state gives the same caption.
        split: whose structures and wordings are used; no prompt of one split has the form of one of another split.

    Returns:
        The caption; its phrases follow the rules by which the syntax tree of a prompt is built (method section 3.1).
    """
    structure = pick(rng, STRUCTURES[split])
    return _Description(scene, rng, split, structure).write()


@dataclass(frozen=True)
class _Tie:
    """A relation seen from one of its ends: ``item`` lies ``name`` the item at that end, or that one lies so to it."""

    relation: Relation
    item: int
    forward: bool


class _Description:
    """One prompt in the making."""

    def __init__(self, scene: Scene, rng: np.random.Generator, split: Split, structure: Structure) -> None:
        self.scene = scene
        self.rng = rng
        self.split = split
        self.structure = structure
        self.writer = Writer()
        self.phrases: dict[int, int] = {}  # item -> its first phrase
        self.told: set[Relation] = set()
        self.predicated = False
        self.own_ground = structure.opening in UNHELD_OPENINGS
        needed = self.own_ground or structure.ground == "lead"
        self.ground_told = not needed and rng.random() < _NO_GROUND

    def write(self) -> Caption:
        groups = self._groups()
        first = self.scene.items[groups[0][0]]
        sentence = self.structure.link == "clause"
        if self.structure.ground == "lead":
            self._ground(None)
            self.writer.say(pick(self.rng, GROUND_LEAD[self.split]))
        else:
            opening = pick(self.rng, OPENINGS[self.split][self.structure.opening])
            agreeing = {"is": be(first), "this": "these" if first.count > 1 else "this"}
            self.writer.say(opening.format_map(agreeing))
        ahead, last = JOINS[self.structure.join]
        single = all(len(group) == 1 for group in groups) and not sentence
        for k, group in enumerate(groups):
            if k:
                join = last if k == len(groups) - 1 else ahead
                if single and join == ", and":
                    join = "and"
                self.writer.say(join.format_map({"is": be(self.scene.items[group[0]])}))
            self._group(group, first=k == 0, last=k == len(groups) - 1)
        self._leftovers()
        if self.ground_told:
            self._tag()
        else:
            self._end()
        return self.writer.caption()

    # Items and their relations --------------------------------------------------------------------------------------

    def _groups(self) -> list[list[int]]:
        """Items that relations tie together, each group starting where it is told best; in random order."""
        left = list(range(len(self.scene.items)))
        groups: list[list[int]] = []
        while left:
            group = [left[0]]
            for index in group:
                group += [tie.item for tie in self._ties(index) if tie.item not in group]
            left = [index for index in left if index not in group]
            groups.append([self._start(group)] + [i for i in group if i != self._start(group)])
        order = [groups[int(k)] for k in self.rng.permutation(len(groups))]
        # What is told by mentioning an item again has to come last: what follows would seem to be part of it.
        return sorted(order, key=lambda group: len(group) > 2)

    def _start(self, group: Sequence[int]) -> int:
        """The item of a group to begin with: of a chain an end from which every relation can be told onwards."""
        if self.structure.link == "with":
            return max(group, key=lambda index: (len(self._ties(index)), -self._under(index), -index))
        return min(group, key=lambda index: (self._backward(index), len(self._ties(index)), index))

    def _backward(self, start: int) -> int:
        """How many relations "on" would have to be told from the item below if the telling began at ``start``."""
        seen, queue, count = {start}, [start], 0
        for index in queue:
            for tie in self._ties(index):
                if tie.item not in seen:
                    seen.add(tie.item)
                    queue.append(tie.item)
                    count += tie.relation.name == "on" and not tie.forward
        return count

    def _under(self, index: int) -> int:
        """On how many others the item lies: "with a square under it" says less than "on a square"."""
        return sum(tie.forward and tie.relation.name == "on" for tie in self._ties(index))

    def _ties(self, index: int) -> list[_Tie]:
        ties = [_Tie(r, r.object, True) for r in self.scene.relations if r.subject == index]
        return ties + [_Tie(r, r.subject, False) for r in self.scene.relations if r.object == index]

    def _open_ties(self, index: int) -> list[_Tie]:
        return [tie for tie in self._ties(index) if tie.relation not in self.told and tie.item not in self.phrases]

    def _group(self, group: Sequence[int], *, first: bool, last: bool) -> None:
        start = group[0]
        root = 0 if len(self.writer) else None
        sentence = self.structure.link == "clause"
        if len(group) == 1:
            if sentence:
                self.writer.say(f"there {be(self.scene.items[start])}")
            inner = first and self.structure.ground == "inner" and not self.ground_told
            looks = [word for word in (self.scene.items[start].colour, self.scene.items[start].pattern) if word]
            if last and not inner and looks and self.structure.articles and self.rng.random() < _PREDICATE:
                self._predicate(start, root, pick(self.rng, looks))
            else:
                self._item(start, root)
            if inner:
                self._ground(self.phrases[start])
            return
        self._item(start, root)
        ties = self._open_ties(start)
        if self.structure.link == "with":
            for k, tie in enumerate(ties):
                self.writer.say("and" if k else "with")
                self._with(start, tie)
        else:
            for k, tie in enumerate(ties):
                self._link(start, tie, self.structure.link, again=k > 0)
        self._chain([tie.item for tie in ties], self.structure.chain)

    def _chain(self, items: Sequence[int], style: str) -> None:
        """Go on from items that were told as partners of another."""
        for index in items:
            for tie in self._open_ties(index):
                if style == "again" or self.structure.link == "with" or self.phrases[index] != len(self.writer) - 1:
                    self._again(index, tie)
                else:
                    self._link(index, tie, style)
                self._chain([tie.item], "again")  # one relative clause is enough

    def _predicate(self, index: int, ancestor: int | None, look: str) -> None:
        """Name an item that is the last one with a relative clause for one of its looks: "a star that is red"."""
        self.predicated = True
        phrase = self._item(index, ancestor, without=look)
        self.writer.say("which" if self.split == "test" else "that")
        self.writer.say(be(self.scene.items[index]))
        self.writer.join(phrase, look)

    def _item(self, index: int, ancestor: int | None, *, without: str | None = None) -> int:
        """Name an item for the first time."""
        item = self.scene.items[index]
        words = name(item, self.rng, without=without)
        if self.structure.articles:
            self.writer.say(article(words, item))
        self.phrases[index] = self.writer.open(words, ancestor, index)
        return self.phrases[index]

    def _link(self, index: int, tie: _Tie, style: str, *, again: bool = False) -> None:
        """Tell a relation onwards from item ``index``, the last that was named; ``again``: a second one of it."""
        relation = self._seen_from(tie)
        if relation is None:
            self.writer.say("with")
            self._with(index, tie)
            return
        phrase, item = self.phrases[index], self.scene.items[index]
        if again:
            self.writer.say("and")
            style = "plain" if style in ("that", "which", "clause") else style
        if style in ("that", "which"):
            self.writer.say(style)
        participle, singular, plural = self._verb(relation)
        if style == "doing":
            self.writer.join(phrase, participle)
        elif style in ("that", "which", "clause"):
            if self.rng.random() < 0.3:
                self.writer.join(phrase, plural if item.count > 1 else singular)
            else:
                self.writer.say(be(item))
        self.writer.say(self._preposition(relation))
        self._item(tie.item, phrase)
        self.told.add(tie.relation)

    def _with(self, index: int, tie: _Tie) -> None:
        """Tell a relation from the other end: "(with) a star above it"."""
        relation = tie.relation.name if not tie.forward else _MIRRORED.get(tie.relation.name, "below")
        self._item(tie.item, self.phrases[index])
        self.writer.say(self._preposition(relation))
        self.writer.say("them" if self.scene.items[index].count > 1 else "it")
        self.told.add(tie.relation)

    def _again(self, index: int, tie: _Tie) -> None:
        """Mention an item again to tell one more relation of it: "…, and the star is above a ring"."""
        tags = not self.structure.articles
        self.writer.say("," if tags else {"semicolon": ";", "stop": "."}.get(self.structure.join, ", and"))
        self.writer.say("" if tags else "the")
        phrase = self.writer.open(short_name(self.scene, index), 0, index)
        self.writer.say("" if tags else be(self.scene.items[index]))
        self.writer.say(self._preposition(self._seen_from(tie) or "below"))
        if tie.item in self.phrases:
            self.writer.say("" if tags else "the")
            self.writer.open(short_name(self.scene, tie.item), phrase, tie.item)
        else:
            self._item(tie.item, phrase)
        self.told.add(tie.relation)

    def _leftovers(self) -> None:
        """Relations that close a circle."""
        for relation in self.scene.relations:
            if relation not in self.told:
                self._again(relation.subject, _Tie(relation, relation.object, True))

    def _seen_from(self, tie: _Tie) -> str | None:
        """The relation as the named item has it to the other; None where only the other one can have it."""
        return tie.relation.name if tie.forward else _MIRRORED.get(tie.relation.name)

    def _preposition(self, relation: str) -> str:
        common, of_test = PREPOSITIONS[relation]
        return pick(self.rng, common + of_test * 2 if self.split == "test" else common)

    def _verb(self, relation: str) -> tuple[str, str, str]:
        common, of_test = VERBS[relation]
        return pick(self.rng, common + of_test if self.split == "test" else common)

    # Ground and end -------------------------------------------------------------------------------------------------

    def _it(self) -> str:
        return "it" if len(self.scene.items) == 1 and self.scene.items[0].count == 1 else "them"

    def _ground(self, ancestor: int | None, *, bare: bool = False) -> None:
        """Name the ground, in front of all or hanging on a phrase; with a preposition of its own or ``bare``."""
        if ancestor is not None and not bare:
            common = () if self.own_ground else GROUND_COMMON
            self.writer.say(pick(self.rng, GROUND_BEHIND[self.split] + common))
        self.writer.open((self.scene.ground,), ancestor, None)
        self.ground_told = True

    def _end(self) -> None:
        place, it = self.structure.ground, {"it": self._it()}
        if place in ("with", "stop"):
            options = GROUND_STOP[self.split] if place == "stop" else [(", with", w) for w in GROUND_WITH[self.split]]
            before, behind = pick(self.rng, options)
            self.writer.say("." if place == "stop" else "")
            self.writer.say(before.format_map(it))
            self._ground(0, bare=True)
            self.writer.say(behind.format_map(it))
        else:
            if len(self.writer) > 1 or self.predicated or place == "tag":
                self.writer.say(",")
            self._ground(0, bare=place == "tag")
        if place != "stop":
            self._tag()

    def _tag(self) -> None:
        """Now and then a word of style, which is in no phrase."""
        if self.rng.random() < _STYLE_TAG:
            self.writer.say(",")
            self.writer.say(pick(self.rng, STYLE_TAGS[self.split]))
