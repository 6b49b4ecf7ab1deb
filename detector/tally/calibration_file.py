"""The calibration on disk, `weights/<name>.calibration.json`: tied to the weights it describes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, ValidationError

from detector.config import Settings, first_fault
from detector.counting.calibration import Model
from detector.counting.domain import FEATURES, Domain
from detector.counting.inflation import FACILITIES_FOR_GUARANTEE, LEVELS, Nonconformity
from detector.counting.interval import Calibration
from detector.counting.samples import METADATA, Floats, Scaler
from detector.errors import WeightsError
from detector.store import write_text

_REMAKE = "Fit it again with `python -m training.calibrate`."
_POOL = "railcar"


class _ScalerFile(Settings):
    names: tuple[str, ...]
    centre: tuple[float, ...]
    scale: tuple[float | None, ...]


class DomainFile(Settings):
    """What the calibration scenes looked like: see `detector.counting.domain.Domain`."""

    names: tuple[str, ...]
    centre: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    limit: tuple[float, ...]


class GroupFile(Settings):
    """One group's fitted parameters and nonconformity scores by facility."""

    scaler: _ScalerFile
    truth: tuple[float, ...]
    truth_sd: float = Field(0.0, ge=0)
    tau2: float = Field(ge=0)
    z_mean: float
    recall: tuple[float, ...]
    recall_cov: tuple[tuple[float, ...], ...]
    copula: float = Field(ge=-1, le=1)
    levels: tuple[float, ...]
    facility: tuple[str, ...]
    nonconformity: tuple[tuple[float, ...], ...]
    n_scenes: int = Field(ge=1)
    n_objects: int = Field(ge=0)


class Measured(Settings):
    """How the intervals fared at other facilities, with known truth: `benchmarks.bench_counting --record`.

    Attributes:
        n_dates, n_facilities: fully seen dates, and their facilities.
        coverage: by level, the share of dates whose truth lay in the interval; of railcars.
        by_stratum95: that of the 95 % intervals, by the true number.
    """

    n_dates: int
    n_facilities: int
    coverage: dict[str, float]
    by_stratum95: dict[str, float]


class CalibrationFile(Settings):
    """What `training.calibrate` measured of a detector's errors.

    Attributes:
        weights: name of the weights.
        weights_sha256: their identity, the SHA-256 of their networks.
        score_floor: lowest score kept in the calibration runs.
        validation: how the inflation was learnt; there are no facilities kept for it alone.
        n_scenes, n_facilities: calibration scenes and their facilities.
        synthetic: the scenes were rendered, not photographed.
        domain: what the scenes looked like.
        groups: by group name; groups with too few objects are absent.
        measured: how the intervals fared elsewhere, where that was measured; counting does not look at it.
    """

    weights: str
    weights_sha256: str
    score_floor: float = Field(ge=0, lt=1)
    validation: Literal["cross-fitted by facility"] = "cross-fitted by facility"
    n_scenes: int
    n_facilities: int
    synthetic: bool = False
    domain: DomainFile
    groups: dict[str, GroupFile]
    measured: Measured | None = None

    def counter(self, group: str) -> "Counter":
        """How to count a group, with flags where the calibration is not its own or guarantees little.

        A group without its own calibration uses the railcars' (`calibration:railcar`).
        """
        flags = ("no_facility_guarantee",) if self.n_facilities < FACILITIES_FOR_GUARANTEE else ()
        domain = _domain(self.domain)
        if group in self.groups:
            own = _from_file(self.groups[group])
            return Counter(own.model, own.inflation(), flags, domain)
        if _POOL in self.groups:
            pooled = _from_file(self.groups[_POOL])
            return Counter(pooled.model, pooled.inflation(), (f"calibration:{_POOL}", *flags), domain)
        return uncalibrated()


@dataclass(frozen=True)
class Counter:
    """What turns one group's detections into a count.

    Attributes:
        model: of true detections and misses.
        inflation: factor by level.
        flags: what a reader of its counts must know.
        domain: what the calibration scenes looked like, where that is known.
        is_measured: whether its errors were measured on these weights; if not, no interval is published.
    """

    model: Model
    inflation: dict[float, float]
    flags: tuple[str, ...] = ()
    domain: Domain | None = None
    is_measured: bool = True


