"""Algorithm R, steps 4 and 5: how much wider than the draws an interval must be to cover at new facilities.

Cross-fitted: each calibration scene is judged by models fitted without its facility. Hierarchical conformal
inference after Lee, Barber, Willett, Distribution-free inference with hierarchical data, 2023.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import stdtrit

from detector.counting.calibration import fit_model
from detector.counting.posterior import draw_counts
from detector.counting.samples import Floats, Labelled, folds

LEVELS = (0.5, 0.8, 0.9, 0.95)
FACILITIES_FOR_GUARANTEE = 19
MIN_SCENES = 2
_FACILITIES_FOR_HIERARCHY = 39
_CAP = 3.0


@dataclass(frozen=True)
class Nonconformity:
    """How far the truth lay from the median, in half-widths of the interval, per scene and level.

    Attributes:
        facility: (S,) facility of each scene.
        scores: (S, L) one column per entry of `LEVELS`.
    """

    facility: tuple[str, ...]
    scores: Floats

    def inflation(self, level: float) -> float:
        """Factor c >= 1 for an interval at `level`, always finite."""
        scores = self.scores[:, LEVELS.index(level)]
        _, code = np.unique(np.array(self.facility), return_inverse=True)
        n_facilities = int(code.max()) + 1
        if n_facilities >= _FACILITIES_FOR_HIERARCHY:
            return max(1.0, _hierarchical(scores, code, level))
        return max(1.0, _conformal(scores, level), _student(scores, n_facilities, level))


def quantiles(draws: Floats, level: float) -> tuple[float, float, float]:
    """Median and the two ends of the central interval of the draws, whole numbers."""
    median, low, high = np.sort(draws)[list(central_ranks(draws.size, level))]
    return float(median), float(low), float(high)


@cache
def central_ranks(n_draws: int, level: float) -> tuple[int, int, int]:
    """Places of the median and of the two ends of the central interval among that many draws in order."""
    tail = (1 - level) / 2
    rank = np.ceil(n_draws * np.array([0.5, tail, 1 - tail]) - 1e-9).astype(int)
    median, low, high = np.maximum(rank - 1, 0).tolist()
    return median, low, high


def nonconformity(n_true: float, draws: Floats) -> Floats:
    """(L,) distance of the truth from the median in half-widths on its side, per level."""
    out = []
    for level in LEVELS:
        median, low, high = quantiles(draws, level)
        half = high - median if n_true > median else median - low
        out.append(abs(n_true - median) / (half + 0.5))
    return np.array(out)


def cross_fit(scenes: Sequence[Labelled], n_draws: int, rng: np.random.Generator) -> Nonconformity:
    """Out-of-fold nonconformity by facility; with a single facility, by scene.

    Raises:
        ValueError: there are fewer than two scenes, so that none can be judged by the others.
    """
    if len(scenes) < MIN_SCENES:
        raise ValueError(f"a calibration needs {MIN_SCENES} labelled scenes at least. Received: {len(scenes)}.")
    facility = tuple(scene.facility for scene in scenes)
    groups = np.array(facility if len(set(facility)) > 1 else [str(i) for i in range(len(scenes))])
    scores = np.zeros((len(scenes), len(LEVELS)))
    for rest, held in folds(groups):
        model = fit_model([scenes[i] for i in rest])
        for i in held:
            draws = draw_counts(model, scenes[i].sample, n_draws, rng)
            scores[i] = nonconformity(scenes[i].n_true, draws)
    return Nonconformity(facility, scores)


def _conformal(scores: Floats, level: float) -> float:
    """The ceil((n + 1) level)-th smallest score; the largest where there are too few scenes for that."""
    rank = min(int(np.ceil((scores.size + 1) * level)), scores.size)
    return float(np.sort(scores)[rank - 1])


def _student(scores: Floats, n_facilities: int, level: float) -> float:
    """Student quantile with F - 1 degrees of freedom times the root mean square of the capped scores."""
    quantile = stdtrit(max(1, n_facilities - 1), (1 + level) / 2)
    return float(quantile * np.sqrt(np.mean(np.minimum(scores, _CAP) ** 2)))


def _hierarchical(scores: Floats, code: "np.ndarray[tuple[int], np.dtype[np.intp]]", level: float) -> float:
    """The smallest score whose mass, 1 / ((F + 1) n_f) per scene, reaches `level`."""
    per_facility = np.bincount(code)
    mass = 1 / ((per_facility.size + 1) * per_facility[code])
    order = np.argsort(scores)
    reached = np.cumsum(mass[order]) >= level - 1e-12
    return float(scores[order][int(np.argmax(reached)) if reached.any() else -1])
