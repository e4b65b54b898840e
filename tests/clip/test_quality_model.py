"""The quality model: what is encoded and when, texts, resolutions, and models that do not fit."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from open_clip.model import CLIP, CustomTextCLIP
from safetensors.torch import save_file

from grefine_core import QualityModel, perceptual_quality
from grefine_core.clip.embeddings import END_POSITION, FACTORS
from grefine_core.clip.quality_model import FeatureCache
from grefine_core.clip.text_encoder import encode_embeddings, encode_tokens
from grefine_core.errors import InputError

from ..tiny_models.clip import CLIP_CONFIG, build_clip, build_embeddings

TEXTS = ["", "a", "a red balloon", "a photograph of an old stone castle on a hill above a lake with two white swans",
         "word " * 60]  # fmt: skip


def test_a_known_picture_is_not_encoded_again(quality, pictures):
    quality.image_features(pictures[:1])
    assert (quality.encoder_calls, quality.pictures_encoded) == (1, 1)
    quality.image_features(pictures)
    assert (quality.encoder_calls, quality.pictures_encoded) == (2, 3)
    quality.image_features(pictures.flip(0).clone())
    perceptual_quality(quality, pictures)
    perceptual_quality(quality, pictures, "released")
    assert (quality.encoder_calls, quality.pictures_encoded) == (2, 3)
    changed = pictures.clone()
    changed[1, :8, :8] = 1 - changed[1, :8, :8]
    quality.image_features(changed)
    assert (quality.encoder_calls, quality.pictures_encoded) == (3, 4)


def test_features_come_back_in_order(quality, pictures):
    first = quality.image_features(pictures[1:2]).tokens
    tokens = quality.image_features(pictures).tokens
    assert torch.equal(tokens[1:2], first)
    quality.clear_cache()
    torch.testing.assert_close(quality.image_features(pictures).tokens, tokens, atol=1e-5, rtol=0)
    twice = quality.image_features(pictures[[0, 0, 2, 0]]).tokens
    torch.testing.assert_close(twice[0], twice[1], rtol=0, atol=1e-5)
    torch.testing.assert_close(twice[0], twice[3], rtol=0, atol=1e-5)


def test_the_same_picture_twice_in_a_batch_is_encoded_once(quality, pictures):
    quality.image_features(pictures[[0, 0, 0]])
    assert quality.pictures_encoded == 1


def test_the_cache_is_bounded_and_can_be_turned_off(small_clip, pictures):
    model = QualityModel(small_clip, build_embeddings(), cache_size=1)
    model.image_features(pictures)
    model.image_features(pictures[2:])
    assert model.pictures_encoded == 3
    model.image_features(pictures[:1])
    assert model.pictures_encoded == 4
    off = QualityModel(small_clip, build_embeddings(), cache_size=0)
    off.image_features(pictures[:1])
    off.image_features(pictures[:1])
    assert off.pictures_encoded == 2


def test_the_cache_by_bytes_and_by_use():
    cache = FeatureCache(3, bytes_limit=100)
    for name in "abc":
        cache.put(name, torch.zeros(4))
    assert cache.get("a") is not None
    cache.put("d", torch.zeros(4))
    assert cache.get("b") is None
    assert cache.get("a") is not None
    cache.put("large", torch.zeros(20))
    assert len(cache) == 2
    cache.put("too large", torch.zeros(100))
    assert len(cache) == 0
    with pytest.raises(InputError, match="cache_size"):
        FeatureCache(-1)


def test_changed_weights_are_noticed(pictures):
    clip = build_clip()
    model = QualityModel(clip, build_embeddings())
    before = model.image_features(pictures[:1]).tokens
    texts = model.text_features(["a cat"])
    with torch.no_grad():
        clip.visual.proj.add_(0.1)
        clip.text_projection.add_(0.1)
    assert not torch.equal(model.image_features(pictures[:1]).tokens, before)
    assert not torch.equal(model.text_features(["a cat"]), texts)
    assert model.encoder_calls == 2


def test_inference_mode_as_the_host_has_it(pictures):
    with torch.inference_mode():
        model = QualityModel(build_clip(), build_embeddings())
        score = perceptual_quality(model, pictures).score
    again = perceptual_quality(model, pictures).score
    torch.testing.assert_close(score, again, rtol=0, atol=1e-5)
    assert model.encoder_calls == 1


def test_resolutions(small_clip, pictures):
    model = QualityModel(small_clip, build_embeddings(), resolution=96)
    assert model.image_features(pictures).tokens.shape == (3, 1 + 12 * 12, 32)
    assert perceptual_quality(model, pictures).quality_map.shape == (3, 45, 70)
    wide = QualityModel(small_clip, build_embeddings(), resolution=(64, 128))
    assert wide.image_features(pictures).grid == (8, 16)
    assert perceptual_quality(wide, pictures).quality_map.shape == (3, 45, 70)
    with pytest.raises(InputError, match=r"resolution.*8×8"):
        QualityModel(small_clip, build_embeddings(), resolution=100)


@pytest.mark.parametrize("kind", [CLIP, CustomTextCLIP])
def test_texts_are_encoded_as_the_model_does(kind):
    torch.manual_seed(0)
    clip = kind(**CLIP_CONFIG).eval()
    model = QualityModel(clip, build_embeddings())
    with torch.no_grad():
        expected = F.normalize(clip.encode_text(model.tokenizer(TEXTS)), dim=-1)
    torch.testing.assert_close(model.text_features(TEXTS), expected, atol=1e-5, rtol=0)
    assert (model.text_calls, model.texts_encoded) == (1, 5)
    model.text_features([TEXTS[1], "new", TEXTS[4], "new"])
    assert (model.text_calls, model.texts_encoded) == (2, 6)
    assert model.text_features([]).shape == (0, 32)


def test_texts_without_a_causal_mask_keep_their_length():
    torch.manual_seed(0)
    config = {**CLIP_CONFIG, "text_cfg": {**CLIP_CONFIG["text_cfg"], "no_causal_mask": True}}
    clip = CustomTextCLIP(**config).eval()
    model = QualityModel(clip, build_embeddings())
    tokens = model.tokenizer(TEXTS)
    with torch.no_grad():
        torch.testing.assert_close(encode_tokens(clip, tokens), clip.encode_text(tokens), atol=1e-5, rtol=1e-4)


def test_learned_sequences_are_encoded_like_the_same_tokens(small_clip):
    """A sequence made of the embeddings of real tokens gives that text's feature."""
    model = QualityModel(small_clip, build_embeddings())
    tokens = model.tokenizer(["word " * 19])
    assert int(tokens[0].argmax()) == END_POSITION
    with torch.no_grad():
        sequence = small_clip.token_embedding(tokens)
        ours = encode_embeddings(small_clip, sequence, END_POSITION)
        torch.testing.assert_close(ours, small_clip.encode_text(tokens), atol=1e-5, rtol=1e-4)


