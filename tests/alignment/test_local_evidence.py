"""Verdicts that use the place of a phrase beside the picture as a whole, and their bounds."""

from __future__ import annotations

import json

import pytest

from grefine_core.alignment import Bounds, Calibration, alignment_quality, calibrate
from grefine_core.alignment.calibration import LocalBounds, LocalEvidence
from grefine_core.errors import InputError, ModelFileError

from .conftest import PlantedModel

EVIDENCE = LocalEvidence("both", "both", 0.2)
BOUNDS = {"contrast": Bounds(0.4, 0.3), "softmax": Bounds(0.4, 0.3)}
OTHERS = {"contrast": Bounds(0.7, 0.6), "softmax": Bounds(0.7, 0.6)}


def scores(model, prompt, evidence, formula="bounded"):
    local = None if evidence is None else LocalBounds(evidence, BOUNDS)
    calibration = Calibration(OTHERS if local else BOUNDS, local=local, temperature=10.0)
    found = alignment_quality(model, model.picture(0), prompt, calibration=calibration, formula=formula)
    return [(phrase.score, phrase.head_score) for phrase in found.phrases[0]], found


def test_colours_belong_to_things_only_where_places_are_asked():
    model = PlantedModel([("red balloon", "blue car")])
    for evidence, apart in ((None, False), (EVIDENCE, True)):
        right, _ = scores(model, "a red balloon and a blue car", evidence)
        wrong, _ = scores(model, "a blue balloon and a red car", evidence)
        gaps = [good[0] - bad[0] for good, bad in zip(right, wrong, strict=True)]
        assert all(gap > 0.05 if apart else abs(gap) < 0.05 for gap in gaps), (evidence, gaps)


def test_a_small_thing_is_found_at_its_place():
    model = PlantedModel([("castle mountain river forest bridge tower", "cat")])
    alone, _ = scores(model, "a castle and a cat", None)
    joined, _ = scores(model, "a castle and a cat", EVIDENCE)
    assert joined[1][1] > alone[1][1] + 0.05
    absent, _ = scores(model, "a castle and a piano", EVIDENCE)
    assert absent[1][1] < joined[1][1] - 0.2


def test_only_the_default_formula_uses_them():
    model = PlantedModel([("red balloon", "blue car")])
    prompt = "a blue balloon and a red car"
    plain, _ = scores(model, prompt, None)
    for formula in ("paper", "released"):
        found, quality = scores(model, prompt, EVIDENCE, formula)
        assert found == plain
        # and not their bounds either
        assert [phrase.ratio for phrase in quality.phrases[0]] == pytest.approx(
            [min(whole / 0.6, head / 0.7) for whole, head in plain]
        )


def test_what_the_picture_alone_says_is_the_usual_score():
    model = PlantedModel([("red balloon", "blue car")])
    usual, _ = scores(model, "a red balloon and a blue car", None)
    same, _ = scores(model, "a red balloon and a blue car", LocalEvidence("picture", "picture"))
    assert same == usual


def test_a_file_keeps_them(tmp_path):
    made = Calibration(OTHERS, local=LocalBounds(EVIDENCE, BOUNDS))
    assert Calibration.load(made.save(tmp_path / "calibration.json")) == made
    older = Calibration(OTHERS)
    content = json.loads(older.save(tmp_path / "older.json").read_text())
    assert "local" not in content
    assert Calibration.load(tmp_path / "older.json") == older
    for wrong in ({"evidence": {"noun": "ears"}, "bounds": content["bounds"]}, {"bounds": {}}, 3):
        (tmp_path / "wrong.json").write_text(json.dumps({**content, "local": wrong}))
        with pytest.raises(ModelFileError, match="incomplete or damaged"):
            Calibration.load(tmp_path / "wrong.json")


@pytest.mark.parametrize(
    "values", [("ears", "both", 0.1), ("both", "x", 0.1), ("both", "both", 0.0), ("both", "both", 2)]
)
def test_wrong_evidence_is_refused(values):
    with pytest.raises(InputError):
        LocalEvidence(*values)


def test_calibrating_measures_bounds_for_both():
    model = PlantedModel([("red balloon", "blue car"), ("castle", "white horse")])
    samples = [(model.picture(0)[0], "a red balloon and a blue car"), (model.picture(1)[0], "a castle, a white horse")]
    made = calibrate(model, samples, evidence=EVIDENCE)
    assert made.local is not None
    assert made.local.evidence == EVIDENCE
    assert made.bounds == calibrate(model, samples, evidence=None).bounds
    assert made.local.bounds != made.bounds
    # Of modifiers by themselves, which are surer here than the nouns; of as, no more than the nouns' bound.
    assert made.local.bounds["contrast"].phrase > made.bounds["contrast"].phrase
    assert made.bounds["contrast"].phrase <= made.bounds["contrast"].noun
    assert calibrate(model, samples, evidence=None).local is None
