"""A source finds its format; rotations are found where they can be."""

import json
from pathlib import Path

import numpy as np
import pytest

from detector.errors import UsageError
from detector.geometry import corners_from_xywhr
from tests.support import placed, yard
from tests.training.formats.fakes import GSD_M, annotations_of, hulls, iou, photo, scene
from training.classes import class_index
from training.formats import Annotations, as_truth, coco, dota, read, yolo
from training.formats.reading import with_rotations

ROW = [(120.0, 200.0, 50.0, 10.0, 0.4, float(class_index("railcar")), 0.0)]


def xview(annotations: Annotations, folder: Path) -> None:
    features = [
        {"type": "Feature", "geometry": None, "properties": {
            "bounds_imcoords": ",".join(f"{value:.0f}" for value in (*box.min(axis=0), *box.max(axis=0))),
            "type_id": 35, "image_id": annotations.image.name,
        }}
        for box in annotations.corners_px
    ]  # fmt: skip
    path = folder / "xView_train.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))


@pytest.fixture
def annotations(tmp_path: Path) -> Annotations:
    return annotations_of(photo(tmp_path / "train_images" / "1.png"), ROW)


@pytest.mark.parametrize("name", ["xview", "dota", "coco", "yolo", "polygons"])
def test_the_format_is_found(annotations: Annotations, tmp_path: Path, name: str) -> None:
    writers = {
        "xview": lambda: xview(annotations, tmp_path),
        "dota": lambda: dota.write([annotations], tmp_path),
        "coco": lambda: coco.write([annotations], tmp_path / "truth.json"),
        "yolo": lambda: yolo.write([annotations], tmp_path),
        "polygons": lambda: as_truth(annotations, tmp_path),
    }
    writers[name]()
    if name == "yolo":
        annotations.image.unlink()
        photo(annotations.image)
    for source in (tmp_path, f"{name}:{tmp_path}", f"{name}:{tmp_path}@0.45"):
        found, faults = read(source)
        assert len(found) == 1
        assert found[0].classes.tolist() == [class_index("railcar")]
        stated = {"xview": 0.3, "dota": 0.3}.get(name)
        assert found[0].gsd_m == (0.45 if "@" in str(source) and name != "dota" else stated)
        assert not faults
        if name != "xview":
            assert iou(found[0].corners_px, annotations.corners_px)[0] > 0.99


def test_several_formats_ask_for_a_name(annotations: Annotations, tmp_path: Path) -> None:
    dota.write([annotations], tmp_path)
    coco.write([annotations], tmp_path / "truth.json")
    with pytest.raises(UsageError, match="may be any of dota, coco"):
        read(tmp_path)
    assert read(f"coco:{tmp_path}")[0][0].source.name == "truth.json"


@pytest.mark.parametrize(
    ("source", "words"),
    [("{}", "no annotations of a known format"), ("{}/none", "does not exist"), ("dota:{}/none", "does not exist")]
    + [(f"{{}}@{gsd}", "must be a positive number") for gsd in ("0", "-1", "nan", "much", "")],
)
def test_a_wrong_source_is_an_error(tmp_path: Path, source: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read(source.format(tmp_path))


def test_labels_of_the_user_go_before(annotations: Annotations, tmp_path: Path) -> None:
    dota.write([annotations], tmp_path)
    labels = tmp_path / "mine.yaml"
    labels.write_text("railcar: locomotive\n")
    assert read(f"dota:{tmp_path}", labels=labels)[0][0].classes.tolist() == [class_index("locomotive")]


def test_an_image_with_two_annotations_is_used_once(annotations: Annotations, tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        coco.write([annotations], tmp_path / name)
    found, (fault,) = read(tmp_path)
    assert [each.source.name for each in found] == ["a.json"]
    assert (fault.file.name, fault.line) == ("b.json", 0)
    assert "already" in fault.reason


def test_xview_boxes_become_oriented(tmp_path: Path) -> None:
    """A string of cars at 30 degrees in an image that shows nothing."""
    boxes, shape = placed(yard(2, 5, angle_deg=30.0, gsd_m=GSD_M, length_m=15.0))
    scene(tmp_path / "train_images" / "1.tif", np.full(shape, 100, dtype=np.uint8))
    corners = corners_from_xywhr(boxes)
    drawn = [(*box, float(class_index("railcar")), 0.0) for box in boxes]
    xview(annotations_of(tmp_path / "train_images" / "1.tif", drawn), tmp_path)
    (found,), faults = read(tmp_path)
    assert not faults
    assert not found.axis_aligned.any()
    assert (iou(found.corners_px, corners) > 0.7).all()
    assert (found.visible == 1).all()


def test_boxes_cut_by_the_edge_and_ignored_ones_stay_upright(tmp_path: Path) -> None:
    boxes, _ = placed(yard(1, 5, angle_deg=30.0, gsd_m=GSD_M, length_m=15.0), (0.5, 40.0))
    photo(tmp_path / "a.png")
    drawn = [(*box, float(class_index("railcar")), float(i == 2)) for i, box in enumerate(boxes)]
    each = annotations_of(tmp_path / "a.png", drawn)
    bounds = hulls(boxes)
    corners = np.stack([bounds[:, [0, 2, 2, 0]], bounds[:, [1, 1, 3, 3]]], axis=2)
    each = Annotations(**(vars(each) | {"corners_px": corners, "axis_aligned": np.ones(5, dtype=bool)}))
    found = with_rotations(each)
    first = int(bounds[:, 0].argmin())
    assert sorted(np.flatnonzero(found.axis_aligned)) == sorted({first, 2})
    assert found.corners_px[found.axis_aligned].tolist() == corners[found.axis_aligned].tolist()
    assert with_rotations(Annotations(**(vars(each) | {"gsd_m": None}))).axis_aligned.all()
