"""AQ-Map with ImageReward in CLIP's place: the same verdicts over its scores; CLIP stays what it was."""

from __future__ import annotations

import math
import re

import pytest
import torch

from grefine_core import QualityModel, alignment_quality, assess, load_quality_model, perceptual_quality
from grefine_core.alignment import Bounds, Calibration, calibrate, calibration_path
from grefine_core.errors import InputError, ModelFileError
from grefine_core.imagereward import ImageReward

from ..tiny_models import write_quality_model
from ..tiny_models.clip import build_embeddings

PROMPT = "a red balloon above an old stone castle, two white swans on the lake, 8k"


class Planted(ImageReward):
    """Sees the words of ``shown`` on the left half of every picture: a reward for each that a text has, a loss for each
    other one."""

    shown = ("castle", "stone", "balloon", "blue", "a", "above")

    def read(self, seen, texts):
        words = [re.findall(r"\w+", text.lower()) for text in texts]
        return [sum(3.0 if word in self.shown else -3.0 for word in each) for each in words]

    def find(self, seen, texts, subtract_empty=True):
        maps = torch.zeros(len(texts), *self.grid)
        for index, text in enumerate(texts):
            half = slice(0, 2) if "castle" in text else slice(2, 4)
            maps[index, :, half] = 1.0
        return maps


@pytest.fixture
def model(small_clip, clip_tokenizer, encoder):
    return QualityModel(small_clip, build_embeddings(), tokenizer=clip_tokenizer, alignment_encoder=encoder)


@pytest.fixture
def planted(small_clip, clip_tokenizer, encoder):
    other = Planted(encoder.network, encoder.tokenizer)
    return QualityModel(small_clip, build_embeddings(), tokenizer=clip_tokenizer, alignment_encoder=other)


def test_verdicts_are_the_methods(planted, pictures):
    """A thing that is not there is drawn where its ancestor is, one that is other than described where it is itself."""
    prompt = "a stone castle, a red balloon and a dragon above a castle"
    found = alignment_quality(planted, pictures[:1], prompt)
    verdicts = {verdict.phrase.text: verdict for verdict in found.phrases[0]}
    assert verdicts["stone castle"].defect == "none"
    assert verdicts["red balloon"].defect == "modifier"
    assert verdicts["dragon"].defect == "noun"
    balloon = found.phrases[0].index(verdicts["red balloon"])
    assert verdicts["red balloon"].region == balloon
    assert verdicts["dragon"].head_score <= 0.5 < verdicts["stone castle"].head_score
    assert float(found.defect_map[0, :, :20].max()) < float(found.defect_map[0, :, -20:].min())
    assert found.defect_map.shape == (1, 45, 70)


@pytest.mark.parametrize("scoring", ["contrast", "softmax"])
def test_scores_are_shares_of_rewards(model, encoder, pictures, scoring):
    found = alignment_quality(model, pictures[:1], "a red cup", scoring=scoring)
    (seen,) = encoder.see(pictures[:1])
    own, head, empty, whole = encoder.read(seen, ["red cup", "cup", "", "a red cup"])
    (verdict,) = found.phrases[0]
    sigmoid = lambda value: 1 / (1 + math.exp(-value))  # noqa: E731
    tau = encoder.temperature
    assert tau == pytest.approx(1.0333395)
    assert float(found.prompt_score[0]) == pytest.approx(sigmoid(tau * whole), abs=1e-5)
    if scoring == "softmax":
        assert verdict.score == pytest.approx(sigmoid(tau * (own - empty)), abs=1e-5)
        assert verdict.head_score == pytest.approx(sigmoid(tau * (head - empty)), abs=1e-5)
    else:
        assert verdict.score <= verdict.head_score
    relative = ImageReward(encoder.network, encoder.tokenizer, absolute=False)
    model.alignment_encoder = relative
    again = alignment_quality(model, pictures[:1], "a red cup", scoring="softmax")
    assert float(again.prompt_score[0]) == pytest.approx(sigmoid(tau * (whole - empty)), abs=1e-5)


def test_clip_is_the_default_and_stays_what_it_was(quality, model, pictures):
    before = assess(quality, pictures, PROMPT)
    assert quality.alignment_encoder is None
    after = assess(model, pictures, PROMPT)
    torch.testing.assert_close(before.perceptual.score, after.perceptual.score, rtol=0, atol=1e-4)
    assert not torch.equal(before.alignment.score, after.alignment.score)
    model.alignment_encoder = None
    torch.testing.assert_close(
        assess(model, pictures, PROMPT).alignment.defect_map, before.alignment.defect_map, rtol=0, atol=1e-4
    )


def test_clip_is_not_run_for_alignment_alone(model, encoder, pictures):
    alignment_quality(model, pictures, PROMPT)
    assert (model.encoder_calls, model.text_calls, encoder.encoder_calls) == (0, 0, 1)
    read = encoder.texts_read
    alignment_quality(model, pictures, PROMPT, aggregate="min")
    assert (encoder.encoder_calls, encoder.texts_read) == (1, read)
    model.clear_cache()
    perceptual_quality(model, pictures)
    assert (model.encoder_calls, encoder.encoder_calls) == (1, 1)


