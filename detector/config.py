"""The settings of each command: pydantic models whose defaults are the YAML files in `configs/`."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from detector.errors import UsageError
from detector.resources import resource

Precision = Literal["auto", "fp32", "int8"]
BackendName = Literal["openvino", "torch"]
BackendChoice = Literal["auto", "openvino", "torch"]
IGNORE = "ignore"  # what a label means whose area is neither right nor wrong


class Settings(BaseModel):
    """Base of all settings: immutable, and an unknown key is an error.

    Attributes:
        free: keys that may change without making anything anew.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    free: ClassVar[set[str]] = set()

    def binding(self) -> dict[str, Any]:
        """The settings without those that are free, by name."""
        return self.model_dump(exclude=self.free)

    def digest(self) -> str:
        """SHA-256 of the canonical JSON of what is not free: equal settings, equal digest."""
        return hashlib.sha256(self.model_dump_json(exclude=self.free).encode()).hexdigest()


class ClassTable(Settings):
    """Class names, reported groups, merge families and the mapping of public label sets."""

    names: tuple[str, ...]
    groups: dict[str, tuple[str, ...]]
    families: dict[str, tuple[str, ...]]
    labels: dict[str, dict[str | int, str | None]]

    @model_validator(mode="after")
    def _known_names(self) -> Self:
        used = {name for members in (*self.groups.values(), *self.families.values()) for name in members}
        if unknown := used - set(self.names):
            raise ValueError(f"groups and families name unknown classes: {sorted(unknown)}")
        meant = {name for labels in self.labels.values() for name in labels.values() if name is not None}
        if unknown := meant - {*self.names, IGNORE}:
            raise ValueError(f"labels name unknown classes: {sorted(unknown)}")
        return self

    def group_of(self, name: str) -> str | None:
        """The first group that holds class `name`, if any does."""
        return next((group for group, members in self.groups.items() if name in members), None)

    def family_of(self, name: str) -> str:
        """The merge family that holds class `name`."""
        return next(family for family, members in self.families.items() if name in members)


class DetectConfig(Settings):
    """How scenes become detections; a change needs a new RUN folder.

    Only `backend` is free: all backends agree within their rounding, so that a RUN begun on a CPU goes on with a GPU.
    """

    free: ClassVar[set[str]] = {"backend"}

    tile_px: int = Field(ge=64, multiple_of=32)
    overlap_px: int = Field(ge=0)
    margin_m: float = Field(ge=0)
    merge_ios: float = Field(gt=0, le=1)
    bands: tuple[int, ...] | None
    gsd_min_m: float = Field(gt=0)
    gsd_max_m: float = Field(gt=0)
    batch: int = Field(ge=1)
    precision: Precision
    backend: BackendChoice

    @model_validator(mode="after")
    def _bands_fit(self) -> Self:
        if self.bands is not None and (len(self.bands) not in {1, 3} or min(self.bands) < 1):
            raise ValueError(f"bands are one or three numbers from 1. Received: {list(self.bands)}")
        return self

    @model_validator(mode="after")
    def _overlap_fits(self) -> Self:
        if self.overlap_px * 2 > self.tile_px:
            raise ValueError(f"overlap_px {self.overlap_px} is more than half of tile_px {self.tile_px}")
        return self


class CountConfig(Settings):
    """How detections become counts and verdicts; a change only recounts."""

    draws: int = Field(ge=100)
    seed: int = Field(ge=0)
    min_history: int = Field(ge=2)
    queue_p: float = Field(gt=0, lt=1)
    queue_record: float = Field(gt=0, lt=1)
    control: Literal["release", "stream"]
    fdr: float = Field(gt=0, lt=1)
    lord_alpha: float = Field(gt=0, lt=1)
    eye_cv: float = Field(ge=0)
    total_from: float = Field(ge=0, le=1)
    point_from: float = Field(ge=0, le=1)
    car_pitch_m: float = Field(gt=0)
    same_time_minutes: float = Field(ge=0)
    repeat_rho: float = Field(ge=0, lt=1)


class ScaleConfig(Settings):
    """How a run is spread over a cluster; a change changes no result."""

    workers: int | None = Field(ge=1)
    worker_cpus: int = Field(ge=1)
    worker_gpus: float = Field(ge=0)
    worker_gb: float = Field(ge=0)
    tiles_per_call: int = Field(ge=1)
    attempts: int = Field(ge=1)
    start_minutes: float = Field(gt=0)


S = TypeVar("S", bound=Settings)


def first_fault(error: ValidationError) -> str:
    """The first thing that validation found: the key, and what is wrong with it."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"]) or "(top level)"
    return f"{key}: {first['msg']}"


def load_settings(model: type[S], path: Path, shipped: Path | None = None) -> S:
    """Read a YAML file into `model`.

    Args:
        model: the settings.
        path: the file.
        shipped: where keys are taken from that the file lacks; by default it must have them all.

    Raises:
        UsageError: the file is missing, is no YAML, or a key or value is wrong; the message names it.
    """
    try:
        values = yaml.safe_load(path.read_text()) or {}
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}).", "Give the path of a YAML file.") from error
    except yaml.YAMLError as error:
        raise UsageError(
            f"{path}: is not YAML ({error}).", "Compare it with the file of that name in configs/."
        ) from error
    if shipped is not None and isinstance(values, dict):
        values = yaml.safe_load(shipped.read_text()) | values
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UsageError(
            f"{path}: {first_fault(error)}. Received: {error.errors()[0]['input']!r}.",
            "The file of that name in configs/ documents every key.",
        ) from error


@cache
def class_table() -> ClassTable:
    """The shipped class table, `configs/classes.yaml`."""
    return load_settings(ClassTable, resource("configs", "classes.yaml"))


def detect_config(path: Path | None = None) -> DetectConfig:
    """Detection settings from `path`; what it does not say is as in the shipped `configs/detect.yaml`."""
    return _over_shipped(DetectConfig, "detect.yaml", path)


def count_config(path: Path | None = None) -> CountConfig:
    """Counting settings from `path`; what it does not say is as in the shipped `configs/count.yaml`."""
    return _over_shipped(CountConfig, "count.yaml", path)


def scale_config(path: Path | None = None) -> ScaleConfig:
    """Settings of a cluster from `path`; what it does not say is as in the shipped `configs/scale.yaml`."""
    return _over_shipped(ScaleConfig, "scale.yaml", path)


def _over_shipped(model: type[S], name: str, path: Path | None) -> S:
    shipped = resource("configs", name)
    return load_settings(model, path, shipped) if path else load_settings(model, shipped)
