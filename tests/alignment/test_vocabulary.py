"""Contrast vocabulary: what does not contrast what, kinds of modifiers, the file, damaged files."""

from __future__ import annotations

import json

import pytest

from grefine_core.alignment import (
    ContrastVocabulary,
    NounGroup,
    contrast_vocabulary_path,
    find_contrast_vocabulary,
    shipped_contrast_vocabulary,
)
from grefine_core.alignment.texts import as_contrast_vocabulary, singular
from grefine_core.errors import InputError, ModelFileError

SMALL = ContrastVocabulary(
    nouns={
        "form": NounGroup((("star",), ("ring", "hoop")), ("shape",)),
        "person": NounGroup((("man",), ("woman",)), close=True),
    },
    modifiers={"colour": ("red", "blue"), "size": ("small", "little", "large", "")},
    alike=(("small", "little"),),
    captions=("a red star", "A blue ring"),
    note="made by hand",
)


def test_the_banks_are_large_and_without_doubles():
    vocabulary = shipped_contrast_vocabulary()
    names = [entry.name for entry in vocabulary.things]
    assert len(names) >= 150
    assert len(set(names)) == len(names)
    assert len(set(vocabulary.captions)) == len(vocabulary.captions) >= 40
    assert all(len(set(words)) == len(words) for words in vocabulary.modifiers.values())
    assert {"colour", "material", "size", "pattern", "texture", "number"} <= set(vocabulary.modifiers)


@pytest.mark.parametrize("head", ["dog", "Dogs", "puppy", "hound", "PUPPIES"])
def test_synonyms_of_the_head_do_not_contrast_it(head):
    others = shipped_contrast_vocabulary().other_nouns(head)
    assert "dog" not in others
    assert {"cat", "car", "castle"} <= set(others)


def test_groups_and_close_members():
    assert not {"dog", "cat", "dragon"} & set(shipped_contrast_vocabulary().other_nouns("animals"))
    assert not {"man", "woman", "girl", "boy"} & set(shipped_contrast_vocabulary().other_nouns("girl"))
    assert {"man", "woman"} <= set(shipped_contrast_vocabulary().other_nouns("dog"))


def test_other_things_of_the_prompt_do_not_contrast_either():
    assert "sofa" not in shipped_contrast_vocabulary().other_nouns("dog", ["couches"])


@pytest.mark.parametrize(
    ("word", "tag", "kind"),
    [
        ("red", "JJ", "colour"),
        ("Red", "JJ", "colour"),
        ("wooden", "JJ", "material"),
        ("tiny", "JJ", "size"),
        ("striped", "VBN", "pattern"),
        ("fluffy", "JJ", "texture"),
        ("three", "CD", "number"),
        ("1950", "CD", "number"),
        ("7", "NN", "number"),
        ("contemplating", "VBG", "action"),
        ("coffee", "NN", "noun"),
        ("inscrutable", "JJ", "general"),
        ("very", "RB", None),
        ("his", "PRP$", None),
    ],
)
def test_kinds(word, tag, kind):
    assert shipped_contrast_vocabulary().kind_of(word, tag) == kind


def test_exchanged_words_mean_something_else():
    others = shipped_contrast_vocabulary().others_of_kind("red", "colour", 10, ["a", "red", "balloon", "blue", "sky"])
    assert len(others) == 10
    assert not {"red", "crimson", "scarlet", "blue"} & set(others)
    assert {"green", "yellow", "black", "white"} <= set(others)
    assert not {"gray", "grey"} <= set(others)
    assert others == shipped_contrast_vocabulary().others_of_kind("Red", "colour", 10, ["blue"])
    assert not {"large", "giant", "big"} & set(shipped_contrast_vocabulary().others_of_kind("huge", "size", 10))
    assert "dog" not in shipped_contrast_vocabulary().others_of_kind("dog", "noun", 10)


@pytest.mark.parametrize(
    ("plural", "single"),
    [("dogs", "dog"), ("cherries", "cherry"), ("boxes", "box"), ("glass", "glass"), ("women", "woman"), ("bus", "bus"),
     ("churches", "church"), ("tie", "tie"), ("ties", "tie"), ("gas", "gas"), ("horses", "horse")],
)  # fmt: skip
def test_singulars(plural, single):
    assert singular(plural) == single


