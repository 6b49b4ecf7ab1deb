"""Rows and tables: flags, facilities that share ground, styles inside the GeoPackage, equal bytes."""

import json
import os
import sqlite3
from pathlib import Path
from unittest.mock import Mock
from xml.etree import ElementTree

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
from pyogrio.errors import DataLayerError, DataSourceError
from shapely.geometry import box

from detector.classscores import ClassScores
from detector.config import class_table
from detector.detection.qgis import COLOURS
from detector.detection.rows import (
    Area,
    Ground,
    Objects,
    detection_rows,
    empty_detections,
    empty_scenes,
    scene_rows,
)
from detector.detection.tables import Parts, part_name, write_facilities, write_rejected, write_tables
from detector.errors import UsageError
from detector.facilities import facility_in_scene, load_facilities
from detector.pixels.look import Look
from detector.scenes import Rejection, Scene, find_scenes
from tests.detector.fakes import facilities_file, fake_weights, paint, yard


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    squares = {"west": (-40, -40, 5, 40), "yard": (-40, -40, 40, 40)}
    facilities_file(folder / "f.geojson", squares)
    paint(folder / "yard_20230105T103000.tif", yard())
    return folder


@pytest.fixture(scope="module")
def scene(folder: Path) -> Scene:
    return find_scenes([folder / "yard_20230105T103000.tif"]).scenes[0]


def objects(*rows: tuple[float, float, float, float, str]) -> Objects:
    """Objects from centre, length and width in model pixels, and class."""
    names = class_table().names
    xywhr = np.array([[x, y, w, h, 0.3] for x, y, w, h, _ in rows], dtype=np.float64).reshape(-1, 5)
    kinds = np.array([kind for *_, kind in rows], dtype=str)
    scores = ClassScores.named(kinds, np.full(len(rows), 0.8), names)
    return Objects(xywhr, scores, scores.values.argmax(axis=1))


def ground(scene: Scene, folder: Path) -> Ground:
    whole = box(0, 0, scene.width, scene.height)
    found = [(f, facility_in_scene(scene, f)) for f in load_facilities(folder / "f.geojson")]
    return Ground(whole, tuple(Area(f, outline, outline.intersection(whole)) for f, outline in found))


def rows(scene: Scene, folder: Path, *made: tuple[float, float, float, float, str]) -> gpd.GeoDataFrame:
    spec = fake_weights(folder / "w").spec
    return detection_rows(scene, ground(scene, folder), objects(*made), spec, class_table())


def test_an_object_stands_in_every_facility_that_holds_its_centre(scene: Scene, folder: Path) -> None:
    found = rows(scene, folder, (100, 150, 50, 10, "railcar"), (200, 150, 50, 10, "railcar"), (2, 2, 50, 10, "railcar"))
    assert found[["facility_id"]].value_counts().to_dict() == {("yard",): 2, ("west",): 1}


def test_a_row_says_size_class_score_and_place(scene: Scene, folder: Path) -> None:
    row = rows(scene, folder, (200, 150, 50, 10, "tarped_railcar")).iloc[0]
    assert (row["class"], row["detected"], row["flags"]) == ("tarped_railcar", True, "")
    assert row["score"] == pytest.approx(0.8)
    assert (row["length_m"], row["width_m"]) == pytest.approx((50 * scene.gsd_m, 10 * scene.gsd_m))
    assert np.isnan(row["p_true"])
    assert np.mean(np.reshape(row["corners_px"], (4, 2)), axis=0) == pytest.approx([200, 150])  # seen as it is
    assert row["heading_deg"] == pytest.approx(90 + np.degrees(0.3), abs=1.5)
    metres = gpd.GeoSeries([row["geometry"]], crs="EPSG:4326").to_crs(scene.crs)
    assert metres.area.iloc[0] == pytest.approx(45, rel=0.01)


