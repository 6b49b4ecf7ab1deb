"""The exact state of a training between two steps, from which it goes on as if it had never stopped."""

from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor
from ultralytics.utils.torch_utils import unwrap_model

from detector.errors import UsageError

if TYPE_CHECKING:
    from training.fitting.trainer import RailcarTrainer


@dataclass(frozen=True)
class StepState:
    """All that the next step depends on, apart from data, settings and machine; nothing is rounded.

    Attributes:
        epoch: the epoch that the next step belongs to.
        tiles: of that epoch, those already seen.
        model: state dict of the network.
        ema: state dict of its moving average.
        updates: steps that the average has taken.
        optimizer: moments of each parameter; rates and decays are those of the settings.
        scaler: of gradients, where float16 is used.
        best_fitness: of all looks so far; None before the first.
    """

    epoch: int
    tiles: int
    model: dict[str, Tensor]
    ema: dict[str, Tensor]
    updates: int
    optimizer: dict[int, dict[str, Any]]
    scaler: dict[str, Any]
    best_fitness: float | None

    @classmethod
    def of(cls, trainer: "RailcarTrainer") -> Self:
        """The state that `trainer` is in."""
        epochs_done, batch = divmod(trainer.batch_in_epoch, len(trainer.train_loader))
        return cls(
            epoch=trainer.epoch + epochs_done,
            tiles=batch * trainer.batch_size,
            model=unwrap_model(trainer.model).state_dict(),
            ema=trainer.ema.ema.state_dict(),
            updates=trainer.ema.updates,
            optimizer=trainer.optimizer.state_dict()["state"],
            scaler=trainer.scaler.state_dict(),
            best_fitness=None if trainer.best_fitness is None else float(trainer.best_fitness),
        )

    def restore(self, trainer: "RailcarTrainer") -> int:
        """Bring a trainer that has been set up into this state.

        Returns:
            How many batches of its first epoch are done.

        Raises:
            UsageError: the run is finished, or was one of another network.
        """
        if self.epoch >= trainer.epochs:
            raise UsageError(
                f"{trainer.save_dir}: the run has done all of its {self.epoch} epochs.",
                "Raise fit.epochs, or begin another run from its weights with --start.",
            )
        try:
            unwrap_model(trainer.model).load_state_dict(self.model)
            trainer.ema.ema.load_state_dict(self.ema)
            groups = trainer.optimizer.state_dict()["param_groups"]
            trainer.optimizer.load_state_dict({"state": self.optimizer, "param_groups": groups})
        except (RuntimeError, ValueError) as error:
            raise UsageError(
                f"{trainer.save_dir}: the run was one of another network or optimizer.",
                "Resume it with its own settings (config.json), or give another OUT.",
            ) from error
        trainer.ema.updates = self.updates
        trainer.scaler.load_state_dict(self.scaler)
        trainer.best_fitness = self.best_fitness
        trainer.start_epoch = self.epoch
        _forget_after(trainer.csv, self.epoch)
        return self.tiles // int(trainer.batch_size)

    def write(self, path: Path) -> None:
        """Write to `path`, whole or not at all."""
        part = path.with_suffix(".part")
        torch.save(vars(self), part)
        part.replace(path)

    @classmethod
    def read(cls, path: Path) -> Self:
        """What `write` has written.

        Raises:
            UsageError: there is no such file, or it is damaged.
        """
        try:
            return cls(**torch.load(path, map_location="cpu", weights_only=True))
        except (OSError, EOFError, RuntimeError, TypeError, ValueError, UnpicklingError) as error:
            raise UsageError(
                f"{path}: cannot be read ({error}).", "Begin another run from last.pt beside it with --start."
            ) from error


def _forget_after(results: Path, epoch: int) -> None:
    """Drop the lines of epochs that will be done again; the first column counts from 1."""
    if results.exists():
        header, *lines = results.read_text().splitlines()
        kept = [line for line in lines if int(line.split(",")[0]) <= epoch]
        results.write_text("\n".join([header, *kept]) + "\n")
