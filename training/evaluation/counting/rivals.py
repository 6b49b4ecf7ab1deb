"""The usual ways to put an interval on a count, fitted on the scenes that algorithm R was calibrated on.

Each sees a scene as one number n, the detections at the operating threshold that are named one of the group.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from detector.config import ClassTable
from detector.counting.inflation import LEVELS
from detector.counting.samples import Floats
from training.evaluation.counting.dates import Forecast
from training.evaluation.detection import LOOSE
from training.evaluation.matching import label, match
from training.evaluation.truth import Place

Rival = Callable[[Floats], Forecast]
_DRAWS = 1000


@dataclass(frozen=True)
class Tallied:
    """What the rivals know of S scenes with truth.

    Attributes:
        n_found: (S,) detections that are named one of the group, at or above the operating threshold.
        n_right: (S,) those of them that are true objects of the group.
        n_true: (S,) true objects.
        code: (S,) number of each scene's facility, from 0.
    """

    n_found: Floats
    n_right: Floats
    n_true: Floats
    code: "np.ndarray[tuple[int], np.dtype[np.intp]]"

    @classmethod
    def of(cls, places: Sequence[Place], classes: tuple[str, ...], table: ClassTable) -> "Tallied":
        """Of places, counted as `Dates.n_detected` is: what a rival is fitted on is what it is given.

        Args:
            places: of the calibration run.
            classes: of the group.
            table: the class table.
        """
        numbers = np.array([_numbers(place, classes, table) for place in places], dtype=np.float64).reshape(-1, 3)
        code = np.unique([place.facility_id for place in places], return_inverse=True)[1]
        n_found, n_right, n_true = numbers.T
        return cls(n_found, n_right, n_true, code)


def _numbers(place: Place, classes: tuple[str, ...], table: ClassTable) -> tuple[int, int, int]:
    """n_found, n_right and n_true of one place, matched at the IoU of the calibration."""
    found = place.found
    is_counted = found.detected & np.isin(found.class_name, classes)
    labels = label(found, place.truth, match(found, place.truth, LOOSE, table), classes)
    return int(is_counted.sum()), int((is_counted[labels.row] & labels.is_true).sum()), labels.n_true


def rivals(scenes: Tallied, seed: int = 0) -> dict[str, Rival]:
    """By name, what turns numbers n (D,) into a forecast; they must have found and contain at least one object."""
    return {
        "poisson": poisson,
        "delta": delta(scenes),
        "bootstrap": bootstrap(scenes, seed),
        "conformal": conformal(scenes, seed),
    }


def poisson(n_found: Floats) -> Forecast:
    """The textbook's n +- z sqrt(n)."""
    return _normal(n_found, np.sqrt(n_found))


def delta(scenes: Tallied) -> Rival:
    """N = n P / R with the precision P and recall R of all scenes, and its variance by the delta method.

    var N = n P (1 - P) / R^2 + n P (1 - R) / R^2 + N^2 [(1 - P) / (P n_cal) + (1 - R) / (R N_cal)]: which detections
    are true, which objects are missed, and the errors of P and R themselves, all taken as binomial.
    """
    found, right, true = (float(total.sum()) for total in (scenes.n_found, scenes.n_right, scenes.n_true))
    p, r = right / found, right / true
    fitted = (1 - p) / (p * found) + (1 - r) / (r * true)

    def forecast(n_found: Floats) -> Forecast:
        centre = n_found * p / r
        variance = n_found * p * ((1 - p) + (1 - r)) / r**2 + centre**2 * fitted
        return _normal(centre, np.sqrt(variance))

    return forecast


def bootstrap(scenes: Tallied, seed: int = 0) -> Rival:
    """Draws b n + e sqrt(n + 1): the ratio b = sum N / sum n of resampled facilities, e of a random scene.

    e = (N - b n) / sqrt(n + 1); the interval holds the middle draws.
    """
    rng = np.random.default_rng(seed)
    n = int(scenes.code.max()) + 1
    drawn = rng.integers(n, size=(_DRAWS, n))
    true, found = (np.bincount(scenes.code, values, minlength=n) for values in (scenes.n_true, scenes.n_found))
    ratio = true[drawn].sum(axis=1) / np.maximum(found[drawn].sum(axis=1), 1.0)
    at = rng.integers(scenes.n_true.size, size=_DRAWS)
    error = (scenes.n_true[at] - ratio * scenes.n_found[at]) / np.sqrt(scenes.n_found[at] + 1)

    def forecast(n_found: Floats) -> Forecast:
        draws = np.maximum(n_found[:, None] * ratio + np.sqrt(n_found + 1)[:, None] * error, 0.0)
        low, high = (
            {k: np.quantile(draws, (1 + sign * k) / 2, axis=1, method="inverted_cdf") for k in LEVELS}
            for sign in (-1, 1)
        )
        return Forecast.between(np.round(np.median(draws, axis=1)), low, high, draws)

    return forecast


def conformal(scenes: Tallied, seed: int = 0) -> Rival:
    """Split conformal b n +- q sqrt(n + 1): b from half of the facilities, q from the residuals of the other half.

    q is the ceil((m + 1) level)-th smallest of m values |N - b n| / sqrt(n + 1), infinite where there are too few
    (Lei et al., Distribution-free predictive inference for regression, 2018).
    """
    order = np.random.default_rng(seed).permutation(int(scenes.code.max()) + 1)
    is_fit = np.isin(scenes.code, order[: (order.size + 1) // 2])
    ratio = float(scenes.n_true[is_fit].sum() / max(1.0, scenes.n_found[is_fit].sum()))
    n_found, n_true = scenes.n_found[~is_fit], scenes.n_true[~is_fit]
    score = np.sort(np.abs(n_true - ratio * n_found) / np.sqrt(n_found + 1))

    def quantile(level: float) -> float:
        rank = int(np.ceil((score.size + 1) * level))
        return float(score[rank - 1]) if rank <= score.size else float("inf")

    def forecast(n_found: Floats) -> Forecast:
        centre, unit = ratio * n_found, np.sqrt(n_found + 1)
        low, high = ({k: centre + sign * quantile(k) * unit for k in LEVELS} for sign in (-1, 1))
        both = np.r_[-score[::-1], score]
        return Forecast.between(np.round(centre), low, high, centre[:, None] + unit[:, None] * both)

    return forecast


def _normal(centre: Floats, sd: Floats) -> Forecast:
    """Normal intervals; the draws are its quantiles, evenly spaced."""
    z = {level: float(norm.ppf((1 + level) / 2)) for level in LEVELS}
    low, high = ({k: centre + sign * z[k] * sd for k in LEVELS} for sign in (-1, 1))
    spaced = norm.ppf((np.arange(_DRAWS) + 0.5) / _DRAWS)
    return Forecast.between(np.round(centre), low, high, centre[:, None] + sd[:, None] * spaced)
