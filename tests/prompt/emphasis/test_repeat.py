from __future__ import annotations

import pytest

from grefine_core.prompt.emphasis import emphasize


@pytest.mark.parametrize(
    ("prompt", "words", "expected"),
    [
        ("a red hat, a dog", ["red hat"], "a red hat, a dog, red hat"),
        ("a red hat, a dog", ["red hat", "dog"], "a red hat, a dog, red hat, dog"),
        ("a red and old hat,", ["red hat"], "a red and old hat, red hat"),
        ("a red hat, ", ["red hat"], "a red hat, red hat"),
        ("red hat", ["red hat"], "red hat, red hat"),
        ("a red hat, a dog, red hat", ["red hat"], "a red hat, a dog, red hat"),
        ("a red hat, a dog, red hat", ["red hat", "dog"], "a red hat, a dog, red hat, dog"),
        ("a red hat, a dog, dog , red hat", ["red hat", "dog"], "a red hat, a dog, dog , red hat"),
        ("a hat, a dog, a hat", ["hat"], "a hat, a dog, a hat, hat"),
        ("A dog barks. It has a hat.", ["dog", "hat"], "A dog barks. It has a hat. , dog, hat"),
        ('{"scene": "a dog"}', ["dog"], '{"scene": "a dog"} , dog'),
    ],
)
def test_appends_what_is_not_there_yet(prompt, words, expected, verdict):
    verdicts = [verdict(prompt, text) for text in words]
    once = emphasize(prompt, verdicts, style="repeat")
    assert once == expected
    assert emphasize(once, verdicts, style="repeat") == once


def test_nothing_unmatched_returns_the_same_string(verdict):
    prompt = "a red hat"
    assert emphasize(prompt, [verdict(prompt, "red hat", defect="none")], style="repeat") is prompt


def test_two_phrases_of_one_text_are_repeated_once(verdict):
    prompt = "a red hat and a red hat"
    verdicts = [verdict(prompt, [(2, 5), (6, 9)]), verdict(prompt, [(16, 19), (20, 23)])]
    assert emphasize(prompt, verdicts, style="repeat") == prompt + ", red hat"


def test_a_parenthesis_that_is_never_closed_swallows_nothing(verdict):
    prompt = "((a red hat)"
    # Something behind the last parenthesis would turn its group into text.
    assert emphasize(prompt, [verdict(prompt, "red hat")], style="repeat") == prompt
