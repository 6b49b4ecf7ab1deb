"""The pipeline on painted scenes: one truth in every frame, honest coverage, growth, and bad input."""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.crs import CRS

from detector.backends import RawBoxes
from detector.config import class_table
from detector.detection.planning import Planner
from detector.detection.provenance import provenance
from detector.errors import RunMismatch, UsageError
from detector.facilities import Facility, load_facilities
from detector.pipeline import DetectResult, detect
from detector.raster import SceneReader
from detector.scenes import Scene, find_scenes
from detector.weights import ModelSpec, Weights
from tests.detector.fakes import (
    SIZE_PX,
    UTM,
    Car,
    PaintBackend,
    facilities_file,
    fake_config,
    fake_weights,
    paint,
    quarter,
    yard,
)

CARS = yard()


@dataclass
class Desk:
    """A folder with weights, a facility, and scenes to come."""

    folder: Path
    weights: Weights
    facilities: tuple[Facility, ...]
    log: list[str] = field(default_factory=list)

    def scenes(self, name: str = "images") -> tuple[Scene, ...]:
        survey = find_scenes([self.folder / name])
        assert survey.rejected == ()
        return survey.scenes

    def detect(self, scenes: Sequence[Scene], run: str = "run") -> tuple[DetectResult, PaintBackend]:
        backend = PaintBackend(self.weights.spec)
        where = self.folder / run
        result = detect(scenes, self.facilities, where, self.weights, fake_config(), backend=backend, progress=self)
        return result, backend

    def detections(self, run: str = "run") -> gpd.GeoDataFrame:
        return gpd.read_parquet(self.folder / run / "detections.parquet")

    def seen(self, run: str = "run") -> gpd.GeoDataFrame:
        return gpd.read_parquet(self.folder / run / "scenes.parquet")

    def total(self, scenes: int, tiles: int) -> None:
        self.log.append(f"total {scenes} {tiles}")

    def tile(self, *, computed: bool) -> None:
        self.log.append("computed" if computed else "known")

    def scene(self, scene_id: str, n_detected: int) -> None:
        self.log.append(f"scene {n_detected}")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    file = facilities_file(tmp_path / "facilities.geojson", {"yard": (-40, -40, 40, 40)})
    (tmp_path / "images").mkdir()
    return Desk(tmp_path, fake_weights(tmp_path / "weights"), load_facilities(file))


def one(desk: Desk, **how: object) -> gpd.GeoDataFrame:
    paint(desk.folder / "images" / "yard_20230105.tif", CARS, **how)  # type: ignore[arg-type]
    desk.detect(desk.scenes())
    return desk.detections()


def truth(kind: str) -> gpd.GeoSeries:
    return gpd.GeoSeries.from_xy(
        [car.corners_m().mean(axis=0)[0] for car in CARS if car.kind == kind],
        [car.corners_m().mean(axis=0)[1] for car in CARS if car.kind == kind],
        crs=UTM,
    )


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"crs": CRS.from_epsg(4326)},
        {"crs": CRS.from_epsg(3035)},
        {"turn_deg": 30.0, "size_m": 120.0},
        {"gsd_m": 0.5},
        {"gsd_m": 0.21},
        {"dtype": "uint16", "gain": 40},
    ],
    ids=["utm", "geographic", "another projection", "rotated", "coarse", "fine", "16 bit"],
)
def test_the_same_yard_in_every_frame(desk: Desk, how: dict[str, object]) -> None:
    found = one(desk, **how)
    assert found["class"].value_counts().to_dict() == {"railcar": 9, "container": 1}
    metres = found.to_crs(UTM)
    for kind in ("railcar", "container"):
        centres = metres.geometry[found["class"] == kind].centroid
        assert max(centres.distance(point).min() for point in truth(kind)) < 0.3
    cars = found[found["class"] == "railcar"]
    assert cars["length_m"].to_numpy() == pytest.approx(np.full(9, 15.0), abs=0.6)
    assert cars["width_m"].to_numpy() == pytest.approx(np.full(9, 3.0), abs=0.5)
    # 20 degrees north of east is a heading of 70; the grid's north is 1 degree off true north here.
    assert cars["heading_deg"].to_numpy() == pytest.approx(np.full(9, 69.1), abs=0.6)
    assert set(found["flags"]) == {""}
    assert found["detected"].all()


