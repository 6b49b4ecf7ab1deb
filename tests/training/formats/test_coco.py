"""COCO: polygons, rotated and upright boxes, crowds, and the way there and back."""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.formats.fakes import FEW, annotations_of, assert_same, iou, photo, rows
from training.classes import Vocabulary, class_index
from training.formats import coco

WORDS = Vocabulary.of("coco")
SQUARE = [100, 100, 150, 100, 150, 110, 100, 110]


def collection(folder: Path, annotations: list[Any], indent: int | None = None, **image: Any) -> Path:  # noqa: ANN401
    photo(folder / "images" / "a.png")
    content = {
        "info": {"note": 'with "annotations": [ in a text'},
        "images": [{"id": 7, "file_name": "a.png", "width": 400, "height": 400} | image],
        "categories": [{"id": 1, "name": "railcar"}, {"id": 3, "name": "truck"}],
        "annotations": annotations,
    }
    path = folder / "annotations" / "instances.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=indent))
    return path


def entry(**changes: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"id": 1, "image_id": 7, "category_id": 1, "iscrowd": 0, "bbox": [100, 100, 50, 10]} | changes


def test_polygons_go_before_boxes_and_crowds_are_ignored(tmp_path: Path) -> None:
    halves = [[100, 100, 120, 100, 120, 110, 100, 110], [130, 100, 150, 100, 150, 110, 130, 110]]
    collection(
        tmp_path,
        [entry(segmentation=[SQUARE]), entry(), entry(segmentation=halves), entry(iscrowd=1), entry(segmentation=[])],
    )
    (found,), faults = coco.read(tmp_path, WORDS, 0.5)
    assert not faults
    assert found.gsd_m == 0.5
    assert found.axis_aligned.tolist() == [False, True, False, True, True]
    assert found.ignore.tolist() == [False, False, False, True, False]
    assert (found.classes == class_index("railcar")).all()
    np.testing.assert_allclose(iou(found.corners_px, np.repeat(found.corners_px[:1], 5, axis=0)), 1, atol=1e-6)


def test_a_rotated_box_turns_counter_clockwise_on_the_screen(tmp_path: Path) -> None:
    collection(tmp_path, [entry(bbox=[200, 200, 100, 20, 30])])
    (found,), _ = coco.read(tmp_path, WORDS)
    assert not found.axis_aligned.any()
    right_end = found.corners_px[0][found.corners_px[0][:, 0] > 200].mean(axis=0)
    assert right_end == pytest.approx([200 + 50 * np.cos(np.pi / 6), 200 - 25])  # up, where y is smaller


@pytest.mark.parametrize("indent", [None, 1])
def test_faults_name_file_and_place(tmp_path: Path, indent: int | None) -> None:
    wrong = [
        entry(category_id=9),
        entry(image_id=8),
        entry(bbox=[1, 2, 3]),
        entry(bbox=[100, 100, -50, 10]),
        entry(segmentation=[[1, 2, 3, 4, 5]]),
        entry(segmentation={"size": [400, 400], "counts": "abc"}),
        entry(bbox=[100, 100, float("nan"), 10]),
        "nothing",
        entry(category_id=3),
    ]
    source = collection(tmp_path, [*wrong, entry()], indent)
    (found,), faults = coco.read(source, WORDS)
    words = ["'category 9'", "image_id 8", "3 numbers", "-50", "odd", "a mask", "nan", "TypeError", "'truck'"]
    by_line = sorted(faults, key=lambda fault: fault.line)
    for fault, word in zip(by_line, words, strict=True):
        assert word in fault.reason
    lines = source.read_text().splitlines()
    places = [fault.line for fault in by_line]
    if indent is None:
        assert places == list(range(1, 10))
        assert found.line[-1] == 10
    else:
        assert all(lines[place - 1].strip() in {"{", '"nothing",'} for place in places)
    assert found.ignore.tolist() == [True, False, True, False]


