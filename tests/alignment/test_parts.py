"""Long prompts are measured in parts: bounded memory, an ear for the user's cancel, and a limit that says so."""

from __future__ import annotations

import pytest
import torch

from grefine_core import alignment_quality, assess, parse_prompt
from grefine_core.alignment import Bounds, Calibration, scoring, texts
from grefine_core.alignment.verdicts import ancestor_region
from grefine_core.errors import Cancelled, InputError
from grefine_core.prompt.syntax.tree import Phrase, Word

LETTERS = "bdfklmp"
LONG = ", ".join(f"a red {one}o{two}a{three}" for one in LETTERS for two in LETTERS for three in "d")


@pytest.fixture
def model(planted, monkeypatch):
    monkeypatch.setattr(texts, "PART_TEXTS", 250)
    return planted([("red balloon", "stone castle"), ("green frog", "lake")])


@pytest.mark.parametrize("scoring", ["contrast", "softmax"])
def test_parts_give_what_the_whole_gives(model, monkeypatch, scoring):
    pictures, prompts = model.picture(0, 1, 0), [LONG[:400], "a green frog, 8k", LONG[:400]]
    monkeypatch.setattr(texts, "PART_TEXTS", 100_000)
    whole = alignment_quality(model, pictures, prompts, scoring=scoring)
    assert len(model.batches) == 1
    monkeypatch.setattr(texts, "PART_TEXTS", 40)
    monkeypatch.setattr(texts, "PART_PHRASES", 3)
    model.batches.clear()
    parts = alignment_quality(model, pictures, prompts, scoring=scoring)
    assert len(model.batches) > 5
    torch.testing.assert_close(parts.score, whole.score)
    torch.testing.assert_close(parts.prompt_score, whole.prompt_score)
    torch.testing.assert_close(parts.defect_map, whole.defect_map)
    for one, two in zip(parts.phrases, whole.phrases, strict=True):
        assert [verdict.defect for verdict in one] == [verdict.defect for verdict in two]
        for ours, theirs in zip(one, two, strict=True):
            assert (ours.score, ours.head_score) == pytest.approx((theirs.score, theirs.head_score), abs=1e-5)
            assert (ours.map is None) == (theirs.map is None)
            if ours.map is not None:
                torch.testing.assert_close(ours.map, theirs.map)


def test_texts_at_hand_at_a_time_are_few_whatever_the_prompt(model):
    found = alignment_quality(model, model.picture(0), LONG)
    assert len(found.phrases[0]) > 40
    assert sum(map(len, model.batches)) > 3 * texts.PART_TEXTS
    # A part is closed by the first phrase that fills it, so it holds the texts of that one more.
    assert max(map(len, model.batches)) < texts.PART_TEXTS + 300


@pytest.mark.parametrize("measure", [alignment_quality, assess])
def test_a_cancel_is_heard_between_parts(model, measure):
    heard = []

    def interrupt():
        heard.append(len(model.batches))
        if len(model.batches) == 3:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        measure(model, model.picture(0), LONG, interrupt=interrupt)
    assert len(model.batches) == 3
    assert {0, 1, 2} <= set(heard)  # 0: while the prompt is cut into pieces


@pytest.mark.parametrize("measure", [alignment_quality, assess])
def test_what_is_too_long_is_refused_before_any_work(model, measure, monkeypatch):
    monkeypatch.setattr(scoring, "MOST_CHARACTERS", 400)
    measure(model, model.picture(0), LONG[:400])
    calls = model.encoder_calls
    with pytest.raises(InputError, match=r"^prompt: 401 characters, .* up to 400 .*Shorten"):
        measure(model, model.picture(0, 1), ["a cat", LONG[:401]])
    with pytest.raises(InputError, match=r"^tree: 401 characters"):
        measure(model, model.picture(0), tree=parse_prompt(LONG[:401]))
    assert model.encoder_calls == calls


def test_a_long_chain_of_ancestors_is_followed_once():
    class Counting(list):
        asked = 0

        def __getitem__(self, index):
            self.asked += 1
            return super().__getitem__(index)

    word = Word("cat", 0)
    phrases = [Phrase((word,), word, index - 1 if index else None) for index in range(2000)]
    present, known = Counting([True] + [False] * 1999), {}
    assert [ancestor_region(phrases, present, index, known) for index in range(1, 2000)] == [0] * 1999
    assert present.asked < 3 * 2000


def test_assess_takes_the_bounds_of_alignment(model):
    strict = Calibration({way: Bounds(0.9999, 0.9999) for way in ("contrast", "softmax")})
    pictures, prompt = model.picture(0), "a red balloon"
    found = assess(model, pictures, prompt, alignment_calibration=strict).alignment
    assert found.phrases == alignment_quality(model, pictures, prompt, calibration=strict).phrases
    assert found.phrases != assess(model, pictures, prompt).alignment.phrases
