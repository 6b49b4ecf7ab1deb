"""`python -m training.export`: a checkpoint becomes ONNX, safetensors and their description, free of pickles."""

import json
import math
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from detector.config import class_table
from detector.errors import RailcarsError, UsageError
from detector.hashing import sha256_of
from detector.weights import ModelSpec, install
from training.classes import class_names
from training.fitting.offline import go_offline

if TYPE_CHECKING:
    import torch

    from training.raw_head import Learnt, RawHead

OPSET = 17
SCORE_FLOOR = 0.05
THRESHOLD = 0.25  # until calibrated on held-out facilities
TILE_PX = 640
OUTPUTS = ("distances", "classes", "angle")
_CHECKPOINT = "Give weights/best.pt of a run of `make train`."
_CHECKED_SHAPES = ((1, 640, 640), (2, 416, 448))
TOLERANCE = 2e-3  # of logits of some tens, all in float32


def export(
    checkpoint: Path,
    out: Path,
    name: str,
    *,
    gsd_m: float | None = None,
    threshold: float = THRESHOLD,
    blend: Path | None = None,
    summary: dict[str, Any] | None = None,
) -> ModelSpec:
    """Write `<name>.onnx`, `<name>.safetensors` and `<name>.json` to `out`.

    The state is rounded to float16, which halves the file; the ONNX holds the same rounded values, so that both give
    the same boxes. The files replace older ones only after OpenVINO has given torch's outputs at two sizes.

    Args:
        checkpoint: best.pt or last.pt of a run of `training.train`.
        out: weights folder.
        name: name of the weights.
        gsd_m: GSD that the network was trained at; by default what config.json of the run says, and no other.
        threshold: score from which a box counts as detected, in each family.
        blend: weights that the training began from; what is written lies halfway between them and the checkpoint.
        summary: more for the description's `training`, over what the run folder says.

    Returns:
        The description.

    Raises:
        UsageError: there is no such checkpoint, it is damaged, its classes are others, nothing says at what GSD it was
            trained, the name or the threshold is none, the weights to blend in do not fit, or OpenVINO disagrees with
            torch.
    """
    if not checkpoint.is_file():
        raise UsageError(f"{checkpoint}: no such checkpoint.", _CHECKPOINT)
    _check_words(name, threshold)
    gsd_m = _trained_gsd_m(checkpoint, gsd_m)
    with TemporaryDirectory() as scratch:
        go_offline(Path(scratch) / "ultralytics")
        from safetensors.torch import save_file  # noqa: PLC0415 - after the environment is set

        from training.raw_head import RawHead  # noqa: PLC0415

        learnt = _learnt(checkpoint, blend, Path(scratch))
        head = RawHead.from_state(learnt.definition or learnt.architecture, len(class_names()), learnt.state)
        made = {kind: Path(scratch) / f"{name}.{kind}" for kind in ("onnx", "safetensors")}
        # One entry: the library writes several in an order of its own, and equal weights would differ.
        save_file(learnt.state, made["safetensors"], metadata={"architecture": learnt.architecture})
        write_onnx(head, made["onnx"])
        difference = largest_difference(head, made["onnx"], _pictures())
        if not difference <= TOLERANCE:
            raise UsageError(f"OpenVINO differs from torch by {difference:.2g}.", "Try another torch release.")
        spec = ModelSpec(
            name=name,
            architecture=learnt.architecture,
            definition=learnt.definition,
            classes=class_names(),
            imgsz=TILE_PX,
            gsd_m=gsd_m,
            strides=head.strides,
            reg_max=head.reg_max,
            score_floor=SCORE_FLOOR,
            operating_threshold=dict.fromkeys(class_table().families, threshold),
            sha256={"onnx": sha256_of(made["onnx"]), "safetensors": sha256_of(made["safetensors"])},
            training=training_summary(checkpoint)
            | ({"halfway_to_sha256": sha256_of(blend)} if blend else {})
            | {"onnx_difference": float(f"{difference:.2g}")}
            | (summary or {}),
        )
        install(made.values(), spec, out)
        for of_older in (*out.glob(f"{name}.int8.*"), *out.glob(f"{name}.second.onnx")):
            of_older.unlink()
    return spec


