"""The second stage has the last word on objects: their classes, where they lie, and whether they are any."""

# ruff: noqa: E402 - what needs torch is imported only where it is

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")

from detector.backends import RawBoxes, open_second
from detector.backends.second import BLOCK, SecondStage, probabilities
from detector.config import class_table
from detector.detection.boxes import owned
from detector.detection.planning import Planner
from detector.detection.reading import View
from detector.errors import RunMismatch, UsageError, WeightsError
from detector.facilities import load_facilities
from detector.pipeline import detect
from detector.pixels.look import no_sums
from detector.runfolder import read_tables
from detector.scenes import find_scenes
from detector.tiling import SLACK_PX, TileGrid
from detector.weights import Weights, load_weights
from tests.detector.fakes import SIZE_PX, PaintBackend, facilities_file, fake_config, fake_weights, paint, yard
from tests.detector.second_stages import at_random, with_network, with_opinion
from training.secondstage.network import SecondNetwork

Attach = Callable[..., Weights]
RAILCAR, TARPED, LOCOMOTIVE, CONTAINER = range(4)
PLAIN = np.zeros((SIZE_PX, SIZE_PX, 3), np.uint8)


@pytest.fixture
def weights(tmp_path: Path) -> Weights:
    return fake_weights(tmp_path / "weights")


@pytest.fixture
def attached(weights: Weights) -> Attach:
    return partial(with_opinion, weights)


def look(weights: Weights, xywhr: list[list[float]], scores: list[list[float]]) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """Boxes and scores that a tile contributes, once both stages have looked."""
    config = fake_config()
    planner = Planner(weights, config, class_table())
    tile = TileGrid(config.tile_px, config.overlap_px).tile(1, 2, (1000, 1000))
    raw = RawBoxes(np.array(xywhr, dtype=np.float64).reshape(-1, 5), np.array(scores, np.float32).reshape(-1, 5))
    result = owned(tile, raw, View(PLAIN, 1.0, no_sums()), planner, open_second(weights))
    corner = np.array([*tile.window_px[:2], 0, 0, 0])
    return result.xywhr - corner, result.scores


SURE_CAR = [0.9, 0.0, 0.0, 0.0, 0.0]


class TestWeights:
    def test_a_second_stage_makes_other_weights_of_them(self, weights: Weights, attached: Attach) -> None:
        first = attached({RAILCAR: 2.0})
        assert first.has_second
        assert not weights.has_second
        other = attached({RAILCAR: 3.0})
        assert len({weights.digest, first.digest, other.digest}) == 3
        assert other.digest == other.spec.identity
        assert set(other.networks()) == {"fake.onnx", "fake.second.onnx"}

    def test_a_changed_or_missing_network_is_refused(self, attached: Attach) -> None:
        weights = attached({RAILCAR: 2.0})
        path = weights.second()
        path.write_bytes(path.read_bytes() + b" ")
        with pytest.raises(WeightsError, match=r"fake\.second\.onnx: SHA-256"):
            load_weights(weights.sidecar)
        path.unlink()
        with pytest.raises(WeightsError, match=r"fake\.second\.onnx: is missing"):
            load_weights(weights.sidecar)

    def test_weights_without_one_say_so(self, weights: Weights) -> None:
        assert open_second(weights) is None
        with pytest.raises(WeightsError, match="ships no second"):
            weights.second()

    def test_a_network_of_other_classes_is_refused(self, attached: Attach) -> None:
        weights = attached({RAILCAR: 2.0})
        fewer = weights.spec.model_copy(update={"classes": weights.spec.classes[:4]})
        with pytest.raises(WeightsError, match=r"second\.onnx: OpenVINO cannot run it"):
            SecondStage(Weights(fewer, weights.folder))


