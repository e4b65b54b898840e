"""Calibration: quantiles, the file, damaged files."""

from __future__ import annotations

import json

import pytest
import torch

from grefine_core import Calibration, alignment_quality, calibrate
from grefine_core.alignment import Bounds, calibrate_with_truth, calibration_path, find_calibration
from grefine_core.alignment.calibrate import SMALLEST_BOUND, best_bound
from grefine_core.errors import Cancelled, InputError, ModelFileError

SCENES = [
    ("red balloon", "stone castle"),
    ("white horse", "green meadow"),
    ("old car", "tall tree"),
    ("wooden table", "blue lamp"),
]
PROMPTS = [f"a {left} and a {right}" for left, right in SCENES]


@pytest.fixture
def model(planted):
    return planted(SCENES, temperature=8.0)


@pytest.fixture
def samples(model):
    return [(model.picture(index), prompt) for index, prompt in enumerate(PROMPTS)]


def test_bounds_are_the_quantiles_of_matched_phrases(model, samples):
    found = calibrate(model, samples, quantile=0.25, made_on="2026-01-01")
    assert found.calibrated
    assert (found.pictures, found.quantile, found.model, found.made_on) == (4, 0.25, "planted", "2026-01-01")
    for scoring in ("contrast", "softmax"):
        heads, phrases = [], []
        for picture, prompt in samples:
            measured = alignment_quality(model, picture, prompt, scoring=scoring, calibration=found, formula="paper")
            for phrase in measured.phrases[0]:
                if not phrase.phrase.is_style:
                    heads.append(phrase.head_score)
                    phrases.append(phrase.score)
        assert found.phrases == len(heads)
        bounds = found.bounds[scoring]
        assert bounds.noun == pytest.approx(torch.quantile(torch.tensor(heads), 0.25).item(), abs=1e-6)
        assert bounds.phrase == pytest.approx(torch.quantile(torch.tensor(phrases), 0.25).item(), abs=1e-6)
        below = sum(score < bounds.noun for score in heads)
        assert below <= 0.25 * len(heads) + 1


def test_it_is_deterministic_and_the_order_does_not_matter(model, samples):
    first = calibrate(model, samples, made_on="d")
    assert calibrate(model, samples, made_on="d") == first
    assert calibrate(model, iter(samples[::-1]), made_on="d") == first


def test_a_sample_that_fails_is_passed_over_where_somebody_is_told(model, samples):
    told = []
    odd = [*samples[:2], (samples[2][0], 3), *samples[2:], (torch.zeros(2, 2), "a cat")]
    found = calibrate(model, odd, made_on="d", failed=told.append)
    assert found == calibrate(model, samples, made_on="d")
    assert len(told) == 2
    with pytest.raises(InputError):
        calibrate(model, odd, made_on="d")


def test_progress_and_stopping(model, samples):
    seen = []
    calibrate(model, samples, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]

    def stop(done: int, total: int | None) -> None:
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        calibrate(model, samples, progress=stop)


def test_prompts_without_content_are_passed_over(model, samples):
    assert calibrate(model, [*samples, (model.picture(0), "8k")], made_on="d") == calibrate(model, samples, made_on="d")
    with pytest.raises(InputError, match="no prompt with anything"):
        calibrate(model, [(model.picture(0), "")])
    with pytest.raises(InputError, match="no prompt with anything"):
        calibrate(model, [])


@pytest.mark.parametrize("quantile", [0, 1, -0.1, float("nan"), "0.05", True])
def test_bad_quantiles(model, samples, quantile):
    with pytest.raises(InputError, match="quantile"):
        calibrate(model, samples, quantile)


def test_bad_samples(model):
    with pytest.raises(InputError, match="samples: number 1"):
        calibrate(model, [model.picture(0)])
    with pytest.raises(InputError, match="samples"):
        calibrate(model, [("picture.png", "a cat")])
    with pytest.raises(InputError, match="prompt"):
        calibrate(model, [(model.picture(0), 3)])


def test_the_file(tmp_path):
    made = Calibration(
        {"contrast": Bounds(0.7, 0.4), "softmax": Bounds(0.6, 0.2)}, "softmax", 50.0, 0.05, 12, 34, "ViT", "2026-01-01"
    )
    path = made.save(tmp_path / "deep" / "clip.safetensors.calibration.json")
    assert Calibration.load(path) == made
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name]
    assert calibration_path(tmp_path / "deep" / "clip.safetensors") == path
    assert find_calibration(None, tmp_path / "none", tmp_path / "deep" / "clip.safetensors") == made
    assert find_calibration(tmp_path / "none") is None
    made.save(calibration_path(tmp_path))
    assert find_calibration(tmp_path) == made


def test_damaged_files(tmp_path):
    good = json.loads(Calibration().save(tmp_path / "good.json").read_text(encoding="utf-8"))
    bounds = good["bounds"]
    bad = {
        "text": "not json",
        "list": [],
        "other": {"format": "something"},
        "partial": {key: value for key, value in good.items() if key != "bounds"},
        "range": {**good, "bounds": {**bounds, "softmax": {"noun": 0, "phrase": 0.5}}},
        "number": {**good, "bounds": {**bounds, "softmax": {"noun": "high", "phrase": 0.5}}},
        "one": {**good, "bounds": {"softmax": bounds["softmax"]}},
        "rows": {**good, "bounds": [0.5, 0.5]},
        "way": {**good, "scoring": "rank"},
        "tau": {**good, "temperature": -1},
    }
    for name, content in bad.items():
        path = tmp_path / f"{name}.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        with pytest.raises(ModelFileError, match=f"{name}.json"):
            Calibration.load(path)
    with pytest.raises(ModelFileError, match="does not exist"):
        Calibration.load(tmp_path / "missing.json")


