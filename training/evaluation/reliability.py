"""Whether scores mean what they say: reliability curve, expected calibration error, Brier score."""

from typing import Any

import numpy as np

from detector.geometry import Bools, Floats

BINS = 10


def reliability(probability: Floats, is_true: Bools) -> dict[str, Any] | None:
    """Compare stated probabilities with the share that is true, in `BINS` bins of equal width.

    ECE = sum over bins of n_b / n |mean probability - share true| (Guo et al., On calibration of modern neural
    networks, 2017); Brier score = mean of (probability - true)^2.

    Args:
        probability: (d,) within [0, 1]; NaN are left out.
        is_true: (d,) what came true.

    Returns:
        n, ece, brier and the bins that hold anything: low, high, n, mean, share_true. None without probabilities.
    """
    known = ~np.isnan(probability)
    p, y = probability[known], is_true[known].astype(np.float64)
    if p.size == 0:
        return None
    index = np.minimum((p * BINS).astype(np.intp), BINS - 1)
    n = np.bincount(index, minlength=BINS)
    sums = [np.bincount(index, values, minlength=BINS) for values in (p, y)]
    mean, share = (total / np.maximum(n, 1) for total in sums)
    return {
        "n": int(p.size),
        "ece": float((n * np.abs(mean - share)).sum() / p.size),
        "brier": float(((p - y) ** 2).mean()),
        "bins": [
            {
                "low": i / BINS,
                "high": (i + 1) / BINS,
                "n": int(n[i]),
                "mean": float(mean[i]),
                "share_true": float(share[i]),
            }
            for i in np.flatnonzero(n)
        ],
    }
