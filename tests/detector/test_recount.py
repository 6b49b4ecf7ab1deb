"""Counting a stored run: what it keeps, and tables that a spreadsheet and the report can read."""

import csv
import errno
import json
import re
import shutil
from datetime import date, timedelta
from pathlib import Path
from unittest.mock import Mock

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from pyarrow.parquet import read_table

from detector.config import count_config
from detector.detection.rows import empty_detections
from detector.errors import UsageError
from detector.report import report
from detector.run import Inputs, check_beside, count_step, counting_settings, detect_step
from detector.tally.calibration_file import CalibrationFile, save_calibration
from tests.detector.fakes import facilities_file, fake_config, fake_weights
from tests.simulated_run import SHA, join, outline, yard_run
from tests.simulation import World

FEW_DRAWS = count_config().model_copy(update={"draws": 200})
START = date(2021, 3, 1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, calibration_file: CalibrationFile) -> Path:
    """Two yards on the same twelve dates, with a calibration and six counts by eye."""
    folder = tmp_path_factory.mktemp("recount")
    rng = np.random.default_rng(4)
    numbers = {START + timedelta(days=30 * i): int(rng.integers(2, 12)) for i in range(12)}
    world = World(facility_sd=0.05, scene_sd=0.1, string_sd=0.1)
    tables = join([yard_run(numbers, rng, facility_id=name, world=world) for name in ("north", "süd, 2")])
    tables.write(folder / "run", folder / "truth")
    missing = {name: "" if name == "flags" else np.nan for name in set(empty_detections()) - set(tables.detections)}
    detections = tables.detections.assign(**missing)
    detections["corners_px"] = [[0.0] * 8] * len(detections)
    detections.to_parquet(folder / "run" / "detections.parquet")
    save_calibration(calibration_file.model_copy(update={"weights_sha256": SHA}), folder / "w.calibration.json")
    record = {"weights": {"path": str(folder / "w.json"), "sha256": SHA}, "config": {}}
    (folder / "run" / "run.json").write_text(json.dumps(record))
    yards = gpd.GeoDataFrame({"facility_id": ["north", "süd, 2"]}, geometry=[outline()] * 2, crs="EPSG:4326")
    yards.to_file(folder / "run" / "facilities.geojson", driver="GeoJSON")
    by_eye = folder / "by_eye.csv"
    rows = [f'"süd, 2",{START - timedelta(days=40 * i)},{5 + i},,' for i in range(1, 5)]
    rows += [f"north,{START},4,3,6", f"north,{START - timedelta(days=99)},5,,"]
    by_eye.write_text("\n".join(["facility_id,date,count,lo,hi", *rows]))
    count_step(folder / "run", FEW_DRAWS, by_eye)
    return folder / "run"


def test_a_run_keeps_its_counting_settings_until_others_are_given(run: Path, tmp_path: Path) -> None:
    assert counting_settings(run) == FEW_DRAWS
    (tmp_path / "stream.yaml").write_text("control: stream\n")
    assert counting_settings(run, tmp_path / "stream.yaml") == count_config(tmp_path / "stream.yaml")
    assert counting_settings(tmp_path) == count_config()
    record = json.loads((run / "run.json").read_text())
    record["config"]["count"]["of_an_earlier_version"] = 1
    (tmp_path / "run.json").write_text(json.dumps(record))
    with pytest.raises(UsageError, match=r"another version .*of_an_earlier_version.*--settings"):
        counting_settings(tmp_path)
    (tmp_path / "run.json").write_text("{")
    assert counting_settings(tmp_path) == count_config()


def railcars(run: Path) -> pd.DataFrame:
    counts = pd.read_parquet(run / "counts.parquet")
    return counts[counts["group"] == "railcar"]


def test_counts_by_eye_are_kept_as_given_and_found_again(run: Path) -> None:
    kept = (run / "history.csv").read_text().splitlines()
    assert kept[0] == "facility_id,date,count,lo,hi" and f"north,{START},4,3,6" in kept
    assert f"north,{START - timedelta(days=99)},5,," in kept and len(kept) == 7
    first = railcars(run)
    count_step(run, FEW_DRAWS)
    assert railcars(run).equals(first)
    assert json.loads((run / "run.json").read_text())["history"]["path"].endswith("history.csv")
    assert set(first.groupby("facility_id")["baseline_n"].max()) == {12, 15}


