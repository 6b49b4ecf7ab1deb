"""`python -m training.quantise`: weights in 8 bit for processors that compute it faster, if they find as much.

Post-training quantisation by NNCF: tiles of calibration scenes tell the range of every activation. The last
convolution of each branch of the head stays as it is, since a step of an angle's logit there would turn a box. The
result, NAME.int8.xml and .bin, lies beside the weights, whose description then names it; docs/speed.md says where
it is used.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from detector.config import Precision, detect_config
from detector.errors import RailcarsError, UsageError
from detector.hashing import sha256_of
from detector.raster import SceneReader
from detector.run import Inputs, detect_step
from detector.scenes import find_scenes
from detector.weights import FileKind, Weights, install, load_weights
from training.evaluation.measure import evaluate

if TYPE_CHECKING:
    from openvino import Model

TILES = 180
IN_8_BIT: tuple[FileKind, ...] = ("int8.xml", "int8.bin")
POINTS = 0.005
"""By how much F1 and the relative count error of railcars may be worse: half a percentage point."""


@dataclass(frozen=True)
class Accuracy:
    """How good weights are on scenes with truth: railcars at their threshold.

    Attributes:
        f1: at oriented IoU 0.5.
        count_error: mean |found - there| per scene over the mean number there.
    """

    f1: float
    count_error: float

    @classmethod
    def of(cls, weights: Weights, truth: Path, precision: Precision) -> "Accuracy":
        """Detect in a folder of scenes with their truth and `facilities.geojson`.

        Raises:
            UsageError: a scene cannot be read, or has no truth.
        """
        with TemporaryDirectory() as scratch:
            config = detect_config().model_copy(update={"tile_px": weights.spec.imgsz, "precision": precision})
            detect_step(Inputs((truth,), truth / "facilities.geojson"), Path(scratch), weights, config)
            group = evaluate(Path(scratch), truth)["groups"]["railcar"]
        return cls(group["f1_50"], group["counts"]["detected"]["scenes"]["relative_mae"])

    def is_as_good_as(self, other: "Accuracy") -> bool:
        """Whether neither value is worse by more than half a point."""
        return self.f1 >= other.f1 - POINTS and self.count_error <= other.count_error + POINTS


def quantise(weights: Weights, scenes: Path, out: Path, n_tiles: int = TILES, seed: int = 0) -> Weights:
    """Write the weights to `out` with a network in 8 bit.

    Args:
        weights: what to quantise.
        scenes: a folder of scenes that look like those to come; not those that it is judged on.
        out: a folder; it gets the description, the ONNX network and the one in 8 bit.
        n_tiles: tiles to look at, spread over the scenes.
        seed: of their places.

    Returns:
        What was written, without safetensors.

    Raises:
        UsageError: NNCF is not installed, or there are no scenes.
    """
    import openvino  # noqa: PLC0415

    try:
        import nncf  # noqa: PLC0415 - for this command alone
    except ImportError as error:
        raise UsageError("NNCF is not installed.", "Install it: pip install 'railcars[bench]'.") from error
    tiles = list(sample_tiles(scenes, weights.spec.imgsz, weights.spec.gsd_m, n_tiles, seed))
    network = openvino.Core().read_model(weights.onnx)
    coded = nncf.quantize(
        network,
        nncf.Dataset(tiles, lambda tile: {"images": tile[None]}),
        preset=nncf.QuantizationPreset.MIXED,  # what SiLU gives is not symmetric
        subset_size=len(tiles),
        ignored_scope=nncf.IgnoredScope(names=last_convolutions(network)),
    )
    out.mkdir(parents=True, exist_ok=True)
    openvino.save_model(coded, str(out / f"{weights.spec.name}.int8.xml"), compress_to_fp16=False)
    stages: tuple[FileKind, ...] = ("onnx", "second.onnx") if weights.has_second else ("onnx",)
    for stage in stages:
        shutil.copy(weights.folder / f"{weights.spec.name}.{stage}", out)
    files = {kind: out / f"{weights.spec.name}.{kind}" for kind in (*stages, *IN_8_BIT)}
    described = weights.spec.model_copy(update={"sha256": {kind: sha256_of(file) for kind, file in files.items()}})
    install((), described, out)
    return load_weights(out / weights.sidecar.name)


def sample_tiles(folder: Path, edge_px: int, gsd_m: float, number: int, seed: int) -> Iterator[NDArray[np.uint8]]:
    """Tiles of the model's pixel size at random places of scenes, as many of each scene as of any other.

    Raises:
        UsageError: there is no scene.
    """
    scenes = find_scenes([folder]).scenes
    if not scenes:
        raise UsageError(f"{folder}: holds no scene.", "Run `make calibrate`, or give a folder of scenes.")
    rng = np.random.default_rng(seed)
    for index in np.linspace(0, len(scenes), number, endpoint=False).astype(int):
        with SceneReader(scenes[index], gsd_m) as reader:
            height, width = reader.shape_model
            x, y = (int(rng.integers(0, max(1, length - edge_px + 1))) for length in (width, height))
            yield np.ascontiguousarray(reader.read(x, y, edge_px, edge_px)[0])


def last_convolutions(network: "Model") -> list[str]:
    """Names of the convolutions that the network's outputs come from, with no other convolution between."""
    found, waiting = set(), [result.get_node() for result in network.outputs]
    while waiting:
        node = waiting.pop()
        if node.get_type_name() == "Convolution":
            found.add(node.get_friendly_name())
        else:
            waiting += [source.get_node() for source in node.input_values()]
    return sorted(found)


def main(
    weights: Annotated[str | None, typer.Option(help="Name of shipped weights, or path of their .json.")] = None,
    scenes: Annotated[Path, typer.Option(help="Scenes to learn the ranges from.")] = Path("data/heldout/calibration"),
    truth: Annotated[Path, typer.Option(help="Other scenes, with their truth, to judge by.")] = Path(
        "data/heldout/test"
    ),
    tiles: Annotated[int, typer.Option(help="Tiles to look at.")] = TILES,
) -> None:
    """Quantise weights to 8 bit; exit code 1, and nothing written, where they find less than before.

    Example: python -m training.quantise --weights railcars-n
    """
    try:
        given = load_weights(weights)
        before = Accuracy.of(given, truth, "fp32")
        with TemporaryDirectory() as scratch:
            coded = quantise(given, scenes, Path(scratch), tiles)
            after = Accuracy.of(coded, truth, "int8")
            typer.echo(f"F1 {before.f1:.4f}, in 8 bit {after.f1:.4f}")
            typer.echo(f"count error {before.count_error:.4f}, in 8 bit {after.count_error:.4f}")
            if not after.is_as_good_as(before):
                typer.echo("not as good: nothing written", err=True)
                raise typer.Exit(1)
            described = given.spec.model_copy(update={"sha256": {**given.spec.sha256, **coded.spec.sha256}})
            names = [f"{given.spec.name}.{kind}" for kind in IN_8_BIT]
            install([coded.folder / name for name in names], described, given.folder)
            for name in names:
                typer.echo(str(given.folder / name))
    except RailcarsError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error


if __name__ == "__main__":
    typer.run(main)
