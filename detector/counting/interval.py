"""Algorithm R, step 6: the published estimate and its intervals."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from detector.counting.calibration import Model, fit_model
from detector.counting.inflation import LEVELS, Nonconformity, central_ranks, cross_fit
from detector.counting.posterior import Joint, draw_counts
from detector.counting.samples import Floats, Labelled, Sample

INSURANCE = 0.2
"""Relative error added outside the model's domain: what a silent drop of the recall by a fifth amounts to."""


@dataclass(frozen=True)
class Calibration:
    """All that turns one group's detections into a count: both models and the out-of-fold nonconformity."""

    model: Model
    nonconformity: Nonconformity

    def inflation(self) -> dict[float, float]:
        """Factor c of each level."""
        return {level: self.nonconformity.inflation(level) for level in LEVELS}


@dataclass(frozen=True)
class Estimate:
    """The count of one group in one view of a facility.

    Laws: low <= count <= high at every level; no interval has zero width; a higher level contains a lower.

    Attributes:
        count: the median draw.
        draws: (n,) draws of the true number, before inflation.
        low, high: ends of the interval by level.
        inflation: factor c by level.
    """

    count: float
    draws: Floats
    low: dict[float, float]
    high: dict[float, float]
    inflation: dict[float, float]

    def inflated(self, level: float) -> Floats:
        """Draws spread about the median so that their quantiles are the interval at `level`; none below 0."""
        away = self.draws - self.count
        spread = self.count + self.inflation[level] * (away + 0.5 * np.sign(away))
        return np.maximum(np.where(away < 0, np.ceil(spread), np.floor(spread)), 0.0)


def compact(estimates: Sequence[Estimate]) -> list[Estimate]:
    """The same with their draws in one table of the smallest whole numbers that hold them: to be kept and summed.

    One large table goes back to the system when it is no longer needed, where many small ones leave holes.
    """
    if not estimates:
        return []
    highest = max(each.draws.max(initial=0) for each in estimates)
    draws = np.array([each.draws for each in estimates], dtype=np.min_scalar_type(int(highest)))
    return [replace(each, draws=row) for each, row in zip(estimates, draws, strict=True)]


def calibrate(scenes: Sequence[Labelled], n_draws: int, rng: np.random.Generator) -> Calibration:
    """Fit the models on all scenes and learn the inflation out of fold by facility."""
    return Calibration(fit_model(scenes), cross_fit(scenes, n_draws, rng))


def estimate(
    model: Model,
    inflation: dict[float, float],
    sample: Sample,
    n_draws: int,
    rng: np.random.Generator,
    *,
    joint: Joint | None = None,
) -> Estimate:
    """Count and intervals of one sample; `joint` as in `draw_counts`, for counts that will be added."""
    return from_draws(draw_counts(model, sample, n_draws, rng, joint), inflation)


def insured(plain: Estimate, rng: np.random.Generator) -> Estimate:
    """The estimate of a scene unlike those of the calibration: draws times exp(N(0, 0.2^2)), the same count.

    Law: its intervals contain those of `plain`, at every level.
    """
    factor = np.exp(INSURANCE * rng.standard_normal(plain.draws.size))
    wide = from_draws(np.round(plain.draws * factor), plain.inflation)
    return replace(
        plain,
        draws=wide.draws,
        low={level: min(plain.low[level], wide.low[level]) for level in LEVELS},
        high={level: max(plain.high[level], wide.high[level]) for level in LEVELS},
    )


def from_draws(draws: Floats, inflation: dict[float, float]) -> Estimate:
    """[max(0, ceil(med - c (med - q_low + 1/2))), floor(med + c (q_high - med + 1/2))], nested by level."""
    return from_many_draws(draws[None], inflation)[0]


def from_many_draws(draws: Floats, inflation: dict[float, float]) -> list[Estimate]:
    """As `from_draws`, of draws (B, n)."""
    count, low, high = ends(draws, inflation)
    return [
        Estimate(median, own, dict(zip(LEVELS, lows, strict=True)), dict(zip(LEVELS, highs, strict=True)), inflation)
        for median, own, lows, highs in zip(count.tolist(), draws, low.tolist(), high.tolist(), strict=True)
    ]


def ends(draws: Floats, inflation: dict[float, float]) -> tuple[Floats, Floats, Floats]:
    """(B,) counts and (B, L) lower and upper ends by level of draws (B, n), those of `from_draws`."""
    ordered, c = np.sort(draws, axis=-1), np.array([inflation[level] for level in LEVELS])
    ranks = np.array([central_ranks(draws.shape[-1], level) for level in LEVELS])
    median = ordered[:, ranks[:, 0]]
    low = np.maximum(np.ceil(median - c * (median - ordered[:, ranks[:, 1]] + 0.5)), 0.0)
    high = np.floor(median + c * (ordered[:, ranks[:, 2]] - median + 0.5))
    low = np.minimum.accumulate(low, axis=1)
    for i in range(len(LEVELS)):
        inner = high[:, i - 1] if i else high[:, 0]
        high[:, i] = np.maximum(high[:, i], inner)
        high[:, i] += high[:, i] == low[:, i]
    return median[:, 0], low, high