def test_a_scene_cut_into_four_files_gives_the_same_rows(desk: Desk) -> None:
    whole = one(desk)
    quarter(desk.folder / "images" / "yard_20230105.tif", desk.folder / "cut")
    (scene,) = desk.scenes("cut")
    assert len(scene.paths) == 4
    desk.detect([scene], "cut-run")
    cut = desk.detections("cut-run")
    unnamed = [column for column in whole if column not in {"scene_id", "geometry"}]
    pd.testing.assert_frame_equal(pd.DataFrame(cut[unnamed]), pd.DataFrame(whole[unnamed]))
    assert cut.geometry.geom_equals_exact(whole.geometry, 1e-12).all()


@pytest.mark.parametrize(("dtype", "gain"), [("uint16", 40), ("float32", 1 / 256)], ids=["16 bit", "reflectance"])
def test_another_pixel_type_gives_the_same_rows(desk: Desk, dtype: str, gain: float) -> None:
    narrow = one(desk)
    levels = desk.seen()["grey_levels"]
    paint(desk.folder / "images" / "yard_20230105.tif", CARS, dtype=dtype, gain=gain)
    desk.detect(desk.scenes(), "wide")
    pd.testing.assert_frame_equal(
        pd.DataFrame(narrow.drop(columns="scene_id")),
        pd.DataFrame(desk.detections("wide").drop(columns="scene_id")),
    )
    told = desk.seen("wide")["grey_levels"]
    assert told.isna().all() if dtype == "float32" else (told > levels).all()  # real numbers have none to count


def test_only_what_stands_in_a_facility_is_kept(desk: Desk) -> None:
    file = facilities_file(desk.folder / "two.geojson", {"left": (-40, -40, -5, 40), "far": (20_000, 0, 20_100, 100)})
    desk.facilities = load_facilities(file)
    paint(desk.folder / "images" / "yard_20230105.tif", CARS)
    assert desk.detect(desk.scenes())[0].unseen == ("far",)
    found = desk.detections()
    assert set(found["facility_id"]) == {"left"}
    assert len(found) == 3
    assert desk.seen()["facility_id"].tolist() == ["left"]


