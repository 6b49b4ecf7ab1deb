"""Algorithm S: is today's count a surge against the facility's own history?

Three answers side by side: how probable so high a count is on a usual date, how probable it is that today
is a record in spite of the errors of all counts, and today's model-free rank. Published surges are controlled
for multiplicity: within one release (Benjamini and Hochberg, Controlling the false discovery rate, 1995), or date by
date in a stream (`detector.counting.online`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from detector.counting.background import Z95, Background, Counts, fit_background
from detector.counting.online import lord
from detector.counting.samples import Floats

Control = Literal["release", "stream"]
SURGE, ELEVATED, USUAL, TOO_FEW = "yes", "elevated", "within usual range", "too few dates"
_MIN_SD = 0.3
_UNDERFLOW = 1e-280
_SEASON_STEP = 0.2
_HALF_ROOT = 0.5**0.5


@dataclass(frozen=True)
class Verdict:
    """Today against the history.

    Attributes:
        p_usual: predictive probability of a count at least this high on a usual date.
        p_record: probability that today's true number exceeds that of every earlier date.
        p_rank: (1 + number of earlier counts at least as high) / (n + 1); its floor is 1 / (n + 1).
        n: earlier dates compared.
        n_whole: of these, those that show all of what is compared; the others bound its counts from below.
        maximum: highest earlier count.
    """

    p_usual: float
    p_record: float
    p_rank: float
    n: int
    n_whole: int
    maximum: float


def assess(today: Counts, history: Counts, season: Floats | None = None) -> Verdict:
    """Compare one count with the history.

    Where today's relative error is larger than the history's, the excess squared coefficient of variation is added
    to the dispersion: what the history's counts scatter by already holds their own errors. It counts only where it
    makes the date more usual.

    Laws: a count whose error is larger is never more unusual than a sure one; nor is a lower count than a higher one.

    Args:
        today: one count.
        history: n >= 1 earlier counts of the same footprint by the same model version.
        season: (n,) log seasonal factors relative to today, `background.seasonal_offsets`.
    """
    if today.value.shape != (1,) or history.value.size == 0:
        raise ValueError("assess needs one count today and at least one earlier.")
    log_season = np.zeros(history.value.size) if season is None else season
    background = fit_background(history, log_season)
    value = float(np.round(today.value[0]))
    excess = max(0.0, today.relative_variance - history.relative_variance)
    # A lower bound below today's count says nothing about its rank; one above it does.
    ranked = ~history.censored | (history.value >= value)
    as_high = int((history.value[ranked] >= value).sum())
    return Verdict(
        p_usual=max(background.upper_tail(value, extra) for extra in {0.0, excess}),
        p_record=p_record(today, history, _usual(background, today, history, log_season)),
        p_rank=(1 + as_high) / (int(ranked.sum()) + 1),
        n=history.value.size,
        n_whole=int((~history.censored).sum()),
        maximum=float(history.value.max()),
    )


def _usual(background: Background, today: Counts, history: Counts, log_season: Floats) -> Floats:
    """(n, M + 1) predictive probability of 0..M on each date of the history, seasons in steps of a fifth.

    One row for all where there are no seasons.
    """
    n_max = int(np.ceil(1.5 * max(today.high[0], history.high.max()))) + 20
    if not log_season.any():
        return background.pmf(n_max)[None]
    steps, step_of = np.unique(np.round(log_season / _SEASON_STEP) * _SEASON_STEP, return_inverse=True)
    return np.array([background.pmf(n_max, step) for step in steps])[step_of]


def p_record(today: Counts, history: Counts, usual: Floats) -> float:
    """P(record) = sum_m [prod_j F_j(m) - prod_j F_j(m - 1)] (1 - F_0(m)).

    F_j is the distribution function of the true number on date j, proportional to usual_j(N) L(y_j | N); today
    has a flat prior. L is normal on either side of the count, with the widths of its interval; 1 above a
    censored one.

    Args:
        today: one count.
        history: n earlier counts.
        usual: (n, M + 1) predictive probability of 0..M on each of their dates, or one row for all.
    """
    numbers = np.arange(usual.shape[1], dtype=np.float64)
    flat = _likelihood(history, numbers)
    past = np.cumsum(usual * flat, axis=1)
    is_lost = past[:, -1] <= _UNDERFLOW
    if is_lost.any():
        past[is_lost] = np.cumsum(flat[is_lost], axis=1)
    past /= past[:, -1:]
    highest = np.prod(past, axis=0)
    now = _likelihood(today, numbers)[0]
    above = np.append(np.cumsum(now[:0:-1])[::-1], 0.0) / now.sum()
    return float(np.clip(np.diff(highest, prepend=0.0) @ above, 0.0, 1.0))


def _likelihood(counts: Counts, numbers: Floats) -> Floats:
    """(n, M + 1) likelihood of each true number given each count."""
    below = _HALF_ROOT / np.maximum((counts.value - counts.low) / Z95, _MIN_SD)
    above = _HALF_ROOT / np.maximum((counts.high - counts.value) / Z95, _MIN_SD)
    gap = numbers - counts.value[:, None]
    z = np.where(gap < 0, below[:, None], np.where(counts.censored, 0.0, above)[:, None]) * gap
    return np.exp(np.negative(np.square(z, out=z), out=z), out=z)


@dataclass(frozen=True)
class Rules:
    """Thresholds of the decision; see configs/count.yaml."""

    min_history: int = 8
    queue_p: float = 0.01
    queue_record: float = 0.95
    control: Control = "release"
    fdr: float = 0.05
    lord_alpha: float = 0.02

    def can_judge(self, verdict: Verdict) -> bool:
        """Whether the history has enough dates for a verdict: bounds alone do not say what is usual."""
        return verdict.n_whole >= self.min_history


def decide(verdicts: Sequence[Verdict], rules: Rules) -> list[str]:
    """One word per verdict, all verdicts of one release, or of one stream in order of date, together.

    `yes` where p_usual is at most `queue_p`, p_record at least `queue_record`, and the control of multiplicity agrees;
    `elevated` where p_usual passes and only one of the other two; `too few dates` where `rules.can_judge` says no; else
    `within usual range`. The control is over all tested dates: Benjamini-Hochberg for a release, LORD++ for a stream.
    A date that fails on p_usual or p_record is entered with p = 1, so that its discoveries are what is published.

    Law: in a stream, later dates change no word.
    """
    p_usual = np.array([verdict.p_usual for verdict in verdicts])
    is_tested = np.array([rules.can_judge(verdict) for verdict in verdicts], dtype=bool)
    is_unusual = is_tested & (p_usual <= rules.queue_p)
    is_record = np.array([verdict.p_record >= rules.queue_record for verdict in verdicts], dtype=bool)
    agrees = np.zeros(len(verdicts), dtype=bool)
    entered = np.where(is_unusual & is_record, p_usual, 1.0)
    agrees[is_tested] = p_usual[is_tested] <= _levels(entered[is_tested], rules)
    words = np.select(
        [~is_tested, is_unusual & is_record & agrees, is_unusual & (is_record | agrees)],
        [TOO_FEW, SURGE, ELEVATED],
        USUAL,
    )
    return [str(word) for word in words]


def _levels(p: Floats, rules: Rules) -> Floats:
    """(n,) the level that each p-value has to meet."""
    if p.size == 0:
        return p
    if rules.control == "stream":
        return lord(p, rules.lord_alpha)[1]
    return np.full(p.size, benjamini_hochberg(p, rules.fdr))


def benjamini_hochberg(p: Floats, alpha: float) -> float:
    """The level alpha k / n that p-values (n,) have to meet: of the greatest k for which k of them do, 1 at least."""
    levels = alpha * np.arange(1, p.size + 1) / p.size
    met = np.flatnonzero(np.sort(p) <= levels)
    return float(levels[met[-1] if met.size else 0])
