"""Several scenes of one date: never summed, never averaged as if independent."""

from collections.abc import Sequence

import numpy as np

from detector.counting.interval import Estimate, from_draws
from detector.counting.samples import Floats

_LEAST_VARIANCE = 0.25
_FAR_OFF = 3.0  # standard deviations of a difference: a few in a thousand repeats are as far apart by chance


def best_first(observed: Floats, sharpness: Floats) -> "np.ndarray[tuple[int], np.dtype[np.intp]]":
    """Order of scenes from best to worst: by the share seen in steps of 2 %, then by sharpness (NaN last)."""
    steps = np.round(observed / 0.02)
    return np.lexsort((np.arange(observed.size), -np.nan_to_num(sharpness, nan=-np.inf), -steps))


def gls_weights(variance: Floats, rho: float) -> Floats:
    """(n,) weights of the generalised least squares mean at correlation `rho`: not negative, of sum 1."""
    sd = np.sqrt(variance)
    used = np.ones(variance.size, dtype=bool)
    while True:
        cov = rho * np.outer(sd[used], sd[used]) + (1 - rho) * np.diag(variance[used])
        part = np.linalg.solve(cov, np.ones(int(used.sum())))
        if (part >= 0).all():
            weight = np.zeros(variance.size)
            weight[used] = part / part.sum()
            return weight
        used[np.flatnonzero(used)[part < 0]] = False


def agreeing(estimates: Sequence[Estimate], rho: float) -> tuple[int, ...]:
    """Which scenes, the best one always among them, say the same as it within what their errors allow.

    A scene that shows far fewer objects, or far more, of the same minute does not see what the best one sees: it may be
    blurred, or dated wrongly. A mean of both would be wrong for sure.

    Args:
        estimates: the best scene first.
        rho: correlation of their errors.
    """
    if len(estimates) == 1:
        return (0,)
    count, variance = _at_one_level(estimates)
    off = variance + variance[0] - 2 * rho * np.sqrt(variance * variance[0])
    agree = np.abs(count - count[0]) <= _FAR_OFF * np.sqrt(np.maximum(off, 0.0))
    return tuple(np.flatnonzero(agree).tolist())


def combine_repeats(estimates: Sequence[Estimate], rho: float) -> Estimate:
    """One estimate from scenes that saw the same objects at the same time and agree, the best scene first.

    The generalised least squares mean is the new centre; the best scene's draws are moved to it and narrowed. Errors
    are those at the scenes' mean count: a lower count is surer because it is lower, not because its scene is better.
    Law: the combined interval is never wider than the best scene's by more than rounding.
    """
    if len(estimates) == 1:
        return estimates[0]
    count, variance = _at_one_level(estimates)
    weight = gls_weights(variance, rho)
    sd = np.sqrt(variance)
    cov = rho * np.outer(sd, sd) + (1 - rho) * np.diag(variance)
    narrowing = min(1.0, float(np.sqrt(weight @ cov @ weight) / sd[0]))
    best = estimates[0]
    draws = np.maximum(np.round(weight @ count + narrowing * (best.draws - best.count)), 0.0)
    return from_draws(draws, best.inflation)


def _at_one_level(estimates: Sequence[Estimate]) -> tuple[Floats, Floats]:
    """(n,) counts, and the variances that they would have if all were their mean; a count's grows with it."""
    count = np.array([each.count for each in estimates])
    variance = np.array([max(float(np.var(each.draws)), _LEAST_VARIANCE) for each in estimates])
    return count, variance * (count.mean() + 1) / (count + 1)