def test_a_word_less_is_a_word_too():
    assert SMALL.others_of_kind("small", "size", 10) == ("large", "")
    assert SMALL.others_of_kind("large", "size", 10) == ("small", "")


def test_kinds_without_words_exchange_nothing():
    assert SMALL.kind_of("running", "VBG") == "action"
    assert SMALL.others_of_kind("running", "action", 10) == ()
    assert SMALL.others_of_kind("hoop", "noun", 10) == ("star", "man", "woman")


def test_the_file(tmp_path):
    weights = tmp_path / "deep" / "small.clip.safetensors"
    path = contrast_vocabulary_path(weights)
    assert path.name == "small.clip.banks.json"
    assert find_contrast_vocabulary(weights) is None
    assert SMALL.save(path) == path
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    loaded = find_contrast_vocabulary(weights)
    assert loaded == ContrastVocabulary.load(path) == as_contrast_vocabulary(path) == SMALL
    assert loaded.note == SMALL.note
    assert loaded.other_nouns("hoops", ["man"]) == ("star",)
    shipped = shipped_contrast_vocabulary().save(tmp_path / "shipped.json")
    assert ContrastVocabulary.load(shipped) == shipped_contrast_vocabulary()


def test_little_is_enough(tmp_path):
    path = tmp_path / "own.banks.json"
    content = {"format": "grefine-banks-1", "nouns": {"animal": {"members": [["dog"], ["cat"]]}}, "modifiers": {}}
    path.write_text(json.dumps(content), encoding="utf-8")
    vocabulary = ContrastVocabulary.load(path)
    assert vocabulary.other_nouns("dogs") == ("cat",)
    assert vocabulary.captions == ()
    assert vocabulary.others_of_kind("red", "colour", 10) == ()


def test_damaged_files(tmp_path):
    good = json.loads(SMALL.save(tmp_path / "good.json").read_text(encoding="utf-8"))
    form = good["nouns"]["form"]
    bad = {
        "text": ("not json", "JSON"),
        "list": ([], "grefine-banks-1"),
        "other": ({"format": "something"}, "grefine-banks-1"),
        "partial": ({key: value for key, value in good.items() if key != "modifiers"}, "no 'modifiers'"),
        "none": ({**good, "nouns": {}}, "no nouns"),
        "rows": ({**good, "nouns": [["star"]]}, "damaged"),
        "members": ({**good, "nouns": {"form": {"names": []}}}, "no 'members'"),
        "member": ({**good, "nouns": {"form": {**form, "members": ["star"]}}}, "nouns of 'form': .*list of words"),
        "nothing": ({**good, "nouns": {"form": {**form, "members": [[]]}}}, "nouns of 'form': empty"),
        "blank": ({**good, "nouns": {"form": {**form, "members": [[" "]]}}}, "is no word"),
        "number": ({**good, "modifiers": {"colour": ["red", 3]}}, "'colour': 3 is no word"),
        "word": ({**good, "modifiers": {"colour": "red"}}, "'colour': .*list of words"),
        "twice": ({**good, "modifiers": {"colour": ["red", "red"]}}, "'red' is there twice"),
        "capital": ({**good, "modifiers": {"colour": ["Red"]}}, "lower case"),
        "caption": ({**good, "captions": [""]}, "captions: '' is no word"),
    }
    for name, (content, message) in bad.items():
        path = tmp_path / f"{name}.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        with pytest.raises(ModelFileError, match=message) as error:
            ContrastVocabulary.load(path)
        assert f"{name}.json" in str(error.value)
    with pytest.raises(ModelFileError, match="does not exist"):
        ContrastVocabulary.load(tmp_path / "missing.json")


def test_what_banks_may_be_given_as():
    assert as_contrast_vocabulary(None) is shipped_contrast_vocabulary()
    assert as_contrast_vocabulary(SMALL) is SMALL
    for bad in (3, ["star"], "", {"nouns": {}}):
        with pytest.raises(InputError, match="contrast_vocabulary"):
            as_contrast_vocabulary(bad)