def _check_words(name: str, threshold: float) -> None:
    """The name is that of a file, and the threshold a score that boxes can have."""
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UsageError(
            f"--name {name!r} is no name of a file.", "Take letters, digits, '_', '-' and '.': railcars-n."
        )
    if not SCORE_FLOOR <= threshold < 1:
        raise UsageError(
            f"--threshold must be at least {SCORE_FLOOR} and below 1. Received: {threshold}.",
            f"Begin with {THRESHOLD}; `make calibrate` finds a better one.",
        )


def _trained_gsd_m(checkpoint: Path, stated_m: float | None) -> float:
    """The GSD that a network was trained at: what its run folder says, or what is stated where that says nothing."""
    run = checkpoint.parent.parent
    noted = _noted(run / "config.json").get("gsd_m")
    gsd_m = stated_m if noted is None else noted
    if gsd_m is None:
        raise UsageError(
            f"{run}: holds no config.json that says at what gsd_m {checkpoint.name} was trained.",
            "Give the checkpoint in its run folder, or state it: --gsd-m 0.30.",
        )
    if not isinstance(gsd_m, int | float) or not 0 < gsd_m < math.inf:
        raise UsageError(f"gsd_m must be a number above 0. Received: {gsd_m!r}.", "Correct config.json or --gsd-m.")
    if stated_m is not None and not math.isclose(stated_m, gsd_m):
        raise UsageError(f"--gsd-m is {stated_m}, but {run / 'config.json'} says {gsd_m}.", "Leave --gsd-m out.")
    return float(gsd_m)


def _noted(path: Path) -> dict[str, Any]:
    """What a file of the run folder says; nothing where it is not there.

    Raises:
        UsageError: it is damaged.
    """
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read ({error}).", "Restore it, or delete it.") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path}: holds {content!r} in place of keys.", "Restore it, or delete it.")
    return content


def _learnt(checkpoint: Path, blend: Path | None, scratch: Path) -> "Learnt":
    """What a checkpoint holds, or what lies halfway between it and other weights."""
    from training.fitting.start import reading, starting_state  # noqa: PLC0415 - after the environment is set
    from training.raw_head import Learnt, halfway  # noqa: PLC0415

    with reading(checkpoint, _CHECKPOINT):
        learnt = Learnt.of(checkpoint)
    return learnt if blend is None else replace(learnt, state=halfway(learnt.state, starting_state(blend, scratch)))


def write_onnx(head: "RawHead", path: Path) -> None:
    """Trace the network into one ONNX graph, dynamic in batch, height and width."""
    import torch  # noqa: PLC0415 - slow to import, and only for this

    example = torch.randint(0, 256, (2, 128, 160, 3), dtype=torch.uint8)
    axes = {"images": {0: "batch", 1: "height", 2: "width"}, **{key: {0: "batch", 2: "anchors"} for key in OUTPUTS}}
    write_graph(head, {"images": example}, OUTPUTS, axes, path)


def write_graph(
    network: "torch.nn.Module",
    example: "Mapping[str, torch.Tensor]",
    outputs: Sequence[str],
    axes: Mapping[str, Mapping[int, str]],
    path: Path,
) -> None:
    """Trace a network into an ONNX graph, stored in half the room where that changes no number.

    Args:
        network: takes the inputs in their order, gives the outputs in theirs.
        example: its inputs by name.
        outputs: names of its outputs.
        axes: the names of dimensions that may vary, by input or output and number.
        path: of the file.
    """
    import torch  # noqa: PLC0415

    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns about shape checks, and that it is the older exporter
        torch.onnx.export(
            network,
            tuple(example.values()),
            str(path),
            input_names=list(example),
            output_names=list(outputs),
            dynamic_axes=axes,
            opset_version=OPSET,
            do_constant_folding=True,
            dynamo=False,
        )
    _store_in_half(path)