@pytest.mark.parametrize(
    ("image", "reason"), [({"file_name": "b.png"}, "is not there"), ({"width": 300}, "400 x 400 px, not 300 x 400")]
)
def test_images_that_do_not_fit_are_listed(tmp_path: Path, image: dict[str, Any], reason: str) -> None:
    collection(tmp_path, [entry()], **image)
    found, faults = coco.read(tmp_path, WORDS)
    assert not found
    assert [reason in fault.reason for fault in faults] == [True]


def test_images_without_annotations_are_empty(tmp_path: Path) -> None:
    collection(tmp_path, [])
    (found,), faults = coco.read(tmp_path, WORDS)
    assert len(found) == 0
    assert not faults


@pytest.mark.parametrize(("text", "line"), [("{", 1), ('{"images": [],\n"annotations": [}\n', 2)])
def test_broken_json_names_its_line(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "a.json"
    path.write_text(text + '"images" "annotations"')
    (fault,) = coco.read(path, WORDS)[1]
    assert (fault.file, fault.line) == (path, line)
    assert "not JSON" in fault.reason


@FEW
@given(rows, st.data())
def test_written_and_read_again(drawn: list[tuple[float, ...]], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        expected = annotations_of(photo(folder / "given" / "a.png"), drawn)
        visible = data.draw(st.lists(st.floats(0, 1), min_size=len(drawn), max_size=len(drawn)))
        expected = type(expected)(**(vars(expected) | {"visible": np.array(visible)}))
        assert coco.write([expected], folder / "truth.json") == []
        (found,), faults = coco.read(folder / "truth.json", WORDS, expected.gsd_m)
        assert not faults
        assert_same(found, expected, 0.00051)
        lines = (folder / "truth.json").read_text().splitlines()
        assert all(json.loads(lines[line - 1].rstrip(","))["image_id"] == 1 for line in found.line)


def test_boxes_of_unknown_rotation_stay_so(tmp_path: Path) -> None:
    each = annotations_of(photo(tmp_path / "a.png"), [(100, 100, 50, 10, 0, 0, False)])
    each = type(each)(**(vars(each) | {"axis_aligned": np.array([True])}))
    coco.write([each], tmp_path / "truth.json")
    (found,), _ = coco.read(tmp_path / "truth.json", WORDS)
    assert found.axis_aligned.all()
    assert iou(found.corners_px, each.corners_px)[0] == pytest.approx(1)


def many(folder: Path, count: int, *, in_the_middle: bool) -> Path:
    """A JSON with more images than fit into 64 KB; the annotations stand before, between or after the others."""
    photo(folder / "images" / "a.png")
    images = [{"id": 7, "file_name": "a.png"}]
    images += [{"id": 100 + i, "file_name": f"{'long' * 20}{i}.png"} for i in range(count)]
    categories = [{"id": i, "name": "railcar" if i == 1 else f"kind {'x' * 80} {i}"} for i in range(1, count)]
    parts: dict[str, Any] = {"images": images, "annotations": [entry()], "categories": categories}
    if not in_the_middle:
        parts = {"annotations": [entry()], "categories": [], "images": images}
    path = folder / "truth.json"
    path.write_text(json.dumps(parts))
    return path


@pytest.mark.parametrize("in_the_middle", [True, False])
def test_long_files_are_recognised(tmp_path: Path, in_the_middle: bool) -> None:
    source = many(tmp_path, 1500, in_the_middle=in_the_middle)
    assert source.stat().st_size > 1 << 17
    assert coco.claims(tmp_path)
    assert coco.claims(source)
    for path in (tmp_path, source):
        (found,), faults = coco.read(path, WORDS)
        assert len(found) == 1
        assert len([fault for fault in faults if "is not there" in fault.reason]) == 1500


def test_our_own_long_file_is_read(tmp_path: Path) -> None:
    image = photo(tmp_path / "a.png", (64, 64))
    each = annotations_of(image, [(32, 32, 20, 8, 0, 0, False)])
    coco.write([each] * 1200, tmp_path / "truth.json")
    assert (tmp_path / "truth.json").stat().st_size > 1 << 17
    assert coco.claims(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "[1]", '{"images": 5, "annotations": "none"}', '{"note": "\\"images\\": [ and \\"annotations\\": ["}'],
)
def test_other_json_is_not_claimed(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    assert not coco.claims(tmp_path)
    assert not coco.claims(tmp_path / "a.json")
    assert coco.read(tmp_path, WORDS) == ([], [])


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.json", "{}", "no list of images and annotations"),
        ("a.json", '{"images": []}', "no list of annotations"),
        ("a.json", "", "is not JSON"),
        ("a.txt", "[]", "is not JSON"),
    ],
)
def test_a_file_that_is_named_is_never_passed_over(tmp_path: Path, name: str, text: str, reason: str) -> None:
    (tmp_path / name).write_text(text)
    found, (fault,) = coco.read(tmp_path / name, WORDS)
    assert not found
    assert reason in fault.reason


