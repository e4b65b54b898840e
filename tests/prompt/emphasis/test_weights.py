from __future__ import annotations

import logging

import pytest

from grefine_core.errors import InputError
from grefine_core.prompt.emphasis import emphasize
from grefine_core.prompt.markup import read_weights


def weights(prompt: str) -> list[tuple[str, float]]:
    return [(text, round(weight, 4)) for text, weight in read_weights(prompt) if text.strip()]


@pytest.mark.parametrize(
    ("prompt", "words", "expected"),
    [
        ("a red balloon, a dog", "red balloon", "a (red balloon:1.30), a dog"),
        ("a red and shiny balloon", "red balloon", "a (red:1.30) and shiny (balloon:1.30)"),
        ("a (red balloon:1.2)", "red balloon", "a (red balloon:1.30)"),
        ("a (red balloon)", "red balloon", "a (red balloon:1.30)"),
        ("a ((red balloon))", "red balloon", "a ((red balloon:1.30))"),
        ("a ( red balloon :0.5)", "red balloon", "a ( red balloon :1.30)"),
        ("(a red balloon, sky:1.1)", "red balloon", "(a (red balloon:1.30), sky:1.1)"),
        ("(a red balloon)", "red balloon", "(a (red balloon:1.30))"),
        ("(red (shiny) balloon:1.2)", "red shiny balloon", "((red:1.30) (shiny) (balloon:1.30):1.2)"),
        ("(red balloon: in the sky)", "red balloon", "((red balloon:1.30): in the sky)"),
        (r"saber \(fate\), red hat", "fate", r"saber \((fate:1.30)\), red hat"),
        ("<lora:hat:1> red hat BREAK dog", "red hat", "<lora:hat:1> (red hat:1.30) BREAK dog"),
        ("{red|blue} hat", "red", "{(red:1.30)|blue} hat"),
        ("embedding:foo red hat", "red hat", "embedding:foo (red hat:1.30)"),
        ("a 🎈 and ein schöner Hut", "schöner Hut", "a 🎈 and ein (schöner Hut:1.30)"),
        ("8k, an 8-bit hat", "8-bit hat", "8k, an (8-bit hat:1.30)"),
        ("the dog's hat", "dog", "the (dog:1.30)'s hat"),
        ("'red hat' brand", "red hat", "('red hat:1.30)' brand"),
        ("from the U.S., old", "U.S", "from the (U.S:1.30)., old"),
        ("a red hat) dog", "red hat", "a (red hat:1.30)) dog"),  # a stray parenthesis further on is no trouble
    ],
)
def test_writes(prompt, words, expected, verdict):
    assert emphasize(prompt, [verdict(prompt, words)]) == expected


def test_final_punctuation_that_the_tokenizer_glues_stays_outside(verdict):
    prompt = "from the U.S., old"
    assert emphasize(prompt, [verdict(prompt, [(9, 13)])]) == "from the (U.S:1.30)., old"


def test_weight_grows_linearly_with_the_deficit(verdict):
    prompt = "red hat, blue dog, old cat"
    verdicts = [verdict(prompt, "red hat", 0.0), verdict(prompt, "blue dog", 0.25), verdict(prompt, "old cat", 1.0)]
    assert emphasize(prompt, verdicts, minimum=1.2, maximum=2.0) == "(red hat:1.20), (blue dog:1.40), (old cat:2.00)"


@pytest.mark.parametrize(
    "prompt", ["a (red hat:1.3)", "a (red hat:1.297)", "a (red hat:1.9)", "a (((red hat)))", "(a red hat, dog:1.5)"]
)
def test_enough_weight_is_left_alone(prompt, verdict):
    assert emphasize(prompt, [verdict(prompt, "red hat")]) is prompt


def test_a_number_inside_sets_the_weight_whatever_is_around_it(verdict):
    prompt = "(a (red hat:1.1) here:1.6)"
    assert weights(prompt)[1] == ("red hat", 1.1)
    assert weights(emphasize(prompt, [verdict(prompt, "red hat")]))[1] == ("red hat", 1.3)


