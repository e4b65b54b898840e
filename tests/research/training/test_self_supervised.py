"""Learning prompts from good pictures and damaged copies of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from grefine_core.clip.embeddings import FACTORS
from grefine_core.errors import InputError
from grefine_research.training.self_supervised import DEFAULTS, Copies, learn_without_opinions


@pytest.fixture
def copies() -> Copies:
    generator = torch.Generator().manual_seed(2)
    coarse = torch.rand(6, 3, 5, 6, generator=generator)
    pictures = torch.nn.functional.interpolate(coarse, size=(40, 48), mode="bilinear").permute(0, 2, 3, 1)
    return Copies(lambda number: pictures[number], len(pictures), count=48)


def test_copies_are_always_the_same_and_labelled_by_their_damage(copies):
    first, again = (list(copies.images(copies.keys)) for _ in range(2))
    assert all(torch.allclose(one, other) for one, other in zip(first, again, strict=True))
    # By their names alone, in whatever order they are asked for.
    torch.testing.assert_close(next(copies.images([copies.keys[31]])), first[31])
    targets = copies.targets()
    assert set(targets.factors) == set(FACTORS)
    labels = torch.stack([targets.factors[name] for name in FACTORS[1:]])
    torch.testing.assert_close(labels.prod(0), targets.factors["overall"])
    clean = (labels == 1.0).all(0)
    assert 4 <= int(clean.sum()) <= 24
    assert (labels.min(1).values < 0.7).all()
    assert copies.sources.bincount().tolist() == [8] * 6
    with pytest.raises(InputError, match="two or more"):
        Copies(lambda number: first[0], 1)


def test_the_prompts_learn_and_go_on_from_what_is_there(copies, small_clip, clip_tokenizer, tmp_path):
    options = replace(DEFAULTS, epochs=3, batch_size=16, validation_share=0.34)
    told: list[tuple[int, int]] = []
    found = learn_without_opinions(
        small_clip, copies, tmp_path, options, tokenizer=clip_tokenizer, progress=lambda *done: told.append(done)
    )
    assert told[-1] == (48, 48)
    assert found.embeddings["technical"].shape == (2, 77, 32)
    assert all(value.isfinite().all() for value in found.embeddings.values())
    losses = [entry["loss"] for entry in found.history]
    assert losses[-1] < losses[0]
    assert "overall" in found.figures
    again = learn_without_opinions(small_clip, copies, tmp_path, options, tokenizer=clip_tokenizer)
    torch.testing.assert_close(again.embeddings["natural"], found.embeddings["natural"])
