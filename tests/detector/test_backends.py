"""Backends: every tile once, the same boxes on each of them, and no torch on the CPU's way."""

import subprocess
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import openvino
import pytest
from numpy.typing import NDArray

from detector import backends
from detector.backends import Backend, RawBoxes, gpu, open_backend
from detector.backends.openvino import OpenVinoBackend
from detector.config import class_table, detect_config
from detector.errors import UsageError, WeightsError
from detector.hashing import sha256_of
from detector.weights import ModelSpec, Weights, load_weights

onnx = pytest.importorskip("onnx", reason="builds its network with the extra `train`")
ROOT = Path(__file__).parents[2]
EDGE_PX = 96
REG_MAX = 4


def tiny_network(edge_px: int | str = EDGE_PX) -> bytes:
    """An ONNX graph with the contract's input and outputs, of the operators that exported detectors have."""
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415

    rng = np.random.default_rng(7)
    nodes, constants = [], []
    channels = 4 * REG_MAX + 5 + 1

    def constant(name: str, value: NDArray[np.generic]) -> str:
        constants.append(numpy_helper.from_array(value, name))
        return name

    def add(kind: str, inputs: list[str], outputs: list[str], **attributes: object) -> None:
        nodes.append(helper.make_node(kind, inputs, outputs, **attributes))

    add("Cast", ["images"], ["float"], to=TensorProto.FLOAT)
    add("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2])
    add("Div", ["planes", constant("white", np.float32(255)[None])], ["unit"])
    add("MaxPool", ["unit"], ["blurred"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[1, 1])
    add("Shape", ["images"], ["shape"])
    add("Gather", ["shape", constant("first", np.array(0))], ["count"])
    add("Unsqueeze", ["count", constant("axis", np.array([0]))], ["count1"])
    add("Concat", ["count1", constant("rest", np.array([channels, -1]))], ["flat"], axis=0)
    for stride in (8, 16, 32):
        weight = rng.normal(0, 6 / stride, (channels, 3, stride, stride)).astype(np.float32)
        bias = rng.normal(0, 1, channels).astype(np.float32)
        bias[4 * REG_MAX : -1] -= 3
        names = ["blurred", constant(f"w{stride}", weight), constant(f"b{stride}", bias)]
        add("Conv", names, [f"head{stride}"], strides=[stride, stride], kernel_shape=[stride, stride])
        add("Reshape", [f"head{stride}", "flat"], [f"flat{stride}"])
    add("Concat", ["flat8", "flat16", "flat32"], ["all"], axis=2)
    parts = constant("parts", np.array([4 * REG_MAX, 5, 1]))
    add("Split", ["all", parts], ["distances", "classes", "angle"], axis=1)
    image = helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", edge_px, edge_px, 3])
    maps = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size, "a"])
        for name, size in (("distances", 4 * REG_MAX), ("classes", 5), ("angle", 1))
    ]
    graph = helper.make_graph(nodes, "tiny", [image], maps, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    return saved(tmp_path_factory.mktemp("weights"), tiny_network())


def saved(folder: Path, network: bytes) -> Weights:
    file = folder / "tiny.onnx"
    file.write_bytes(network)
    spec = ModelSpec(
        name="tiny",
        architecture="none",
        classes=class_table().names,
        imgsz=EDGE_PX,
        gsd_m=0.3,
        reg_max=REG_MAX,
        score_floor=0.05,
        operating_threshold={"rail_vehicle": 0.25, "off_rail": 0.25},
        sha256={"onnx": sha256_of(file)},
    )
    (folder / "tiny.json").write_text(spec.model_dump_json())
    return load_weights(folder / "tiny.json")


def tiles(n: int) -> list[tuple[int, NDArray[np.uint8]]]:
    rng = np.random.default_rng(3)
    return [(i, rng.integers(0, 256, (EDGE_PX, EDGE_PX, 3), dtype=np.uint8)) for i in range(n)]


def same(a: RawBoxes, b: RawBoxes) -> bool:
    return np.array_equal(a.xywhr, b.xywhr) and np.array_equal(a.scores, b.scores)


@pytest.mark.parametrize("batch", [1, 3])
def test_every_tile_comes_back_once_whatever_its_company(weights: Weights, batch: int) -> None:
    backend = OpenVinoBackend(weights, batch=batch)
    given = tiles(10)
    answers = list(backend.stream(given))
    assert sorted(key for key, _ in answers) == list(range(10))
    found = dict(answers)
    assert min(len(boxes) for boxes in found.values()) > 10
    again = dict(backend.stream(reversed(given[2:9])))
    assert all(same(again[key], found[key]) for key in again)


def test_an_empty_stream_is_fine(weights: Weights) -> None:
    assert list(OpenVinoBackend(weights).stream([])) == []


def test_few_tiles_are_held_at_a_time(weights: Weights) -> None:
    backend = OpenVinoBackend(weights)
    taken, most = 0, 0

    def source() -> Iterator[tuple[int, NDArray[np.uint8]]]:
        nonlocal taken
        for pair in tiles(1) * 40:
            taken += 1
            yield pair

    for back, _ in enumerate(backend.stream(source())):
        most = max(most, taken - back)
    assert most <= 2 * backend.requests + 1


def test_a_caller_may_stop_early(weights: Weights) -> None:
    stream = OpenVinoBackend(weights).stream(tiles(20))
    next(stream)
    stream.close()  # type: ignore[attr-defined]


def test_a_tile_of_another_size_is_an_error(weights: Weights) -> None:
    with pytest.raises(ValueError, match="Tiles must be"):
        list(OpenVinoBackend(weights).stream([(0, np.zeros((32, 32, 3), np.uint8))]))


def test_bf16_only_where_asked_and_native(weights: Weights) -> None:
    assert OpenVinoBackend(weights, precision="fp32").precision == "f32"
    assert OpenVinoBackend(weights).precision in {"bf16", "f32"}


def test_8_bit_where_bf16_is_not_native(weights: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino.Core, "get_property", lambda *_: ["FP32"])
    assert OpenVinoBackend(load_weights()).name == "openvino cpu int8"
    assert OpenVinoBackend(load_weights(), precision="fp32").name == "openvino cpu f32"
    assert OpenVinoBackend(weights).name == "openvino cpu f32", "weights that do not come with 8 bit"


def test_a_network_for_other_tiles_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=f"{EDGE_PX} px tiles"):
        OpenVinoBackend(saved(tmp_path, tiny_network(64)))


