"""Sums of counts over groups and facilities, by joint draws: the ends of intervals are never added.

A sum is less certain than its parts were independent and more certain than they erred together. What errs together is
in the draws themselves: counts drawn with the same `Joint` numbers share the errors of the fitted model, and those of
one scene its scene effect; all else is independent (`detector.counting.posterior`).
"""

from collections.abc import Sequence

import numpy as np

from detector.counting.inflation import LEVELS, quantiles
from detector.counting.interval import Estimate
from detector.counting.samples import Floats


def total(estimates: Sequence[Estimate]) -> Estimate:
    """The sum of counts that were drawn jointly.

    With draws x_ij of summand i and its mean m_i, the sum's draws are X_j = sum_i x_ij, its count is their median, and
    its interval at a level are the quantiles of Y_j = sum_i [m_i + c_i (x_ij - m_i)], c_i being the summand's inflation
    at that level. Spread about the mean, since the mean of a sum is the sum of means: medians of skewed counts do
    not add up.

    Laws: the sum of one is that one; the order does not matter; the interval holds the count and lies within the
    sums of the summands' ends; a higher level contains a lower; scenes that share errors give no narrower interval than
    independent ones.

    Args:
        estimates: at least one, all with the same number of draws.

    Raises:
        ValueError: there is none, or the numbers of draws differ.
    """
    if len({each.draws.size for each in estimates}) != 1:
        sizes = sorted({each.draws.size for each in estimates})
        raise ValueError(f"Estimates of one number of draws are needed. Received: {sizes or 'none'}.")
    if len(estimates) == 1:
        return estimates[0]
    table = np.array([each.draws for each in estimates], dtype=np.float64)
    draws = table.sum(axis=0)
    count = quantiles(draws, LEVELS[0])[0]
    low, high, inflation = {}, {}, {}
    inner_low, inner_high, sd = count, count, float(draws.std())
    for level in LEVELS:
        spread = _spread(table, np.array([each.inflation[level] for each in estimates]))
        _, start, end = quantiles(spread, level)
        inner_low = min(inner_low, max(float(np.ceil(start)), sum(each.low[level] for each in estimates)))
        inner_high = max(inner_high, min(float(np.floor(end)), sum(each.high[level] for each in estimates)))
        low[level], high[level] = inner_low, max(inner_high, inner_low + 1)
        inflation[level] = float(spread.std()) / sd if sd > 0 else 1.0
    return Estimate(count, draws, low, high, inflation)


def _spread(table: Floats, inflation: Floats) -> Floats:
    """(n,) sums of the draws, each spread about its mean by its inflation; never below 0.

    Args:
        table: (m, n) draws by summand.
        inflation: (m,) factors.
    """
    mean = table.mean(axis=1, keepdims=True)
    return np.asarray(np.maximum((mean + inflation[:, None] * (table - mean)).sum(axis=0), 0.0), dtype=np.float64)
