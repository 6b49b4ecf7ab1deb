"""LORD++: the control of false surges in a stream of dates."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.counting.online import lord, spending

P_VALUES = st.lists(st.one_of(st.floats(0, 1), st.floats(0, 0.003)), min_size=1, max_size=60)
ALPHA = 0.02


def test_shares_of_the_budget_fall_and_add_up_to_no_more_than_one() -> None:
    shares = spending(100_000)
    assert (np.diff(shares) < 0).all()
    root = np.sqrt(np.log(1e5))  # of the rest the integral: 2 C times the upper incomplete gamma function at 4
    rest = 2 * 0.0772 * (root**3 + 3 * root**2 + 6 * root + 6) * np.exp(-root)
    assert shares.sum() + rest == pytest.approx(0.976, abs=0.002)
    log2 = np.log(2)
    assert shares[:2] == pytest.approx([0.0772 * log2, 0.0772 * log2 / (2 * np.exp(np.sqrt(log2)))], 1e-3)


def test_levels_worked_by_hand() -> None:
    first, second, third, fourth = spending(4)
    found, levels = lord(np.array([0.5, 0.0, 0.0, 0.9]), 0.1)
    assert found.tolist() == [False, True, True, False]
    assert levels == pytest.approx(
        [
            0.05 * first,
            0.05 * second,
            0.05 * third + 0.05 * first,  # the first discovery, one test ago, earns what was not staked
            0.05 * fourth + 0.05 * second + 0.1 * first,  # every later one earns alpha
        ]
    )


def test_nothing_found_spends_half_of_alpha() -> None:
    found, levels = lord(np.ones(5000), ALPHA)
    assert not found.any()
    assert levels == pytest.approx(0.5 * ALPHA * spending(5000))


def test_a_level_is_met_by_equality() -> None:
    level = lord(np.ones(1), ALPHA)[1][0]
    assert lord(np.array([level]), ALPHA)[0].all()
    assert not lord(np.array([np.nextafter(level, 1)]), ALPHA)[0].any()
    assert [part.size for part in lord(np.zeros(0), ALPHA)] == [0, 0]


@settings(max_examples=100, deadline=None)
@given(p=P_VALUES)
def test_levels_stay_within_the_budget(p: list[float]) -> None:
    found, levels = lord(np.array(p), ALPHA)
    assert (np.cumsum(levels) <= ALPHA * np.maximum(np.cumsum(found), 1) + 1e-12).all()


@settings(max_examples=100, deadline=None)
@given(p=P_VALUES, more=P_VALUES)
def test_later_dates_change_no_earlier_decision(p: list[float], more: list[float]) -> None:
    then, now = lord(np.array(p), ALPHA), lord(np.array(p + more), ALPHA)
    assert (now[0][: len(p)] == then[0]).all()
    assert now[1][: len(p)] == pytest.approx(then[1])


@settings(max_examples=100, deadline=None)
@given(p=P_VALUES, place=st.integers(0, 59), factor=st.floats(0, 1))
def test_a_smaller_p_value_never_takes_a_discovery_away(p: list[float], place: int, factor: float) -> None:
    smaller = np.array(p)
    smaller[place % len(p)] *= factor
    before, after = lord(np.array(p), ALPHA), lord(smaller, ALPHA)
    assert (after[0] >= before[0]).all()
    assert (after[1] >= before[1] - 1e-15).all()


def test_the_false_discovery_rate_holds_in_a_simulation() -> None:
    rng = np.random.default_rng(0)
    shares, power = [], []
    for _ in range(300):
        is_true = rng.random(400) < 0.05
        p = np.where(is_true, 10 ** -rng.uniform(2, 8, 400), rng.random(400))
        found, _ = lord(p, 0.05)
        shares.append((found & ~is_true).sum() / max(1, found.sum()))
        power.append(found[is_true].mean())
    assert np.mean(shares) <= 0.05
    assert np.mean(power) >= 0.6