def to_file(calibration: Calibration, n_objects: int, n_scenes: int) -> GroupFile:
    """A group's calibration as it is stored."""
    model, scaler = calibration.model, calibration.model.scaler
    return GroupFile(
        scaler=_ScalerFile(
            names=METADATA,
            centre=tuple(scaler.centre.tolist()),
            scale=_nullable(scaler.scale),
        ),
        truth=tuple(model.truth.tolist()),
        truth_sd=model.truth_sd,
        tau2=model.tau2,
        z_mean=model.z_mean,
        recall=tuple(model.recall.tolist()),
        recall_cov=tuple(tuple(row) for row in model.recall_cov.tolist()),
        copula=model.copula,
        levels=LEVELS,
        facility=calibration.nonconformity.facility,
        nonconformity=tuple(tuple(row) for row in calibration.nonconformity.scores.tolist()),
        n_scenes=n_scenes,
        n_objects=n_objects,
    )


def to_domain_file(domain: Domain) -> DomainFile:
    """The domain of the calibration scenes as it is stored."""
    centre, low, high = (_nullable(values) for values in (domain.centre, domain.low, domain.high))
    return DomainFile(names=tuple(FEATURES), centre=centre, low=low, high=high, limit=tuple(domain.limit.tolist()))


def _domain(stored: DomainFile) -> Domain:
    centre, low, high = (_array(values, np.nan) for values in (stored.centre, stored.low, stored.high))
    return Domain(centre, low, high, np.array(stored.limit))


def _array(values: tuple[float | None, ...], missing: float) -> Floats:
    return np.array([missing if v is None else v for v in values], dtype=np.float64)


def _nullable(values: Floats) -> tuple[float | None, ...]:
    return tuple(float(v) if np.isfinite(v) else None for v in values)


def _from_file(stored: GroupFile) -> Calibration:
    scaler = Scaler(
        centre=np.array(stored.scaler.centre),
        scale=_array(stored.scaler.scale, np.inf),
    )
    model = Model(
        scaler=scaler,
        truth=np.array(stored.truth),
        tau2=stored.tau2,
        z_mean=stored.z_mean,
        recall=np.array(stored.recall),
        recall_cov=np.array(stored.recall_cov),
        copula=stored.copula,
        truth_sd=stored.truth_sd,
    )
    scores = np.array(stored.nonconformity, dtype=np.float64).reshape(-1, len(LEVELS))
    return Calibration(model, Nonconformity(stored.facility, scores))


def uncalibrated() -> Counter:
    """Stands in where nothing was measured: scores as probabilities, recall about 0.85; not for intervals."""
    n = len(METADATA)
    prior_sd = np.r_[0.7, np.full(n + 1, 1e-3), 0.5]
    model = Model(
        scaler=Scaler(np.zeros(n), np.full(n, np.inf)),
        truth=np.r_[0.0, 1.0, np.zeros(n)],
        tau2=0.5,
        z_mean=0.0,
        recall=np.r_[1.7, np.zeros(n + 1), np.log(10.0)],
        recall_cov=np.diag(prior_sd**2),
        copula=0.0,
    )
    return Counter(model, dict.fromkeys(LEVELS, 1.5), ("no_calibration",), is_measured=False)


def save_calibration(stored: CalibrationFile, path: Path) -> None:
    """Write the file; it appears whole or not at all."""
    write_text(path, stored.model_dump_json(indent=1) + "\n")


def load_calibration(path: Path, weights_sha256: str) -> CalibrationFile | None:
    """Read a calibration; None where it describes other weights than these, such as those they were tuned from.

    Raises:
        WeightsError: missing, malformed, or of a version with other levels or metadata.
    """
    try:
        stored = CalibrationFile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror}).", _REMAKE) from error
    except ValidationError as error:
        raise WeightsError(f"{path}: {first_fault(error)}.", _REMAKE) from error
    if stored.weights_sha256 != weights_sha256:
        return None
    _check_domain(path, stored.domain)
    for name, group in stored.groups.items():
        _check_shapes(path, name, group)
    return stored


def _check_domain(path: Path, domain: DomainFile) -> None:
    lengths = {len(domain.centre), len(domain.low), len(domain.high), len(domain.limit)}
    if domain.names != tuple(FEATURES) or lengths != {len(FEATURES)}:
        raise WeightsError(f"{path}: domain is of another version (features: {', '.join(domain.names)}).", _REMAKE)


def _check_shapes(path: Path, name: str, group: GroupFile) -> None:
    n = len(METADATA)
    lengths: Mapping[str, tuple[int, int]] = {
        "truth": (len(group.truth), n + 2),
        "recall": (len(group.recall), n + 3),
        "recall_cov": (len(group.recall_cov), n + 3),
        "nonconformity": (len(group.nonconformity), len(group.facility)),
    }
    wrong = [key for key, (found, needed) in lengths.items() if found != needed]
    if wrong or group.scaler.names != METADATA or group.levels != LEVELS:
        raise WeightsError(
            f"{path}: group {name!r} is of another version ({', '.join(wrong) or 'metadata or levels'}).",
            _REMAKE,
        )
