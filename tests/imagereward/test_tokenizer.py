"""bert-base-uncased's tokenizer from a vocabulary file; that file itself is not part of the project."""

from __future__ import annotations

import json

import pytest

from grefine_core.errors import InputError, ModelFileError
from grefine_core.imagereward import ImageReward, TextTokenizer, find_vocabulary, load_image_reward, read_vocabulary

#: Where some tokens stand in bert-base-uncased's vocabulary.
PLACES = {
    "[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103, ",": 1010, "a": 1037, "of": 1997, "and": 1998,
    "with": 2007, "##s": 2015, "an": 2019, "time": 2051, "day": 2154, "red": 2417, "cup": 2452, "field": 2492,
    "low": 2659, "table": 2795, "effect": 3466, "ocean": 4153, "painting": 4169, "birds": 5055, "depth": 5995,
    "cafe": 7668, "clouds": 8044,
}  # fmt: skip
PROMPT = "a painting of an ocean with clouds and birds, day time, low depth field effect"
NUMBERS = [101, 1037, 4169, 1997, 2019, 4153, 2007, 8044, 1998, 5055, 1010, 2154, 2051, 1010, 2659, 5995, 2492, 3466]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A vocabulary as long as the real one, with the tokens above at their real places."""
    lines = [f"[unused{number}]" for number in range(30522)]
    for token, number in PLACES.items():
        lines[number] = token
    path = tmp_path_factory.mktemp("vocabulary") / "bert-base-uncased-vocab.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def tokenizer(file):
    return TextTokenizer(read_vocabulary(file, 30522))


def test_the_published_prompt(tokenizer):
    ids, mask = tokenizer([PROMPT], pad_to=35)
    assert ids[0].tolist() == [*NUMBERS, 102, *[0] * 16]
    assert mask[0].tolist() == [*[1] * 19, *[0] * 16]
    assert tokenizer.count(PROMPT) == 19
    assert tokenizer.size == 30524


def test_case_accents_pieces_and_unknown_words(tokenizer):
    ids, _ = tokenizer(["Red CUPS", "Café", "cup, zebra", "", "[DEC] cup [ENC]"])
    rows = [[number for number in row if number] for row in ids.tolist()]
    assert rows == [
        [101, 2417, 2452, 2015, 102],
        [101, 7668, 102],
        [101, 2452, 1010, 100, 102],
        [101, 102],
        [101, 30522, 2452, 30523, 102],
    ]


def test_long_texts_are_cut_and_counted(tokenizer):
    ids, mask = tokenizer(["red cup " * 40, "cup"])
    assert ids.shape == (2, 35)
    assert ids[0, -1] == 102
    assert mask.sum(1).tolist() == [35, 3]
    assert tokenizer.count("red cup " * 40) == 82


def test_as_transformers_has_it(tokenizer, file, tmp_path):
    from transformers import BertTokenizer

    (tmp_path / "vocab.txt").write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    theirs = BertTokenizer.from_pretrained(str(tmp_path), local_files_only=True)
    for text in (PROMPT, "Red CUPS", "Café, 猫 cup", "", "a\tred\n cup", "x" * 150, "low-depth field's"):
        expected = theirs(text, padding="max_length", truncation=True, max_length=35)
        ids, mask = tokenizer([text], pad_to=35)
        assert ids[0].tolist() == expected["input_ids"]
        assert mask[0].tolist() == expected["attention_mask"]


def test_other_vocabularies_are_refused(file, tmp_path):
    cased = tmp_path / "vocab.txt"
    cased.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]"]), encoding="utf-8")
    with pytest.raises(ModelFileError, match=r"4 tokens and is not bert-base-uncased's.*30522"):
        read_vocabulary(cased, 30522)
    lines = file.read_text(encoding="utf-8").split("\n")
    lines[101], lines[102] = lines[102], lines[101]
    cased.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ModelFileError, match="not bert-base-uncased's"):
        read_vocabulary(cased, 30522)
    with pytest.raises(ModelFileError, match="does not exist"):
        read_vocabulary(tmp_path / "none.txt")
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ModelFileError, match="cannot be read"):
        read_vocabulary(tmp_path / "tokenizer.json")
    with pytest.raises(ModelFileError, match=r"no \[CLS\], \[SEP\]"):
        TextTokenizer({"[PAD]": 0, "[UNK]": 1})


def test_a_fast_tokenizers_file_and_other_line_ends(file, tmp_path):
    tokens = read_vocabulary(file)
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"vocab": tokens}}), encoding="utf-8")
    assert read_vocabulary(tmp_path / "tokenizer.json", 30522) == tokens
    (tmp_path / "vocab.txt").write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert read_vocabulary(tmp_path / "vocab.txt", 30522) == tokens


def test_where_it_is_looked_for(tmp_path, monkeypatch):
    from huggingface_hub import constants, file_download

    for module in (constants, file_download):  # the second is where older releases look
        monkeypatch.setattr(module, "HF_HUB_CACHE", str(tmp_path / "hub"), raising=False)
    weights = tmp_path / "models" / "grefine" / "ImageReward.pt"
    elsewhere = tmp_path / "elsewhere"
    with pytest.raises(ModelFileError, match=rf"bert-base-uncased-vocab\.txt in {weights.parent}.*models download"):
        find_vocabulary(weights, [elsewhere])
    for path in (
        tmp_path / "hub/models--google-bert--bert-base-uncased/snapshots/0/vocab.txt",
        elsewhere / "bert-base-uncased" / "tokenizer.json",
        tmp_path / "models" / "bert-base-uncased" / "vocab.txt",
        weights.parent / "bert-base-uncased-vocab.txt",
        weights.parent / "vocab.txt",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        refs = tmp_path / "hub/models--google-bert--bert-base-uncased/refs"
        refs.mkdir(parents=True, exist_ok=True)
        (refs / "main").write_text("0")
        assert find_vocabulary(weights, [elsewhere]) == path


def test_a_vocabulary_of_another_network_is_refused(tiny_weights, tokenizer, encoder, file):
    with pytest.raises(InputError, match="30524 tokens"):
        ImageReward(encoder.network, tokenizer)
    with pytest.raises(ModelFileError, match="30522 tokens"):
        load_image_reward(tiny_weights / "ImageReward.safetensors", file)
