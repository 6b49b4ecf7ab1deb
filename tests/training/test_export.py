"""Export: the files agree with the network, and the network contract's decoding is the one it was trained with."""

import hashlib
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
import typer
import yaml
from numpy.typing import NDArray
from typer.testing import CliRunner

torch = pytest.importorskip("torch", reason="needs the extra `train`")

from training.fitting.offline import go_offline  # noqa: E402 - must come before anything that imports Ultralytics

go_offline(Path(__file__).parents[2] / "build" / "ultralytics")

from safetensors.torch import load_file, save_file  # noqa: E402
from ultralytics.nn.tasks import yaml_model_load  # noqa: E402

from detector.backends.decode import HeadMaps, decode  # noqa: E402
from detector.errors import UsageError  # noqa: E402
from detector.geometry import canonical, corners_from_xywhr  # noqa: E402
from detector.hashing import sha256_of  # noqa: E402
from detector.weights import ModelSpec, load_weights  # noqa: E402
from tests.training.networks import as_trained  # noqa: E402
from training.classes import class_names  # noqa: E402
from training.export import OUTPUTS, export, main, rebuild  # noqa: E402
from training.fitting.network import OrientedBoxNetwork  # noqa: E402
from training.raw_head import through_softening  # noqa: E402

pytestmark = pytest.mark.integration

ARCHITECTURE = "yolo11n-obb.yaml"
Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def network() -> OrientedBoxNetwork:
    """A network as a checkpoint rounds it, with statistics and biases that are not initial, and likely boxes."""
    torch.manual_seed(0)
    made = as_trained(OrientedBoxNetwork(ARCHITECTURE, len(class_names())))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        head = made.model[-1]
        for boxes, classes, angle in zip(head.cv2, head.cv3, head.cv4, strict=True):
            boxes[-1].bias.normal_(0, 2, generator=generator)
            classes[-1].bias.normal_(-2, 1, generator=generator)
            angle[-1].bias.normal_(0, 2, generator=generator)
    made.names = dict(enumerate(class_names()))
    made.half().float().eval()
    return made


