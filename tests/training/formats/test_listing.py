"""The data.yaml of YOLO: layouts of other tools, and what is wrong in it."""

from pathlib import Path

import pytest

from detector.errors import UsageError
from tests.training.formats.fakes import photo
from training.classes import Vocabulary
from training.formats import read, yolo
from training.formats.listing import labels_of

WORDS = Vocabulary.of("yolo")
LABEL = "0 0.25 0.5 0.5 0.5 0.5 0.6 0.25 0.6\n"


def labelled(image: Path) -> Path:
    """An image with one label; returns its file of labels."""
    label = labels_of(photo(image))
    label.parent.mkdir(parents=True, exist_ok=True)
    label.write_text(LABEL)
    return label


def listing(folder: Path, text: str, names: str = "names: [railcar]") -> Path:
    path = folder / "data.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{names}\n{text}\n")
    return path


class TestLayouts:
    def test_roboflow_writes_one_folder_too_high(self, tmp_path: Path) -> None:
        folder = tmp_path / "export"
        for split in ("train", "valid"):
            labelled(folder / split / "images" / f"{split}.png")
        listing(folder, "train: ../train/images\nval: ../valid/images")
        found, faults = read(folder)
        assert not faults
        assert [each.image for each in found] == [folder / s / "images" / f"{s}.png" for s in ("train", "valid")]
        assert [len(each) for each in found] == [1, 1]

    def test_a_folder_that_is_there_is_meant(self, tmp_path: Path) -> None:
        for folder in (tmp_path / "train", tmp_path / "export" / "train"):
            labelled(folder / "images" / "a.png")
        listing(tmp_path / "export", "train: ../train/images")
        (found,), _ = read(tmp_path / "export")
        assert found.image == tmp_path / "train" / "images" / "a.png"

    def test_a_split_may_be_called_validation(self, tmp_path: Path) -> None:
        labelled(tmp_path / "images" / "a.png")
        listing(tmp_path, "validation: images")
        assert len(read(tmp_path)[0]) == 1

    def test_a_list_of_images_may_begin_with_a_byte_order_mark(self, tmp_path: Path) -> None:
        labelled(tmp_path / "images" / "a.png")
        (tmp_path / "train.txt").write_text("\ufeff./images/a.png\n./images/gone.png\n")
        listing(tmp_path, "train: train.txt")
        found, (fault,) = read(tmp_path)
        assert len(found) == 1
        assert (fault.file.name, fault.line) == ("train.txt", 2)
        assert "gone.png is not there" in fault.reason

    def test_lines_that_begin_with_a_dot_are_beside_the_text(self, tmp_path: Path) -> None:
        labelled(tmp_path / "images" / "a.png")
        labelled(tmp_path / "lists" / "images" / "b.png")
        (tmp_path / "lists" / "train.txt").write_text("./images/b.png\nimages/a.png\n./images/a.png\n")
        listing(tmp_path, "train: lists/train.txt")
        found, (fault,) = read(tmp_path)
        assert [each.image.name for each in found] == ["b.png", "a.png"]
        assert (fault.file.name, fault.line) == ("train.txt", 3)


