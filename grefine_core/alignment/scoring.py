"""Raw scores and maps of pictures against their prompts, before any bound (method, sections 3.2 and 3.3)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import per_picture
from ..clip.quality_model import ImageFeatures, QualityModel
from ..errors import InputError
from ..prompt.syntax.tree import PromptTree
from .calibration import Evidence, LocalEvidence, Scoring
from .options import AlignmentEncoder, AlignmentOptions
from .results import Interrupt, Measurement
from .texts import EMPTY, PhraseTexts, PromptTexts, prompt_parts
from .verdicts import region_map

# Scores of phrases from similarities to one picture's class feature: both ways of the method (section 3.3).

Similarities = Mapping[str, float]
"""text -> cosine between its feature and the picture's class feature."""


def beats(own: float, other: float, temperature: float) -> float:
    """Softmax over two texts, the first one's share: ``σ(τ·(own − other))``.

    Args:
        own: cosine of the text, in [-1, 1].
        other: cosine of the other one.
        temperature: τ, CLIP's ``logit_scale.exp()`` (about 100) or the calibration's.

    Returns:
        In [0, 1]; 0.5 where both fit as well.

    Source: method, section 3.3; G-Refine (arXiv 2404.18343), AQ-Map, as read here: softmax over a text and the empty
        string.
    """
    return _sigmoid(temperature * (own - other))