class TestLooking:
    def test_one_that_has_learnt_nothing_agrees_with_the_first_stage(self, weights: Weights) -> None:
        given = [[60, 60, 40, 10, 0.3], [60, 90, 30, 8, 1.0]], [[0.6, 0.1, 0, 0, 0], [0.02, 0, 0, 0.4, 0.1]]
        before, after = look(weights, *given), look(with_network(weights, SecondNetwork(5)), *given)
        assert after[0] == pytest.approx(before[0], abs=1e-6)
        assert after[1] == pytest.approx(before[1], abs=5e-3)  # what is nil at first is a thousandth here

    def test_it_has_the_last_word_on_the_class(self, attached: Attach) -> None:
        weights = attached({TARPED: 2.0, RAILCAR: 1.0, 5: 0.0})
        expected = probabilities(np.array([[1.0, 2.0, -9, -9, -9, 0.0]]))[0, :5]
        boxes, scores = look(weights, [[60, 60, 40, 10, 0.3]], [SURE_CAR])
        assert boxes == pytest.approx(np.array([[60, 60, 40, 10, 0.3]]))
        assert scores[0, :3] == pytest.approx(expected[:3], abs=1e-5)
        assert (scores[0, 3:] == 0).all()  # what is of another family does not count

    def test_an_object_is_of_its_likeliest_family(self, attached: Attach) -> None:
        _, scores = look(attached({CONTAINER: 2.0, RAILCAR: 1.5, LOCOMOTIVE: 1.2}), [[60, 60, 40, 10, 0]], [SURE_CAR])
        assert scores[0, RAILCAR] > 0  # as two classes together
        assert scores[0, CONTAINER] == 0
        _, scores = look(attached({CONTAINER: 3.0, RAILCAR: 1.5, LOCOMOTIVE: 1.0}), [[60, 60, 40, 10, 0]], [SURE_CAR])
        assert scores[0, CONTAINER] > 0.5
        assert (scores[0, :3] == 0).all()

    def test_what_it_takes_for_ground_goes(self, attached: Attach) -> None:
        boxes, _ = look(attached({5: 9.0}), [[60, 60, 40, 10, 0]], [SURE_CAR])
        assert len(boxes) == 0
        assert len(look(attached({5: 9.0}), [], [])[0]) == 0

    def test_it_moves_boxes_along_themselves(self, attached: Attach) -> None:
        weights = attached({RAILCAR: 3.0}, (0.5, 0, 0, 0, 0))
        boxes, _ = look(weights, [[60, 60, 40, 10, np.pi / 2]], [SURE_CAR])
        assert boxes[0] == pytest.approx([60, 65, 40, 10, np.pi / 2], abs=1e-4)

    def test_boxes_that_the_window_cuts_stay(self, attached: Attach) -> None:
        weights = attached({RAILCAR: 3.0}, (0.5, 0, 0, 0, 0))
        boxes, _ = look(weights, [[64, 64, 126, 10, 0]], [SURE_CAR])
        assert boxes[0] == pytest.approx([64, 64, 126, 10, 0], abs=1e-4)

    def test_two_boxes_that_come_to_lie_on_one_object_become_one(self, attached: Attach) -> None:
        apart = [[60.0, 60.0, 40.0, 10.0, 0.0], [60.0, 67.0, 40.0, 10.0, 0.0]]
        assert len(look(attached({RAILCAR: 3.0}), apart, [SURE_CAR, SURE_CAR])[0]) == 2
        wider = attached({RAILCAR: 3.0}, (0, 0, 0, 0.7, 0))
        assert len(look(wider, apart, [SURE_CAR, SURE_CAR])[0]) == 1

    def test_what_it_says_of_an_object_does_not_depend_on_the_others(self, weights: Weights) -> None:
        second = open_second(with_network(weights, at_random(0)))
        assert second is not None
        rng = np.random.default_rng(0)
        image = rng.integers(0, 256, (SIZE_PX, SIZE_PX, 3), dtype=np.uint8)
        boxes = np.column_stack([rng.uniform(20, 100, (9, 2)), np.full(9, 40), np.full(9, 10), rng.uniform(0, 3, 9)])
        scores = rng.dirichlet(np.ones(6), 9)[:, :5]
        every = second.look(image, boxes, scores)
        for row in range(9):
            alone = second.look(image, boxes[row : row + 1], scores[row : row + 1])
            assert alone.xywhr[0] == pytest.approx(every.xywhr[row], abs=1e-4)
            assert alone.probabilities[0] == pytest.approx(every.probabilities[row], abs=1e-5)

    def test_more_objects_than_go_in_together(self, weights: Weights) -> None:
        second = open_second(with_network(weights, at_random(2)))
        assert second is not None
        rng = np.random.default_rng(1)
        many = 2 * BLOCK + 3
        boxes = np.column_stack(
            [rng.uniform(20, 100, (many, 2)), np.full((many, 2), (40, 10)), rng.uniform(0, 3, many)]
        )
        scores = rng.dirichlet(np.ones(6), many)[:, :5]
        every, last = second.look(PLAIN, boxes, scores), second.look(PLAIN, boxes[-2:], scores[-2:])
        assert every.probabilities.shape == (many, 5)
        assert every.xywhr[-2:] == pytest.approx(last.xywhr, abs=1e-5)

    def test_threads_that_look_at_once_see_what_each_would_alone(self, weights: Weights) -> None:
        second = SecondStage(with_network(weights, at_random(3)), threads=2)
        rng = np.random.default_rng(2)
        image = rng.integers(0, 256, (SIZE_PX, SIZE_PX, 3), dtype=np.uint8)
        boxes = np.column_stack([rng.uniform(20, 100, (24, 2)), np.full((24, 2), (40, 10)), rng.uniform(0, 3, 24)])
        scores = rng.dirichlet(np.ones(6), 24)[:, :5]
        parts = [slice(first, first + 3) for first in range(0, 24, 3)]
        with ThreadPoolExecutor(5) as threads:  # more than are answered at once
            together = list(threads.map(lambda part: second.look(image, boxes[part], scores[part]), parts))
        for part, found in zip(parts, together, strict=True):
            alone = second.look(image, boxes[part], scores[part])
            assert (found.xywhr == alone.xywhr).all()
            assert (found.probabilities == alone.probabilities).all()

    def test_values_that_are_no_numbers_are_an_error(self, weights: Weights) -> None:
        for part in ("classes", "sides"):
            network = at_random(0)
            with torch.no_grad():
                getattr(network, part).bias.fill_(float("nan"))
            with pytest.raises(UsageError, match="differs from torch by nan"):
                with_network(weights, network)
        both = with_network(weights, at_random(0))
        second = open_second(both)
        assert second is not None
        for _ in range(second.threads + 1):  # none is lost to an error
            with pytest.raises(WeightsError, match=r"fake\.second\.onnx: gives values that are not numbers"):
                second.look(PLAIN, np.array([[60.0, 60, 40, 10, 0]]), np.full((1, 5), np.nan))

    @pytest.mark.parametrize("by", [(1, 0, 0, 0, 0), (2, 0, 4, 0, 0), (0, 1, 0, 0.7, 0)])
    def test_no_box_is_moved_out_of_what_the_tile_sees_whole_and_owns(
        self, attached: Attach, by: tuple[float, ...]
    ) -> None:
        given = [[x, y, 30.0, 10.0, 0.2 * x] for x in (24.0, 64.0, 98.0) for y in (30.0, 64.0, 100.0)]
        boxes, _ = look(attached({RAILCAR: 3.0}, by), given, [SURE_CAR] * len(given))
        tile = TileGrid(SIZE_PX, 64).tile(1, 2, (1000, 1000))
        there = boxes + np.array([*tile.window_px[:2], 0, 0, 0])
        before, _ = look(attached({RAILCAR: 3.0}), given, [SURE_CAR] * len(given))
        was_cut = tile.cuts(before + np.array([*tile.window_px[:2], 0, 0, 0])).sum()
        assert tile.cuts(there).sum() <= was_cut
        assert tile.owns(there[:, :2], SLACK_PX).all()


