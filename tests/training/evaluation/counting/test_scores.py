"""Scores of counts against definitions written out the slow way, and against libraries."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, poisson

from training.evaluation.counting.scores import (
    clopper_pearson,
    crps,
    facility_band,
    interval_scores,
    pit,
    share_of,
    weighted_interval_scores,
)

numbers = st.integers(0, 40)


@given(st.integers(1, 300), st.data())
def test_the_band_is_scipys_exact_one(n: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, n))
    oracle = binomtest(hits, n).proportion_ci(0.95, method="exact")
    assert clopper_pearson(hits, n) == pytest.approx((oracle.low, oracle.high), abs=1e-9)


def test_nothing_says_nothing() -> None:
    assert clopper_pearson(0, 0) == (0.0, 1.0)
    assert np.isnan(share_of(np.zeros(0, dtype=bool))["share"])


def test_interval_score_by_hand() -> None:
    low, high, n_true = np.array([10.0, 10, 10]), np.array([20.0, 20, 20]), np.array([15.0, 8, 23])
    assert interval_scores(low, high, n_true, 0.95) == pytest.approx([10, 10 + 40 * 2, 10 + 40 * 3])
    assert interval_scores(low, high, n_true, 0.5) == pytest.approx([10, 10 + 4 * 2, 10 + 4 * 3])


@given(st.lists(numbers, min_size=5, max_size=5), numbers)
def test_the_weighted_interval_score_is_the_mean_quantile_loss(ends: list[int], n_true: int) -> None:
    low95, low50, median, high50, high95 = (float(end) for end in sorted(ends))
    y = float(n_true)
    quantiles = {0.025: low95, 0.25: low50, 0.5: median, 0.75: high50, 0.975: high95}
    loss = [2 * (tau - (y < q)) * (y - q) for tau, q in quantiles.items()]
    found = weighted_interval_scores(
        np.array([median]),
        {0.5: np.array([low50]), 0.95: np.array([low95])},
        {0.5: np.array([high50]), 0.95: np.array([high95])},
        np.array([y]),
    )
    assert found == pytest.approx([np.mean(loss)])


@given(st.lists(numbers, min_size=1, max_size=12), numbers)
def test_crps_is_the_area_between_the_distribution_and_the_step(draws: list[int], n_true: int) -> None:
    steps = np.arange(0, 60)
    cdf = np.array([np.mean(np.array(draws) <= k) for k in steps])
    area = float(((cdf - (steps >= n_true)) ** 2).sum())  # unit steps between whole numbers
    assert crps(np.array([draws], dtype=float), np.array([float(n_true)])) == pytest.approx([area], abs=1e-9)


def test_crps_of_a_point_is_the_error() -> None:
    assert crps(np.full((2, 5), 7.0), np.array([7.0, 12.0])) == pytest.approx([0, 5])


def test_pit_is_flat_where_the_draws_are_right() -> None:
    rng = np.random.default_rng(1)
    rate = rng.gamma(2.0, 4.0, 2000)
    n_true = rng.poisson(rate).astype(float)
    right = pit(rng.poisson(rate[:, None], (2000, 400)).astype(float), n_true)
    assert right.sum() == pytest.approx(1)
    assert np.abs(right - 0.1).max() < 0.02
    spaced = poisson.ppf((np.arange(400) + 0.5) / 400, 0.7 * rate[:, None])
    too_low = pit(spaced, n_true)
    assert too_low[-1] > 0.25
    assert too_low[0] < 0.1


def test_pit_is_the_mean_of_the_randomised_one() -> None:
    rng = np.random.default_rng(2)
    draws, n_true = rng.poisson(3.0, (50, 20_000)).astype(float), rng.poisson(3.0, 50).astype(float)
    below, upto = ((draws < n_true[:, None]).mean(axis=1), (draws <= n_true[:, None]).mean(axis=1))
    u = below + (upto - below) * rng.random((4000, 50))
    randomised = np.histogram(u, bins=10, range=(0, 1))[0] / u.size
    assert pit(draws, n_true) == pytest.approx(randomised, abs=0.005)


@given(st.lists(st.tuples(st.integers(0, 4), numbers, st.integers(1, 40)), min_size=1, max_size=30), st.integers(0, 9))
def test_the_facility_band_lies_between_the_facilities(rows: list[tuple[int, int, int]], seed: int) -> None:
    facility, part, whole = (np.array(column) for column in zip(*rows, strict=True))
    code = np.unique(facility, return_inverse=True)[1]
    part, whole = part.astype(float), whole.astype(float)
    ratios = [part[code == k].sum() / whole[code == k].sum() for k in np.unique(code)]
    low, high = facility_band(part, whole, code, seed=seed)
    assert min(ratios) - 1e-9 <= low <= high <= max(ratios) + 1e-9
    assert facility_band(part, whole, code, seed=seed) == (low, high)


def test_like_dates_make_the_facility_band_wide() -> None:
    rng = np.random.default_rng(3)
    hit = rng.random(30) < 0.9
    one = facility_band(hit.astype(float), np.ones(30), np.arange(30))
    code = np.repeat(np.arange(30), 8)
    alike = facility_band(hit[code].astype(float), np.ones(240), code)
    exact = clopper_pearson(8 * int(hit.sum()), 240)
    assert alike == pytest.approx(one, abs=0.02)  # eight dates that are the same tell no more than one
    assert alike[1] - alike[0] > 1.5 * (exact[1] - exact[0])
