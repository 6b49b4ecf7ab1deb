"""What the intervals of algorithm R are worth: simulated detectors, calibrated and judged at unseen facilities.

python -m benchmarks.bench_intervals [--replicates 20] [--sums]

Each replicate calibrates on new facilities (three dates each) and judges 60 scenes of 20 facilities that were not among
them. Interval scores are those of 95 % intervals over the score of n +- 1.96 sqrt(n), n being the detections above one
half. With --sums: totals over 5, 20 and 80 facilities of one date.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from rich.console import Console

from detector.counting import LEVELS, Estimate, Joint, Labelled, Sample, calibrate, estimate, insured, total
from detector.counting.samples import Floats
from tests.simulation import World, simulate

SEED = 7
DRAWS = 300
HARD = World(facility_sd=0.7, scene_sd=0.9, string_sd=1.2)
CONFUSED = World(confused=0.2)

Change = Callable[[Labelled], Labelled]


def as_it_is(scene: Labelled) -> Labelled:
    """No change."""
    return scene


def bare(scene: Labelled) -> Labelled:
    """The scene without metadata."""
    sample = Sample(scene.sample.scores)
    return Labelled(sample, scene.is_true, scene.n_true, scene.facility)


def interval_score(low: Floats, high: Floats, n_true: Floats) -> float:
    """Mean width plus 40 times the miss: Gneiting, Raftery, Strictly proper scoring rules, 2007; level 95 %."""
    miss = np.maximum(low - n_true, 0) + np.maximum(n_true - high, 0)
    return float((high - low + 40 * miss).mean())


def study(
    world: World,
    n_facilities: int,
    replicates: int,
    *,
    change: Change = as_it_is,
    unseen: World | None = None,
    is_insured: bool = False,
) -> str:
    """A row of the table.

    Args:
        world: of the calibration.
        n_facilities: calibration facilities.
        replicates: of calibration and judgement.
        change: what is done to every scene before it is used.
        unseen: world of the judged facilities, by default that of the calibration.
        is_insured: whether the judged scenes get the insurance factor.
    """
    rows = []
    for replicate in range(replicates):
        rng = np.random.default_rng([SEED, replicate])
        fitted = calibrate([change(scene) for scene in simulate(n_facilities, 3, rng, world)], DRAWS, rng)
        inflation = fitted.inflation()
        for scene in map(change, simulate(20, 3, rng, unseen or world, prefix="unseen")):
            found = estimate(fitted.model, inflation, scene.sample, 1000, rng)
            found = insured(found, rng) if is_insured else found
            raw = float((scene.sample.scores >= 0.5).sum())
            ends = [end for level in LEVELS for end in (found.low[level], found.high[level])]
            rows.append([scene.n_true, found.count, raw, *ends])
    return _row(np.array(rows, dtype=np.float64))


def _row(table: Floats) -> str:
    n_true, count, raw, low, high = (table[:, i] for i in (0, 1, 2, -2, -1))
    covered = [(table[:, 3 + 2 * i] <= n_true) & (n_true <= table[:, 4 + 2 * i]) for i in range(len(LEVELS))]
    strata = [covered[-1][(n_true >= first) & (n_true <= last)] for first, last in ((0, 5), (6, 25), (26, 1e9))]
    half = 1.96 * np.sqrt(raw)
    over = interval_score(low, high, n_true) / interval_score(np.maximum(raw - half, 0), raw + half, n_true)
    return " | ".join(
        [
            " / ".join(f"{100 * inside.mean():.0f}" for inside in covered),
            " / ".join(f"{100 * inside.mean():.0f}" for inside in strata),
            f"{100 * (count.sum() / n_true.sum() - 1):+.1f} %",
            f"{(high - low)[count <= 25].mean():.1f}",
            f"{over:.2f}",
        ]
    )


def sums(replicates: int, sizes: Sequence[int] = (1, 5, 20, 80)) -> list[str]:
    """Rows of the table of sums: coverage, mean width over that of added ends, bias of the sum and of added counts."""
    rows: dict[int, list[list[float]]] = {size: [] for size in sizes}
    for replicate in range(replicates):
        rng = np.random.default_rng([SEED, replicate])
        fitted = calibrate(simulate(60, 3, rng), DRAWS, rng)
        inflation = fitted.inflation()
        scenes = simulate(max(sizes), 1, rng, prefix="unseen")
        found: list[Estimate] = []
        for i, scene in enumerate(scenes):
            joint = Joint.draw(1000, np.random.default_rng([replicate]), np.random.default_rng([replicate, i]))
            found.append(estimate(fitted.model, inflation, scene.sample, 1000, rng, joint=joint))
        for size in sizes:
            for start in range(0, len(scenes), size):
                part = found[start : start + size]
                added = sum(each.high[0.95] - each.low[0.95] for each in part)
                summed = total(part)
                n_true = sum(scene.n_true for scene in scenes[start : start + size])
                counts = sum(each.count for each in part)
                rows[size].append([n_true, summed.low[0.95], summed.high[0.95], added, summed.count, counts])
    lines = []
    for size, table in rows.items():
        n_true, low, high, added, count, counts = np.array(table).T
        covered, narrower = ((low <= n_true) & (n_true <= high)).mean(), (high - low).mean() / added.mean()
        biases = [f"{100 * (each.sum() / n_true.sum() - 1):+.1f} %" for each in (count, counts)]
        lines.append(" | ".join([str(size), f"{100 * covered:.1f}", f"{narrower:.2f}", *biases]))
    return lines


def main() -> None:
    """Print the tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicates", type=int, default=20)
    parser.add_argument("--sums", action="store_true", help="sums over facilities instead")
    options = parser.parse_args()
    out, n = Console(soft_wrap=True, markup=False), options.replicates
    if options.sums:
        out.print("| facilities | 95 % covers | width over added ends | bias of the sum | of added counts |")
        out.print("|---|---|---|---|---|")
        for line in sums(n):
            out.print(f"| {line} |")
        return
    silent = World(recall_logit=World.recall_logit - 1.35)  # a fifth of what was found is not found
    out.print("| world | 50 / 80 / 90 / 95 % cover | 95 %: N 0-5 / 6-25 / 26+ | bias | width to 25 | over Poisson |")
    out.print("|---|---|---|---|---|---|")
    studies: dict[str, dict[str, Any]] = {
        "7 calibration facilities": {"n_facilities": 7},
        "20": {"n_facilities": 20},
        "60": {},
        "60, without metadata": {"change": bare},
        "60, effects nearly twice as strong": {"world": HARD},
        "60, classes confused": {"world": CONFUSED},
        "60, classes confused, counted by name": {"world": replace(CONFUSED, by_name=True)},
        "60, recall drops by a fifth, unnoticed": {"unseen": silent},
        "60, recall drops by a fifth, insured": {"unseen": silent, "is_insured": True},
    }
    for name, settings in studies.items():
        out.print(f"| {name} | {study(**{'world': World(), 'n_facilities': 60, 'replicates': n, **settings})} |")


if __name__ == "__main__":
    main()