def test_nothing_unmatched_returns_the_same_string(verdict):
    prompt = "a (((broken (red hat, <lora:x:1>"
    assert emphasize(prompt, []) is prompt
    assert emphasize(prompt, [verdict(prompt, "red hat", defect="none")]) is prompt


def test_style_phrases_are_never_emphasised(verdict):
    prompt = "a dog, highly detailed"
    assert emphasize(prompt, [verdict(prompt, "highly detailed", is_style=True)]) is prompt


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("(a red hat", "red hat"),  # wrapped, the host would read another weight for the rest
        ("(a red hat, dog", "red hat"),
        ("a dog) with a red hat", "red hat"),
        ("back\\red hat", [(5, 12)]),  # the backslash would escape our parenthesis
        ("unbreakable", [(2, 7)]),  # half a word
        ("红色气球", [(0, 2)]),
        ("{red|blue}hat", [(1, 4)]),  # becomes "redhat" later
        ("__color__hat", [(9, 12)]),
        ("8embedding:x", [(1, 10)]),
    ],
)
def test_what_would_be_damaged_is_left_alone_and_logged(prompt, words, verdict, caplog):
    caplog.set_level(logging.INFO, logger="grefine_core")
    assert emphasize(prompt, [verdict(prompt, words)]) == prompt
    assert not words or "Not emphasised" in caplog.text or "embedding" in prompt


def test_damage_in_one_place_does_not_stop_the_rest(verdict):
    prompt = "blue dog, {red|blue}hat"
    verdicts = [verdict(prompt, "blue dog"), verdict(prompt, [(20, 23)])]
    assert emphasize(prompt, verdicts) == "(blue dog:1.30), {red|blue}hat"


def test_overlapping_phrases_take_the_higher_weight(verdict):
    prompt = "a red hat"
    verdicts = [verdict(prompt, "red hat", 0.0), verdict(prompt, "hat", 1.0)]
    assert emphasize(prompt, verdicts) == "a (red:1.10) (hat:1.50)"


def test_phrases_find_their_places_in_what_an_earlier_emphasis_made(verdict):
    prompt = "a (red:1.2) hat and a blue dog"
    once = emphasize(prompt, [verdict(prompt, "red hat", 0.0)])
    assert once == "a (red:1.2) (hat:1.10) and a blue dog"
    assert emphasize(once, [verdict(prompt, "blue dog", 1.0)]) == "a (red:1.2) (hat:1.10) and a (blue dog:1.50)"


class TestBadInput:
    @pytest.mark.parametrize("phrases", [None, 3])
    def test_no_phrases(self, phrases):
        with pytest.raises(InputError, match="phrases: expected"):
            emphasize("a red hat", phrases)

    def test_prompt_of_another_type(self):
        with pytest.raises(InputError, match=r"prompt: expected a string, got list"):
            emphasize(["a"], [])

    def test_phrases_of_another_prompt(self, verdict):
        with pytest.raises(InputError, match=r"phrases\[0\].*same prompt"):
            emphasize("a blue dog, red hat", [verdict("a red hat", "red hat")])

    def test_spans_outside(self, verdict):
        with pytest.raises(InputError, match=r"phrases\[0\]"):
            emphasize("a", [verdict("a red hat", "red hat")])

    def test_a_whole_batch_of_phrases(self, verdict):
        with pytest.raises(InputError, match="one tuple of them for each picture"):
            emphasize("a red hat", [(verdict("a red hat", "red hat"),)])

    def test_numbers(self, verdict):
        phrases = [verdict("a red hat", "red hat")]
        with pytest.raises(InputError, match="minimum: 2 is over maximum"):
            emphasize("a red hat", phrases, minimum=2)
        with pytest.raises(InputError, match="maximum: nan"):
            emphasize("a red hat", phrases, maximum=float("nan"))
        with pytest.raises(InputError, match="style: 'bold'"):
            emphasize("a red hat", phrases, style="bold")
        with pytest.raises(InputError, match="deficit"):
            emphasize("a red hat", [verdict("a red hat", "red hat", float("nan"))])