def test_a_table_without_the_columns_that_counting_fills_gets_them(run: Path, tmp_path: Path) -> None:
    older = shutil.copytree(run, tmp_path / "run")
    table = gpd.read_parquet(run / "detections.parquet")
    table.drop(columns=["p_true", "flags"]).to_parquet(older / "detections.parquet")
    count_step(older, FEW_DRAWS)
    assert railcars(older).equals(railcars(run))
    again = gpd.read_parquet(older / "detections.parquet")
    assert again["p_true"].equals(table["p_true"]) and again["flags"].tolist() == table["flags"].tolist()


def test_an_unknown_probability_is_null_in_the_file(run: Path, tmp_path: Path) -> None:
    other = shutil.copytree(run, tmp_path / "run")
    table = gpd.read_parquet(run / "detections.parquet")
    table.loc[:4, "facility_id"] = "gone"
    table.to_parquet(other / "detections.parquet")
    count_step(other, FEW_DRAWS)
    assert read_table(other / "detections.parquet")["p_true"].null_count == 5


def test_a_table_that_is_no_geoparquet_is_damaged(run: Path, tmp_path: Path) -> None:
    other = shutil.copytree(run, tmp_path / "run")
    pd.DataFrame(gpd.read_parquet(run / "detections.parquet").drop(columns="geometry")).to_parquet(
        other / "detections.parquet"
    )
    with pytest.raises(UsageError, match=r"detections.parquet: is damaged \(it is no GeoParquet\)"):
        count_step(other, FEW_DRAWS)