def test_a_half_seen_facility_says_so(desk: Desk) -> None:
    path = paint(desk.folder / "images" / "yard_20230105.tif", CARS)
    with rasterio.open(path, "r+") as file:
        mask = np.full(file.shape, 255, np.uint8)
        mask[:, file.width // 2 :] = 0
        file.write_mask(mask)
    desk.detect(desk.scenes())
    (row,) = desk.seen().to_dict("records")
    assert row["observed_fraction"] == pytest.approx(0.5, abs=0.02)
    assert row["geometry"].area == pytest.approx(desk.facilities[0].geometry.area / 2, rel=0.05)
    cut = desk.detections()
    assert cut["flags"].str.contains("edge").any()
    assert (cut.to_crs(UTM).geometry.centroid.x < 400_001).all()


def test_a_cloud_mask_leaves_out_what_it_hides(desk: Desk) -> None:
    path = paint(desk.folder / "images" / "yard_20230105.tif", CARS)
    desk.detect(desk.scenes(), "clear")
    with rasterio.open(path) as file:
        profile = file.profile | {"count": 8, "photometric": None}
    sky = np.zeros((8, profile["height"], profile["width"]), np.uint8)
    sky[0], sky[5, :, profile["width"] // 2 :] = 1, 1
    with rasterio.open(path.with_name("yard_20230105_udm2.tif"), "w", **profile) as file:
        file.write(sky)
    desk.detect(desk.scenes())
    clear, (row,) = desk.seen("clear").to_dict("records")[0], desk.seen().to_dict("records")
    assert (clear["observed_fraction"], clear["cloud_mask"]) == (pytest.approx(1), "")
    assert (row["observed_fraction"], row["cloud_mask"]) == (pytest.approx(0.5, abs=0.02), "yard_20230105_udm2.tif")
    assert 0 < len(desk.detections()) < len(desk.detections("clear"))
    assert (desk.detections().to_crs(UTM).geometry.centroid.x < 400_001).all()


def test_a_scene_that_ends_inside_the_facility_says_so(desk: Desk) -> None:
    one(desk, size_m=40.0)
    assert desk.seen()["observed_fraction"].tolist() == pytest.approx([0.25], abs=0.01)


def test_scenes_without_georeference_count_for_the_facility_they_name(desk: Desk) -> None:
    path = paint(desk.folder / "plain_20230105.tif", CARS)
    with rasterio.open(path) as file:
        pixels = file.read()
    target = desk.folder / "images" / "plain.png"
    Image.fromarray(np.moveaxis(pixels, 0, 2)).save(target)
    manifest = desk.folder / "manifest.csv"
    manifest.write_text("path,acquired,gsd_m,facility_id\nimages/plain.png,2023-01-05,0.3,yard\n")
    survey = find_scenes([target], manifest=manifest)
    assert len(survey.scenes) == 1, survey.rejected
    desk.detect(survey.scenes)
    found = desk.detections()
    assert len(found) == 10
    assert found.geometry.isna().all()
    assert found["heading_deg"].isna().all()
    assert desk.seen()["observed_fraction"].tolist() == [1.0]


def test_growth_looks_only_at_what_is_new(desk: Desk) -> None:
    paint(desk.folder / "images" / "yard_20230105.tif", CARS)
    first, _ = desk.detect(desk.scenes())
    paint(desk.folder / "images" / "yard_20230206.tif", CARS[:4])
    second, backend = desk.detect(desk.scenes())
    assert (first.n_scenes, first.n_new, second.n_scenes, second.n_new) == (1, 1, 2, 1)
    assert second.n_tiles == backend.looks.total() == first.n_tiles
    assert desk.detections()["acquired"].dt.date.astype(str).value_counts().to_dict() == {
        "2023-01-05": 10,
        "2023-02-06": 4,
    }
    third, backend = desk.detect(desk.scenes())
    assert (third.n_new, third.n_tiles, backend.looks.total()) == (0, 0, 0)


def test_tables_hold_the_scenes_given_and_name_those_left_out(desk: Desk) -> None:
    paint(desk.folder / "images" / "yard_20230105.tif", CARS)
    paint(desk.folder / "images" / "yard_20230206.tif", CARS[:4])
    early, late = desk.scenes()
    desk.detect([early, late])
    result, _ = desk.detect([late])
    assert result.left_out == (early.scene_id,)
    assert set(desk.detections()["scene_id"]) == {late.scene_id}
    again, backend = desk.detect([early, late])
    assert (again.left_out, backend.looks.total(), len(desk.detections())) == ((), 0, 14)


def test_changed_facilities_use_the_tiles_that_are_known(desk: Desk) -> None:
    whole = one(desk)
    desk.facilities = load_facilities(facilities_file(desk.folder / "b.geojson", {"west": (-40, -40, 0, 40)}))
    result, backend = desk.detect(desk.scenes())
    assert backend.looks.total() == 0
    assert result.n_tiles_known > 0
    assert 0 < len(desk.detections()) < len(whole)
    assert set(desk.detections()["facility_id"]) == {"west"}


def test_other_settings_need_another_run(desk: Desk) -> None:
    one(desk)
    other = fake_config().model_copy(update={"merge_ios": 0.4})
    with pytest.raises(RunMismatch, match=r"merge_ios was 0\.5, now 0\.4"):
        detect(desk.scenes(), desk.facilities, desk.folder / "run", desk.weights, other)


def test_settings_that_do_not_fit_the_weights_are_an_error(desk: Desk) -> None:
    other = fake_config().model_copy(update={"tile_px": 640})
    with pytest.raises(UsageError, match="tile_px is 640"):
        detect([], desk.facilities, desk.folder / "run", desk.weights, other)


def test_an_unwritable_run_folder_is_an_error_before_any_work(desk: Desk) -> None:
    (desk.folder / "file").write_text("")
    with pytest.raises(UsageError, match="--out"):
        desk.detect([], "file/run")


def test_a_file_that_breaks_midway_is_rejected_and_the_rest_is_counted(desk: Desk) -> None:
    paint(desk.folder / "images" / "yard_20230105.tif", CARS)
    paint(desk.folder / "images" / "yard_20230206.tif", CARS[:4])
    paint(desk.folder / "images" / "yard_20230307.tif", CARS[:6])
    scenes = [replace(scene, states=()) for scene in desk.scenes()]  # size and time tell nothing of it
    broken = scenes[1].paths[0]
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2] + bytes(16))
    result, _ = desk.detect(scenes)
    assert [row.path for row in result.rejected] == [broken]
    assert "previous exception" not in result.rejected[0].reason
    assert result.rejected[0].cure
    assert result.n_scenes == 2
    assert desk.detections().groupby("scene_id").size().tolist() == [10, 6]
    broken.write_bytes(whole)
    assert desk.detect(scenes)[0].n_scenes == 3


