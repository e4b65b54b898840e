"""What can be switched: the tree, the ancestor rule, the empty string, what a missing noun costs."""

from __future__ import annotations

import pytest
import torch

from grefine_core import QualityModel, alignment_quality, assess
from grefine_core.alignment import Bounds, Calibration
from grefine_core.alignment.options import AlignmentOptions
from grefine_core.alignment.scoring import as_one_phrase, measure
from grefine_core.alignment.verdicts import DEFAULT_PENALTY, ratio
from grefine_core.errors import InputError

from ..tiny_models.clip import build_embeddings

DEFAULTS = {"syntax": True, "missing_at": "ancestor", "subtract_empty": True, "penalty": DEFAULT_PENALTY}


def test_the_defaults_change_nothing(quality, pictures):
    prompt = "a red balloon above an old stone castle, 8k"
    plain = alignment_quality(quality, pictures, prompt)
    named = alignment_quality(quality, pictures, prompt, **DEFAULTS)
    torch.testing.assert_close(plain.score, named.score, rtol=0, atol=1e-4)
    torch.testing.assert_close(plain.defect_map, named.defect_map, rtol=0, atol=1e-4)
    assert plain.phrases == named.phrases


@pytest.mark.parametrize(("missing_at", "region"), [("ancestor", 0), ("own", 1), ("image", None)])
def test_where_a_missing_thing_is_marked(planted, tree, missing_at, region):
    parsed = tree("a stone castle with a red balloon", ("stone/NN castle/NN*", None), ("red/JJ balloon/NN*", 0))
    model = planted([("red meadow", "stone castle")])
    found = alignment_quality(model, model.picture(0), tree=parsed, missing_at=missing_at)
    castle, balloon = found.phrases[0]
    assert (castle.defect, balloon.defect, balloon.region) == ("none", "noun", region)
    left, right = float(found.defect_map[0, :, :15].mean()), float(found.defect_map[0, :, -15:].mean())
    if region == 0:
        assert right > 0.7
        assert left < 0.1
    elif region == 1:
        assert left > 0.7
        assert right < 0.1
    else:
        assert left == pytest.approx(right)


def test_the_whole_prompt_as_one_phrase(planted, balloon_tree):
    model = planted(
        [("red balloon", "stone castle"), ("green meadow", "white horse"), ("green meadow", "stone castle")]
    )
    good, bad, half = (
        alignment_quality(model, model.picture(index), tree=balloon_tree, syntax=False) for index in range(3)
    )
    for found in (good, bad, half):
        (phrase,) = found.phrases[0]
        assert phrase.phrase.text == "red balloon stone castle"
        assert phrase.phrase.ancestor is None
        assert phrase.head_score == 1.0
        assert phrase.score == pytest.approx(float(found.prompt_score[0]))
    assert good.phrases[0][0].matched
    assert good.score[0] > 0.9
    assert torch.count_nonzero(good.defect_map) == 0
    assert (bad.phrases[0][0].defect, bad.phrases[0][0].region) == ("modifier", 0)
    assert bad.score[0] < 0.1
    (one,) = measure(
        model, model.features_of(model.picture(2)), [balloon_tree], AlignmentOptions("contrast", syntax=False)
    )
    assert one.maps[0].shape == (4, 6)
    assert one.maps[0][:, 3:].min() > one.maps[0][:, :3].max()
    texts = set(model.batches[-1])
    assert not {"balloon", "red balloon", "blue balloon"} & texts
    assert "a red balloon above a stone castle" in texts


def test_one_phrase_of_what_is_measured(planted, tree):
    parsed = tree("a red balloon, 8k", ("red/JJ balloon/NN*", None), ("8k/NN*", None, True))
    assert [phrase.text for phrase in as_one_phrase(parsed)] == ["red balloon"]
    assert [phrase.text for phrase in as_one_phrase(parsed, include_style=True)] == ["red balloon 8k"]
    model = planted([("red balloon", "sky")])
    for prompt in (tree(""), tree("8k", ("8k/NN*", None, True))):
        found = alignment_quality(model, model.picture(0), tree=prompt, syntax=False)
        assert found.phrases == ((),)
        assert torch.count_nonzero(found.defect_map) == 0
    assert not len(as_one_phrase(tree("")))


