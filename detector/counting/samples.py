"""What counting knows of one group in one scene: scores and metadata; in calibration also the truth."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Index = npt.NDArray[np.intp]

METADATA = ("gsd_m", "sharpness", "contrast", "sun_elevation_deg", "off_nadir_deg", "density")
_CLIP_SD = 3.0
_NO_SPREAD = 1e-9
_FOLDS = 10


@dataclass(frozen=True)
class Sample:
    """What may be one group's objects in one scene.

    Attributes:
        scores: (D,) in [0, 1], the detector's probability that each detection is an object of the group.
        metadata: (K,) values named by `METADATA`, NaN where unknown (all NaN where nothing is known).
    """

    scores: Floats
    metadata: Floats = field(default_factory=lambda: np.full(len(METADATA), np.nan))

    def __post_init__(self) -> None:
        if self.scores.ndim != 1:
            raise ValueError(f"scores must have shape (D,). Received: {self.scores.shape}.")
        if self.metadata.shape != (len(METADATA),):
            raise ValueError(f"metadata must have shape ({len(METADATA)},). Received: {self.metadata.shape}.")
        if self.scores.size and not (self.scores.min() >= 0 and self.scores.max() <= 1):
            raise ValueError(f"scores must lie in [0, 1]. Received: {self.scores.min()} to {self.scores.max()}.")


@dataclass(frozen=True)
class Labelled:
    """A sample whose truth is known.

    Attributes:
        sample: the detections.
        is_true: (D,) whether each detection is an object of the group, whatever the detector calls it.
        n_true: true objects of the group in the scene, found or missed.
        facility: the facility's id; folds and inflation go by it.
    """

    sample: Sample
    is_true: Bools
    n_true: int
    facility: str

    def __post_init__(self) -> None:
        if self.is_true.shape != self.sample.scores.shape:
            raise ValueError(f"is_true must match scores. Received: {self.is_true.shape}.")
        if self.n_true < int(self.is_true.sum()):
            raise ValueError(f"n_true must be at least the true detections. Received: {self.n_true}.")


def folds(group: npt.NDArray[Any]) -> list[tuple[Index, Index]]:
    """At most ten splits of scenes into the rest and those held out, no group in both; none where there is one group.

    Args:
        group: (S,) of each scene.
    """
    from sklearn.model_selection import GroupKFold  # noqa: PLC0415 - only fitting needs it, and it is large

    number = min(_FOLDS, len(np.unique(group)))
    return list(GroupKFold(number).split(group, groups=group)) if number != 1 else []


def logit(probability: Floats) -> Floats:
    """log(p / (1 - p)), finite also at 0 and 1."""
    inside = np.clip(probability, 1e-4, 1 - 1e-4)
    return np.asarray(np.log(inside / (1 - inside)), dtype=np.float64)


def density(scores: Floats, area_ha: float) -> float:
    """log(1 + sum of scores per hectare); NaN where the area is unknown."""
    return float(np.log1p(scores.sum() / area_ha)) if area_ha > 0 else float("nan")


@dataclass(frozen=True)
class Scaler:
    """Standardises metadata by the calibration scenes.

    Attributes:
        centre, scale: (K,) mean and standard deviation; scale is infinite where the calibration scenes do not
            vary, so that such a column says nothing.
    """

    centre: Floats
    scale: Floats

    @classmethod
    def fit(cls, samples: Sequence[Sample]) -> "Scaler":
        """The scaler of these scenes."""
        table = np.ma.masked_invalid(np.array([sample.metadata for sample in samples]))
        spread = np.ma.filled(table.std(axis=0), 0.0)
        return cls(
            centre=np.ma.filled(table.mean(axis=0), 0.0),
            scale=np.where(spread > _NO_SPREAD, spread, np.inf),
        )

    def unknown(self, sample: Sample) -> Bools:
        """(K,) which metadata are missing that the calibration scenes vary in."""
        return np.isnan(sample.metadata) & np.isfinite(self.scale)

    def draws(self, sample: Sample, normals: Floats) -> Floats:
        """(n, K) standardised metadata within +-3, drawn for those that are unknown, 0 for the others.

        Args:
            sample: of one scene.
            normals: (n, K) standard normals.
        """
        return _within(normals) * self.unknown(sample)

    def __call__(self, sample: Sample) -> Floats:
        """(K,) standardised metadata within +-3; a missing value is 0, the mean."""
        values = (sample.metadata - self.centre) / self.scale
        values[np.isnan(values)] = 0.0
        return _within(values)


def _within(values: Floats) -> Floats:
    """Standardised values within +-3."""
    return np.minimum(np.maximum(values, -_CLIP_SD), _CLIP_SD)
