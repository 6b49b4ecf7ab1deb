"""`python -m training.train`: fit the detector to a folder of tiles."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from detector.errors import RailcarsError, UsageError
from training.classes import class_names
from training.offline import go_offline
from training.settings import TrainConfig, train_config

if TYPE_CHECKING:
    from training.trainer import RailcarTrainer

MAX_DETECTIONS = 1000  # per tile, in the looks during training only


def train(
    config: TrainConfig, data: Path, out: Path, *, device: str = "auto", resume: bool = False, start: Path | None = None
) -> Path:
    """Fit the network to the tiles in `data` and keep everything in `out`.

    Args:
        config: settings.
        data: folder made by `training.dataset`, or any YOLO folder of oriented boxes with our classes.
        out: run folder: weights/last.pt and best.pt, results.csv, progress.json, config.json.
        device: "auto", "cpu", or the number of a CUDA device.
        resume: go on from `out`/weights/last.pt; starts anew where there is none.
        start: safetensors to begin from.

    Returns:
        The best checkpoint.

    Raises:
        UsageError: `data` is no such folder or has other classes, or the run in `out` is finished.
    """
    tiles = _checked_tiles(data)
    out.mkdir(parents=True, exist_ok=True)
    go_offline(out / "ultralytics")
    import torch  # noqa: PLC0415 - after the environment is set

    from training.trainer import RailcarTrainer  # noqa: PLC0415

    device = ("0" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    last = out / "weights" / "last.pt"
    going_on = resume and last.exists()
    report = Progress(out, going_on)
    overrides = ultralytics_arguments(config, tiles, out, device)
    if going_on:
        overrides |= {"resume": str(last), "time": _hours_left(config, report.spent_s)}
    out.joinpath("config.json").write_text(config.model_dump_json(indent=1))
    _note_data(data, out)
    trainer = RailcarTrainer(
        config, overrides, start=start, spent_s=report.spent_s, on_batch=report.batch, on_epoch=report.epoch
    )
    trainer.train()
    report.finish(trainer)
    return Path(trainer.best)


def ultralytics_arguments(config: TrainConfig, tiles: Path, out: Path, device: str) -> dict[str, Any]:
    """Our settings in Ultralytics' words."""
    from training.augment import pixel_transforms  # noqa: PLC0415 - imports Ultralytics

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
        "epochs": fit.epochs,
        "time": fit.hours,
        "batch": fit.batch,
        "nbs": fit.batch,
        "optimizer": fit.optimizer,
        "lr0": fit.lr,
        "lrf": fit.lr_end,
        "cos_lr": True,
        "momentum": fit.momentum,
        "weight_decay": fit.weight_decay,
        "warmup_epochs": fit.warmup_epochs,
        "warmup_bias_lr": 0.0,
        "box": fit.box,
        "cls": fit.cls,
        "dfl": fit.dfl,
        "angle": fit.angle,
        "workers": fit.workers,
        "cache": fit.cache,
        "degrees": augment.degrees,
        "scale": augment.scale,
        "translate": augment.translate,
        "fliplr": augment.flip,
        "flipud": augment.flip,
        "mosaic": augment.mosaic,
        "close_mosaic": 1 if augment.close_mosaic else 0,  # planned anew before every epoch
        "hsv_h": 0.0,
        "hsv_s": 0.0,
        "hsv_v": 0.0,
        "augmentations": pixel_transforms(augment.pixels),
    }


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
            self.spent_s = float(json.loads(self._file.read_text())["seconds"])

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
        typer.echo(
            f"epoch {trainer.epoch + 1}/{trainer.epochs}  {self._tiles / seconds:.1f} tiles/s  {losses}  "
            f"{_left(trainer)} left"
        )
        self._tiles, self._since = 0, time.monotonic()
        self._note(trainer)

    def epoch(self, trainer: "RailcarTrainer") -> None:
        """After every epoch: print what the look at the held-out facilities showed."""
        if trainer.looked:
            shown = {
                name.removeprefix("metrics/").removesuffix("(B)"): value for name, value in trainer.metrics.items()
            }
            self._seen = {
                name: round(float(shown[name]), 4) for name in ("precision", "recall", "mAP50") if name in shown
            }
            values = "  ".join(f"{name} {value:.3f}" for name, value in self._seen.items())
            typer.echo(f"epoch {trainer.epoch + 1} held out: {values}  after {trainer.elapsed_s / 60:.0f} min")
            trainer.looked = False  # the base class calls once more after the last epoch
        self._note(trainer)
        self._tiles, self._since = 0, time.monotonic()

    def finish(self, trainer: "RailcarTrainer") -> None:
        """At the end."""
        self._note(trainer)
        typer.echo(f"trained {trainer.epoch + 1} epochs in {trainer.elapsed_s / 3600:.2f} h: {trainer.best}")

    def _note(self, trainer: "RailcarTrainer") -> None:
        part = self._file.with_suffix(".part")
        done = {"seconds": round(trainer.elapsed_s, 1), "epoch": trainer.epoch + 1, "held_out": self._seen}
        part.write_text(json.dumps(done))
        part.replace(self._file)


