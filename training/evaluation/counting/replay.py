"""Algorithm S on replayed histories: how often quiet dates raise an alarm, and how often a surge does.

No facility has forty dates with truth. A history is therefore put together from evaluated facility-dates: a number is
drawn for each of its dates, and an evaluated date of that true number, with the estimate and interval that the real
detector led to, is dated anew. The true number of the history's date is that date's own, so that nothing is scaled.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from detector.counting.background import Counts
from detector.counting.samples import Floats, Index
from detector.counting.surge import Rules, Verdict, assess
from training.evaluation.counting.dates import Dates, Forecast
from training.evaluation.counting.scores import share_of

LENGTHS = (20, 40, 60)
USUAL_MEANS = (4.0, 8.0, 16.0)
FACTORS = (1.5, 2.0, 3.5)
SEED_CASE = 73
PSI = 0.35
CURVE_AT = tuple(round(-4 + 0.05 * i, 2) for i in range(81))
_SEED_MEAN, _SEED_MAXIMUM = 8.0, (17, 23)  # "a maximum of about 20"
_TOLERANCE = 0.1
_FEW = 3


@dataclass
class Pool:
    """Evaluated dates to put histories together from, fully seen ones of one group.

    Attributes:
        n_true: (D,) true numbers.
        counts: their counts with 95 % intervals.
        facility: (D,) number of each date's facility.
    """

    n_true: Floats
    counts: Counts
    facility: Index
    _near: dict[int, Index] = field(default_factory=dict)

    @classmethod
    def of(cls, dates: Dates, forecast: Forecast) -> "Pool":
        """Of dates and what algorithm R says of them."""
        censored = np.zeros(dates.n_true.size, dtype=bool)
        counts = Counts(forecast.count, forecast.low[0.95], forecast.high[0.95], censored)
        return cls(dates.n_true, counts, dates.code)

    def near(self, number: int) -> Index:
        """Dates whose true number is within a tenth of `number`; where there is none, the nearest."""
        if number not in self._near:
            off = np.abs(self.n_true - number)
            within = np.flatnonzero(off <= _TOLERANCE * number)
            self._near[number] = within if within.size else np.flatnonzero(off == off.min())
        return self._near[number]

    def has(self, number: int) -> bool:
        """Whether a true number within a tenth of `number` was evaluated."""
        return bool((np.abs(self.n_true - number) <= _TOLERANCE * number).any())

    def date(self, number: int, rank: Index, rng: np.random.Generator, without: Sequence[int] | Index = ()) -> int:
        """A date near `number`, at random among those of the three best ranked facilities that have one.

        A history thus comes from few facilities, and keeps what the detector does to all dates of a facility.

        Args:
            number: the true number that is wanted.
            rank: (F,) rank of each facility in this history.
            rng: random numbers.
            without: dates that are not taken, unless there is no other near that number.
        """
        near = self.near(number)
        others = near[~np.isin(near, without)]
        near = others if others.size else near
        ranks = rank[self.facility[near]]
        few = np.unique(ranks)[:_FEW]
        return int(rng.choice(near[ranks <= few[-1]]))

    def take(self, index: Sequence[int] | Index) -> Counts:
        """The counts of some dates."""
        at, counts = np.asarray(index, dtype=np.intp), self.counts
        return Counts(counts.value[at], counts.low[at], counts.high[at], counts.censored[at])


@dataclass(frozen=True)
class History:
    """One replayed history: its dates in the pool, and the rank of each facility in it."""

    dates: Index
    rank: Index


def usual_numbers(mean: float, length: int, rng: np.random.Generator) -> Index:
    """(length,) draws of the negative binomial of that mean and dispersion `PSI`."""
    return rng.poisson(mean * rng.gamma(1 / PSI, PSI, length))


def history(pool: Pool, mean: float, length: int, rng: np.random.Generator) -> History:
    """Dates whose true numbers are near usual ones of that mean."""
    rank = rng.permutation(int(pool.facility.max()) + 1)
    numbers = usual_numbers(mean, length, rng)
    return History(np.array([pool.date(int(number), rank, rng) for number in numbers]), rank)


def quiet(pool: Pool, mean: float, length: int, n: int, rng: np.random.Generator) -> list[Verdict]:
    """Verdicts on n dates that are like their histories, but in none of them: a date is no surprise to itself."""
    found = []
    for _ in range(n):
        past = history(pool, mean, length, rng)
        number = int(usual_numbers(mean, 1, rng)[0])
        today = pool.date(number, past.rank, rng, without=past.dates)
        found.append(assess(pool.take([today]), pool.take(past.dates)))
    return found


def histories_around_20(pool: Pool, length: int, rng: np.random.Generator) -> Iterator[History]:
    """Endless histories whose highest true number is about 20."""
    low, high = _SEED_MAXIMUM
    while True:
        past = history(pool, _SEED_MEAN, length, rng)
        if low <= pool.n_true[past.dates].max() <= high:
            yield past


def replay(
    dates: Dates, forecast: Forecast, rules: Rules, *, n_quiet: int, n_surge: int, seed: int = 0
) -> dict[str, Any]:
    """False alarms on quiet dates, and power.

    Args:
        dates: fully seen dates of one group.
        forecast: what algorithm R says of them.
        rules: of algorithm S.
        n_quiet: quiet dates by mean and length of the history.
        n_surge: surges by size and length of the history.
        seed: of the replay.

    Returns:
        quiet: n, at_001 and at_0001 (share of p_NB <= 0.01 and 0.001) and queued, each with its band; the same by_mean
        of the usual number and by_length; and curve, the shares of p_NB <= 10^x for x = -4, -3.95 .. 0. surge: the same
        by size ("x1.5" times the history's true maximum, or "73"), with median_p, n_dates (how many evaluated dates
        stand for these surges), reached (share whose size was within a tenth of the one wanted) and by_length.
    """
    pool = Pool.of(dates, forecast)
    rng = np.random.default_rng(seed)
    calm = {(m, length): quiet(pool, m, length, n_quiet, rng) for m in USUAL_MEANS for length in LENGTHS}
    everything = [verdict for some in calm.values() for verdict in some]
    by_mean = {m: [v for (at, _), some in calm.items() if at == m for v in some] for m in USUAL_MEANS}
    by_length = {n: [v for (_, at), some in calm.items() if at == n for v in some] for n in LENGTHS}
    return {
        "quiet": {
            **_alarms(everything, rules),
            "by_mean": {f"{m:g}": _alarms(some, rules) for m, some in by_mean.items()},
            "by_length": {str(n): _alarms(some, rules) for n, some in by_length.items()},
            "curve": _curve(everything),
        },
        "surge": _surges(pool, rules, n_surge, rng),
    }


def _surges(pool: Pool, rules: Rules, n: int, rng: np.random.Generator) -> dict[str, Any]:
    found: dict[str, dict[int, list[Verdict]]] = {}
    stood: dict[str, list[int]] = {}
    reached: dict[str, list[bool]] = {}
    for length in LENGTHS:
        source = histories_around_20(pool, length, rng)
        for _ in range(n):
            past = next(source)
            highest = float(pool.n_true[past.dates].max())
            sizes = {f"x{factor:g}": round(factor * highest) for factor in FACTORS} | {str(SEED_CASE): SEED_CASE}
            for name, size in sizes.items():
                at = pool.date(size, past.rank, rng)
                verdict = assess(pool.take([at]), pool.take(past.dates))
                found.setdefault(name, {}).setdefault(length, []).append(verdict)
                stood.setdefault(name, []).append(at)
                reached.setdefault(name, []).append(pool.has(size))
    return {
        name: {
            **_alarms([verdict for some in by_length.values() for verdict in some], rules),
            "median_p": float(np.median([v.p_usual for some in by_length.values() for v in some])),
            "n_dates": len(set(stood[name])),
            "reached": float(np.mean(reached[name])),
            "by_length": {str(length): _alarms(some, rules) for length, some in by_length.items()},
        }
        for name, by_length in found.items()
    }


def _curve(verdicts: Sequence[Verdict]) -> list[float]:
    p = np.sort([verdict.p_usual for verdict in verdicts])
    return [float(share) for share in np.searchsorted(p, 10.0 ** np.array(CURVE_AT), side="right") / p.size]


def _alarms(verdicts: Sequence[Verdict], rules: Rules) -> dict[str, Any]:
    p = np.array([verdict.p_usual for verdict in verdicts])
    queued = (p <= rules.queue_p) & (np.array([verdict.p_record for verdict in verdicts]) >= rules.queue_record)
    return {
        "n": p.size,
        "at_001": share_of(p <= 0.01),
        "at_0001": share_of(p <= 0.001),
        "queued": share_of(queued),
    }
