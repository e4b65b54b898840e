"""AQ-Map's raw scores and maps by ImageReward: the method's ways of scoring, with rewards in the place of cosines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..alignment.calibration import Scoring
from ..alignment.measuring import Collected, Interrupt, Measurement, as_one_phrase, phrase_scores
from ..alignment.scoring import beats, prompt_score
from ..alignment.texts import EMPTY, PromptTexts, prompt_parts
from ..alignment.verdicts import region_map
from ..syntax.tree import PromptTree

if TYPE_CHECKING:
    from .model import ImageReward, Seen


def measure_rewards(
    encoder: ImageReward,
    pictures: Tensor,
    trees: Sequence[PromptTree],
    scoring: Scoring,
    template: str = "{}",
    include_style: bool = False,
    temperature: float | None = None,
    *,
    syntax: bool = True,
    subtract_empty: bool = True,
    interrupt: Interrupt = None,
) -> list[Measurement]:
    """Raw scores and maps of pictures (B, H, W, 3) against their prompts; see ``alignment.measuring.measure``.

    A phrase's scores are those of the method (section 3.3), over rewards: "contrast" against other nouns and other
    modifiers, "softmax" against the empty text. as_T is ``σ(τ·r)`` of the prompt's reward r (``encoder.absolute``): the
    probability that this picture is preferred to an average one; else as the phrases are scored. A prompt over the
    context is read in pieces, of which r is the mean by their tokens.
    """
    tau = encoder.temperature if temperature is None else temperature
    parts = prompt_parts(
        trees,
        encoder.token_count,
        encoder.context_length,
        scoring,
        template,
        include_style,
        banks=encoder.banks,
        syntax=syntax,
        interrupt=interrupt,
    )
    pictures_seen = encoder.see(pictures)
    found = [Collected() for _ in trees]
    for part in parts:
        thinned = {key: _thinned(collected, encoder) for key, collected in part.items()}
        for one, seen, tree in zip(found, pictures_seen, trees, strict=True):
            collected = thinned.get(id(tree))
            if collected is None:
                continue
            if interrupt is not None:
                interrupt()
            texts = list(dict.fromkeys(collected))
            rewards = dict(zip(texts, encoder.read(seen, texts), strict=True))
            one.scores += phrase_scores(collected, rewards, tau, scoring)
            one.maps += _maps(encoder, seen, collected, subtract_empty)
            if collected.pieces:
                own = _mean(collected, [rewards[text] for text, _ in collected.pieces])
                others = [rewards[text] for text in collected.captions]
                one.prompt = (
                    beats(own, 0.0, tau)
                    if encoder.absolute
                    else prompt_score(own, rewards[EMPTY], others, tau, scoring)
                )
                if not syntax and len(as_one_phrase(tree, include_style)):
                    one.whole = _whole_map(encoder, seen, collected, subtract_empty)
    return [
        one.measurement(encoder.grid, None if syntax else as_one_phrase(tree, include_style))
        for one, tree in zip(found, trees, strict=True)
    ]


def _thinned(collected: PromptTexts, encoder: ImageReward) -> PromptTexts:
    """The texts that are needed of those that the method collects: every one costs a pass for every picture.

    A share of an average (``scoring.share``) is estimated as well by some of many nouns, spread evenly.
    """
    phrases = tuple(
        None if phrase is None else replace(phrase, nouns=_spread(phrase.nouns, encoder.nouns))
        for phrase in collected.phrases
    )
    captions = () if encoder.absolute else collected.captions
    return replace(collected, phrases=phrases, captions=captions)


def _spread(texts: tuple[str, ...], count: int) -> tuple[str, ...]:
    if len(texts) <= count:
        return texts
    return tuple(texts[(index * len(texts)) // count] for index in range(count))


def _mean(collected: PromptTexts, values: Sequence[float]) -> float:
    tokens = [count for _, count in collected.pieces]
    return sum(value * count for value, count in zip(values, tokens, strict=True)) / sum(tokens)


def _maps(encoder: ImageReward, seen: Seen, collected: PromptTexts, subtract_empty: bool) -> tuple[Tensor | None, ...]:
    texts = [phrase.text for phrase in collected.phrases if phrase is not None]
    found = iter(encoder.find(seen, texts, subtract_empty))
    return tuple(None if phrase is None else region_map(next(found)) for phrase in collected.phrases)


def _whole_map(encoder: ImageReward, seen: Seen, collected: PromptTexts, subtract_empty: bool) -> Tensor | None:
    if not collected.pieces:
        return None
    pieces = encoder.find(seen, [text for text, _ in collected.pieces], subtract_empty)
    weights = torch.tensor([float(count) for _, count in collected.pieces])
    return region_map((weights[:, None, None] * pieces).sum(0) / weights.sum())
