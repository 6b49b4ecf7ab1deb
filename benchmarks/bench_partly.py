"""What algorithm P is worth on partly seen facilities: coverage of totals, and size of the verdict, simulated.

python -m benchmarks.bench_partly [--repeats 400]

A facility's totals scatter widely about its mean; its visible part holds a share of them that scatters too. Totals of a
usual date and of a surge (x3.5) are estimated from the visible part: by area scaling (V / c, interval V +- 1.96 sqrt(V)
over c) and by algorithm P. Then the false alarm rate of `p_usual <= 0.01` on quiet, partly seen dates: with the
history cut to the same part, and with scaled totals in it.
"""

import argparse
from dataclasses import dataclass

import numpy as np

from benchmarks.bench_surge import bursty
from detector.counting.background import Counts, fit_background
from detector.counting.coverage import Usual, hidden_draws, visible_share
from detector.counting.samples import Floats
from detector.counting.surge import assess

AREAS = (0.3, 0.5, 0.7, 0.9)
PSI, SPREAD, N_DATES, SURGE, N_DRAWS = 0.35, 8.0, 25, 3.5, 600


@dataclass(frozen=True)
class Place:
    """A facility whose visible part is the same on all its dates: its mean, totals and what the part held of them."""

    mean: float
    totals: Floats
    seen: Floats

    @classmethod
    def draw(cls, area: float, rng: np.random.Generator) -> "Place":
        """A facility of which the share `area` is visible."""
        mean = float(np.exp(rng.normal(np.log(15), 0.6)))
        totals = bursty(mean, PSI, N_DATES, rng)
        return cls(mean, totals, part_of(totals, area, rng))


def part_of(totals: Floats, area: float, rng: np.random.Generator) -> Floats:
    """How many of the totals stand in the visible part."""
    share = rng.beta(SPREAD * area, SPREAD * (1 - area), totals.size)
    return rng.binomial(totals.astype(int), share).astype(np.float64)


def covered(area: float, factor: float, rng: np.random.Generator) -> tuple[bool, bool]:
    """Whether the 95 % intervals of area scaling, and of P, hold the total of one date."""
    place = Place.draw(area, rng)
    number = bursty(factor * place.mean, PSI, 1, rng)
    visible = part_of(number, area, rng)
    half = 1.96 * np.sqrt(visible)
    scaled = (visible - half) / area <= number <= (visible + half) / area
    exact = Counts(place.totals, place.totals, place.totals, np.zeros(N_DATES, dtype=bool))
    rate, psi = fit_background(exact).mean()
    draws = np.full(N_DRAWS, float(visible[0]))
    shares = visible_share(place.seen, place.totals, area).draws(N_DRAWS, rng)
    hidden = hidden_draws(draws, shares, Usual(rate, psi, float(place.totals.max())), rng)
    low, high = np.quantile(draws + hidden, [0.025, 0.975], method="inverted_cdf")
    return bool(scaled), bool(low <= number[0] <= high)


def alarms(area: float, rng: np.random.Generator) -> tuple[bool, bool]:
    """Whether a quiet date alarms against the history of its part, and against scaled totals in a whole history."""
    place = Place.draw(area, rng)
    today = part_of(bursty(place.mean, PSI, 1, rng), area, rng)
    same_part = assess(_counts(today), _counts(place.seen)).p_usual
    scaled = assess(_counts(today / area), _counts(place.totals)).p_usual
    return same_part <= 0.01, scaled <= 0.01


def _counts(value: Floats) -> Counts:
    half = 1.96 * np.sqrt(0.01 * value**2 + 0.5)
    return Counts(value, np.maximum(0.0, value - half), value + half, np.zeros(value.size, dtype=bool))


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=400, help="dates per cell; a tenth of the false alarms' dates")
    repeats = parser.parse_args().repeats
    rng = np.random.default_rng(0)
    print("| visible area | area scaling covers, usual / surge | P covers, usual / surge |")
    for area in AREAS:
        cells = [np.mean([covered(area, factor, rng) for _ in range(repeats)], axis=0) for factor in (1.0, SURGE)]
        scaled, ours = (" / ".join(f"{100 * cell[i]:.0f}" for cell in cells) for i in (0, 1))
        print(f"| {area} | {scaled} % | {ours} % |")
    print("| visible area | false alarms at 1 %: same part | scaled totals |")
    for area in AREAS:
        same, scaled_up = np.mean([alarms(area, rng) for _ in range(10 * repeats)], axis=0)
        print(f"| {area} | {100 * same:.1f} % | {100 * scaled_up:.1f} % |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
