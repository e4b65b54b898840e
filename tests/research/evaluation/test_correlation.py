"""Correlations against scipy's own, and the logistic fit against curves that are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

from grefine_core.errors import InputError
from grefine_research.evaluation import correlate, fit_logistic, logistic
from grefine_research.evaluation.statistics import auroc, bootstrap, mean, pearson, spearman


def synthetic(count=300, noise=0.3, seed=0):
    rng = np.random.default_rng(seed)
    scores = rng.normal(20.0, 8.0, count)
    ratings = logistic(scores, 4.6, 1.2, 22.0, 3.0) + rng.normal(0.0, noise, count)
    return scores, ratings


def test_correlations_are_scipys():
    scores, ratings = synthetic()
    scores = np.round(scores)  # ties
    found = correlate(scores, ratings, resamples=0)
    assert found.srocc.value == pytest.approx(stats.spearmanr(scores, ratings).statistic, abs=1e-12)
    assert found.plcc.value == pytest.approx(stats.pearsonr(scores, ratings).statistic, abs=1e-12)
    assert found.count == 300


def test_the_logistic_fit_is_the_least_squares_one():
    scores, ratings = synthetic()

    def customary(x, b1, b2, b3, b4):
        return (b1 - b2) / (1 + np.exp(-(x - b3) / np.abs(b4))) + b2

    start = [ratings.max(), ratings.min(), scores.mean(), scores.std() / 4]
    wanted, _ = optimize.curve_fit(customary, scores, ratings, p0=start, maxfev=10_000)
    found = correlate(scores, ratings, resamples=0)
    assert found.curve == pytest.approx(wanted, rel=1e-3)
    assert found.plcc_fitted.value == pytest.approx(stats.pearsonr(customary(scores, *wanted), ratings)[0], abs=1e-6)
    assert found.plcc_fitted.value > found.plcc.value


def test_a_curve_without_noise_is_found_again():
    scores, ratings = synthetic(noise=0.0)
    assert fit_logistic(scores, ratings) == pytest.approx((4.6, 1.2, 22.0, 3.0), rel=1e-4)
    assert correlate(scores, ratings, resamples=0).plcc_fitted.value == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("factor", [1e-3, 1.0, 1e4])
def test_scales_of_indicators_make_no_difference(factor):
    scores, ratings = synthetic()
    first, second = correlate(scores, ratings, resamples=20), correlate(factor * scores - 3, ratings, resamples=20)
    assert second.plcc_fitted.value == pytest.approx(first.plcc_fitted.value, abs=1e-5)
    assert second.srocc.low == pytest.approx(first.srocc.low)


def test_scores_that_fall_are_fitted_too():
    scores, ratings = synthetic()
    found = correlate(-scores, ratings, resamples=0)
    assert found.srocc.value < -0.8
    assert found.plcc_fitted.value > 0.9
    assert found.curve[0] < found.curve[1]


def test_intervals_hold_the_figure_shrink_with_the_pictures_and_come_again():
    scores, ratings = synthetic(noise=1.0)
    wide, narrow = correlate(scores[:40], ratings[:40], 300), correlate(scores, ratings, 300)
    for name in ("srocc", "plcc", "plcc_fitted"):
        few, many = getattr(wide, name), getattr(narrow, name)
        assert few.low < few.value < few.high
        assert many.high - many.low < few.high - few.low
    assert correlate(scores, ratings, 300) == narrow
    assert correlate(scores, ratings, 300, seed=1).srocc.low != narrow.srocc.low
    # Against scipy's own bootstrap, drawn otherwise.
    theirs = stats.bootstrap(
        (scores, ratings), lambda x, y: stats.pearsonr(x, y)[0], paired=True, vectorized=False, method="percentile",
        n_resamples=600, confidence_level=0.95,
    ).confidence_interval  # fmt: skip
    assert narrow.plcc.low == pytest.approx(theirs.low, abs=0.02)
    assert narrow.plcc.high == pytest.approx(theirs.high, abs=0.02)


def test_what_is_not_defined_is_said_so():
    constant = correlate([1.0] * 9, list(range(9)), 10)
    assert np.isnan([constant.srocc.value, constant.plcc.value, constant.plcc_fitted.value]).all()
    assert constant.curve is None
    assert np.isnan(correlate([1.0], [2.0]).srocc.value)
    few = correlate([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 5.0], 10)
    assert few.srocc.value == 1.0
    assert np.isnan(few.plcc_fitted.value)
    with pytest.raises(InputError, match="one number each"):
        correlate([1.0, 2.0], [1.0])


def test_pictures_without_a_score_do_not_count():
    scores, ratings = synthetic(60)
    scores[3] = np.nan
    found = correlate(scores, ratings, 10)
    assert found.count == 59
    kept = np.isfinite(scores)
    assert found.srocc.value == pytest.approx(stats.spearmanr(scores[kept], ratings[kept]).statistic)


def test_bootstrap_of_a_mean():
    values = np.random.default_rng(3).normal(0.0, 1.0, 400)
    found = mean(values, 500)
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.15)
    assert np.isnan(mean([], 10).value)
    assert np.isnan(bootstrap(4, lambda rows: float("nan"), 5).low)


def test_auroc_counts_pairs():
    rng = np.random.default_rng(1)
    scores, truth = rng.normal(size=40).round(1).astype(np.float32), rng.random(40) < 0.3
    pairs = scores[truth][:, None] - scores[~truth][None]
    assert auroc(scores, truth) == pytest.approx((pairs > 0).mean() + 0.5 * (pairs == 0).mean(), abs=1e-12)
    assert np.isnan(auroc(scores, truth | True))


@pytest.mark.parametrize("figure", [pearson, spearman])
def test_correlations_of_nothing_are_undefined(figure):
    for one, two in (([], []), ([1.0], [2.0]), ([1.0, 1.0], [1.0, 2.0])):
        assert np.isnan(figure(one, two))