class Replacing(PaintBackend):
    """In whose time another file takes the place of `path`."""

    def __init__(self, spec: ModelSpec, path: Path, other: Path) -> None:
        super().__init__(spec)
        self.path, self.other = path, other

    def stream(self, tiles: Iterable[tuple[Hashable, NDArray[np.uint8]]]) -> Iterator[tuple[Hashable, RawBoxes]]:
        for answer in super().stream(tiles):
            if self.other.exists():
                self.other.replace(self.path)
            yield answer


def test_a_file_that_is_replaced_during_a_run_is_never_stored_as_the_old_one(desk: Desk) -> None:
    path = paint(desk.folder / "images" / "yard_20230105.tif", CARS)
    scenes = desk.scenes()
    backend = Replacing(desk.weights.spec, path, paint(desk.folder / "other.tif", CARS[:2]))
    result = detect(scenes, desk.facilities, desk.folder / "run", desk.weights, fake_config(), backend=backend)
    (rejection,) = result.rejected
    assert (rejection.path, result.n_scenes) == (path, 0)
    assert rejection.reason == "it changed while it was read" and "again" in rejection.cure
    (rejection,) = desk.detect(scenes)[0].rejected  # it is not even opened
    assert rejection.reason == "it changed while it was read"
    again, _ = desk.detect(desk.scenes())
    assert (again.n_scenes, again.n_tiles_known, len(desk.detections())) == (1, 0, 2)
    paint(path, CARS)
    desk.detect(desk.scenes())
    assert len(desk.detections()) == len(CARS)  # what the ledger holds under the old hash is of the old file


def test_a_scene_of_nowhere_and_a_scene_without_data_there_are_rejected(desk: Desk) -> None:
    path = paint(desk.folder / "images" / "yard_20230105.tif", CARS)
    blank = desk.folder / "images" / "yard_20230206.tif"
    paint(blank, CARS)
    with rasterio.open(blank, "r+") as file:
        mask = np.zeros(file.shape, np.uint8)
        mask[:14] = 255  # beyond the facility's outline
        file.write_mask(mask)
    paint(desk.folder / "images" / "yard_20230307.tif", CARS[:4])
    result, backend = desk.detect(desk.scenes())
    assert result.n_scenes == 2
    assert [row.path.name for row in result.rejected] == ["yard_20230206.tif"]
    assert "no valid pixel" in result.rejected[0].reason
    desk.facilities = load_facilities(facilities_file(desk.folder / "far.geojson", {"far": (9e3, 0, 9.1e3, 100)}))
    result, backend = desk.detect(desk.scenes(), "far-run")
    assert [row.reason for row in result.rejected] == ["it shows none of the facilities"] * 3
    assert backend.looks.total() == 0
    assert len(desk.detections("far-run")) == 0
    assert path.exists()


