"""Negative binomial counts, NB(mean rate, variance rate + psi rate^2): one by one, and for a whole grid at once."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy.special import betainc, gammaln

from detector.counting.samples import Floats

LITTLE = 1e-5
"""Tails from this on are right when they are found as 1 minus a sum: to 1e-9 of themselves."""
SUMMED = 200
"""Numbers up to this are sooner summed up than the tail beyond them is found by its function."""
_KEPT = 128  # tails, each as large as the grid
_CHOICES = 128  # numbers, by which the table of them grows
_BLOCK = 16
_AT_ONCE = 32  # blocks: what is held at once does not grow with the highest number


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


@dataclass(frozen=True)
class Grid:
    """The negative binomials of all pairs of R rates and P dispersions, by sums instead of special functions.

    P(Y = n) = choose(n) none q^n, with choose(n) = Gamma(n + 1 / psi) / (Gamma(1 / psi) n!) of the dispersion alone,
    q = rate psi / (1 + rate psi) and none = P(Y = 0). Sums over n, weighted or not, are therefore products of matrices:
    one of the first 16 powers of q, one of every 16th.

    Attributes:
        rate: (R,) above 0.
        psi: (P,) above 0.
    """

    rate: Floats
    psi: Floats
    _known_tails: dict[float, Floats] = field(default_factory=dict, init=False, repr=False, compare=False)
    _known_choices: list[Floats] = field(default_factory=list, init=False, repr=False, compare=False)

    @cached_property
    def log_excess(self) -> Floats:
        """(P, R) log(1 + rate psi), of the variance over the mean."""
        return np.asarray(np.log(1 + self.psi[:, None] * self.rate), dtype=np.float64)

    @cached_property
    def _none(self) -> Floats:
        """(P, R) P(Y = 0)."""
        return np.asarray(np.exp(self.log_excess / -self.psi[:, None]), dtype=np.float64)

    @cached_property
    def _powers(self) -> Floats:
        """(P, 17, R) the powers of q from 0 on."""
        spread = self.psi[:, None] * self.rate
        powers = np.empty((self.psi.size, _BLOCK + 1, self.rate.size))
        powers[:, 0], powers[:, 1] = 1.0, spread / (1 + spread)
        known = 1
        while known < _BLOCK:  # twice as many at a time: a power of two in the end
            np.multiply(powers[:, 1 : known + 1], powers[:, known, None], out=powers[:, known + 1 : 2 * known + 1])
            known *= 2
        return powers

    def in_season(self, log_factor: float) -> "Grid":
        """The grid with its rates times a seasonal factor."""
        return Grid(self.rate * np.exp(log_factor), self.psi) if log_factor else self

    def mixture(self, weight: Floats, n_max: int) -> Floats:
        """(n_max + 1,) sum over all pairs of weight P(Y = n), for n = 0..n_max.

        Memory grows by a few numbers per dispersion and n, not by a whole grid.

        Args:
            weight: (P, R).
            n_max: highest number.
        """
        choose, powers = self._choose(n_max + 1), self._powers[:, :-1].transpose(0, 2, 1)
        found, last = np.empty(n_max + 1), weight * self._none
        for first in range(0, n_max + 1, _BLOCK * _AT_ONCE):
            some = slice(first, first + _BLOCK * _AT_ONCE)
            size = found[some].size
            starts = self._starts(last if first == 0 else last * self._powers[:, -1], -(-size // _BLOCK))
            sums = (starts @ powers).reshape(self.psi.size, -1)[:, :size]
            found[some], last = (sums * choose[:, some]).sum(axis=0), starts[:, -1]
        return found

    def _starts(self, first: Floats, n_blocks: int) -> Floats:
        """(P, n_blocks, R) `first` (P, R) times q^0, q^16, q^32, ..."""
        starts = np.empty((self.psi.size, n_blocks, self.rate.size))
        starts[:, 0] = first
        for block in range(1, n_blocks):
            np.multiply(starts[:, block - 1], self._powers[:, -1], out=starts[:, block])
        return starts

    def log_upper_tail(self, count: float) -> Floats:
        """(P, R) log P(Y >= count) of a whole count above 0, at least that of 1e-300; found once, and kept for a while.

        By 1 minus a sum where that is right, by the incomplete beta function where it is not.
        """
        if count not in self._known_tails:
            tail = 1 - self._below(count) if count <= SUMMED else np.zeros(self._none.shape)
            j, i = np.nonzero(tail < LITTLE)
            tail[j, i] = nb_upper_tail(count, self.rate[i], self.psi[j])
            if len(self._known_tails) == _KEPT:
                self._known_tails.clear()
            self._known_tails[count] = np.log(np.maximum(tail, 1e-300))
        return self._known_tails[count]

    def _below(self, count: float) -> Floats:
        """(P, R) P(Y < count)."""
        choose, start, below = self._choose(int(count)), self._none, np.zeros(self._none.shape)
        for first in range(0, int(count), _BLOCK):
            part = choose[:, first : first + _BLOCK]
            below += start * (part[:, None] @ self._powers[:, : part.shape[1]])[:, 0]
            start = start * self._powers[:, -1]
        return below

    def log_choose(self, times: Floats) -> Floats:
        """(P,) sum of log choose(n) over numbers n, 0 of them times[0] times, 1 of them times[1] times, and so on."""
        return np.asarray(np.log(self._choose(times.size)) @ times, dtype=np.float64)

    def _choose(self, n: int) -> Floats:
        """(P, n) choose(0), ..., choose(n - 1); found once for the highest n so far."""
        if not self._known_choices or self._known_choices[0].shape[1] < n:
            k = np.arange(1.0, -(-n // _CHOICES) * _CHOICES)
            ratios = np.ones((self.psi.size, k.size + 1))
            ratios[:, 1:] = (k - 1 + 1 / self.psi[:, None]) / k
            self._known_choices[:] = [np.asarray(np.cumprod(ratios, axis=1), dtype=np.float64)]
        return self._known_choices[0][:, :n]
