"""What stands beside the figures on a node: each in one line, and nothing where nothing has to be said."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from grefine_core.alignment.calibration import Calibration, Figure
from grefine_core.alignment.results import PhraseQuality
from grefine_core.prompt.syntax import parse_prompt

GOOD, BAD = Figure(0.9, 0.85, 0.95, 100), Figure(0.52, 0.4, 0.6, 100)


@pytest.fixture(scope="module")
def notices(pack):
    return pack("nodes.notices")


def verdicts(prompt: str) -> list[PhraseQuality]:
    return [
        PhraseQuality(phrase, 0.9, 0.9, measured=not (phrase.is_foreign or phrase.is_style))
        for phrase in parse_prompt(prompt).phrases
    ]


def texts(lines) -> list[str]:
    assert all(line["kind"] == "warn" and line["main"] for line in lines)
    return [line["text"] for line in lines]


@pytest.mark.parametrize("prompt", ["", "  \n"])
def test_no_prompt_is_said(notices, prompt):
    (said,) = texts(notices.of_prompt(prompt, verdicts(prompt)))
    assert said.startswith("No prompt is given")


def test_an_english_prompt_is_no_matter(notices):
    assert notices.of_prompt("a red cup on a table", verdicts("a red cup on a table")) == []


def test_a_prompt_in_another_language_is_said_with_its_name(notices):
    prompt = "ein roter Apfel liegt auf dem Tisch"
    (said,) = texts(notices.of_prompt(prompt, verdicts(prompt)))
    assert said.startswith("The prompt is not English (German)")
    assert "measure_anyway" in said


def test_a_part_in_another_language_is_said(notices):
    prompt = "a red cup on a table, кошка"
    (said,) = texts(notices.of_prompt(prompt, verdicts(prompt)))
    assert said.startswith("1 part of the prompt not English (Cyrillic")


def test_weights_that_nobody_measured_are_named(notices):
    for calibration in (None, Calibration()):
        (said,) = texts(notices.of_model(SimpleNamespace(calibration=calibration), notices.ALIGNMENT))
        assert said.startswith("Not calibrated")


def test_what_cannot_be_trusted_is_named_where_it_is_shown(notices):
    note = "Verdicts on modifiers cannot be trusted with these weights: it is hardly better than a guess."
    found = Calibration(pictures=20, trust={"perceptual": GOOD, "nouns": GOOD, "modifiers": BAD}, notes=(note,))
    quality = SimpleNamespace(calibration=found)
    assert notices.of_model(quality, notices.PERCEPTUAL) == []
    (line,) = notices.of_model(quality, notices.ALIGNMENT)
    assert "verdicts on modifiers" in line["text"]
    assert "verdicts on things" not in line["text"]
    assert line["title"] == note


def test_small_models_outside_their_world_say_so(notices):
    small, other = SimpleNamespace(miniature=True), SimpleNamespace(miniature=False)
    inside = verdicts("three small red stars above a fish, on grass, 8k")
    assert notices.of_world(small, (128, 128), inside) == []
    (said,) = texts(notices.of_world(small, (512, 768), inside))
    assert "a picture of 768 × 512 pixels" in said
    (said,) = texts(notices.of_world(small, (128, 128), verdicts("a dog on grass")))
    assert "'dog'" in said
    assert "grass" not in said
    assert notices.of_world(other, (512, 768), verdicts("a dog")) == []
