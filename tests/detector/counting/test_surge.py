"""Algorithm S: backgrounds, the three probabilities, and the decision."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import nbinom

from detector.counting.background import Counts, fit_background, seasonal_offsets
from detector.counting.surge import SURGE, TOO_FEW, USUAL, Rules, Verdict, assess, decide, p_record

RULES = Rules()


def counts(values: list[float] | np.ndarray, error: float = 0.1, censored: tuple[int, ...] = ()) -> Counts:
    value = np.asarray(values, dtype=np.float64)
    half = np.maximum(1.0, 1.96 * np.sqrt((error * value) ** 2 + 0.5))
    mask = np.isin(np.arange(value.size), censored)
    return Counts(value, np.maximum(0, value - half), value + half, mask)


def bursty(rng: np.random.Generator, n: int, mean: float = 8.0, psi: float = 0.35) -> np.ndarray:
    return rng.poisson(mean * rng.gamma(1 / psi, psi, n)).astype(np.float64)


def ordinary_history(n: int, seed: int = 0) -> np.ndarray:
    """Counts whose highest is 20."""
    rng = np.random.default_rng(seed)
    while True:
        values = bursty(rng, n)
        if values.max() == 20:
            return values


def judge(today: float, history: list[float] | np.ndarray) -> str:
    return decide([assess(counts([today]), counts(history))], RULES)[0]


def test_background_finds_rate_and_dispersion() -> None:
    values = bursty(np.random.default_rng(1), 400, mean=12, psi=0.3)
    rate, psi = fit_background(counts(values)).mean()
    assert rate == pytest.approx(12, rel=0.1)
    assert psi == pytest.approx(0.3, abs=0.08)


def test_predictive_distribution_adds_up() -> None:
    background = fit_background(counts(ordinary_history(20)))
    pmf = background.pmf(2000)
    assert pmf.sum() == pytest.approx(1, abs=1e-4)
    assert background.upper_tail(15) == pytest.approx(1 - pmf[:15].sum(), abs=1e-4)
    assert background.upper_tail(0) == pytest.approx(1)


def test_the_case_the_project_is_for() -> None:
    history = ordinary_history(41)
    verdict = assess(counts([73]), counts(history))
    assert decide([verdict], RULES) == [SURGE]
    assert verdict.p_record > 0.999
    assert verdict.p_usual < 1e-3
    assert verdict.p_rank == pytest.approx(1 / 42)
    assert (verdict.n, verdict.maximum) == (41, 20)


def test_a_little_more_than_the_maximum_is_usual() -> None:
    quiet = [Verdict(p_usual=0.5, p_record=0.01, p_rank=0.5, n=30, n_whole=30, maximum=20.0)] * 33
    verdicts = [assess(counts([25]), counts(ordinary_history(41, seed))) for seed in range(20)]
    words = [decide([verdict, *quiet], RULES)[0] for verdict in verdicts]
    assert words.count(USUAL) >= 15
    assert SURGE not in words


def test_five_dates_are_too_few() -> None:
    assert judge(73, [8, 5, 12, 20, 3]) == TOO_FEW


def test_a_wide_interval_today_is_no_record() -> None:
    history = counts(ordinary_history(41))
    unsure = Counts(np.array([40.0]), np.array([5.0]), np.array([90.0]), np.array([False]))
    sure = assess(counts([40]), history)
    doubtful = assess(unsure, history)
    assert doubtful.p_record < 0.95 < sure.p_record
    assert doubtful.p_usual > sure.p_usual
    assert decide([doubtful], RULES) != [SURGE]


def test_quiet_dates_are_rarely_queued() -> None:
    rng = np.random.default_rng(3)
    p, record = [], []
    for _ in range(500):
        mean, n = np.exp(rng.normal(np.log(8), 0.8)), int(rng.choice([12, 20, 41]))
        true = bursty(rng, n + 1, mean)
        seen = np.maximum(0, np.round(true * (1 + 0.1 * rng.normal(size=n + 1))))
        verdict = assess(counts(seen[-1:]), counts(seen[:-1]))
        p.append(verdict.p_usual)
        record.append(verdict.p_record)
    assert np.mean(np.array(p) <= 0.01) <= 0.02
    assert np.mean(np.array(p) <= 0.001) <= 0.005
    assert np.mean((np.array(p) <= 0.01) & (np.array(record) >= 0.95)) <= 0.02


def test_a_surge_of_the_seed_size_is_always_queued() -> None:
    rng = np.random.default_rng(4)
    queued = []
    while len(queued) < 60:
        history = bursty(rng, 20)
        if 17 <= history.max() <= 23:
            verdict = assess(counts([73]), counts(history))
            queued.append(verdict.p_usual <= 0.01 and verdict.p_record >= 0.95)
    assert np.mean(queued) >= 0.95


@settings(max_examples=30, deadline=None)
@given(
    history=st.lists(st.integers(0, 60), min_size=8, max_size=25),
    today=st.integers(0, 120),
    more=st.integers(1, 40),
)
@example(history=[5, 11, 12, 12, 13, 13, 14, 14], today=1, more=1)
def test_more_today_is_never_less_of_a_surge(history: list[int], today: int, more: int) -> None:
    past = counts(np.array(history, dtype=float))
    exact = np.array([False])
    low, high = (
        assess(Counts(*(np.array([float(v + d)]) for d in (0, -0.0, 2)), exact), past) for v in (today, today + more)
    )
    assert high.p_usual <= low.p_usual + 1e-9
    assert high.p_record >= low.p_record - 1e-6
    assert high.p_rank <= low.p_rank


@settings(max_examples=20, deadline=None)
@given(history=st.lists(st.integers(0, 60), min_size=2, max_size=25), seed=st.integers(0, 9))
def test_the_order_of_the_history_does_not_matter(history: list[int], seed: int) -> None:
    values = np.array(history, dtype=float)
    one = assess(counts([30]), counts(values))
    two = assess(counts([30]), counts(np.random.default_rng(seed).permutation(values)))
    assert one.p_usual == pytest.approx(two.p_usual)
    assert one.p_record == pytest.approx(two.p_record)
    assert one.p_rank == two.p_rank


def test_a_lower_bound_weighs_less_than_a_count() -> None:
    history = ordinary_history(12)
    exact, censored = counts(history), counts(history, censored=(0, 1, 2, 3))
    assert fit_background(censored).mean()[0] > fit_background(exact).mean()[0]
    assert assess(counts([30]), censored).p_record < assess(counts([30]), exact).p_record


def test_a_high_lower_bound_counts_for_the_rank_a_low_one_does_not() -> None:
    verdict = assess(counts([30]), counts([5, 6, 7, 8, 40, 1], censored=(4, 5)))
    assert verdict.p_rank == pytest.approx(2 / 6)


def test_an_empty_history_of_zeros_is_usable() -> None:
    verdict = assess(counts([0]), counts(np.zeros(10)))
    assert verdict.p_usual == pytest.approx(1)
    assert decide([assess(counts([30]), counts(np.zeros(10)))], RULES) == [SURGE]


def test_only_excess_error_of_today_counts() -> None:
    history = counts(ordinary_history(41), error=0.3)
    exact, alike, unsure = (assess(counts([40], error=error), history).p_usual for error in (0.01, 0.25, 0.8))
    assert exact == pytest.approx(alike)
    assert unsure > 2 * alike


def test_the_record_is_judged_by_the_season_of_each_date() -> None:
    usual = np.vstack([nbinom.pmf(np.arange(120), 3, 3 / (3 + mean)) for mean in (30.0, 5.0)])
    history = Counts(*(np.array([v, v]) for v in (20.0, 10.0, 40.0)), np.array([False, False]))
    today = counts([30], error=0.02)
    winter, summer = (p_record(today, history, usual[[i, i]]) for i in (0, 1))
    both = p_record(today, history, usual)
    assert winter < both < summer  # a high season hides higher numbers behind the same count


def test_seasons_are_used_only_where_they_are_real() -> None:
    rng = np.random.default_rng(5)
    years = np.sort(rng.uniform(2018, 2023, 60))
    flat = bursty(rng, 60)
    seasonal = rng.poisson(10 * np.exp(1.2 * np.cos(2 * np.pi * years))).astype(float)
    assert (seasonal_offsets(counts(seasonal[:39]), years[:39], 2023.0) == 0).all()
    assert (seasonal_offsets(counts(flat), years, 2023.0) == 0).all()
    offsets = seasonal_offsets(counts(seasonal), years, 2023.0)
    assert np.allclose(offsets, 1.2 * (np.cos(2 * np.pi * years) - 1), atol=0.6)
    winter = assess(counts([35]), counts(seasonal), offsets)
    summer = assess(counts([35]), counts(seasonal), seasonal_offsets(counts(seasonal), years, 2023.5))
    assert summer.p_usual < 0.1 * winter.p_usual


def test_winters_under_cloud_are_no_season() -> None:
    rng = np.random.default_rng(6)
    years = 2018 + np.arange(72) / 12
    true = bursty(rng, 72, mean=30)
    clouded = np.flatnonzero(np.cos(2 * np.pi * years) > 0.4)
    seen = true.copy()
    seen[clouded] = rng.binomial(true[clouded].astype(int), 0.3)
    history = counts(seen, censored=tuple(clouded.tolist()))
    assert seasonal_offsets(counts(seen), years, 2024.0).any()
    assert not seasonal_offsets(history, years, 2024.0).any()


RATES = np.geomspace(1e-3, 1e5, 900)


def tail_by_brute_force(history: Counts, today: float) -> float:
    """P(Y >= today) on a grid that is far wider and finer, from where half an object is shown by all whole dates."""
    rates = RATES[0.5 / (~history.censored).sum() <= RATES]
    log_psi = np.log(0.35) + 0.9 * np.linspace(-3, 3, 24)[:, None]
    shape = np.exp(-log_psi)
    none = 1 / (1 + rates / shape)
    weight = np.tile(-0.5 * ((log_psi - np.log(0.35)) / 0.9) ** 2, (1, rates.size))
    for value, is_bound in zip(history.value, history.censored, strict=True):
        weight += nbinom.logsf(value - 1, shape, none) if is_bound else nbinom.logpmf(value, shape, none)
    weight = np.exp(weight - weight.max())
    return float((weight * nbinom.sf(today - 1, shape, none)).sum() / weight.sum())


@pytest.mark.parametrize(
    ("values", "censored", "today"),
    [
        ([0] * 97 + [1, 1, 1], 0, (1, 3, 5)),  # a siding that is nearly always empty
        ([0] * 40, 0, (1, 2, 4)),
        ([30] * 50 + [80, 120, 60, 200, 90, 110, 70, 140, 100, 30], 50, (150, 300, 500)),  # mostly under cloud
        ([25] * 20 + [100, 101, 99, 100, 102, 98, 100, 100], 20, (110, 150)),
        ([5, 300, 20, 0, 700, 2, 90, 1], 0, (100, 2000)),
        ([0] * 19 + [100], 0, (200, 1010, 2010)),  # as bursty as the grid goes
        ([0] * 29 + [60], 0, (120, 610)),
    ],
)
def test_the_grid_reaches_as_far_as_the_posterior(values: list[float], censored: int, today: tuple[int, ...]) -> None:
    history = counts(values, censored=tuple(range(censored)))
    background = fit_background(history)
    for number in today:
        assert background.upper_tail(number) == pytest.approx(tail_by_brute_force(history, number), rel=0.1)


def test_more_empty_dates_make_the_same_cars_more_of_a_surge() -> None:
    p = [assess(counts([4]), counts(np.zeros(n))).p_usual for n in (10, 30, 100, 300)]
    assert p == sorted(p, reverse=True)
    assert p[-1] < 1e-5


def test_after_empty_dates_one_car_is_as_usual_as_its_rank() -> None:
    for n in (10, 60, 200):
        verdict = assess(counts([1]), counts(np.zeros(n)))
        assert verdict.p_usual == pytest.approx(verdict.p_rank, rel=0.25)


def test_bounds_alone_are_no_history() -> None:
    cloudy = counts(np.full(60, 25.0), censored=tuple(range(60)))
    verdict = assess(counts([100]), cloudy)
    assert (verdict.n, verdict.n_whole) == (60, 0)
    assert decide([verdict], RULES) == [TOO_FEW]


def test_quiet_dates_of_a_mostly_clouded_facility_are_rarely_queued() -> None:
    rng, p = np.random.default_rng(8), []
    for _ in range(300):
        true = bursty(rng, 51, mean=100)
        seen, clouded = true.copy(), np.arange(50) % 5 > 0
        seen[:50][clouded] = rng.binomial(true[:50][clouded].astype(int), 0.3)
        p.append(assess(counts(seen[50:]), counts(seen[:50], censored=tuple(np.flatnonzero(clouded)))).p_usual)
    assert np.mean(np.array(p) <= 0.01) <= 0.03


def test_wrong_intervals_are_refused() -> None:
    one = np.array([5.0])
    with pytest.raises(ValueError, match="low <= value"):
        Counts(one, one + 1, one + 2, np.array([False]))
    with pytest.raises(ValueError, match="at least one earlier"):
        assess(counts([5]), counts([]))
