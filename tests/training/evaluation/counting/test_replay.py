"""Histories put together from evaluated dates."""

import numpy as np
import pytest

from detector.counting.background import Counts
from detector.counting.surge import Rules, Verdict, assess
from training.evaluation.counting import replay as replaying
from training.evaluation.counting.dates import Dates, Forecast
from training.evaluation.counting.replay import Pool, histories_around_20, history, quiet, replay

N_FACILITIES = 40


def evaluated(error: float, seed: int = 0) -> tuple[Dates, Forecast]:
    """Dates of all true numbers up to 120, three of each, counted with that relative error."""
    rng = np.random.default_rng(seed)
    n_true = np.repeat(np.arange(121.0), 3)
    sd = error * n_true + 0.3
    count = np.maximum(0, np.round(n_true + sd * rng.standard_normal(n_true.size)))
    low, high = np.maximum(0, np.floor(count - 2 * sd)), np.ceil(count + 2 * sd)
    names = tuple(f"f{k}" for k in rng.integers(N_FACILITIES, size=n_true.size))
    dates = Dates(names, n_true, count, np.ones(n_true.size))
    return dates, Forecast(count, {0.95: low}, {0.95: high}, count[:, None])


def test_the_true_number_is_near_the_one_wanted() -> None:
    pool = Pool.of(*evaluated(0.1))
    assert pool.n_true[pool.near(7)].tolist() == [7, 7, 7]
    assert set(pool.n_true[pool.near(50)]) == set(range(45, 56))
    assert set(pool.n_true[pool.near(400)]) == {120}
    assert pool.has(120)
    assert not pool.has(400)


def test_dates_come_from_the_best_ranked_facilities() -> None:
    pool = Pool.of(*evaluated(0.1))
    rng = np.random.default_rng(1)
    rank = rng.permutation(int(pool.facility.max()) + 1)
    near = pool.near(60)
    wanted = set(np.sort(np.unique(rank[pool.facility[near]]))[:3])
    taken = {int(rank[pool.facility[pool.date(60, rank, rng)]]) for _ in range(60)}
    assert taken == wanted


def test_dates_that_are_used_stand_back_where_another_has_the_number() -> None:
    pool = Pool.of(*evaluated(0.1))
    rng = np.random.default_rng(1)
    rank = rng.permutation(int(pool.facility.max()) + 1)
    near = pool.near(7)
    for last in near:
        assert {pool.date(7, rank, rng, without=near[near != last]) for _ in range(20)} == {int(last)}
    assert pool.date(7, rank, rng, without=near) in near


def test_today_is_no_date_of_its_own_history(monkeypatch: pytest.MonkeyPatch) -> None:
    n_true = np.repeat(np.arange(60.0), 100)
    name = np.arange(n_true.size, dtype=float)  # an estimate that tells which date it is of
    rng = np.random.default_rng(3)
    dates = Dates(tuple(f"f{k}" for k in rng.integers(5, size=name.size)), n_true, n_true, np.ones(name.size))
    asked: list[tuple[float, list[float]]] = []

    def told(today: Counts, past: Counts) -> Verdict:
        asked.append((float(today.value[0]), past.value.tolist()))
        return assess(today, past)

    monkeypatch.setattr(replaying, "assess", told)
    quiet(Pool.of(dates, Forecast(name, {0.95: name}, {0.95: name + 2}, name[:, None])), 8.0, 20, 30, rng)
    assert len(asked) == 30
    assert all(today not in past for today, past in asked)
    assert {len(past) for _, past in asked} == {20}


def test_a_history_has_the_numbers_that_were_drawn() -> None:
    pool = Pool.of(*evaluated(0.0))
    true = np.concatenate([pool.n_true[history(pool, 8.0, 60, np.random.default_rng(k)).dates] for k in range(40)])
    assert true.mean() == pytest.approx(8, rel=0.1)
    assert true.var() == pytest.approx(8 + 0.35 * 64, rel=0.25)


def test_histories_of_the_seed_case() -> None:
    pool = Pool.of(*evaluated(0.1))
    source = histories_around_20(pool, 20, np.random.default_rng(2))
    highest = [pool.n_true[next(source).dates].max() for _ in range(8)]
    assert min(highest) >= 17
    assert max(highest) <= 23


def test_a_replay_can_be_repeated() -> None:
    dates, forecast = evaluated(0.1)
    first, again = (replay(dates, forecast, Rules(), n_quiet=3, n_surge=2, seed=4) for _ in range(2))
    assert first == again
    other = replay(dates, forecast, Rules(), n_quiet=3, n_surge=2, seed=5)
    assert other["quiet"]["curve"] != first["quiet"]["curve"]


def test_good_counts_raise_few_alarms_and_miss_no_surge() -> None:
    dates, forecast = evaluated(0.08)
    found = replay(dates, forecast, Rules(), n_quiet=40, n_surge=5, seed=1)
    assert found["quiet"]["n"] == 360
    assert found["quiet"]["at_001"]["share"] <= 0.03
    assert found["quiet"]["curve"][-1] == 1
    assert found["quiet"]["curve"] == sorted(found["quiet"]["curve"])
    assert found["surge"]["73"]["queued"]["share"] == 1
    assert found["surge"]["x3.5"]["queued"]["share"] == 1
    assert found["surge"]["x1.5"]["queued"]["share"] < found["surge"]["x3.5"]["queued"]["share"]
    assert found["surge"]["73"]["reached"] == 1


def test_a_facility_that_sees_double_raises_no_alarm() -> None:
    """An error that all dates of a history share changes nothing in how it compares."""
    dates, forecast = evaluated(0.0)
    twice = Forecast(
        2 * forecast.count, {0.95: 2 * forecast.low[0.95]}, {0.95: 2 * forecast.high[0.95]}, forecast.draws
    )
    p = [v.p_usual for v in quiet(Pool.of(dates, twice), 8.0, 40, 40, np.random.default_rng(6))]
    assert np.mean(np.array(p) <= 0.01) <= 0.05
