"""What must hold before a training begins; imports neither torch nor Ultralytics."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from detector.errors import UsageError
from tests.training.formats.fakes import annotations_of, photo
from training.classes import class_names
from training.fitting.checks import (
    WRITTEN,
    check_devices,
    check_run_folder,
    check_tiles,
)
from training.formats import yolo
from training.tilefolder import read_listing, read_manifest, tiles_at

NAMES = dict(enumerate(class_names()))
MANIFEST: dict[str, Any] = {
    "digest": "ab",
    "gsd_m": 0.3,
    "tile_px": 64,
    "counts": {"train": {"tiles": 1}, "val": {"tiles": 1}},
    "facilities": {"train": ["alpha", "gamma"], "val": ["beta"]},
    "settings": {},
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with one tile in each split; only names are looked at."""
    for split in ("train", "val"):
        (tmp_path / "images" / split).mkdir(parents=True)
        (tmp_path / "images" / split / "0.jpg").touch()
    describe(tmp_path)
    return tmp_path


def describe(data: Path, **more: object) -> None:
    content: dict[str, object] = {"train": "images/train", "val": "images/val", "names": NAMES}
    (data / "data.yaml").write_text(yaml.safe_dump(content | more))


class TestTiles:
    def test_a_whole_folder_passes(self, data: Path) -> None:
        check_tiles(data, 0.30)
        (data / "manifest.json").write_text(json.dumps(MANIFEST))
        check_tiles(data, 0.30)

    @pytest.mark.parametrize("split", ["train", "val"])
    def test_an_empty_split(self, data: Path, split: str) -> None:
        (data / "images" / split / "0.jpg").rename(data / "images" / split / "0.txt")
        with pytest.raises(UsageError, match=rf"data\.yaml: {split} has no tiles"):
            check_tiles(data, 0.30)

    @pytest.mark.parametrize("entry", [None, [], "images/none", ["images/none"]])
    def test_a_split_that_is_not_there(self, data: Path, entry: object) -> None:
        describe(data, val=entry)
        with pytest.raises(UsageError, match="val has no tiles"):
            check_tiles(data, 0.30)

    def test_a_list_of_tiles(self, data: Path) -> None:
        describe(data, train="train.txt")
        (data / "train.txt").write_text("./images/train/0.jpg\n" * 2)
        check_tiles(data, 0.30)
        for nothing in ("", "\n", "./images/train/1.jpg\n"):
            (data / "train.txt").write_text(nothing)
            with pytest.raises(UsageError, match="train has no tiles"):
                check_tiles(data, 0.30)

    def test_other_words_for_the_same_places(self, data: Path) -> None:
        content = {"train": ["../images/train"], "validation": "../images/val", "names": NAMES}
        (data / "data.yaml").write_text(yaml.safe_dump(content))
        check_tiles(data, 0.30)

    def test_tiles_elsewhere(self, data: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
        other = tmp_path_factory.mktemp("other")
        describe(other, path=str(data))
        check_tiles(other, 0.30)

    def test_another_gsd(self, data: Path) -> None:
        (data / "manifest.json").write_text(json.dumps(MANIFEST))
        with pytest.raises(UsageError, match=r"have 0\.3 m per pixel, but the settings say gsd_m 0\.5.*gsd_m: 0\.3"):
            check_tiles(data, 0.50)

    @pytest.mark.parametrize(
        ("content", "reason"), [("{", "cannot be read"), ("{}", "digest: Field required"), ("[]", "valid dictionary")]
    )
    def test_a_damaged_manifest(self, data: Path, content: str, reason: str) -> None:
        (data / "manifest.json").write_text(content)
        with pytest.raises(UsageError, match=reason):
            check_tiles(data, 0.30)

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            ("a: [1", "is not YAML"),
            ("tiles", "is no YAML mapping"),
            ("", "is no YAML mapping"),
            ("train: images/train", "has no `names`"),
            ("names: 5", "`names` is 5, no list of names"),
            ("names: [a]\nval: 3", "line 2: `val` is 3, no path"),
            ("names: [a]\ntrain: [[a]]", r"line 2: `train` is \['a'\], no path"),
        ],
    )
    def test_a_damaged_description(self, data: Path, content: str, reason: str) -> None:
        (data / "data.yaml").write_text(content)
        with pytest.raises(UsageError, match=reason):
            check_tiles(data, 0.30)

    def test_the_folder_of_the_file_is_where_paths_begin(self, data: Path) -> None:
        describe(data, path=".")
        check_tiles(data, 0.30)

    def test_what_our_own_writer_makes(self, tmp_path: Path) -> None:
        yolo.write([annotations_of(photo(tmp_path / "a.png"), [])], tmp_path / "out")
        assert "path" not in yaml.safe_load((tmp_path / "out" / "data.yaml").read_text())
        check_tiles(tmp_path / "out", 0.30)

    def test_names_in_another_order(self, data: Path) -> None:
        numbers = dict(zip(reversed(NAMES), NAMES.values(), strict=True))
        describe(data, names=numbers)
        with pytest.raises(UsageError, match="numbered from 0"):
            check_tiles(data, 0.30)

    def test_one_place_of_several_that_is_not_there(self, data: Path) -> None:
        describe(data, val=["images/val", "images/more"])
        with pytest.raises(UsageError, match=r"line \d+: val: .*images/more does not exist"):
            check_tiles(data, 0.30)

    def test_where_the_tiles_are(self, data: Path) -> None:
        """Folders, and what a text file lists, relative to it or to the data.yaml, as often as it does."""
        (data / "lists").mkdir()
        (data / "lists" / "0.jpg").touch()
        (data / "lists" / "train.txt").write_text("./0.jpg\n./0.jpg\nimages/train/0.jpg\n")
        describe(data, train=["../images/train", "lists/train.txt"])
        beside = data / "lists" / "0.jpg"
        found = tiles_at(read_listing(data), "train")
        assert found == [data / "images" / "train", beside, beside, data / "images" / "train" / "0.jpg"]

    def test_what_a_run_keeps_of_the_manifest(self, data: Path) -> None:
        assert read_manifest(data) is None
        (data / "manifest.json").write_text(json.dumps(MANIFEST))
        kept = read_manifest(data)
        assert kept is not None
        assert kept.summary() == {
            "digest": "ab",
            "tile_px": 64,
            "counts": MANIFEST["counts"],
            "facilities": {"train": 2, "val": 1},
        }


