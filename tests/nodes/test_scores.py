"""Scores know what they are, and no stage takes one for a strength."""

from __future__ import annotations

import copy
import json
import pickle

import pytest
import torch

IMAGES = torch.rand(2, 4, 5, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def module(pack):
    return pack("nodes.scores")


def test_a_score_is_a_number_like_any_other_that_says_whose_it_is(module):
    score = module.Score(0.25, "PQ-Map's score")
    assert (score, str(score), f"{score:.1f}", json.dumps([score])) == (0.25, "0.25", "0.2", "[0.25]")
    for same in (copy.deepcopy(score), pickle.loads(pickle.dumps(score))):  # noqa: S301 - our own
        assert (same, same.source) == (0.25, "PQ-Map's score")


def test_a_stage_refuses_a_score_by_name(module, inputs, input_error):
    scores = module.scores([0.25, 0.75], "AQ-Map's score")
    with pytest.raises(input_error, match=r"^strength: this is AQ-Map's score \(0\.25\).* Refine Plan is bypassed"):
        inputs.find_work([IMAGES], [True], scores, [10])


def test_what_is_computed_from_a_score_is_a_strength(module, inputs):
    scores = module.scores([0.25, 0.75], "AQ-Map's score")
    assert inputs.find_work([IMAGES], [True], [1.0 - score for score in scores], [10]).strengths == (0.75, 0.25)
