"""Sums of counts by joint draws."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.counting.inflation import LEVELS
from detector.counting.interval import Calibration, Estimate, calibrate, compact, estimate, from_draws
from detector.counting.posterior import Joint
from detector.counting.samples import Floats, Sample
from detector.counting.total import total
from tests.simulation import simulate

N = 2000
PLAIN = dict.fromkeys(LEVELS, 1.0)


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    rng = np.random.default_rng(1)
    return calibrate(simulate(40, 3, rng), 300, rng)


def drawn(calibration: Calibration, samples: Sequence[Sample], joint: Sequence[Joint]) -> list[Estimate]:
    inflation = calibration.inflation()
    return [
        estimate(calibration.model, inflation, sample, N, np.random.default_rng([3, i]), joint=shared)
        for i, (sample, shared) in enumerate(zip(samples, joint, strict=True))
    ]


def numbers(seed: int) -> np.random.Generator:
    return np.random.default_rng([9, seed])


def width(found: Estimate, level: float = 0.95) -> float:
    return found.high[level] - found.low[level]


draw_lists = st.lists(st.tuples(st.integers(0, 60), st.floats(0.1, 5), st.floats(1, 2)), min_size=2, max_size=6)


def made(parts: list[tuple[int, float, float]], seed: int) -> list[Estimate]:
    rng = np.random.default_rng(seed)
    return [
        from_draws(rng.poisson(mean * rng.gamma(1 / psi, psi, 300)).astype(np.float64), dict.fromkeys(LEVELS, c))
        for mean, psi, c in parts
    ]


def test_the_sum_of_one_is_that_one(calibration: Calibration) -> None:
    rng = np.random.default_rng(2)
    one = estimate(calibration.model, calibration.inflation(), Sample(np.full(9, 0.8)), 300, rng)
    assert total([one]) is one


@given(parts=draw_lists, seed=st.integers(0, 999))
def test_sums_nest_hold_the_count_and_stay_within_the_added_ends(
    parts: list[tuple[int, float, float]], seed: int
) -> None:
    estimates = made(parts, seed)
    found = total(estimates)
    for level in LEVELS:
        low, high = (sum(ends[level] for ends in (getattr(e, side) for e in estimates)) for side in ("low", "high"))
        assert found.low[level] <= found.count <= found.high[level]
        assert found.low[level] >= min(low, found.count)
        assert found.high[level] <= max(high, found.count + 1)
        assert found.high[level] > found.low[level]
    for inner, outer in pairwise(LEVELS):
        assert found.low[outer] <= found.low[inner] <= found.high[inner] <= found.high[outer]


@given(parts=draw_lists, seed=st.integers(0, 999))
def test_the_order_of_summands_does_not_matter(parts: list[tuple[int, float, float]], seed: int) -> None:
    estimates = made(parts, seed)
    shuffled = [estimates[i] for i in np.random.default_rng(seed).permutation(len(estimates))]
    one, two = total(estimates), total(shuffled)
    assert one.count == two.count
    for level in LEVELS:  # sums in another order may differ in the last digit, and so round differently
        assert one.low[level] == pytest.approx(two.low[level], abs=1)
        assert one.high[level] == pytest.approx(two.high[level], abs=1)


def test_independent_counts_add_in_quadrature() -> None:
    rng = np.random.default_rng(4)
    estimates = [from_draws(np.round(rng.normal(200, 20, 20_000)), PLAIN) for _ in range(9)]
    assert width(total(estimates)) == pytest.approx(3 * width(estimates[0]), rel=0.03)


def test_counts_that_err_together_add_their_widths() -> None:
    error = np.random.default_rng(5).normal(0, 20, 20_000)
    estimates = [from_draws(np.round(mean + error), PLAIN) for mean in (100, 200, 300)]
    assert width(total(estimates)) == pytest.approx(3 * width(estimates[0]), rel=0.01)


def test_what_is_shared_widens_the_sum(calibration: Calibration) -> None:
    samples = [Sample(np.full(60, score)) for score in (0.6, 0.7, 0.8, 0.9)]
    apart = drawn(calibration, samples, [Joint.draw(N, numbers(i), numbers(10 + i)) for i in range(4)])
    one_model = drawn(calibration, samples, [Joint.draw(N, numbers(0), numbers(10 + i)) for i in range(4)])
    one_scene = drawn(calibration, samples, [Joint.draw(N, numbers(0), numbers(10)) for i in range(4)])
    quadrature = float(np.sqrt(sum(width(each) ** 2 for each in apart)))
    assert width(total(apart)) == pytest.approx(quadrature, rel=0.1)
    assert width(total(one_model)) > width(total(apart))
    assert width(total(one_scene)) > 1.3 * width(total(one_model))
    # Each alone is as before: what is shared changes sums only.
    for first, second in zip(apart, one_scene, strict=True):
        assert first.count == pytest.approx(second.count, rel=0.05)
        assert width(first) == pytest.approx(width(second), rel=0.15)


def test_a_tenth_of_the_numbers_are_the_first_of_all() -> None:
    few, many = (Joint.draw(n, numbers(1), numbers(2)) for n in (20, 200))
    assert (few.parameters == many.parameters[:20]).all()
    assert (few.scene == many.scene[:20]).all()


def test_draws_of_different_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Received: \[3, 4\]"):
        total([from_draws(np.ones(n), PLAIN) for n in (3, 4)])
    with pytest.raises(ValueError, match="Received: none"):
        total([])


@pytest.mark.integration
def test_sums_over_unseen_facilities_are_covered_and_medians_do_not_add_up() -> None:
    """Eight calibrations, 16 sums of ten facilities each: 128 sums, which share their calibration."""
    rows: list[list[float]] = []
    for replicate in range(8):
        rng = np.random.default_rng([31, replicate])
        fitted = calibrate(simulate(60, 3, rng), 300, rng)
        inflation = fitted.inflation()
        for _ in range(16):
            scenes = simulate(10, 1, rng, prefix="unseen")
            parameters = np.random.default_rng([replicate])
            shared = Joint.draw(500, parameters, rng).parameters
            found = [
                estimate(
                    fitted.model, inflation, s.sample, 500, rng, joint=Joint(shared, Joint.scene_normals(500, rng))
                )
                for s in scenes
            ]
            summed = total(found)
            ends = [sum(e.high[0.95] - e.low[0.95] for e in found), sum(e.count for e in found)]
            rows.append([sum(s.n_true for s in scenes), summed.low[0.95], summed.high[0.95], summed.count, *ends])
    n_true, low, high, count, added, counts = np.array(rows).T
    covered = (low <= n_true) & (n_true <= high)
    assert binomial_low(128, 0.95) <= covered.mean()
    assert (high - low).mean() < 0.65 * added.mean()
    assert abs(count.sum() / n_true.sum() - 1) < 0.03
    assert counts.sum() < count.sum()


def binomial_low(n: int, share: float) -> float:
    """Three standard errors below the share, doubled variance for the calibrations that sums have in common."""
    return share - 3 * float(np.sqrt(2 * share * (1 - share) / n))


@settings(max_examples=20, deadline=None)
@given(extra=st.floats(0.05, 0.99), seed=st.integers(0, 99))
def test_one_more_detection_never_lowers_a_sum(calibration: Calibration, extra: float, seed: int) -> None:
    scores: Floats = np.random.default_rng(seed).uniform(0.05, 0.99, 20)
    one = estimate(calibration.model, calibration.inflation(), Sample(scores), 500, np.random.default_rng(0))
    more = from_draws(one.draws + (np.random.default_rng(1).random(500) < extra), one.inflation)
    assert total([one, more]).count >= total([one, one]).count


@pytest.mark.parametrize("mean", [5.0, 50_000.0])
def test_compact_estimates_have_the_same_sum(mean: float) -> None:
    rng = np.random.default_rng(3)
    estimates = [from_draws(rng.poisson(mean, 300).astype(np.float64), PLAIN) for _ in range(3)]
    small = compact(estimates)
    assert all(np.array_equal(one.draws, other.draws) for one, other in zip(small, estimates, strict=True))
    assert total(small).high == total(estimates).high
    assert compact([]) == []
