"""Algorithm P, and several scenes of one date."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.counting.combine import agreeing, best_first, combine_repeats, gls_weights
from detector.counting.coverage import Share, Usual, hidden_draws, publishable, visible_share
from detector.counting.inflation import LEVELS
from detector.counting.interval import Estimate, from_draws

NO_INFLATION = dict.fromkeys(LEVELS, 1.0)


def test_without_history_the_share_is_that_of_the_area() -> None:
    assert visible_share(np.zeros(0), np.zeros(0), 0.4).mean == pytest.approx(0.4)


def test_history_moves_the_share() -> None:
    share = visible_share(np.array([9.0, 18.0, 27.0]), np.array([10.0, 20.0, 30.0]), 0.5)
    assert share.mean == pytest.approx((54 + 3) / (60 + 6))


def test_steady_shares_are_more_certain_than_wild_ones() -> None:
    total = np.full(30, 40.0)
    rng = np.random.default_rng(0)
    steady = visible_share(rng.binomial(40, 0.5, 30).astype(float), total, 0.5)
    wild = visible_share(rng.binomial(40, rng.beta(1, 1, 30)).astype(float), total, 0.5)
    assert steady.concentration > 5 * wild.concentration


@pytest.mark.parametrize("mean_total", [1.5, 3.0, 30.0])
def test_dates_with_few_objects_make_shares_no_steadier(mean_total: float) -> None:
    rng, found = np.random.default_rng(1), []
    for _ in range(100):
        total = rng.poisson(mean_total * rng.gamma(3, 1 / 3, 60)).astype(float)
        seen = rng.binomial(total.astype(int), rng.beta(8 * 0.6, 8 * 0.4, 60)).astype(float)
        found.append(visible_share(seen, total, 0.6).concentration)
    assert 5 <= np.median(found) <= 12  # 8 is true


@pytest.mark.parametrize("area", [0.3, 0.5, 0.7, 0.9])
def test_totals_of_partly_seen_yards_are_covered(area: float) -> None:
    rng = np.random.default_rng(int(100 * area))
    usual_inside, surge_inside = [], []
    for _ in range(150):
        mean, psi, spread = np.exp(rng.normal(np.log(15), 0.6)), 0.35, 8.0
        totals = rng.poisson(mean * rng.gamma(1 / psi, psi, 25))
        seen = rng.binomial(totals, rng.beta(spread * area, spread * (1 - area), 25))
        share = visible_share(seen.astype(float), totals.astype(float), area)
        usual = Usual(float(totals.mean()), psi, float(totals.max()))
        for inside, factor in ((usual_inside, 1.0), (surge_inside, 3.5)):
            number = rng.poisson(factor * mean * rng.gamma(1 / psi, psi))
            visible = rng.binomial(number, rng.beta(spread * area, spread * (1 - area)))
            draws = np.full(600, float(visible))
            total = draws + hidden_draws(draws, share.draws(600, rng), usual, rng)
            low, high = np.quantile(total, [0.025, 0.975])
            inside.append(low <= number <= high)
    assert np.mean(usual_inside) >= 0.88
    assert np.mean(surge_inside) >= 0.80


def test_hidden_cars_are_capped_by_their_tracks() -> None:
    rng = np.random.default_rng(1)
    draws = hidden_draws(np.full(500, 60.0), np.full(500, 0.5), None, rng, cap=12)
    assert draws.max() == 12


def test_without_history_the_hidden_part_is_wide() -> None:
    rng = np.random.default_rng(2)
    visible = np.full(2000, 20.0)
    unknown = hidden_draws(visible, np.full(2000, 0.5), None, rng)
    known = hidden_draws(visible, np.full(2000, 0.5), Usual(40.0, 0.05, 55.0), rng)
    assert np.std(unknown) > np.std(known)
    assert np.mean(unknown) == pytest.approx(20, rel=0.2)


def test_what_may_be_published() -> None:
    assert [publishable(share) for share in (0.2, 0.499, 0.5, 0.69, 0.7, 1.0)] == [
        "at_least",
        "at_least",
        "interval",
        "interval",
        "total",
        "total",
    ]


def test_share_draws_stay_inside() -> None:
    draws = Share(1.0, 200.0).draws(1000, np.random.default_rng(3))
    assert 0 < draws.min() <= draws.max() < 1


def repeat(count: float, sd: float, seed: int = 0) -> Estimate:
    draws = np.maximum(0, np.round(np.random.default_rng(seed).normal(count, sd, 2000)))
    return from_draws(draws, NO_INFLATION)


def test_two_scenes_are_neither_summed_nor_independent() -> None:
    one = repeat(100, 10)
    both = combine_repeats([one, repeat(104, 10, seed=1)], rho=0.4)
    width = one.high[0.95] - one.low[0.95]
    assert 100 <= both.count <= 104
    assert both.high[0.95] - both.low[0.95] == pytest.approx(width * np.sqrt(0.7), rel=0.1)


def test_a_single_scene_stays_as_it_is() -> None:
    one = repeat(50, 5)
    assert combine_repeats([one], rho=0.4) is one


def test_a_blurred_scene_of_the_same_minute_does_not_speak() -> None:
    sharp, alike, blurred = repeat(59, 7), repeat(52, 6, seed=1), repeat(27, 4, seed=2)
    assert agreeing([sharp, alike, blurred], rho=0.4) == (0, 1)
    assert agreeing([sharp, repeat(0, 0.1)], rho=0.4) == (0,)
    assert agreeing([repeat(0, 0.1), sharp], rho=0.4) == (0,)


def test_a_lower_count_does_not_weigh_more_because_it_is_lower() -> None:
    rng = np.random.default_rng(5)
    both = []
    for _ in range(300):  # two looks at 30 cars, with errors that grow with what they show
        first, second = (max(0.0, 30 + rng.normal(0, 4)) for _ in range(2))
        seen = [
            repeat(round(count), np.sqrt(0.5 * count + 0.5), seed=int(rng.integers(1e6))) for count in (first, second)
        ]
        both.append(combine_repeats(seen, rho=0.4).count)
    assert np.mean(both) == pytest.approx(30, abs=0.6)


def test_a_much_worse_scene_gets_no_negative_weight() -> None:
    weight = gls_weights(np.array([1.0, 100.0]), 0.4)
    assert weight.tolist() == [1.0, 0.0]


@settings(max_examples=40, deadline=None)
@given(variance=st.lists(st.floats(0.1, 1e4), min_size=1, max_size=6), rho=st.floats(0, 0.9))
def test_weights_are_a_share_of_one(variance: list[float], rho: float) -> None:
    weight = gls_weights(np.array(variance), rho)
    assert (weight >= 0).all()
    assert weight.sum() == pytest.approx(1)


def test_the_best_scene_sees_most_then_is_sharpest() -> None:
    observed = np.array([0.5, 0.995, 1.0, 0.99])
    sharpness = np.array([9.0, 1.0, 2.0, np.nan])
    assert best_first(observed, sharpness).tolist() == [2, 1, 3, 0]
