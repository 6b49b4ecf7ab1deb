"""Command: render a folder of facilities, dates and truth from a profile and a seed."""

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from detector.console import tell
from detector.errors import RailcarsError
from training.backgrounds import pictures_in
from training.synth.cutouts import SHARE, Stock, read_cutouts
from training.synth.generator import claim
from training.synth.ground import BACKGROUND_SUFFIXES
from training.synth.profile import Profile, load_profile
from training.synth.scene import Conditions, Date, Studio, draw_date
from training.synth.write import stem, write_facilities, write_scene
from training.synth.yard import Yard, draw_yard


@dataclass(frozen=True)
class Job:
    """One facility to render."""

    profile: Profile
    seed: int
    dates: int
    folder: Path
    backgrounds: Path | None
    cutouts: Path | None = None
    cutout_share: float = SHARE


def draw_dates(yard: Yard, profile: Profile, number: int, stock: Stock | None = None) -> list[Date]:
    """Dates of a yard with different days, so that no file name occurs twice."""
    drawn = [draw_date(yard, i, profile, stock=stock) for i in range(number)]
    taken: set[str] = set()
    for i, date in enumerate(drawn):
        conditions: Conditions = date.conditions
        while f"{conditions.acquired:%Y%m%d}" in taken:
            conditions = replace(conditions, acquired=conditions.acquired + timedelta(days=1))
        taken.add(f"{conditions.acquired:%Y%m%d}")
        drawn[i] = replace(date, conditions=conditions)
    return drawn


def render_facility(job: Job) -> int:
    """Render the dates of a facility that are not there yet; returns how many were rendered."""
    yard = draw_yard(job.seed, job.profile)
    studio, rendered = Studio(yard, job.profile, job.backgrounds), 0
    stock = Stock(read_cutouts(job.cutouts), job.cutout_share) if job.cutouts else None
    for date in draw_dates(yard, job.profile, job.dates, stock):
        if (job.folder / f"{stem(yard, date.conditions)}.tif").exists():
            continue
        write_scene(studio.render(date), yard, job.folder)
        rendered += 1
    return rendered


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of `python -m training.synth`; exit code 2 where an input does not fit."""
    parser = argparse.ArgumentParser(prog="python -m training.synth", description=__doc__)
    parser.add_argument("--profile", type=Path, default=None, help="YAML of ranges (default: configs/synth-train.yaml)")
    parser.add_argument("--facilities", type=_number, default=10, help="how many facilities")
    parser.add_argument("--dates", type=_number, default=4, help="dates of each")
    parser.add_argument(
        "--seed",
        type=int,
        default=1,
        help="facilities have seeds 1000 * SEED, 1000 * SEED + 1, ...; 9000 and more are the benchmark's",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder; finished files in it are kept")
    parser.add_argument("--workers", type=_number, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--backgrounds", type=Path, default=None, help="folder of aerial pictures without rail cars")
    parser.add_argument("--cutouts", type=Path, default=None, help="folder of annotated scenes whose wagons are set in")
    parser.add_argument("--cutout-share", type=float, default=SHARE, help="share of the cars that are cut-outs")
    parser.add_argument("--quiet", action="store_true", help="no progress lines")
    given = parser.parse_args(arguments)
    try:
        _render(given)
    except RailcarsError as error:
        tell(error)
        return 2
    return 0


def _number(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


def _render(given: argparse.Namespace) -> None:
    """Render what is missing, and last the outlines; a wrong folder is told before any process starts."""
    profile = load_profile(given.profile)
    seeds = range(1000 * given.seed, 1000 * given.seed + given.facilities)
    if given.cutouts:
        read_cutouts(given.cutouts)
    if given.backgrounds:
        pictures_in(given.backgrounds, BACKGROUND_SUFFIXES)
    claim(given.out, profile)
    any_of = Job(profile, 0, given.dates, given.out, given.backgrounds, given.cutouts, given.cutout_share)
    jobs = [replace(any_of, seed=seed) for seed in seeds]
    with ProcessPoolExecutor(max_workers=given.workers) as pool:
        for done, rendered in enumerate(pool.map(render_facility, jobs), start=1):
            if not given.quiet:
                sys.stdout.write(f"{done}/{len(jobs)} facilities, {rendered} scenes rendered\n")
                sys.stdout.flush()
    write_facilities((draw_yard(seed, profile) for seed in seeds), given.out)  # last: the folder is complete


if __name__ == "__main__":
    raise SystemExit(main())
