"""The inverses are those of scipy."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betaincinv, expit, ndtr
from scipy.stats import nbinom

from detector.counting.inverse import BetaQuantiles, beta_quantile, nbinom_quantile

SEEDS = st.integers(0, 2**32 - 1)


@settings(deadline=None)
@given(SEEDS, st.sampled_from([1.0, 30.0, 300.0]))
def test_misses_are_scipys(seed: int, most: float) -> None:
    rng = np.random.default_rng(seed)
    at, size, prob = rng.random(60), rng.uniform(0.5, 0.5 + most, 60), rng.uniform(0.05, 1 - 1e-6, 60)
    assert np.array_equal(nbinom_quantile(at, size, prob), nbinom.ppf(at, size, prob))


def test_misses_beyond_the_sum_are_scipys_too() -> None:
    at, size, prob = np.array([0.5, 0.999, 0.5]), np.array([900.5, 200.5, 1e5]), np.array([0.05, 0.05, 0.5])
    assert np.array_equal(nbinom_quantile(at, size, prob), nbinom.ppf(at, size, prob))


@settings(deadline=None)
@given(SEEDS)
def test_recalls_are_scipys_to_the_precision_of_the_table(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mean, log_k, z = rng.uniform(-4, 5, 200), rng.uniform(0.5, 6, 200), rng.uniform(-3, 3, 200)
    exact = betaincinv(np.exp(log_k) * expit(mean), np.exp(log_k) * expit(-mean), ndtr(z))
    assert np.abs(beta_quantile(z, mean, log_k) - exact).max() < 2e-3
    assert np.median(np.abs(beta_quantile(z, mean, log_k) - exact)) < 1e-5


def test_arguments_beyond_the_table_are_taken_at_its_ends() -> None:
    far, end = beta_quantile(np.array([9.0]), np.array([20.0]), np.array([30.0])), 1.0
    assert end - 1e-3 < far[0] <= end


@settings(deadline=None)
@given(SEEDS, st.sampled_from([1, 7, 2500]))
def test_recalls_of_known_concentrations_are_the_same(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    log_k, mean, z = rng.uniform(-5, 10, n), rng.uniform(-12, 12, (3, n)), rng.uniform(-6, 6, (3, n))
    each = beta_quantile(z.ravel(), mean.ravel(), np.tile(log_k, 3)).reshape(3, n)
    assert np.allclose(BetaQuantiles.at(log_k)(z, mean), each, rtol=1e-12, atol=1e-14)
