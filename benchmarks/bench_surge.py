"""What the verdicts of algorithm S are worth: false surges and power of both controls, on simulated facilities.

python -m benchmarks.bench_surge [--streams 10]

Thirty facilities with bursty counts, twelve dates a year for five years. Each has one surge, from its second year on:
a number of x1.5, x2 or x3.5 the highest before. Counts are seen with an error of 10 %. In two worlds: as algorithm S
takes them to be, and with a longer tail. Then single cases: 73, 40, 30 and 25 against a history whose highest is 17-23.
"""

import argparse
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from detector.counting.background import Counts
from detector.counting.samples import Floats
from detector.counting.surge import SURGE, Rules, Verdict, assess, decide

N_FACILITIES, N_YEARS, PER_YEAR = 30, 5, 12
FACTORS = (1.5, 2.0, 3.5)
ERROR = 0.10
POWERS = [f"power x{size:g}" for size in FACTORS]
RULES = Rules()


@dataclass(frozen=True)
class Stream:
    """Verdicts in order of date, and by how much each date surpasses the highest before it (1: a quiet date)."""

    verdicts: tuple[Verdict, ...]
    factor: Floats


def bursty(mean: float, psi: float, size: int, rng: np.random.Generator) -> Floats:
    """Negative binomial counts of that mean and dispersion."""
    return rng.poisson(mean * rng.gamma(1 / psi, psi, size)).astype(np.float64)


def seen(true: Floats, rng: np.random.Generator) -> Counts:
    """Counts with their errors."""
    value = np.maximum(0.0, np.round(true * (1 + ERROR * rng.normal(size=true.size))))
    half = 1.96 * np.sqrt((ERROR * value) ** 2 + 0.5)
    return Counts(value, np.maximum(0.0, value - half), value + half, np.zeros(true.size, dtype=bool))


def part(counts: Counts, rows: slice) -> Counts:
    """Some of the counts."""
    return Counts(counts.value[rows], counts.low[rows], counts.high[rows], counts.censored[rows])


def heavy(mean: float, psi: float, size: int, rng: np.random.Generator) -> Floats:
    """Log-normal counts of that mean and dispersion: a longer tail than algorithm S takes for granted."""
    sd = float(np.sqrt(np.log1p(psi)))
    return rng.poisson(mean * np.exp(rng.normal(-(sd**2) / 2, sd, size))).astype(np.float64)


WORLDS = {"negative binomial": bursty, "log-normal": heavy}


def stream(world: str, rng: np.random.Generator) -> Stream:
    """Thirty facilities, judged date by date."""
    n_dates = N_YEARS * PER_YEAR
    factor = np.ones((n_dates, N_FACILITIES))
    columns = []
    for k in range(N_FACILITIES):
        mean, psi = np.exp(rng.normal(np.log(8), 0.8)), np.exp(rng.normal(np.log(0.35), 0.4))
        true, when = WORLDS[world](mean, psi, n_dates, rng), int(rng.integers(PER_YEAR, n_dates))
        factor[when, k] = rng.choice(FACTORS)
        true[when] = np.round(factor[when, k] * max(1.0, true[:when].max()))
        counts = seen(true, rng)
        columns.append([assess(part(counts, slice(i, i + 1)), part(counts, slice(0, i))) for i in range(1, n_dates)])
    # zip: in order of date, all facilities of a date together.
    return Stream(tuple(v for date in zip(*columns, strict=True) for v in date), factor[1:].ravel())


def rates(streams: list[Stream], rules: Rules) -> dict[str, float]:
    """False discovery rate (mean share of false ones among the surges of a stream), false surges a year, and power."""
    shares, n_false, found = [], [], []
    for one in streams:
        is_surge = np.array([word == SURGE for word in decide(one.verdicts, rules)])
        is_false = is_surge & (one.factor == 1)
        shares.append(is_false.sum() / max(1, is_surge.sum()))
        n_false.append(is_false.sum() / N_YEARS)
        found.append(is_surge)
    return {"false share": float(np.mean(shares)), "false a year": float(np.mean(n_false))} | _power(streams, found)


