"""The example series: a border yard over five years, never more than 20 cars, then 73, most of them under tarps.

python -m training.synth.demo --out runs/demo-scenes
"""

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from training.synth.profile import Profile, load_profile
from training.synth.series import DatePlan, render_series
from training.synth.write import write_facilities
from training.synth.yard import Yard, draw_yard

SEED = 3023
SIZE_M = (460.0, 150.0)
HEADING_DEG = 9.0
WEB_MERCATOR = 3857

# Date and number of cars; the largest before the last is 20.
_QUIET = (
    ("2018-06-11", 9), ("2018-08-27", 14), ("2018-11-02", 6), ("2019-01-19", 11), ("2019-03-30", 17),
    ("2019-05-08", 3), ("2019-07-21", 12), ("2019-09-14", 20), ("2019-12-03", 8), ("2020-02-15", 0),
    ("2020-04-26", 5), ("2020-06-09", 10), ("2020-08-18", 16), ("2020-10-07", 13), ("2020-12-29", 7),
    ("2021-03-01", 15), ("2021-05-17", 18), ("2021-06-30", 4), ("2021-09-11", 12), ("2021-11-24", 9),
    ("2022-01-31", 6), ("2022-04-12", 14), ("2022-05-28", 19), ("2022-08-03", 11), ("2022-10-16", 2),
    ("2022-12-22", 10), ("2023-03-09", 13), ("2023-05-25", 17), ("2023-07-14", 8), ("2023-09-02", 16),
)  # fmt: skip
_SURGE = ("2023-10-05", 73)
# What is special about some dates: the difficulties that real series have.
_SPECIAL: dict[str, dict[str, object]] = {
    "2019-05-08": {"cloud": 0.35, "cloud_masked": True},
    "2020-06-09": {"pan": True},
    "2021-03-01": {"cut": 0.5},
    "2021-11-24": {"gsd_m": 0.46, "epsg": WEB_MERCATOR},
    "2022-01-31": {"snow": 0.5},
    "2022-08-03": {"deep": True},
    "2023-10-05": {"tarped": 0.6, "lots": 0.8},
}


def plans() -> list[DatePlan]:
    """The dates of the example, in order."""
    found = []
    for day, cars in (*_QUIET, _SURGE):
        acquired = datetime.fromisoformat(f"{day}T04:10:00").replace(tzinfo=UTC)
        plan = DatePlan(acquired, cars, tarped=0.1, gsd_m=0.31)
        found.append(replace(plan, **_SPECIAL.get(day, {})))  # type: ignore[arg-type]
    return found


def example_yard(profile: Profile) -> Yard:
    """The facility of the example."""
    yard = draw_yard(SEED, profile, style="marshalling", size_m=SIZE_M, heading_deg=HEADING_DEG)
    return replace(yard, facility_id="border-yard")


def render_share(plans: Sequence[DatePlan], folder: Path) -> int:
    """Render some dates of the example; returns how many images stand in the folder for them."""
    profile = load_profile()
    return len(render_series(example_yard(profile), plans, profile, folder))


def main(arguments: Sequence[str] | None = None) -> int:
    """Render what is missing of the example into OUT/images; writes OUT/facilities.geojson."""
    parser = argparse.ArgumentParser(prog="python -m training.synth.demo", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder; finished files in it are kept")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    options = parser.parse_args(arguments)
    write_facilities([example_yard(load_profile())], options.out)
    dates = plans()
    shares = [dates[i :: options.workers] for i in range(options.workers)]
    with ProcessPoolExecutor(options.workers) as pool:
        done = sum(pool.map(partial(render_share, folder=options.out / "images"), shares))
    sys.stdout.write(f"{done} images in {options.out / 'images'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
