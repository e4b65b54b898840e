"""How quality is measured: the options that several nodes share."""

from __future__ import annotations

import math

import pytest
import torch

GOOD = {
    "formula": "paper",
    "importance_technical": 1.0,
    "importance_rational": 0.6,
    "importance_natural": 0.8,
    "scoring": "auto",
    "aggregate": "product",
    "include_style": False,
}


@pytest.fixture(scope="module")
def options(pack):
    return pack("nodes.options")


def test_the_importances_keep_their_order(options):
    assert options.Measure.from_inputs(**GOOD).importance == (1.0, 0.6, 0.8)


def test_auto_leaves_the_way_of_scoring_to_the_core(options):
    assert "scoring" not in options.Measure.from_inputs(**GOOD).alignment
    assert options.Measure.from_inputs(**{**GOOD, "scoring": "softmax"}).alignment["scoring"] == "softmax"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("formula", "mine"),
        ("importance_technical", 0.0),
        ("importance_rational", 1.2),
        ("importance_natural", math.nan),
        ("scoring", "Contrast"),
        ("aggregate", None),
        ("include_style", "yes"),
    ],
)
def test_every_option_is_checked_by_its_name(options, input_error, name, value):
    with pytest.raises(input_error, match=rf"^{name}: "):
        options.Measure.from_inputs(**{**GOOD, name: value})


def test_a_measure_hands_all_options_to_the_core(options, monkeypatch):
    seen = {}

    def assess(quality, pictures, prompts, **keywords):
        seen.update(keywords, prompts=prompts)
        return "measured"

    monkeypatch.setattr(options, "assess", assess)
    measure = options.Measure.from_inputs(
        **{**GOOD, "formula": "released", "scoring": "softmax", "include_style": True}
    )
    assert measure("model", torch.zeros(1, 2, 2, 3), ["a hat"]) == "measured"
    assert seen == {
        "formula": "released",
        "importance": (1.0, 0.6, 0.8),
        "scoring": "softmax",
        "aggregate": "product",
        "include_style": True,
        "prompts": ["a hat"],
        "map_size": None,  # the pictures' own
    }
    checked = options.Measure.from_inputs(**GOOD, interrupt=list)
    checked("model", torch.zeros(1, 2, 2, 3), ["a hat"])
    assert seen["interrupt"] is list
