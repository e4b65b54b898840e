"""Calibration: quantiles, the file, damaged files."""

from __future__ import annotations

import json

import pytest
import torch

from grefine_core import Calibration, alignment_quality, calibrate
from grefine_core.alignment import Bounds, calibration_path, find_calibration
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
            for phrase in alignment_quality(model, picture, prompt, scoring=scoring, calibration=found).phrases[0]:
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
