from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from grefine_core.prompt.syntax.parser import default_tagger
from grefine_core.prompt.syntax.tagger import (
    BEFORE,
    BEHIND,
    FORMAT,
    Seen,
    Tagger,
    context_features,
    load_tagger,
    make_tagger,
    read_model,
    shape,
    shipped_model,
    unpack_weights,
    word_class,
)
from grefine_core.prompt.syntax.tokens import tokenize


def tags(text: str) -> list[str]:
    tokens = tokenize(text)
    default_tagger().tag(tokens)
    return [token.tag for token in tokens]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a cute cat sitting on the table", "DT JJ NN VBG IN DT NN"),
        ("unique epic pink space elf knight", "JJ JJ JJ NN NN NN"),
        ("two women are reading their books", "CD NNS VBP VBG PRP$ NNS"),
        ("a jar buried in sand", "DT NN VBN IN NN"),
    ],
)
def test_tags_of_prompts(text: str, wanted: str) -> None:
    assert " ".join(tags(text)).replace("NNP", "NN").replace("VBD", "VBN") == wanted


def test_weights_are_added_up_and_the_first_of_equals_wins() -> None:
    tagger = Tagger(["A", "B"], {"w cat": {"A": 2}, "s cat": {"B": 5}}, {}, {})
    tokens = tokenize("cat dog")
    tagger.tag(tokens)
    assert [token.tag for token in tokens] == ["B", "A"]


def test_tags_are_those_with_the_greatest_sum_of_all_features() -> None:
    model = shipped_model()
    weights, tagger = unpack_weights(model), make_tagger(model)
    text = "An old potter in a Blue apron shapes zorgy wet clay while 2 cats watch him quietly from a half-open door"
    for _ in range(2):  # sums of words are kept the first time
        tokens = tokenize(text)
        tagger.tag(tokens)
        seen = [Seen(t.lower, shape(t.text), word_class(t.lower, model["lexicon"])) for t in tokens]
        before, last = "-start-", "-start-"
        for i, token in enumerate(tokens):
            sums = {tag: -index / 1000 for index, tag in enumerate(model["tags"])}
            for feature in context_features([*BEFORE, *seen, *BEHIND], i + len(BEFORE), last, before):
                for tag, weight in weights.get(feature, {}).items():
                    sums[tag] += weight
            closed = model["closed"].get(token.lower) if token.text.islower() else None
            allowed = [tag for tag in sums if closed is None or tag in closed.split("|")]
            wanted = model["fixed"].get(token.lower) or max(allowed, key=sums.__getitem__)
            assert token.tag == wanted, token.text
            before, last = last, token.tag


def test_fixed_words_and_closed_words() -> None:
    tagger = Tagger(["A", "B", "C"], {"b": {"C": 9}}, {"the": "B"}, {}, {"made": "A|B"})
    tokens = tokenize("the made thing")
    tagger.tag(tokens)
    assert [token.tag for token in tokens] == ["B", "A", "C"]


@pytest.mark.parametrize(
    ("word", "kind"), [("cat", "NN"), ("xyz", "?"), ("12", "?9"), ("4k", "?9a"), ("space-cat", "?-NN"), ("a-b", "?-")]
)
def test_word_class(word: str, kind: str) -> None:
    assert word_class(word, {"cat": "NN"}) == kind


@pytest.mark.parametrize(
    ("text", "wanted"), [("cat", "x"), ("Cat", "Xx"), ("CAT", "X"), ("A", "I"), ("iPad", "xX"), ("8K", "x")]
)
def test_shape(text: str, wanted: str) -> None:
    assert shape(text) == wanted


def test_extra_words_replace_what_the_model_knows(tmp_path: Path) -> None:
    model = {"format": FORMAT, "tags": ["JJ", "NN"], "weights": {"c JJ|NN": [0, 5]}, "fixed": {"elf": "JJ"},
             "lexicon": {}, "closed": {"elf": "JJ"}}  # fmt: skip
    path = tmp_path / "m.json.gz"
    path.write_bytes(gzip.compress(json.dumps(model).encode()))
    for extra, tag in (({"elf": "NN"}, "NN"), ({"elf": "JJ|NN"}, "JJ"), ({}, "JJ")):
        tokens = tokenize("elf")
        load_tagger(path, extra).tag(tokens)
        assert tokens[0].tag == tag


@pytest.mark.parametrize("content", [b"", b"not gzip"])
def test_a_file_of_another_kind_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.json.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"bad\.json\.gz"):
        read_model(path)


@pytest.mark.parametrize("text", ["[]", '{"format": 99}', "{"])
def test_a_bad_model_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.json.gz"
    path.write_bytes(gzip.compress(text.encode()))
    with pytest.raises(ValueError, match=r"bad\.json\.gz"):
        read_model(path)
