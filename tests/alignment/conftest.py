"""A stand-in for the quality model whose eyes are known: every word is a direction, a picture is a list of words."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F

from grefine_core.alignment.texts import shipped_contrast_vocabulary, singular
from grefine_core.clip.embeddings import PerceptualBounds
from grefine_core.clip.quality_model import ImageFeatures
from grefine_core.prompt.syntax.tree import Phrase, PromptTree, Word

WIDTH = 512
GRID = (4, 6)


def direction(word: str) -> torch.Tensor:
    generator = torch.Generator().manual_seed(zlib.crc32(singular(word).encode()))
    return F.normalize(torch.randn(WIDTH, generator=generator), dim=0)


def meaning(words: Sequence[str]) -> torch.Tensor:
    """Unit feature of some words; all of them share a part, as CLIP's do."""
    return F.normalize(sum((direction(word) for word in words), 2 * direction("<any>")), dim=0)


class PlantedModel:
    """Sees in picture ``i`` (told by its pixel value i/10) the words ``scenes[i]``: (left half, right half)."""

    def __init__(self, scenes: Sequence[tuple[str, str]], temperature: float = 100.0) -> None:
        self.scenes = [tuple(re.findall(r"\w+", half) for half in scene) for scene in scenes]
        self.temperature = temperature
        self.calibration = None
        self.perceptual_bounds = PerceptualBounds()
        self.contrast_vocabulary = shipped_contrast_vocabulary()
        self.name = "planted"
        self.warned: set[str] = set()
        self.context_length = 12
        self.encoder_calls = 0
        self.batches: list[list[str]] = []

    def picture(self, *indices: int, size: tuple[int, int] = (40, 60)) -> torch.Tensor:
        return torch.stack([torch.full((*size, 3), index / 10) for index in indices])

    def features_of(self, images: torch.Tensor) -> ImageFeatures:
        self.encoder_calls += 1
        tokens = []
        for image in images:
            left, right = self.scenes[round(float(image[0, 0, 0]) * 10)]
            patches = torch.stack([meaning(left)] * 3 + [meaning(right)] * 3).repeat(GRID[0], 1)
            tokens.append(torch.cat([meaning([*left, *right])[None], patches]))
        return ImageFeatures(torch.stack(tokens), GRID)

    def text_features(self, texts: Sequence[str]) -> torch.Tensor:
        self.batches.append(list(texts))
        return torch.stack([meaning(re.findall(r"\w+", text.lower())) for text in texts])

    def token_count(self, text: str) -> int:
        return len(re.findall(r"\w+|[^\w\s]", text)) + 2

    def factor_features(self) -> dict[str, torch.Tensor]:
        return {
            name: torch.stack([direction(name), direction(f"bad {name}")])
            for name in ("overall", "technical", "rational", "natural")
        }


def make_tree(prompt: str, *phrases: tuple[str, int | None] | tuple[str, int | None, bool]) -> PromptTree:
    """A tree by hand: ("red/JJ balloon/NN*", ancestor, is_style) for each phrase; ``*`` marks the head."""
    found, position = [], 0
    for text, ancestor, *style in phrases:
        words, head = [], None
        for part in text.split():
            name, tag = part.rstrip("*").split("/")
            start = prompt.index(name, position)
            word = Word(name, start, tag)
            position = word.end
            words.append(word)
            head = word if part.endswith("*") else head
        found.append(Phrase(tuple(words), head or words[-1], ancestor, bool(style and style[0]), prompt))
    return PromptTree(prompt, tuple(found))


@pytest.fixture
def planted():
    return PlantedModel


@pytest.fixture
def tree():
    return make_tree


@pytest.fixture
def balloon_tree():
    return make_tree("a red balloon above a stone castle", ("red/JJ balloon/NN*", None), ("stone/NN castle/NN*", 0))