def share(own: float, others: Iterable[float], temperature: float) -> float | None:
    """Softmax share of a text against the average of ``others``: ``e^{τ·own} / (e^{τ·own} + mean e^{τ·other})``.

    In [0, 1], 0.5 where the text fits as well as the others do, whatever their number. One of them that fits much
    better (the colour that the thing really has) pulls it down, but only by its part of the average: another thing that
    the picture shows as well does not hide the one that is asked for. None where there is nothing to compare with.

    Source: method, section 3.3; ours: scores by contrast, which do not saturate at CLIP's temperature as a softmax
        against the empty string does.
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
    """an_i: is the thing there at all? Against the empty string, or against other nouns.

    Args:
        texts: of one phrase.
        similarity: text -> cosine similarity with the picture's class feature, in [-1, 1].
        temperature: τ, CLIP's ``logit_scale.exp()`` (about 100) or the calibration's.
        scoring: "contrast" or "softmax".

    Returns:
        an_i in [0, 1].

    Source: method, section 3.3; G-Refine (arXiv 2404.18343), AQ-Map: the score of a phrase's noun; "contrast" is ours.
    """
    own = similarity[texts.head]
    if scoring == "contrast":
        found = share(own, (similarity[noun] for noun in texts.nouns), temperature)
        if found is not None:
            return found
    return beats(own, similarity[EMPTY], temperature)


class Scores(NamedTuple):
    """What a phrase scores in one picture, each in [0, 1]."""

    whole: float
    """as_i: is it as described?"""
    head: float
    """an_i: is the thing there at all?"""
    modifiers: float | None
    """m_i: given the thing, is it as described? None of a bare noun, of which nothing more is said."""


def phrase_scores(
    texts: PhraseTexts,
    picture: Similarities,
    temperature: float,
    scoring: Scoring,
    place: Similarities | None = None,
    evidence: LocalEvidence | None = None,
) -> Scores:
    """as_i, an_i and m_i of one phrase, from the picture as a whole and, if asked for, from the place where it fits.

    an_i: see :func:`head_score`. as_i, softmax: the phrase against the empty string; m_i is the same, since it has no
    cap there. Contrast: m_i is the weakest of its modifiers, each as the share of the phrase against itself with others
    of the same kind in the modifier's place; modifiers of no known kind are exchanged for common adjectives, verbs for
    other actions, compound nouns for other nouns. as_i is the same, but never above an_i: what is not there is not as
    described either. So good pictures with a faint thing pull the bound of as_i down to where a wrong colour is hardly
    ever below it; m_i leaves the thing out.

    A thing that takes little of the picture hardly moves the class token; at its place the same words are compared.

    Args:
        texts: of one phrase.
        picture: text -> cosine similarity with the picture's class feature, in [-1, 1].
        temperature: τ, CLIP's ``logit_scale.exp()`` (about 100) or the calibration's.
        scoring: "contrast" or "softmax".
        place: text -> cosine similarity with the mean feature of the phrase's place; None: it is not asked.
        evidence: which of both each score is made of; None: of the picture.

    Source: method, sections 3.3 and 3.4; G-Refine (arXiv 2404.18343), AQ-Map: the scores of a phrase and its noun;
        "contrast", places and m_i are ours.
    """
    looked = (picture,) if place is None or evidence is None else (picture, place)

    def joined(scores: Sequence[float], which: Evidence | None) -> float:
        return scores[0] if which is None or len(scores) == 1 else _joined(scores, which)

    noun, modifier = (None, None) if evidence is None else (evidence.noun, evidence.modifier)
    head = joined([head_score(texts, each, temperature, scoring) for each in looked], noun)
    if scoring == "softmax":
        whole = joined([beats(each[texts.text], each[EMPTY], temperature) for each in looked], modifier)
        return Scores(whole, head, None if texts.text == texts.head else whole)
    found = zip(*(modifier_scores(texts, each, temperature) for each in looked), strict=True)
    fitting = min((joined(each, modifier) for each in found), default=None)
    return Scores(head if fitting is None else min(head, fitting), head, fitting)


def modifier_scores(texts: PhraseTexts, similarity: Similarities, temperature: float) -> list[float]:
    """Of every modifier that has others of its kind, the share of the phrase against itself with these in its place."""
    own = similarity[texts.text]
    found = (share(own, (similarity[text] for text in group), temperature) for group in texts.variants)
    return [score for score in found if score is not None]


def _joined(both: Sequence[float], evidence: Evidence) -> float:
    """The scores of the picture and of the place as one: if both count, the middle of their log-odds."""
    picture, place = both
    if evidence == "both":
        return _sigmoid((_log_odds(picture) + _log_odds(place)) / 2.0)
    return picture if evidence == "picture" else place


def _log_odds(part: float) -> float:
    return math.log(max(part, 1e-26)) - math.log(max(1.0 - part, 1e-26))


def places(similarity: Tensor, patches: Tensor, part: float) -> Tensor:
    """The features of the places where phrases fit best.

    Args:
        similarity: (n, N), of n phrases to N patches.
        patches: (N, C) unit features.
        part: of the patches, in (0, 1]; one at least.

    Returns:
        (n, C), unit length: the means over the best patches.

    Source: method, section 3.3; ours.
    """
    count = max(1, round(part * similarity.shape[-1]))
    best = similarity.topk(count, dim=-1).indices
    return F.normalize(patches[best].mean(dim=1), dim=-1)


def prompt_score(own: float, empty: float, captions: Iterable[float], temperature: float, scoring: Scoring) -> float:
    """as_T: the prompt as a whole, against the empty string, or against captions of other pictures.

    Args:
        own: cosine of the prompt, in [-1, 1].
        empty: cosine of the empty string.
        captions: cosines of captions of other pictures.
        temperature: τ, CLIP's ``logit_scale.exp()`` (about 100) or the calibration's.
        scoring: "contrast" or "softmax".

    Returns:
        as_T in [0, 1].

    Source: method, section 3.3; G-Refine (arXiv 2404.18343), AQ-Map: the score of the whole prompt; "contrast" is ours.
    """
    if scoring == "contrast":
        found = share(own, captions, temperature)
        if found is not None:
            return found
    return beats(own, empty, temperature)


MOST_CHARACTERS = 200_000
"""Of a prompt that is measured. CLIP reads 77 tokens at a time, some 300 characters: this is a book, pasted by
mistake, and would take minutes of every picture. As many phrases as fit into it take a few hundred megabytes."""


def encoder_of(model: QualityModel) -> AlignmentEncoder | None:
    """What measures alignment in the place of the model's CLIP; None for CLIP itself."""
    return getattr(model, "alignment_encoder", None)


def measured_by(model: QualityModel) -> str:
    """The name of what measures alignment."""
    encoder = encoder_of(model)
    return model.name if encoder is None else encoder.name