@pytest.mark.parametrize(
    ("made", "flags"),
    [
        ((200, 150, 50, 10, "railcar"), ""),
        ((200, 150, 150, 10, "railcar"), "size"),
        ((200, 150, 50, 25, "container"), "size"),
        ((200, 150, 10, 9, "railcar"), "size"),
        ((200, 150, 40, 8, "container"), ""),
        ((50, 20, 90, 10, "railcar"), "edge"),
        ((20, 20, 150, 10, "railcar"), "edge;size"),
    ],
)
def test_flags(scene: Scene, folder: Path, made: tuple[float, float, float, float, str], flags: str) -> None:
    assert set(rows(scene, folder, made, made)["flags"]) <= {flags}
    spec = fake_weights(folder / "w").spec
    everywhere = Ground(
        box(0, 0, 300, 300),
        (Area(ground(scene, folder).areas[0].facility, box(0, 0, 300, 300), box(0, 0, 1, 1)),),
    )
    assert set(detection_rows(scene, everywhere, objects(made), spec, class_table())["flags"]) == {flags}


def test_nothing_found_gives_the_full_columns(scene: Scene, folder: Path) -> None:
    found = rows(scene, folder)
    assert len(found) == 0
    assert list(found) == list(empty_detections())
    assert (found.dtypes == empty_detections().dtypes).all()


def test_scene_rows_tell_what_was_seen(scene: Scene, folder: Path) -> None:
    known = ground(scene, folder)
    half = Area(known.areas[1].facility, known.areas[1].whole, known.areas[1].whole.intersection(box(0, 0, 150, 300)))
    found = scene_rows(scene, [half], [Look(0.1, 0.2, 0.3, detail=-4.0)])
    row = found.iloc[0]
    assert list(found) == list(empty_scenes())
    assert row["observed_fraction"] == pytest.approx(0.5, abs=0.01)
    assert row["detail"] == -4.0
    assert np.isnan(row["chroma"])
    assert row["acquired"] == pd.Timestamp("2023-01-05T10:30:00Z")
    assert np.isnan(row["cloud_cover"])
    assert 15 < row["sun_elevation_deg"] < 25
    assert np.isnan(row["off_nadir_deg"])
    assert row["geometry"].area == pytest.approx(half.facility.geometry.area / 2, rel=0.01)


def tables(scene: Scene, folder: Path) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
    found = rows(scene, folder, (200, 150, 50, 10, "railcar"), (100, 150, 40, 8, "container"))
    seen = scene_rows(scene, ground(scene, folder).areas, [Look(0.1, 0.2, 0.3)] * 2)
    return found, seen


def test_parts_come_back_as_they_were(scene: Scene, folder: Path, tmp_path: Path) -> None:
    found, seen = tables(scene, folder)
    parts = Parts(tmp_path)
    name = part_name(scene.scene_id, "0123456789abcdef0123")
    assert not parts.has(name)
    parts.write(name, found, seen)
    assert parts.has(name)
    found_again, seen_again = parts.read([name])
    pd.testing.assert_frame_equal(pd.DataFrame(found_again), pd.DataFrame(found))
    pd.testing.assert_frame_equal(pd.DataFrame(seen_again), pd.DataFrame(seen))
    assert parts.scenes_besides([]) == (scene.scene_id,)
    assert parts.scenes_besides([scene.scene_id]) == ()


def test_a_part_that_is_cut_off_is_not_there(scene: Scene, folder: Path, tmp_path: Path) -> None:
    parts = Parts(tmp_path)
    for file in ("scenes.parquet", "detections.parquet"):
        for size in (0, 3, -1):
            parts.write("a.0", *tables(scene, folder))
            assert parts.has("a.0")
            part = tmp_path / f"a.0.{file}"
            os.truncate(part, size if size >= 0 else part.stat().st_size + size)
            assert not parts.has("a.0")
        parts.write("a.0", *tables(scene, folder))
        (tmp_path / f"a.0.{file}").unlink()
        assert not parts.has("a.0")


