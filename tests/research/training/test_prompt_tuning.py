"""Prompt tuning: it learns, only the context changes, it goes on where it was cut off."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from grefine_core import QualityModel
from grefine_core.clip.embeddings import FACTORS, PerceptualBounds
from grefine_core.clip.text_encoder import encode_embeddings
from grefine_core.errors import InputError, ModelFileError
from grefine_research.training import PromptTuningOptions, Targets, tune_prompts
from grefine_research.training.fingerprint import model_fingerprint
from grefine_research.training.losses import all_odds, factor_odds
from grefine_research.training.prompts import PromptPairs

DEFECTS = FACTORS[1:]
QUICK = PromptTuningOptions(epochs=12, learning_rate=2e-2, batch_size=50, validation_share=0.3)


@pytest.fixture
def labelled(planted):
    features, quality = planted()
    return features, Targets({name: quality[:, index] for index, name in enumerate(DEFECTS)}, quality.prod(1))


def tune(clip, tokenizer, data, options=QUICK, **more):
    return tune_prompts(clip, *data, options, tokenizer=tokenizer, **more)


def test_it_learns_the_factors_and_the_overall_score(small_clip, clip_tokenizer, labelled):
    entries = []
    found = tune(small_clip, clip_tokenizer, labelled, epoch_end=lambda entry, epochs: entries.append((entry, epochs)))
    assert min(found.figures[name] for name in (*DEFECTS, "PS")) > 0.9, found.figures
    assert [entry["epoch"] for entry, _ in entries] == list(range(1, 13))
    assert found.history == [entry for entry, _ in entries]
    assert found.figures == found.history[found.best_epoch - 1]["figures"]
    assert found.history[-1]["loss"] < found.history[0]["loss"]


def test_one_opinion_score_is_enough(small_clip, clip_tokenizer, labelled):
    features, targets = labelled
    found = tune(small_clip, clip_tokenizer, (features, Targets(mos=targets.mos)))
    assert list(found.figures) == ["PS"]
    assert found.figures["PS"] > 0.9


def test_pictures_of_their_own_for_validation(small_clip, clip_tokenizer, planted, labelled):
    features, quality = planted(100, seed=1)
    found = tune(small_clip, clip_tokenizer, labelled, validation=(features, Targets(mos=quality.prod(1))))
    assert list(found.figures) == ["PS"]
    assert found.figures["PS"] > 0.9


def test_labels_may_be_missing(small_clip, clip_tokenizer, labelled):
    features, targets = labelled
    technical = targets.factors["technical"].clone()
    technical[::3] = float("nan")
    found = tune(small_clip, clip_tokenizer, (features, Targets({"technical": technical})))
    assert found.figures["technical"] > 0.9
    assert all(torch.isfinite(pair).all() for pair in found.embeddings.values())


@pytest.mark.parametrize(
    "choices", [{"ranking_weight": 0.0}, {"regression_weight": 0.0}, {"ranking": "margin", "regression": "mse"}]
)
def test_every_loss_learns(small_clip, clip_tokenizer, labelled, choices):
    found = tune(small_clip, clip_tokenizer, labelled, replace(QUICK, **choices))
    assert found.figures["PS"] > 0.85


def test_only_the_context_changes(small_clip, clip_tokenizer, labelled):
    small_clip.requires_grad_(True)
    before = model_fingerprint(small_clip)
    found = tune(small_clip, clip_tokenizer, labelled, replace(QUICK, epochs=2))
    assert model_fingerprint(small_clip) == before == found.fingerprint
    assert all(parameter.grad is None for parameter in small_clip.parameters())
    start = PromptPairs(small_clip, clip_tokenizer, QUICK).embeddings()
    tokens = clip_tokenizer(["good photo.", "bad photo."])
    table = small_clip.token_embedding.weight.detach()
    context = [*range(1, 9), *range(12, 20)]
    for name in FACTORS:
        changed = (found.embeddings[name] != start[name]).any(-1)
        assert changed[:, context].all()
        assert not changed[:, [index for index in range(77) if index not in context]].any()
        pair = found.embeddings[name]
        assert torch.equal(pair[:, 0], table[tokens[:, 0]])
        assert torch.equal(pair[:, 9:12], table[tokens[:, 1:4]])
        assert torch.equal(pair[:, 20], table[tokens[:, 4]])
        assert torch.equal(pair[:, 21:], table[torch.zeros(2, 56, dtype=torch.long)])


def test_what_is_saved_scores_as_in_training(small_clip, clip_tokenizer, labelled, tmp_path):
    features, _ = labelled
    found = tune(small_clip, clip_tokenizer, labelled, replace(QUICK, epochs=3))
    found.save(tmp_path / "pq.safetensors", {"seed": "0"})
    model = QualityModel(small_clip, tmp_path / "pq.safetensors", tokenizer=clip_tokenizer)
    assert model.perceptual_bounds == found.bounds
    texts = F.normalize(torch.stack(list(model.factor_features().values())), dim=-1)
    ours = PromptPairs(small_clip, clip_tokenizer, QUICK)
    with torch.no_grad():
        sequences = torch.cat(list(found.embeddings.values()))
        again = F.normalize(encode_embeddings(small_clip, sequences, 20), dim=-1).unflatten(0, (4, 2))
        assert ours().shape == texts.shape
    odds = [all_odds(factor_odds(features.class_tokens, one, 5.0), found.bounds.score)["PS"] for one in (texts, again)]
    torch.testing.assert_close(*odds)


class Killed(Exception):  # noqa: N818
    """The end of the process."""


def kill_after(epoch: int):
    def callback(entry, epochs):
        if entry["epoch"] == epoch:
            raise Killed

    return callback


@pytest.mark.parametrize("choices", [{}, {"patience": 3, "learning_rate": 0.1, "schedule": "constant"}])
def test_a_killed_training_ends_with_the_same_tensors(small_clip, clip_tokenizer, labelled, tmp_path, choices, alike):
    options = replace(QUICK, epochs=6, **choices)
    through = tune(small_clip, clip_tokenizer, labelled, options)
    through.save(tmp_path / "through.safetensors")
    file = tmp_path / "work" / "checkpoint.safetensors"
    for epoch in (1, 3):
        with pytest.raises(Killed):
            tune(small_clip, clip_tokenizer, labelled, options, checkpoint=file, epoch_end=kill_after(epoch))
    resumed = tune(small_clip, clip_tokenizer, labelled, options, checkpoint=file)
    resumed.save(tmp_path / "resumed.safetensors")
    assert alike(resumed.history, through.history)
    assert alike(_content(tmp_path / "resumed.safetensors"), _content(tmp_path / "through.safetensors"))
    finished = tune(small_clip, clip_tokenizer, labelled, options, checkpoint=file, epoch_end=kill_after(6))
    assert alike(finished.history, through.history)


def _content(file):
    from safetensors import safe_open

    with safe_open(file, framework="pt") as handle:
        tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
        return tensors, handle.metadata()


def test_a_write_that_is_cut_short_leaves_the_last_checkpoint(
    small_clip, clip_tokenizer, labelled, tmp_path, monkeypatch
):
    import safetensors.torch

    options = replace(QUICK, epochs=4)
    file = tmp_path / "checkpoint.safetensors"
    real = safetensors.torch.save_file

    def cut_short(tensors, path, metadata):
        real(tensors, path, metadata)
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
        raise Killed

    with pytest.raises(Killed):
        tune(small_clip, clip_tokenizer, labelled, options, checkpoint=file, epoch_end=kill_after(2))
    kept = file.read_bytes()
    monkeypatch.setattr(safetensors.torch, "save_file", cut_short)
    with pytest.raises(Killed):
        tune(small_clip, clip_tokenizer, labelled, options, checkpoint=file)
    assert file.read_bytes() == kept
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    found = tune(small_clip, clip_tokenizer, labelled, replace(options))
    good = tmp_path / "pq.safetensors"
    good.write_bytes(b"good")
    with pytest.raises(Killed):
        found.save(good)
    assert good.read_bytes() == b"good"


def test_a_checkpoint_of_another_training_is_refused(small_clip, clip_tokenizer, labelled, tmp_path):
    file = tmp_path / "checkpoint.safetensors"
    options = replace(QUICK, epochs=1)
    tune(small_clip, clip_tokenizer, labelled, options, checkpoint=file)
    with pytest.raises(InputError, match=r"another training.*epochs.*seed"):
        tune(small_clip, clip_tokenizer, labelled, replace(options, seed=1, epochs=2), checkpoint=file)
    features, targets = labelled
    with pytest.raises(InputError, match="other pictures, validation pictures"):
        tune(small_clip, clip_tokenizer, (features, Targets(mos=targets.mos)), options, checkpoint=file)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ModelFileError, match=r"checkpoint\.safetensors"):
        tune(small_clip, clip_tokenizer, labelled, options, checkpoint=file)


def test_it_ends_early_and_keeps_the_best(small_clip, clip_tokenizer, labelled):
    options = replace(QUICK, epochs=60, patience=2)
    found = tune(small_clip, clip_tokenizer, labelled, options)
    assert len(found.history) < 60
    assert len(found.history) == found.best_epoch + 2
    monitors = [entry["monitor"] for entry in found.history]
    assert max(monitors) == monitors[found.best_epoch - 1]


def test_seeds(small_clip, clip_tokenizer, labelled):
    options = replace(QUICK, epochs=1)
    first, again = (tune(small_clip, clip_tokenizer, labelled, options) for _ in range(2))
    other = tune(small_clip, clip_tokenizer, labelled, replace(options, seed=3))
    torch.testing.assert_close(first.embeddings["overall"], again.embeddings["overall"], rtol=0, atol=1e-4)
    assert not torch.equal(first.embeddings["overall"], other.embeddings["overall"])


def test_starting_from_words(small_clip, clip_tokenizer):
    options = replace(QUICK, start="words", noise=0.0)
    found = PromptPairs(small_clip, clip_tokenizer, options).embeddings()["technical"]
    table = small_clip.token_embedding.weight.detach()
    tokens = clip_tokenizer(options.words["technical"][0])[0, 1:3]
    assert torch.equal(found[0, 1:5], table[tokens.repeat(2)])
    names = {**options.names, "natural": ("beautifully natural photograph.", "bad photo.")}
    with pytest.raises(InputError, match="4 tokens long"):
        PromptPairs(small_clip, clip_tokenizer, replace(options, names=names))
    empty = {**options.words, "natural": ("", "bad")}
    with pytest.raises(InputError, match="says nothing"):
        PromptPairs(small_clip, clip_tokenizer, replace(options, words=empty))


def test_patches_learn_from_labels_of_pictures_alone(small_clip, clip_tokenizer, planted_patches):
    """Where class token and patches speak of a defect in different ways, only the pooled patches teach the map."""
    features, targets, bad = planted_patches()
    auroc = {}
    for weight in (0.0, 1.0):
        options = replace(QUICK, patch_weight=weight, patch_target="presence", pool_share=0.07)
        found = tune(small_clip, clip_tokenizer, (features, targets), options)
        with torch.no_grad():
            texts = encode_embeddings(small_clip, torch.cat(list(found.embeddings.values())), 20)
        texts = F.normalize(texts, dim=-1).unflatten(0, (4, 2))
        odds = factor_odds(features.patches(torch.arange(len(features))), texts, 5.0)[FACTORS.index("technical")]
        auroc[weight] = float((odds[~bad][:, None] > odds[bad][None]).float().mean())
        assert ("patches technical" in found.figures) == (weight > 0)
    assert auroc[1.0] > 0.95
    assert auroc[0.0] < 0.9


def test_bounds_are_what_good_pictures_get(small_clip, clip_tokenizer, planted_patches, tmp_path):
    data = planted_patches()[:2]
    file = tmp_path / "checkpoint.safetensors"
    options = replace(QUICK, epochs=3)
    mean = tune(small_clip, clip_tokenizer, data, options, checkpoint=file).bounds
    # Another way of measuring them needs no other training.
    other = replace(options, measure_bounds="quantile")
    low = tune(small_clip, clip_tokenizer, data, other, checkpoint=file, epoch_end=kill_after(1)).bounds
    assert mean.score["overall"] == mean.patches["overall"] == 1.0
    assert low.score["technical"] <= mean.score["technical"]
    assert low.patches["technical"] < mean.patches["technical"]
    assert mean.patches != mean.score
    none = tune(small_clip, clip_tokenizer, data, replace(QUICK, epochs=1, measure_bounds="none")).bounds
    assert none == PerceptualBounds()


@pytest.mark.parametrize(
    "choices",
    [
        {"epochs": 0},
        {"batch_size": 1},
        {"learning_rate": 0.0},
        {"pool": "max"},
        {"ranking_weight": 0.0, "regression_weight": 0.0},
        {"names": {"overall": ("good photo.", "bad photo.")}},
        {"patch_weight": -1.0},
        {"validation_share": 1.0},
    ],
)
def test_bad_options(choices):
    with pytest.raises(InputError, match="|".join(choices)):
        PromptTuningOptions(**choices)


def test_data_that_does_not_fit(small_clip, clip_tokenizer, labelled):
    features, targets = labelled
    with pytest.raises(InputError, match="100 labels for the features of 300"):
        tune(small_clip, clip_tokenizer, (features, targets.rows(range(100))))
    with pytest.raises(InputError, match="no patch tokens"):
        tune(small_clip, clip_tokenizer, labelled, replace(QUICK, patch_weight=1.0))
    with pytest.raises(InputError, match="another image encoder"):
        tune(small_clip, clip_tokenizer, (replace(features, fingerprint="0" * 32), targets))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "neither"),
        ({"factors": {"sharpness": torch.ones(3)}}, "unknown factors sharpness"),
        ({"factors": {"technical": torch.ones(3)}, "mos": torch.ones(4)}, "one number for each"),
        ({"mos": torch.tensor([1.0, 5.0])}, r"goes from 1 to 5"),
        ({"mos": torch.tensor([float("nan")])}, "no label"),
    ],
)
def test_bad_targets(given, message):
    with pytest.raises(InputError, match=message):
        Targets(**given)
