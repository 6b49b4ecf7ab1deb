"""Ultralytics' trainer for oriented boxes, with mixed precision on CPU, atomic checkpoints and resumable budgets."""

import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from ultralytics.models.yolo.obb import OBBTrainer

from training.loader import STRIDE, TileDataset
from training.network import OrientedBoxNetwork
from training.settings import TrainConfig

Listener = Callable[["RailcarTrainer"], None]


class RailcarTrainer(OBBTrainer):
    """Fits an `OrientedBoxNetwork`.

    Law: a run that was stopped at any moment and resumed ends with the same number of epochs, or within the same
    budget of hours, as one that was not.

    Args:
        config: settings.
        overrides: arguments of Ultralytics' trainer.
        start: weights to begin from (safetensors), for fine-tuning; None begins from scratch.
        spent_s: seconds that earlier, interrupted parts of this run have used of its budget.
        on_batch: called after every batch.
        on_epoch: called after every epoch.
    """

    last: Path
    best: Path
    epochs: int
    train_time_start: float

    def __init__(
        self,
        config: TrainConfig,
        overrides: dict[str, Any],
        *,
        start: Path | None = None,
        spent_s: float = 0.0,
        on_batch: Listener | None = None,
        on_epoch: Listener | None = None,
    ) -> None:
        self.config = config
        self.start = start
        self.spent_s = spent_s
        self.saved_at = time.monotonic()
        self.looked = False
        self.batch_in_epoch = 0
        super().__init__(overrides=overrides)
        self.args.workers = int(overrides["workers"])  # the base class sets 0 on CPU
        self.add_callback("on_train_epoch_start", RailcarTrainer._plan_epoch)
        self.add_callback("on_train_batch_end", RailcarTrainer._save_between)
        for event, listener in (("on_train_batch_end", on_batch), ("on_fit_epoch_end", on_epoch)):
            if listener is not None:
                self.add_callback(event, listener)

    @property
    def elapsed_s(self) -> float:
        """Seconds of training so far, interrupted parts included."""
        return self.spent_s + time.time() - self.train_time_start

    def build_dataset(self, img_path: str, mode: str = "train", batch: int | None = None) -> TileDataset:
        """Tiles of one split; changed at random in mode "train"."""
        return TileDataset(
            self.config.tiles.min_inside,
            img_path=img_path,
            imgsz=self.args.imgsz,
            batch_size=batch,
            augment=mode == "train",
            hyp=self.args,
            rect=False,
            cache=self.args.cache or None,
            stride=STRIDE,
            pad=0.0,
            task="obb",
            data=self.data,
        )

    def get_model(
        self, cfg: str | dict[str, Any] = "", weights: torch.nn.Module | None = None, verbose: bool = True
    ) -> OrientedBoxNetwork:
        """The network, in the memory layout and precision that this device is fastest with."""
        del verbose
        model = OrientedBoxNetwork(cfg, self.data["nc"])
        if weights is not None:
            model.load(weights)
        elif self.start is not None:
            model.load_state_dict({name: value.float() for name, value in load_file(self.start).items()})
        model.use_precision(self.device)
        model.to(memory_format=torch.channels_last)
        return model

    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Move a batch to the device; pictures become float32 in 0..1, channels last."""
        for name, value in batch.items():
            if isinstance(value, Tensor):
                batch[name] = value.to(self.device, non_blocking=self.device.type == "cuda")
        batch["img"] = batch["img"].contiguous(memory_format=torch.channels_last).float().div_(255)
        return batch

    def save_model(self) -> bool:
        """Write last.pt, and best.pt where this epoch was looked at and is the best; each replaced atomically."""
        places = self.last, self.best
        self.last, self.best = (path.with_suffix(".part") for path in places)
        try:
            super().save_model()
            self.last.replace(places[0])
            if self.best.exists():
                self.best.replace(places[1]) if self.looked else self.best.unlink()
        finally:
            self.last, self.best = places
        self.saved_at = time.monotonic()
        return True

    def validate(self) -> tuple[dict[str, float], float]:
        """Look at the held-out facilities."""
        self.looked = True
        metrics, fitness = super().validate()
        return metrics, fitness

    def check_resume(self, overrides: dict[str, Any]) -> None:
        """Take the settings of the checkpoint, but today's number of epochs."""
        super().check_resume(overrides)
        if self.resume and self.config.fit.hours is None:
            self.args.epochs = self.config.fit.epochs

    def resume_training(self, ckpt: dict[str, Any] | None) -> None:
        """Go on from a checkpoint, also from one made within the first epoch."""
        if ckpt is not None and self.resume:
            if self.args.time:  # the number of epochs is an estimate here, never a reason to stop
                self.epochs = max(self.epochs, ckpt["epoch"] + 2)
            if ckpt["epoch"] < 0 and ckpt.get("optimizer") is not None:
                self._load_checkpoint_state(ckpt)
                return
        super().resume_training(ckpt)

    def _setup_train(self) -> None:
        super()._setup_train()
        if self.device.type == "cpu":  # Ultralytics leaves a core idle when it picks the device
            torch.set_num_threads(self.config.fit.threads or len(os.sched_getaffinity(0)))
        if self.model.precision is torch.float16:
            self.scaler = torch.amp.GradScaler(self.device.type)

    def _setup_scheduler(self) -> None:
        """Cosine over all epochs; in a resumed run with a budget the base class counts only those still to come."""
        if self.args.time and self.start_epoch:
            self.epochs = self.args.epochs = self.start_epoch + math.ceil(self.epochs)
        super()._setup_scheduler()

    def _plan_epoch(self) -> None:
        share = self.config.augment.close_mosaic
        self.args.close_mosaic = math.ceil(share * self.epochs)
        self.args.val = (self.epoch + 1) % self.config.fit.val_every == 0
        self.looked = False
        self.batch_in_epoch = 0

    def _save_between(self) -> None:
        """A checkpoint within a long epoch: resuming it repeats the epoch from the weights reached."""
        self.batch_in_epoch += 1
        if time.monotonic() - self.saved_at < 60 * self.config.fit.save_minutes:
            return
        self.epoch -= 1
        self.save_model()
        self.epoch += 1