class TestFaults:
    @pytest.mark.parametrize(("place", "what"), [("images/vla", "does not exist"), ("empty", "holds no image")])
    def test_a_split_without_images_has_file_and_line(self, tmp_path: Path, place: str, what: str) -> None:
        labelled(tmp_path / "images" / "train" / "a.png")
        (tmp_path / "empty").mkdir()
        source = listing(tmp_path, f"train: images/train\nval: {place}")
        found, (fault,) = read(tmp_path)
        assert len(found) == 1
        assert (fault.file, fault.line) == (source, 3)
        assert fault.reason.startswith("val: ")
        assert what in fault.reason

    def test_without_splits_there_is_no_image(self, tmp_path: Path) -> None:
        listing(tmp_path, "")
        found, (fault,) = read(tmp_path)
        assert not found
        assert "states none of train, val" in fault.reason

    def test_labels_without_an_image_are_listed(self, tmp_path: Path) -> None:
        label = labelled(tmp_path / "images" / "train" / "sub" / "a.png")
        orphans = [label.with_name("b.txt"), label.parent.parent / "c.txt"]
        for orphan in orphans:
            orphan.write_text(LABEL)
        label.with_name("classes.txt").write_text("railcar\n")
        listing(tmp_path, "train: images/train\nval: images")
        found, faults = read(tmp_path)
        assert len(found) == 1
        assert [fault.file for fault in faults] == sorted(orphans)
        assert {fault.reason for fault in faults} == {"has no image: left out"}

    def test_labels_of_images_that_are_not_listed_have_theirs(self, tmp_path: Path) -> None:
        for name in ("a", "b"):
            labelled(tmp_path / "images" / f"{name}.png")
        (tmp_path / "train.txt").write_text("images/a.png\n")
        listing(tmp_path, "train: train.txt")
        found, faults = read(tmp_path)
        assert len(found) == 1
        assert not faults

    def test_texts_beside_the_images_are_no_orphans(self, tmp_path: Path) -> None:
        labelled(tmp_path / "train" / "a.png")
        (tmp_path / "train" / "README.txt").write_text("all rights reserved")
        listing(tmp_path, "train: train")
        found, faults = read(tmp_path)
        assert len(found) == 1
        assert not faults

    def test_an_image_that_cannot_be_read_is_listed_once(self, tmp_path: Path) -> None:
        label = labelled(tmp_path / "images" / "a.png")
        (tmp_path / "images" / "a.png").write_bytes(b"nothing")
        listing(tmp_path, "train: images")
        found, (fault,) = read(tmp_path)
        assert not found
        assert fault.file == label
        assert "cannot be read as an image" in fault.reason

    def test_a_byte_order_mark_is_no_part_of_a_class(self, tmp_path: Path) -> None:
        label = labelled(tmp_path / "images" / "a.png")
        label.write_text(f"\ufeff{LABEL}")
        source = listing(tmp_path, "train: images")
        source.write_text(f"\ufeff{source.read_text()}")
        (found,), faults = read(tmp_path)
        assert not faults
        assert len(found) == 1


class TestListing:
    @pytest.mark.parametrize("prefix", ["", "yolo:"])
    def test_broken_yaml_has_its_line(self, tmp_path: Path, prefix: str) -> None:
        source = listing(tmp_path, "train: images/train", names="names: [railcar")
        found, (fault,) = read(f"{prefix}{tmp_path}")
        assert not found
        assert (fault.file, fault.line) == (source, 2)
        assert "is not YAML" in fault.reason

    @pytest.mark.parametrize(
        ("names", "splits", "words"),
        [
            ("names: {a: railcar}", "train: images", "line 1: `names` has 'a' where a class number should be"),
            ("names: [railcar]", "train: 5", "line 2: `train` is 5, no path"),
            ("names: [railcar]", "train: [images, {a: b}]", "line 2: `train` is {'a': 'b'}, no path"),
        ],
    )
    def test_wrong_members_are_errors_with_line_and_cure(
        self, tmp_path: Path, names: str, splits: str, words: str
    ) -> None:
        listing(tmp_path, splits, names)
        with pytest.raises(UsageError, match="Write") as caught:
            read(tmp_path)
        assert f"{tmp_path / 'data.yaml'}, {words}" in str(caught.value)

    @pytest.mark.parametrize(("text", "words"), [("nc: 1", "has no `names`"), ("- a", "is no YAML mapping")])
    def test_a_file_that_is_named_is_never_passed_over(self, tmp_path: Path, text: str, words: str) -> None:
        path = listing(tmp_path, "", text)
        _, (fault,) = yolo.read(path, WORDS)
        assert words in fault.reason
        path.write_text("names: railcar\n")
        with pytest.raises(UsageError, match="no list of names"):
            yolo.read(path, WORDS)

    def test_a_folder_without_one_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "other.yaml").write_text("nc: 1\n")
        with pytest.raises(UsageError, match=r"holds no data\.yaml with `names`"):
            read(f"yolo:{tmp_path}")
