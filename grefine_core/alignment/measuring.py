"""Raw scores and maps of pictures against their prompts, before any bound (method, sections 3.2 and 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError
from ..quality_model import ImageFeatures, QualityModel
from ..syntax.tree import PromptTree
from .calibration import Scoring
from .scoring import Similarities, head_score, phrase_score, prompt_score
from .texts import EMPTY, PromptTexts, prompt_texts
from .verdicts import region_map

T = TypeVar("T")


@dataclass(frozen=True)
class Measurement:
    """Raw scores of one picture, before any bound."""

    scores: tuple[tuple[float, float] | None, ...]
    """(as_i, an_i) of every phrase, None where not measured."""
    prompt: float
    """as_T."""
    maps: tuple[Tensor | None, ...]
    """Similarity map of every phrase (h, w) in [0, 1]."""
    grid: tuple[int, int]
    """(h, w)."""


class AlignmentEncoder(Protocol):
    """What measures alignment in the place of the quality model's CLIP (``QualityModel.alignment_encoder``)."""

    name: str
    """In reports and calibration files."""

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        ...

    def measure(
        self,
        pictures: Tensor,
        trees: Sequence[PromptTree],
        scoring: Scoring,
        template: str = "{}",
        include_style: bool = False,
        temperature: float | None = None,
        *,
        syntax: bool = True,
        subtract_empty: bool = True,
    ) -> list[Measurement]:
        """As :func:`measure`, of pictures (B, H, W, 3) that went through ``as_images``."""
        ...

    def clear_cache(self) -> None:
        """Forget all pictures."""
        ...


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
    scoring: Scoring,
    template: str = "{}",
    include_style: bool = False,
    temperature: float | None = None,
    *,
    syntax: bool = True,
    subtract_empty: bool = True,
    features: ImageFeatures | None = None,
) -> list[Measurement]:
    """:func:`measure` with whatever encoder the model has for alignment; ``features`` are those of its CLIP."""
    encoder = encoder_of(model)
    options = (trees, scoring, template, include_style, temperature)
    if encoder is not None:
        return encoder.measure(pictures, *options, syntax=syntax, subtract_empty=subtract_empty)
    features = features or model.features_of(pictures)
    return measure(model, features, *options, syntax=syntax, subtract_empty=subtract_empty)


@torch.no_grad()
def measure(
    model: QualityModel,
    features: ImageFeatures,
    trees: Sequence[PromptTree],
    scoring: Scoring,
    template: str = "{}",
    include_style: bool = False,
    temperature: float | None = None,
    *,
    syntax: bool = True,
    subtract_empty: bool = True,
) -> list[Measurement]:
    """Raw scores and maps of pictures against their prompts; all texts of all prompts go in one batch.

    Without ``syntax`` a prompt has the one phrase of :func:`as_one_phrase`: as_1 = as_T, and an_1 = 1, since nothing
    tells its noun from the rest.
    """
    unit = features.unit
    if unit.shape[0] != len(trees):
        raise InputError(f"tree: {len(trees)} prompts for {unit.shape[0]} pictures.")
    tau = model.temperature if temperature is None else temperature
    once: dict[int, PromptTexts] = {}
    for parsed in trees:
        if id(parsed) not in once:
            once[id(parsed)] = prompt_texts(
                parsed,
                model.token_count,
                model.context_length,
                scoring,
                template,
                include_style,
                banks=model.banks,
                syntax=syntax,
            )
    texts = list(dict.fromkeys(text for collected in once.values() for text in collected))
    vectors = model.text_features(texts)
    row = {text: index for index, text in enumerate(texts)}
    similarities = (unit[:, 0] @ vectors.T).tolist()
    result = []
    for index, parsed in enumerate(trees):
        collected = once[id(parsed)]
        similarity = dict(zip(texts, similarities[index], strict=True))
        scores = phrase_scores(collected, similarity, tau, scoring)
        score, whole = 1.0, None
        if collected.pieces:
            whole = _whole_prompt(collected, vectors, row)
            own = float(unit[index, 0] @ whole)
            others = [similarity[text] for text in collected.captions]
            score = prompt_score(own, similarity[EMPTY], others, tau, scoring)
        empty = vectors[row[EMPTY]] if subtract_empty else torch.zeros_like(vectors[0])
        patches = unit[index, 1:]
        if syntax:
            maps = _maps(collected, patches, vectors, row, empty, features.grid)
        else:
            phrases = len(as_one_phrase(parsed, include_style))
            scores = [(score, 1.0)] * phrases
            own_map = None if whole is None else region_map((patches @ (whole - empty)).unflatten(-1, features.grid))
            maps = (own_map,) * phrases
        result.append(Measurement(tuple(scores), score, maps, features.grid))
    return result


