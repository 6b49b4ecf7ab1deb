"""DOTA text: what it says, what is wrong with it, and the way there and back."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from tests.training.formats.fakes import FEW, annotations_of, assert_same, photo, rows, scene
from training.classes import NO_CLASS, Vocabulary, class_index
from training.formats import dota

WORDS = Vocabulary.of("dota")
HEADER = "imagesource:GoogleEarth\ngsd:0.146343590398\n"
OBJECT = "100.0 100.0 150.0 100.0 150.0 110.0 100.0 110.0"


def labelled(folder: Path, text: str) -> Path:
    photo(folder / "images" / "P0001.png")
    labels = folder / "labelTxt" / "P0001.txt"
    labels.parent.mkdir(exist_ok=True)
    labels.write_text(text)
    return labels


def test_objects_gsd_and_difficult(tmp_path: Path) -> None:
    labelled(
        tmp_path, f"{HEADER}{OBJECT} railcar 0\n{OBJECT} locomotive 1\n{OBJECT} large-vehicle 0\n{OBJECT} ignore 0\n"
    )
    (found,), faults = dota.read(tmp_path, WORDS)
    assert not faults
    assert found.classes.tolist() == [class_index("railcar"), class_index("locomotive"), NO_CLASS]
    assert found.ignore.tolist() == [False, True, True]
    assert found.line.tolist() == [3, 4, 6]
    assert found.gsd_m == pytest.approx(0.146343590398)
    assert found.corners_px[0].tolist() == [[100, 100], [150, 100], [150, 110], [100, 110]]
    assert not found.axis_aligned.any()


@pytest.mark.parametrize(
    ("header", "given_m", "expected"), [("gsd:null\n", 0.4, 0.4), ("", 0.4, 0.4), ("", None, None)]
)
def test_where_the_gsd_comes_from(tmp_path: Path, header: str, given_m: float | None, expected: float | None) -> None:
    labelled(tmp_path, f"{header}{OBJECT} railcar 0\n")
    assert dota.read(tmp_path, WORDS, given_m)[0][0].gsd_m == expected


def test_the_georeference_goes_before_the_header(tmp_path: Path) -> None:
    labelled(tmp_path, f"{HEADER}{OBJECT} railcar 0\n")
    (tmp_path / "images" / "P0001.png").unlink()
    scene(tmp_path / "images" / "P0001.tif")
    assert dota.read(tmp_path, WORDS)[0][0].gsd_m == pytest.approx(0.3, rel=1e-3)


def test_faults_name_file_and_line(tmp_path: Path) -> None:
    lines = [
        "gsd:0.3",
        f"{OBJECT} wagon 0",
        "1 2 3 4 5 6 railcar 0",
        "1 2 x 4 5 6 7 8 railcar 0",
        f"{OBJECT} railcar 0",
        "100 100 150 100 100 110 150 110 railcar 0",
        "10 10 60 10 60 10 10 10 railcar 0",
        "9000 10 9060 10 9060 20 9000 20 railcar 0",
        "",
    ]
    labels = labelled(tmp_path, "\n".join(lines) + "\n")
    (found,), faults = dota.read(tmp_path, WORDS)
    assert {fault.file for fault in faults} == {labels}
    reasons = {fault.line: fault.reason for fault in faults}
    assert list(reasons) == [2, 3, 4, 6, 7, 8]
    for line, words in {2: "'wagon'", 3: "8 fields", 4: "'x'", 6: "wrong order", 7: "no area", 8: "outside"}.items():
        assert words in reasons[line]
    assert found.line.tolist() == [2, 5, 6]


def test_images_and_labels_without_one_another_are_listed(tmp_path: Path) -> None:
    labelled(tmp_path, "")
    lonely = photo(tmp_path / "images" / "P0002.png")
    orphan = tmp_path / "labelTxt" / "P0003.txt"
    orphan.write_text(f"{OBJECT} railcar 0\n")
    found, faults = dota.read(tmp_path, WORDS)
    assert [(len(each), each.image.name) for each in found] == [(0, "P0001.png")]
    assert {fault.file for fault in faults} == {lonely, orphan}


def test_splits_with_equal_names_keep_to_their_folder(tmp_path: Path) -> None:
    for split in ("train", "val"):
        labelled(tmp_path / split, f"{OBJECT} railcar 0\n")
    found, faults = dota.read(tmp_path, WORDS)
    assert not faults
    assert [each.image.parent.parent.name for each in found] == ["train", "val"]


def test_an_image_that_cannot_be_read_is_listed(tmp_path: Path) -> None:
    labelled(tmp_path, f"{OBJECT} railcar 0\n")
    (tmp_path / "images" / "P0001.png").write_bytes(b"nothing")
    found, faults = dota.read(tmp_path, WORDS)
    assert not found
    assert "cannot be read as an image" in faults[0].reason


@FEW
@given(rows)
def test_written_and_read_again(drawn: list[tuple[float, ...]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        expected = annotations_of(photo(folder / "images" / "yard.a.png"), drawn)
        assert dota.write([expected], folder) == []
        (found,), faults = dota.read(folder, WORDS)
        assert not faults
        assert_same(found, expected, 0.0051)
        assert found.gsd_m == expected.gsd_m


def test_what_it_cannot_say_is_listed(tmp_path: Path) -> None:
    each = annotations_of(photo(tmp_path / "a.png"), [(100, 100, 50, 10, 0, 0, False)])
    each = type(each)(**(vars(each) | {"axis_aligned": np.array([True])}))
    (fault,) = dota.write([each], tmp_path / "out")
    assert "1 boxes of unknown rotation" in fault.reason


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("header", ["", HEADER])
def test_labels_in_any_folder_may_begin_with_a_byte_order_mark(tmp_path: Path, mark: str, header: str) -> None:
    photo(tmp_path / "images" / "a.png")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text(f"{mark}{header}{OBJECT} railcar 0\n")
    assert dota.claims(tmp_path)
    (found,), faults = dota.read(tmp_path, WORDS)
    assert not faults
    assert found.classes.tolist() == [class_index("railcar")]