def test_tiles_without_data_are_never_looked_at(desk: Desk) -> None:
    one(desk)
    path = paint(desk.folder / "images" / "yard_20230105.tif", CARS)
    with rasterio.open(path, "r+") as file:
        mask = np.full(file.shape, 255, np.uint8)
        mask[:, file.width // 4 :] = 0
        file.write_mask(mask)
    whole, _ = desk.detect(desk.scenes(), "again")
    (scene,) = desk.scenes()
    planner = Planner(desk.weights, fake_config(), class_table())
    every = planner.tiles(planner.plan([scene], desk.facilities)[0][0])
    assert whole.n_tiles < len(every)


def test_what_is_known_or_outside_is_not_read(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    read_px = []
    read = SceneReader.read_into

    def counted(self: SceneReader, image: NDArray[np.uint8], valid: NDArray[np.bool_], x0: int, y0: int) -> None:
        read_px.append(valid.size)
        read(self, image, valid, x0, y0)

    monkeypatch.setattr(SceneReader, "read_into", counted)
    desk.facilities = load_facilities(facilities_file(desk.folder / "a.geojson", {"corner": (-200, -200, -150, -150)}))
    one(desk, size_m=500.0)
    n_tiles = desk.log.count("computed")
    assert n_tiles < 40  # of 676
    assert 0 < sum(read_px) <= n_tiles * SIZE_PX**2
    read_px.clear()
    desk.facilities = load_facilities(facilities_file(desk.folder / "b.geojson", {"half": (-200, -200, -175, -150)}))
    result, _ = desk.detect(desk.scenes())
    assert (result.n_new, result.n_tiles, read_px) == (1, 0, [])


def test_progress_adds_up(desk: Desk) -> None:
    one(desk)
    computed = desk.log.count("computed")
    last = [line for line in desk.log if line.startswith("total")][-1]
    assert last == f"total 1 {computed}"
    assert desk.log[-1] == "scene 10"


def test_the_weights_decide_what_is_detected(desk: Desk) -> None:
    spec = desk.weights.spec.model_copy(update={"operating_threshold": {"rail_vehicle": 0.95, "off_rail": 0.25}})
    desk.weights = Weights(spec, desk.weights.folder)
    found = one(desk)
    assert found["detected"].tolist() == found["class"].str.contains("container").tolist()


def test_provenance_names_every_input_and_adds_up(desk: Desk) -> None:
    one(desk)
    result, _ = desk.detect(desk.scenes())
    now = pd.Timestamp("2024-01-01T12:00:00Z").to_pydatetime()
    facts = provenance(
        result,
        desk.scenes(),
        desk.folder / "facilities.geojson",
        desk.weights,
        fake_config(),
        started=now,
        finished=now,
    )
    assert facts["weights"]["sha256"] == desk.weights.digest
    assert facts["config"]["detect"]["tile_px"] == 128
    assert [entry["path"] for entry in facts["inputs"]] == [str(desk.folder / "images" / "yard_20230105.tif")]
    assert facts["software"]["backends"] == ["paint"]
    assert facts["totals"]["objects"] == len(desk.detections())


def test_long_strings_across_many_tiles_are_counted_once(desk: Desk) -> None:
    long = [Car(15.5 * (i - 2), 4.5 * (j - 4), 14.2, 3.0, 0.0) for i in range(5) for j in range(9)]
    paint(desk.folder / "images" / "yard_20230105.tif", long)
    desk.detect(desk.scenes())
    assert len(desk.detections()) == 45
