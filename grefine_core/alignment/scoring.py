"""Scores of phrases from similarities to one picture's class feature: both ways of the method (section 3.3)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from .calibration import Scoring
from .texts import EMPTY, PhraseTexts

Similarities = Mapping[str, float]
"""text -> cosine between its feature and the picture's class feature."""


def beats(own: float, other: float, temperature: float) -> float:
    """Softmax over two texts, the first one's share: ``σ(τ·(own − other))``."""
    return _sigmoid(temperature * (own - other))


def share(own: float, others: Iterable[float], temperature: float) -> float | None:
    """Softmax share of a text against the average of ``others``: ``e^{τ·own} / (e^{τ·own} + mean e^{τ·other})``.

    In [0, 1], 0.5 where the text fits as well as the others do, whatever their number. One of them that fits much
    better (the colour that the thing really has) pulls it down, but only by its part of the average: another thing that
    the picture shows as well does not hide the one that is asked for. None where there is nothing to compare with.
    """
    logits = [temperature * other for other in others]
    if not logits:
        return None
    top = max(logits)
    average = top + math.log(sum(math.exp(logit - top) for logit in logits) / len(logits))
    return _sigmoid(temperature * own - average)


def _sigmoid(value: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, value))))


def head_score(texts: PhraseTexts, similarity: Similarities, temperature: float, scoring: Scoring) -> float:
    """an_i: is the thing there at all? Against the empty string, or against other nouns."""
    own = similarity[texts.head]
    if scoring == "contrast":
        found = share(own, (similarity[noun] for noun in texts.nouns), temperature)
        if found is not None:
            return found
    return beats(own, similarity[EMPTY], temperature)


def phrase_score(
    texts: PhraseTexts, head: float, similarity: Similarities, temperature: float, scoring: Scoring
) -> float:
    """as_i: is it as described?

    Softmax: the phrase against the empty string. Contrast: the weakest of its modifiers, each as the share of the
    phrase against itself with others of the same kind in the modifier's place; never above ``head`` (as_i ≤ an_i: what
    is not there is not as described either), and equal to it for a bare noun. Modifiers of no known kind are exchanged
    for common adjectives, verbs for other actions, compound nouns for other nouns.
    """
    own = similarity[texts.text]
    if scoring == "softmax":
        return beats(own, similarity[EMPTY], temperature)
    score = head
    for group in texts.variants:
        found = share(own, (similarity[text] for text in group), temperature)
        score = score if found is None else min(score, found)
    return score


def prompt_score(own: float, empty: float, captions: Iterable[float], temperature: float, scoring: Scoring) -> float:
    """as_T: the prompt as a whole, against the empty string, or against captions of other pictures."""
    if scoring == "contrast":
        found = share(own, captions, temperature)
        if found is not None:
            return found
    return beats(own, empty, temperature)
