"""The benchmark on real scenes: what is judged with which weights, and what it calls right and wrong."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from PIL import Image, ImageColor

from benchmarks import bench_real
from benchmarks.bench_real import Seen, Task, measure, over_turns, products, tasks
from benchmarks.overlay import COLOURS
from detector.classscores import ClassScores
from detector.config import class_table
from detector.errors import UsageError
from detector.geometry import xywhr_from_corners
from detector.pixels.georef import scene_px_to_lonlat
from tests.annotated import Wagon, annotated_scene
from training.annotated import AnnotatedScene
from training.evaluation.truth import Found, Frame, Place, Truth


def test_weights_meet_their_strips() -> None:
    scene = annotated_scene([], (240, 640))
    assert [(task.scene.name, task.weights) for task in tasks(scene, [None], 0)] == [(scene.name, None)]
    assert [task.weights for task in tasks(scene, ["a"], 3)] == ["a"] * 3
    several = tasks(scene, ["a", "b", "c"], 0)
    assert [task.weights for task in several] == ["a", "b", "c"]
    assert sum(task.scene.valid.size for task in several) == scene.valid.size
    with pytest.raises(UsageError, match="2 weights do not fit 3 folds"):
        tasks(scene, ["a", "b"], 3)


def test_products_show_the_same_wagons() -> None:
    scene = annotated_scene([Wagon(100, 40)])
    shown = products(scene)
    own, coarse, grey, soft, sharp = shown.values()
    assert list(shown) == ["0.25 m", "0.50 m", "0.25 m, one band", "0.25 m, soft", "0.25 m, sharpened"]
    assert own is scene
    assert coarse.gsd_m == pytest.approx((0.5, 0.5), rel=1e-3)
    assert grey.image.shape == (*scene.valid.shape, 1)
    assert soft.image.std() < scene.image.std() < sharp.image.std()
    for other in (grey, soft, sharp):
        assert other.objects is scene.objects
    assert len({each.name for each in shown.values()}) == 5
    assert products(coarse)["0.50 m"] is coarse
    reflectances = replace(scene, image=(scene.image / 255).astype(np.float32))
    for of_numbers, of_levels in zip(products(reflectances).values(), shown.values(), strict=True):
        assert of_numbers.image == pytest.approx(of_levels.image / 255, abs=1 / 255)


def place_of(scene: AnnotatedScene, detections: list[Wagon], scores: list[float]) -> Place:
    """The scene's truth and these detections, those of at least 0.5 at the operating threshold."""
    frame = Frame.of({"geometry": shapely.Polygon(scene.outline()), "gsd_m": 0.25})

    def boxes(of: AnnotatedScene) -> np.ndarray:
        return xywhr_from_corners(frame.from_lonlat(scene_px_to_lonlat(of.grid, of.objects.corners_px)))

    names, score = np.array(["railcar"] * len(scores)), np.array(scores)
    scores = ClassScores.named(names, score, class_table().names)
    found = Found(boxes(annotated_scene(detections)), names, scores, score, score >= 0.5)
    many = len(scene.objects)
    truth = Truth(
        boxes(scene), scene.objects.class_name, np.array([""] * many), scene.objects.visible, np.ones(many, dtype=bool),
        np.zeros(many, dtype=bool), shapely.Polygon(),
    )  # fmt: skip
    return Place({"facility_id": scene.name, "scene_id": scene.name}, found, truth, {}, frame)


def test_turns_tell_mean_and_range(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wagons = [Wagon(100, 40), Wagon(60, 140)]
    counted = {"count": 2.0, "lo95": None, "hi95": None}
    seen = []

    def found(task: Task, folder: Path) -> Seen:
        seen.append(folder)
        is_mirrored = "mirrored" in task.scene.name
        place = place_of(task.scene, [] if is_mirrored else wagons[:1], [0.9])
        return Seen(place, counted | {"count": 1.0 if is_mirrored else 2.0})

    monkeypatch.setattr(bench_real, "find", found)
    untouched = annotated_scene(wagons)
    one = Seen(place_of(untouched, wagons[:1], [0.9]), counted)
    figures = over_turns([(Task(untouched, None), one)], tmp_path)
    assert len(set(seen)) == 7
    assert figures["recall_50"] == {"mean": 0.25, "least": 0.0, "most": 0.5}
    assert figures["count"] == {"mean": 1.5, "least": 1.0, "most": 2.0}
    assert "lo95" not in figures  # without a calibration
    assert "count" not in over_turns([(Task(untouched, None), one)] * 2, tmp_path)  # strips of a scene
    nothing = annotated_scene([])
    assert "recall_50" not in over_turns([(Task(nothing, None), Seen(place_of(nothing, [], []), counted))], tmp_path)


def test_every_fault_is_listed_and_drawn(tmp_path: Path) -> None:
    scene = annotated_scene([Wagon(100, y) for y in (40, 90, 140, 190)])
    # right; half a length off (IoU 1/3); missed with a faint detection; missed; and a false alarm
    detections = [Wagon(100, 40), Wagon(128, 90), Wagon(102, 140), Wagon(100, 220)]
    seen = Seen(place_of(scene, detections, [0.9, 0.8, 0.3, 0.6]), {})
    result = measure([(Task(scene, None), seen)] * 2, tmp_path)
    assert (result["n_true"], result["n_detected"], result["count_error"]) == (8, 6, -2)
    assert (result["precision_50"], result["recall_50"]) == pytest.approx((1 / 3, 1 / 4), abs=1e-3)
    assert (result["precision_30"], result["recall_30"]) == pytest.approx((2 / 3, 1 / 2), abs=1e-3)
    first = result["faults"][:4]
    assert result["faults"][4:] == first
    listed = [(fault["fault"], fault["x_px"], fault["y_px"], fault["score"]) for fault in first]
    assert listed == [
        ("false", 100, 220, 0.6), ("loose", 128, 90, 0.8), ("missed", 100, 140, 0.3), ("missed", 100, 190, 0.0)
    ]  # fmt: skip
    with Image.open(tmp_path / f"{scene.name}.png") as picture:
        scale = picture.width // scene.valid.shape[1]
        shown = np.asarray(picture.convert("RGB"))
    for y, kind in ((40, "found"), (90, "loose"), (140, "missed"), (220, "false")):
        # the upper long side of each box, 6 pixels above its middle
        around = shown[(y - 8) * scale : (y - 4) * scale, 95 * scale : 105 * scale].reshape(-1, 3)
        assert (around == ImageColor.getrgb(COLOURS[kind])).all(axis=1).any()
