"""What strings of cars tell: `railcars count RUN`, then `python -m benchmarks.bench_strings --run RUN --truth FOLDER`.

Two questions. Of true cars as boxes, exact or as loose as a detector's, from which some are taken out: how many of the
inner ones leave a flagged gap, how many gaps are false, and how near is the strings' count? Of the detections of a run:
are gaps, doubles and fillers what they claim, and how does `train_count` compare with the boxes and with the estimate?
"""

import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from detector.config import class_table
from detector.counting.samples import Bools, Floats
from detector.counting.strings import NONE, Strings, find_strings
from training.evaluation.counts import count_errors, counts_with_truth
from training.evaluation.matching import match
from training.evaluation.measure import read_counts
from training.evaluation.truth import Place, read_places

NOISE = np.array([0.2, 0.2, 0.35, 0.1, np.radians(1.2)])
"""Standard deviations of a loose box: place, length and width in metres, heading."""
TAKEN, REPEATS = 0.08, 5
_NEAR_M = 4.0  # a gap's middle to the car that is missing there


def gap_middles(boxes: Floats, found: Strings) -> Floats:
    """(G, 2) middles between the cars on both sides of each gap."""
    order = np.lexsort((found.position, found.string))
    before = np.flatnonzero(found.gap_after[order])
    return np.asarray((boxes[order[before], :2] + boxes[order[before + 1], :2]) / 2)


def holds(middles: Floats, cars: Floats) -> Bools:
    """(G,) whether one of these cars stands in each gap."""
    apart = np.hypot(*np.moveaxis(middles[:, None] - cars[None, :, :2], 2, 0))
    return np.asarray((apart <= _NEAR_M).any(axis=1))


def rail_boxes(place: Place) -> Floats:
    """(T, 5) the true rail vehicles of a place, in metres."""
    rail = class_table().families["rail_vehicle"]
    return place.truth.xywhr[np.isin(place.truth.class_name, rail) & place.truth.care]


def taken_out(places: Sequence[Place], noise: Floats) -> dict[str, float]:
    """Means over places from whose true cars some are taken out, several times over.

    Returns:
        n_inner, cars taken out of strings of four and more between two that stay, and flagged, the share of them that
            leave a flagged gap; false_gaps and doubles per 100 cars; bias and mae of the boxes and of the strings'
            count against all cars.
    """
    rng = np.random.default_rng(0)
    inner, flagged, false, doubles, n_seen, errors = 0, 0, 0, 0, 0, []
    for place in [*places] * REPEATS:
        cars = rail_boxes(place)
        stays = rng.random(len(cars)) >= TAKEN
        missing = cars[_inner(cars, stays)]
        seen = cars[stays] + rng.normal(size=(int(stays.sum()), 5)) * noise
        found = find_strings(seen, np.ones(len(seen)), np.ones(len(seen), dtype=bool))
        middles = gap_middles(seen, found)
        n_seen += len(seen)
        inner += len(missing)
        flagged += int(holds(missing[:, :2], middles).sum())
        false += int((~holds(middles, cars[~stays])).sum())
        doubles += int(found.is_double.sum())
        if len(found.n_cars):
            count = found.room.sum() + (~found.is_car).sum()
            errors.append((len(seen) - len(cars), count - len(cars)))
    bias, mae = np.mean(errors, axis=0), np.mean(np.abs(errors), axis=0)
    return {
        "n_inner": inner,
        "flagged": flagged / inner,
        "false_gaps": 100 * false / n_seen,
        "doubles": 100 * doubles / n_seen,
        "bias_boxes": bias[0],
        "bias_strings": bias[1],
        "mae_boxes": mae[0],
        "mae_strings": mae[1],
    }


def _inner(cars: Floats, stays: Bools) -> Bools:
    """(T,) cars taken out of strings of four and more, of which both neighbours stay."""
    whole = find_strings(cars, np.ones(len(cars)), np.ones(len(cars), dtype=bool))
    order = np.lexsort((whole.position, whole.string))
    string = whole.string[order]
    between = (string[:-2] == string[2:]) & (string[1:-1] != NONE) & stays[order[:-2]] & stays[order[2:]]
    long_enough = whole.n_cars[string[1:-1]] >= 4 if len(whole.n_cars) else np.zeros(len(between), dtype=bool)
    chosen = np.zeros(len(cars), dtype=bool)
    chosen[order[1:-1][between & long_enough]] = True
    return chosen & ~stays


