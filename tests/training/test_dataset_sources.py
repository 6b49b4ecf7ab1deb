"""Sources of scenes: what is used, what is not and why, and which split it goes to."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from typer.testing import CliRunner

import training.dataset
from detector.errors import UsageError
from tests.tile_scenes import small_config, write_scene
from training.dataset import build
from training.datasets.sources import gather
from training.datasets.split import read_split, stated_split


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    for stem in ("north_20200101", "south_20200101", "west"):
        write_scene(tmp_path / "scenes", stem)
    return tmp_path / "scenes"


def without_georeference(scenes: Path, stem: str) -> None:
    """A PNG with truth beside it."""
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 80, 3), dtype=np.uint8)).save(scenes / f"{stem}.png")
    shutil.copy(scenes / "west.truth.geojson", scenes / f"{stem}.truth.geojson")


class TestGather:
    def test_scenes_need_neither_date_nor_facility(self, scenes: Path) -> None:
        gathered = gather([str(scenes)])
        assert {source.facility for source in gathered.scenes} == {"north", "south", "west"}
        assert gathered.faults == ()

    def test_what_cannot_be_used_is_listed_with_the_reason(self, scenes: Path) -> None:
        without_georeference(scenes, "photo")
        write_scene(scenes, "lonely")
        (scenes / "lonely.truth.geojson").unlink()
        (scenes / "orphan.truth.geojson").write_text("{}")
        (scenes / "west.truth.geojson").write_text("nothing")
        gathered = gather([str(scenes)])
        reasons = {fault.file.name: fault.reason for fault in gathered.faults}
        assert len(gathered.scenes) == 2
        assert "PATH@GSD_M" in reasons.pop("photo.png")
        assert reasons.keys() >= {"lonely.tif", "orphan.truth.geojson", "west.truth.geojson"}

    def test_a_stated_gsd_stands_in_for_the_georeference(self, scenes: Path, tmp_path: Path) -> None:
        folder = tmp_path / "photos"
        folder.mkdir()
        shutil.copy(scenes / "west.truth.geojson", folder)
        without_georeference(folder, "photo")
        (folder / "west.truth.geojson").unlink()
        (found,) = gather([f"{folder}@0.45"]).scenes
        assert found.scene.gsd_m == pytest.approx(0.45)

    def test_the_same_picture_is_used_once(self, scenes: Path, tmp_path: Path) -> None:
        shutil.copytree(scenes, tmp_path / "again")
        gathered = gather([str(scenes), str(tmp_path / "again")])
        assert len(gathered.scenes) == 3
        assert all("is a copy of" in fault.reason for fault in gathered.faults)
        assert len(gathered.faults) == 3

    def test_unclear_bands_have_a_cure_that_the_command_knows(self, scenes: Path) -> None:
        with rasterio.open(scenes / "west.tif") as file:
            profile, pixels = file.profile, file.read()
        profile.pop("photometric", None)
        with rasterio.open(scenes / "west.tif", "w", **profile | {"count": 5}) as file:
            file.write(np.concatenate([pixels, pixels[:2]]))
        (fault,) = gather([str(scenes)]).faults
        assert fault.file.name == "west.tif"
        assert fault.reason.endswith("left out. Write its red, green and blue as a file of three bands.")

    def test_a_source_that_does_not_exist_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="missing: does not exist"):
            gather([str(tmp_path / "missing")])


class TestMixedSources:
    def test_scenes_of_two_formats_become_one_data_set(self, scenes: Path, tmp_path: Path) -> None:
        folder = tmp_path / "dota"
        (folder / "labelTxt").mkdir(parents=True)
        Image.fromarray(np.full((200, 200, 3), 80, dtype=np.uint8)).save(folder / "P1.png")
        lines = ["gsd:0.3", "40 90 80 90 80 100 40 100 railcar 0", "90 90 130 90 130 100 90 100 ship 0"]
        (folder / "labelTxt" / "P1.txt").write_text("\n".join(lines) + "\n")
        labels = tmp_path / "labels.yaml"
        labels.write_text("ship: ignore\n")
        manifest = build(small_config(), [str(scenes), f"dota:{folder}"], tmp_path / "yolo", processes=1, labels=labels)
        assert [(given["scenes"], given["objects"]) for given in manifest["inputs"]] == [(3, 18), (1, 1)]
        (part,) = [part for part in manifest["sources"] if part["name"].startswith("P1-")]
        texts = [(tmp_path / "yolo/labels" / part["split"] / f"{tile}.txt").read_text() for tile in part["tiles"]]
        assert {line.split()[0] for text in texts for line in text.splitlines()} == {"0"}  # railcar


class TestStatedSplit:
    def write(self, tmp_path: Path, *rows: str, header: str = "facility,split") -> Path:
        path = tmp_path / "split.csv"
        path.write_text("\n".join([header, *rows]) + "\n")
        return path

    def test_is_followed_and_test_is_left_out(self, scenes: Path, tmp_path: Path) -> None:
        path = self.write(tmp_path, "south,train", "north,val", "west,test", "elsewhere,train")
        manifest = build(small_config(), [str(scenes)], tmp_path / "yolo", processes=1, split=path)
        assert manifest["facilities"] == {"train": ["south"], "val": ["north"]}
        assert {name["name"].split("_")[0] for name in manifest["sources"]} == {"south", "north"}

    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            (["a,train"], "does not list the facilities b"),
            (["a,train", "b,dev"], "line 3: split 'dev'"),
            (["a,train", "b,val", "a,val"], "line 4: a stands in train and val"),
            (["a,train", "b,test"], "no facility of these scenes into val"),
        ],
    )
    def test_errors_name_file_and_line(self, tmp_path: Path, rows: list[str], message: str) -> None:
        path = self.write(tmp_path, *rows)
        with pytest.raises(UsageError, match=message):
            stated_split(path, read_split(path), {"a", "b"})

    def test_columns_are_needed(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no column split"):
            read_split(self.write(tmp_path, "a,train", header="facility,part"))


class TestCommand:
    def run(self, *arguments: str) -> tuple[int, str]:
        app = training.dataset.typer.Typer()
        app.command()(training.dataset.main)
        result = CliRunner().invoke(app, list(arguments))
        return result.exit_code, result.output

    def test_faults_are_counted_listed_and_no_failure(self, scenes: Path, tmp_path: Path) -> None:
        (scenes / "west.truth.geojson").write_text("nothing")
        (tmp_path / "photos").mkdir()
        noise = np.random.default_rng(0).integers(0, 255, (99, 99, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "photos" / "broken.png")
        (tmp_path / "photos" / "broken.png").write_bytes((tmp_path / "photos" / "broken.png").read_bytes()[:5000])
        Image.new("RGB", (600, 600)).save(tmp_path / "photos" / "good.png")
        out = tmp_path / "yolo"
        code, output = self.run(
            "--scenes", str(scenes), "--backgrounds", str(tmp_path / "photos"), "--out", str(out), "--processes", "1"
        )
        assert code == 0, output
        assert "warning: 3 faults" in output
        with (out / "faults.csv").open(newline="") as stream:
            files = {Path(row["file"]).name for row in csv.DictReader(stream)}
        assert files == {"west.truth.geojson", "west.tif", "broken.png"}
        manifest = json.loads((out / "manifest.json").read_text())
        assert manifest["faults"] == 3
        assert [(source["scenes"], source["objects"]) for source in manifest["inputs"]] == [(2, 12)]

    def test_errors_exit_with_2(self, tmp_path: Path) -> None:
        code, output = self.run("--scenes", str(tmp_path / "none"), "--out", str(tmp_path / "yolo"))
        assert code == 2
        assert "does not exist" in output