@pytest.fixture(scope="module")
def checkpoint(network: OrientedBoxNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "weights" / "best.pt"
    path.parent.mkdir()
    torch.save({"ema": network.half(), "train_args": {"model": ARCHITECTURE}, "epoch": -1}, path)
    network.float()
    (path.parents[1] / "progress.json").write_text('{"seconds": 10, "epoch": 1}')
    (path.parents[1] / "config.json").write_text('{"gsd_m": 0.5}')
    return path


@pytest.fixture(scope="module")
def weights(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelSpec, Path]:
    folder = tmp_path_factory.mktemp("weights")
    return export(checkpoint, folder, "tiny", summary={"data": "none"}), folder


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    return np.random.default_rng(2).integers(0, 256, (2, 96, 160, 3), dtype=np.uint8)


def raw_maps(folder: Path, images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    compiled = openvino.compile_model(str(folder / "tiny.onnx"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled({"images": images})
    return [found[name] for name in OUTPUTS]


def decoded_here(distances: Floats, angle_logit: Floats, height: int, width: int) -> Floats:
    """The contract's decoding in the plainest numpy: A x 5 (x, y, w, h, angle), in pixels."""
    boxes = []
    index = 0
    for stride in (8, 16, 32):
        for row in range(height // stride):
            for column in range(width // stride):
                bins = distances[:, index].reshape(4, 16)
                weight = np.exp(bins - bins.max(axis=1, keepdims=True))
                left, top, right, bottom = (weight / weight.sum(axis=1, keepdims=True)) @ np.arange(16.0)
                angle = (1 / (1 + np.exp(-angle_logit[0, index])) - 0.25) * np.pi
                forward, side = (right - left) / 2, (bottom - top) / 2
                x = column + 0.5 + forward * np.cos(angle) - side * np.sin(angle)
                y = row + 0.5 + forward * np.sin(angle) + side * np.cos(angle)
                boxes.append((x * stride, y * stride, (left + right) * stride, (top + bottom) * stride, angle))
                index += 1
    return np.array(boxes)


def test_the_raw_maps_decode_to_what_ultralytics_decodes(
    network: OrientedBoxNetwork, weights: tuple[ModelSpec, Path], images: NDArray[np.uint8]
) -> None:
    distances, classes, angle = raw_maps(weights[1], images)
    softer = deepcopy(network)
    softer.model[0].conv = through_softening(softer.model[0].conv)
    with torch.no_grad():
        theirs = softer(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255)[0].double().numpy()
    for index in range(len(images)):
        ours = decoded_here(distances[index].astype(float), angle[index].astype(float), *images.shape[1:3])
        assert ours == pytest.approx(theirs[index][[0, 1, 2, 3, -1]].T, abs=2e-2)
        scores = 1 / (1 + np.exp(-classes[index].astype(float)))
        assert scores == pytest.approx(theirs[index][4:-1], abs=1e-4)


def unchanged() -> torch.nn.Conv2d:
    """A convolution that gives pictures back as they are."""
    made = torch.nn.Conv2d(3, 3, 1, bias=False)
    made.weight.data = torch.eye(3)[:, :, None, None]
    return made


def test_softening_keeps_even_ground_and_slopes_and_hides_what_changes_from_pixel_to_pixel() -> None:
    slope = torch.arange(8.0)[:, None] + torch.arange(10.0)  # its parity is a chessboard
    pictures = torch.stack([torch.full((8, 10), 0.3), slope % 2, slope]).expand(2, 3, 8, 10)
    inner = (slice(2, -2), slice(2, -2))
    with torch.no_grad():
        even, chess, ramp = (plane[inner] for plane in through_softening(unchanged())(pictures)[1])
    torch.testing.assert_close(even, torch.full((4, 6), 0.3))
    torch.testing.assert_close(chess, torch.full((4, 6), 0.5))
    torch.testing.assert_close(ramp, slope[inner])


def test_the_first_convolution_of_softened_pictures_is_one_convolution() -> None:
    torch.manual_seed(0)
    first, pictures = torch.nn.Conv2d(3, 16, 3, stride=2, padding=1), torch.rand(2, 3, 16, 24)
    with torch.no_grad():
        in_turn, at_once = first(through_softening(unchanged())(pictures)), through_softening(first)(pictures)
    assert at_once.shape == in_turn.shape
    torch.testing.assert_close(at_once[..., 1:-1, 1:-1], in_turn[..., 1:-1, 1:-1])


def test_the_detector_decodes_the_same(weights: tuple[ModelSpec, Path], images: NDArray[np.uint8]) -> None:
    spec, folder = weights
    distances, classes, angle = (maps[0] for maps in raw_maps(folder, images))
    found = decode(HeadMaps(distances, classes, angle), images.shape[1:3], spec)
    keep = 1 / (1 + np.exp(-classes.max(axis=0).astype(float))) >= spec.score_floor
    expected = canonical(decoded_here(distances.astype(float), angle.astype(float), *images.shape[1:3])[keep])
    assert len(found) == keep.sum() > 50
    assert corners_from_xywhr(found.xywhr) == pytest.approx(corners_from_xywhr(expected), abs=1e-6)


def test_shapes_are_dynamic_and_as_contracted(weights: tuple[ModelSpec, Path]) -> None:
    for batch, height, width in ((1, 64, 64), (3, 128, 96)):
        anchors = sum((height // stride) * (width // stride) for stride in (8, 16, 32))
        maps = raw_maps(weights[1], np.zeros((batch, height, width, 3), dtype=np.uint8))
        assert [each.shape for each in maps] == [(batch, 64, anchors), (batch, 5, anchors), (batch, 1, anchors)]


def test_the_description_matches_the_files(weights: tuple[ModelSpec, Path]) -> None:
    spec, folder = weights
    loaded = load_weights(folder / "tiny.json")
    assert loaded.spec == spec
    for kind in ("onnx", "safetensors"):
        assert spec.sha256[kind] == hashlib.sha256((folder / f"tiny.{kind}").read_bytes()).hexdigest()
    assert (spec.strides, spec.reg_max, spec.classes) == ((8, 16, 32), 16, class_names())
    assert spec.training["onnx_difference"] < 1e-3
    assert spec.training["progress"] == {"seconds": 10, "epoch": 1}
    assert spec.gsd_m == 0.5, "the run's own"
    assert spec.training["data"] == "none"
    assert not list(folder.glob("*.part"))


def test_both_files_store_half_precision(weights: tuple[ModelSpec, Path], network: OrientedBoxNetwork) -> None:
    values = sum(value.numel() for value in network.parameters())
    for kind in ("onnx", "safetensors"):
        assert (weights[1] / f"tiny.{kind}").stat().st_size < 2.2 * values


def test_equal_checkpoints_give_equal_files(weights: tuple[ModelSpec, Path], checkpoint: Path, tmp_path: Path) -> None:
    older = [tmp_path / f"tiny.{kind}" for kind in ("int8.xml", "int8.bin", "second.onnx")]
    for file in older:
        file.touch()
    assert export(checkpoint, tmp_path, "tiny").sha256 == weights[0].sha256
    assert not any(file.exists() for file in older), "8 bit of other weights"


def test_the_safetensors_rebuild_the_network(weights: tuple[ModelSpec, Path], images: NDArray[np.uint8]) -> None:
    spec, folder = weights
    assert (spec.architecture, spec.definition) == (ARCHITECTURE, None)
    head = rebuild(spec, load_weights(folder / "tiny.json").safetensors())
    with torch.no_grad():
        again = head(torch.from_numpy(images))
    for ours, theirs in zip(raw_maps(folder, images), again, strict=True):
        assert ours == pytest.approx(theirs.numpy(), abs=1e-3)


def test_a_definition_of_ones_own_travels_with_the_weights(tmp_path: Path, images: NDArray[np.uint8]) -> None:
    file = tmp_path / "narrow-obb.yaml"
    layers = yaml_model_load(ARCHITECTURE) | {"scales": {"n": [0.5, 0.125, 1024]}}
    file.write_text(yaml.safe_dump(layers))
    made = OrientedBoxNetwork(str(file), len(class_names()))
    made.names = dict(enumerate(class_names()))
    torch.save({"ema": made.half(), "train_args": {"model": str(file)}, "epoch": -1}, tmp_path / "best.pt")
    export(tmp_path / "best.pt", tmp_path, "tiny", gsd_m=0.30)
    file.unlink()
    weights = load_weights(tmp_path / "tiny.json")
    assert weights.spec.gsd_m == 0.30
    assert (weights.spec.architecture, "yaml_file" in weights.spec.definition) == ("narrow-obb.yaml", False)
    with torch.no_grad():
        again = rebuild(weights.spec, weights.safetensors())(torch.from_numpy(images))
    for ours, theirs in zip(raw_maps(tmp_path, images), again, strict=True):
        assert ours == pytest.approx(theirs.numpy(), abs=1e-3)


def test_a_blend_lies_halfway_and_says_with_what(checkpoint: Path, network: OrientedBoxNetwork, tmp_path: Path) -> None:
    name, state = "model.0.conv.weight", network.state_dict()
    other = state | {name: state[name] + 0.02}
    save_file(other, tmp_path / "start.safetensors")
    spec = export(checkpoint, tmp_path, "between", blend=tmp_path / "start.safetensors")
    assert spec.training["halfway_to_sha256"] == sha256_of(tmp_path / "start.safetensors")
    made = load_file(tmp_path / "between.safetensors")
    assert made[name].numpy() == pytest.approx(state[name].numpy() + 0.01, abs=1e-3)


def test_weights_of_another_architecture_do_not_blend(checkpoint: Path, tmp_path: Path) -> None:
    save_file({"model.0.conv.weight": torch.zeros(16, 3, 3, 3)}, tmp_path / "other.safetensors")
    with pytest.raises(UsageError, match="another architecture"):
        export(checkpoint, tmp_path, "between", blend=tmp_path / "other.safetensors")


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such checkpoint"):
        export(tmp_path / "best.pt", tmp_path, "tiny")


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A run folder whose checkpoint is none."""
    path = tmp_path / "run" / "weights" / "best.pt"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"garbage\n")
    (tmp_path / "run" / "config.json").write_text('{"gsd_m": 0.3}')
    return path


@pytest.mark.parametrize("content", [b"garbage\n", b"", b"version https://git-lfs", b"PK\x03\x04"])
def test_a_damaged_checkpoint_is_named(damaged: Path, tmp_path: Path, content: bytes) -> None:
    damaged.write_bytes(content)
    with pytest.raises(UsageError, match=r"best\.pt: holds no weights that can be read.*Give weights/best"):
        export(damaged, tmp_path / "weights", "tiny")
    assert not (tmp_path / "weights").exists()


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"name": "a/b"}, "'a/b' is no name of a file"),
        ({"name": ""}, "'' is no name of a file"),
        ({"name": ".."}, "'..' is no name of a file"),
        ({"threshold": 5.0}, "Received: 5.0"),
        ({"threshold": 0.01}, "at least 0.05"),
        ({"threshold": float("nan")}, "Received: nan"),
        ({"gsd_m": 0.5}, r"--gsd-m is 0.5, but .*config.json says 0.3"),
    ],
)
def test_what_cannot_be_written_is_refused_before_any_work(
    damaged: Path, tmp_path: Path, given: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        export(damaged, tmp_path / "weights", **{"name": "tiny", **given})


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (None, r"holds no config.json that says at what gsd_m best.pt was trained.*--gsd-m"),
        ("{", "config.json: cannot be read"),
        ("[]", "in place of keys"),
        ("{}", "--gsd-m"),
        ('{"gsd_m": -1}', "Received: -1"),
    ],
)
def test_a_gsd_that_nothing_says_is_asked_for(damaged: Path, tmp_path: Path, config: str | None, reason: str) -> None:
    noted = damaged.parents[1] / "config.json"
    noted.unlink() if config is None else noted.write_text(config)
    with pytest.raises(UsageError, match=reason):
        export(damaged, tmp_path / "weights", "tiny")


def test_the_command_exits_with_2(damaged: Path, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(main)
    result = CliRunner().invoke(app, ["--checkpoint", str(damaged), "--out", str(tmp_path), "--threshold", "5"])
    assert result.exit_code == 2
    assert "error: --threshold" in result.output
