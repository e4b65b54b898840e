"""The words of the miniature world as a contrast vocabulary, and the truth about the phrases of its prompts."""

from __future__ import annotations

import pytest

from grefine_core.alignment import ContrastVocabulary
from grefine_core.alignment.texts import prompt_texts
from grefine_core.miniature.world import COLOURS, GROUNDS, KINDS, PATTERNS
from grefine_core.prompt.syntax import parse_prompt
from grefine_research.miniature.generator import make_sample
from grefine_research.miniature.truth import phrase_truth
from grefine_research.miniature.vocabulary import CAPTIONS, world_vocabulary, write_vocabulary


@pytest.fixture(scope="module")
def vocabulary():
    return world_vocabulary()


def test_every_word_of_the_world_is_there(vocabulary):
    assert {entry.name for entry in vocabulary.things} == {*KINDS, *GROUNDS}
    assert vocabulary.modifiers["colour"] == tuple(COLOURS)
    assert set(vocabulary.modifiers["pattern"]) == {*PATTERNS, ""}
    assert len(set(vocabulary.captions)) == CAPTIONS
    assert world_vocabulary() == vocabulary


def test_the_file(vocabulary, tmp_path):
    assert ContrastVocabulary.load(write_vocabulary(tmp_path / "clip.banks.json")) == vocabulary


def test_what_contrasts_a_prompt(vocabulary):
    tree = parse_prompt("two small striped red stars above a house on grass")
    texts = prompt_texts(tree, len, 77, "contrast", contrast_vocabulary=vocabulary)
    stars, house, grass = texts.phrases
    assert {"circle", "tree", "snow"} <= set(stars.nouns)
    for phrase in (stars, house, grass):
        assert not {"star", "house", "grass"} & set(phrase.nouns)
    numbers, sizes, patterns, colours = stars.variants
    assert numbers == ("three small striped red stars",)
    assert sizes == ("two large striped red stars",)
    assert patterns == ("two small dotted red stars", "two small checkered red stars", "two small red stars")
    assert len(colours) == len(COLOURS) - 1
    assert house.variants == grass.variants == ()


@pytest.mark.parametrize(("word", "others"), [("little", {"large"}), ("big", {"small"})])
def test_sizes_that_are_alike(vocabulary, word, others):
    assert set(vocabulary.others_of_kind(word, "size", 10)) == others


def test_the_truth_about_the_phrases():
    kinds = {"missing": "noun", "wrong_partner": "noun", "wrong_attribute": "modifier"}
    seen = set()
    for index in range(60):
        sample = make_sample("validation", index, kinds=("alignment",))
        tree = parse_prompt(sample.caption.prompt)
        truth = phrase_truth(sample, tree)
        (defect,) = sample.defects
        violated = sample.caption.phrases[defect.phrase]
        assert len(truth) == len(tree)
        assert kinds[defect.name] in truth
        for phrase, true in zip(tree, truth, strict=True):
            assert (true is None) == phrase.is_style
            if true == kinds[defect.name]:
                assert phrase.head.text == violated.head
                seen.add(defect.name)
            else:
                assert true in ("none", None)
    assert len(seen) == 3
    clean = make_sample("validation", 3, kinds=())
    assert set(phrase_truth(clean, parse_prompt(clean.caption.prompt))) <= {"none", None}
