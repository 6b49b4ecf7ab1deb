"""Algorithm S, step 4, for a stream: which of many dates are discoveries, decided one after the other.

LORD++ (Ramdas, Yang, Wainwright, Jordan, Online control of the false discovery rate with decaying memory, 2017): each
test is made at a level of its own, which falls while nothing is found and rises again with every discovery.
"""

import numpy as np

from detector.counting.samples import Bools, Floats

_SPENDING = 0.07720838
_FIRST_SHARE = 0.5


def spending(n: int) -> Floats:
    """(n,) shares of a budget that is spent 1..n tests after it was earned: falling, of sum 0.98 over all.

    gamma_j = 0.0772 log(max(j, 2)) / (j exp(sqrt(log j))) (Javanmard, Montanari, Online rules for control of false
    discovery rate and false discovery exceedance, 2018, equation 31): a long memory, since surges are rare.
    """
    j = np.arange(1, n + 1, dtype=np.float64)
    return np.asarray(_SPENDING * np.log(np.maximum(j, 2)) / (j * np.exp(np.sqrt(np.log(j)))), dtype=np.float64)


def lord(p: Floats, alpha: float) -> tuple[Bools, Floats]:
    """LORD++: discoveries, and the level each test was made at.

    alpha_t = w0 gamma_t + (alpha - w0) gamma_(t - tau_1) + alpha sum_(j > 1) gamma_(t - tau_j), over the discoveries
    tau_1 < tau_2 < ... before t, with w0 = alpha / 2.

    Laws: a decision depends on no later p-value; the levels up to any test sum to at most alpha times the number of
    discoveries among them, at least 1; a smaller p-value never takes a later level down.

    Args:
        p: (n,) p-values in the order of the tests.
        alpha: false discovery rate to hold.

    Returns:
        (n,) whether p <= level, and (n,) the levels.
    """
    gamma, first = spending(p.size), _FIRST_SHARE * alpha
    levels = first * gamma
    found = np.zeros(p.size, dtype=bool)
    earned = alpha - first
    for t, value in enumerate(p):
        if value <= levels[t]:
            found[t] = True
            levels[t + 1 :] += earned * gamma[: p.size - t - 1]
            earned = alpha
    return found, levels
