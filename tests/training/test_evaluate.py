"""Metrics of detections, counts and intervals."""

import json
from datetime import date
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from detector.config import class_table, count_config
from detector.errors import UsageError
from detector.tally.counts import count_run
from tests.simulated_run import Tables, inside, yard_run
from tests.simulation import World
from training.evaluate import count_metrics, evaluate, interval_score, main
from training.matching import IGNORED, WRONG, average_precision, label, match
from training.truth import Found, Truth

TABLE = class_table()
RAILCAR = TABLE.groups["railcar"]
EASY = World(facility_sd=0.05, scene_sd=0.1, string_sd=0.1, false_per_scene=2.0, recall_logit=3.0)


def boxes(*x: float) -> np.ndarray:
    """Cars of 15 x 3 m in one row, at these places."""
    return np.array([[at, 0.0, 15.0, 3.0, 0.0] for at in x]).reshape(-1, 5)


def found(x: list[float], score: list[float], names: list[str] | None = None) -> Found:
    names = names or ["railcar"] * len(x)
    return Found(boxes(*x), np.array(names, dtype=str), np.array(score), np.array(score) >= 0.5)


def truth(x: list[float], names: list[str] | None = None, care: list[bool] | None = None) -> Truth:
    names = names or ["railcar"] * len(x)
    return Truth(boxes(*x), np.array(names, dtype=str), np.array(care or [True] * len(x)))


def test_each_object_is_found_once_by_the_most_confident() -> None:
    matched = match(found([0, 1, 100], [0.6, 0.9, 0.8]), truth([0, 200]), 0.3, TABLE)
    assert matched.tolist() == [WRONG, 0, WRONG]


def test_iou_decides() -> None:
    shifted = found([5.0], [0.9])  # IoU (15 - 5) / (15 + 5) = 0.5
    assert match(shifted, truth([0]), 0.49, TABLE).tolist() == [0]
    assert match(shifted, truth([0]), 0.51, TABLE).tolist() == [WRONG]


def test_dont_care_is_neither_right_nor_wrong() -> None:
    hidden = truth([0, 100], care=[False, True])
    matched = match(found([0, 1, 100], [0.9, 0.8, 0.7]), hidden, 0.3, TABLE)
    assert matched.tolist() == [IGNORED, IGNORED, 1]
    labels = label(found([0, 1, 100], [0.9, 0.8, 0.7]), hidden, matched, RAILCAR)
    assert (labels.row.tolist(), labels.is_true.tolist(), labels.n_true) == ([2], [True], 1)


def test_a_confused_class_is_no_miss_of_the_family_but_wrong_in_its_group() -> None:
    mixed_truth = truth([0, 100], ["railcar", "locomotive"])
    mixed = found([0, 100], [0.9, 0.9], ["tarped_railcar", "railcar"])
    matched = match(mixed, mixed_truth, 0.3, TABLE)
    assert matched.tolist() == [0, 1]
    assert label(mixed, mixed_truth, matched, RAILCAR).is_true.tolist() == [True, False]
    assert label(mixed, mixed_truth, matched, ("locomotive",)).n_true == 1


def test_families_do_not_meet() -> None:
    assert match(found([0], [0.9], ["container"]), truth([0]), 0.3, TABLE).tolist() == [WRONG]


def test_objects_of_unknown_classes_are_ignored() -> None:
    area = truth([0], ["ignore"], [False])
    assert match(found([0], [0.9]), area, 0.3, TABLE).tolist() == [IGNORED]


def test_average_precision_by_hand() -> None:
    score, is_true = np.array([0.9, 0.8, 0.7]), np.array([True, False, True])
    assert average_precision(score, is_true, 2) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(score, is_true, 4) == pytest.approx((1 + 2 / 3) / 4)
    assert np.isnan(average_precision(score[:0], is_true[:0], 0))


def test_interval_score_by_hand() -> None:
    low, high = np.array([0.0, 5.0]), np.array([10.0, 6.0])
    assert interval_score(low, high, np.array([5.0, 8.0]), 0.95) == pytest.approx((10 + 1 + 40 * 2) / 2)


def test_count_metrics_by_hand() -> None:
    rows = pd.DataFrame(
        {
            "count": [10.0, 30.0],
            "n_detected": [8, 30],
            "n_true": [12, 28],
            "lo95": [8.0, 29.0],
            "hi95": [13.0, 35.0],
            "lo80": [9.0, 29.0],
            "hi80": [11.0, 32.0],
        }
    )
    got = count_metrics(rows)
    assert (got["mae"], got["bias"], got["raw_mae"]) == (2.0, 0.0, 3.0)
    assert (got["coverage95"], got["coverage80"]) == (0.5, 0.0)
    assert (got["missed_below95"], got["missed_above95"]) == (0.5, 0.0)
    assert got["coverage95_by_n"]["26+"] == {"n_dates": 1, "coverage": 0.0}


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
        classes=TABLE,
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
    assert railcar["iou_0.5"]["recall"] > 0.85
    assert railcar["iou_0.5"]["best_f1"] >= railcar["iou_0.5"]["f1"]
    assert railcar["iou_0.3"]["average_precision"] > 0.85
    assert railcar["counts"]["n_dates"] == 3
    assert railcar["counts"]["coverage95"] == 1.0
    assert result["groups"]["locomotive"]["iou_0.5"]["recall"] is None


def test_truth_in_another_crs_gives_the_same(folders: tuple[Path, Path, Tables], tmp_path: Path) -> None:
    run, truth_folder, _ = folders
    before = evaluate(run, truth_folder)
    utm = tmp_path / "utm"
    utm.mkdir()
    for path in truth_folder.iterdir():
        gpd.read_file(path).to_crs("EPSG:32635").to_file(utm / path.name, driver="GeoJSON")
    after = evaluate(run, utm)
    assert after["groups"] == before["groups"]
    assert after["groups"]["railcar"]["counts"] is None


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
    assert railcar["iou_0.3"]["recall"] > 0.75


def test_scenes_without_georeference_use_pixels(tmp_path: Path) -> None:
    tables = yard_run({date(2023, 1, 5): 12}, np.random.default_rng(3), world=EASY)

    def in_pixels(table: gpd.GeoDataFrame) -> list[list[float]]:
        corners = shapely.get_coordinates(table.geometry.to_numpy()).reshape(-1, 5, 2)[:, :4]
        return ((corners - [27.10, 41.30]) * [2e5, -2e5]).reshape(-1, 8).tolist()

    bare = Tables(
        tables.detections.assign(corners_px=in_pixels(tables.detections)).set_geometry(
            [None] * len(tables.detections), crs="EPSG:4326"
        ),
        tables.scenes.set_geometry([None], crs="EPSG:4326"),
        {key: table.assign(corners_px=in_pixels(table)) for key, table in tables.truth.items()},
    )
    bare.write(tmp_path / "run", tmp_path / "truth")
    assert evaluate(tmp_path / "run", tmp_path / "truth")["groups"]["railcar"]["iou_0.3"]["recall"] > 0.85


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
