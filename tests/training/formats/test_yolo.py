"""YOLO folders: oriented, upright and outlined boxes, and the way there and back."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given

from detector.errors import UsageError
from tests.training.formats.fakes import EDGE_PX, FEW, annotations_of, assert_same, photo, rows
from training.classes import Vocabulary, class_index
from training.formats import yolo

WORDS = Vocabulary.of("yolo")


def labelled(folder: Path, text: str | None, **listing: object) -> Path:
    """A folder with one image of 400 x 200 px; returns its file of labels."""
    photo(folder / "images" / "train" / "a.png", (400, 200))
    labels = folder / "labels" / "train" / "a.txt"
    labels.parent.mkdir(parents=True, exist_ok=True)
    if text is not None:
        labels.write_text(text)
    content = {"path": ".", "train": "images/train", "names": ["railcar", "Locomotive", "wagon"]} | listing
    (folder / "data.yaml").write_text(yaml.safe_dump(content))
    return labels


def test_oriented_upright_and_outlined(tmp_path: Path) -> None:
    oriented, box = "0 0.25 0.5 0.5 0.5 0.5 0.6 0.25 0.6", "1 0.5 0.5 0.25 0.1"
    outline = "0 0.25 0.5 0.5 0.5 0.5 0.55 0.5 0.6 0.25 0.6"
    labelled(tmp_path, f"{oriented}\n{box}\n\n{outline}\n")
    (found,), faults = yolo.read(tmp_path, WORDS, 0.4)
    assert not faults
    assert found.gsd_m == 0.4
    assert found.line.tolist() == [1, 2, 4]
    assert found.classes.tolist() == [class_index("railcar"), class_index("locomotive"), class_index("railcar")]
    assert found.axis_aligned.tolist() == [False, True, False]
    np.testing.assert_allclose(found.corners_px[0], [(100, 100), (200, 100), (200, 120), (100, 120)])
    np.testing.assert_allclose(found.corners_px[1], [(150, 90), (250, 90), (250, 110), (150, 110)])
    assert sorted(map(tuple, found.corners_px[2].round(6).tolist())) == [(100, 100), (100, 120), (200, 100), (200, 120)]


def test_faults_name_file_and_line(tmp_path: Path) -> None:
    lines = [
        "2 0.5 0.5 0.2 0.2",
        "7 0.5 0.5 0.2 0.2",
        "0 0.5 0.5 0.2",
        "0 a b c d",
        "0 0.5 0.5 0.2 0.2 0.9 0.1 nan nan",
    ]
    labels = labelled(tmp_path, "\n".join(lines))
    (found,), faults = yolo.read(tmp_path / "data.yaml", WORDS)
    assert [(fault.file, fault.line) for fault in faults] == [(labels, line) for line in (1, 2, 3, 4, 5)]
    for fault, words in zip(faults, ("'wagon'", "'number 7'", "3 coordinates", "'a'", "not finite"), strict=True):
        assert words in fault.reason
    assert found.line.tolist() == [1, 2]


def test_an_image_without_a_file_of_labels_is_no_empty_image(tmp_path: Path) -> None:
    labelled(tmp_path, None)
    found, faults = yolo.read(tmp_path, WORDS)
    assert not found
    assert "no file of labels" in faults[0].reason
    labelled(tmp_path, "")
    (empty,), faults = yolo.read(tmp_path, WORDS)
    assert len(empty) == 0
    assert not faults


@pytest.mark.parametrize(
    "listing", [{"path": "/not/here"}, {"train": ["images/train"], "val": "images/train"}, {"train": "list.txt"}]
)
def test_splits_may_be_folders_or_lists(tmp_path: Path, listing: dict[str, object]) -> None:
    labelled(tmp_path, "0 0.5 0.5 0.25 0.1\n", **listing)
    (tmp_path / "list.txt").write_text("./images/train/a.png\n")
    found, faults = yolo.read(tmp_path, WORDS)
    assert not faults
    assert len(found) == 1


def test_no_images_are_a_fault(tmp_path: Path) -> None:
    labelled(tmp_path, "", train="elsewhere")
    found, faults = yolo.read(tmp_path, WORDS)
    assert not found
    assert [(fault.line > 0, "does not exist" in fault.reason) for fault in faults] == [(True, True)]


@FEW
@given(rows)
def test_written_and_read_again(drawn: list[tuple[float, ...]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        expected = annotations_of(photo(folder / "given" / "a.png"), drawn)
        listed = yolo.write([expected], folder / "out")
        assert [fault.line for fault in listed] == expected.line[expected.ignore].tolist()
        (found,), faults = yolo.read(folder / "out", WORDS, expected.gsd_m)
        assert not faults
        kept = [row for row in drawn if not row[6]]
        assert_same(found, annotations_of(expected.image, kept), 0.51e-6 * EDGE_PX)


def test_two_images_of_one_name_are_refused(tmp_path: Path) -> None:
    twins = [annotations_of(photo(tmp_path / folder / "a.png"), []) for folder in ("x", "y")]
    with pytest.raises(UsageError, match="several images are called a"):
        yolo.write(twins, tmp_path / "out")
