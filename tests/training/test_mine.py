"""Tiles on which a detector is wrong come more often, and nothing else in the list changes."""

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from typer.testing import CliRunner

from detector.backends import RawBoxes
from detector.config import DetectConfig, class_table
from detector.errors import UsageError
from detector.geometry import corners_from_xywhr, xywhr_from_corners
from detector.weights import Weights
from tests.detector.fakes import PAINT, PaintBackend, fake_weights
from tests.tile_scenes import small_config, write_scene
from training import mine as command
from training.dataset import build
from training.datasets.balance import MOST
from training.datasets.mining import MARGIN_M, faults, judged_ha, with_hardest
from training.tiles import TileLabels

lists = st.lists(st.tuples(st.integers(1, 8), st.sampled_from([0.0, 0.3, 0.4, 0.9, 2.5])), min_size=1, max_size=40)


class TestWithHardest:
    @given(lists, st.floats(0.01, 0.9))
    def test_harder_tiles_come_more_often_until_the_share_is_reached(
        self, tiles: list[tuple[int, float]], share: float
    ) -> None:
        hardness = {f"t{number:02}": value for number, (_, value) in enumerate(tiles)}
        times = {f"t{number:02}": 1 if value else count for number, (count, value) in enumerate(tiles)}
        result = with_hardest(times, hardness, share)
        assert list(result) == list(times)
        assert all(times[tile] <= count <= MOST for tile, count in result.items())
        assert all(result[tile] == times[tile] for tile, value in hardness.items() if value == 0)
        hard = [tile for tile, value in hardness.items() if value > 0]
        assert all(result[a] >= result[b] for a in hard for b in hard if hardness[a] > hardness[b])
        own, total = sum(result[tile] for tile in hard if result[tile] > 1), sum(result.values())
        assert own >= share * total or all(result[tile] == MOST for tile in hard)
        if own:
            assert own - 2 < share * (total - 1), "the last repetition was needed"

    def test_times_go_with_hardness(self) -> None:
        times = {name: 1 for name in "abc"} | {f"other{n}": 1 for n in range(100)}
        result = with_hardest(times, {"a": 3.0, "b": 1.0, "c": 0.4}, 0.06)
        assert (result["a"], result["b"], result["c"]) == (6, 2, 1)


Box = tuple[float, float, str, float]
"""x, y, class, score."""


