"""Our weights run by SAHI, by Ultralytics tile by tile, and by us: each a function for a process of its own."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import numpy as np

from benchmarks.canvas import whole_facility
from benchmarks.fresh import forget_peak, peak_mb, rss_mb
from detector.errors import UsageError
from detector.geometry import Floats, xywhr_from_corners
from detector.weights import Weights, load_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCRATCH = Path("data/bench")
THRESHOLD = 0.25
"""From where on peers keep boxes. Their score is the likeliest class's, ours the family's, which is higher: this is
what `training.calibrate` chose for the shipped weights on the same scenes when ours was the likeliest class's too."""
OVERLAP = 0.2
"""SAHI's default share of a slice, 128 of 640 px; ours is 104 px."""


@dataclass(frozen=True)
class Boxes:
    """What was found in one scene from the tool's threshold on, in its pixels.

    Attributes:
        xywhr: (D, 5).
        score: (D,).
        class_name: (D,).
    """

    xywhr: Floats
    score: Floats
    class_name: tuple[str, ...]


@dataclass(frozen=True)
class Measured:
    """What a tool did with a list of scenes.

    Attributes:
        start_seconds: wall time before, for libraries and model.
        seconds: wall time, from files to boxes.
        cpu_seconds: processor time of all, over all threads.
        libraries_mb: resident memory with the libraries imported and the model loaded, before the first scene.
        peak_mb: highest after that.
        found: by scene.
    """

    start_seconds: float
    seconds: float
    cpu_seconds: float
    libraries_mb: float
    peak_mb: float
    found: tuple[Boxes, ...]


def ours(paths: Sequence[Path], weights: Weights) -> Measured:
    """`railcars detect`, its tables and ledger written too."""
    begun = time.perf_counter()
    import pyarrow.dataset  # noqa: PLC0415 - loaded late, when tables are written
    import pyarrow.parquet  # noqa: F401, PLC0415

    from detector.backends import open_backend, open_second  # noqa: PLC0415 - what a tool imports is part of its process alone
    from detector.config import detect_config  # noqa: PLC0415
    from detector.facilities import load_facilities  # noqa: PLC0415
    from detector.pipeline import detect  # noqa: PLC0415
    from detector.scenes import find_scenes  # noqa: PLC0415

    config = detect_config()
    backend, second = open_backend(weights, config), open_second(weights)

    def run() -> list[Boxes]:
        with TemporaryDirectory() as folder:
            facilities = load_facilities(whole_facility(paths[0], Path(folder) / "facilities.geojson"))
            scenes = find_scenes(paths).scenes
            detect(scenes, facilities, Path(folder) / "run", weights, config, backend=backend, second=second)
            found = gpd.read_parquet(Path(folder) / "run" / "detections.parquet").query("detected")
        ids = {scene.paths[0].name: scene.scene_id for scene in scenes}
        return [_from_table(found[found["scene_id"] == ids[path.name]]) for path in paths]

    return _measured(begun, run)


def sahi(paths: Sequence[Path], weights: Weights) -> Measured:
    """`get_sliced_prediction` with its defaults, on slices of the weights' tile size."""
    _need("sahi")
    begun = time.perf_counter()
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")  # it does not know the tags of GeoTIFFs, and says so
    checkpoint = ultralytics_checkpoint(weights)
    from sahi import AutoDetectionModel  # noqa: PLC0415 - a peer of this benchmark alone
    from sahi.predict import get_sliced_prediction  # noqa: PLC0415

    size = weights.spec.imgsz
    model = AutoDetectionModel.from_pretrained(
        "ultralytics", model_path=str(checkpoint), confidence_threshold=THRESHOLD, device="cpu"
    )

    def run(path: Path) -> Boxes:
        result = get_sliced_prediction(str(path), model, slice_height=size, slice_width=size, verbose=0)
        outlined = [(one, one.mask) for one in result.object_prediction_list]
        objects = [one for one, mask in outlined if mask is not None]
        corners = [np.reshape(mask.segmentation[0], (4, 2)) for _, mask in outlined if mask is not None]
        boxes = xywhr_from_corners(np.array(corners, dtype=np.float64).reshape(-1, 4, 2))
        score = np.array([one.score.value for one in objects], dtype=np.float64)
        return Boxes(boxes, score, tuple(one.category.name for one in objects))

    return _measured(begun, lambda: [run(path) for path in paths])