def phrase_scores(
    collected: PromptTexts, similarity: Similarities, temperature: float, scoring: Scoring
) -> list[tuple[float, float] | None]:
    """(as_i, an_i) of every phrase of one picture from its similarity to each text; None where not measured."""
    scores: list[tuple[float, float] | None] = []
    for phrase in collected.phrases:
        if phrase is None:
            scores.append(None)
            continue
        head = head_score(phrase, similarity, temperature, scoring)
        scores.append((phrase_score(phrase, head, similarity, temperature, scoring), head))
    return scores


def as_one_phrase(tree: PromptTree, include_style: bool = False) -> PromptTree:
    """The prompt as one phrase without a tree: the words of all phrases that are measured; none if there are none."""
    measured = [phrase for phrase in tree if include_style or not phrase.is_style]
    if not measured:
        return PromptTree(tree.prompt, ())
    words = tuple(sorted((word for phrase in measured for word in phrase.words), key=lambda word: word.start))
    return PromptTree(tree.prompt, (replace(measured[0], words=words, ancestor=None, is_style=False),))


def trees_of(prompt: object, tree: object, pictures: int) -> list[PromptTree]:
    """One tree for each picture; equal prompts share one.

    Raises:
        InputError: neither prompts nor trees, or not one for each picture.
    """
    if tree is not None:
        return _one_each("tree", tree, PromptTree, pictures)
    from ..syntax import parse_prompt

    prompts = _one_each("prompt", prompt, str, pictures)
    parsed = {text: parse_prompt(text) for text in dict.fromkeys(prompts)}
    return [parsed[text] for text in prompts]


def _maps(
    collected: PromptTexts,
    patches: Tensor,
    vectors: Tensor,
    row: dict[str, int],
    empty: Tensor,
    grid: tuple[int, int],
) -> tuple[Tensor | None, ...]:
    """``F(x) · (T(P_i) − T(""))`` of every measured phrase, scaled to [0, 1]."""
    measured = [phrase for phrase in collected.phrases if phrase is not None]
    if not measured:
        return tuple(None for _ in collected.phrases)
    directions = vectors[[row[phrase.text] for phrase in measured]] - empty
    similarity = (directions @ patches.T).unflatten(-1, grid)
    found = iter(similarity)
    return tuple(None if phrase is None else region_map(next(found)) for phrase in collected.phrases)


def _whole_prompt(collected: PromptTexts, vectors: Tensor, row: dict[str, int]) -> Tensor:
    """Unit feature of the whole prompt: its pieces' mean, weighted by their tokens."""
    weights = torch.tensor([float(tokens) for _, tokens in collected.pieces])
    pieces = vectors[[row[text] for text, _ in collected.pieces]]
    return F.normalize((weights.unsqueeze(-1) * pieces).sum(0), dim=0)


def _one_each(name: str, given: object, kind: type[T], pictures: int) -> list[T]:
    if isinstance(given, kind):
        return [given] * pictures
    if isinstance(given, str) or not isinstance(given, Sequence) or not all(isinstance(value, kind) for value in given):
        raise InputError(
            f"{name}: expected one {kind.__name__}, or a list of one for each picture, got {given!r:.100}."
        )
    if len(given) == 1:
        return list(given) * pictures
    if len(given) != pictures:
        raise InputError(f"{name}: {len(given)} for {pictures} pictures. Give one for all, or one for each.")
    return list(given)