class TestFaults:
    def faults(
        self, tmp_path: Path, boxes: Sequence[Box], objects: Sequence[tuple[float, float, str]] = ()
    ) -> tuple[float, int, int]:
        spec, table = fake_weights(tmp_path).spec, class_table()
        scores = np.zeros((len(boxes), spec.n_classes), np.float32)
        for row, (_, _, name, score) in enumerate(boxes):
            scores[row, spec.classes.index(name)] = score
        xywhr = np.array([(x, y, 20.0, 9.0, 0.0) for x, y, _, _ in boxes]).reshape(-1, 5)
        truth = np.array([(x, y, 20.0, 9.0, 0.0) for x, y, _ in objects]).reshape(-1, 5)
        classes = np.array([spec.classes.index(name) for _, _, name in objects], dtype=np.int64)
        labels = TileLabels(classes, corners_from_xywhr(truth))
        found = faults(RawBoxes(xywhr, scores), labels, spec, table, tile_px=128, merge_ios=0.5)
        return round(found.hardness, 4), found.false_rail_vehicles, found.missed

    def test_each_false_alarm_is_one_whatever_the_class_and_from_the_threshold_on(self, tmp_path: Path) -> None:
        boxes = [(40, 40, "railcar", 0.8), (42, 40, "tarped_railcar", 0.5), (80, 40, "railcar", 0.2)]
        assert self.faults(tmp_path, boxes) == (0.8, 1, 0)

    def test_containers_are_hard_but_no_rail_vehicles(self, tmp_path: Path) -> None:
        assert self.faults(tmp_path, [(40, 40, "container", 0.8), (80, 80, "locomotive", 0.5)]) == (1.3, 1, 0)

    def test_what_stands_there_is_no_false_alarm_under_any_name_of_its_family(self, tmp_path: Path) -> None:
        objects = [(40, 40, "tarped_railcar"), (80, 80, "container")]
        boxes = [(41, 40, "locomotive", 0.8), (80, 81, "tarped_container", 0.5)]
        assert self.faults(tmp_path, boxes, objects) == (0, 0, 0)
        assert self.faults(tmp_path, [(40, 40, "container", 0.8)], objects[:1]) == (1.8, 0, 1)

    def test_a_missed_object_counts_one(self, tmp_path: Path) -> None:
        assert self.faults(tmp_path, [(40, 40, "railcar", 0.2)], [(40, 40, "railcar")]) == (1, 0, 1)

    def test_a_loose_box_is_wrong_twice(self, tmp_path: Path) -> None:
        assert self.faults(tmp_path, [(49, 40, "railcar", 0.6)], [(40, 40, "railcar")]) == (1.6, 1, 1)

    def test_the_rim_is_not_judged(self, tmp_path: Path) -> None:
        rim_px = MARGIN_M / 0.3
        rim = [(rim_px - 0.5, 60.0, "railcar"), (60.0, 128.5 - rim_px, "railcar")]
        assert self.faults(tmp_path, [(*place, 0.8) for place in rim]) == (0, 0, 0)
        assert self.faults(tmp_path, [], rim) == (0, 0, 0)
        assert self.faults(tmp_path, [(rim_px + 0.5, 60, "railcar", 0.8)]) == (0.8, 1, 0)
        assert judged_ha(512, 0.3) == pytest.approx((153.6 - 10) ** 2 / 1e4)

    def test_a_box_in_the_rim_may_be_an_object_beyond_it(self, tmp_path: Path) -> None:
        rim_px = MARGIN_M / 0.3
        objects = [(rim_px + 0.5, 60.0, "railcar")]
        assert self.faults(tmp_path, [(rim_px - 0.5, 60, "railcar", 0.8)], objects) == (0, 0, 0)

    def test_silence(self, tmp_path: Path) -> None:
        assert self.faults(tmp_path, []) == (0, 0, 0)


class Keen(PaintBackend):
    """Sees containers as well painted as railcars, but nothing in the lower half of a tile."""

    def _see(self, image: np.ndarray) -> RawBoxes:
        half = image.copy()
        half[32:] = 100
        return super()._see(half)


