"""The tables of README, model card and docs that tell results, written from `benchmarks/results`.

python -m benchmarks.tables

A table stands between `<!-- results: NAME -->` and `<!-- end -->`. A test holds that documents and results agree.
"""

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from detector.store import write_text

Results = Mapping[str, Any]
"""What the files of `RESULTS` say, by their names without the ending."""

_ROOT = Path(__file__).parents[1]
RESULTS = _ROOT / "benchmarks" / "results"
DOCUMENTS = tuple(_ROOT / name for name in ("README.md", "weights/README.md", "docs/method.md"))
_BLOCK = re.compile(r"(<!-- results: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_GROUPS = ("railcar", "locomotive", "container", "tarped")
_YARD = "muttenz_west_20180701"
_STRATA = ("0-5", "6-25", "26+")


def read_results(folder: Path = RESULTS) -> Results:
    """All files of results."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def filled(document: str, results: Results) -> str:
    """The text with its tables written anew.

    Raises:
        KeyError: a table of an unknown name, or a result that is not there.
    """
    return _BLOCK.sub(
        lambda block: block[1] + "".join(f"{line}\n" for line in TABLES[block[2]](results)) + block[3], document
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    first, *rest = (f"| {' | '.join(cells)} |".replace("|  |", "| |") for cells in (header, *rows))
    return [first, "|" + "---|" * len(header), *rest]


def _share(value: float) -> str:
    return f"{value:.2f}"


def _percent(value: float, digits: int = 0) -> str:
    return f"{100 * value:.{digits}f} %"


def _scores(figures: Results) -> list[str]:
    """Precision, recall and F1 at IoU 0.5, F1 at 0.3, AP50."""
    return [_share(figures[key]) for key in ("precision_50", "recall_50", "f1_50", "f1_30", "ap_50")]


def _turned(figures: Results) -> dict[str, float]:
    """Means over the eight turns and mirror images of a real scene."""
    return {key: spread["mean"] for key, spread in figures["turned"].items()}


def _real(results: Results) -> Results:
    """Products of the yard of Muttenz, by their names; none where it was not measured."""
    return dict(results["detection"].get("real", {}).get(_YARD, {}))


def _railcars(results: Results) -> list[str]:
    """Railcars at the shipped threshold, set by set."""
    detection, evaluation, grounds = (results[name] for name in ("detection", "evaluation", "grounds"))
    benchmark, heldout = detection["groups"]["railcar"], evaluation["groups"]["railcar"]

    def row(name: str, command: str, n_true: int, figures: Results, counts: str) -> list[str]:
        precision, recall, f1, loose, ap = _scores(figures)
        return [name, command, f"{n_true:,}", f"{precision} / {recall} / {f1}", loose, ap, counts]

    rows = [
        row(
            f"standing benchmark: {detection['n_scenes']} rendered facilities of a profile that training never uses",
            "`make bench-detection`",
            benchmark["n_true"],
            benchmark,
            f"{benchmark['false_per_10ha']:.1f} false railcars per 10 ha where no railcar stands",
        ),
        row(
            f"{evaluation['n_facilities']} held-out rendered facilities, 4 dates each",
            "`make evaluate`",
            heldout["n_true"],
            heldout,
            "see below",
        ),
    ]
    for product, name, again in (
        ("0.25 m", "a real yard (Muttenz, SWISSIMAGE 2018, (c) swisstopo), 0.25 m", "the picture at 0.25 m"),
        ("0.50 m", "the same picture resampled to 0.5 m", "the picture at 0.5 m"),
    ):
        if (figures := _real(results).get(product)) is None:
            continue
        spread, n_true = figures["turned"]["f1_50"], figures["n_true"]
        by = "`make bench-detection REAL=scene.tif`" if product == "0.25 m" else "the same"
        rows += [
            row(name, by, n_true, figures, f"{figures['n_detected']} detected"),
            row(
                f"{again} in its eight turns and mirror images, mean",
                "the same",
                n_true,
                _turned(figures),
                f"F1 {_share(spread['least'])} to {_share(spread['most'])}",
            ),
        ]
    ground = grounds["all"]
    rows.append(
        [
            f"real ground without railcars: {ground['pictures']} aerial pictures that training held out, "
            f"{ground['ha']:.0f} ha",
            "`python -m benchmarks.bench_grounds --backgrounds FOLDER@GSD_M`",
            *("0", "-", "-", "-"),
            f"{ground['false_rail_vehicles']} false rail vehicles, in {ground['pictures_with_false']} of the pictures",
        ]
    )
    header = ("set", "command", "true", "precision / recall / F1 at IoU 0.5", "F1 at IoU 0.3", "AP50", "counts")
    return _table(header, rows)


def _over(counting: Results, method: str) -> str:
    """The interval score over that of another method, and the upper bound of that."""
    key = f"interval_score_over_{method}"
    return f"{counting[key]:.2f}; {counting[f'{key}_upper']:.2f}"


def _counts(results: Results) -> list[str]:
    """What was asked of counts and verdicts, and what was measured."""
    counting = results["counting"]
    measured = {line["what"]: line["measured"] for line in counting["acceptance"]}
    strata = ", ".join(_percent(counting["coverage_95_by_stratum"][name]) for name in _STRATA)
    inner = ", ".join(_percent(counting[f"coverage_{level}"]) for level in (50, 80, 90))
    width = measured["mean width for predicted counts up to 25"]
    relative = measured["mean width over the count, predicted counts above 20"]
    alarms = f"{_percent(counting['false_alarm_rate_001'], 1)}; {_percent(counting['false_alarm_rate_0001'], 2)}"
    surges = ", ".join(_percent(counting["replay"]["surge"][name]["queued"]["share"]) for name in ("x3.5", "x2"))
    rows = [
        [
            "95 % intervals that hold the truth; on dates with 0-5, 6-25, 26 and more railcars",
            "92-99 %; each at least 86 %",
            f"{_percent(counting['coverage_95'], 1)}; {strata}",
        ],
        ["intervals of 50, 80, 90 %", "-", inner],
        ["bias of the summed count", "at most 8 %", f"{100 * counting['bias_share']:+.1f} %"],
        ["interval score over that of n ± 1.96 √n; upper bound", "0.85; 1", _over(counting, "poisson")],
        ["interval score over that of a predictive bootstrap; upper bound", "0.95; 1", _over(counting, "bootstrap")],
        ["mean width up to 25 railcars; width over the count above 20", "11; 1.1", f"{width:.2f}; {relative:.2f}"],
        ["quiet dates with p of at most 0.01; 0.001", "2 %; 0.5 %", alarms],
        [
            "73 railcars against a history of at most about 20: called unusual",
            "at least 95 %",
            _percent(counting["queued_73_vs_20"]),
        ],
        ["three and a half times, twice the usual maximum, replayed: called unusual", "-", surges],
    ]
    return _table(("what", "asked", "measured"), rows)


def _unknown(results: Results) -> list[str]:
    """What counts are worth where less is known of the scenes."""
    rows = [
        [
            name,
            _percent(figures["coverage_95"], 1),
            f"{figures['mean_width_95']:.1f}",
            f"{figures['count_mae']:.2f}",
            f"{figures['crps']:.2f}",
        ]
        for name, figures in results["counting"]["unknown"].items()
    ]
    return _table(("unknown", "95 % intervals cover", "their mean width", "mean absolute error", "CRPS"), rows)


def _groups(results: Results) -> list[str]:
    """Every group on every set."""
    rows: list[list[str]] = []
    for key, name in (
        ("detection", "standing benchmark (`make bench-detection`)"),
        ("evaluation", f"{results['evaluation']['n_facilities']} held-out facilities (`make evaluate`)"),
    ):
        told = {group: results[key]["groups"][group] for group in _GROUPS}
        told["all rail vehicles, whatever their class"] = results[key]["families"]["rail_vehicle"]
        rows += [
            ["" if row else name, group, f"{figures['n_true']:,}", *_scores(figures)]
            for row, (group, figures) in enumerate(told.items())
        ]
    for product, name in (
        ("0.25 m", "a real yard, the west of Muttenz, 0.25 m"),
        ("0.50 m", "the same, resampled to 0.5 m"),
    ):
        if figures := _real(results).get(product):
            n_true = f"{figures['n_true']:,}"
            rows.append([name, "railcar", n_true, *_scores(figures)])
            rows.append(["in its eight turns and mirror images, mean", "railcar", n_true, *_scores(_turned(figures))])
    return _table(("set", "group", "true", "precision", "recall", "F1", "F1 at IoU 0.3", "AP50"), rows)


def _domain(results: Results) -> list[str]:
    """On how many pictures the domain check speaks, and why."""
    rows = []
    for name, pictures in results["domain"]["pictures"].items():
        reasons = ", ".join(f"`{reason}` {number}" for reason, number in pictures["reasons"].items())
        rows.append([name, f"{pictures['flagged']} of {pictures['scenes']}", reasons])
    return _table(("picture", "flagged", "named by"), rows)


TABLES: Mapping[str, Callable[[Results], list[str]]] = {
    "railcars": _railcars,
    "counts": _counts,
    "unknown": _unknown,
    "groups": _groups,
    "domain": _domain,
}


def main() -> int:
    """Write the tables anew and name the documents that changed."""
    results = read_results()
    for path in DOCUMENTS:
        before = path.read_text()
        if (after := filled(before, results)) != before:
            write_text(path, after)
            sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
