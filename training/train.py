"""`python -m training.train`: fit the detector to a folder of tiles."""

import json
import math
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from detector.config import first_fault
from detector.errors import RailcarsError, UsageError
from detector.store import write_text
from training.fitting.checks import (
    RESUMED_FROM,
    check_architecture,
    check_devices,
    check_run_folder,
    check_tiles,
)
from training.fitting.launch import is_worker, launch, on_processors
from training.fitting.offline import go_offline
from training.fitting.run_page import write_page
from training.settings import FitSettings, TrainConfig, train_config
from training.tilefolder import read_manifest

if TYPE_CHECKING:
    from training.fitting.trainer import RailcarTrainer

MAX_DETECTIONS = 1000  # per tile, in the looks during training only
ENDLESS = 1_000_000  # epochs, where hours end the run


def train(
    config: TrainConfig, data: Path, out: Path, *, device: str = "auto", resume: bool = False, start: Path | None = None
) -> Path:
    """Fit the network to the tiles in `data` and keep everything in `out`.

    Args:
        config: settings.
        data: folder made by `training.dataset`, or any YOLO folder of oriented boxes with our classes.
        out: run folder: index.html, weights/best.pt, last.pt and step.pt, results.csv, progress.json, config.json.
        device: "auto", "cpu", or the number of a CUDA device; several, as "0,1" or "cpu,cpu", in a process each.
        resume: go on from the step in `out`/weights/step.pt; starts anew where there is no training at all.
        start: weights to begin from: safetensors, a checkpoint, or a name that Ultralytics publishes.

    Returns:
        The best checkpoint.

    Raises:
        UsageError: see `prepare`; or the run in `out` is finished or cannot be resumed.
    """
    rank = os.environ.get("RANK", "0")
    if is_worker():  # the process that started this one has checked
        out.mkdir(parents=True, exist_ok=True)
        go_offline(out / "ultralytics" / rank)
    else:
        prepare(config, data, out, device=device, resume=resume, start=start)
    import torch  # noqa: PLC0415 - after the environment is set

    from training.fitting.trainer import RailcarTrainer  # noqa: PLC0415

    device = ("0" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    begun, last = (out / "weights" / name for name in ("step.pt", "last.pt"))
    report = Progress(out, resume and (begun.exists() or last.exists()))
    if report.going_on:
        _check_budget(config, report.spent_s)
        start = _start_without_step(config, last) if not begun.exists() else start
    if rank == "0":
        out.joinpath("config.json").write_text(config.model_dump_json(indent=1))
        _note_data(data, out)
    trainer = RailcarTrainer(
        config,
        ultralytics_arguments(config, data / "data.yaml", out, "cpu" if on_processors(device) else device),
        start=start,
        going_on=report.going_on and begun.exists(),
        spent_s=report.spent_s,
        on_batch=report.batch,
        on_epoch=report.epoch,
        on_start=_tell_start,
    )
    trainer.train()
    if rank == "0":
        report.finish(trainer)
    return Path(trainer.best)


def prepare(
    config: TrainConfig, data: Path, out: Path, *, device: str = "auto", resume: bool = False, start: Path | None = None
) -> None:
    """Check everything that a training of these arguments needs, and make its folder; see `train`.

    Raises:
        UsageError: `data` is no such folder, has other classes, another GSD or an empty split; `out` holds a run that
            is not to be resumed; or there are no such devices, network, or weights to begin from.
    """
    check_tiles(data, config.gsd_m)
    check_run_folder(out, config.gsd_m, resume=resume)
    check_devices(device)
    out.mkdir(parents=True, exist_ok=True)
    go_offline(out / "ultralytics")
    from training.fitting.start import starting_state  # noqa: PLC0415 - after the environment is set

    check_architecture(config.architecture)
    if start is not None and not any((out / name).exists() for name in RESUMED_FROM):
        starting_state(start, out / "ultralytics")


def ultralytics_arguments(config: TrainConfig, tiles: Path, out: Path, device: str) -> dict[str, Any]:
    """Our settings in Ultralytics' words."""
    from training.fitting.pixels import pixel_transforms  # noqa: PLC0415 - after the environment is set

    fit, augment = config.fit, config.augment
    return {
        "task": "obb",
        "model": config.architecture,
        "data": str(tiles),
        "save_dir": str(out),
        "project": str(out.parent),
        "name": out.name,
        "exist_ok": True,
        "pretrained": False,
        "plots": False,
        "verbose": False,
        "deterministic": False,
        "amp": False,  # the network has its own mixed precision, on CPU too
        "patience": 0,
        "max_det": MAX_DETECTIONS,
        "device": device,
        "seed": config.seed,
        "imgsz": config.tile_px,
        "epochs": ENDLESS if fit.hours else fit.epochs,
        "batch": fit.batch,
        "nbs": fit.batch,
        "optimizer": fit.optimizer,
        "lr0": fit.lr,
        "momentum": fit.momentum,
        "weight_decay": fit.weight_decay,
        "freeze": fit.freeze,
        "box": fit.box,
        "cls": fit.cls,
        "dfl": fit.dfl,
        "angle": fit.angle,
        "workers": fit.workers,
        "degrees": augment.degrees,
        "scale": augment.scale,
        "translate": augment.translate,
        "fliplr": augment.flip,
        "flipud": augment.flip,
        "mosaic": augment.mosaic,
        "close_mosaic": 0,  # `TileOrder` decides
        "hsv_h": 0.0,
        "hsv_s": 0.0,
        "hsv_v": 0.0,
        "augmentations": pixel_transforms(augment.pixels),
    }


def _tell_start(trainer: "RailcarTrainer") -> None:
    if trainer.taken_over:
        typer.echo(f"{trainer.taken_over:.1%} of the network's values are those of {trainer.start}")


@dataclass
class Progress:
    """Plain lines with rate and time left, and `progress.json` with the time used, which resuming needs.

    Args:
        out: run folder.
        going_on: whether an interrupted run continues.
        every_s: seconds between lines within an epoch.
    """

    out: Path
    going_on: bool
    every_s: float = 30.0
    spent_s: float = field(init=False, default=0.0)
    _tiles: int = field(init=False, default=0)
    _seen: dict[str, float] = field(init=False, default_factory=dict)
    _since: float = field(init=False, default_factory=time.monotonic)

    def __post_init__(self) -> None:
        if self.going_on and self._file.exists():
            self.spent_s = _seconds_in(self._file)

    @property
    def _file(self) -> Path:
        return self.out / "progress.json"

    def batch(self, trainer: "RailcarTrainer") -> None:
        """After every batch: count, and from time to time print and note the time used."""
        self._tiles += trainer.args.batch
        seconds = time.monotonic() - self._since
        if seconds < self.every_s:
            return
        losses = "  ".join(f"{name.removesuffix('_loss')} {float(value):.3f}" for name, value in trainer.tloss.items())
        typer.echo(f"epoch {_epoch(trainer)}  {self._tiles / seconds:.1f} tiles/s  {losses}  {_left(trainer)} left")
        self._tiles, self._since = 0, time.monotonic()
        self._note(trainer)

    def epoch(self, trainer: "RailcarTrainer") -> None:
        """After every epoch: print what the look at the held-out facilities showed, and write the page."""
        if trainer.looked:
            shown = {
                name.removeprefix("metrics/").removesuffix("(B)"): value for name, value in trainer.metrics.items()
            }
            self._seen = {
                name: round(float(shown[name]), 4) for name in ("precision", "recall", "mAP50") if name in shown
            }
            values = "  ".join(f"{name} {value:.3f}" for name, value in self._seen.items())
            typer.echo(f"epoch {trainer.epoch + 1} held out: {values}  after {trainer.elapsed_s / 60:.0f} min")
        write_page(self.out, trainer.validator.looks)
        self._note(trainer)
        self._tiles, self._since = 0, time.monotonic()

    def finish(self, trainer: "RailcarTrainer") -> None:
        """At the end."""
        self._note(trainer)
        typer.echo(f"trained {trainer.epoch + 1} epochs in {trainer.elapsed_s / 3600:.2f} h: {trainer.best}")

    def _note(self, trainer: "RailcarTrainer") -> None:
        done = {"seconds": round(trainer.elapsed_s, 1), "epoch": trainer.epoch + 1, "held_out": self._seen}
        write_text(self._file, json.dumps(done))


def _seconds_in(path: Path) -> float:
    """The time used that a progress.json states.

    Raises:
        UsageError: it states none.
    """
    cure = f'Write the time used into it, {{"seconds": 3600}}, or delete {path.name}: then the run has used none.'
    try:
        seconds = float(json.loads(path.read_text())["seconds"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UsageError(f"{path}: cannot be read ({type(error).__name__}: {error}).", cure) from error
    if not 0 <= seconds < math.inf:
        raise UsageError(f"{path}: seconds is {seconds}.", cure)
    return seconds


def _epoch(trainer: "RailcarTrainer") -> str:
    """`3/60`; `3` in a run that hours end."""
    return f"{trainer.epoch + 1}" if trainer.config.fit.hours else f"{trainer.epoch + 1}/{trainer.epochs}"


def _left(trainer: "RailcarTrainer") -> str:
    """Time left, from the budget or from the pace so far."""
    hours = trainer.config.fit.hours
    if hours:
        seconds = hours * 3600 - trainer.elapsed_s
    else:
        done = trainer.share_done(trainer.batch_in_epoch / len(trainer.train_loader))
        seconds = trainer.elapsed_s * (1 - done) / done
    minutes = max(0, round(seconds / 60))
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _check_budget(config: TrainConfig, spent_s: float) -> None:
    hours = config.fit.hours
    if hours is not None and hours <= spent_s / 3600:
        raise UsageError(f"fit.hours is {hours} and the run has used {spent_s / 3600:.2f} h.", "Give it more hours.")


def _start_without_step(config: TrainConfig, last: Path) -> Path:
    """What a run goes on from whose step is lost: its averaged weights, for the hours that are left."""
    if config.fit.hours is None:
        raise UsageError(f"{last.parent}: holds no step.pt to resume.", f"Begin another run with --start {last}.")
    typer.echo(f"{last.parent}: holds no step.pt; going on from the averaged weights in last.pt")
    return last


def _note_data(data: Path, out: Path) -> None:
    """Keep what the tiles were: digest and counts, from the manifest of `training.dataset`."""
    manifest = read_manifest(data)
    if manifest is not None:
        (out / "data.json").write_text(json.dumps(manifest.summary(), indent=1))


def _with_hours(config: TrainConfig, hours: float | None) -> TrainConfig:
    """The settings with another budget, if one is given.

    Raises:
        UsageError: it is not above 0.
    """
    if hours is None:
        return config
    try:
        fit = FitSettings.model_validate(config.fit.model_dump() | {"hours": hours})
    except ValidationError as error:
        raise UsageError(f"--{first_fault(error)}. Received: {hours}.", "Give hours above 0, such as 2.") from error
    return config.model_copy(update={"fit": fit})


def main(  # noqa: PLR0917 - options are arguments
    data: Annotated[Path, typer.Option(help="Folder of tiles with data.yaml.")] = Path("data/yolo"),
    out: Annotated[Path, typer.Option(help="Run folder.")] = Path("runs/train"),
    config: Annotated[Path | None, typer.Option(help="Settings; by default configs/train.yaml.")] = None,
    devices: Annotated[str, typer.Option(help="auto, cpu, or numbers of CUDA devices, such as 0,1.")] = "auto",
    hours: Annotated[float | None, typer.Option(help="Wall-clock budget, in place of fit.hours.")] = None,
    start: Annotated[
        Path | None, typer.Option(help="Weights to begin from: safetensors, .pt, or a name such as yolo11n-obb.pt.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
) -> None:
    """Fit the detector to tiles.

    Example: python -m training.train --data data/yolo --out runs/train --hours 2
    """
    try:
        settings = _with_hours(train_config(config), hours)
        if "," in devices and not is_worker():
            prepare(settings, data, out, device=devices, resume=resume, start=start)
            raise typer.Exit(launch(sys.argv[1:], devices, settings.fit.batch))
        train(settings, data, out, device=devices, resume=resume, start=start)
    except RailcarsError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error


if __name__ == "__main__":
    typer.run(main)