def test_a_file_that_is_no_network_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot run it"):
        OpenVinoBackend(saved(tmp_path, b"nonsense"))


def torch_backend(weights: Weights, batch: int = 1) -> Backend:
    pytest.importorskip("torch", reason="needs the extra `train`")
    from detector.backends.torch import TorchBackend  # noqa: PLC0415

    return TorchBackend(weights, batch=batch, device="cpu")


def agree(a: RawBoxes, b: RawBoxes, *, px: float, score: float) -> bool:
    return (
        len(a) == len(b)
        and bool(np.abs(a.scores - b.scores).max(initial=0) <= score)
        and bool(np.abs(a.xywhr[:, :4] - b.xywhr[:, :4]).max(initial=0) <= px)
        and bool(np.abs(np.sin(a.xywhr[:, 4] - b.xywhr[:, 4])).max(initial=0) <= 1e-3)
    )


@pytest.mark.parametrize("batch", [1, 4])
def test_torch_gives_the_same_boxes(weights: Weights, batch: int) -> None:
    theirs = dict(torch_backend(weights, batch).stream(tiles(6)))
    ours = dict(OpenVinoBackend(weights, precision="fp32").stream(tiles(6)))
    assert theirs.keys() == ours.keys()
    assert all(agree(ours[key], theirs[key], px=1e-3, score=1e-5) for key in ours)


def test_torch_gives_the_same_boxes_on_cuda(weights: Weights) -> None:
    torch = pytest.importorskip("torch", reason="needs the extra `train`")
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device here")
    from detector.backends.torch import TorchBackend  # noqa: PLC0415

    ours = dict(OpenVinoBackend(weights, precision="fp32").stream(tiles(20)))
    exact = dict(TorchBackend(weights, batch=3, precision="fp32", device="cuda").stream(tiles(20)))
    assert all(agree(ours[key], exact[key], px=1e-2, score=1e-4) for key in ours)
    half = dict(TorchBackend(weights, batch=3, device="cuda").stream(tiles(20)))
    assert half.keys() == ours.keys()
    near = [len(half[key]) / len(ours[key]) for key in ours]
    assert np.abs(np.array(near) - 1).max() < 0.1  # boxes at the score floor come and go in half precision


def test_torch_can_be_stopped_early_and_used_again(weights: Weights) -> None:
    backend = torch_backend(weights, batch=2)
    whole = dict(backend.stream(tiles(5)))
    stream = backend.stream(tiles(5))
    next(iter(stream))
    stream.close()  # type: ignore[attr-defined]
    again = dict(backend.stream(tiles(5)))
    assert all(same(whole[key], again[key]) for key in whole)


def test_tiles_may_lie_in_memory_as_they_like(weights: Weights) -> None:
    given = tiles(3)
    planar = [(key, np.moveaxis(np.ascontiguousarray(np.moveaxis(image, 2, 0)), 0, 2)) for key, image in given]
    for backend in (OpenVinoBackend(weights), torch_backend(weights)):
        ours, theirs = dict(backend.stream(given)), dict(backend.stream(planar))
        assert all(same(ours[key], theirs[key]) for key in ours)


def test_torch_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    torch_backend(saved(tmp_path, tiny_network()))
    with pytest.raises(WeightsError, match="takes input of shape"):
        torch_backend(saved(tmp_path, tiny_network(64)))
    with pytest.raises(WeightsError, match="not readable"):
        torch_backend(saved(tmp_path, b"nonsense"))


