"""Scenes with truth become tiles with labels: the maths of one tile, and the folder as a whole."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import shapely
import yaml
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from detector.errors import UsageError
from detector.geometry import corners_from_xywhr, xywhr_from_corners
from detector.raster import PAD
from tests.tile_scenes import small_config, write_scene
from training.backgrounds import Backgrounds, background_tiles
from training.classes import class_index, class_names
from training.dataset import build
from training.datasets.split import split_facilities
from training.formats import Annotations
from training.tiles import TileLabels, Truth, clip_rectangles, labels_of_tile, shown, tile_origins, to_model

Floats = NDArray[np.float64]
SIZE = 64.0

rectangles = st.lists(
    st.tuples(
        st.floats(-30, 94),
        st.floats(-30, 94),
        st.floats(4, 60),
        st.floats(2, 20),
        st.floats(0, np.pi, exclude_max=True),
    ),
    min_size=1,
    max_size=6,
)


def truth_of(*boxes: tuple[float, ...], visible: float = 1.0, ignore: bool = False) -> Truth:
    corners, n = corners_from_xywhr(np.array(boxes)), len(boxes)
    return Truth(np.zeros(n, np.int64), corners, np.full(n, visible), np.full(n, ignore))


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    for stem in ("north_20200101", "north_20200301", "south_20200101", "west-yard_20200101"):
        write_scene(folder, stem)
    return folder


def labels_in(folder: Path) -> dict[str, list[str]]:
    return {path.stem: path.read_text().splitlines() for path in sorted(folder.rglob("*.txt"))}


class TestClipping:
    @given(rectangles)
    def test_result_is_the_smallest_rectangle_of_that_direction_around_what_is_inside(
        self, boxes: list[tuple[float, ...]]
    ) -> None:
        corners = corners_from_xywhr(np.array(boxes))
        cut, shares = clip_rectangles(corners, (0, 0, SIZE, SIZE))
        tile = shapely.box(0, 0, SIZE, SIZE)
        for original, result, share in zip(corners, cut, shares, strict=True):
            whole, part = shapely.Polygon(original), shapely.Polygon(result)
            inside = whole.intersection(tile)
            assert share == pytest.approx(inside.area / whole.area, abs=1e-9)
            if inside.area < 1e-6:
                continue
            assert part.difference(whole.buffer(1e-7)).area < 1e-9
            assert inside.difference(part.buffer(1e-7)).area < 1e-9
            for side in shapely.get_parts(shapely.linestrings(np.stack([result, np.roll(result, -1, axis=0)], axis=1))):
                assert side.distance(inside) < 1e-6
            along, before = result[1] - result[0], original[1] - original[0]
            assert along @ before == pytest.approx(np.linalg.norm(along) * np.linalg.norm(before), abs=1e-6)

    @given(rectangles)
    def test_rectangles_inside_are_unchanged(self, boxes: list[tuple[float, ...]]) -> None:
        corners = corners_from_xywhr(np.array(boxes))
        inside = ((corners >= 0) & (corners <= SIZE)).all(axis=(1, 2))
        cut, shares = clip_rectangles(corners, (0, 0, SIZE, SIZE))
        assert np.array_equal(cut[inside], corners[inside])
        assert (shares[inside] == 1).all()

    def test_a_box_across_the_edge_keeps_its_angle_and_its_outer_end_is_at_the_edge(self) -> None:
        cut, shares = clip_rectangles(corners_from_xywhr(np.array([(60.0, 30.0, 40.0, 8.0, 0.0)])), (0, 0, SIZE, SIZE))
        x, y, w, h, angle = xywhr_from_corners(cut)[0]
        assert shares[0] == pytest.approx(0.6)
        assert (x, y, w, h, angle) == pytest.approx((52.0, 30.0, 24.0, 8.0, 0.0))


class TestLabels:
    valid = np.ones((64, 64), dtype=bool)

    def keep(self, truth: Truth, valid: NDArray[np.bool_] | None = None, origin: tuple[int, int] = (0, 0)) -> int:
        seen = self.valid if valid is None else valid
        return len(labels_of_tile(truth, truth.corners_px, origin, seen, min_visible=0.4, min_inside=0.35).classes)

    def test_kept_from_35_percent_inside(self) -> None:
        assert self.keep(truth_of((64 + 5.0, 30, 40, 8, 0))) == 1  # 15 of 40 px inside
        assert self.keep(truth_of((64 + 7.0, 30, 40, 8, 0))) == 0

    def test_dropped_when_mostly_hidden(self) -> None:
        assert self.keep(truth_of((30, 30, 20, 8, 0), visible=0.41)) == 1
        assert self.keep(truth_of((30, 30, 20, 8, 0), visible=0.39)) == 0

    def test_dropped_where_there_is_no_data(self) -> None:
        half = self.valid.copy()
        half[:, 24:] = False
        assert self.keep(truth_of((30, 30, 20, 8, 0)), half) == 0  # 4 of 20 px valid
        assert self.keep(truth_of((22, 30, 20, 8, 0)), half) == 1

    @given(rectangles, st.integers(8, 64), st.integers(8, 64), st.floats(0.4, 1))
    def test_the_end_of_the_picture_is_an_edge_like_the_tile_s(
        self, boxes: list[tuple[float, ...]], width: int, height: int, visible: float
    ) -> None:
        part = np.zeros((64, 64), dtype=bool)
        part[:height, :width] = True
        truth = truth_of(*boxes, visible=visible)
        labels = labels_of_tile(truth, truth.corners_px, (0, 0), part, min_visible=0.4, min_inside=0.35)
        cut, shares = clip_rectangles(truth.corners_px, (0, 0, width, height))
        assert np.allclose(labels.corners, cut[shares >= 0.35])
        assert len(labels.ignored) == 0

    def test_what_the_picture_s_end_hides_counts_once(self) -> None:
        half = self.valid.copy()
        half[:, 24:] = False
        assert self.keep(truth_of((24, 30, 40, 8, 0), visible=0.5), half) == 1  # the truth knows of the same half

    def test_without_data_there_are_no_labels(self) -> None:
        nothing = np.zeros_like(self.valid)
        assert (
            self.keep(truth_of((30, 30, 20, 8, 0)), nothing),
            self.ignored(truth_of((30, 30, 20, 8, 0)), nothing),
        ) == (0, 0)

    def ignored(self, truth: Truth, valid: NDArray[np.bool_] | None = None) -> int:
        seen = self.valid if valid is None else valid
        return len(labels_of_tile(truth, truth.corners_px, (0, 0), seen, min_visible=0.4, min_inside=0.35).ignored)

    def test_what_is_hidden_is_ignored_and_not_taught_as_ground(self) -> None:
        assert self.ignored(truth_of((30, 30, 20, 8, 0), visible=0.41)) == 0
        assert self.ignored(truth_of((30, 30, 20, 8, 0), visible=0.39)) == 1
        assert self.ignored(truth_of((30, 30, 20, 8, 0), visible=0.0)) == 0  # nothing of it can be seen

    def test_the_rest_of_a_car_cut_by_the_tile_is_ground(self) -> None:
        assert self.ignored(truth_of((64 + 7.0, 30, 40, 8, 0))) == 0
        assert self.ignored(truth_of((64 + 7.0, 30, 40, 8, 0), visible=0.3)) == 0

    def test_areas_to_ignore_are_ignored_however_little_of_them_is_inside(self) -> None:
        truth = truth_of((64 + 19.0, 30, 40, 8, 0), ignore=True)
        assert (self.keep(truth), self.ignored(truth)) == (0, 1)
        assert self.ignored(truth_of((64 + 21.0, 30, 40, 8, 0), ignore=True)) == 0

    def test_a_scene_without_objects_gives_no_labels(self) -> None:
        assert self.keep(truth_of()) == 0

    def test_text_is_class_and_normalised_corners(self) -> None:
        truth = truth_of((132, 130, 20, 8, 0))
        labels = labels_of_tile(truth, truth.corners_px, (100, 100), self.valid, min_visible=0.4, min_inside=0.35)
        number, *values = labels.as_text(64).split()
        assert number == "0"
        corners = np.array(values, dtype=float).reshape(4, 2) * 64
        assert np.allclose(xywhr_from_corners(corners[None])[0], (32, 30, 20, 8, 0), atol=1e-4)

    @given(st.lists(st.tuples(st.integers(0, 4), *[st.floats(0, 64)] * 8), max_size=6))
    def test_text_tells_all_but_what_is_ignored(self, rows: list[tuple[float, ...]]) -> None:
        table = np.array(rows, dtype=float).reshape(-1, 9)
        labels = TileLabels(table[:, 0].astype(np.int64), table[:, 1:].reshape(-1, 4, 2))
        again = TileLabels.from_text(labels.as_text(64), 64)
        assert again.classes.tolist() == labels.classes.tolist()
        assert np.allclose(again.corners, labels.corners, atol=1e-4)

    @given(st.integers(10, 500), st.integers(16, 128), st.data())
    def test_origins_cover_the_axis_and_overlap(self, length: int, size: int, data: st.DataObject) -> None:
        overlap = data.draw(st.integers(0, size // 2))
        starts = tile_origins(length, size, overlap)
        assert starts[0] == 0
        assert starts[-1] + size >= length
        assert all(after - before <= size - overlap for before, after in pairwise(starts))
        assert length <= size or starts[-1] + size == length

    @given(st.floats(0.2, 0.6), st.floats(0.2, 0.6), st.floats(0, 3))
    def test_model_pixels_have_one_scale_in_both_axes(self, gsd_x_m: float, gsd_y_m: float, angle: float) -> None:
        metres = np.array([(40.0, 30.0, 15.0, 3.0, angle)])
        corners_px = corners_from_xywhr(metres) / (gsd_x_m, gsd_y_m)
        model = xywhr_from_corners(to_model(corners_px, gsd_x_m, gsd_y_m, 0.30))[0]
        assert model == pytest.approx((40 / 0.3, 30 / 0.3, 50, 10, angle), abs=1e-6)


class TestUprightHulls:
    def test_are_labels_only_where_their_width_leaves_no_doubt(self) -> None:
        corners = corners_from_xywhr(np.array([(50, 50, 50, 10, 0), (50, 50, 40, 20, 0), (50, 50, 10, 50, 0)]))
        upright = Annotations(
            image=Path("a.tif"),
            size_px=(100, 100),
            gsd_m=0.3,
            source=Path("a.json"),
            classes=np.zeros(3, np.int64),
            corners_px=corners,
            visible=np.ones(3),
            ignore=np.zeros(3, bool),
            axis_aligned=np.ones(3, bool),
            line=np.arange(3),
        )
        assert Truth.of(upright, (0.3, 0.3)).ignore.tolist() == [False, True, False]  # 3 m, 6 m and 3 m wide
        sure = replace(upright, axis_aligned=np.zeros(3, bool))
        assert not Truth.of(sure, (0.3, 0.3)).ignore.any()


class TestBuild:
    def test_labels_lie_on_the_objects(self, scenes: Path, tmp_path: Path) -> None:
        manifest = build(small_config(), [str(scenes)], tmp_path / "yolo", processes=1)
        assert manifest["counts"]["train"]["railcar"] > 0
        checked = 0
        for split in ("train", "val"):
            for image_path in (tmp_path / "yolo" / "images" / split).iterdir():
                image = np.asarray(Image.open(image_path))
                assert image.shape == (64, 64, 3)
                rows = (tmp_path / "yolo" / "labels" / split / f"{image_path.stem}.txt").read_text().splitlines()
                for row in rows:
                    values = [float(value) for value in row.split()]
                    assert 0 <= values[0] < len(class_names())
                    x, y = (np.array(values[1:]).reshape(4, 2).mean(axis=0) * 64).astype(int)
                    assert image[min(y, 63), min(x, 63)].min() > 150
                    checked += 1
        assert checked > 20
        listing = yaml.safe_load((tmp_path / "yolo" / "data.yaml").read_text())
        assert tuple(listing["names"].values()) == class_names()

    def test_tiles_end_where_their_picture_is_said_to(self, scenes: Path, tmp_path: Path) -> None:
        """One or two sides of such a tile are grey, labels hold what is left beside them, the rest is as it was."""
        whole, cut = tmp_path / "whole", tmp_path / "cut"
        build(small_config(edge_share=0.0, decoy_share=0.0, empty_share=0.9), [str(scenes)], whole, processes=1)
        build(small_config(edge_share=1.0, decoy_share=0.0, empty_share=0.9), [str(scenes)], cut, processes=1)
        labelled = 0
        for path in (cut / "images" / "train").iterdir():
            image = np.asarray(Image.open(path))
            x0, y0, x1, y1 = shown((image != PAD).any(axis=2))
            assert 0.3 < (x1 - x0) * (y1 - y0) / 64**2 < 0.9
            before = whole / "images" / "train" / path.name
            if before.exists():
                assert np.array_equal(image[y0:y1, x0:x1], np.asarray(Image.open(before))[y0:y1, x0:x1])
            text = (cut / "labels" / "train" / f"{path.stem}.txt").read_text()
            for box in TileLabels.from_text(text, 64).corners:
                sides = shapely.linestrings(np.stack([box, np.roll(box, -1, axis=0)], axis=1))
                assert shapely.distance(sides, shapely.box(x0, y0, x1, y1)).max() < 1e-3  # none lies wholly beyond
                labelled += 1
        assert labelled > 10

    def test_facilities_are_wholly_in_one_split(self, scenes: Path, tmp_path: Path) -> None:
        manifest = build(small_config(), [str(scenes)], tmp_path / "yolo", processes=1)
        facilities = manifest["facilities"]
        assert sorted(facilities["train"] + facilities["val"]) == ["north", "south", "west-yard"]
        assert facilities["val"]
        for split in ("train", "val"):
            files = (tmp_path / "yolo" / "images" / split).iterdir()
            assert {path.stem.split("_")[0] for path in files} <= set(facilities[split])

    def test_empty_tiles_are_a_bounded_share(self, scenes: Path, tmp_path: Path) -> None:
        counts = build(small_config(empty_share=0.2), [str(scenes)], tmp_path / "yolo", processes=1)["counts"]
        tiles = sum(counted["tiles"] for counted in counts.values())
        empty = sum(counted["(empty tiles)"] for counted in counts.values())
        assert 0 < empty <= 0.2 * tiles + 4  # at least one is kept of each of the four scenes

    def test_going_on_gives_the_same_and_keeps_what_is_finished(self, scenes: Path, tmp_path: Path) -> None:
        out = tmp_path / "yolo"
        first = build(small_config(), [str(scenes)], out, processes=1)
        labels = labels_in(out)
        times = {path: path.stat().st_mtime_ns for path in (out / "images").rglob("*.png")}
        broken = sorted((out / "parts").iterdir())[0]
        scene = broken.stem
        broken.unlink()
        assert build(small_config(), [str(scenes)], out, processes=2) == first
        assert labels_in(out) == labels
        again = {path: path.stat().st_mtime_ns for path in (out / "images").rglob("*.png")}
        assert all((again[path] == time) != path.stem.startswith(scene) for path, time in times.items())

    def test_other_settings_leave_no_old_tiles(self, scenes: Path, tmp_path: Path) -> None:
        out = tmp_path / "yolo"
        build(small_config(), [str(scenes)], out, processes=1)
        (out / "labels" / "train.cache").write_text("sizes only")
        manifest = build(small_config(overlap_px=8, image_format="jpg"), [str(scenes)], out, processes=1)
        kept = {name for source in manifest["sources"] for name in source["tiles"]}
        assert {path.stem for path in (out / "images").rglob("*.*")} == kept
        assert {path.suffix for path in (out / "images").rglob("*.*")} == {".jpg"}
        assert not list(out.rglob("*.cache"))

    def test_refuses_a_folder_that_it_did_not_make(self, scenes: Path, tmp_path: Path) -> None:
        (tmp_path / "precious.txt").write_text("keep")
        with pytest.raises(UsageError, match="was not made by this command"):
            build(small_config(), [str(scenes)], tmp_path, processes=1)

    def test_says_when_nothing_has_truth(self, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        with pytest.raises(UsageError, match="holds no annotations"):
            build(small_config(), [str(tmp_path / "in")], tmp_path / "yolo", processes=1)

    def test_one_facility_cannot_be_split(self) -> None:
        with pytest.raises(UsageError, match="only one facility"):
            split_facilities({"north"}, 0.2)

    @given(st.sets(st.text("abcdef", min_size=1), min_size=2, max_size=30), st.floats(0.05, 0.6))
    def test_split_is_a_partition_with_both_parts(self, names: set[str], share: float) -> None:
        splits = split_facilities(names, share)
        assert set(splits) == names
        assert set(splits.values()) == {"train", "val"}
        assert splits == split_facilities(set(sorted(names)), share)


class TestBackgrounds:
    @pytest.fixture
    def photos(self, tmp_path: Path) -> Path:
        rng = np.random.default_rng(3)
        for number in range(12):
            level = np.full((40, 40, 3), rng.integers(30, 220), dtype=np.uint8)
            Image.fromarray(level).save(tmp_path / f"photo{number:02d}.png")
        return tmp_path

    def test_small_pictures_are_brought_to_the_gsd_and_laid_side_by_side(self, photos: Path) -> None:
        batches = Backgrounds.batches(f"{photos}@0.45", 0.30, 0.3)
        pictures = sum(len(batch.paths) for batch in batches)
        tiles = [tile for batch in batches for tile in background_tiles(batch, 0.30, 64, [])]
        assert pictures == 12
        assert {tile.shape for tile in tiles} == {(64, 64, 3)}
        assert len(tiles) == sum(int(np.ceil(len(batch.paths) / 4)) for batch in batches)  # 60 px each: 2 x 2 a tile

    def test_large_pictures_are_cut(self, photos: Path) -> None:
        batch = Backgrounds(tuple(sorted(photos.iterdir())[:1]), 0.30, "train")
        assert len(list(background_tiles(batch, 0.30, 16, []))) == 4

    def test_become_tiles_without_labels(self, photos: Path, scenes: Path, tmp_path: Path) -> None:
        out = tmp_path / "yolo"
        manifest = build(small_config(), [str(scenes)], out, [f"{photos}@0.30"], processes=1)
        files = [path for path in (out / "labels").rglob("background-*.txt")]
        assert files
        assert all(path.read_text() == "" for path in files)
        names = [source["name"] for source in manifest["sources"]]
        assert sum(name.startswith("background-") for name in names) == 2

    @pytest.mark.parametrize("given_gsd", ["zero", "-1", "nan"])
    def test_a_wrong_gsd_is_named(self, photos: Path, given_gsd: str) -> None:
        with pytest.raises(UsageError, match="must be a positive number"):
            Backgrounds.batches(f"{photos}@{given_gsd}", 0.30, 0.3)


class TestClasses:
    def test_numbers_are_those_of_the_table(self) -> None:
        assert [class_index(name) for name in class_names()] == list(range(len(class_names())))

    def test_an_unknown_name_is_echoed(self) -> None:
        with pytest.raises(ValueError, match="'tram'"):
            class_index("tram")