def test_long_prompts_without_their_tree(quality, pictures):
    prompt = ", ".join(f"a red house number {number} with a garden" for number in range(40))
    found = alignment_quality(quality, pictures, prompt, syntax=False)
    assert [len(phrases) for phrases in found.phrases] == [1, 1, 1]
    assert torch.isfinite(found.defect_map).all()


def test_the_empty_string_is_left_in_the_maps_alone(planted, balloon_tree):
    model = planted([("red balloon", "stone castle")])
    features = model.features_of(model.picture(0))
    (without,) = measure(model, features, [balloon_tree], AlignmentOptions("contrast", subtract_empty=False))
    (subtracted,) = measure(model, features, [balloon_tree], AlignmentOptions("contrast"))
    assert without.scores == subtracted.scores
    assert without.prompt == subtracted.prompt
    vector = model.text_features(["red balloon"])[0]
    similarity = (features.unit[0, 1:] @ vector).unflatten(-1, (4, 6))
    expected = (similarity - similarity.min()) / (similarity.max() - similarity.min())
    torch.testing.assert_close(without.maps[0], expected)


def test_the_empty_string_matters_to_a_real_encoder(quality, pictures):
    prompt = "a red balloon above an old stone castle"
    plain, bare = (
        alignment_quality(quality, pictures, prompt, subtract_empty=subtract).phrases[0][0].map
        for subtract in (True, False)
    )
    assert not torch.equal(plain, bare)


def test_what_a_missing_noun_costs(planted, tree):
    bounds = Bounds(0.8, 0.2)
    assert ratio((0.4, 0.4), bounds, "phrase") == 1.0
    assert ratio((0.4, 0.4), bounds, "weakest") == pytest.approx(0.5)
    assert ratio((0.1, 0.6), bounds, "weakest") == pytest.approx(0.5)
    assert ratio((0.9, 0.9), bounds, "weakest") == 1.0
    assert ratio((0.4, 0.4), bounds) == ratio((0.4, 0.4), bounds, DEFAULT_PENALTY)
    parsed = tree("a castle and a horse", ("castle/NN*", None), ("horse/NN*", None))
    model = planted([("castle", "meadow")], temperature=3.0)
    table = Calibration({"contrast": Bounds(0.9, 0.1), "softmax": Bounds(0.9, 0.1)})
    mild, strict = (
        alignment_quality(model, model.picture(0), tree=parsed, calibration=table, penalty=penalty, formula="paper")
        for penalty in ("phrase", "weakest")
    )
    assert mild.phrases == strict.phrases
    assert not mild.phrases[0][1].matched
    assert mild.score[0] == mild.prompt_score[0]
    share = [min(phrase.head_score / 0.9, 1.0) for phrase in strict.phrases[0]]
    assert strict.score[0].item() == pytest.approx(strict.prompt_score[0].item() * share[0] * share[1], abs=1e-6)


def test_both_maps_take_the_same_switches(planted, balloon_tree):
    model = planted([("green meadow", "stone castle")])
    for options in ({"syntax": False}, {"missing_at": "own"}, {"subtract_empty": False}, {"penalty": "weakest"}):
        both = assess(model, model.picture(0), tree=balloon_tree, **options).alignment
        alone = alignment_quality(model, model.picture(0), tree=balloon_tree, **options)
        torch.testing.assert_close(both.defect_map, alone.defect_map, rtol=0, atol=1e-4)
        torch.testing.assert_close(both.score, alone.score, rtol=0, atol=1e-4)
        assert both.phrases == alone.phrases


@pytest.mark.parametrize("bad", [{"missing_at": "nowhere"}, {"penalty": "both"}, {"penalty": None}])
def test_unknown_ways(planted, bad):
    model = planted([("a", "b")])
    for function in (alignment_quality, assess):
        with pytest.raises(InputError, match=next(iter(bad))):
            function(model, model.picture(0), "a cat", **bad)


def test_without_surgery(small_clip, clip_tokenizer, pictures):
    """The ablation of V-V attention: the model's own patch features, the class feature unchanged."""
    models = [QualityModel(small_clip, build_embeddings(), tokenizer=clip_tokenizer, blocks=n) for n in (0, 6)]
    plain, surgery = (model.image_features(pictures).tokens for model in models)
    torch.testing.assert_close(plain[:, 0], surgery[:, 0], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(plain[:, 1:], surgery[:, 1:], atol=1e-3)
