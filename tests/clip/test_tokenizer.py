"""Long words: open_clip's tokens, in time that grows with their length."""

from __future__ import annotations

import random

import pytest
from open_clip.tokenizer import SimpleTokenizer

from grefine_core import QualityModel
from grefine_core.clip.tokenizer import LONG_WORD, merged, with_long_words

from ..tiny_models import build_clip, build_embeddings


@pytest.fixture(scope="module")
def theirs():
    return SimpleTokenizer()


@pytest.fixture(scope="module")
def ours():
    return with_long_words(SimpleTokenizer())


def words():
    draw = random.Random(0)
    for alphabet in ("ab", "aeinrst", "abcdefghijklmnopqrstuvwxyz", "haé猫", "!?.-"):
        for length in (1, 2, 3, 7, 30, LONG_WORD - 1, LONG_WORD, 150):
            yield "".join(draw.choice(alphabet) for _ in range(length))
    for part in ("a", "ab", "photograph", "ha", "supercalifragilistic"):
        yield part * (200 // len(part))


def test_the_tokens_are_open_clips(theirs, ours):
    for word in words():
        assert ours.encode(word) == theirs.encode(word)
        letters = ["".join(theirs.byte_encoder[byte] for byte in word.encode())][0]
        assert " ".join(merged([*letters[:-1], letters[-1] + "</w>"], theirs.bpe_ranks)) == theirs.bpe(letters)
    text = "a red balloon, 8k " + "photograph" * 30
    assert ours([text]).equal(theirs([text]))


def test_all_places_of_a_pair_are_joined_before_the_next_pair():
    """Ranks in which a later pair would take away a letter of an earlier one's second place."""
    ranks = {("b", "c"): 0, ("a", "b"): 5, ("a", "bc"): 3, ("abc", "a"): 2}
    assert merged(list("abcabc"), ranks) == ["abc", "abc"]


@pytest.mark.parametrize("alphabet", ["abcdefghijklmnopqrstuvwxyz", "ab", "a"])
def test_the_work_grows_with_the_length(ours, alphabet):
    class Counting(dict):
        asked = 0

        def get(self, *args):
            self.asked += 1
            return super().get(*args)

    draw = random.Random(1)
    ranks = Counting(ours.bpe_ranks)
    merged([draw.choice(alphabet) for _ in range(20_000)], ranks)
    assert ranks.asked < 10 * 20_000


def test_the_quality_model_takes_it_in_the_place_of_open_clips(theirs):
    clip, embeddings = build_clip(), build_embeddings()
    for given in (None, theirs):
        model = QualityModel(clip, embeddings, tokenizer=given)
        assert "bpe" in vars(model.tokenizer)
        assert model.token_count("photograph" * 30) == len(theirs.encode("photograph" * 30)) + 2
    assert "bpe" not in vars(theirs)
    own = lambda texts: theirs(texts)  # noqa: E731
    assert QualityModel(clip, embeddings, tokenizer=own).tokenizer is own