@pytest.mark.integration
def test_shipped_weights_see_the_same_on_both() -> None:
    shipped = load_weights()
    size, rng = shipped.spec.imgsz, np.random.default_rng(0)
    coarse = rng.integers(60, 200, (1, size // 40, size // 10, 3), dtype=np.uint8)
    image = np.ascontiguousarray(coarse.repeat(40, axis=1).repeat(10, axis=2)[0])
    ours = next(OpenVinoBackend(shipped, precision="fp32").stream([(0, image)]))[1]
    theirs = next(iter(torch_backend(shipped).stream([(0, image)])))[1]
    assert agree(ours, theirs, px=0.05, score=1e-3)


SCRIPT = """
import sys
from pathlib import Path
import numpy as np
import detector, detector.pipeline
from detector.backends import gpu, open_backend
from detector.config import detect_config
from detector.weights import load_weights
gpu.DEVICES = Path(sys.argv[2])
weights = load_weights(Path(sys.argv[1]))
backend = open_backend(weights, detect_config())
size = weights.spec.imgsz
assert len(list(backend.stream([(0, np.zeros((size, size, 3), np.uint8))]))) == 1
loaded = {name.partition(".")[0] for name in sys.modules}
assert not loaded & {"torch", "ultralytics", "onnx"}, loaded & {"torch", "ultralytics", "onnx"}
"""


def test_a_run_on_the_cpu_imports_no_torch(weights: Weights, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(weights.folder / "tiny.json"), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_open_backend_opens_what_is_named(weights: Weights) -> None:
    backend = open_backend(weights, detect_config(), "openvino")
    assert isinstance(backend, OpenVinoBackend)
    assert backend.spec == weights.spec
    assert backend.name in {"openvino cpu bf16", "openvino cpu f32"}


@pytest.mark.parametrize(
    ("asked", "precision", "gpu_there", "opened"),
    [
        ("auto", "auto", True, "torch"),
        ("auto", "auto", False, "openvino"),
        ("auto", "int8", True, "openvino"),
        ("openvino", "auto", True, "openvino"),
        ("torch", "auto", False, "torch"),
    ],
)
def test_the_settings_name_the_backend(
    monkeypatch: pytest.MonkeyPatch, asked: str, precision: str, gpu_there: bool, opened: str
) -> None:
    pytest.importorskip("torch", reason="needs the extra `train`")
    monkeypatch.setattr(backends, "gpu_computes", lambda: gpu_there)
    config = detect_config().model_copy(update={"backend": asked, "precision": precision})
    assert open_backend(load_weights(), config).name.startswith(opened)


def test_a_gpu_that_fails_leaves_the_run_to_the_processor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(*_: object) -> Backend:
        raise RuntimeError("CUDA error: out of memory\nand much advice")

    monkeypatch.setattr(backends, "gpu_computes", lambda: True)
    monkeypatch.setattr(backends, "_torch", failing)
    assert open_backend(load_weights(), detect_config()).name.startswith("openvino")
    assert "the GPU does not compute the network (CUDA error: out of memory)" in " ".join(
        capsys.readouterr().err.split()
    )


def test_torch_refuses_8_bit(weights: Weights) -> None:
    config = detect_config().model_copy(update={"backend": "torch", "precision": "int8"})
    with pytest.raises(UsageError, match=r"no 8 bit networks.*backend: openvino"):
        open_backend(weights, config)


class FakeTorch(ModuleType):
    """A torch whose GPU works, or not."""

    def __init__(self, *, sees: bool = True, computes: bool = True) -> None:
        super().__init__("torch")
        self.__spec__ = ModuleSpec("torch", None)
        self.cuda = SimpleNamespace(is_available=lambda: sees)
        self.computes = computes

    def ones(self, n: int, device: str) -> NDArray[np.float64]:
        if not self.computes:
            raise RuntimeError("no kernel image is available for execution on the device")
        return np.ones(n)


@pytest.mark.parametrize(
    ("device", "torch", "expected"),
    [
        ("nvidia0", FakeTorch(), True),
        ("nvidia3", FakeTorch(), True),
        ("dxg", FakeTorch(), True),
        ("nvidia-modeset", FakeTorch(), False),
        ("nvidia0", FakeTorch(sees=False), False),
        ("nvidia0", FakeTorch(computes=False), False),
        ("nvidia0", None, False),
    ],
)
def test_a_gpu_counts_when_torch_computes_on_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, device: str, torch: ModuleType | None, expected: bool
) -> None:
    (tmp_path / device).touch()
    monkeypatch.setattr(gpu, "DEVICES", tmp_path)
    monkeypatch.setitem(sys.modules, "torch", torch)  # type: ignore[arg-type]
    assert gpu.gpu_computes() is expected
