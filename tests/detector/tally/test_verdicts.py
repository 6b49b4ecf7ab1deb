"""A verdict in words."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from detector.counting.surge import Rules
from detector.tally.verdicts import probability, verdict_sentence

NAN = float("nan")
RULES = Rules()
STREAM = replace(RULES, control="stream")
SURGE: dict[str, Any] = {
    "group": "railcar",
    "date": date(2023, 10, 5),
    "count": 73.0,
    "lo95": 70.0,
    "hi95": 77.0,
    "observed_fraction": 1.0,
    "baseline_n": 41,
    "baseline_max": 20.0,
    "baseline_since": date(2018, 3, 1),
    "p_surge": 0.99999,
    "p_usual": 1e-6,
    "surge": "yes",
}


def test_a_surge_names_the_control_that_agreed() -> None:
    sentence = (
        "73 railcars, 95 % interval 70-77, on 5 October 2023; the most seen on the 41 dates since 2018 was 20; "
        "a surge, confirmed against {}; probability that this is a new record > 0.999"
    )
    assert verdict_sentence(SURGE, RULES) == sentence.format(
        "all counts of railcars in this run (Benjamini-Hochberg, 5 %)"
    )
    assert verdict_sentence(SURGE, STREAM) == sentence.format("all counts of railcars up to then (LORD++, 2 %)")


def test_elevated_says_what_is_missing() -> None:
    elevated = {**SURGE, "surge": "elevated", "p_surge": 0.97, "p_usual": 0.004}
    high = "; unusually high (probability on a usual date = 0.004), but no established surge: "
    assert verdict_sentence(elevated, RULES).endswith(
        f"new record = 0.97{high}not confirmed against all counts of railcars in this run (Benjamini-Hochberg, 5 %)"
    )
    assert verdict_sentence(elevated, STREAM).endswith(
        f"{high}not confirmed against all counts of railcars up to then (LORD++, 2 %)"
    )
    doubtful = {**elevated, "p_surge": 0.6}
    assert verdict_sentence(doubtful, RULES).endswith(f"new record = 0.60{high}it may be no record")


def test_usual_in_the_singular() -> None:
    row = {
        **SURGE,
        "group": "locomotive",
        "count": 1.0,
        "lo95": 1.0,
        "hi95": 2.0,
        "surge": "within usual range",
    }
    assert verdict_sentence(row, RULES) == (
        "1 locomotive, 95 % interval 1-2, on 5 October 2023; "
        "within the usual range of the 41 dates since 2018, at most 20"
    )


def test_more_than_ever_but_not_unusual() -> None:
    row = {**SURGE, "surge": "within usual range", "seen_count": 23.0, "baseline_max": 20.0}
    assert verdict_sentence(row, RULES).endswith(
        "; more than on any of the 41 dates since 2018, at most 20, but not established as unusual"
    )
    assert "within the usual range" in verdict_sentence({**row, "seen_count": 20.0}, RULES)


@pytest.mark.parametrize(
    ("n", "n_whole", "words"),
    [
        (0, 0, "; no earlier date to compare with, "),
        (1, 1, "; only 1 earlier date to compare with, "),
        (5, 5, "; only 5 earlier dates to compare with, "),
        (60, 5, "; only 5 earlier dates show all that is seen now, "),
        (60, 0, "; no earlier date shows all that is seen now, "),
    ],
)
def test_too_few_dates(n: int, n_whole: int, words: str) -> None:
    row = {**SURGE, "surge": "too few dates", "baseline_n": n, "baseline_whole": n_whole}
    row |= {"baseline_max": NAN, "baseline_since": None}
    row |= {"p_surge": NAN, "p_usual": NAN}
    assert words in verdict_sentence(row, RULES)
    assert verdict_sentence(row, RULES).endswith("too few for a verdict")


def test_partly_seen() -> None:
    least = {**SURGE, "count": NAN, "hi95": NAN, "lo95": 31.0, "observed_fraction": 0.42}
    assert verdict_sentence(least, RULES).startswith(
        "at least 31 railcars on 5 October 2023; 42 % of the facility was seen; in the part seen, the most"
    )
    interval = {**SURGE, "count": NAN, "observed_fraction": 0.6}
    assert verdict_sentence(interval, RULES).startswith(
        "70-77 railcars (95 % interval) on 5 October 2023; 60 % of the facility was seen"
    )


def test_probabilities_claim_no_more_than_they_can() -> None:
    assert [probability(p) for p in (1.0, 0.9991, 0.995, 0.5, 0.004, 1e-9)] == [
        "> 0.999",
        "> 0.999",
        "0.995",
        "0.50",
        "0.004",
        "< 0.001",
    ]
