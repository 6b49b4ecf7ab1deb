"""A count and its verdict as one sentence that can be published."""

import math
from collections.abc import Mapping
from functools import lru_cache

import pandas as pd

from detector.counting.surge import ELEVATED, SURGE, TOO_FEW, Rules

UNITS = {
    "railcar": ("railcar", "railcars"),
    "locomotive": ("locomotive", "locomotives"),
    "container": ("container", "containers"),
    "tarped": ("tarp-covered load", "tarp-covered loads"),
}
NOT_CALIBRATED = "not calibrated"
_FULLY_SEEN = 0.98
_SAYABLE = 0.001


def verdict_sentence(row: Mapping[str, object], rules: Rules) -> str:
    """The sentence of one row of the counts table, judged by these rules.

    For example: "73 railcars, 95 % interval 70-77, on 5 October 2023; the most seen on the 41 dates since
    2018 was 20; a surge, confirmed against all counts of railcars in this run (Benjamini-Hochberg, 5 %); probability
    that this is a new record > 0.999".
    """
    return "; ".join([_count(row), *_comparison(row, rules)])


def control_words(rules: Rules, group: str) -> str:
    """What a surge was held against, and how: each group is a family of tests of its own."""
    counts = f"against all counts of {_units(group, 2)}"
    if rules.control == "stream":
        return f"{counts} up to then (LORD++, {100 * rules.lord_alpha:g} %)"
    return f"{counts} in this run (Benjamini-Hochberg, {100 * rules.fdr:g} %)"


def probability(value: float) -> str:
    """`0.37`, or `> 0.999` and `< 0.001` beyond what three decimals can say."""
    if value > 1 - _SAYABLE:
        return "> 0.999"
    if value < _SAYABLE:
        return "< 0.001"
    is_extreme = min(value, 1 - value) < 10 * _SAYABLE
    return f"{value:.3f}" if is_extreme else f"{value:.2f}"


def _relation(value: float) -> str:
    """`= 0.37`, or `> 0.999`."""
    text = probability(value)
    return text if text[0] in "<>" else f"= {text}"


@lru_cache(maxsize=4096)
def long_date(day: object) -> str:
    """`5 October 2023`."""
    stamp = pd.Timestamp(str(day))
    return f"{stamp.day} {stamp:%B %Y}"


def _count(row: Mapping[str, object]) -> str:
    group, when = str(row["group"]), long_date(row["date"])
    count, low, high = (_value(row, name) for name in ("count", "lo95", "hi95"))
    share = _value(row, "observed_fraction") or 0.0
    seen = "" if share >= _FULLY_SEEN else f"; {100 * share:.0f} % of the facility was seen"
    if low is None:
        counted = f"too little seen to count {_units(group, 2)}" if count is None else _amount(count, group)
        cure = "no interval, since these weights have no calibration of their own: `make calibrate` fits one"
        return f"{counted} on {when}{seen}; {cure}"
    if high is None:
        return f"at least {_amount(low, group)} on {when}{seen}"
    interval = f"{low:.0f}-{high:.0f}"
    if count is None:
        return f"{interval} {_units(group, 2)} (95 % interval) on {when}{seen}"
    return f"{_amount(count, group)}, 95 % interval {interval}, on {when}{seen}"


def _comparison(row: Mapping[str, object], rules: Rules) -> list[str]:
    n, highest, since = (
        _value(row, "baseline_n") or 0.0,
        _value(row, "baseline_max"),
        row.get("baseline_since"),
    )
    surge, usual, record = str(row["surge"]), _value(row, "p_usual"), _value(row, "p_surge")
    if surge == TOO_FEW:
        return [f"{_earlier(round(n), round(_value(row, 'baseline_whole') or 0.0))}, too few for a verdict"]
    control = control_words(rules, str(row["group"]))
    dates = f"the {n:.0f} date{'' if n == 1 else 's'} since {_year(since)}"
    most = f"{highest:.0f}" if highest is not None else "unknown"
    part = "" if (_value(row, "observed_fraction") or 0.0) >= _FULLY_SEEN else "in the part seen, "
    if surge == NOT_CALIBRATED:
        return [f"{part}the most seen on {dates} was {highest:.0f}", "no verdict"] if n else ["no verdict"]
    if surge in {SURGE, ELEVATED}:
        text = [f"{part}the most seen on {dates} was {most}"]
        if surge == SURGE:
            text.append(f"a surge, confirmed {control}")
        if record is not None:
            text.append(f"probability that this is a new record {_relation(record)}")
        if surge == ELEVATED and usual is not None:
            is_record = record is not None and record >= rules.queue_record
            doubt = f"not confirmed {control}" if is_record else "it may be no record"
            high = f"unusually high (probability on a usual date {_relation(usual)})"
            text.append(f"{high}, but no established surge: {doubt}")
        return text
    if highest is not None and (_value(row, "seen_count") or 0.0) > highest:
        return [f"{part}more than on any of {dates}, at most {most}, but not established as unusual"]
    return [f"{part}within the usual range of {dates}, at most {most}"]


def _earlier(n: int, n_whole: int) -> str:
    """What there is to compare with, where that is too little."""
    dates = f"only {n_whole} earlier date{'' if n_whole == 1 else 's'}" if n_whole else "no earlier date"
    if n_whole == n:
        return f"{dates} to compare with"
    return f"{dates} show{'' if n_whole > 1 else 's'} all that is seen now"


def _amount(number: float | None, group: str) -> str:
    shown = round(number or 0.0)
    return f"{shown} {_units(group, shown)}"


def _units(group: str, number: int) -> str:
    one, many = UNITS.get(group, (group, group))
    return one if number == 1 else many


@lru_cache(maxsize=4096)
def _year(day: object) -> str:
    return "the start" if day is None else str(pd.Timestamp(str(day)).year)


def _value(row: Mapping[str, object], name: str) -> float | None:
    raw = row.get(name)
    number = float("nan") if raw is None else float(str(raw))
    return None if math.isnan(number) else number
