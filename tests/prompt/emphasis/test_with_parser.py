"""Emphasis on what the project's own parser finds, parsed anew after the first application."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from grefine_core.prompt import emphasis
from grefine_core.prompt.emphasis import emphasize
from grefine_core.prompt.markup import read_weights
from grefine_core.prompt.syntax import parse_prompt

PROMPTS = [
    "a red balloon and a blue dog with a small wooden hat",
    "portrait of a (young woman:1.2) in a green dress, (flowers in her hair), highly detailed, 8k",
    "<lora:detail:0.8> two cats on a sofa BREAK an old man, __style__, {red|blue} car",
    r"saber \(fate\), ((blonde hair)), embedding:badhands, golden armor",
    "a dog, dog, and another dog",
    "no hat, a 1970s photo of J. R. Smith's car, 16:9",
    "1.5'saofon , :)",  # two ranges of one phrase that touch
    "a cafe\u0301 with cre\u0300me bru\u0302le\u0301e, a pin\u0303ata",
]


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("style", ["weight", "repeat"])
def test_twice_is_once(prompt, style):
    def verdicts(text: str, count: int) -> list[SimpleNamespace]:
        phrases = [phrase for phrase in parse_prompt(text).phrases[:count] if not phrase.is_style]
        return [
            SimpleNamespace(phrase=phrase, defect=("noun", "none", "modifier")[index % 3], deficit=0.3 * (index % 3))
            for index, phrase in enumerate(phrases)
        ]

    count = len(parse_prompt(prompt).phrases)
    once = emphasize(prompt, verdicts(prompt, count), style=style)
    assert once != prompt
    if style == "weight":
        assert "".join(text for text, _ in read_weights(once)) == "".join(text for text, _ in read_weights(prompt))
        assert [p.text for p in parse_prompt(once)] == [p.text for p in parse_prompt(prompt)]
    assert emphasize(once, verdicts(once, count), style=style) == once


def test_many_phrases_in_broken_markup_take_few_readings(monkeypatch):
    """Every question whether an edit does harm reads the whole prompt."""
    asked = []
    harmless, mapping = emphasis._harmless, emphasis.span_mapping
    monkeypatch.setattr(emphasis, "_harmless", lambda *given: asked.append(1) or harmless(*given))
    monkeypatch.setattr(emphasis, "span_mapping", lambda *given: asked.append(1) or mapping(*given))
    for prompt in ("(" + "a hat|a dog " * 200, "a hat) a dog " * 200, "((a hat) a dog " * 200, "a red hat, " * 200):
        verdicts = [
            SimpleNamespace(phrase=phrase, defect="noun", deficit=0.5) for phrase in parse_prompt(prompt).phrases
        ]
        assert len(verdicts) >= 200
        once = emphasize(prompt, verdicts)
        assert emphasize(once, verdicts) == once
    assert len(asked) < 60


def test_a_tag_of_several_words_is_emphasised_whole():
    prompt = "long_hair, (red_dress:1.2), hat"
    verdicts = [SimpleNamespace(phrase=phrase, defect="noun", deficit=1.0) for phrase in parse_prompt(prompt).phrases]
    assert emphasize(prompt, verdicts) == "(long_hair:1.50), (red_dress:1.50), (hat:1.50)"


@pytest.mark.parametrize(
    ("prompt", "found"), [("a hat) a dog (a cat", "a (hat:1.50)) a dog (a (cat:1.50)"), ("(a hat", "(a hat")]
)
def test_among_parentheses_that_are_text(prompt, found):
    verdicts = [SimpleNamespace(phrase=phrase, defect="noun", deficit=1.0) for phrase in parse_prompt(prompt).phrases]
    assert emphasize(prompt, verdicts) == found
