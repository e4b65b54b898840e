"""Pictures whose features are known: quality lies along one direction for each factor."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from grefine_core.clip.embeddings import FACTORS
from grefine_research.datasets import Dataset, Example, Scale
from grefine_research.training import Features, Targets

WIDTH = 32
DEFECTS = FACTORS[1:]


def _basis() -> torch.Tensor:
    """Orthonormal directions: what all pictures share, then one for each defect."""
    noise = torch.randn(WIDTH, 1 + len(DEFECTS), generator=torch.Generator().manual_seed(5))
    return torch.linalg.qr(noise).Q.T


def _planted(quality: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Unit features (…, C) of qualities (…, 3)."""
    basis = _basis()
    return F.normalize(basis[0] + (quality - 0.5) @ basis[1:] + 0.05 * noise, dim=-1)


@pytest.fixture(scope="session")
def planted() -> Callable[..., tuple[Features, torch.Tensor]]:
    """``planted(count, seed)``: features and the quality (count, 3) of technical, rational, natural."""

    def make(count: int = 300, seed: int = 0) -> tuple[Features, torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        quality = torch.rand(count, 3, generator=generator)
        noise = torch.randn(count, WIDTH, generator=generator)
        keys = tuple(f"{seed}/{index}" for index in range(count))
        return Features(keys, _planted(quality, noise)), quality

    return make


@pytest.fixture(scope="session")
def planted_patches() -> Callable[..., tuple[Features, Targets, torch.Tensor]]:
    """``planted_patches(count, seed)``: half of the pictures have technically bad patches, which their class token
    shows in a direction of its own; features, targets, and which patches are bad (count, 16)."""

    def make(count: int = 240, seed: int = 0) -> tuple[Features, Targets, torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        bad = torch.rand(count, 16, generator=generator) < 0.15
        bad[::2] = False
        quality = torch.ones(count, 16, 3)
        quality[..., 0] -= bad.float()
        tokens = _planted(quality, torch.randn(count, 16, WIDTH, generator=generator))
        share = bad.float().mean(1)
        other = torch.stack([torch.full((count,), 0.5), 1 - share, torch.full((count,), 0.5)], 1)
        class_tokens = _planted(other, torch.randn(count, WIDTH, generator=generator))
        keys = tuple(str(index) for index in range(count))
        features = Features(keys, class_tokens, (tokens.half().numpy(),))
        return features, Targets({"technical": 1 - share}), bad

    return make


@pytest.fixture
def agiqa_like(tmp_path_factory) -> Dataset:
    """Six small pictures with ratings, on disk."""
    folder = tmp_path_factory.mktemp("pictures")
    examples = []
    for number in range(6):
        file = folder / f"{number}.png"
        pixels = np.random.default_rng(number).integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(file)
        examples.append(Example(file.name, file, f"prompt {number}", {"mos": float(number)}))
    return Dataset("six", "csv", tuple(examples), (), {"mos": Scale(0.0, 5.0)})