def queue_rates(streams: list[Stream]) -> dict[str, float]:
    """The same of the recount queue, which no control touches."""
    queued = [np.array([is_queued(verdict) for verdict in one.verdicts]) for one in streams]
    shares = [float((q & (one.factor == 1)).sum() / max(1, q.sum())) for q, one in zip(queued, streams, strict=True)]
    false = [float((q & (one.factor == 1)).sum() / N_YEARS) for q, one in zip(queued, streams, strict=True)]
    return {"false share": float(np.mean(shares)), "false a year": float(np.mean(false))} | _power(streams, queued)


def _power(streams: list[Stream], found: list[npt.NDArray[np.bool_]]) -> dict[str, float]:
    factor, hit = np.concatenate([one.factor for one in streams]), np.concatenate(found)
    return {name: float(hit[factor == size].mean()) for name, size in zip(POWERS, FACTORS, strict=True)}


def is_queued(verdict: Verdict) -> bool:
    """Whether the date goes to the recount queue."""
    return RULES.can_judge(verdict) and verdict.p_usual <= RULES.queue_p and verdict.p_record >= RULES.queue_record


def seed_case(today: float, n: int, repeats: int, rng: np.random.Generator) -> tuple[float, float]:
    """Share queued of `today` against n dates with a maximum of 17-23, and the median p_usual."""
    verdicts: list[Verdict] = []
    while len(verdicts) < repeats:
        history = bursty(8.0, 0.35, n, rng)
        if 17 <= history.max() <= 23:
            verdicts.append(assess(seen(np.array([today]), rng), seen(history, rng)))
    return float(np.mean([is_queued(v) for v in verdicts])), float(np.median([v.p_usual for v in verdicts]))


def quiet_rates(streams: list[Stream]) -> tuple[float, float]:
    """Shares of quiet tested dates with p_usual of at most 0.01 and 0.001."""
    quiet = [
        verdict.p_usual
        for one in streams
        for verdict, factor in zip(one.verdicts, one.factor, strict=True)
        if factor == 1 and RULES.can_judge(verdict)
    ]
    return float(np.mean(np.array(quiet) <= 0.01)), float(np.mean(np.array(quiet) <= 0.001))


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=10, help="per world: of 30 facilities, 1,800 dates each")
    parser.add_argument("--repeats", type=int, default=200, help="histories per case of the second table")
    given = parser.parse_args()
    print("| counts | control | false share of the surges | false surges a year | " + " | ".join(POWERS) + " |")
    for world in WORLDS:
        streams = [stream(world, np.random.default_rng(seed)) for seed in range(given.streams)]
        table = {
            "Benjamini-Hochberg, 5 %": rates(streams, RULES),
            "LORD++, 2 %": rates(streams, replace(RULES, control="stream")),
            "recount queue, no control": queue_rates(streams),
        }
        for name, row in table.items():
            shown = [f"{v:.2f}" if k == "false a year" else f"{100 * v:.1f} %" for k, v in row.items()]
            print(f"| {world} | {name} | " + " | ".join(shown) + " |")
        one, tenth = quiet_rates(streams)
        print(f"quiet dates: p_usual <= 0.01 in {100 * one:.2f} %, <= 0.001 in {100 * tenth:.2f} %")
    rng = np.random.default_rng(1000)
    print("| today | queued, median p_usual at n = 20 | 41 | 60 |")
    for today in (73.0, 40.0, 30.0, 25.0):
        cases = [seed_case(today, n, given.repeats, rng) for n in (20, 41, 60)]
        print(f"| {today:.0f} | " + " | ".join(f"{100 * share:.1f} %, {p:.0e}" for share, p in cases) + " |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
