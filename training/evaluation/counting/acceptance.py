"""What is asked of counts, beside what was measured."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from training.evaluation.counting.replay import SEED_CASE

_MIN_DATES, _MIN_FACILITIES, _MIN_IN_STRATUM = 200, 50, 40
_SECONDS = 60.0


@dataclass(frozen=True)
class Criterion:
    """One line of the list.

    Attributes:
        what: is measured.
        asked: in words.
        measured: None where it does not exist.
        holds: whether it is as asked.
    """

    what: str
    asked: str
    measured: float | None
    holds: bool


def acceptance(railcar: Mapping[str, Any], replayed: Mapping[str, Any], seconds: float) -> list[dict[str, Any]]:
    """The list, from the figures of railcars.

    Args:
        railcar: `figures.group_figures`.
        replayed: `replay.replay`.
        seconds: of one core that 1,000 facility-dates take.
    """
    lines = [
        _least("fully seen dates of held-out facilities", railcar["n_dates"], _MIN_DATES),
        _least("held-out facilities", railcar["n_facilities"], _MIN_FACILITIES),
        _between("95 % intervals cover", railcar["coverage"]["95"]["share"], 0.92, 0.99),
    ]
    for name, stratum in railcar["coverage95_by_stratum"].items():
        lines.append(_least(f"dates with {name} railcars", stratum["n"], _MIN_IN_STRATUM))
        lines.append(_least(f"95 % intervals cover, {name} railcars", stratum["share"], 0.86))
    widths, ratios = railcar["widths"], railcar["ratios"]
    lines += [
        _most("truth below the 95 % interval", railcar["missed_below95"], 0.065),
        _most("truth above the 95 % interval", railcar["missed_above95"], 0.065),
        _between("bias of the summed count", railcar["bias_share"], -0.08, 0.08),
        _most("interval score over that of n ± 1.96 √n", ratios["poisson"]["ratio"], 0.85),
        _below("upper bound of that, facilities drawn anew", ratios["poisson"]["high"], 1.0),
        _most("interval score over that of the predictive bootstrap", ratios["bootstrap"]["ratio"], 0.95),
        _below("upper bound of that, facilities drawn anew", ratios["bootstrap"]["high"], 1.0),
        _most("mean width for predicted counts up to 25", widths["mean_up_to_25"], 11.0),
        _most("mean width over the count, predicted counts above 20", widths["relative_above_20"], 1.1),
        _most("intervals without or of infinite width", widths["n_zero"] + widths["n_infinite"], 0),
    ]
    quiet, seed_case = replayed["quiet"], replayed["surge"][str(SEED_CASE)]
    lines += [
        _most("quiet dates with p_NB ≤ 0.01", quiet["at_001"]["share"], 0.02),
        _most("quiet dates with p_NB ≤ 0.001", quiet["at_0001"]["share"], 0.005),
        _least(f"{SEED_CASE} against a maximum of about 20: queued", seed_case["queued"]["share"], 0.95),
        _most("seconds of one core for 1,000 facility-dates, all groups", seconds, _SECONDS),
    ]
    return [asdict(line) for line in lines]


def _least(what: str, measured: float, least: float) -> Criterion:
    return _line(what, f"at least {least:g}", measured, measured >= least)


def _most(what: str, measured: float, most: float) -> Criterion:
    return _line(what, f"at most {most:g}", measured, measured <= most)


def _below(what: str, measured: float, limit: float) -> Criterion:
    return _line(what, f"below {limit:g}", measured, measured < limit)


def _between(what: str, measured: float, low: float, high: float) -> Criterion:
    return _line(what, f"{low:g} to {high:g}", measured, low <= measured <= high)


def _line(what: str, asked: str, measured: float, holds: bool) -> Criterion:
    return Criterion(what, asked, float(measured) if np.isfinite(measured) else None, bool(holds))