@pytest.mark.parametrize("maps", ["gradient", "values"])
def test_a_batch_gives_what_single_pictures_give(model, encoder, pictures, maps):
    encoder.maps = maps
    kept = pictures.clone()
    prompts = [PROMPT, "a small dog", "three green frogs on a big leaf"]
    together = alignment_quality(model, pictures, prompts)
    assert torch.equal(pictures, kept)
    model.clear_cache()
    for index, picture in enumerate(pictures):
        alone = alignment_quality(model, picture, prompts[index])
        torch.testing.assert_close(alone.score[0], together.score[index], atol=1e-5, rtol=0)
        torch.testing.assert_close(alone.defect_map[0], together.defect_map[index], atol=1e-3, rtol=0)
        assert [v.defect for v in alone.phrases[0]] == [v.defect for v in together.phrases[index]]


def test_in_inference_mode_as_nodes_run(model, encoder, pictures):
    for maps in ("gradient", "values", "slices"):
        encoder.maps = maps
        plain = alignment_quality(model, pictures[:1], "a red cup on an old table")
        model.clear_cache()
        with torch.inference_mode():
            found = alignment_quality(model, pictures[:1], "a red cup on an old table")
        torch.testing.assert_close(found.defect_map, plain.defect_map, atol=1e-3, rtol=0)
        model.clear_cache()


def test_long_blank_and_odd_prompts(model, pictures):
    assert float(alignment_quality(model, pictures[:1], "  ").score[0]) == 1.0
    long = ", ".join(f"a red house number {index} with an old tree" for index in range(12))
    for syntax in (True, False):
        found = alignment_quality(model, pictures[:1], long, syntax=syntax)
        assert 0 <= float(found.score[0]) <= 1
    assert len(found.phrases[0]) == 1
    alignment_quality(model, pictures[:1], "(a (cup:1.3)), <lora:x:1> 猫", subtract_empty=False)


def test_few_of_many_nouns_do(small_clip, encoder, pictures):
    """Every text costs a pass for every picture: the vocabulary is thinned, evenly."""
    counts = []
    for nouns in (8, 1000):
        counted = ImageReward(encoder.network, encoder.tokenizer, nouns=nouns, cache_size=0)
        model = QualityModel(small_clip, build_embeddings(), alignment_encoder=counted)
        alignment_quality(model, pictures[:1], "a cup")
        counts.append(counted.texts_read)
    assert counts[0] == 8 + 3  # the nouns, the prompt, the noun itself, the empty text
    assert counts[1] > 150


def test_its_own_calibration(model, encoder, tiny_weights, pictures, tmp_path):
    samples = [(picture, "a red cup on a table") for picture in pictures]
    made = calibrate(model, samples)
    assert made.model == encoder.name == "ImageReward"
    assert 0 < made.bounds["softmax"].phrase <= 1
    clip = write_quality_model(tmp_path)
    files = {"weights": clip / "clip.safetensors", "embeddings": clip / "pq_embeddings.safetensors"}
    for_clip = Calibration(bounds={"contrast": Bounds(0.1, 0.1), "softmax": Bounds(0.1, 0.1)}, pictures=1)
    for_clip.save(calibration_path(files["weights"]))
    chosen = tiny_weights / "ImageReward.safetensors"
    assert load_quality_model(**files, alignment_encoder=chosen).calibration is None
    made.save(calibration_path(chosen))
    try:
        assert load_quality_model(**files, alignment_encoder=chosen).calibration == made
        assert load_quality_model(**files, alignment_encoder=chosen, calibration=for_clip).calibration == for_clip
        assert load_quality_model(**files).calibration == for_clip
    finally:
        calibration_path(chosen).unlink()


def test_choosing_it_by_name(tmp_path, tiny_weights, monkeypatch):
    clip = write_quality_model(tmp_path / "clip")
    files = {"weights": clip / "clip.safetensors", "embeddings": clip / "pq_embeddings.safetensors"}
    assert load_quality_model(**files, alignment_encoder="clip").alignment_encoder is None
    found = load_quality_model(
        **files, alignment_encoder="imagereward", alignment_maps="values", folders=[tiny_weights]
    )
    assert found.alignment_encoder.maps == "values"
    assert list(found.networks) == [found.module, found.alignment_encoder.module]  # both are the host's to move
    with pytest.raises(ModelFileError, match="does not exist"):
        load_quality_model(**files, alignment_encoder=tmp_path / "none.pt")
    with pytest.raises(InputError, match="alignment_encoder: expected ImageReward"):
        load_quality_model(**files, alignment_encoder=3)


def test_long_prompts_are_read_in_parts_that_a_cancel_ends(model, encoder, pictures, monkeypatch):
    from grefine_core.alignment import texts
    from grefine_core.errors import Cancelled

    whole = alignment_quality(model, pictures[:1], PROMPT)
    encoder.clear_cache()
    monkeypatch.setattr(texts, "PART_TEXTS", 1)
    parts = alignment_quality(model, pictures[:1], PROMPT)
    torch.testing.assert_close(parts.score, whole.score)
    torch.testing.assert_close(parts.defect_map, whole.defect_map, atol=1e-4, rtol=0)
    encoder.clear_cache()
    read, calls = encoder.texts_read, []

    def interrupt():
        calls.append(1)
        if encoder.texts_read > read:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        alignment_quality(model, pictures, PROMPT, interrupt=interrupt)
    assert calls
