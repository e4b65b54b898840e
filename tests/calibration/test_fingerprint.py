"""What tells whose embeddings and which activation the weights have."""

from __future__ import annotations

import pytest
import torch

from grefine_core import QualityModel
from grefine_core.calibration.fingerprint import activation_of, compare_token_rows, with_other_activation
from grefine_core.clip.embeddings import END_POSITION

from ..tiny_models.clip import CLIP_CONFIG, build_clip, build_embeddings


def test_token_rows_tell_whose_embeddings_they_are(small_clip, clip_tokenizer):
    rows = small_clip.token_embedding.weight.detach()
    own = build_embeddings()
    for pair in own.values():
        pair[:, 0], pair[:, END_POSITION], pair[:, END_POSITION + 1 :] = rows[49406], rows[49407], rows[0]
    model = QualityModel(small_clip, own, tokenizer=clip_tokenizer)
    assert compare_token_rows(model).belonging == "same"
    halved = {name: pair.half().float() for name, pair in own.items()}
    assert compare_token_rows(QualityModel(small_clip, halved, tokenizer=clip_tokenizer)).belonging == "same"
    shuffled = {name: pair[:, torch.randperm(77)] for name, pair in own.items()}
    assert compare_token_rows(QualityModel(small_clip, shuffled, tokenizer=clip_tokenizer)).belonging == "other"
    assert (
        compare_token_rows(QualityModel(small_clip, build_embeddings(), tokenizer=clip_tokenizer)).belonging == "other"
    )
    assert compare_token_rows(model.with_words()).belonging == "unknown"


def test_the_other_activation_shares_the_weights(small_clip):
    assert activation_of(small_clip) == "QuickGELU"
    twin = with_other_activation(small_clip)
    assert twin is not None
    assert activation_of(twin) == "GELU"
    assert activation_of(small_clip) == "QuickGELU"
    for own, other in zip(small_clip.parameters(), twin.parameters(), strict=True):
        assert own.data_ptr() == other.data_ptr()
    expected = build_clip({**CLIP_CONFIG, "quick_gelu": False}).eval()
    pixels = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(twin.encode_image(pixels), expected.encode_image(pixels))
    back = with_other_activation(twin)
    assert back is not None
    with torch.no_grad():
        torch.testing.assert_close(back.encode_image(pixels), small_clip.encode_image(pixels))


def test_words_serve_any_width(small_clip, clip_tokenizer, pictures):
    from grefine_core import perceptual_quality

    model = QualityModel(small_clip, "words", tokenizer=clip_tokenizer)
    assert model.embedding_source == "words"
    features = model.factor_features()
    assert features["overall"].shape == (2, 32)
    torch.testing.assert_close(features["technical"].norm(dim=-1), torch.ones(2))
    assert not torch.allclose(features["technical"], features["natural"])
    found = perceptual_quality(model, pictures)
    assert found.score.isfinite().all()
    learned = QualityModel(small_clip, build_embeddings(), tokenizer=clip_tokenizer)
    before = learned.factor_features()["overall"]
    torch.testing.assert_close(learned.with_words().factor_features()["overall"], features["overall"])
    torch.testing.assert_close(learned.factor_features()["overall"], before)
    with pytest.raises(Exception, match="words"):
        QualityModel(small_clip, None)
