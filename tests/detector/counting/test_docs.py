"""The worked example of docs/counting.md gives the numbers that stand below it."""

import io
import re
from contextlib import redirect_stdout
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "counting.md"
BLOCK = re.compile(r"```(python|text)\n(.*?)```", re.DOTALL)
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def test_the_example_prints_what_the_page_says() -> None:
    names: dict[str, object] = {}
    printed: list[str] = []
    said: list[str] = []
    for kind, block in BLOCK.findall(PAGE.read_text()):
        if kind == "text":
            said.append(block)
            continue
        out = io.StringIO()
        with redirect_stdout(out):
            exec(compile(block, str(PAGE), "exec"), names)
        printed.append(out.getvalue())
    assert [NUMBER.sub("#", text) for text in printed] == [NUMBER.sub("#", text) for text in said]
    ours, theirs = ([float(x) for text in texts for x in NUMBER.findall(text)] for texts in (printed, said))
    # Another version of an optimiser may move the last car.
    assert ours == pytest.approx(theirs, abs=1.01, rel=0.01)