class TestRunFolder:
    def test_a_new_one_or_one_in_which_nothing_was_learnt(self, tmp_path: Path) -> None:
        for resume in (False, True):
            check_run_folder(tmp_path / "new", 0.3, resume=resume)
            (tmp_path / "config.json").write_text('{"gsd_m": 0.5}')
            check_run_folder(tmp_path, 0.3, resume=resume)

    @pytest.mark.parametrize("name", WRITTEN)
    def test_a_run_is_not_replaced(self, tmp_path: Path, name: str) -> None:
        for held in ("weights/last.pt", name):
            (tmp_path / held).parent.mkdir(exist_ok=True)
            (tmp_path / held).touch()
        with pytest.raises(UsageError, match=r"holds a run already.*--resume goes on with it, another --out begins"):
            check_run_folder(tmp_path, 0.3, resume=False)
        check_run_folder(tmp_path, 0.3, resume=True)

    def test_a_best_without_what_resuming_needs(self, tmp_path: Path) -> None:
        (tmp_path / "weights").mkdir()
        (tmp_path / "weights" / "best.pt").touch()
        with pytest.raises(UsageError, match=r"neither weights/step\.pt nor last\.pt to resume.*--start .*best\.pt"):
            check_run_folder(tmp_path, 0.3, resume=True)
        (tmp_path / "weights" / "step.pt").touch()
        check_run_folder(tmp_path, 0.3, resume=True)

    def test_another_gsd(self, tmp_path: Path) -> None:
        (tmp_path / "weights").mkdir()
        (tmp_path / "weights" / "last.pt").touch()
        (tmp_path / "config.json").write_text('{"gsd_m": 0.5}')
        check_run_folder(tmp_path, 0.5, resume=True)
        with pytest.raises(UsageError, match=r"begun at gsd_m 0\.5, but the settings say 0\.3"):
            check_run_folder(tmp_path, 0.3, resume=True)
        (tmp_path / "config.json").write_text("{")
        with pytest.raises(UsageError, match=r"config\.json: cannot be read.*Delete it"):
            check_run_folder(tmp_path, 0.3, resume=True)

    def test_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "run").touch()
        with pytest.raises(UsageError, match="is not a folder"):
            check_run_folder(tmp_path / "run", 0.3, resume=False)


@pytest.mark.parametrize("devices", ["auto", "cpu", "cpu,cpu"])
def test_processors_are_there(devices: str) -> None:
    check_devices(devices)


@pytest.mark.parametrize("devices", ["", "0,0", "cuda", "0,", "-1", "cpu,0"])
def test_devices_that_are_none(devices: str) -> None:
    with pytest.raises(UsageError, match="names none"):
        check_devices(devices)
