"""Algorithm S, step 1: what a facility's usual counts look like, from its history.

y ~ NB(mean lambda, variance lambda + psi lambda^2); flat prior on log lambda, log psi ~ N(log 0.35, 0.9^2),
on a grid that reaches as far as the posterior does.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import fdtrc

from detector.counting.negbin import LITTLE, SUMMED, Grid, nb_upper_tail
from detector.counting.samples import Bools, Floats

Z95 = 1.959964
"""Standard deviations from the middle of a normal distribution to either end of its central 95 %."""
_N_LAMBDA, _N_PSI = 70, 24
_USUAL_PSI, _PSI_SD = 0.35, 0.9  # median, and standard deviation in log
_PSI = _USUAL_PSI * np.exp(_PSI_SD * np.linspace(-3, 3, _N_PSI))
_STEP, _FEW_PSI = 0.5, 4  # in log, of rates, and every fourth dispersion: a coarse grid tells where the rates lie
_FARTHEST = 4.0  # in log: how far above the highest count rates are looked for
_LEAST_SHOWN = 0.5  # objects on all dates together: dates without any tell no lower rates apart
_NEGLIGIBLE = 1e-8
_NO_WEIGHT = 1e-12
_FAR_OFF = 18.0  # in log-weight, of a rate beside the likeliest: e^-18 is 2e-8
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
        variance = ((self.high - self.low) / (2 * Z95)) ** 2
        return float(variance.mean() / max(float(self.value.mean()), 1.0) ** 2)


@dataclass(frozen=True)
class Background:
    """Posterior of the usual rate and its dispersion.

    Attributes:
        grid: of 70 rates lambda, for the season of today, and 24 dispersions psi.
        weight: (24, 70) posterior probability of each pair.
    """

    grid: Grid
    weight: Floats

    def mean(self) -> tuple[float, float]:
        """Posterior means of lambda and psi."""
        return float(self.weight.sum(axis=0) @ self.grid.rate), float(self.weight.sum(axis=1) @ self.grid.psi)

    def upper_tail(self, count: float, extra_psi: float = 0.0) -> float:
        """Predictive P(Y >= count); `extra_psi` adds today's excess relative error.

        Pairs of next to no weight count in full: the result is never too small, and never below about 1e-10.
        """
        if count <= 0:
            return 1.0
        grid = Grid(self.grid.rate, self.grid.psi + extra_psi) if extra_psi else self.grid
        used = self.weight > _NO_WEIGHT
        unused = float(self.weight.sum(where=~used))
        if count <= SUMMED:
            weight = np.where(used, self.weight, 0.0)
            tail = float(weight.sum() - grid.mixture(weight, int(count) - 1).sum())
            if tail > LITTLE:
                return min(1.0, tail + unused)
        j, i = np.nonzero(used)
        return min(1.0, float(self.weight[j, i] @ nb_upper_tail(count, grid.rate[i], grid.psi[j])) + unused)

    def pmf(self, n_max: int, season: float = 0.0) -> Floats:
        """(n_max + 1,) predictive probability of 0..n_max; `season` is a log factor on the rate."""
        weight = np.where(self.weight > _NEGLIGIBLE, self.weight, 0.0)
        return self.grid.in_season(season).mixture(weight, n_max)


def fit_background(history: Counts, season: Floats | None = None) -> Background:
    """Posterior on the grid.

    The prior is improper at both ends. Dates without any object bound rates from below only by their number: the grid
    begins where they would show half an object together, so that after n empty dates one object has a probability of
    about 1 / n. Lower bounds alone bound no rate from above: of a history without a date that was seen whole, the
    posterior is that of the end of the grid.

    Args:
        history: earlier counts, at least one.
        season: (n,) log of each date's seasonal factor relative to today's; none by default.
    """
    log_season = np.zeros(history.value.size) if season is None else season
    value = np.round(history.value)
    told = history.censored == history.censored.all()  # the dates that were seen whole; all, where none was
    lowest = math.log(_LEAST_SHOWN / float(np.exp(log_season[told]).sum()))
    today = np.round(value * np.exp(-log_season)) if season is not None else value  # about what it would be today
    highest = math.log(float(today.max()) + _LEAST_SHOWN) + _FARTHEST
    first, last = math.floor(lowest / _STEP), math.ceil(highest / _STEP)
    coarse = _log_weight(today, history.censored, np.zeros(today.size), _coarse_grid(first, last)).max(axis=0)
    near = np.flatnonzero(coarse > coarse.max() - _FAR_OFF)
    low, high = first + max(int(near[0]) - 1, 0), min(first + int(near[-1]) + 1, last)
    grid = _fine_grid(max(low * _STEP, lowest), high * _STEP)
    log_weight = _log_weight(value, history.censored, log_season, grid)
    weight = np.exp(log_weight - log_weight.max())
    return Background(grid, weight / weight.sum())


@lru_cache(maxsize=64)
def _coarse_grid(first: int, last: int) -> Grid:
    """Rates between these multiples of a step; some dispersions, the highest, whose posterior is widest, among them."""
    return Grid(np.exp(_STEP * np.arange(first, last + 1)), _PSI[::-_FEW_PSI])


@lru_cache(maxsize=32)
def _fine_grid(low: float, high: float) -> Grid:
    """Rates between these, in log. Histories that are alike have the same grid, so that most of it is computed once."""
    return Grid(np.exp(np.linspace(low, high, _N_LAMBDA)), _PSI)


def _log_weight(value: Floats, censored: Bools, log_season: Floats, grid: Grid) -> Floats:
    """(P, R) log of the posterior's density, up to a constant."""
    exact, bound = ~censored, censored & (value > 0)
    sd = np.log(grid.psi / _USUAL_PSI) / _PSI_SD
    log_weight = _log_likelihood(value[exact], log_season[exact], grid) - 0.5 * sd[:, None] ** 2
    for shift in np.unique(log_season[bound]).tolist():
        seasonal = grid.in_season(shift)
        seen, times = np.unique(value[bound & (log_season == shift)], return_counts=True)
        for count, n in zip(seen.tolist(), times.tolist(), strict=True):
            log_weight += n * seasonal.log_upper_tail(count)
    return log_weight


