"""The derived tokenizer numbers words as open_clip does."""

from __future__ import annotations

import pytest

from grefine_core.engines.prompts import END, make_tokenizer, write_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer(END)


@pytest.mark.parametrize(
    "text",
    [
        "a red balloon over green hills, 8k",
        "Hello  WORLD ... it's we're don't",
        "Ünïcode naïve café №5",
        "日本 🎈 12345 x-ray!!",
        "",
        "trending on artstation | (masterpiece)",
    ],
)
def test_same_numbers_as_open_clip(tokenizer, text):
    from open_clip.tokenizer import SimpleTokenizer

    assert tokenizer(text, add_special_tokens=False).input_ids == SimpleTokenizer().encode(text)


def test_vocabulary(tokenizer):
    assert len(tokenizer) == 49408
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (49406, 49407, 49407)
    assert make_tokenizer("!").pad_token_id == 0
    assert tokenizer.model_max_length == 77


def test_files_are_the_same_every_time(tmp_path):
    first, second = write_tokenizer(tmp_path / "a"), write_tokenizer(tmp_path / "b")
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
