"""How well the project's own parser finds the phrases of prompts whose true ones are known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from grefine_core.prompt.syntax import Phrase, PromptTree, parse_prompt

from .caption import Caption


@dataclass(frozen=True)
class Agreement:
    """Shares in [0, 1] over many prompts, and how many there were of each.

    Attributes:
        heads: of the true heads, those that head a content phrase of the parser.
        extra: of the parser's content phrases, those whose head is none of the true ones.
        words: of the true phrases, those found with exactly their words.
        none, root, other: of the true phrases whose head was found, by what their ancestor is (nothing, the prompt's
            first phrase, another one), those with the right ancestor.
        counts: how many prompts, phrases, and ancestors of each kind the shares are of.
    """

    heads: float
    extra: float
    words: float
    none: float
    root: float
    other: float
    counts: dict[str, int]


def agreement(captions: Iterable[Caption]) -> Agreement:
    """Parse the prompts and compare with their true phrases."""
    hits = dict.fromkeys(("heads", "extra", "words", "none", "root", "other"), 0)
    totals = dict.fromkeys(("prompts", "phrases", "found", "none", "root", "other"), 0)
    for caption in captions:
        tree = parse_prompt(caption.prompt)
        matched = match(caption, tree)
        totals["prompts"] += 1
        totals["phrases"] += len(caption.phrases)
        totals["found"] += len(tree.content)
        hits["heads"] += len(matched)
        hits["extra"] += len(set(tree.content) - set(matched.values()))
        for k, i in matched.items():
            phrase = caption.phrases[k]
            kind = "none" if phrase.ancestor is None else "root" if phrase.ancestor == 0 else "other"
            above = tree.phrases[i].ancestor
            answer = None if above is None else _home(caption, tree.phrases[above])
            totals[kind] += 1
            hits[kind] += answer == phrase.ancestor
            hits["words"] += tuple(word.start for word in tree.phrases[i].words) == phrase.starts
    of = {"heads": "phrases", "extra": "found", "words": "phrases", "none": "none", "root": "root", "other": "other"}
    shares = {name: hits[name] / max(1, totals[total]) for name, total in of.items()}
    return Agreement(**shares, counts=totals)


def match(caption: Caption, tree: PromptTree) -> dict[int, int]:
    """Index of a true phrase -> index of the parser's content phrase with the same head, where there is one."""
    heads = {tree.phrases[i].head.start: i for i in tree.content}
    places = {k: phrase.starts[phrase.words.index(phrase.head)] for k, phrase in enumerate(caption.phrases)}
    return {k: heads[place] for k, place in places.items() if place in heads}


def _home(caption: Caption, phrase: Phrase) -> int:
    """Index of the true phrase that holds the head of the parser's, or -1."""
    return next((k for k, true in enumerate(caption.phrases) if phrase.head.start in true.starts), -1)