def test_factor_features_are_made_once(quality, pictures, monkeypatch):
    calls = []
    import grefine_core.clip.quality_model as home

    original = home.encode_embeddings
    monkeypatch.setattr(home, "encode_embeddings", lambda *a: calls.append(a) or original(*a))
    perceptual_quality(quality, pictures)
    perceptual_quality(quality, pictures, "released")
    assert len(calls) == 1
    assert list(quality.factor_features()) == list(FACTORS)


def test_counting_tokens(quality):
    assert quality.token_count("a red balloon") == 5
    assert quality.token_count("word " * 75) == 77
    assert quality.token_count("word " * 76) > 77


def test_half_precision(pictures):
    full = perceptual_quality(QualityModel(build_clip(), build_embeddings()), pictures)
    for dtype in (torch.bfloat16, torch.float16):
        model = QualityModel(build_clip().to(dtype), build_embeddings())
        half = perceptual_quality(model, pictures)
        assert half.score.dtype == torch.float32
        assert (half.factors["overall"] - full.factors["overall"]).abs().max() < 0.1
        assert model.text_features(["a cat"]).dtype == torch.float32


def test_embeddings_of_another_text_encoder_are_refused(small_clip):
    with pytest.raises(InputError, match=r"width 512.*width 32.*ViT-B-16-quickgelu"):
        QualityModel(small_clip)
    short = CLIP(**{**CLIP_CONFIG, "text_cfg": {**CLIP_CONFIG["text_cfg"], "context_length": 40}})
    with pytest.raises(InputError, match="40 positions"):
        QualityModel(short, build_embeddings())
    with pytest.raises(InputError, match="embeddings"):
        QualityModel(small_clip, 3)
    whole_numbers = {name: tensor.long() for name, tensor in build_embeddings().items()}
    with pytest.raises(InputError, match="has to be of floats"):
        QualityModel(small_clip, whole_numbers)


def test_embeddings_by_a_file_for_each_factor(small_clip, tmp_path):
    given = build_embeddings()
    for name, tensor in given.items():
        save_file({name: tensor}, tmp_path / f"{name}.safetensors")
    model = QualityModel(small_clip, {name: tmp_path / f"{name}.safetensors" for name in given})
    assert all(torch.equal(model.embeddings[name], tensor) for name, tensor in given.items())


def test_other_vocabularies_need_their_tokenizer(golden_clip, golden):
    model = QualityModel(golden_clip)
    with pytest.raises(InputError, match=r"vocabulary \(64\)"):
        model.text_features(["a cat"])
    given = QualityModel(golden_clip, tokenizer=lambda texts: golden.tokens[: len(texts)])
    torch.testing.assert_close(given.text_features(["", "x", "y", "z"]), golden.aq_text_features, atol=1e-4, rtol=0)
    assert given.token_count("") == 2


def test_not_a_model():
    with pytest.raises(InputError, match="clip"):
        QualityModel("ViT-B-16")
    with pytest.raises(InputError, match="blocks"):
        QualityModel(build_clip(), build_embeddings(), blocks=9)