def claims(places: Sequence[Place]) -> Counter[str]:
    """How many gaps, doubles and fillers of a run are what they claim."""
    sums: Counter[str] = Counter()
    table = class_table()
    for place in places:
        rail = np.isin(place.found.class_name, table.families["rail_vehicle"])
        boxes, detected = place.found.xywhr[rail] * _metres(place), place.found.detected[rail]
        is_true = match(place.found, place.truth, 0.3, table)[rail] >= 0
        found = find_strings(boxes, place.found.score[rail], detected)
        middles = gap_middles(boxes, found)
        sums["gaps"] += len(middles)
        sums["gaps with a car"] += int(holds(middles, rail_boxes(place) * _metres(place)).sum())
        sums["doubles"] += int(found.is_double.sum())
        sums["doubles that are no car"] += int((found.is_double & ~is_true).sum())
        sums["fillers"] += int(found.is_filler.sum())
        sums["fillers that are a car"] += int((found.is_filler & is_true).sum())
        sums["other faint boxes"] += int((~detected & ~found.is_filler).sum())
        sums["other faint boxes that are a car"] += int((~detected & ~found.is_filler & is_true).sum())
    return sums


def _metres(place: Place) -> Floats:
    return np.array([place.frame.unit_m] * 4 + [1.0])


def counts_table(rows: pd.DataFrame) -> str:
    """Errors of the three numbers, over the dates with strings."""
    lines = []
    for name in ("n_detected", "count", "train_count"):
        errors = count_errors(rows[name].to_numpy(dtype=np.float64), rows["n_true"].to_numpy(dtype=np.float64))
        lines.append(f"{name:<12}{errors['n']:>4} dates, mean error {errors['bias']:+.2f}, size {errors['mae']:.2f}")
    return "\n".join(lines)


def seconds(n_cars: int) -> float:
    """Best of five runs on a yard of strings of 40 cars, a tenth of them missing."""
    rng = np.random.default_rng(0)
    track, place = np.divmod(np.arange(n_cars), 40)
    yard = np.column_stack([place * 15.0, track * 4.5, np.full(n_cars, 14.0), np.full(n_cars, 3.0), np.zeros(n_cars)])
    yard = (yard + rng.normal(size=yard.shape) * NOISE)[rng.random(n_cars) > 0.1]
    best = np.inf
    for _ in range(5):
        begin = time.perf_counter()
        find_strings(yard, rng.random(len(yard)), np.ones(len(yard), dtype=bool))
        best = min(best, time.perf_counter() - begin)
    return float(best)


def main(
    run: Annotated[Path, typer.Option(help="A counted RUN folder.")] = Path("runs/evaluation"),
    truth: Annotated[Path, typer.Option(help="Its truth.")] = Path("data/heldout/test"),
) -> None:
    """Print what was measured."""
    places = read_places(run, truth, class_table().names)
    for name, noise in (("exact", 0 * NOISE), ("loose", NOISE)):
        values = taken_out(places, noise)
        told = ", ".join(f"{key} {value:.3g}" for key, value in values.items())
        typer.echo(f"{name} boxes, {TAKEN:.0%} taken out: {told}")
    typer.echo("; ".join(f"{number} {name}" for name, number in claims(places).items()))
    counts = read_counts(run)
    if counts is None:
        sys.stderr.write(f"{run}: is not counted. Run `railcars count {run}`.\n")
        raise typer.Exit(2)
    rows = counts_with_truth(counts, places, "railcar", class_table()).dropna(subset=["train_count"])
    typer.echo(counts_table(rows))
    odd = rows[rows["flags"].str.contains("strings_disagree")]
    inside = (odd["lo95"] <= odd["n_true"]) & (odd["n_true"] <= odd["hi95"])
    typer.echo(
        f"strings_disagree on {len(odd)} of {len(rows)} dates; the truth is inside the interval on {inside.sum()}"
    )
    typer.echo(f"10,000 boxes: {seconds(10_000):.2f} s")


if __name__ == "__main__":
    typer.run(main)
