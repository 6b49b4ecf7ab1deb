"""`python -m training.second`: fit the second stage of weights to what their first stage finds on tiles."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from detector.backends import Backend, open_backend
from detector.backends.second import INPUTS, OUTPUTS
from detector.config import BackendName, class_table, detect_config
from detector.crops import CROP_PX
from detector.detection.planning import Planner
from detector.errors import RailcarsError, UsageError
from detector.hashing import sha256_of
from detector.store import write_json
from detector.weights import Weights, install, load_weights
from training.classes import class_names
from training.export import TOLERANCE, largest_difference, write_graph
from training.fitting.checks import check_devices, check_tiles
from training.fitting.offline import be_silent
from training.secondstage import STATE
from training.secondstage.candidates import RULES, Candidates, digest_of
from training.secondstage.pictures import Looks
from training.settings import SecondConfig, second_config
from training.tilefolder import edge_of, tiles_of
from training.tiles import network_edge_px

if TYPE_CHECKING:
    from training.secondstage.network import SecondNetwork

BEGUN, SPLITS = "begun.json", ("train", "val")
BLOCK = 500
"""Looks at tiles by the first stage that are kept together."""
VERSION = 2
"""Raise it when the network or what it is shown changes: runs of others cannot be gone on with."""


def fit(
    config: SecondConfig,
    data: Path,
    weights: Weights,
    out: Path,
    *,
    device: str = "auto",
    resume: bool = False,
    into: Path | None = None,
) -> Weights:
    """Fit a second stage and put it beside the weights.

    Args:
        config: settings.
        data: folder made by `training.dataset`, best of scenes that the first stage was not trained on: where it has
            learnt the answers, it is surer than it will be elsewhere.
        weights: whose first stage is looked through.
        out: run folder: begun.json, candidates-train and candidates-val, results.csv, second.pt.
        device: "auto", "cpu" or the number of a CUDA device.
        resume: go on with the run in `out`; begins anew where there is none.
        into: folder for a copy of the weights that gets the second stage; by default they get it themselves.

    Returns:
        The weights with a second stage. They are another detector: what was calibrated of them before no longer fits.

    Raises:
        UsageError: `data` is no such folder, or of another GSD; there is no such device; the weights are of other
            classes; `out` holds another run; or `into` holds other weights of that name.
        WeightsError: the first stage cannot be run.
    """
    check_tiles(data, weights.spec.gsd_m)
    if device.count(",") or device == "":
        raise UsageError(f"--device {device!r} is not one device.", "Give auto, cpu, or the number of a CUDA device.")
    check_devices(device)
    if weights.spec.classes != class_names():
        raise UsageError(f"{weights.spec.name}: its classes are not those of configs/classes.yaml.", "Train them anew.")
    tiles = {split: tiles_of(data, split) for split in SPLITS}
    _begin(out, _identity(config, tiles, weights), resume=resume)
    target = weights if into is None else _copied(weights, into)
    be_silent()
    import torch  # noqa: PLC0415 - after the environment is set

    from training.secondstage.fit import Fit  # noqa: PLC0415
    from training.secondstage.network import SecondNetwork, in_half  # noqa: PLC0415
    from training.secondstage.weighing import weigh  # noqa: PLC0415

    on_gpu = torch.cuda.is_available() if device == "auto" else device != "cpu"
    train = _candidates(tiles["train"] * config.looks, weights, out / "candidates-train", config, on_gpu=on_gpu)
    held_out = _candidates(tiles["val"], weights, out / "candidates-val", None, on_gpu=on_gpu)
    if len(train) < config.batch:
        reason = f"{data}: the first stage finds {len(train)} boxes, too few to learn from."
        raise UsageError(reason, f"Cut more scenes into it: {config.batch} boxes are a single step.")
    if not len(held_out):
        typer.echo("the first stage finds nothing on the held-out tiles: nothing will be judged")
    torch.manual_seed(config.seed)
    if config.threads:
        torch.set_num_threads(config.threads)
    named = "cpu" if not on_gpu else "cuda" if device == "auto" else f"cuda:{device}"
    run = Fit(config, out, torch.device(named), SecondNetwork(weights.spec.n_classes))
    if resume and (out / STATE).exists():
        run.resume()
    state = run.run(train, held_out, typer.echo)
    network = SecondNetwork(weights.spec.n_classes)
    network.load_state_dict({key: value.cpu() for key, value in state.items()})
    weighed = weigh(network.eval(), held_out)
    told = ", ".join(f"{name} {value:g}" for name, value in weighed.items())
    typer.echo(f"weighed on held-out tiles: {told or 'too few boxes'}")
    network.load_state_dict(in_half(network.state_dict()))
    summary = {"settings": config.model_dump(), "tiles": len(set(train.tiles)), "boxes": len(train), **run.rows[-1]}
    return attach(network, target, summary | {"weighed": weighed})


def attach(network: "SecondNetwork", weights: Weights, summary: dict[str, Any] | None = None) -> Weights:
    """Write `<name>.second.onnx` beside weights and note it in their description, once OpenVINO agrees with torch.

    Args:
        network: the second stage.
        weights: what it is of; names within a group are no longer weighed, since that was fitted to the first stage.
        summary: of its training, for the description.

    Raises:
        UsageError: OpenVINO disagrees.
    """
    spec = load_weights(weights.sidecar).spec  # as it is now: hours may have gone by
    with TemporaryDirectory() as scratch:
        path = Path(scratch) / f"{spec.name}.second.onnx"
        write_onnx(network, spec.n_classes, path)
        difference = largest_difference(network, path, [_example(spec.n_classes, many) for many in (1, 7)])
        if not difference <= TOLERANCE:
            raise UsageError(f"OpenVINO differs from torch by {difference:.2g}.", "Try another torch release.")
        described = spec.model_copy(
            update={
                "naming": {},
                "sha256": {**spec.sha256, "second.onnx": sha256_of(path)},
                "training": spec.training | {"second": summary or {}},
            }
        )
        install([path], described, weights.folder)
    return load_weights(weights.sidecar)


def write_onnx(network: "SecondNetwork", classes: int, path: Path) -> None:
    """Trace the network into an ONNX graph, dynamic in the number of objects."""
    import torch  # noqa: PLC0415

    example = dict(zip(INPUTS, map(torch.from_numpy, _example(classes, 3)), strict=True))
    write_graph(network, example, OUTPUTS, {name: {0: "objects"} for name in (*INPUTS, *OUTPUTS)}, path)


def _example(classes: int, many: int) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(many)
    return (
        rng.integers(0, 256, (many, CROP_PX[1], CROP_PX[0], 3), dtype=np.uint8),
        rng.uniform(8, 80, (many, 2)).astype(np.float32),
        rng.dirichlet(np.ones(classes + 1), many)[:, :classes].astype(np.float32),
    )


def _identity(config: SecondConfig, tiles: dict[str, list[Path]], weights: Weights) -> dict[str, Any]:
    """What a run that is gone on with must have in common with the one that was begun."""
    free = {"epochs", "threads", "workers", "save_minutes"}
    return {
        "settings": config.model_dump(exclude=free),
        "tiles": {split: digest_of(paths) for split, paths in tiles.items()},
        "first_stage": _first_stage(weights),
        "version": VERSION,
    }


def _begin(out: Path, identity: dict[str, Any], *, resume: bool) -> None:
    """A run folder for these tiles, weights and settings.

    Raises:
        UsageError: it holds a run that nobody asked to resume, or one of others.
    """
    noted, state = out / BEGUN, out / STATE
    if state.exists() and not resume:
        raise UsageError(f"{out}: holds a run already.", "--resume goes on with it, another --out begins anew.")
    try:
        found = json.loads(noted.read_text()) if noted.exists() else None
    except (OSError, ValueError) as error:
        raise UsageError(f"{noted}: cannot be read ({error}).", "Give another --out.") from error
    if found == identity:
        return
    if state.exists():
        changed = [key for key in identity if not isinstance(found, dict) or found.get(key) != identity[key]]
        raise UsageError(f"{out}: holds a run of other {', '.join(changed)}.", "Give another --out.")
    out.mkdir(parents=True, exist_ok=True)
    write_json(noted, identity)


def _first_stage(weights: Weights) -> list[Any]:
    """What its boxes follow from, beside the pictures."""
    return [weights.spec.sha256["onnx"], weights.spec.score_floor, detect_config().merge_ios]


def _candidates(
    tiles: list[Path], weights: Weights, folder: Path, config: SecondConfig | None, *, on_gpu: bool
) -> Candidates:
    """What the first stage finds in looks at tiles, by blocks that are kept in a folder as they are done.

    Without settings, pixels stay as they are.
    """
    first = weights.on_tiles(max(network_edge_px(edge_of(tile)) for tile in set(tiles)))
    backend: BackendName = "torch" if on_gpu else "openvino"
    settings = detect_config().model_copy(update={"tile_px": first.spec.imgsz, "backend": backend})
    looks = Looks(config) if config else None
    network: Backend | None = None
    parts: list[Candidates] = []
    for start in range(0, len(tiles), BLOCK):
        some, kept = tiles[start : start + BLOCK], folder / f"{start:06d}.npz"
        changed = [start, config.seed, config.pixels] if config else []
        made_from = json.dumps([digest_of(some), first.spec.imgsz, *_first_stage(weights), *RULES, *changed])
        part = Candidates.load(kept, some, made_from)
        if part is None:
            network = network or open_backend(first, settings)
            part = Candidates.of(some, network, Planner(first, settings, class_table()), looks, start)
            part.save(kept, made_from)
            typer.echo(f"{folder.name}: {start + len(some)} of {len(tiles)} looks at tiles")
        parts.append(part)
    found = Candidates.joined(parts)
    typer.echo(f"{folder.name}: {len(found)} boxes of the first stage in {len(tiles)} looks at tiles")
    return found


def _copied(weights: Weights, folder: Path) -> Weights:
    """The weights in another folder; those that are there already if their first stage is the same.

    Raises:
        UsageError: others of that name are there, or a file of theirs is missing.
    """
    there = folder / weights.sidecar.name
    if there.exists():
        held = load_weights(there)
        if held.spec.sha256["onnx"] != weights.spec.sha256["onnx"]:
            raise UsageError(f"{there}: describes other weights of that name.", "Give another folder.")
        return held
    files = [weights.folder / f"{weights.spec.name}.{kind}" for kind in weights.spec.sha256]
    if missing := [str(file) for file in files if not file.is_file()]:
        raise UsageError(f"{', '.join(missing)}: missing.", "Restore the files from the release.")
    install(files, weights.spec, folder)
    return load_weights(there)


def main(  # noqa: PLR0917 - options are arguments
    data: Annotated[Path, typer.Option(help="YOLO folder made by training.dataset.")] = Path("data/yolo"),
    weights: Annotated[str | None, typer.Option(help="Name of shipped weights, or path of their .json.")] = None,
    out: Annotated[Path, typer.Option(help="Run folder.")] = Path("runs/second"),
    config: Annotated[Path | None, typer.Option(help="Settings; by default configs/second.yaml.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, or the number of a CUDA device.")] = "auto",
    into: Annotated[Path | None, typer.Option(help="Folder for a copy of the weights, in place of their own.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
) -> None:
    """Fit the second stage of weights; then: make calibrate.

    Example: python -m training.second --data data/yolo --weights railcars-n --into weights/two
    """
    try:
        fitted = fit(second_config(config), data, load_weights(weights), out, device=device, resume=resume, into=into)
    except RailcarsError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    typer.echo(f"{fitted.second()}  {fitted.spec.sha256['second.onnx']}")
    typer.echo(f"now fit thresholds, names and counts to both stages: make calibrate WEIGHTS={fitted.sidecar}")


if __name__ == "__main__":
    typer.run(main)
