"""`python -m training.second`: fit the second stage of weights to what their first stage finds on tiles."""

import json
import shutil
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from detector.backends import open_backend
from detector.config import class_table, detect_config
from detector.crops import CROP_PX
from detector.detection.planning import Planner
from detector.errors import RailcarsError, UsageError
from detector.hashing import sha256_of
from detector.store import write_json
from detector.weights import ModelSpec, Weights, install, load_weights
from training.fitting.checks import check_tiles
from training.fitting.offline import be_silent
from training.secondstage.candidates import Candidates, edge_of, tiles_of
from training.settings import SecondConfig, second_config

if TYPE_CHECKING:
    from training.secondstage.network import SecondNetwork

OPSET = 17
BEGUN = "begun.json"
_TOLERANCE = 2e-3  # of logits of some tens, all in float32


def fit(
    config: SecondConfig, data: Path, weights: Weights, out: Path, *, device: str = "auto", resume: bool = False
) -> ModelSpec:
    """Fit a second stage and put it beside the weights.

    Args:
        config: settings.
        data: folder made by `training.dataset`, best of scenes that the first stage was not trained on: where it has
            learnt the answers, it is surer than it will be elsewhere.
        weights: whose first stage is looked through.
        out: run folder: candidates-train.npz and candidates-val.npz, results.csv, second.pt.
        device: "auto", "cpu" or "cuda".
        resume: go on with the run in `out`; begins anew where there is none.

    Returns:
        The description of the weights, now with a second stage. It is another detector: a calibration of the
        weights as they were no longer fits.

    Raises:
        UsageError: `data` is no such folder, or of another GSD; or `out` holds another run.
        WeightsError: the first stage cannot be run.
    """
    check_tiles(data, weights.spec.gsd_m)
    _begin(out, data, weights, resume=resume)
    be_silent()
    import torch  # noqa: PLC0415 - after the environment is set

    from training.secondstage.fit import STATE, Fit  # noqa: PLC0415
    from training.secondstage.network import SecondNetwork, in_half  # noqa: PLC0415

    train, held_out = (_candidates(data, split, weights, out) for split in ("train", "val"))
    for split, found in (("train", train), ("val", held_out)):
        typer.echo(f"{split}: {len(found)} boxes of the first stage on {len(found.tiles)} tiles")
    if len(train) < config.batch:
        reason = f"{data}: the first stage finds {len(train)} boxes, too few to learn from."
        raise UsageError(reason, "Cut more scenes.")
    torch.manual_seed(config.seed)
    if config.threads:
        torch.set_num_threads(config.threads)
    named = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    run = Fit(config, out, torch.device(named), SecondNetwork(weights.spec.n_classes))
    if resume and (out / STATE).exists():
        run.resume()
    state = run.run(train, held_out, typer.echo)
    network = SecondNetwork(weights.spec.n_classes)
    network.load_state_dict(in_half({key: value.cpu() for key, value in state.items()}))
    return attach(network.eval(), weights)


def attach(network: "SecondNetwork", weights: Weights) -> ModelSpec:
    """Write `<name>.second.onnx` beside weights and note it in their description, once OpenVINO agrees with torch."""
    spec = weights.spec
    with TemporaryDirectory() as scratch:
        path = Path(scratch) / f"{spec.name}.second.onnx"
        write_onnx(network, spec.n_classes, path)
        difference = largest_difference(network, spec.n_classes, path)
        if not difference <= _TOLERANCE:
            raise UsageError(f"OpenVINO differs from torch by {difference:.2g}.", "Try another torch release.")
        described = spec.model_copy(update={"sha256": {**spec.sha256, "second.onnx": sha256_of(path)}})
        install([path], described, weights.folder)
    return described


def write_onnx(network: "SecondNetwork", classes: int, path: Path) -> None:
    """Trace the network into an ONNX graph, dynamic in the number of objects."""
    import torch  # noqa: PLC0415

    from detector.backends.second import INPUTS, OUTPUTS  # noqa: PLC0415
    from training.export import store_in_half  # noqa: PLC0415

    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is the older exporter
        torch.onnx.export(
            network,
            tuple(torch.from_numpy(each) for each in _example(classes, 3)),
            str(path),
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            dynamic_axes={name: {0: "objects"} for name in (*INPUTS, *OUTPUTS)},
            opset_version=OPSET,
            do_constant_folding=True,
            dynamo=False,
        )
    store_in_half(path)