def _left(trainer: "RailcarTrainer") -> str:
    """Time left, from the budget or from the pace so far."""
    here_s = time.time() - trainer.train_time_start
    if trainer.args.time:
        seconds = trainer.args.time * 3600 - here_s
    else:
        batches = len(trainer.train_loader)
        done = (trainer.epoch - trainer.start_epoch) * batches + trainer.batch_in_epoch
        seconds = here_s / max(done, 1) * ((trainer.epochs - trainer.start_epoch) * batches - done)
    minutes = max(0, round(seconds / 60))
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _hours_left(config: TrainConfig, spent_s: float) -> float | None:
    if config.fit.hours is None:
        return None
    left = config.fit.hours - spent_s / 3600
    if left <= 0:
        raise UsageError(
            f"fit.hours is {config.fit.hours} and the run has used {spent_s / 3600:.2f} h.", "Give it more hours."
        )
    return left


def _note_data(data: Path, out: Path) -> None:
    """Keep what the tiles were: digest and counts, from the manifest of `training.dataset`."""
    manifest = data / "manifest.json"
    if manifest.exists():
        content = json.loads(manifest.read_text())
        kept = {key: content[key] for key in ("digest", "tile_px", "counts")}
        kept["facilities"] = {split: len(names) for split, names in content["facilities"].items()}
        (out / "data.json").write_text(json.dumps(kept, indent=1))


def _checked_tiles(data: Path) -> Path:
    """`data`/data.yaml, if it lists our classes in our order."""
    path = data / "data.yaml"
    if not path.exists():
        raise UsageError(f"{data}: holds no data.yaml.", "Make it with `python -m training.dataset`.")
    names = (yaml.safe_load(path.read_text()) or {}).get("names")
    listed = tuple(names.values()) if isinstance(names, dict) else tuple(names or ())
    if listed != class_names():
        raise UsageError(
            f"{path}: names are {', '.join(map(str, listed)) or 'missing'}.",
            f"They must be those of configs/classes.yaml: {', '.join(class_names())}.",
        )
    return path


def main(  # noqa: PLR0917 - options are arguments
    data: Annotated[Path, typer.Option(help="Folder of tiles with data.yaml.")] = Path("data/yolo"),
    out: Annotated[Path, typer.Option(help="Run folder.")] = Path("runs/train"),
    config: Annotated[Path | None, typer.Option(help="Settings; by default configs/train.yaml.")] = None,
    devices: Annotated[str, typer.Option(help="auto, cpu, or the number of a CUDA device.")] = "auto",
    hours: Annotated[float | None, typer.Option(help="Wall-clock budget, in place of fit.hours.")] = None,
    start: Annotated[Path | None, typer.Option(help="Weights (safetensors) to begin from.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
) -> None:
    """Fit the detector to tiles.

    Example: python -m training.train --data data/yolo --out runs/train --hours 2
    """
    try:
        settings = train_config(config)
        if hours is not None:
            settings = settings.model_copy(update={"fit": settings.fit.model_copy(update={"hours": hours})})
        train(settings, data, out, device=devices, resume=resume, start=start)
    except RailcarsError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error


if __name__ == "__main__":
    typer.run(main)
