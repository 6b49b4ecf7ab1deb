"""The example of docs/report.md runs on a RUN folder and draws what it says."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest

from detector import report
from tests.detector.report.fake_run import history, make_run

PAGE = Path(__file__).parents[3] / "docs" / "report.md"


def test_the_example_draws_the_plots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_eye = "facility_id,date,count,lo,hi\na,2016-03-01,14,12,16\n"
    run = make_run(tmp_path / "RUN", {"a": ("A", history(12))}, by_eye=by_eye, pictures=0)
    for name in ("counts", "totals"):
        pd.read_parquet(run / f"{name}.parquet").to_csv(run / f"{name}.csv", index=False)
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(example, str(PAGE), "exec"), names)
    drawn = (tmp_path / "series.svg").read_text(encoding="utf-8")
    assert ElementTree.fromstring(drawn).tag.endswith("svg") and 'class="eye"' in drawn
    for name in ("plot", "tarped", "course", "everywhere"):
        shown = names[name]
        assert isinstance(shown, report.Svg)
        assert shown._repr_svg_() == str(shown) and shown.title


def test_every_public_function_is_documented() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in set(report.__all__) - {"report", "Svg"}:
        assert f"`{name}(" in text and getattr(report, name).__doc__