def largest_difference(network: "SecondNetwork", classes: int, onnx: Path) -> float:
    """Largest absolute difference of any output between torch and OpenVINO in float32."""
    import openvino  # noqa: PLC0415
    import torch  # noqa: PLC0415

    compiled = openvino.compile_model(str(onnx), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    worst = 0.0
    for many in (1, 7):
        given = _example(classes, many)
        with torch.no_grad():
            expected = network(*(torch.from_numpy(each) for each in given))
        ours = compiled(list(given))
        worst = max(worst, *(float(np.abs(ours[i] - each.numpy()).max()) for i, each in enumerate(expected)))
    return worst


def _example(classes: int, many: int) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(many)
    return (
        rng.integers(0, 256, (many, CROP_PX[1], CROP_PX[0], 3), dtype=np.uint8),
        rng.uniform(8, 80, (many, 2)).astype(np.float32),
        rng.dirichlet(np.ones(classes + 1), many)[:, :classes].astype(np.float32),
    )


def _begin(out: Path, data: Path, weights: Weights, *, resume: bool) -> None:
    """A run folder for this data and these weights.

    Raises:
        UsageError: it holds a run that nobody asked to resume, or one of others.
    """
    identity = {"data": str(data.resolve()), "first_stage": weights.spec.sha256["onnx"]}
    noted = out / BEGUN
    if noted.exists():
        if not resume:
            raise UsageError(f"{out}: holds a run already.", "--resume goes on with it, another --out begins anew.")
        try:
            found = json.loads(noted.read_text())
        except (OSError, ValueError) as error:
            raise UsageError(f"{noted}: cannot be read ({error}).", "Give another --out.") from error
        if found != identity:
            raise UsageError(f"{out}: holds a run on {found}, not {identity}.", "Give another --out.")
    out.mkdir(parents=True, exist_ok=True)
    write_json(noted, identity)


def _candidates(data: Path, split: str, weights: Weights, out: Path) -> Candidates:
    """What the first stage finds on the tiles of a split, kept in the run folder."""
    kept = out / f"candidates-{split}.npz"
    if not kept.exists():
        tiles = tiles_of(data, split)
        spec = weights.spec.model_copy(update={"imgsz": edge_of(tiles)})
        settings = detect_config().model_copy(update={"tile_px": spec.imgsz})
        first = Weights(spec, weights.folder)
        Candidates.of(tiles, open_backend(first, settings), Planner(first, settings, class_table())).save(kept)
    return Candidates.load(kept)


def main(  # noqa: PLR0917 - options are arguments
    data: Annotated[Path, typer.Option(help="YOLO folder made by training.dataset.")] = Path("data/yolo"),
    weights: Annotated[str | None, typer.Option(help="Name of shipped weights, or path of their .json.")] = None,
    out: Annotated[Path, typer.Option(help="Run folder.")] = Path("runs/second"),
    config: Annotated[Path | None, typer.Option(help="Settings; by default configs/second.yaml.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    into: Annotated[Path | None, typer.Option(help="Folder for a copy of the weights, in place of their own.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
) -> None:
    """Fit the second stage of weights; then: make calibrate.

    Example: python -m training.second --data data/yolo --weights railcars-n --into weights/two
    """
    try:
        given = load_weights(weights)
        if into is not None:
            given = _copied(given, into)
        spec = fit(second_config(config), data, given, out, device=device, resume=resume)
    except RailcarsError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    typer.echo(f"{given.folder / spec.name}.second.onnx  {spec.sha256['second.onnx']}")


def _copied(weights: Weights, folder: Path) -> Weights:
    """The weights with all their files in another folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in weights.spec.sha256:
        shutil.copy(weights.folder / f"{weights.spec.name}.{kind}", folder)
    install([], weights.spec, folder)
    return load_weights(folder / weights.sidecar.name)


if __name__ == "__main__":
    typer.run(main)
