"""Ultralytics' trainer for oriented boxes, with mixed precision on CPU, its own schedule, and exact resuming."""

import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn.parallel import DistributedDataParallel
from ultralytics.data.build import InfiniteDataLoader
from ultralytics.models.yolo.obb import OBBTrainer
from ultralytics.utils.torch_utils import TORCH_2_13, strip_optimizer, torch_distributed_zero_first, unwrap_model

from training.fitting.loader import TileDataset, TileLoader
from training.fitting.network import OrientedBoxNetwork
from training.fitting.order import TileOrder
from training.fitting.start import starting_state, transfer
from training.fitting.steps import StepState
from training.fitting.validator import LookingValidator
from training.settings import TrainConfig
from training.tilefolder import read_listing, tiles_at
from training.tiles import STRIDE

Listener = Callable[["RailcarTrainer"], None]
_MOST_WARMUP = 0.1  # of the run
_RANK = int(os.environ.get("RANK", "-1"))
# Renamed in torch 2.13.
_OWN_STATISTICS: dict[str, Any] = {"forward_sync_buffers" if TORCH_2_13 else "broadcast_buffers": False}


class RailcarTrainer(OBBTrainer):
    """Fits an `OrientedBoxNetwork`.

    Laws: a run over a number of epochs that was stopped at any moment and resumed ends, on the same machine, with the
    weights of one that was not; one with a budget of hours ends within it.

    The learning rate follows a cosine from step to step, over the epochs or the hours.

    Args:
        config: settings.
        overrides: arguments of Ultralytics' trainer.
        start: weights to begin from, for fine-tuning; None begins from scratch.
        going_on: whether to go on from the step that `weights/step.pt` holds.
        spent_s: seconds that earlier, interrupted parts of this run have used of its budget.
        on_start: called before the first batch.
        on_batch: called after every batch.
        on_epoch: called after every epoch.
    """

    last: Path
    best: Path
    epochs: int
    model: torch.nn.Module
    train_time_start: float

    def __init__(
        self,
        config: TrainConfig,
        overrides: dict[str, Any],
        *,
        start: Path | None = None,
        going_on: bool = False,
        spent_s: float = 0.0,
        on_start: Listener | None = None,
        on_batch: Listener | None = None,
        on_epoch: Listener | None = None,
    ) -> None:
        self.config = config
        self.start = start
        self.going_on = going_on
        self.spent_s = spent_s
        self.saved_at = time.monotonic()
        self.looked = False
        self.batch_in_epoch = self.skipped = 0
        self.taken_over = 0.0
        super().__init__(overrides=overrides | {"resume": going_on})  # resuming keeps results.csv
        self.processes = int(os.environ.get("WORLD_SIZE", "1")) if self.device.type == "cpu" else 1
        self.args.workers = int(overrides["workers"])  # the base class sets 0 on CPU
        self.add_callback("on_train_epoch_start", RailcarTrainer._plan_epoch)
        self.add_callback("on_train_batch_end", RailcarTrainer._after_batch)
        listeners = {"on_train_start": on_start, "on_train_batch_end": on_batch, "on_fit_epoch_end": on_epoch}
        for event, listener in listeners.items():
            if listener is not None and _RANK in {-1, 0}:
                self.add_callback(event, listener)

    @property
    def elapsed_s(self) -> float:
        """Seconds of training so far, interrupted parts included."""
        return self.spent_s + time.time() - self.train_time_start

    def share_done(self, part: float) -> float:
        """Share of the run, 0 to 1, that is done when `part` of the epoch is."""
        hours = self.config.fit.hours
        return min(1.0, self.elapsed_s / (hours * 3600) if hours else (self.epoch + part) / self.epochs)

    def get_dataset(self) -> dict[str, Any]:
        """What the data.yaml says, as `check_tiles` reads it: Ultralytics' own reader would find other paths in it."""
        listing = read_listing(Path(self.args.data).parent)
        tiles = {split: [str(place) for place in tiles_at(listing, split)] for split in ("train", "val")}
        return {"path": listing.root, "names": listing.names, "nc": len(listing.names), "channels": 3, **tiles}

    def build_dataset(self, img_path: list[str], mode: str = "train", batch: int | None = None) -> TileDataset:
        """Tiles of one split; changed at random in mode "train"."""
        return TileDataset(
            self.config.tiles.min_inside,
            img_path=img_path,
            imgsz=self.args.imgsz,
            batch_size=batch,
            augment=mode == "train",
            hyp=self.args,
            rect=False,
            stride=STRIDE,
            pad=0.0,
            task="obb",
            data=self.data,
        )

    def get_dataloader(
        self, dataset_path: list[str], batch_size: int = 16, rank: int = 0, mode: str = "train"
    ) -> TileLoader | InfiniteDataLoader:
        """Batches of one split; in mode "train" in the order of `TileOrder`."""
        if mode != "train":
            return super().get_dataloader(dataset_path, batch_size, rank, mode)
        with torch_distributed_zero_first(rank):
            dataset = self.build_dataset(dataset_path, mode, batch_size)
        world = max(self.world_size, 1)
        order = TileOrder(
            len(dataset), batch_size * world, self.config.seed, self._mixes, rank=max(rank, 0), world=world
        )
        return TileLoader(dataset, order, batch_size, self.args.workers, pinned=self.device.type == "cuda")

    def get_validator(self) -> LookingValidator:
        """The stock look at held-out tiles, which keeps some of what it saw."""
        return LookingValidator(self.test_loader, self.save_dir, self.args, self.callbacks)

    def get_model(
        self, cfg: str | dict[str, Any] = "", weights: torch.nn.Module | None = None, verbose: bool = True
    ) -> OrientedBoxNetwork:
        """The network, in the memory layout and precision that this device is fastest with."""
        del weights, verbose
        model = OrientedBoxNetwork(cfg, self.data["nc"])
        if self.start is not None and not self.going_on:
            state = starting_state(self.start, self.save_dir / "ultralytics")
            self.taken_over = transfer(state, model, self.start)
        model.kind_gain = self.config.fit.kind
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

    def optimizer_step(self) -> None:
        """One step at the learning rate of its place in the run."""
        fit, batches = self.config.fit, len(self.train_loader)
        done = self.share_done(self.batch_in_epoch / batches)
        cosine = fit.lr_end + (1 - fit.lr_end) * (1 + math.cos(math.pi * done)) / 2
        steps = self.epoch * batches + self.batch_in_epoch + 1
        warm = max(steps / max(fit.warmup_epochs * batches, 1), done / _MOST_WARMUP)
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * cosine * min(1.0, warm)
        super().optimizer_step()
        self.batch_in_epoch += 1

    def save_model(self) -> bool:
        """Write step.pt, last.pt, and best.pt where this epoch was looked at and is the best; each whole or not."""
        StepState.of(self).write(self.wdir / "step.pt")
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

    def save_metrics(self, metrics: dict[str, Any]) -> None:
        """A line of results.csv; what only a look tells is NaN without one."""
        told = metrics if self.looked else metrics | dict.fromkeys(self.metrics, math.nan)
        super().save_metrics(told)

    def validate(self) -> tuple[dict[str, float], float]:
        """Look at the held-out facilities."""
        self.looked = True
        metrics, fitness = super().validate()
        return metrics, fitness

    def final_eval(self) -> None:
        """Make the checkpoints small; the base class would look at the held-out tiles once more."""
        for path in (self.last, self.best):
            if _RANK in {-1, 0} and path.exists():
                strip_optimizer(path)

    def check_resume(self, overrides: dict[str, Any]) -> None:
        """Resuming is ours (`StepState`), with today's settings."""
        del overrides
        self.resume = False

    def _setup_train(self) -> None:
        if self.processes > 1:
            distributed.init_process_group("gloo")
        super()._setup_train()
        if self.device.type == "cpu":  # Ultralytics leaves a core idle when it picks the device
            cores = len(os.sched_getaffinity(0)) // self.processes
            torch.set_num_threads(self.config.fit.threads or max(1, cores))
        if unwrap_model(self.model).precision is torch.float16:
            self.scaler = torch.amp.GradScaler(self.device.type)
        if self.going_on:
            self.skipped = StepState.read(self.wdir / "step.pt").restore(self)

    def _build_train_pipeline(self) -> None:
        if self.processes > 1:  # Ultralytics does this for GPUs only
            self.world_size = self.processes
            self.model = DistributedDataParallel(self.model, **_OWN_STATISTICS)
        super()._build_train_pipeline()

    def _get_warmup_iterations(self, num_batches: int) -> int:
        """None of the stock kind: `optimizer_step` warms up."""
        del num_batches
        return 0

    def _mixes(self, part: float) -> bool:
        """Whether mosaics are made when `part` of the epoch is done."""
        return self.share_done(part) < 1 - self.config.augment.close_mosaic

    def _plan_epoch(self) -> None:
        self.batch_in_epoch, self.skipped = self.skipped, 0
        self.train_loader.sampler.begin(self.epoch, self.batch_in_epoch)
        self.args.val = (self.epoch + 1) % self.config.fit.val_every == 0
        self.looked = False

    def _after_batch(self) -> None:
        hours = self.config.fit.hours
        if hours and self._agreed(self.elapsed_s >= 3600 * hours):
            self.stop = True
        is_last = self.batch_in_epoch == len(self.train_loader)  # the look at held-out tiles comes before saving
        if _RANK in {-1, 0} and not is_last and time.monotonic() - self.saved_at >= 60 * self.config.fit.save_minutes:
            self.save_model()

    def _agreed(self, wish: bool) -> bool:
        """What the first device wishes: all must stop at the same step."""
        if _RANK == -1:
            return wish
        wishes = [wish]
        distributed.broadcast_object_list(wishes, 0)
        return wishes[0]
