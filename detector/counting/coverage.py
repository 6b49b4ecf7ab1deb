"""Algorithm P: a facility of which only a part was seen. How many objects may stand in the rest?"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from detector.counting.negbin import nb_log_pmf
from detector.counting.samples import Floats

Publish = Literal["total", "interval", "at_least"]
_PRIOR_CARS = 6.0
_CONCENTRATION = 8.0
_CONCENTRATION_RANGE = (3.0, 200.0)
_USUAL_SHARE = 0.9
_MIN_DATES = 3


@dataclass(frozen=True)
class Share:
    """Beta posterior of the share of the facility's objects that stand in the visible part."""

    mean: float
    concentration: float

    def draws(self, n_draws: int, rng: np.random.Generator) -> Floats:
        """(n_draws,) shares in (0, 1)."""
        mean = float(np.clip(self.mean, 1e-3, 1 - 1e-3))
        drawn = rng.beta(self.concentration * mean, self.concentration * (1 - mean), n_draws)
        return np.clip(drawn, 1e-3, 1 - 1e-6)


def visible_share(seen: Floats, total: Floats, area_share: float) -> Share:
    """Share pi = (visible objects in the history + 6 c) / (all objects + 6), concentration by moments.

    Of N objects, a share m in view varies by m (1 - m) (1 / N + (1 - 1 / N) / (concentration + 1)) from date to date:
    dates with a single object say nothing of the concentration.

    Args:
        seen: (n,) counts inside today's visible part on fully seen earlier dates; may be empty.
        total: (n,) counts in the whole facility on the same dates.
        area_share: visible share c of the facility's area.
    """
    everywhere = np.maximum(total, seen)
    mean = float((seen.sum() + _PRIOR_CARS * area_share) / (everywhere.sum() + _PRIOR_CARS))
    occupied = everywhere > 0
    n = int(occupied.sum())
    binomial = mean * (1 - mean)
    if n < _MIN_DATES or binomial <= 0:
        return Share(mean, _CONCENTRATION)
    weight = everywhere[occupied] / everywhere[occupied].sum()
    share = seen[occupied] / everywhere[occupied]
    told = 1 - float(weight @ (1 / everywhere[occupied]))
    between = float(weight @ (share - mean) ** 2) - binomial * (1 - told)
    moments = binomial * told / max(between, 1e-6) - 1
    # n dates say as much as n / (n + 5) of the answer, less where they hold few objects; the rest is the default.
    kept = n * told / (n * told + 5)
    blended = np.exp(kept * np.log(np.clip(moments, *_CONCENTRATION_RANGE)) + (1 - kept) * np.log(_CONCENTRATION))
    return Share(mean, float(np.clip(blended, *_CONCENTRATION_RANGE)))


@dataclass(frozen=True)
class Usual:
    """Rate and dispersion of the facility's usual totals, and the highest of them."""

    rate: float
    psi: float
    maximum: float


def hidden_draws(
    visible: Floats, share: Floats, usual: Usual | None, rng: np.random.Generator, cap: float = np.inf
) -> Floats:
    """Draws of the number of hidden objects given draws of the visible number and of the share.

    Hidden ~ Poisson((1 - pi) L), L ~ 0.9 Gamma(a0 + V, b0 + pi) + 0.1 Gamma(1 + V, 1 / s + pi),
    s = max(2 maximum, V / pi, 5), the two reweighted by their negative binomial likelihoods of V.

    Args:
        visible: (n,) draws of V.
        share: (n,) draws of pi.
        usual: None where there is no history: the second component stands alone.
        rng: random numbers.
        cap: the most that fits on the hidden tracks.
    """
    wide = np.maximum(np.maximum(visible / share, 5.0), 2 * usual.maximum if usual else 0.0)
    shape, rate = 1 + visible, 1 / wide + share
    if usual is not None:
        a0 = 1 / usual.psi
        b0 = a0 / max(usual.rate, 1e-3)
        usual_log = np.log(_USUAL_SHARE) + nb_log_pmf(visible, share * a0 / b0, usual.psi)
        wide_log = np.log(1 - _USUAL_SHARE) + nb_log_pmf(visible, share * wide, 1.0)
        is_usual = rng.random(visible.size) < 1 / (1 + np.exp(np.clip(wide_log - usual_log, -50, 50)))
        shape = np.where(is_usual, a0 + visible, shape)
        rate = np.where(is_usual, b0 + share, rate)
    level = rng.gamma(shape) / rate
    return np.minimum(rng.poisson((1 - share) * level).astype(np.float64), cap)


def publishable(share: float, total_from: float = 0.5, point_from: float = 0.7) -> Publish:
    """What may be said at this visible share: a total with its estimate, only its interval, or "at least"."""
    if share >= point_from:
        return "total"
    return "interval" if share >= total_from else "at_least"