def twins(folder: Path, **parts: list[dict[str, Any]]) -> tuple[Path, list[str]]:
    """A JSON of two images with one annotation each; returns it and its lines."""
    for name in ("a", "b"):
        photo(folder / f"{name}.png")
    content: dict[str, list[dict[str, Any]]] = {
        "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}],
        "categories": [{"id": 1, "name": "railcar"}, {"id": 2, "name": "locomotive"}],
        "annotations": [entry(image_id=1), entry(image_id=2, category_id=2)],
    }
    path = folder / "truth.json"
    path.write_text(json.dumps(content | parts, indent=1))
    return path, path.read_text().splitlines()


def test_an_image_id_that_stands_for_two_images_says_nothing(tmp_path: Path) -> None:
    photo(tmp_path / "c.png")
    images = [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}, {"id": 1, "file_name": "c.png"}]
    source, lines = twins(tmp_path, images=images)
    (found,), (fault,) = coco.read(source, WORDS)
    assert found.image.name == "b.png"
    assert lines[fault.line].strip() == '"id": 1,'
    assert "id 1 is that of other images too, here of c.png" in fault.reason


def test_a_category_id_that_stands_for_two_names_says_nothing(tmp_path: Path) -> None:
    categories = [{"id": 1, "name": "railcar"}, {"id": 2, "name": "locomotive"}, {"id": 1, "name": "container"}]
    source, _ = twins(tmp_path, categories=categories)
    (first, second), faults = coco.read(source, WORDS)
    assert (first.ignore.tolist(), second.classes.tolist()) == ([True], [class_index("locomotive")])
    reasons = [fault.reason for fault in faults]
    assert "id 1 is that of other categories too, here of container" in reasons[0]
    assert reasons[1:] == ["unknown class 'category 1': its area is ignored"]


def test_categories_that_differ_in_case_and_separators_are_one(tmp_path: Path) -> None:
    path = collection(tmp_path, [entry(segmentation=[SQUARE])])
    content = json.loads(path.read_text())
    content["categories"] += [
        {"id": 1, "name": "Railcar"},
        {"id": 4, "name": "tank car"},
        {"id": 4, "name": "Tank_Car"},
    ]
    path.write_text(json.dumps(content))
    (found,), faults = coco.read(tmp_path, WORDS, 0.5)
    assert not faults
    assert found.classes.tolist() == [class_index("railcar")]


def test_the_same_said_twice_is_no_contradiction(tmp_path: Path) -> None:
    again = [{"id": 1, "file_name": "a.png"}] * 2, [{"id": 1, "name": "railcar"}] * 2
    source, _ = twins(tmp_path, images=again[0], categories=again[1], annotations=[entry(image_id=1)])
    (found,), faults = coco.read(source, WORDS)
    assert found.classes.tolist() == [class_index("railcar")]
    assert not faults