def _store_in_half(path: Path) -> None:
    """Store what float16 holds exactly in that type, cast back when the graph is read: half the file, equal numbers."""
    import onnx  # noqa: PLC0415
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415

    model, casts = onnx.load(path), []
    for item in model.graph.initializer:
        values = numpy_helper.to_array(item)
        half = values.astype(np.float16)
        if item.data_type == TensorProto.FLOAT and values.ndim and (half == values).all():
            name, stored = item.name, f"{item.name}.half"
            item.CopyFrom(numpy_helper.from_array(half, stored))
            casts.append(helper.make_node("Cast", [stored], [name], name=f"{name}.cast", to=TensorProto.FLOAT))
    rest = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *rest])  # in the order of computation
    onnx.save(model, path)


def largest_difference(
    network: "torch.nn.Module", onnx: Path, examples: Iterable[Sequence[NDArray[np.generic]]]
) -> float:
    """Largest absolute difference of any output between torch and OpenVINO in float32; no number where one is none.

    Args:
        network: as torch has it.
        onnx: the same as a graph.
        examples: inputs of one call each, in their order.
    """
    import openvino  # noqa: PLC0415
    import torch  # noqa: PLC0415

    compiled = openvino.compile_model(str(onnx), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = []
    for given in examples:
        with torch.no_grad():
            expected = network(*(torch.from_numpy(each) for each in given))
        ours = compiled(list(given))
        found += [np.abs(ours[number] - theirs.numpy()).max() for number, theirs in enumerate(expected)]
    return float(np.max(found))


def _pictures() -> Iterator[tuple[NDArray[np.uint8]]]:
    rng = np.random.default_rng(0)
    for batch, height, width in _CHECKED_SHAPES:
        yield (rng.integers(0, 256, (batch, height, width, 3), dtype=np.uint8),)


def rebuild(spec: ModelSpec, safetensors: Path) -> "RawHead":
    """The network from its description and state: uint8 pictures in, raw head maps out, in float32 on the CPU."""
    from safetensors.torch import load_file  # noqa: PLC0415

    from training.raw_head import RawHead  # noqa: PLC0415

    state: dict[str, torch.Tensor] = load_file(safetensors)
    return RawHead.from_state(spec.definition or spec.architecture, spec.n_classes, state)


def training_summary(checkpoint: Path) -> dict[str, Any]:
    """What the run folder of a checkpoint says about its making; empty where it says nothing."""
    run = checkpoint.parent.parent
    summary: dict[str, Any] = {"exported": datetime.now(UTC).date().isoformat()}
    for key, file in (("progress", "progress.json"), ("settings", "config.json"), ("data", "data.json")):
        if noted := _noted(run / file):
            summary[key] = noted
    return summary


def main(  # noqa: PLR0917 - options are arguments
    checkpoint: Annotated[Path, typer.Option(help="best.pt of a training run.")] = Path("runs/train/weights/best.pt"),
    out: Annotated[Path, typer.Option(help="Weights folder.")] = Path("weights"),
    name: Annotated[str, typer.Option(help="Name of the weights.")] = "railcars-n",
    threshold: Annotated[float, typer.Option(help="Score from which a box counts as detected.")] = THRESHOLD,
    gsd_m: Annotated[
        float | None, typer.Option(help="GSD that it was trained at, for a checkpoint outside its run folder.")
    ] = None,
    blend: Annotated[
        Path | None, typer.Option(help="Safetensors that the training began from: export what lies halfway to them.")
    ] = None,
) -> None:
    """Export a checkpoint to ONNX and safetensors with SHA-256.

    Example: python -m training.export --checkpoint runs/train/weights/best.pt --out weights --name railcars-n
    """
    try:
        spec = export(checkpoint, out, name, gsd_m=gsd_m, threshold=threshold, blend=blend)
    except RailcarsError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    typer.echo(f"{out / name}.onnx  {spec.sha256['onnx']}")
    typer.echo(f"{out / name}.safetensors  {spec.sha256['safetensors']}")
    typer.echo(f"largest difference to torch: {spec.training['onnx_difference']}")


if __name__ == "__main__":
    typer.run(main)