def test_what_was_kept_of_a_facility_that_is_gone_is_left_out_and_kept(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = shutil.copytree(run, tmp_path / "run")
    with (changed / "history.csv").open("a", encoding="utf-8") as file:
        file.write("gone,2020-01-01,7,,\ngone,2020-02-01,8,,\n")
    line = {"type": "LineString", "coordinates": [[1.0, 4.0], [2.0, 4.0]]}
    track = {"type": "Feature", "properties": {"facility_id": "gone"}, "geometry": line}
    (changed / "tracks.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [track]}))
    check_beside(changed / "facilities.geojson", None, None, changed)
    count_step(changed, FEW_DRAWS)
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2 and all(text.count("'gone'") == 1 for text in told)  # a note for each file
    assert railcars(changed).equals(railcars(run))
    assert (changed / "history.csv").read_text().count("gone,2020") == 2  # for when it is back
    assert "gone" in (changed / "tracks.geojson").read_text()
    report(changed)
    with pytest.raises(UsageError, match=r"'gone' is not among the facilities"):
        check_beside(changed / "facilities.geojson", changed / "history.csv", None, changed)
    with (changed / "history.csv").open("a", encoding="utf-8") as file:
        file.write("north,2020-01-01,20231005,,\n")
    with pytest.raises(UsageError, match="more vehicles than any yard holds"):
        check_beside(changed / "facilities.geojson", None, None, changed)


def test_a_run_without_its_outlines_is_told_to_detect_again(run: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(run, tmp_path / "run")
    (broken / "facilities.geojson").unlink()
    with pytest.raises(UsageError, match=r"has no facilities\.geojson.*railcars detect"):
        count_step(broken, FEW_DRAWS)


def test_sums_over_facilities_that_overlap_are_flagged(run: Path) -> None:
    totals = pd.read_csv(run / "totals.csv", keep_default_na=False)
    is_flagged = totals["flags"].str.split(";").map(lambda flags: "overlap:1" in flags)
    assert is_flagged.equals(totals["scope"] == "all")  # the two yards have one outline


def test_facilities_that_overlap_are_named_before_detection(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "images").mkdir()
    outlines = {
        "half": (-40.0, -40.0, 0.0, 40.0),
        "yard": (-40.0, -40.0, 40.0, 40.0),
        "apart": (99.0, 0.0, 199.0, 40.0),
    }
    inputs = Inputs((tmp_path / "images",), facilities_file(tmp_path / "f.geojson", outlines))
    detect_step(inputs, tmp_path / "run", fake_weights(tmp_path / "weights"), fake_config())
    told = capsys.readouterr().err
    assert told.count("note:") == 1 and "'half' and 'yard'" in told and "apart" not in told
    quiet: list[str] = []
    detect_step(inputs, tmp_path / "run", fake_weights(tmp_path / "weights"), fake_config(), note=quiet.append)
    assert len(quiet) == 1 and capsys.readouterr().err == ""


@pytest.mark.parametrize("damage", ["missing", "damaged"])
@pytest.mark.parametrize(
    "name", ["run.json", "detections.parquet", "scenes.parquet", "counts.parquet", "totals.parquet"]
)
def test_a_missing_or_damaged_file_is_named_with_the_command_that_writes_it(
    run: Path, tmp_path: Path, name: str, damage: str
) -> None:
    broken = shutil.copytree(run, tmp_path / "run")
    (broken / name).unlink() if damage == "missing" else (broken / name).write_bytes((run / name).read_bytes()[:99])
    is_of_count = name in {"counts.parquet", "totals.parquet"}
    words = f"{re.escape(name)}.*railcars {'count' if is_of_count else 'detect'}"
    if not is_of_count:
        with pytest.raises(UsageError, match=words):
            count_step(broken, FEW_DRAWS)
    if name != "detections.parquet":  # of which the report shows chips, where it has pictures
        with pytest.raises(UsageError, match=words):
            report(broken)


def test_a_run_that_was_detected_anew_is_counted_before_it_is_reported(tmp_path: Path) -> None:
    run, weights = tmp_path / "run", fake_weights(tmp_path / "weights")
    (tmp_path / "images").mkdir()
    inputs = Inputs(
        (tmp_path / "images",), facilities_file(tmp_path / "f.geojson", {"yard": (-40.0, -40.0, 40.0, 40.0)})
    )
    detect_step(inputs, run, weights, fake_config())
    count_step(run, FEW_DRAWS)
    page = report(run).read_bytes()
    detect_step(inputs, run, weights, fake_config())
    with pytest.raises(UsageError, match=r"detected anew since it was counted.*`railcars count .*run` first"):
        report(run)
    assert (run / "report.html").read_bytes() == page
    count_step(run, FEW_DRAWS)
    report(run)


def test_no_step_writes_beside_another_process(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = Inputs((tmp_path,), facilities_file(tmp_path / "f.geojson", {"yard": (-40.0, -40.0, 40.0, 40.0)}))
    weights = fake_weights(tmp_path / "weights")
    names = sorted(path.name for path in run.iterdir())
    taken = BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
    monkeypatch.setattr("detector.runlock.fcntl.lockf", Mock(side_effect=taken))
    for step in (
        lambda: detect_step(inputs, run, weights, fake_config()),
        lambda: count_step(run, FEW_DRAWS),
        lambda: report(run),
    ):
        with pytest.raises(UsageError, match="another process is writing to this run"):
            step()
    assert sorted(path.name for path in run.iterdir()) == names


@pytest.mark.parametrize("name", ["counts", "totals"])
def test_tables_open_in_a_spreadsheet(run: Path, name: str) -> None:
    table = pd.read_parquet(run / f"{name}.parquet")
    with (run / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(table) and list(rows[0]) == list(table.columns)
    texts = {"facility_id", "scope", "group", "flags", "surge", "verdict"}
    dates = {"date", "baseline_since"}
    for row, (_, stored) in zip(rows, table.iterrows(), strict=True):
        for column, text in row.items():
            if column in dates:
                assert re.fullmatch(r"\d{4}-\d\d-\d\d|", text)
            elif column in texts:
                assert text == stored[column] and "\n" not in text
            else:
                assert (text == "") == bool(pd.isna(stored[column]))
                assert text == "" or float(text) == pytest.approx(float(stored[column]), rel=1e-5)


def test_report_of_a_counted_run_has_sums_and_counts_by_eye(run: Path) -> None:
    html = report(run).read_text(encoding="utf-8")
    assert "All facilities together" in html and "counted by eye" in html
    assert html.count('class="eye"') >= 4  # both facilities, for a desk and for a phone