def measure_pictures(
    model: QualityModel,
    pictures: Tensor,
    trees: Sequence[PromptTree],
    options: AlignmentOptions,
    *,
    features: ImageFeatures | None = None,
    interrupt: Interrupt = None,
) -> list[Measurement]:
    """:func:`measure` with whatever encoder the model has for alignment; ``features`` are those of its CLIP."""
    encoder = encoder_of(model)
    if encoder is not None:
        return encoder.measure(pictures, trees, options, interrupt=interrupt)
    return measure(model, features or model.features_of(pictures), trees, options, interrupt=interrupt)


@torch.no_grad()
def measure(
    model: QualityModel,
    features: ImageFeatures,
    trees: Sequence[PromptTree],
    options: AlignmentOptions,
    *,
    interrupt: Interrupt = None,
) -> list[Measurement]:
    """Raw scores and maps of pictures against their prompts; the texts of all prompts go together, in parts.

    Without ``options.syntax`` a prompt has the one phrase of :func:`as_one_phrase`: as_1 = as_T, and an_1 = 1, since
    nothing tells its noun from the rest.

    Source: method, section 3.2; G-Refine (arXiv 2404.18343), AQ-Map: aq_i(x) = F(x) · (T(P_i) − T("")), the empty
        string being the redundant feature of Li et al., CLIP Surgery (arXiv 2304.05653).
    """
    unit = features.unit
    if unit.shape[0] != len(trees):
        raise InputError(f"tree: {len(trees)} prompts for {unit.shape[0]} pictures.")
    tau = model.temperature if options.temperature is None else options.temperature
    parts = prompt_parts(
        trees,
        model.token_count,
        model.context_length,
        options,
        contrast_vocabulary=model.contrast_vocabulary,
        interrupt=interrupt,
    )
    found = [Collected() for _ in trees]
    for part in parts:
        texts = list(dict.fromkeys((EMPTY, *(text for collected in part.values() for text in collected))))
        vectors = model.text_features(texts)
        row = {text: index for index, text in enumerate(texts)}
        empty = vectors[0] if options.subtract_empty else torch.zeros_like(vectors[0])
        # Only those pictures that the part speaks of: a batch may have as many prompts as pictures.
        for index in (index for index, parsed in enumerate(trees) if id(parsed) in part):
            collected, patches = part[id(trees[index])], unit[index, 1:]
            similarity = dict(zip(texts, (vectors @ unit[index, 0]).tolist(), strict=True))
            fits = _similarities(collected, patches, vectors, row, empty)
            here = _at_places(collected, fits, patches, vectors, row, options)
            found[index].add(collected, similarity, tau, options.way, here, options.evidence)
            found[index].maps += _maps(collected, fits, features.grid)
            if collected.pieces:
                whole = _whole_prompt(collected, vectors, row)
                others = [similarity[text] for text in collected.captions]
                own = float(unit[index, 0] @ whole)
                found[index].prompt = prompt_score(own, similarity[EMPTY], others, tau, options.way)
                if not options.syntax:
                    found[index].whole = region_map((patches @ (whole - empty)).unflatten(-1, features.grid))
    return [
        one.measurement(features.grid, None if options.syntax else as_one_phrase(parsed, options.include_style))
        for one, parsed in zip(found, trees, strict=True)
    ]


@dataclass
class Collected:
    """What is known of one picture while its prompt is worked through."""

    scores: list[tuple[float, float] | None] = field(default_factory=list)
    modifiers: list[float | None] = field(default_factory=list)
    maps: list[Tensor | None] = field(default_factory=list)
    prompt: float = 1.0
    whole: Tensor | None = None
    """Map of the prompt as one phrase."""

    def add(
        self,
        collected: PromptTexts,
        similarity: Similarities,
        temperature: float,
        scoring: Scoring,
        at_places: Sequence[Similarities] | None = None,
        evidence: LocalEvidence | None = None,
    ) -> None:
        """The scores of further phrases from the picture's similarity to each text; None where not measured.

        ``at_places``: the same at the place of each measured phrase.
        """
        here = iter(at_places or ())
        for phrase in collected.phrases:
            if phrase is None:
                self.scores.append(None)
                self.modifiers.append(None)
                continue
            found = phrase_scores(phrase, similarity, temperature, scoring, next(here, None), evidence)
            self.scores.append((found.whole, found.head))
            self.modifiers.append(found.modifiers)

    def measurement(self, grid: tuple[int, int], one_phrase: PromptTree | None) -> Measurement:
        """All of it; ``one_phrase``: the prompt as one phrase, where it has no others."""
        if one_phrase is None:
            return Measurement(tuple(self.scores), self.prompt, tuple(self.maps), grid, tuple(self.modifiers))
        count = len(one_phrase)
        return Measurement(((self.prompt, 1.0),) * count, self.prompt, (self.whole,) * count, grid)


