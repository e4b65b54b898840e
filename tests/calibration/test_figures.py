"""Quantiles, areas and shares against what is known of them."""

from __future__ import annotations

import numpy as np
import pytest

from grefine_core.calibration.figures import (
    auc_by_picture,
    log_odds,
    per_check,
    share_of,
    sigmoid,
    smoothed_quantile,
)


def test_quantiles_reach_beyond_the_sample_and_stay_near_the_truth():
    rng = np.random.default_rng(0)
    found = {share: [smoothed_quantile(rng.normal(size=60), share) for _ in range(60)] for share in (0.05, 0.0127)}
    assert np.mean(found[0.05]) == pytest.approx(-1.645, abs=0.15)
    assert np.mean(found[0.0127]) == pytest.approx(-2.236, abs=0.3)
    assert smoothed_quantile([1.0, 1.0, 1.0], 0.05) == 1.0
    assert smoothed_quantile([2.0], 0.01) == 2.0
    sample = rng.normal(size=20)
    assert smoothed_quantile(sample, 0.001) < sample.min()


def test_several_checks_share_what_may_fail():
    assert per_check(0.05, 1) == pytest.approx(0.05)
    assert 1 - (1 - per_check(0.05, 7)) ** 7 == pytest.approx(0.05)


def test_areas_under_the_curve():
    figure = auc_by_picture([[3.0], [2.0], [1.0]], [[0.0], [0.5], [2.5]])
    assert figure is not None
    assert figure.value == pytest.approx(7 / 9)
    assert figure.low <= figure.value <= figure.high
    assert auc_by_picture([[1.0]], [[]]) is None
    ties = auc_by_picture([[1.0], [1.0]], [[1.0], [1.0]])
    assert ties is not None
    assert ties.value == 0.5
    apart = auc_by_picture([[1.0]] * 9, [[0.0]] * 9)
    assert apart is not None
    assert apart.value == 1.0
    assert apart.low < 0.7


def test_the_interval_is_wide_where_pictures_are_few():
    rng = np.random.default_rng(1)
    widths = []
    for count in (12, 120):
        figure = auc_by_picture(rng.normal(1, 1, (count, 1)).tolist(), rng.normal(0, 1, (count, 1)).tolist())
        assert figure is not None
        widths.append(figure.high - figure.low)
    assert widths[0] > 2 * widths[1]


def test_shares_and_odds():
    figure = share_of(19, 20)
    assert figure is not None
    assert figure.value == 0.95
    assert 0.74 < figure.low < 0.78
    assert 0.98 < figure.high < 1.0
    assert share_of(0, 0) is None
    assert sigmoid(log_odds(0.3)) == pytest.approx(0.3)
    assert 0.0 < sigmoid(log_odds(0.0)) < 1e-9