def test_a_geopackage_that_finds_no_room_is_a_usage_error(
    scene: Scene, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error in (DataLayerError("Failed to commit transaction"), DataSourceError("disk is full")):
        monkeypatch.setattr("detector.detection.tables.pyogrio.write_dataframe", Mock(side_effect=error))
        with pytest.raises(UsageError, match=r"detections\.gpkg: cannot be written"):
            write_tables(tmp_path, *tables(scene, folder))
    assert not (tmp_path / "detections.gpkg").exists()


def test_a_part_that_is_damaged_inside_is_named(scene: Scene, folder: Path, tmp_path: Path) -> None:
    parts = Parts(tmp_path)
    parts.write("a.0", *tables(scene, folder))
    (tmp_path / "a.0.detections.parquet").write_bytes(b"PAR1" + bytes(100) + b"PAR1")
    with pytest.raises(UsageError, match=r"a\.0\.detections\.parquet: is damaged"):
        parts.read(["a.0"])


def test_names_of_parts_fit_file_systems_and_keep_the_hash() -> None:
    ascii_id = "yard_" * 30 + "-0123abcd"
    assert part_name(ascii_id, "f" * 64) == f"{ascii_id[-100:]}.{'f' * 16}"
    name = part_name("\u7ad9" * 75 + "_20180101-0123abcd", "f" * 64)
    assert len(f".tmp-4194304-{name}.detections.parquet".encode()) <= 255
    assert name.endswith("_20180101-0123abcd." + "f" * 16)
    assert name.startswith("\u7ad9")


def test_no_parts_give_empty_tables(tmp_path: Path) -> None:
    found, seen = Parts(tmp_path).read([])
    assert (list(found), list(seen)) == (list(empty_detections()), list(empty_scenes()))


def test_the_same_tables_give_the_same_bytes(scene: Scene, folder: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_tables(tmp_path / name, *tables(scene, folder))
    for file in ("detections.parquet", "scenes.parquet", "detections.gpkg"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_empty_tables_can_be_written(tmp_path: Path) -> None:
    write_tables(tmp_path, empty_detections(), empty_scenes())
    assert len(gpd.read_parquet(tmp_path / "detections.parquet")) == 0
    assert len(gpd.read_file(tmp_path / "detections.gpkg", layer="detections")) == 0
    layer = pyogrio.read_info(tmp_path / "detections.gpkg", "detections")
    assert dict(zip(layer["fields"], layer["dtypes"], strict=True))["corners_px"] == "object"  # text, as of rows


def test_the_layer_tells_corners_to_a_hundredth_of_a_pixel(scene: Scene, folder: Path, tmp_path: Path) -> None:
    found, seen = tables(scene, folder)
    write_tables(tmp_path, found, seen)
    shown = [json.loads(text) for text in gpd.read_file(tmp_path / "detections.gpkg", layer="detections")["corners_px"]]
    assert np.array(shown) == pytest.approx(np.stack(found["corners_px"].tolist()), abs=0.0051)
    assert (np.round(shown, 2) == shown).all()


def test_the_geopackage_carries_its_styles(scene: Scene, folder: Path, tmp_path: Path) -> None:
    write_tables(tmp_path, *tables(scene, folder))
    with sqlite3.connect(tmp_path / "detections.gpkg") as db:
        styles = db.execute(
            "SELECT f_table_name, f_geometry_column, useAsDefault, styleQML FROM layer_styles"
        ).fetchall()
        geometry = dict(db.execute("SELECT table_name, column_name FROM gpkg_geometry_columns").fetchall())
        columns = {row[1] for row in db.execute("PRAGMA table_info(detections)")}
    db.close()
    assert {name: column for name, column, default, _ in styles if default} == geometry
    qml = ElementTree.fromstring(next(text for name, _, _, text in styles if name == "detections"))
    filters = [rule.get("filter", "") for rule in qml.iter("rule") if rule.get("filter")]
    assert '"detected"' in filters
    assert len(filters) == 2 * (1 + len(COLOURS))
    assert set(COLOURS) == set(class_table().names)
    assert {"class", "detected", "score", "length_m", "flags"} <= columns


def test_rejections_are_a_csv_with_the_cure(tmp_path: Path) -> None:
    path = tmp_path / "rejected.csv"
    write_rejected(path, [Rejection(Path("a b.tif"), 'is "empty", quite', "Fetch it again.")])
    found = pd.read_csv(path)
    assert found.to_dict("records") == [{"path": "a b.tif", "reason": 'is "empty", quite', "cure": "Fetch it again."}]
    write_rejected(path, [])
    assert path.read_text() == "path,reason,cure\n"


def test_facilities_are_written_as_they_were_read(folder: Path, tmp_path: Path) -> None:
    before = load_facilities(folder / "f.geojson")
    write_facilities(tmp_path / "facilities.geojson", before)
    assert load_facilities(tmp_path / "facilities.geojson") == before
