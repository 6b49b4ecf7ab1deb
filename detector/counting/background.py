"""Algorithm S, step 1: what a facility's usual counts look like, from its history.

y ~ NB(mean lambda, variance lambda + psi lambda^2); flat prior on log lambda, log psi ~ N(log 0.35, 0.9^2),
on a grid.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import betainc, gammaln
from scipy.stats import f as f_distribution

from detector.counting.samples import Bools, Floats

_N_LAMBDA, _N_PSI = 70, 24
_USUAL_PSI = 0.35
_LOG_PSI_MEAN, _LOG_PSI_SD = math.log(_USUAL_PSI), 0.9
_Z95 = 1.959964
_NEGLIGIBLE = 1e-8
_NO_WEIGHT = 1e-12
_SUMMED, _LITTLE = 30, 1e-5
_OUT_OF_REACH = 30.0  # in log-weight: e^-30 is 1e-13
_SEASON_DATES, _SEASON_YEARS, _SEASON_P = 40, 3.0, 0.01


@dataclass(frozen=True)
class Counts:
    """Corrected counts with their errors.

    Attributes:
        value, low, high: (n,) estimates and ends of their 95 % intervals.
        censored: (n,) true where only a part was seen, so that the value is a lower bound.
    """

    value: Floats
    low: Floats
    high: Floats
    censored: Bools

    def __post_init__(self) -> None:
        shapes = {self.value.shape, self.low.shape, self.high.shape, self.censored.shape}
        if len(shapes) != 1 or self.value.ndim != 1:
            raise ValueError(f"value, low, high, censored must share a shape (n,). Received: {sorted(shapes)}.")
        if not (np.all(self.low <= self.value) and np.all(self.value <= self.high) and np.all(self.low >= 0)):
            raise ValueError("counts need 0 <= low <= value <= high.")

    @property
    def relative_variance(self) -> float:
        """Squared coefficient of variation of the counts' errors: mean variance over squared mean count."""
        variance = ((self.high - self.low) / (2 * _Z95)) ** 2
        return float(variance.mean() / max(float(self.value.mean()), 1.0) ** 2)


@dataclass(frozen=True)
class Background:
    """Posterior of the usual rate and its dispersion.

    Attributes:
        rate: (70,) lambda on the grid, for the season of today.
        psi: (24,) dispersions.
        weight: (70, 24) posterior probability of each pair.
    """

    rate: Floats
    psi: Floats
    weight: Floats

    def mean(self) -> tuple[float, float]:
        """Posterior means of lambda and psi."""
        return float(self.weight.sum(axis=1) @ self.rate), float(self.weight.sum(axis=0) @ self.psi)

    def upper_tail(self, count: float, extra_psi: float = 0.0) -> float:
        """Predictive P(Y >= count); `extra_psi` adds today's excess relative error.

        Pairs of next to no weight count in full: the result is never too small, and never below about 1e-10.
        """
        used = self.weight > _NO_WEIGHT
        i, j = np.nonzero(used)
        tail = nb_upper_tail(count, self.rate[i], self.psi[j] + extra_psi)
        return min(1.0, float(self.weight[i, j] @ tail + self.weight[~used].sum()))

    def pmf(self, n_max: int, season: float = 0.0) -> Floats:
        """(n_max + 1,) predictive probability of 0..n_max; `season` is a log factor on the rate."""
        counts = np.arange(n_max + 1, dtype=np.float64)[:, None]
        i, j = np.nonzero(self.weight > _NEGLIGIBLE)
        shape, rate = 1 / self.psi, self.rate[i] * np.exp(season)
        log_choose = gammaln(counts + shape) - gammaln(shape) - gammaln(counts + 1)
        total = shape[j] + rate
        log_p = log_choose[:, j] + shape[j] * np.log(shape[j] / total) + counts * np.log(rate / total)
        return np.asarray(np.exp(log_p) @ self.weight[i, j], dtype=np.float64)


def nb_log_pmf(count: Floats, rate: Floats, psi: Floats | float) -> Floats:
    """Log of P(Y = count), broadcast over all arguments."""
    shape = 1 / np.asarray(psi, dtype=np.float64)
    log_choose = np.asarray(gammaln(count + shape) - gammaln(shape) - gammaln(count + 1), dtype=np.float64)
    total = shape + rate
    out = log_choose + shape * np.log(shape / total) + count * np.log(rate / total)
    return np.asarray(out, dtype=np.float64)


def nb_upper_tail(count: Floats | float, rate: Floats, psi: Floats | float) -> Floats:
    """P(Y >= count), broadcast over all arguments; 1 at count 0."""
    share = rate * psi / (1 + rate * psi)
    tail = betainc(np.maximum(count, 1e-9), 1 / np.asarray(psi), share)
    return np.asarray(np.where(np.asarray(count) <= 0, 1.0, tail), dtype=np.float64)


