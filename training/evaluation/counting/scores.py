"""Scores of forecasts of numbers: exact bands of coverage, interval score, WIS, CRPS, PIT; lower scores are better."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy.stats import beta

from detector.counting.samples import Bools, Floats

Codes = npt.NDArray[np.intp]
BINS = 10
_REPLICATES = 2000


def clopper_pearson(hits: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact band of a binomial share.

    From the beta quantiles B(tail; k, n - k + 1) to B(1 - tail; k + 1, n - k) (Clopper, Pearson, The use of confidence
    or fiducial limits illustrated in the case of the binomial, 1934).

    Args:
        hits: k.
        n: trials; without any, the band is 0 to 1.
        confidence: of the band.
    """
    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, hits, n - hits + 1)) if hits > 0 else 0.0
    high = float(beta.ppf(1 - tail, hits + 1, n - hits)) if hits < n else 1.0
    return low, high


def share_of(mask: Bools) -> dict[str, float | int]:
    """The share that is true: n, share (NaN of nothing), and low and high of its exact band."""
    low, high = clopper_pearson(int(mask.sum()), mask.size)
    return {"n": mask.size, "share": float(mask.mean()) if mask.size else float("nan"), "low": low, "high": high}


def interval_scores(low: Floats, high: Floats, n_true: Floats, level: float) -> Floats:
    """(D,) width plus 2 / (1 - level) times the miss (Gneiting, Raftery, Strictly proper scoring rules, 2007)."""
    miss = np.maximum(low - n_true, 0) + np.maximum(n_true - high, 0)
    return np.asarray(high - low + 2 / (1 - level) * miss, dtype=np.float64)


def weighted_interval_scores(
    count: Floats, low: Mapping[float, Floats], high: Mapping[float, Floats], n_true: Floats
) -> Floats:
    """(D,) WIS = [|y - m| / 2 + sum_k alpha_k / 2 IS_k] / (K + 1/2), alpha_k = 1 - level.

    Bracher et al., Evaluating epidemic forecasts in an interval format, 2021.
    """
    total = np.abs(n_true - count) / 2
    for level in low:
        total = total + (1 - level) / 2 * interval_scores(low[level], high[level], n_true, level)
    return np.asarray(total / (len(low) + 0.5), dtype=np.float64)


def crps(draws: Floats, n_true: Floats) -> Floats:
    """(D,) CRPS = E|X - y| - E|X - X'| / 2 of the draws' own distribution (Gneiting, Raftery, 2007).

    Args:
        draws: (D, n).
        n_true: (D,).
    """
    n = draws.shape[1]
    rank = 2 * np.arange(1, n + 1) - n - 1
    spread = np.sort(draws, axis=1) @ rank / n**2
    return np.asarray(np.abs(draws - n_true[:, None]).mean(axis=1) - spread, dtype=np.float64)


def pit(draws: Floats, n_true: Floats, bins: int = BINS) -> Floats:
    """(bins,) mean mass of the probability integral transform, which is flat where the draws are calibrated.

    For whole numbers the transform is uniform on [F(y - 1), F(y)]; this is the histogram averaged over that
    randomisation, so that it needs no random numbers (Czado, Gneiting, Held, Predictive model assessment for
    count data, 2009).

    Args:
        draws: (D, n) whole numbers.
        n_true: (D,).
        bins: of equal width.
    """
    n = draws.shape[1]
    # Half a draw on either side, so that a truth beyond all draws still has a place.
    below = ((draws < n_true[:, None]).sum(axis=1) + 0.5) / (n + 1)
    upto = ((draws <= n_true[:, None]).sum(axis=1) + 0.5) / (n + 1)
    upto = np.maximum(upto, below + 0.5 / (n + 1))
    edges = np.linspace(0, 1, bins + 1)
    cdf = np.clip((edges - below[:, None]) / (upto - below)[:, None], 0, 1)
    return np.asarray(np.diff(cdf, axis=1).mean(axis=0), dtype=np.float64)


def facility_band(
    part: Floats, whole: Floats, code: Codes, *, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of sum(part) / sum(whole) when facilities are drawn with replacement, with all their dates.

    Dates of one facility are alike, which an exact binomial band does not know (Efron, Tibshirani, An introduction to
    the bootstrap, 1993).

    Args:
        part: (D,) numerator.
        whole: (D,) denominator.
        code: (D,) number of each date's facility.
        confidence: of the interval.
        seed: of the draws.
    """
    n = int(code.max()) + 1 if code.size else 0
    if n == 0:
        return float("nan"), float("nan")
    drawn = np.random.default_rng(seed).integers(n, size=(_REPLICATES, n))
    times = np.apply_along_axis(np.bincount, 1, drawn, minlength=n)
    sums = [times @ np.bincount(code, values, minlength=n) for values in (part, whole)]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = sums[0] / sums[1]
    low, high = np.nanquantile(ratio, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
