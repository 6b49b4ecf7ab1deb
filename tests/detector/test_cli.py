"""The command: exit codes, messages, tables; on painted scenes with small weights made for the test."""

import errno
import json
from pathlib import Path
from unittest.mock import Mock

import pytest
from typer.testing import CliRunner

from detector import cli
from detector.errors import RailcarsError
from detector.run import Inputs, detect_step
from tests.detector.fakes import facilities_file, fake_config, fake_weights, paint, yard

RUNNER = CliRunner()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A scene of a yard and its outline."""
    (tmp_path / "images").mkdir()
    paint(tmp_path / "images" / "yard_20230105.tif", yard()[:5])
    facilities_file(tmp_path / "facilities.geojson", {"yard": (-40, -40, 40, 40)})
    return tmp_path


def call(*arguments: object) -> tuple[int, str]:
    """Exit code and standard output; errors that a user can act on are raised as they are."""
    result = RUNNER.invoke(cli.app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def test_help_lists_the_commands() -> None:
    code, text = call("--help")
    assert code == 0
    assert all(name in text for name in ("scenes", "run", "detect", "count", "report", "evaluate"))


def test_scenes_tells_file_date_and_cover(folder: Path) -> None:
    code, text = call("scenes", folder / "images", "--facilities", folder / "facilities.geojson", "--json")
    (row,) = json.loads(text)
    assert code == 0
    assert row["usable"] and row["date_source"] in {"tag", "name"} and row["covered"]["yard"] > 0.99


def test_scenes_prints_a_verdict_for_a_bad_file(folder: Path) -> None:
    (folder / "images" / "empty_20230106.tif").touch()
    code, text = call("scenes", folder / "images")
    assert code == 0
    assert "empty_20230106.tif" in text and "yard_20230105.tif" in text
    assert "1,2,3 of 3 " in text


def test_wrong_tracks_are_told_before_anything_is_detected(folder: Path) -> None:
    (folder / "tracks.geojson").write_text("{}")
    given = (folder / "images", "--facilities", folder / "facilities.geojson", "--out", folder / "run")
    with pytest.raises(RailcarsError, match=r"tracks\.geojson"):
        call("run", *given, "--tracks", folder / "tracks.geojson")
    assert not (folder / "run").exists()


def test_what_an_earlier_call_kept_is_read_before_anything_is_detected(folder: Path) -> None:
    (folder / "run").mkdir()
    (folder / "run" / "history.csv").write_text("facility_id,date,count\nyard,2023-01-05,many\n")
    given = (folder / "images", "--facilities", folder / "facilities.geojson", "--out", folder / "run")
    with pytest.raises(RailcarsError, match=r"history\.csv"):
        call("run", *given)
    assert [path.name for path in (folder / "run").iterdir()] == ["history.csv"]


def test_a_run_is_no_url(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    for command in ("run", "detect"):
        with pytest.raises(RailcarsError, match="s3://bucket/run: a RUN is a folder"):
            call(command, "images", "--facilities", "facilities.geojson", "--out", "s3://bucket/run")
    for command in ("count", "report"):
        with pytest.raises(RailcarsError, match="memory://run: a RUN is a folder"):
            call(command, "memory://run")
    assert sorted(folder.iterdir()) == before


def test_nothing_usable_exits_with_3(tmp_path: Path) -> None:
    (tmp_path / "a_20230105.tif").write_text("no picture")
    assert call("scenes", tmp_path)[0] == cli.EXIT_NOTHING


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    for command in ("count", "report"):
        with pytest.raises(RailcarsError, match=r"has no run\.json.*railcars run"):
            call(command, tmp_path)


def test_what_the_system_refuses_is_one_line_with_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "counts.csv"))
    for error, words in ((refused, f"{tmp_path / 'counts.csv'}: Permission denied."), (OSError("no room"), "no room.")):
        monkeypatch.setattr(cli, "app", Mock(side_effect=error))
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        assert stopped.value.code == cli.EXIT_USAGE
        assert f"railcars: {words}" in capsys.readouterr().err


def test_scenes_tells_what_it_left_aside(folder: Path) -> None:
    path = folder / "images" / "yard_20230105.tif"
    (folder / "images" / "yard_20230105_ql.tif").write_bytes(path.read_bytes())
    result = RUNNER.invoke(cli.app, ["scenes", str(folder / "images")])
    assert result.exit_code == 0
    assert "left aside: 1 previews and masks by their names (yard_20230105_ql.tif)" in result.stderr


def test_a_run_tells_what_it_left_aside(folder: Path) -> None:
    path = folder / "images" / "yard_20230105.tif"
    path.rename(path.with_stem(f"{path.stem}_ql"))
    inputs = Inputs((folder / "images",), folder / "facilities.geojson")
    told: list[str] = []
    detect_step(inputs, folder / "run", fake_weights(folder / "weights"), fake_config(), note=told.append)
    (line,) = told
    assert line.startswith("left aside: 1 previews and masks by their names (yard_20230105_ql.tif)")


def test_settings_may_name_what_differs_alone(folder: Path) -> None:
    given = (folder / "images", "--facilities", folder / "facilities.geojson", "--json")
    settings = folder / "mine.yaml"
    settings.write_text("bands: [1]\n")
    code, text = call("scenes", *given, "--settings", settings)
    assert (code, {row["bands"] for row in json.loads(text)}) == (0, {"1"})
    for content, words in (("band: [1]", "band"), ("- 1", "mine.yaml"), ("gsd_max_m: wide", "gsd_max_m")):
        settings.write_text(content)
        with pytest.raises(RailcarsError, match=words):
            call("scenes", *given, "--settings", settings)


def test_weights_of_another_hash_are_refused(folder: Path) -> None:
    from detector.resources import resource  # noqa: PLC0415 - only here

    for name in ("railcars-n.json", "railcars-n.onnx"):
        (folder / name).write_bytes(resource("weights", name).read_bytes())
    with (folder / "railcars-n.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(RailcarsError, match="SHA-256"):
        call(
            "detect", folder / "images", "--facilities", folder / "facilities.geojson",
            "--out", folder / "run", "--weights", folder / "railcars-n.json",
        )  # fmt: skip


@pytest.mark.integration
def test_run_counts_reports_and_grows(folder: Path) -> None:
    given = [folder / "images", "--facilities", folder / "facilities.geojson", "--out", folder / "run"]
    code, _ = call("run", *given, "--quiet")
    assert code == 0
    for name in ("run.json", "detections.parquet", "detections.gpkg", "counts.csv", "counts.parquet", "report.html"):
        assert (folder / "run" / name).stat().st_size > 0
    assert (folder / "run" / "rejected.csv").read_text() == "path,reason,cure\n"
    paint(folder / "images" / "yard_20230206.tif", yard()[:2])
    (folder / "images" / "broken_20230307.tif").write_bytes(b"II*\x00")
    code, text = call("run", *given, "--json", "--strict")
    assert code == cli.EXIT_STRICT
    assert {row["date"][:10] for row in json.loads(text)} == {"2023-01-05", "2023-02-06"}
    assert json.loads((folder / "run" / "run.json").read_text())["totals"]["scenes_new"] == 1
    assert "broken_20230307.tif" in (folder / "run" / "rejected.csv").read_text()


@pytest.mark.integration
def test_quiet_commands_say_no_notes_and_a_folder_may_have_a_colon(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    facilities_file(folder / "facilities.geojson", {"half": (-40, -40, 0, 40), "yard": (-40, -40, 40, 40)})
    given = ["images", "--facilities", "facilities.geojson", "--out", "kray:run1"]
    Path("kray:run1").mkdir()
    Path("kray:run1", "history.csv").write_text("facility_id,date,count\ngone,2022-01-05,7\n")
    quiet, loud = (RUNNER.invoke(cli.app, ["run", *given, flag]) for flag in ("--quiet", "--json"))
    assert (quiet.exit_code, quiet.output, loud.exit_code) == (0, "", 0)
    assert "facilities overlap" in loud.stderr and "'gone'" in loud.stderr
    quiet, loud = (RUNNER.invoke(cli.app, ["count", "kray:run1", flag]) for flag in ("--quiet", "--json"))
    assert (quiet.exit_code, quiet.output, loud.exit_code) == (0, "", 0)
    assert "'gone'" in loud.stderr


@pytest.mark.integration
def test_history_by_eye_and_other_settings_only_recount(folder: Path) -> None:
    call("detect", folder / "images", "--facilities", folder / "facilities.geojson", "--out", folder / "run", "-q")
    history = folder / "history.csv"
    days = "".join(f"yard,2022-{month:02}-03,{month}\n" for month in range(1, 13))
    history.write_text(f"facility_id,date,count\n{days}")
    code, text = call("count", folder / "run", "--history", history, "--json")
    railcars = next(row for row in json.loads(text) if row["group"] == "railcar")
    assert code == 0
    assert railcars["baseline_n"] == 12 and railcars["baseline_max"] == 12


@pytest.mark.integration
def test_tracks_are_kept_with_the_run(folder: Path) -> None:
    call("detect", folder / "images", "--facilities", folder / "facilities.geojson", "--out", folder / "run", "-q")
    outline = json.loads((folder / "facilities.geojson").read_text())["features"][0]["geometry"]["coordinates"][0]
    geometry = {"type": "LineString", "coordinates": [outline[0], outline[2]]}
    track = {"type": "Feature", "properties": {"facility_id": "yard"}, "geometry": geometry}
    (folder / "drawn.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [track]}))
    assert call("count", folder / "run", "--tracks", folder / "drawn.geojson", "-q")[0] == 0
    kept = (folder / "run" / "tracks.geojson").read_text()
    (folder / "drawn.geojson").unlink()
    assert call("count", folder / "run", "-q")[0] == 0
    assert (folder / "run" / "tracks.geojson").read_text() == kept
    record = json.loads((folder / "run" / "run.json").read_text())
    assert record["tracks"]["path"].endswith("tracks.geojson")