def _log_likelihood(value: Floats, log_season: Floats, grid: Grid) -> Floats:
    """(P, R) log-likelihood of all counts together, up to a constant."""
    shape, total = 1 / grid.psi[:, None], value.sum()
    choose = grid.log_choose(np.bincount(value.astype(np.int64)).astype(np.float64)) + total * np.log(grid.psi)
    out = choose[:, None] + total * np.log(grid.rate)
    if not log_season.any():
        return np.asarray(out - (value.size * shape + total) * grid.log_excess, dtype=np.float64)
    shifts, season = np.unique(log_season, return_inverse=True)
    number, sums = np.bincount(season), np.bincount(season, weights=value)
    weighed = number[:, None] * shape[:, 0] + sums[:, None]
    excess = np.log(1 + grid.psi[:, None] * (grid.rate * np.exp(shifts)[:, None])[:, None])
    return np.asarray(out - (weighed[..., None] * excess).sum(axis=0), dtype=np.float64)


def seasonal_offsets(counts: Counts, years: Floats, today_year: float) -> Floats:
    """(n,) log seasonal factor of each date relative to today's, from one yearly harmonic.

    Zero unless there are 40 dates over 3 years and the harmonic is significant (F test, 1 %). Dates of which only a
    part was seen take no part in that: winters under cloud would look like winters without traffic.

    Args:
        counts: n earlier counts.
        years: (n,) decimal years.
        today_year: decimal year of today.
    """
    whole = ~counts.censored
    n, none = int(whole.sum()), np.zeros(years.size)
    if n < _SEASON_DATES or np.ptp(years[whole]) < _SEASON_YEARS:
        return none
    response = np.log(counts.value[whole] + 0.5)

    def harmonic(at: Floats) -> Floats:
        return np.column_stack([np.cos(2 * np.pi * at), np.sin(2 * np.pi * at)])

    design = np.column_stack([np.ones(n), harmonic(years[whole])])
    fitted, *_ = np.linalg.lstsq(design, response, rcond=None)
    left = float(((response - design @ fitted) ** 2).sum())
    explained = float(((response - response.mean()) ** 2).sum()) - left
    if left <= 0 or fdtrc(2, n - 3, explained / 2 / (left / (n - 3))) > _SEASON_P:
        return none
    today = harmonic(np.array([today_year]))[0]
    return np.asarray((harmonic(years) - today) @ fitted[1:], dtype=np.float64)
