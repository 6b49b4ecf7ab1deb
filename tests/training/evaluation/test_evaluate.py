"""Whole runs are evaluated, whatever form their truth has."""

import json
from datetime import date
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from typer.testing import CliRunner

from detector.cli import app
from detector.config import class_table, count_config
from detector.errors import UsageError
from detector.tally.counts import count_run
from tests.simulated_run import Tables, inside, join, yard_run
from tests.simulation import World
from training.evaluate import main
from training.evaluation.counts import counts_with_truth
from training.evaluation.measure import evaluate, read_counts
from training.evaluation.truth import read_places

EASY = World(facility_sd=0.05, scene_sd=0.1, string_sd=0.1, false_per_scene=2.0, recall_logit=3.0)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Tables]:
    numbers = {date(2023, 1, 5): 12, date(2023, 2, 5): 0, date(2023, 3, 5): 40}
    tables = yard_run(numbers, np.random.default_rng(1), world=EASY)
    tables.write(tmp_path / "run", tmp_path / "truth")
    return tmp_path / "run", tmp_path / "truth", tables


def count(run: Path, tables: Tables) -> None:
    counted = count_run(
        tables.detections,
        tables.scenes,
        calibration=None,
        history=None,
        config=count_config(),
        classes=class_table(),
    )
    counted.counts.to_parquet(run / "counts.parquet")


def test_a_run_is_evaluated_whole(folders: tuple[Path, Path, Tables], capsys: pytest.CaptureFixture[str]) -> None:
    run, truth_folder, tables = folders
    count(run, tables)
    assert main([str(run), "--truth", str(truth_folder), "--json", str(run / "metrics.json")]) == 0
    assert "railcar" in capsys.readouterr().out
    result = json.loads((run / "metrics.json").read_text())
    railcar = result["groups"]["railcar"]
    n_right = (tables.detections["score"] >= 0.5).sum()
    assert (result["n_scenes"], railcar["n_true"], railcar["n_detected"]) == (3, 52, n_right)
    assert railcar["recall_50"] > 0.85
    assert railcar["best_f1_50"] >= railcar["f1_50"]
    assert railcar["ap_30"] > 0.85
    assert railcar["boxes"]["length_m_p90"] < 1e-3  # the simulated boxes are exact
    assert railcar["counts"]["estimated"]["n"] == 3
    assert railcar["counts"]["estimated"]["n_intervals"] == 0  # no calibration, no intervals
    assert railcar["slices"]["length"]["from 14 m"]["n_true"] == 52
    assert result["groups"]["locomotive"]["recall_50"] is None
    assert result["classes"]["railcar"]["f1_50"] == railcar["f1_50"]
    assert sum(scene["railcar"]["n_true"] for scene in result["scenes"]) == 52


def two_hours(sharper: str, dull: str) -> Tables:
    """Two scenes of one date, hours apart, named so: the sharper one holds 30 railcars, the other 8."""
    runs = []
    for name, number, hour, sharpness in ((sharper, 30, 6, 1.0), (dull, 8, 11, 0.5)):
        one = yard_run({date(2023, 1, 5): number}, np.random.default_rng(number), world=EASY)
        acquired = pd.Timestamp(2023, 1, 5, hour, tz="UTC")
        scene_id = f"{name}_20230105-0123abcd"
        scenes = one.scenes.assign(scene_id=scene_id, acquired=acquired, sharpness=sharpness)
        detections = one.detections.assign(scene_id=scene_id, acquired=acquired)
        runs.append(Tables(detections, scenes, {scene_id: next(iter(one.truth.values()))}))
    return join(sorted(runs, key=lambda run: min(run.truth)))


@pytest.mark.parametrize(("sharper", "dull"), [("a", "b"), ("b", "a")])
def test_a_date_is_judged_by_the_scene_that_was_counted(tmp_path: Path, sharper: str, dull: str) -> None:
    run, truth = tmp_path / "run", tmp_path / "truth"
    tables = two_hours(sharper, dull)
    tables.write(run, truth)
    count(run, tables)
    counts, table = read_counts(run), class_table()
    assert counts is not None
    rows = counts_with_truth(counts, read_places(run, truth, table.names), "railcar", table)
    assert rows["n_true"].tolist() == [30]
    assert rows["flags"].str.contains("other_times_unused").all()
    # What the other scene shows says nothing of this count.
    (truth / f"{sharper}_20230105.truth.geojson").unlink()
    assert counts_with_truth(counts, read_places(run, truth, table.names), "railcar", table).empty


def test_truth_in_another_crs_gives_the_same(folders: tuple[Path, Path, Tables], tmp_path: Path) -> None:
    run, truth_folder, _ = folders
    before = evaluate(run, truth_folder)
    utm = tmp_path / "utm"
    utm.mkdir()
    for path in truth_folder.iterdir():
        gpd.read_file(path).to_crs("EPSG:32635").to_file(utm / path.name, driver="GeoJSON")
    after = evaluate(run, utm)
    assert after["groups"] == before["groups"]
    assert after["groups"]["railcar"]["counts"]["estimated"] is None


def test_a_single_truth_file_serves_a_single_scene(tmp_path: Path) -> None:
    tables = yard_run({date(2023, 1, 5): 12}, np.random.default_rng(2), world=EASY)
    tables.write(tmp_path / "run", tmp_path / "truth")
    only = next((tmp_path / "truth").iterdir()).rename(tmp_path / "any name.geojson")
    assert evaluate(tmp_path / "run", only)["groups"]["railcar"]["n_true"] == 12


