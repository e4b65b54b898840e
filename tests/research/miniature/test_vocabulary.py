"""The words of the miniature world as banks, and the truth about the phrases of its prompts."""

from __future__ import annotations

import pytest

from grefine_core.alignment import Banks
from grefine_core.alignment.texts import prompt_texts
from grefine_core.miniature.world import COLOURS, GROUNDS, KINDS, PATTERNS
from grefine_core.prompt.syntax import parse_prompt
from grefine_research.miniature.generator import make_sample
from grefine_research.miniature.truth import phrase_truth
from grefine_research.miniature.vocabulary import CAPTIONS, world_banks, write_banks


@pytest.fixture(scope="module")
def banks():
    return world_banks()


def test_every_word_of_the_world_is_there(banks):
    assert {entry.name for entry in banks.things} == {*KINDS, *GROUNDS}
    assert banks.modifiers["colour"] == tuple(COLOURS)
    assert set(banks.modifiers["pattern"]) == {*PATTERNS, ""}
    assert len(set(banks.captions)) == CAPTIONS
    assert world_banks() == banks


def test_the_file(banks, tmp_path):
    assert Banks.load(write_banks(tmp_path / "clip.banks.json")) == banks


def test_what_contrasts_a_prompt(banks):
    tree = parse_prompt("two small striped red stars above a house on grass")
    texts = prompt_texts(tree, len, 77, "contrast", banks=banks)
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
def test_sizes_that_are_alike(banks, word, others):
    assert set(banks.others_of_kind(word, "size", 10)) == others


def test_the_truth_about_the_phrases():
    kinds = {"missing": "noun", "wrong_partner": "noun", "wrong_attribute": "modifier"}
    seen = set()
    for index in range(30):
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
