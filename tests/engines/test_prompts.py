"""Prompt weights move embeddings away from the empty prompt's, and long prompts are read to the end."""

from __future__ import annotations

import pytest
import torch

from grefine_core.engines.prompts import ROOM, encode_prompts, split_prompt

CPU = torch.device("cpu")


def encode(engine, prompt, negative=""):
    return encode_prompts(engine.pipe, prompt, negative, CPU)


def weights(engine, prompt):
    pieces = split_prompt(engine.pipe.tokenizer, prompt)
    words = engine.pipe.tokenizer.convert_ids_to_tokens([number for piece in pieces for number, _ in piece])
    return [
        (word.removesuffix("</w>"), weight)
        for word, weight in zip(words, (w for piece in pieces for _, w in piece), strict=True)
    ]


def test_same_as_the_pipelines_own_without_weights(engine):
    sequence, _, pooled, _ = engine.pipe.encode_prompt("a red balloon over hills", device=CPU)
    ours, without = encode(engine, "a red balloon over hills")
    torch.testing.assert_close(ours.sequence, sequence)
    torch.testing.assert_close(ours.pooled, pooled)
    assert not without.sequence.any()  # SDXL is configured to take zeros for no negative prompt
    assert not without.pooled.any()


def test_negative_prompt(engine):
    _, without = encode(engine, "a balloon", "blurry")
    sequence, _, pooled, _ = engine.pipe.encode_prompt("blurry", device=CPU)
    torch.testing.assert_close(without.sequence, sequence)
    torch.testing.assert_close(without.pooled, pooled)


def test_weights_interpolate_away_from_the_empty_prompt(engine):
    plain, weighted = (encode(engine, text)[0].sequence for text in ("a red balloon", "a (red balloon:1.5)"))
    empty = encode(engine, "")[0].sequence
    expected = plain.clone()
    expected[:, 2:4] = empty[:, 2:4] + 1.5 * (plain[:, 2:4] - empty[:, 2:4])  # start, "a", then the weighted two
    torch.testing.assert_close(weighted, expected)
    assert not torch.equal(weighted, plain)
    torch.testing.assert_close(encode(engine, "a (red balloon:1.0)")[0].sequence, plain, rtol=0, atol=1e-5)


def test_the_pooled_vector_has_no_weights(engine):
    torch.testing.assert_close(
        encode(engine, "a (red balloon:1.5)")[0].pooled, encode(engine, "a red balloon")[0].pooled, rtol=0, atol=1e-5
    )


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a (red:1.3) cat", [("a", 1.0), ("red", 1.3), ("cat", 1.0)]),
        ("((red)) cat", [("red", 1.1 * 1.1), ("cat", 1.0)]),
        (r"a \(red\) cat", [("a", 1.0), ("(", 1.0), ("red", 1.0), (")", 1.0), ("cat", 1.0)]),
        ("cat <lora:x:1> dog", [("cat", 1.0), (",", 1.0), ("dog", 1.0)]),
        ("cat embedding:bad dog", [("cat", 1.0), ("dog", 1.0)]),
    ],
)
def test_markup(engine, prompt, expected):
    found = weights(engine, prompt)
    assert [word for word, _ in found] == [word for word, _ in expected]
    assert [weight for _, weight in found] == pytest.approx([weight for _, weight in expected])


def test_long_prompts_are_read_in_pieces(engine):
    words = [f"balloon{number}" for number in range(60)]
    pieces = split_prompt(engine.pipe.tokenizer, ", ".join(words))
    assert len(pieces) > 1
    assert all(0 < len(piece) <= ROOM for piece in pieces)
    flat = [number for piece in pieces for number, _ in piece]
    assert flat == engine.pipe.tokenizer(", ".join(words), add_special_tokens=False).input_ids
    ours, without = encode(engine, ", ".join(words), "blurry")
    assert ours.sequence.shape == without.sequence.shape == (1, 77 * len(pieces), 48)
    changed = encode(engine, ", ".join([*words[:-1], "castle"]))[0].sequence
    assert not torch.equal(changed, ours.sequence)  # the last word counts


def test_no_word_is_cut(engine):
    tokenizer = engine.pipe.tokenizer
    for piece in split_prompt(tokenizer, "extraordinarily unbelievable " * 40):
        assert tokenizer.convert_ids_to_tokens([piece[-1][0]])[0].endswith("</w>")


def test_endless_word(engine):
    pieces = split_prompt(engine.pipe.tokenizer, "xq" * 300)
    assert len(pieces) > 1
    assert all(0 < len(piece) <= ROOM for piece in pieces)


def test_break_starts_a_piece(engine):
    pieces = split_prompt(engine.pipe.tokenizer, "a cat BREAK a dog")
    assert [len(piece) for piece in pieces] == [2, 2]


@pytest.mark.parametrize("prompt", ["", "   ", "()", "((", "🎈", "<lora:x:1>", "BREAK", "(:1.3)", "a" * 5000])
def test_nothing_is_too_odd(engine, prompt):
    ours, _ = encode(engine, prompt)
    assert torch.isfinite(ours.sequence).all()