def test_bounds_have_a_range():
    for bad in (0, -1, 1.01, float("nan"), "0.5", True):
        with pytest.raises(InputError, match="noun"):
            Bounds(bad, 0.5)
    with pytest.raises(InputError, match="softmax"):
        Calibration({"contrast": Bounds(0.5, 0.5)})


# Bounds from pictures of which is known what matches and what does not ------------------------------------------------

SHOWN = [("red balloon", "stone castle"), ("blue balloon", "stone castle"), ("green meadow", "stone castle")]
TRUTHS = [("none", "none"), ("modifier", "none"), ("noun", "none")]


@pytest.fixture
def mixed(planted):
    return planted(SHOWN, temperature=8.0)


@pytest.fixture
def known(mixed, balloon_tree):
    """The same prompt with a picture that matches, one of another colour, one without the thing."""
    return [(mixed.picture(index), balloon_tree, truth) for index, truth in enumerate(TRUTHS)]


def test_bounds_that_tell_what_matches_from_what_does_not(mixed, known):
    found = calibrate_with_truth(mixed, known, made_on="2026-01-01")
    assert (found.pictures, found.phrases, found.quantile, found.model) == (3, 6, None, "planted")
    assert (found.calibrated, found.scoring, found.made_on) == (True, "contrast", "2026-01-01")
    for picture, tree, truth in known:
        judged = alignment_quality(mixed, picture, tree=tree, calibration=found).phrases[0]
        assert tuple(phrase.defect for phrase in judged) == truth
    assert 0 < found.bounds["softmax"].noun <= 1
    assert calibrate_with_truth(mixed, iter(known[::-1]), made_on="2026-01-01") == found
    assert calibrate_with_truth(mixed, known, scoring="softmax").scoring == "softmax"


def test_missing_things_take_no_part_in_the_phrase_bound(mixed, known):
    found = calibrate_with_truth(mixed, known).bounds["contrast"]
    judged = [alignment_quality(mixed, picture, tree=tree).phrases[0] for picture, tree, _ in known]
    matched = [judged[0][0].score, *(phrases[1].score for phrases in judged)]
    assert found.phrase == pytest.approx((judged[1][0].score + min(matched)) / 2)
    there = [judged[0][0], judged[1][0], *(phrases[1] for phrases in judged)]
    assert found.noun == pytest.approx((judged[2][0].head_score + min(phrase.head_score for phrase in there)) / 2)


def test_unknown_phrases_and_prompts_as_text(mixed, known):
    plain = [(picture, tree.prompt, truth) for picture, tree, truth in known]
    assert calibrate_with_truth(mixed, plain, made_on="d").phrases == 6
    half = [*known, (mixed.picture(1), known[0][1], (None, None))]
    found = calibrate_with_truth(mixed, half, made_on="d")
    assert (found.pictures, found.phrases) == (4, 6)
    assert found.bounds == calibrate_with_truth(mixed, known, made_on="d").bounds


def test_bounds_of_prompts_without_their_tree(mixed, known):
    found = calibrate_with_truth(mixed, known, syntax=False)
    assert found.phrases == 3
    assert found.bounds["contrast"].noun == 1.0
    defects = [
        alignment_quality(mixed, picture, tree=tree, syntax=False, calibration=found).phrases[0][0].defect
        for picture, tree, _ in known
    ]
    assert defects == ["none", "modifier", "modifier"]


def test_progress_is_told_here_too(mixed, known):
    seen = []
    calibrate_with_truth(mixed, known, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_bad_truths(mixed, known):
    picture, tree, _ = known[0]
    for samples, message in (
        ([(picture, tree)], "samples: number 1"),
        ([*known, (picture, tree, ("none",))], "number 4 has 1 truths for the 2 phrases"),
        ([(picture, tree, ("none", "wrong"))], "number 1: 'wrong' is none of"),
        ([(mixed.picture(0, 1), tree, ("none", "none"))], "number 1 has 2 pictures"),
        ([(picture, 3, ("none", "none"))], "prompt"),
        (known[:2], "no phrase that is noun unmatched"),
        ([known[0], known[2]], "no phrase that is modifier unmatched"),
        ([], "no phrase that is matched or noun unmatched or modifier unmatched"),
    ):
        with pytest.raises(InputError, match=message):
            calibrate_with_truth(mixed, samples)
    with pytest.raises(InputError, match="scoring"):
        calibrate_with_truth(mixed, known, scoring="rank")


@pytest.mark.parametrize(
    ("wrong", "right", "bound", "f1"),
    [
        ([0.1, 0.2], [0.6, 0.9], 0.4, 1.0),
        ([0.1, 0.5], [0.4, 0.9, 0.95], 0.7, 0.8),
        ([0.1, 0.1, 0.1, 0.8], [0.3, 0.7, 0.75, 0.9], 0.2, 6 / 7),
        ([0.5], [0.5], 1.0, 2 / 3),
        ([0.0, 1e-9], [1e-6, 0.5], 0.2500005, 0.8),
    ],
)
def test_the_best_bound(wrong, right, bound, f1):
    """Also with ties, and with scores below the smallest bound."""
    assert best_bound(wrong, right) == (pytest.approx(bound), pytest.approx(f1))


def test_no_bound_is_better():
    generator = torch.Generator().manual_seed(3)
    for _ in range(20):
        wrong = (torch.rand(9, generator=generator) ** 2).tolist()
        right = torch.rand(13, generator=generator).sqrt().tolist()
        found, value = best_bound(wrong, right)
        assert SMALLEST_BOUND <= found <= 1
        for step in range(1, 1001):
            below = sum(s < step / 1000 for s in wrong), sum(s < step / 1000 for s in right)
            assert 2 * below[0] / (sum(below) + len(wrong)) <= value + 1e-9
