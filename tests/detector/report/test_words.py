"""Numbers and dates read as people write them, and never claim more than the value does."""

import datetime as dt
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.counting.domain import FEATURES
from detector.report import words


@given(st.floats(0, 1))
def test_only_all_is_100_percent_and_only_nothing_is_0(share: float) -> None:
    text = words.percent(share).replace(words.THIN, " ")
    assert (text == "100 %") == (share == 1)
    assert (text == "0 %") == (share == 0)


@given(st.floats(0, 1))
def test_probability_is_never_written_as_certain(value: float) -> None:
    text = words.probability(value)
    assert text not in {"0", "0.00", "0.000", "1", "1.00", "1.000"}


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(70.0, 77.0, "70–77"), (31.0, None, "at least 31"), (None, None, "–"), (1200.0, 1301.0, "1,200–1,301")],
)
def test_interval(low: float | None, high: float | None, text: str) -> None:
    assert words.interval(low, high).replace(words.NBSP, " ") == text


def test_dates() -> None:
    day = dt.date(2023, 10, 5)
    assert words.long_date(day).replace(words.NBSP, " ") == "5 October 2023"
    assert words.short_date(day).replace(words.NBSP, " ") == "5 Oct 2023"


def test_typeset_touches_only_ranges_percents_and_relations() -> None:
    plain = "73 railcars, 95 % interval 70-77, at yard-7; tarp-covered; probability > 0.999"
    printed = words.typeset(plain)
    assert "70–77" in printed and "95\u202f%" in printed and ">\u00a00.999" in printed
    assert "yard-7" in printed and "tarp-covered" in printed


def test_unknown_flag_is_shown_and_known_one_is_explained() -> None:
    assert words.flag("odd_thing") == "odd thing"
    assert words.flag("at_least") == "seen too little for a total"


def test_every_documented_flag_has_words_of_its_own() -> None:
    page = (Path(__file__).parents[3] / "docs" / "outputs.md").read_text(encoding="utf-8")
    table = page[page.index("| flag | meaning |") :].split("\n\n")[0]
    names = [name for line in table.splitlines() for name in re.findall(r"`([\w:.]+)`", line.split("|")[1])]
    flags = [name.replace(":N", ":2") for name in names if name != "domain:..."]
    assert len(flags) > 10
    for flag in [*flags, *(f"domain:{feature}" for feature in FEATURES)]:
        assert words.flag(flag) != flag.replace("_", " ")
    assert set(words.FEATURES) == set(FEATURES)


@pytest.mark.parametrize(("name", "text"), [("string_gaps:1", "1 gap of one car in a train"), ("odd:3", "odd:3")])
def test_numbered_flags_carry_their_number(name: str, text: str) -> None:
    assert words.flag(name).replace(words.NBSP, " ") == text


def test_counts_have_their_plural() -> None:
    assert words.counted(1, "date").replace(words.NBSP, " ") == "1 date"
    assert words.objects(12, "tarped_railcar").replace(words.NBSP, " ") == "12 tarp-covered railcars"
    assert words.listed(["a", "b", "c"]) == "a, b and c"
