"""Settings of training, whose defaults are `configs/train.yaml`."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from detector.config import Settings, load_settings
from detector.resources import resource
from training.classes import class_index


class TileSettings(Settings):
    """How rendered or annotated scenes become tiles."""

    overlap_px: int = Field(ge=0)
    min_visible: float = Field(ge=0, le=1)
    min_inside: float = Field(gt=0, le=1)
    min_valid: float = Field(ge=0, le=1)
    empty_share: float = Field(ge=0, lt=1)
    val_share: float = Field(gt=0, lt=1)
    background_gsd_m: float = Field(gt=0)
    decoy_share: float = Field(default=0.0, ge=0, le=1)
    edge_share: float = Field(default=0.0, ge=0, le=1)
    balance: dict[str, Annotated[float, Field(gt=0, lt=1)]] = Field(default_factory=dict)
    image_format: Literal["jpg", "png"]

    @field_validator("balance")
    @classmethod
    def _classes_are_known(cls, shares: dict[str, float]) -> dict[str, float]:
        for name in shares:
            class_index(name)
        return shares


class FitSettings(Settings):
    """How the network is fitted to the tiles."""

    epochs: int = Field(ge=1)
    hours: float | None = Field(gt=0)
    batch: int = Field(ge=1)
    optimizer: Literal["AdamW", "SGD", "MuSGD"]
    lr: float = Field(gt=0)
    lr_end: float = Field(gt=0, le=1)
    momentum: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0)
    warmup_epochs: float = Field(ge=0)
    freeze: int = Field(default=0, ge=0)
    box: float = Field(ge=0)
    cls: float = Field(ge=0)
    kind: float = Field(ge=0)
    dfl: float = Field(ge=0)
    angle: float = Field(ge=0)
    val_every: int = Field(ge=1)
    save_minutes: float = Field(gt=0)
    threads: int = Field(ge=0)
    workers: int = Field(ge=0)


class AugmentSettings(Settings):
    """How tiles are varied during training."""

    degrees: float = Field(ge=0, le=180)
    scale: float = Field(ge=0, lt=1)
    translate: float = Field(ge=0, le=0.5)
    flip: float = Field(ge=0, le=1)
    mosaic: float = Field(ge=0, le=1)
    close_mosaic: float = Field(ge=0, le=1)
    pixels: float = Field(ge=0, le=1)


class TrainConfig(Settings):
    """All of `configs/train.yaml`."""

    architecture: str
    gsd_m: float = Field(gt=0)
    tile_px: int = Field(ge=64, multiple_of=32)
    cut_px: int | None = Field(default=None, ge=64)
    seed: int
    tiles: TileSettings
    fit: FitSettings
    augment: AugmentSettings

    @property
    def stored_px(self) -> int:
        """Edge of the tiles on disk: `cut_px`, or `tile_px` where that is not given."""
        return self.cut_px or self.tile_px


def train_config(path: Path | None = None) -> TrainConfig:
    """Training settings from `path`, by default the shipped `configs/train.yaml`."""
    return load_settings(TrainConfig, path or resource("configs", "train.yaml"))


class SecondConfig(Settings):
    """All of `configs/second.yaml`: how the second stage is fitted."""

    seed: int = Field(ge=0)
    epochs: int = Field(ge=1)
    looks: int = Field(ge=1)
    batch: int = Field(ge=2)
    lr: float = Field(gt=0)
    lr_end: float = Field(gt=0, le=1)
    weight_decay: float = Field(ge=0)
    warmup_steps: int = Field(ge=0)
    offsets: float = Field(ge=0)
    jitter: float = Field(ge=0, le=0.3)
    wrong_ends: float = Field(ge=0, le=1)
    pixels: float = Field(ge=0, le=1)
    save_minutes: float = Field(gt=0)
    threads: int = Field(ge=0)
    workers: int = Field(ge=0)


def second_config(path: Path | None = None) -> SecondConfig:
    """Settings of the second stage from `path`, by default the shipped `configs/second.yaml`."""
    return load_settings(SecondConfig, path or resource("configs", "second.yaml"))
