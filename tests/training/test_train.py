"""Training: precision, cut boxes, changes of pixels, and the whole chain at 64 px, offline and resumable."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner, Result

torch = pytest.importorskip("torch", reason="needs the extra `train`")

from training.fitting.offline import go_offline  # noqa: E402 - must come before anything that imports Ultralytics

go_offline(Path(__file__).parents[2] / "build" / "ultralytics")

import albumentations as A  # noqa: E402
import typer  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from torch.distributed.run import parse_args  # noqa: E402
from ultralytics.cfg import get_cfg  # noqa: E402
from ultralytics.nn.tasks import OBBModel  # noqa: E402
from ultralytics.utils.tal import RotatedTaskAlignedAssigner, make_anchors  # noqa: E402

import training.fitting.start  # noqa: E402
from detector.errors import UsageError  # noqa: E402
from detector.geometry import corners_from_xywhr  # noqa: E402
from tests.training.networks import as_trained  # noqa: E402
from training.classes import class_names  # noqa: E402
from training.fitting.assigner import FastRotatedAssigner  # noqa: E402
from training.fitting.augment import VisibleAffine, inside_shares  # noqa: E402
from training.fitting.launch import command, launch  # noqa: E402
from training.fitting.loader import TileDataset  # noqa: E402
from training.fitting.network import OrientedBoxNetwork, mixed_dtype  # noqa: E402
from training.fitting.order import Draw  # noqa: E402
from training.fitting.pixels import pixel_transforms  # noqa: E402
from training.fitting.start import starting_state, transfer  # noqa: E402
from training.fitting.steps import StepState  # noqa: E402
from training.fitting.trainer import RailcarTrainer  # noqa: E402
from training.settings import TrainConfig, train_config  # noqa: E402
from training.train import main, train, ultralytics_arguments  # noqa: E402

ARCHITECTURE = "yolo11n-obb.yaml"
CPU = torch.device("cpu")


def small_config(**fit: object) -> TrainConfig:
    base = train_config().model_dump()
    base |= {"tile_px": 64, "cut_px": None}
    base["fit"] |= {"epochs": 1, "batch": 4, "val_every": 1, "threads": 1, "warmup_epochs": 0.0, **fit}
    return TrainConfig.model_validate(base)


def invoke(*given: object) -> Result:
    """The command with these arguments."""
    app = typer.Typer()
    app.command()(main)
    return CliRunner().invoke(app, [str(part) for part in given])


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight and four tiles of 64 px with two bright bars each."""
    folder = tmp_path_factory.mktemp("tiles")
    rng = np.random.default_rng(5)
    for split, count in (("train", 8), ("val", 4)):
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True)
        for number in range(count):
            image = rng.integers(20, 90, (64, 64, 3), dtype=np.uint8)
            top = int(rng.integers(8, 24))
            rows = []
            for box_class, y in ((0, top), (3, top + 20)):
                image[y : y + 8, 12:52] = (220, 60, 60) if box_class else 230
                corners = np.array([(52, y + 8), (52, y), (12, y), (12, y + 8)]) / 64
                rows.append(f"{box_class} " + " ".join(f"{value:.6f}" for value in corners.ravel()))
            Image.fromarray(image).save(folder / "images" / split / f"{number}.png")
            (folder / "labels" / split / f"{number}.txt").write_text("\n".join(rows) + "\n")
    listing = {"train": "images/train", "val": "images/val", "names": dict(enumerate(class_names()))}
    (folder / "data.yaml").write_text(yaml.safe_dump(listing))
    return folder


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every attempt to reach a network, each of which fails."""
    attempts: list[str] = []

    def refuse(*arguments: object, **_: object) -> None:
        attempts.append(repr(arguments))
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    return attempts


class TestNetwork:
    def test_is_the_stock_network_but_for_rounding(self) -> None:
        ours = as_trained(OrientedBoxNetwork(ARCHITECTURE, 5)).eval()
        stock = OBBModel(ARCHITECTURE, nc=5, verbose=False).eval()
        stock.load_state_dict(ours.state_dict())
        images = torch.rand(2, 3, 96, 128, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            (our_boxes, our_maps), (boxes, maps) = ours(images), stock(images)
        assert torch.allclose(our_boxes, boxes, atol=1e-4)
        assert torch.allclose(our_maps["scores"], maps["scores"], atol=1e-4)

    def test_raw_maps_and_boxes_are_float32_under_mixed_precision(self) -> None:
        network = OrientedBoxNetwork(ARCHITECTURE, 5)
        network.precision = torch.bfloat16
        images = torch.rand(1, 3, 64, 64)
        maps = network.train()(images)
        assert {maps[key].dtype for key in ("boxes", "scores", "angle")} == {torch.float32}
        boxes, _ = network.eval()(images)
        assert boxes.dtype == torch.float32
        assert len(torch.unique(boxes[:, 4:-1])) > 100  # bfloat16 would leave few distinct scores near 0

    def test_precision_follows_the_machine(self) -> None:
        abilities = torch.cpu.get_capabilities()
        native = bool(abilities.get("amx_bf16") or abilities.get("avx512_bf16"))
        assert mixed_dtype(CPU) == (torch.bfloat16 if native else None)

    def test_precision_falls_back_without_bfloat16(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": False})
        assert mixed_dtype(CPU) is None

    def test_assigner_agrees_with_the_stock_one(self) -> None:
        generator = torch.Generator().manual_seed(2)
        settings: dict[str, Any] = {"topk": 10, "num_classes": 5, "alpha": 0.5, "beta": 6.0, "stride": [8, 16, 32]}
        points, strides = make_anchors([torch.zeros(1, 1, 128 // s, 128 // s) for s in (8, 16, 32)], (8, 16, 32), 0.5)
        boxes = torch.rand(3, 40, 5, generator=generator) * torch.tensor([128.0, 128.0, 60.0, 30.0, 3.14])
        real = torch.ones(3, 40, 1)
        boxes[1:, 25:], real[1:, 25:] = 0, 0
        masks = [
            kind(**settings).select_candidates_in_gts(points * strides, boxes, real) * real.bool()
            for kind in (FastRotatedAssigner, RotatedTaskAlignedAssigner)
        ]
        assert masks[0].any()
        assert (masks[0] != masks[1]).float().mean() < 1e-4  # anchors within rounding of a side


class TestGeometry:
    def outlines(self, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.repeat(corners_from_xywhr(boxes), 25, axis=1)

    def test_share_inside(self) -> None:
        boxes = np.array(
            [(50, 50, 40, 10, 0.3), (100, 50, 40, 10, 0.0), (110, 50, 40, 10, 0.0), (200, 50, 40, 10, 0.0)]
        )
        assert inside_shares(self.outlines(boxes), (100, 100)) == pytest.approx([1, 0.5, 0.25, 0])

    def test_boxes_mostly_outside_are_dropped(self) -> None:
        change = VisibleAffine(0.35, degrees=0, translate=0, scale=0.0, size=(100, 100), preserve_obb=True)
        boxes = np.array([(50, 50, 40, 10, 0.0), (110, 50, 40, 10, 0.0)])
        bounds, moved = change.apply_segments(self.outlines(boxes), np.eye(3, dtype=np.float32), (100, 100))
        assert (bounds[0] != 0).any()
        assert not bounds[1].any()
        assert not moved[1].any()


class TestLoader:
    def loader(self, tiles: Path, imgsz: int, *, augment: bool) -> TileDataset:
        arguments = ultralytics_arguments(small_config(), tiles / "data.yaml", tiles / "run", "cpu")
        return TileDataset(
            0.35,
            img_path=str(tiles / "images" / "train"),
            imgsz=imgsz,
            batch_size=4,
            augment=augment,
            hyp=get_cfg(overrides=arguments),
            task="obb",
            data={"names": dict(enumerate(class_names())), "nc": len(class_names()), "channels": 3},
        )

    def test_training_sees_a_window_of_a_larger_tile_at_the_same_scale(self, tiles: Path) -> None:
        loader = self.loader(tiles, 48, augment=True)
        sizes = []
        for index in range(len(loader)):
            sample = loader[index]
            assert sample["img"].shape == (3, 48, 48)
            assert sample["img"].dtype == torch.uint8
            sizes += (sample["bboxes"][:, 2:4] * 48).tolist()
        shortest = np.array(sizes).min(axis=1)
        assert len(sizes) > 4
        assert np.median(shortest) == pytest.approx(8, abs=2)  # 8 px on disk, GSD jitter 20 %, none resized to 6

    def test_equal_draws_give_equal_samples_whatever_came_before(self, tiles: Path) -> None:
        loader = self.loader(tiles, 64, augment=True)
        draws = [Draw(index, 7 + index, mixed=True) for index in range(8)]
        first = [loader[draw] for draw in draws]
        again = [loader[draw] for draw in reversed(draws)][::-1]
        for one, two in zip(first, again, strict=True):
            assert torch.equal(one["img"], two["img"])
            assert torch.equal(one["bboxes"], two["bboxes"])
        assert not torch.equal(first[0]["img"], loader[Draw(0, 8, mixed=True)]["img"])

    def test_no_mosaics_where_the_draw_says_so(self, tiles: Path) -> None:
        loader = self.loader(tiles, 64, augment=True)
        counts = {mixed: [len(loader[Draw(0, seed, mixed)]["cls"]) for seed in range(40)] for mixed in (True, False)}
        assert max(counts[False]) <= 2
        assert max(counts[True]) > 2

    def test_a_look_at_held_out_tiles_takes_them_whole(self, tiles: Path) -> None:
        sample = self.loader(tiles, 48, augment=False)[0]
        assert sample["img"].shape == (3, 64, 64)
        assert sample["bboxes"][:, 2:4].sort(dim=1).values.numpy() * 64 == pytest.approx(
            np.array([(8, 40)] * 2), abs=0.1
        )

    def test_tiles_too_large_for_the_training_size(self, tiles: Path) -> None:
        with pytest.raises(UsageError, match="Tiles of 64 px are too large to train at tile_px 32"):
            self.loader(tiles, 32, augment=True)


class TestPixels:
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)

    def test_every_change_keeps_shape_and_type_and_changes_something(self) -> None:
        for change in pixel_transforms():
            change.p = 1.0
            result = A.Compose([change], seed=1)(image=self.image)["image"]
            assert result.shape == self.image.shape, change
            assert result.dtype == np.uint8, change
            assert (result != self.image).any(), change

    def test_survive_serialisation(self) -> None:
        for change in pixel_transforms(0.5):
            assert A.from_dict(A.to_dict(change)).to_dict() == change.to_dict()

    def test_strength_zero_changes_nothing(self) -> None:
        pipeline = A.Compose(pixel_transforms(0.0), seed=1)
        assert all(np.array_equal(pipeline(image=self.image)["image"], self.image) for _ in range(20))

    def test_same_seed_same_picture(self) -> None:
        first, second = (A.Compose(pixel_transforms(), seed=7) for _ in range(2))
        for _ in range(10):
            assert np.array_equal(first(image=self.image)["image"], second(image=self.image)["image"])


class TestStart:
    def test_takes_over_the_layers_that_fit(self, tmp_path: Path) -> None:
        given, network = as_trained(OrientedBoxNetwork(ARCHITECTURE, 3)), OrientedBoxNetwork(ARCHITECTURE, 5)
        path = tmp_path / "three-classes.safetensors"
        save_file(given.state_dict(), path)
        share = transfer(starting_state(path, tmp_path), network, path)
        assert 0.99 < share < 1
        same, theirs = network.state_dict(), given.state_dict()
        assert torch.equal(same["model.0.conv.weight"], theirs["model.0.conv.weight"])
        assert same["model.23.cv3.0.2.weight"].shape[0] == 5

    def test_a_published_name_without_network_says_what_to_do(self, tmp_path: Path, no_network: list[str]) -> None:
        with pytest.raises(UsageError, match=r"cannot be downloaded.*put it at .*yolo11n-obb\.pt"):
            starting_state(Path("yolo11n-obb.pt"), tmp_path)
        assert no_network
        (tmp_path / "yolo11n-obb.pt").write_bytes(b"no checkpoint")
        with pytest.raises(UsageError, match="holds no weights"):
            starting_state(Path("yolo11n-obb.pt"), tmp_path)

    @pytest.mark.parametrize("name", ["start.pt", "start.safetensors", "start.bin"])
    @pytest.mark.parametrize("content", [b"garbage\n", b"", b"version https://git-lfs", b"<html>", b"PK\x03\x04"])
    def test_damaged_weights_are_named(self, tmp_path: Path, name: str, content: bytes) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UsageError, match=f"{name}: holds no weights that can be read"):
            starting_state(tmp_path / name, tmp_path)

    def test_only_faults_of_loading_are_laid_on_the_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        class Broken:
            def state_dict(self) -> None:
                raise RuntimeError("ours")

        (tmp_path / "start.pt").touch()
        monkeypatch.setattr(training.fitting.start, "load_checkpoint", lambda _: (Broken(), {}))
        with pytest.raises(RuntimeError, match="ours"):
            starting_state(tmp_path / "start.pt", tmp_path)

    def test_other_names_are_not_looked_for(self, tmp_path: Path, no_network: list[str]) -> None:
        with pytest.raises(UsageError, match="no such weights"):
            starting_state(tmp_path / "mine.safetensors", tmp_path)
        assert no_network == []

    def test_weights_of_another_network(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no layer fits"):
            transfer({"encoder.weight": torch.zeros(3)}, OrientedBoxNetwork(ARCHITECTURE, 5), tmp_path)


class TestDevices:
    def test_one_process_for_each_device_with_the_same_arguments(self) -> None:
        given = ["--data", "d", "--devices", "2,5", "--start", "w.pt", "--resume"]
        made = command(given, "2,5")
        assert made[1:6] == ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
        understood = parse_args(made[3:])
        assert (understood.module, understood.training_script) == (True, "training.train")
        assert understood.training_script_args == given

    def test_a_batch_that_cannot_be_shared(self) -> None:
        with pytest.raises(UsageError, match="multiple of 3"):
            launch([], "0,1,2", 16)

    @pytest.mark.integration
    def test_two_processes_agree_on_the_weights_and_write_once(self, tiles: Path, tmp_path: Path) -> None:
        (tmp_path / "train.yaml").write_text(small_config(epochs=2).model_dump_json())
        out = tmp_path / "run"
        given = f"--config {tmp_path / 'train.yaml'} --data {tiles} --out {out} --devices cpu,cpu".split()
        ours = {"training.train": "tests.training.fitting.two_processes"}
        worker = [ours.get(part, part) for part in command(given, "cpu,cpu")]
        done = subprocess.run(worker, cwd=Path(__file__).parents[2], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        one, two = (torch.load(out / "weights" / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
        assert all(torch.equal(one[name], two[name]) for name in one)
        state = StepState.read(out / "weights" / "step.pt")
        assert all(torch.equal(one[name], state.model[name]) for name in one)
        assert (state.epoch, state.updates) == (2, 4)  # 8 tiles, 4 a step, both processes together
        assert [line.split(",")[0].strip() for line in (out / "results.csv").read_text().splitlines()[1:]] == ["1", "2"]
        assert json.loads((out / "progress.json").read_text())["epoch"] == 2
        assert done.stdout.count("trained 2 epochs") == 1


class TestInput:
    def test_a_folder_without_tiles(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"holds no data\.yaml"):
            train(small_config(), tmp_path, tmp_path / "run")

    def test_other_classes_are_named(self, tmp_path: Path) -> None:
        (tmp_path / "data.yaml").write_text("names: [tram, bus]")
        with pytest.raises(UsageError, match="tram, bus"):
            train(small_config(), tmp_path, tmp_path / "run")

    def test_the_command_exits_with_2(self, tmp_path: Path) -> None:
        result = invoke("--data", tmp_path, "--out", tmp_path / "run")
        assert result.exit_code == 2
        assert "holds no data.yaml" in result.output

    @pytest.mark.parametrize("hours", ["0", "-1", "nan"])
    def test_hours_must_be_above_0(self, tiles: Path, tmp_path: Path, hours: str) -> None:
        result = invoke("--data", tiles, "--out", tmp_path / "run", "--hours", hours)
        assert result.exit_code == 2
        assert f"error: --hours: Input should be greater than 0. Received: {float(hours)}." in result.output

    @pytest.mark.parametrize("devices", ["90", "90,91", "0,0", "gpu", "", "cpu,0"])
    def test_devices_that_are_not_there(self, tiles: Path, tmp_path: Path, devices: str) -> None:
        result = invoke("--data", tiles, "--out", tmp_path / "run", "--devices", devices)
        assert result.exit_code == 2
        assert "error: devices: " in result.output
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize(
        "architecture", ["yolo99n-obb.yaml", "yolo11n.yaml", "yolo11n-obb.pt", "yolo11n-obb", "missing.yaml"]
    )
    def test_other_networks(self, tiles: Path, tmp_path: Path, architecture: str) -> None:
        with pytest.raises(UsageError, match=rf"architecture: '?{architecture}.*Give a network of oriented boxes"):
            train(small_config().model_copy(update={"architecture": architecture}), tiles, tmp_path / "run")
        assert not (tmp_path / "run" / "config.json").exists()

    def test_several_devices_are_checked_before_any_process_starts(self, tiles: Path, tmp_path: Path) -> None:
        (tmp_path / "start.pt").write_bytes(b"garbage\n")
        given = ["--data", tiles, "--out", tmp_path / "run", "--devices", "cpu,cpu", "--start", tmp_path / "start.pt"]
        result = invoke(*given)
        assert result.exit_code == 2
        assert "start.pt: holds no weights that can be read" in result.output
        assert not (tmp_path / "run" / "config.json").exists()

    def test_a_run_is_not_replaced(self, tiles: Path, tmp_path: Path) -> None:
        best = tmp_path / "weights" / "best.pt"
        best.parent.mkdir()
        best.write_bytes(b"hours of work")
        result = invoke("--data", tiles, "--out", tmp_path, "--devices", "cpu")
        assert result.exit_code == 2
        assert "holds a run already (weights/best.pt). --resume goes on with it" in result.output
        assert best.read_bytes() == b"hours of work"
        assert not (tmp_path / "config.json").exists()


@pytest.mark.integration
class TestRun:
    def test_import_is_offline_and_writes_only_in_its_folder(self, tmp_path: Path) -> None:
        program = (
            "import pathlib, socket\n"
            "def refuse(*arguments, **_): raise SystemExit(f'network: {arguments}')\n"
            "socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse\n"
            "from training.fitting.offline import go_offline\n"
            "go_offline(pathlib.Path('run'))\n"
            "import training.fitting.trainer\n"
        )
        environment = {key: value for key, value in os.environ.items() if not key.startswith("YOLO_")}
        root = str(Path(__file__).parents[2])
        environment |= {"HOME": str(tmp_path), "PYTHONPATH": root, "MPLCONFIGDIR": str(tmp_path / "matplotlib")}
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert {path.name for path in tmp_path.iterdir()} <= {"run", "matplotlib", ".cache"}

    def test_one_epoch_offline(self, tiles: Path, tmp_path: Path, no_network: list[str]) -> None:
        best = train(small_config(), tiles, tmp_path / "run", device="cpu")
        with pytest.raises(UsageError, match="holds a run already"):
            train(small_config(), tiles, tmp_path / "run", device="cpu")
        assert no_network == []
        assert best == tmp_path / "run" / "weights" / "best.pt"
        assert best.exists()
        progress = json.loads((tmp_path / "run" / "progress.json").read_text())
        assert progress["epoch"] == 1
        assert set(progress["held_out"]) == {"precision", "recall", "mAP50"}
        written = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*")}
        assert written == {"run"}

    def test_a_resumed_run_ends_with_the_weights_of_one_that_was_not_interrupted(
        self, tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config = small_config(epochs=2, batch=2, save_minutes=1e-9, warmup_epochs=1.0)  # saved after every batch
        whole, broken = tmp_path / "whole", tmp_path / "broken"
        train(config, tiles, whole, device="cpu")
        saves = 0
        save = RailcarTrainer.save_model

        def save_and_die(self: RailcarTrainer) -> bool:
            nonlocal saves
            saves += 1
            done = save(self)
            if saves == 5:  # within the second epoch
                raise KeyboardInterrupt
            return done

        monkeypatch.setattr(RailcarTrainer, "save_model", save_and_die)
        with pytest.raises(KeyboardInterrupt):
            train(config, tiles, broken, device="cpu", resume=True)
        assert not list(broken.rglob("*.part"))
        train(config, tiles, broken, device="cpu", resume=True)
        one, two = (StepState.read(out / "weights" / "step.pt") for out in (whole, broken))
        assert one.updates == two.updates == 8
        for kind in ("model", "ema"):
            pairs = [(getattr(one, kind)[name], getattr(two, kind)[name]) for name in one.model]
            assert all(torch.equal(a, b) for a, b in pairs), kind
        epochs = [line.split(",")[0].strip() for line in (broken / "results.csv").read_text().splitlines()[1:]]
        assert epochs == ["1", "2"]
        assert json.loads((broken / "progress.json").read_text())["epoch"] == 2
        with pytest.raises(UsageError, match="has done all of its 2 epochs"):
            train(config, tiles, broken, device="cpu", resume=True)

    def test_fine_tuning_keeps_the_frozen_layers(self, tiles: Path, tmp_path: Path) -> None:
        settings = train_config(Path("configs/finetune.yaml")).model_dump() | {"tile_px": 64, "cut_px": None}
        settings["fit"] |= {"epochs": 2, "batch": 4, "threads": 1}
        network = as_trained(OrientedBoxNetwork(ARCHITECTURE, 5))
        start, out = tmp_path / "start.safetensors", tmp_path / "run"
        save_file(network.state_dict(), start)
        train(TrainConfig.model_validate(settings), tiles, out, device="cpu", start=start)
        before, after = network.state_dict(), StepState.read(out / "weights" / "step.pt").ema
        changed = {int(name.split(".")[1]) for name in before if not torch.equal(before[name], after[name])}
        assert settings["fit"]["freeze"] == 11
        assert min(changed) > 10  # neither weights nor statistics of the trunk
        assert {16, 17, 19, 20, 22, 23} <= changed

    def test_hours_end_a_run_within_an_epoch(self, tiles: Path, tmp_path: Path) -> None:
        train(small_config(hours=1e-6, epochs=50), tiles, tmp_path, device="cpu")
        state = StepState.read(tmp_path / "weights" / "step.pt")
        assert (state.epoch, state.tiles, state.updates) == (0, 4, 1)
        assert (tmp_path / "weights" / "best.pt").exists()
        assert json.loads((tmp_path / "progress.json").read_text())["held_out"]

    def test_a_spent_budget_is_an_error(self, tiles: Path, tmp_path: Path) -> None:
        out = tmp_path / "run"
        (out / "weights").mkdir(parents=True)
        (out / "weights" / "last.pt").write_bytes(b"")
        (out / "progress.json").write_text('{"seconds": 7200}')
        with pytest.raises(UsageError, match=r"has used 2\.00 h"):
            train(small_config(hours=1.5), tiles, out, device="cpu", resume=True)

    def test_places_that_stock_ultralytics_does_not_find(
        self, tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """`path: .` is the folder of the data.yaml, and ../ in lists and lines of texts lead where importers go."""
        for kind in ("images", "labels"):
            shutil.copytree(tiles / kind, tmp_path / "data" / kind)
        listed = tmp_path / "data" / "lists" / "train.txt"
        listed.parent.mkdir()
        listed.write_text("images/train/0.png\n" * 3 + "images/train/1.png\n")
        places = {"path": ".", "train": "lists/train.txt", "val": ["../images/val"]}
        described = yaml.safe_dump({**places, "names": dict(enumerate(class_names()))})
        (tmp_path / "data" / "data.yaml").write_text(described)
        monkeypatch.chdir(tmp_path)
        train(small_config(batch=2), Path("data"), Path("run"), device="cpu")
        state = StepState.read(Path("run") / "weights" / "step.pt")
        assert state.updates == 2

    def test_a_run_killed_within_its_first_epoch_is_gone_on_with(
        self, tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Such a run holds its last step and perhaps no averaged weights."""
        config, out = small_config(epochs=1, batch=2, save_minutes=1e-9), tmp_path / "run"
        save = RailcarTrainer.save_model

        def save_and_die(self: RailcarTrainer) -> bool:
            save(self)
            raise KeyboardInterrupt

        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(RailcarTrainer, "save_model", save_and_die)
            train(config, tiles, out, device="cpu")
        for averaged in ("last.pt", "best.pt"):
            (out / "weights" / averaged).unlink(missing_ok=True)
        first = StepState.read(out / "weights" / "step.pt")
        monkeypatch.setattr(RailcarTrainer, "save_model", save_and_die)
        with pytest.raises(KeyboardInterrupt):
            train(config, tiles, out, device="cpu", resume=True)
        assert StepState.read(out / "weights" / "step.pt").updates == first.updates + 1

    @pytest.mark.parametrize("content", ["{", "[]", "{}", '{"seconds": "long"}', '{"seconds": NaN}', '{"seconds": -1}'])
    def test_a_damaged_progress_is_named(self, tiles: Path, tmp_path: Path, content: str) -> None:
        out = tmp_path / "run"
        (out / "weights").mkdir(parents=True)
        (out / "weights" / "step.pt").write_bytes(b"")
        (out / "progress.json").write_text(content)
        with pytest.raises(UsageError, match=r"progress\.json: .*delete progress\.json"):
            train(small_config(), tiles, out, device="cpu", resume=True)
