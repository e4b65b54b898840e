"""Training the text encoder with the prompts: a copy learns, the result is small and scores as in training."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from grefine_core import QualityModel, load_quality_model
from grefine_core.clip.embeddings import FACTORS, load_embedding_set, load_text_features, save_embedding_set
from grefine_core.errors import InputError, ModelFileError
from grefine_research.training import PromptTuningOptions, Targets, tune_prompts
from grefine_research.training.fingerprint import model_fingerprint
from grefine_research.training.losses import all_odds, factor_odds
from grefine_research.training.prompts import PromptPairs

from ...tiny_models import write_quality_model

OPTIONS = PromptTuningOptions(
    train="text-encoder", epochs=4, learning_rate=1e-3, text_learning_rate=3e-3, batch_size=50, validation_share=0.3
)


@pytest.fixture
def labelled(planted):
    features, quality = planted()
    return features, Targets(mos=quality.prod(1))


def test_only_a_copy_learns(small_clip, clip_tokenizer, labelled):
    before = model_fingerprint(small_clip)
    found = tune_prompts(small_clip, *labelled, OPTIONS, tokenizer=clip_tokenizer)
    assert model_fingerprint(small_clip) == before == found.fingerprint
    assert found.text_features is not None
    assert found.history[-1]["loss"] < found.history[0]["loss"]
    prompts = PromptPairs(small_clip, clip_tokenizer, OPTIONS)
    names = list(prompts.learned())
    assert "context" in names
    assert "tower.transformer.resblocks.0.attn.in_proj_weight" in names
    assert not any("token_embedding" in name for name in names)
    # With hardly any rate on the prompts themselves, the encoder has to do it.
    still = replace(OPTIONS, train="embeddings")
    assert found.figures["PS"] > tune_prompts(small_clip, *labelled, still, tokenizer=clip_tokenizer).figures["PS"]


def test_before_the_first_step_the_copy_reads_as_the_model(small_clip, clip_tokenizer):
    own, copied = (
        PromptPairs(small_clip, clip_tokenizer, replace(OPTIONS, train=train))
        for train in ("embeddings", "text-encoder")
    )
    with torch.no_grad():
        torch.testing.assert_close(own(), copied())


def test_what_is_saved_scores_as_in_training(small_clip, clip_tokenizer, labelled, tmp_path):
    features, _ = labelled
    found = tune_prompts(small_clip, *labelled, OPTIONS, tokenizer=clip_tokenizer)
    file = tmp_path / "pq.safetensors"
    found.save(file)
    assert file.stat().st_size < 200_000
    write_quality_model(tmp_path)
    loaded = load_quality_model(weights=tmp_path / "clip.safetensors", embeddings=file)
    direct = QualityModel(small_clip, file, tokenizer=clip_tokenizer)
    for model in (loaded, direct):
        texts = F.normalize(torch.stack(list(model.factor_features().values())), dim=-1)
        expected = F.normalize(torch.stack(list(found.text_features.values())), dim=-1)
        torch.testing.assert_close(texts, expected)
        assert model.perceptual_bounds == found.bounds
    odds = all_odds(factor_odds(features.class_tokens, texts, 5.0), found.bounds.score)["PS"]
    assert torch.isfinite(odds).all()
    # Read by the model's own encoder the embeddings would say something else.
    plain = QualityModel(small_clip, load_embedding_set(file), tokenizer=clip_tokenizer).factor_features()
    assert not torch.allclose(plain["overall"], found.text_features["overall"], atol=1e-3)


def test_files_with_features(small_clip, tmp_path):
    embeddings = {name: torch.zeros(2, 77, 32) for name in FACTORS}
    features = {name: torch.randn(2, 32) for name in FACTORS}
    save_embedding_set(embeddings, tmp_path / "a.safetensors", None, features)
    assert set(load_embedding_set(tmp_path / "a.safetensors")) == set(FACTORS)
    found = load_text_features(tmp_path / "a.safetensors")
    assert all(torch.equal(found[name], features[name]) for name in FACTORS)
    save_embedding_set(embeddings, tmp_path / "b.safetensors")
    assert load_text_features(tmp_path / "b.safetensors") is None
    assert load_text_features(None) is None
    save_embedding_set(embeddings, tmp_path / "c.safetensors", None, {"overall": torch.zeros(2, 32)})
    with pytest.raises(ModelFileError, match=r"c\.safetensors: its text features"):
        load_text_features(tmp_path / "c.safetensors")
    save_embedding_set(embeddings, tmp_path / "d.safetensors", None, {name: torch.zeros(2, 64) for name in FACTORS})
    with pytest.raises(InputError, match=r"factor_features: .*expected \(2, 32\)"):
        QualityModel(small_clip, tmp_path / "d.safetensors")


class Killed(Exception):  # noqa: N818
    """The end of the process."""


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_killed_training_ends_with_the_same_figures(small_clip, clip_tokenizer, labelled, tmp_path, precision, alike):
    options = replace(OPTIONS, precision=precision)
    through = tune_prompts(small_clip, *labelled, options, tokenizer=clip_tokenizer)

    def kill(entry, epochs):
        if entry["epoch"] == 2:
            raise Killed

    file = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Killed):
        tune_prompts(small_clip, *labelled, options, tokenizer=clip_tokenizer, checkpoint=file, epoch_end=kill)
    resumed = tune_prompts(small_clip, *labelled, options, tokenizer=clip_tokenizer, checkpoint=file)
    assert alike(resumed.history, through.history)
    for name in FACTORS:
        torch.testing.assert_close(resumed.text_features[name], through.text_features[name], rtol=0, atol=1e-3)
        torch.testing.assert_close(resumed.embeddings[name], through.embeddings[name], rtol=0, atol=1e-3)
