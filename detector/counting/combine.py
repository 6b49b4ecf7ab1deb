"""Several scenes of one date: never summed, never averaged as if independent."""

from collections.abc import Sequence

import numpy as np

from detector.counting.interval import Estimate, from_draws
from detector.counting.samples import Floats


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


def combine_repeats(estimates: Sequence[Estimate], rho: float) -> Estimate:
    """One estimate from scenes that saw the same objects at the same time, the best scene first.

    The generalised least squares mean is the new centre; the best scene's draws are moved to it and narrowed.
    Law: the combined interval is never wider than the best scene's by more than rounding.
    """
    if len(estimates) == 1:
        return estimates[0]
    variance = np.array([max(float(np.var(e.draws)), 0.25) for e in estimates])
    weight = gls_weights(variance, rho)
    sd = np.sqrt(variance)
    cov = rho * np.outer(sd, sd) + (1 - rho) * np.diag(variance)
    narrowing = min(1.0, float(np.sqrt(weight @ cov @ weight) / sd[0]))
    centre = float(weight @ np.array([e.count for e in estimates]))
    best = estimates[0]
    draws = np.maximum(np.round(centre + narrowing * (best.draws - best.count)), 0.0)
    return from_draws(draws, best.inflation)