def test_a_run_is_of_both_stages(tmp_path: Path, weights: Weights, attached: Attach) -> None:
    """Scenes are looked at again, results stay put on a second call, and another second stage needs another RUN."""
    scene = paint(tmp_path / "yard_20240101.tif", yard())
    places = load_facilities(facilities_file(tmp_path / "f.geojson", {"yard": (-45, -45, 45, 45)}))
    scenes = find_scenes([scene]).scenes
    run, config = tmp_path / "run", fake_config()
    plain = detect(scenes, places, tmp_path / "plain", weights, config, backend=PaintBackend(weights.spec))
    moving = attached({TARPED: 3.0}, (0.2, 0, 0, 0, 0))
    result = detect(scenes, places, run, moving, config, backend=PaintBackend(moving.spec))
    before, after = (read_tables(one.run)[0] for one in (plain, result))
    assert len(after) == len(before)
    assert set(after["class"]) == {"tarped_railcar"}
    assert set(before["class"]) == {"railcar", "container"}
    again = detect(scenes, places, run, moving, config, backend=PaintBackend(moving.spec))
    assert (again.n_tiles, again.n_objects) == (0, result.n_objects)
    with pytest.raises(RunMismatch, match="weights_sha256"):
        detect(scenes, places, run, attached({TARPED: 2.0}), config, backend=PaintBackend(moving.spec))


def test_tables_do_not_depend_on_the_tiles(tmp_path: Path, weights: Weights) -> None:
    """Across seams an object is one, wherever the second stage moves it."""
    both = with_network(weights, at_random(1))
    cars = [replace(car, kind="railcar") for car in yard(4, 4)]
    scenes = find_scenes([paint(tmp_path / "yard_20240101.tif", cars, size_m=120)]).scenes
    places = load_facilities(facilities_file(tmp_path / "f.geojson", {"yard": (-60, -60, 60, 60)}))
    found = detect(scenes, places, tmp_path / "run", both, fake_config(), backend=PaintBackend(both.spec))
    assert found.n_objects == len(cars)
    assert set(read_tables(found.run)[0]["class"]) == {"railcar"}