def ultralytics(paths: Sequence[Path], weights: Weights) -> Measured:
    """`predict` on each tile with its own suppression, and the same suppression over all boxes of the scene."""
    begun = time.perf_counter()
    checkpoint = ultralytics_checkpoint(weights)
    import torch  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415
    from ultralytics import YOLO  # noqa: PLC0415
    from ultralytics.cfg import get_cfg  # noqa: PLC0415
    from ultralytics.utils.metrics import batch_probiou  # noqa: PLC0415
    from ultralytics.utils.nms import TorchNMS  # noqa: PLC0415

    model = YOLO(checkpoint)
    model.to("cpu")
    size, names, least_iou = weights.spec.imgsz, weights.spec.classes, get_cfg().iou
    chosen = {"conf": THRESHOLD, "imgsz": size, "verbose": False}

    def tile(image: "NDArray[np.uint8]", x: int, y: int) -> "NDArray[np.float32]":
        """D x 7: the tile's boxes in the scene, score, class."""
        bgr = np.ascontiguousarray(image[y : y + size, x : x + size, ::-1])
        rows = model.predict(bgr, **chosen)[0].obb.data.numpy()
        return np.asarray(rows + np.array([x, y, 0, 0, 0, 0, 0], dtype=np.float32))

    def run(path: Path) -> Boxes:
        image = np.asarray(Image.open(path))
        xs, ys = (_starts(edge, size) for edge in (image.shape[1], image.shape[0]))
        rows = torch.from_numpy(np.concatenate([tile(image, x, y) for y in ys for x in xs]))
        apart = rows[:, :5].clone()
        apart[:, :2] += 2 * max(image.shape) * rows[:, 6:]  # classes do not compete, as inside a tile
        kept = rows[TorchNMS.fast_nms(apart, rows[:, 5], least_iou, iou_func=batch_probiou)].double().numpy()
        return Boxes(kept[:, :5], kept[:, 5], tuple(names[int(index)] for index in kept[:, 6]))

    return _measured(begun, lambda: [run(path) for path in paths])


TOOLS: Mapping[str, Callable[[Sequence[Path], Weights], Measured]] = {
    "ours": ours,
    "sahi": sahi,
    "ultralytics": ultralytics,
}


def run_tool(name: str, paths: Sequence[Path], weights: str | None) -> Measured:
    """One tool on all scenes; for `benchmarks.fresh.fresh`."""
    return TOOLS[name](paths, load_weights(weights))


def ultralytics_checkpoint(weights: Weights) -> Path:
    """Our weights as a .pt that Ultralytics loads, under its architecture; made once, named by the weights' hash."""
    from training.fitting.offline import go_offline  # noqa: PLC0415

    go_offline(SCRATCH / "ultralytics")
    path = SCRATCH / f"{weights.spec.name}-{weights.digest[:12]}-obb.pt"
    if path.exists():
        return path
    import torch  # noqa: PLC0415
    from safetensors.torch import load_file  # noqa: PLC0415
    from ultralytics.cfg import DEFAULT_CFG_DICT  # noqa: PLC0415
    from ultralytics.nn.tasks import OBBModel  # noqa: PLC0415

    from training.raw_head import through_softening  # noqa: PLC0415

    spec = weights.spec
    network = OBBModel(spec.definition or spec.architecture, ch=3, nc=spec.n_classes, verbose=False)
    network.load_state_dict({key: value.float() for key, value in load_file(weights.safetensors()).items()})
    network.model[0].conv = through_softening(network.model[0].conv)  # as the shipped graph has it
    network.names = dict(enumerate(spec.classes))
    network.args = {**DEFAULT_CFG_DICT, "task": "obb", "imgsz": spec.imgsz}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model": network.eval(), "train_args": {"task": "obb", "imgsz": spec.imgsz}}, path)
    return path


def _measured(begun: float, run: Callable[[], list[Boxes]]) -> Measured:
    libraries, wall, cpu = rss_mb(), time.perf_counter(), time.process_time()
    forget_peak()
    found = run()
    seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
    return Measured(wall - begun, seconds, cpu_seconds, libraries, peak_mb(), tuple(found))


def _from_table(table: gpd.GeoDataFrame) -> Boxes:
    corners: list[Any] = table["corners_px"].tolist()
    boxes = xywhr_from_corners(np.array(corners, dtype=np.float64).reshape(-1, 4, 2))
    return Boxes(boxes, table["score"].to_numpy(np.float64), tuple(table["class"]))


def _starts(edge: int, size: int) -> list[int]:
    """Where tiles begin along an edge: in steps of 1 - `OVERLAP`, the last one flush with the end."""
    last = max(0, edge - size)
    return sorted({min(start, last) for start in range(0, edge, round(size * (1 - OVERLAP)))})


def _need(library: str) -> None:
    if find_spec(library) is None:
        raise UsageError(f"{library} is not installed.", "Install the peers of the benchmark: pip install -e .[bench]")