@dataclass
class Knowing:
    """Says what the labels say."""

    data: Path
    n_classes: int

    def stream(self, tiles: Iterable[tuple[str, np.ndarray]]) -> Iterator[tuple[str, RawBoxes]]:
        for tile, _ in tiles:
            text = (self.data / "labels" / "train" / f"{tile}.txt").read_text()
            labels = TileLabels.from_text(text, 64)
            scores = np.eye(self.n_classes, dtype=np.float32)[labels.classes]
            yield tile, RawBoxes(xywhr_from_corners(labels.corners), scores)


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A balanced data set with backgrounds, on some of which red is painted."""
    folder = tmp_path_factory.mktemp("mined")
    for stem in ("north", "south", "west"):
        write_scene(folder / "scenes", stem)
    (folder / "photos").mkdir()
    for number in range(24):
        picture = Image.new("RGB", (64, 64), (100, 100, 100 + number))
        draw = ImageDraw.Draw(picture)
        if number % 3 == 0:
            draw.rectangle((20, 22, 44, 28), fill=PAINT["railcar"])
        if number % 6 == 0:
            draw.rectangle((20, 38, 44, 44), fill=PAINT["railcar"])
        picture.save(folder / "photos" / f"{number}.png")
    config = small_config(balance={"container": 0.8}, decoy_share=0.0, val_share=0.2)
    build(config, [str(folder / "scenes")], folder / "yolo", [f"{folder / 'photos'}@0.3"], processes=1)
    return folder / "yolo"


@pytest.fixture
def data(cut: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(cut, tmp_path / "yolo"))


@pytest.fixture
def weights(tmp_path: Path) -> Weights:
    return fake_weights(tmp_path / "weights")


@pytest.fixture(autouse=True)
def painted(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(weights: Weights, config: DetectConfig) -> PaintBackend:
        del config
        return PaintBackend(weights.spec)

    monkeypatch.setattr(command, "open_backend", opened)


def listed(data: Path) -> Counter[str]:
    return Counter(Path(line).stem for line in (data / "train.txt").read_text().split())


def manifest(data: Path) -> dict[str, object]:
    content: dict[str, object] = json.loads((data / "manifest.json").read_text())
    return content


def contents(data: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}


class TestMine:
    def test_repeats_what_is_hard_and_keeps_the_rest(self, data: Path, weights: Weights) -> None:
        before, lines = listed(data), (data / "train.txt").read_text().split()
        mined = command.mine(data, weights, 0.3)
        after = listed(data)
        assert min(mined["false_rail_vehicles"], mined["missed"], mined["with_faults"]) > 3
        repeated = mined["repeated"]
        assert repeated.keys() == {tile for tile in after if after[tile] > before[tile]}
        assert any(tile.startswith("background-") for tile in repeated)
        assert {tile: after[tile] for tile in before if tile not in repeated} == {
            tile: count for tile, count in before.items() if tile not in repeated
        }
        assert sum(repeated.values()) >= 0.3 * after.total() or set(repeated.values()) == {MOST}
        assert list(dict.fromkeys((data / "train.txt").read_text().split())) == list(dict.fromkeys(lines))

    def test_the_manifest_says_by_which_weights(self, data: Path, weights: Weights) -> None:
        before = manifest(data)
        mined = command.mine(data, weights, 0.3)
        after = manifest(data)
        assert after["mined"] == mined
        assert (mined["weights"], mined["sha256"]) == ("fake", weights.digest)
        assert after["repeated"] == before["repeated"]
        assert after["digest"] != before["digest"] == mined["digest_before"]

    def test_mining_again_replaces_the_former_choice(
        self, data: Path, weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fresh = Path(shutil.copytree(data, tmp_path / "fresh"))
        first = command.mine(data, weights, 0.3)
        monkeypatch.setattr(command, "open_backend", lambda weights, config: Keen(weights.spec))
        second = command.mine(data, weights, 0.2)
        assert second["repeated"] != first["repeated"]
        command.mine(fresh, weights, 0.2)
        assert {path.relative_to(data): content for path, content in contents(data).items()} == {
            path.relative_to(fresh): content for path, content in contents(fresh).items()
        }

    def test_without_balance_there_is_a_list_too(self, data: Path, weights: Weights) -> None:
        listing = data / "data.yaml"
        listing.write_text(listing.read_text().replace("train.txt", "images/train"))
        (data / "train.txt").unlink()
        (data / "manifest.json").write_text(json.dumps(manifest(data) | {"repeated": {}}))
        mined = command.mine(data, weights, 0.3)
        assert "train: train.txt" in listing.read_text()
        assert listed(data) == Counter(path.stem for path in (data / "images" / "train").iterdir()) + Counter(
            {tile: count - 1 for tile, count in mined["repeated"].items()}
        )

    def test_nothing_is_repeated_where_nothing_is_wrong(
        self, data: Path, weights: Weights, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = listed(data)
        monkeypatch.setattr(command, "open_backend", lambda weights, config: Knowing(data, weights.spec.n_classes))
        mined = command.mine(data, weights, 0.3)
        assert (mined["with_faults"], mined["repeated"]) == (0, {})
        assert listed(data) == before

    def test_tiles_on_which_objects_are_missed_are_repeated(self, data: Path, weights: Weights) -> None:
        before = listed(data)
        blind = weights.spec.model_copy(update={"operating_threshold": {"rail_vehicle": 0.95, "off_rail": 0.95}})
        mined = command.mine(data, Weights(blind, weights.folder), 0.3)
        assert mined["missed"] > 0
        assert mined["false_rail_vehicles"] == 0
        assert mined["repeated"]
        assert all((data / "labels" / "train" / f"{tile}.txt").read_text() for tile in mined["repeated"])
        assert listed(data) > before

    def test_a_data_set_needs_no_tiles_without_objects(self, data: Path, weights: Weights) -> None:
        for path in (data / "labels" / "train").iterdir():
            path.write_text(path.read_text() or "0 0.4 0.4 0.6 0.4 0.6 0.5 0.4 0.5\n")
        mined = command.mine(data, weights, 0.3)
        assert mined["empty_tiles"] == 0
        assert mined["false_rail_vehicles_per_10_ha_empty"] is None


class TestBadInput:
    def test_each_is_named_with_its_cure_and_changes_nothing(self, data: Path, weights: Weights) -> None:
        before = contents(data)
        coarse = Weights(weights.spec.model_copy(update={"gsd_m": 0.5}), weights.folder)
        with pytest.raises(UsageError, match=r"0\.3 m per pixel, but fake takes 0\.5 m.*gsd_m: 0\.5"):
            command.mine(data, coarse, 0.15)
        with pytest.raises(UsageError, match=r"between 0 and 1\. Received: 1\.5"):
            command.mine(data, weights, 1.5)
        assert contents(data) == before

    @pytest.mark.parametrize("name", ["data.yaml", "manifest.json"])
    def test_no_data_set(self, data: Path, weights: Weights, name: str) -> None:
        (data / name).unlink()
        with pytest.raises(UsageError, match=rf"{name}: cannot be read .*training\.dataset"):
            command.mine(data, weights, 0.15)

    @pytest.mark.parametrize(
        ("name", "text", "reason"),
        [
            ("data.yaml", "[", "is not YAML"),
            ("data.yaml", "tiles", "in place of keys"),
            ("manifest.json", "{", "is not JSON"),
            ("manifest.json", "{}", "digest: Field required"),
        ],
    )
    def test_damaged_files(self, data: Path, weights: Weights, name: str, text: str, reason: str) -> None:
        (data / name).write_text(text)
        with pytest.raises(UsageError, match=rf"{name}: .*{reason}(?s:.*)cut the scenes again"):
            command.mine(data, weights, 0.15)

    def test_tiles_that_are_gone(self, data: Path, weights: Weights) -> None:
        next((data / "images" / "train").glob("background-*")).unlink()
        with pytest.raises(UsageError, match=r"background-\S+png: cannot be read .*cut the scenes again"):
            command.mine(data, weights, 0.15)


class TestCommand:
    def invoke(self, data: Path, weights: Weights, *more: str) -> tuple[int, str]:
        from typer import Typer  # noqa: PLC0415

        app = Typer()
        app.command()(command.main)
        result = CliRunner().invoke(app, ["--data", str(data), "--weights", str(weights.sidecar), *more])
        return result.exit_code, result.output

    def test_says_how_many_and_how_bad(self, data: Path, weights: Weights) -> None:
        code, text = self.invoke(data, weights, "--share", "0.5")
        mined = json.loads((data / "manifest.json").read_text())["mined"]
        assert code == 0
        assert f"wrong on {mined['with_faults']} of {mined['tiles']} training tiles" in text
        assert f"{mined['false_rail_vehicles_per_10_ha_empty']} false rail vehicles per 10 ha" in text
        assert "50.0% wanted; no tile is listed more than 8 times" in text

    def test_an_error_is_one_line_and_exit_code_2(self, tmp_path: Path, weights: Weights) -> None:
        code, text = self.invoke(tmp_path, weights)
        assert code == 2
        assert text.startswith("error: ")
