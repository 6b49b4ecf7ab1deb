"""Inverses of distribution functions on long arrays: many times sooner than scipy's, which go one value at a time."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.ndimage import map_coordinates, spline_filter
from scipy.special import betainc, betaincinv, expit, ndtr

from detector.counting.samples import Floats

_STEPS, _AT_ONCE = 400, 4
_MOST_TABLES = 2000
_AXES = ((-9.3, 9.3, 40), (-3.1, 8.1, 24), (-4.8, 4.8, 40))
"""Ends and number of the nodes: logit of the mean, log of the concentration, normal quantile."""


def nbinom_quantile(at: Floats, size: Floats, prob: Floats) -> Floats:
    """(n,) smallest m with P(M <= m) >= at, for M negative binomial: misses before `size` successes.

    Sums up the probabilities, P(m + 1) = P(m) (1 - prob) (m + size) / (m + 1), for all values together; the few that
    are not reached within 400 are found by bisection.

    Law: that of `scipy.stats.nbinom.ppf`.

    Args:
        at: (n,) in (0, 1).
        size: (n,) above 0.
        prob: (n,) in (0, 1).
    """
    out = np.zeros(at.size)
    term = np.exp(size * np.log(prob))
    open_ = np.flatnonzero((term < at) & (term > 0))
    hopeless = np.flatnonzero(term <= 0)
    left, size_, miss, term = at[open_], size[open_], 1 - prob[open_], term[open_]
    below = term
    for m in range(0, _STEPS, _AT_ONCE):
        if open_.size == 0:
            break
        for step in range(m, m + _AT_ONCE):
            out[open_] += below < left
            term = term * (miss * ((step + size_) / (step + 1)))
            below = below + term
        still = below < left
        if not still.all():
            open_ = open_[still]
            left, size_, miss, term, below = left[still], size_[still], miss[still], term[still], below[still]
    rest = np.concatenate([hopeless, open_])
    out[rest] = _bisected(at[rest], size[rest], prob[rest])
    return out


def _bisected(at: Floats, size: Floats, prob: Floats) -> Floats:
    """As `nbinom_quantile`, however large: between a number that is too small and one that is not."""
    less, enough = np.full(at.size, -1.0), np.ones(at.size)
    while (short := betainc(size, enough + 1, prob) < at).any():
        less, enough = np.where(short, enough, less), np.where(short, 2 * enough, enough)
    while (enough - less > 1).any():
        middle = np.floor((less + enough) / 2)
        short = betainc(size, middle + 1, prob) < at
        less, enough = np.where(short, middle, less), np.where(short, enough, middle)
    return enough


def beta_quantile(at_z: Floats, mean_logit: Floats, log_k: Floats) -> Floats:
    """(n,) quantiles of Beta(k p, k (1 - p)), p = expit(mean_logit), at probability Phi(at_z).

    From a table of their logits by cubic splines: where recalls are, mean_logit in -4..5 and log_k in 0.5..6, all but
    one in a thousand are right to 1e-4. Arguments beyond its ends, |mean_logit| 9.2, log_k -3 and 8, |at_z| 4.75, are
    taken there.
    """
    places = [_place(values, axis) for axis, values in enumerate((mean_logit, log_k, at_z))]
    return np.asarray(expit(map_coordinates(_table(), np.stack(places), order=3, prefilter=False)), dtype=np.float64)


@dataclass(frozen=True)
class BetaQuantiles:
    """As `beta_quantile` for n concentrations that stay the same: their part of the splines is summed up beforehand.

    Attributes:
        log_k: (n,) logs of the concentrations.
        table: (n, A, B) coefficients by mean and normal quantile, for each concentration, with one more node, mirrored,
            at either end of both; none where there are so many that it would be large, 14 kB for each.
    """

    log_k: Floats
    table: Floats | None

    @classmethod
    def at(cls, log_k: Floats) -> "BetaQuantiles":
        """Of these n concentrations."""
        if log_k.size > _MOST_TABLES:
            return cls(log_k, None)
        first, weights = _taps(_place(log_k, 1))
        slices = np.pad(_table(), 1, mode="reflect").swapaxes(0, 1)
        return cls(log_k, np.asarray(sum(w[:, None, None] * slices[first + k] for k, w in enumerate(weights))))

    def __call__(self, at_z: Floats, mean_logit: Floats) -> Floats:
        """(V, n) quantiles; both arguments have that shape.

        Law: those of `beta_quantile`, to rounding.
        """
        if self.table is None:
            return beta_quantile(at_z, mean_logit, np.broadcast_to(self.log_k, at_z.shape))
        n, _, width = self.table.shape
        row, by_mean = _taps(_place(mean_logit, 0))
        column, by_z = _taps(_place(at_z, 2))
        corner = np.arange(n) * (self.table.size // n) + row * width + column
        out = np.zeros(corner.shape)
        for k, of_mean in enumerate(by_mean):
            along = sum(of_z * self.table.take(corner + (k * width + m)) for m, of_z in enumerate(by_z))
            out += of_mean * along
        return np.asarray(expit(out), dtype=np.float64)


def _place(values: Floats, axis: int) -> Floats:
    """Where values lie among the nodes of an axis, in steps from the first."""
    low, high, number = _AXES[axis]
    margin = (high - low) / (number - 1) / 4
    return np.asarray((np.clip(values, low + margin, high - margin) - low) * ((number - 1) / (high - low)))


def _taps(place: Floats) -> tuple["np.ndarray[tuple[int, ...], np.dtype[np.intp]]", tuple[Floats, ...]]:
    """The first of the four nodes that a cubic spline sums over, counted with one more at the end; their weights."""
    first = place.astype(np.intp)
    t = place - first
    s = 1 - t
    return first, (s**3 / 6, (4 - 3 * t * t * (2 - t)) / 6, (4 - 3 * s * s * (2 - s)) / 6, t**3 / 6)


@cache
def _table() -> Floats:
    """Spline coefficients of the quantiles' logits on the nodes."""
    mean, log_k, z = np.meshgrid(*(np.linspace(*axis) for axis in _AXES), indexing="ij", sparse=True)
    a, b = np.exp(log_k) * expit(mean), np.exp(log_k) * expit(-mean)
    quantile, rest = betaincinv(a, b, ndtr(z)), betaincinv(b, a, ndtr(-z))
    logits = np.log(np.maximum(quantile, 1e-300)) - np.log(np.maximum(rest, 1e-300))
    return np.asarray(spline_filter(logits, order=3), dtype=np.float64)
