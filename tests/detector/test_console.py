"""What the command prints: names as they are, whatever they hold."""

import os
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from detector import console as module
from detector.console import CountWatcher, Watcher, counts_table, scenes_table, show_aside
from detector.listing import COLUMNS

ODD = "yard [pan][r1c2][/a]"


def printed(table: object) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_file_names_may_hold_brackets() -> None:
    row = dict.fromkeys(COLUMNS) | {
        "file": "/x/yard [pan][r1c2].tif",
        "covered": {ODD: 0.5},
        "usable": False,
        "verdict": ODD,
    }
    text = printed(scenes_table(pd.DataFrame([row], columns=list(COLUMNS)).astype(object)))
    assert "yard [pan][r1c2].tif" in text
    assert f"{ODD} 50%" in text


def test_facilities_may_hold_brackets() -> None:
    nothing = dict.fromkeys(("count", "lo95", "hi95", "p_surge"), float("nan"))
    row = {"group": "railcar", "facility_id": ODD, "date": pd.Timestamp(0), "n_detected": 0, "observed_fraction": 1.0}
    counts = pd.DataFrame([row | nothing | {"surge": "no", "flags": "domain:[/b]"}])
    (table,) = counts_table(counts)
    text = printed(table)
    assert f"{ODD}: railcars" in text
    assert "domain:[/b]" in text
    assert " 0 " in text


@pytest.mark.parametrize("quiet", [False, True])
def test_without_a_terminal_progress_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, quiet: bool
) -> None:
    monkeypatch.setattr(module, "LINE_EVERY_S", 0.0)
    with Watcher(quiet=quiet) as detecting:
        detecting.total(1, 3)
        detecting.tile(computed=False)
        detecting.tile(computed=True)
    with CountWatcher(quiet=quiet) as counting:
        counting(400, 1000)
        counting(600, 1000)
    lines = capsys.readouterr().err.splitlines()
    starts = ["1/3 tiles, 0.0/s, ", "2/3 tiles, ", "400/1000 scenes, ", "1000/1000 scenes, "]
    assert [line.startswith(start) for line, start in zip(lines, starts, strict=not quiet)] == [True] * len(lines)
    assert len(lines) == (0 if quiet else 4)


def test_what_is_left_aside_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    told: list[str] = []
    show_aside(())
    assert capsys.readouterr().err == ""
    show_aside([Path(f"{letter}_ql.tif") for letter in "abcd"])
    show_aside([Path(os.fsdecode(b"\xff_ql.tif"))], told.append)
    (line,) = capsys.readouterr().err.splitlines()
    assert r"(\xff_ql.tif)" in told[0]
    assert line.startswith("left aside: 4 previews and masks by their names (a_ql.tif, b_ql.tif, c_ql.tif, ...)")