def nb_upper_tails(counts: Floats, rate: Floats, psi: Floats) -> Floats:
    """(c, N) P(Y >= count) of several whole counts at once, for N pairs of a rate and a dispersion.

    By summing up the probabilities from 0; where little is left of 1, and for high counts, by `nb_upper_tail`.
    """
    if counts.size == 0 or counts.max() > _SUMMED * counts.size:
        return np.array([nb_upper_tail(count, rate, psi) for count in counts]).reshape(counts.size, rate.size)
    size, share = 1 / psi, rate * psi / (1 + rate * psi)
    below = np.zeros((int(counts.max()) + 1, rate.size))
    if len(below) > 1:
        k = np.arange(len(below) - 2, dtype=np.float64)[:, None]
        ratios = np.vstack([np.exp(-size * np.log1p(rate * psi)), share * ((k + size) / (k + 1))])
        below[1:] = np.cumsum(np.cumprod(ratios, axis=0), axis=0)
    tails = 1 - below[counts.astype(np.int64)]
    row, cell = np.nonzero(tails < _LITTLE)
    tails[row, cell] = nb_upper_tail(counts[row], rate[cell], psi[cell])
    return tails


def fit_background(history: Counts, season: Floats | None = None) -> Background:
    """Posterior on the grid.

    Args:
        history: earlier counts, at least one.
        season: (n,) log of each date's seasonal factor relative to today's; none by default.
    """
    log_season = np.zeros(history.value.size) if season is None else season
    value = np.round(history.value)
    level = float(np.mean(value * np.exp(-log_season))) + 0.5
    spread = max(_USUAL_PSI, float(np.var(value)) / level**2) + 1 / level
    reach = float(np.clip(6 * np.sqrt(spread / value.size), 0.6, 4.0))
    log_psi = np.linspace(_LOG_PSI_MEAN - 3 * _LOG_PSI_SD, _LOG_PSI_MEAN + 3 * _LOG_PSI_SD, _N_PSI)
    rate = level * np.exp(np.linspace(-reach, reach, _N_LAMBDA))
    psi = np.exp(log_psi)
    log_weight = np.tile(-0.5 * ((log_psi - _LOG_PSI_MEAN) / _LOG_PSI_SD) ** 2, (_N_LAMBDA, 1))
    for shift in np.unique(log_season[~history.censored]):
        alike = ~history.censored & (log_season == shift)
        log_weight += _log_likelihood(value[alike], rate[:, None] * np.exp(shift), psi)
    bounds = np.column_stack([value, log_season])[history.censored]
    if bounds.size:
        log_weight = _with_bounds(log_weight, bounds, rate, psi)
    weight = np.exp(log_weight - log_weight.max())
    return Background(rate, psi, weight / weight.sum())


def _with_bounds(log_weight: Floats, bounds: Floats, rate: Floats, psi: Floats) -> Floats:
    """Log-weights (R, P) with the tails P(Y >= y) of censored counts; those that stay out of reach are left as bounds.

    A tail is at most 1, so a pair far below the best one without tails can be left out if it is far below with them.

    Args:
        log_weight: without the tails.
        bounds: (c, 2) censored counts and their log seasonal factors.
        rate: (R,) rates.
        psi: (P,) dispersions.
    """
    near = log_weight > log_weight.max() - 1.5 * _OUT_OF_REACH
    out = log_weight.copy()
    for cells in (near, ~near):
        i, j = np.nonzero(cells)
        for shift in np.unique(bounds[:, 1]):
            seen, times = np.unique(bounds[bounds[:, 1] == shift, 0], return_counts=True)
            tails = nb_upper_tails(seen, rate[i] * np.exp(shift), psi[j])
            out[i, j] += times @ np.log(np.maximum(tails, 1e-300))
        if near.all() or out[near].max() - log_weight[~near].max() > _OUT_OF_REACH:
            break
    return out


def _log_likelihood(value: Floats, rate: Floats, psi: Floats) -> Floats:
    """(R, P) log-likelihood of all counts together, up to a constant, for rates (R, 1) and dispersions (P,)."""
    shape, total = 1 / psi, 1 / psi + rate
    choose = gammaln(value[:, None] + shape).sum(axis=0) - value.size * gammaln(shape)
    out = choose + value.size * shape * np.log(shape / total) + value.sum() * np.log(rate / total)
    return np.asarray(out, dtype=np.float64)


def seasonal_offsets(value: Floats, years: Floats, today_year: float) -> Floats:
    """(n,) log seasonal factor of each date relative to today's, from one yearly harmonic.

    Zero unless there are 40 dates over 3 years and the harmonic is significant (F test, 1 %).

    Args:
        value: (n,) counts.
        years: (n,) decimal years.
        today_year: decimal year of today.
    """
    n = value.size
    if n < _SEASON_DATES or np.ptp(years) < _SEASON_YEARS:
        return np.zeros(n)
    response = np.log(value + 0.5)

    def harmonic(at: Floats) -> Floats:
        return np.column_stack([np.cos(2 * np.pi * at), np.sin(2 * np.pi * at)])

    design = np.column_stack([np.ones(n), harmonic(years)])
    fitted, *_ = np.linalg.lstsq(design, response, rcond=None)
    left = float(((response - design @ fitted) ** 2).sum())
    explained = float(((response - response.mean()) ** 2).sum()) - left
    if left <= 0 or f_distribution.sf(explained / 2 / (left / (n - 3)), 2, n - 3) > _SEASON_P:
        return np.zeros(n)
    today = harmonic(np.array([today_year]))[0]
    return np.asarray((harmonic(years) - today) @ fitted[1:], dtype=np.float64)
