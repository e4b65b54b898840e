"""Losses, pooling and rank correlation, against plain formulas."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from scipy.stats import spearmanr

from grefine_core.clip.embeddings import PerceptualBounds, cask
from grefine_research.training import PromptTuningOptions
from grefine_research.training.correlation import srocc
from grefine_research.training.losses import factor_odds, loss_of, patch_labels, pool, score_odds

OPTIONS = PromptTuningOptions()
NAN = float("nan")


def test_the_odds_of_the_score_are_those_of_the_cask_formula():
    odds = 3 * torch.randn(4, 50, generator=torch.Generator().manual_seed(0)).double()
    bounds = PerceptualBounds().score
    expected = cask(torch.sigmoid(odds), bounds)
    torch.testing.assert_close(torch.sigmoid(score_odds(odds, bounds)), expected)
    extreme = torch.tensor([[60.0, -60.0]] * 4, requires_grad=True)
    found = score_odds(extreme, bounds)
    assert torch.isfinite(found).all()
    found.sum().backward()
    assert torch.isfinite(extreme.grad).all()


def test_the_odds_are_those_of_the_softmax_over_a_pair():
    generator = torch.Generator().manual_seed(0)
    features, texts = torch.randn(5, 7, 8, generator=generator), torch.randn(4, 2, 8, generator=generator)
    expected = (10.0 * torch.einsum("bpc,ftc->fbpt", features, texts)).softmax(-1)[..., 0]
    torch.testing.assert_close(torch.sigmoid(factor_odds(features, texts, 10.0)), expected, atol=1e-5, rtol=1e-5)


def test_pooling():
    odds = torch.tensor([[-3.0, 1.0, 2.0, 4.0], [0.0, 0.0, 0.0, 0.0]])
    assert pool(odds, replace(OPTIONS, pool_share=0.5)).tolist() == [-1.0, 0.0]
    assert pool(odds, replace(OPTIONS, pool_share=0.01)).tolist() == [-3.0, 0.0]
    mean = torch.sigmoid(pool(odds, replace(OPTIONS, pool="mean")))
    torch.testing.assert_close(mean, torch.sigmoid(odds).mean(1))
    flat = pool(odds, replace(OPTIONS, pool="softmin", pool_sharpness=0.0))
    torch.testing.assert_close(flat, odds.mean(1))
    sharp = pool(odds, replace(OPTIONS, pool="softmin", pool_sharpness=100.0))
    torch.testing.assert_close(sharp, odds.amin(1))


def test_the_losses():
    labels = torch.tensor([1.0, 0.6, 0.6, NAN])
    good = torch.logit(torch.tensor([0.9999, 0.6, 0.6, 0.5]))
    bad = -good
    squared = replace(OPTIONS, ranking_weight=0.0, regression="mse")
    assert loss_of(good, labels, squared) < 1e-6
    entropy = replace(OPTIONS, ranking_weight=0.0)
    assert loss_of(good, labels, entropy) < 1e-3
    assert loss_of(bad, labels, entropy) > 1.0
    hinge = replace(OPTIONS, regression_weight=0.0, ranking="margin", margin=0.1)
    assert loss_of(good, labels, hinge) == 0.0
    assert loss_of(bad, labels, hinge) == pytest.approx(0.1 + 0.4 - 1e-4, abs=1e-3)
    logistic = replace(OPTIONS, regression_weight=0.0)
    assert loss_of(torch.zeros(4), labels, logistic) == pytest.approx(1.0)
    # Of labels that are all the same, or not known, nothing can be learned in either way.
    assert loss_of(good, torch.full((4,), NAN), OPTIONS) == 0.0
    assert loss_of(good, torch.full((4,), 0.5), logistic) == 0.0


def test_labels_of_the_patches():
    labels = torch.tensor([1.0, 0.99, 0.7, NAN])
    present = patch_labels(labels, replace(OPTIONS, patch_target="presence"))
    assert present[:3].tolist() == [1.0, 1.0, 0.0]
    assert present[3].isnan()
    assert patch_labels(labels, OPTIONS) is labels


def test_rank_correlation_agrees_with_scipy():
    generator = torch.Generator().manual_seed(0)
    scores, labels = torch.randn(100, generator=generator), torch.randn(100, generator=generator).round(decimals=1)
    assert srocc(scores, labels) == pytest.approx(spearmanr(scores, labels).statistic)
    labels[::4] = NAN
    known = ~labels.isnan()
    assert srocc(scores, labels) == pytest.approx(spearmanr(scores[known], labels[known]).statistic)
    assert srocc(scores, torch.ones(100)) == 0.0
    assert srocc(scores[:1], labels[:1]) == 0.0
