"""Sums over a grid of negative binomials are what its members give one by one."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import nbinom

from detector.counting.background import Counts, fit_background
from detector.counting.negbin import Grid, nb_log_pmf, nb_upper_tail
from detector.counting.samples import Floats

SEEDS = st.integers(0, 2**32 - 1)


def some_grid(rng: np.random.Generator) -> Grid:
    return Grid(np.exp(rng.uniform(-2, 5, 8)), np.exp(rng.uniform(-3.7, 1.6, 5)))


def test_negative_binomial_agrees_with_scipy() -> None:
    number, rate, psi = np.arange(40.0), 9.0, 0.4
    oracle = nbinom(1 / psi, 1 / (1 + psi * rate))
    assert np.allclose(nb_log_pmf(number, np.array(rate), psi), oracle.logpmf(number))
    assert np.allclose(nb_upper_tail(number, np.array(rate), psi), oracle.sf(number - 1))


@settings(deadline=None)
@given(SEEDS, st.integers(1, 200) | st.sampled_from([201, 5000]))
def test_tails_by_summing_are_the_tails(seed: int, count: int) -> None:
    grid = some_grid(np.random.default_rng(seed))
    exact = np.log(np.maximum(nb_upper_tail(count, grid.rate, grid.psi[:, None]), 1e-300))
    found = grid.log_upper_tail(count)
    assert np.allclose(found, exact, rtol=0, atol=1e-8)
    assert grid.log_upper_tail(count) is found


@settings(deadline=None)
@given(SEEDS, st.integers(0, 300) | st.sampled_from([510, 511, 512, 1023, 1024, 1500]))
def test_a_mixture_is_the_weighted_sum_of_its_members(seed: int, n_max: int) -> None:
    rng = np.random.default_rng(seed)
    grid = some_grid(rng)
    weight = rng.random((5, 8)) * (rng.random((5, 8)) < 0.7)
    each = np.exp(nb_log_pmf(np.arange(n_max + 1.0)[:, None, None], grid.rate, grid.psi[:, None]))
    assert np.allclose(grid.mixture(weight, n_max), (weight * each).sum(axis=(1, 2)), rtol=1e-9, atol=1e-300)


def test_a_mixture_up_to_many_takes_little_memory() -> None:
    grid, weight = Grid(np.geomspace(0.5, 30_000, 70), np.geomspace(0.02, 5, 24)), np.full((24, 70), 1 / 1680)
    few = grid.mixture(weight, 100)
    tracemalloc.start()
    many = grid.mixture(weight, 40_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.allclose(many[:101], few, rtol=1e-12, atol=0) and many[-1] > 0  # products of other shapes round otherwise
    assert peak < 3e7  # bytes; a grid for every 16th number alone would take more


@pytest.mark.parametrize("season", [False, True])
@pytest.mark.parametrize("bounds", [(3, 7), (40, 2), (900,), (5000, 1)])
def test_pairs_left_as_bounds_weigh_nothing(bounds: tuple[int, ...], season: bool) -> None:
    rng = np.random.default_rng(len(bounds))
    value = np.r_[rng.poisson(8.0, 12), bounds].astype(float)
    censored = np.arange(value.size) >= 12
    shift = rng.normal(0, 0.5, value.size) if season else np.zeros(value.size)
    found = fit_background(Counts(value, value, value, censored), shift)
    rate, log_psi = found.grid.rate[:, None, None] * np.exp(shift), np.log(found.grid.psi)
    log_weight: Floats = np.tile(-0.5 * ((log_psi - np.log(0.35)) / 0.9) ** 2, (found.grid.rate.size, 1))
    psi = found.grid.psi[:, None]
    log_weight += nb_log_pmf(value[~censored], rate[:, :, ~censored], psi).sum(axis=2)
    tails = nb_upper_tail(value[censored], rate[:, :, censored], psi)
    log_weight += np.log(np.maximum(tails, 1e-300)).sum(axis=2)
    weight = np.exp(log_weight - log_weight.max())
    assert np.abs(found.weight - (weight / weight.sum()).T).max() < 1e-9
