"""xView's GeoJSON over its TIFFs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.formats.fakes import photo, scene
from training.classes import NO_CLASS, Vocabulary, class_index
from training.formats import xview

WORDS = Vocabulary.of("xview")


def feature(bounds: object, type_id: object = 35, image_id: str = "100.tif") -> dict[str, Any]:
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [0, 1], [1, 1], [0, 0]]]},
        "properties": {"bounds_imcoords": bounds, "edited_by": "x", "type_id": type_id, "image_id": image_id},
    }


def dataset(folder: Path, features: list[Any]) -> Path:
    """As xView comes: labels beside the folder of TIFFs, and files that macOS has left there."""
    photo(folder / "train_images" / "100.tif")
    (folder / "train_images" / "._100.tif").write_bytes(b"macOS")
    path = folder / "xView_train.geojson"
    path.write_text('{"type": "FeatureCollection", "features": [\n' + ",\n".join(map(json.dumps, features)) + "\n]}")
    return path


def test_classes_boxes_and_gsd(tmp_path: Path) -> None:
    ids = [33, 34, 35, 36, 37, 38, 91, 89, 73, 18]
    source = dataset(tmp_path, [feature(f"10,{20 * i},60,{20 * i + 12}", type_id) for i, type_id in enumerate(ids)])
    (found,), faults = xview.read(tmp_path, WORDS)
    assert not faults
    expected = [class_index("railcar")] * 5 + [class_index("locomotive"), class_index("container"), NO_CLASS]
    assert found.classes.tolist() == expected
    assert found.ignore.tolist() == [False] * 7 + [True]
    assert found.axis_aligned.all()
    assert found.line.tolist() == list(range(2, 10))
    assert found.corners_px[1].tolist() == [[10, 20], [60, 20], [60, 32], [10, 32]]
    assert (found.source, found.gsd_m, found.size_px) == (source, 0.3, (400, 400))


def test_the_gsd_is_that_of_the_tiff_or_of_the_caller(tmp_path: Path) -> None:
    source = dataset(tmp_path, [feature("10,10,60,22")])
    assert xview.read(source, WORDS, 0.35)[0][0].gsd_m == 0.35
    scene(tmp_path / "train_images" / "100.tif", crs="EPSG:32633")
    assert xview.read(source, WORDS, 0.35)[0][0].gsd_m == pytest.approx(0.3, rel=1e-3)


def test_faults_name_file_and_line(tmp_path: Path) -> None:
    wrong = [
        feature("10,10,60,22", 999),
        feature("60,22,10,10"),
        feature("10,10,60"),
        feature([]),
        feature("10,10,10,22"),
        feature("500,10,560,22"),
        feature("10,x,60,22"),
        feature("-30,10,20,22"),
        feature("10,10,60,22", 35, "1395.tif"),
        {"type": "Feature"},
        feature("10,10,60,22"),
    ]
    source = dataset(tmp_path, wrong)
    (found,), faults = xview.read(source, WORDS)
    assert {fault.file for fault in faults} == {source}
    reasons = {fault.line: fault.reason for fault in faults}
    words = [
        "999",
        "wrong order",
        "xmin,ymin",
        "[]",
        "no area",
        "outside",
        "'x'",
        "sticks 30.0",
        "1395.tif",
        "KeyError",
    ]
    assert sorted(reasons) == list(range(2, 12))
    for line, word in enumerate(words, start=2):
        assert word in reasons[line]
    assert found.line.tolist() == [2, 3, 9, 12]
    assert found.visible[2] == pytest.approx(0.4)


def test_images_with_other_things_only_are_empty(tmp_path: Path) -> None:
    dataset(tmp_path, [feature("10,10,60,22", 73), feature("10,10,60,22", 75)])
    (found,), faults = xview.read(tmp_path, WORDS)
    assert len(found) == 0
    assert found.corners_px.shape == (0, 4, 2)
    assert not faults


def test_broken_json_names_its_line(tmp_path: Path) -> None:
    source = dataset(tmp_path, [feature("10,10,60,22")])
    source.write_text(source.read_text()[:-10])
    found, (fault,) = xview.read(source, WORDS)
    assert not found
    assert fault.line == 2
    assert np.all(["not JSON" in fault.reason, fault.file == source])