def as_one_phrase(tree: PromptTree, include_style: bool = False) -> PromptTree:
    """The prompt as one phrase without a tree: the words of all phrases that are measured; none if there are none."""
    measured = [phrase for phrase in tree if (include_style or not phrase.is_style) and not phrase.is_foreign]
    if not measured:
        return PromptTree(tree.prompt, ())
    words = tuple(sorted((word for phrase in measured for word in phrase.words), key=lambda word: word.start))
    return PromptTree(tree.prompt, (replace(measured[0], words=words, ancestor=None, is_style=False),))


def trees_of(prompt: object, tree: object, pictures: int) -> list[PromptTree]:
    """One tree for each picture; equal prompts share one.

    Raises:
        InputError: neither prompts nor trees, not one for each picture, or a prompt over ``MOST_CHARACTERS``.
    """
    if tree is not None:
        trees = per_picture(tree, pictures, "tree", PromptTree)
        for given in trees:
            _check_length("tree", given.prompt)
        return trees
    from ..prompt.syntax import parse_prompt

    prompts = per_picture(prompt, pictures, "prompt", str)
    for text in prompts:
        _check_length("prompt", text)
    parsed = {text: parse_prompt(text) for text in dict.fromkeys(prompts)}
    return [parsed[text] for text in prompts]


def _similarities(
    collected: PromptTexts, patches: Tensor, vectors: Tensor, row: dict[str, int], empty: Tensor
) -> Tensor:
    """``F(x) · (T(P_i) − T(""))`` of every measured phrase, (n, N)."""
    directions = vectors[[row[phrase.text] for phrase in collected.phrases if phrase is not None]] - empty
    return directions @ patches.T


def _at_places(
    collected: PromptTexts,
    similarity: Tensor,
    patches: Tensor,
    vectors: Tensor,
    row: dict[str, int],
    options: AlignmentOptions,
) -> list[Similarities] | None:
    """For every measured phrase the similarity of its texts to its place; None where it is not asked for."""
    if options.evidence is None or not options.evidence.needed or not options.syntax:
        return None
    found: list[Similarities] = []
    at = places(similarity, patches, options.evidence.share)
    for place, phrase in zip(at, (each for each in collected.phrases if each is not None), strict=True):
        texts = list(dict.fromkeys((EMPTY, *phrase)))
        cosines = vectors[[row[text] for text in texts]] @ place
        found.append(dict(zip(texts, cosines.tolist(), strict=True)))
    return found


def _maps(collected: PromptTexts, similarity: Tensor, grid: tuple[int, int]) -> tuple[Tensor | None, ...]:
    """The similarities of every measured phrase to the patches, scaled to [0, 1]."""
    found = iter(similarity.unflatten(-1, grid))
    return tuple(None if phrase is None else region_map(next(found)) for phrase in collected.phrases)


def _whole_prompt(collected: PromptTexts, vectors: Tensor, row: dict[str, int]) -> Tensor:
    """Unit feature of the whole prompt: its pieces' mean, weighted by their tokens."""
    weights = torch.tensor([float(tokens) for _, tokens in collected.pieces])
    pieces = vectors[[row[text] for text, _ in collected.pieces]]
    return F.normalize((weights.unsqueeze(-1) * pieces).sum(0), dim=0)


def _check_length(name: str, prompt: str) -> None:
    if len(prompt) > MOST_CHARACTERS:
        raise InputError(
            f"{name}: {len(prompt):,} characters, starting with {prompt[:40]!r}; prompts of up to {MOST_CHARACTERS:,} "
            "are measured. Shorten it, and see whether something was pasted by mistake."
        )