def test_objects_outside_what_was_seen_are_not_missed(folders: tuple[Path, Path, Tables]) -> None:
    run, truth_folder, tables = folders
    west = tables.scenes.geometry.iloc[0].intersection(shapely.box(27.10, 41.30, 27.105, 41.304))
    tables.scenes.assign(observed_fraction=0.5).set_geometry([west] * 3).to_parquet(run / "scenes.parquet")
    inside(tables.detections, west).to_parquet(run / "detections.parquet")
    railcar = evaluate(run, truth_folder)["groups"]["railcar"]
    assert 15 < railcar["n_true"] < 40
    assert railcar["recall_30"] > 0.75


def test_scenes_without_georeference_use_pixels(tmp_path: Path) -> None:
    tables = yard_run({date(2023, 1, 5): 12}, np.random.default_rng(3), world=EASY)

    def in_pixels(table: gpd.GeoDataFrame) -> list[list[float]]:
        corners = shapely.get_coordinates(table.geometry.to_numpy()).reshape(-1, 5, 2)[:, :4]
        return ((corners - [27.10, 41.304]) * [2e5, -2e5]).reshape(-1, 8).tolist()

    bare = Tables(
        tables.detections.assign(corners_px=in_pixels(tables.detections)).set_geometry(
            [None] * len(tables.detections), crs="EPSG:4326"
        ),
        tables.scenes.set_geometry([None], crs="EPSG:4326"),
        {key: table.assign(corners_px=in_pixels(table)) for key, table in tables.truth.items()},
    )
    bare.write(tmp_path / "run", tmp_path / "truth")
    assert evaluate(tmp_path / "run", tmp_path / "truth")["groups"]["railcar"]["recall_30"] > 0.85


def test_no_truth_is_an_error_with_its_cure(folders: tuple[Path, Path, Tables], tmp_path: Path) -> None:
    run, _, _ = folders
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"truth\.geojson"):
        evaluate(run, tmp_path / "empty")
    with pytest.raises(UsageError, match="does not exist"):
        evaluate(run, tmp_path / "nowhere")
    assert main([str(tmp_path / "empty"), "--truth", str(tmp_path / "empty")]) == 2
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "yard_20230105.truth.geojson").write_text("not json")
    with pytest.raises(UsageError, match="no GeoJSON"):
        evaluate(run, bad)


def test_ignored_areas_and_conditions_are_read(folders: tuple[Path, Path, Tables]) -> None:
    run, truth_folder, tables = folders
    path = truth_folder / "yard_20230305.truth.geojson"
    collection = json.loads(path.read_text())
    before = evaluate(run, truth_folder)["groups"]["railcar"]
    west = shapely.box(27.09, 41.29, 27.105, 41.31)
    # Half of the yard becomes an ignored area, and its labels go.
    kept = [f for f in collection["features"] if shapely.geometry.shape(f["geometry"]).centroid.x > 27.105]
    area = {"type": "Feature", "properties": {"ignore": True}, "geometry": shapely.geometry.mapping(west)}
    collection |= {"features": [*kept, area], "conditions": {"pan": True, "snow": 0.0, "yard_heading_deg": 60.0}}
    path.write_text(json.dumps(collection))
    after = evaluate(run, truth_folder)["groups"]["railcar"]
    assert 12 + len(kept) == after["n_true"] < before["n_true"]
    outside = tables.detections[tables.detections["scene_id"].str.contains("20230305")]
    n_west = int((outside["detected"] & (shapely.get_x(shapely.centroid(outside.geometry.to_numpy())) < 27.105)).sum())
    assert after["n_detected"] == pytest.approx(before["n_detected"] - n_west, abs=1)
    assert after["precision_50"] > 0.8
    assert after["slices"]["pan"]["panchromatic"]["n_scenes"] == 1
    assert after["slices"]["yard_angle"]["from 30°"]["n_true"] == len(kept)


def test_the_command_says_the_same(folders: tuple[Path, Path, Tables], capsys: pytest.CaptureFixture[str]) -> None:
    run, truth_folder, _ = folders
    expected = evaluate(run, truth_folder)
    assert main([str(run), "--truth", str(truth_folder), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out) == expected
    shown = CliRunner().invoke(app, ["evaluate", str(run), "--truth", str(truth_folder), "--json"])
    assert json.loads(shown.stdout) == expected


def test_truth_outside_of_the_image_does_not_count(tmp_path: Path) -> None:
    tables = yard_run({date(2023, 1, 5): 0}, np.random.default_rng(3), world=EASY)
    scenes = tables.scenes.set_geometry([None], crs="EPSG:4326")
    bare = Tables(tables.detections.iloc[:0].assign(corners_px=None), scenes, {})
    bare.write(tmp_path / "run", tmp_path / "truth")
    corners = np.array([[0.0, 0.0], [50, 0], [50, 10], [0, 10]])
    features = [
        {"type": "Feature", "properties": {"corners_px": (corners + shift).ravel().tolist()}, "geometry": None}
        for shift in (20, 3000)
    ]
    path = tmp_path / "any.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    result = evaluate(tmp_path / "run", path)
    assert result["groups"]["railcar"]["n_true"] == 1
    assert result["aside"]["n_outside"] == 1
    features[1] |= {"properties": {}, "geometry": shapely.geometry.mapping(shapely.box(27.10, 41.30, 27.11, 41.31))}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    with pytest.raises(UsageError, match=r"any\.geojson: feature 2: .* needs the property corners_px"):
        evaluate(tmp_path / "run", path)
