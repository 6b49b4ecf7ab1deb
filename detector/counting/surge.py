"""Algorithm S: is today's count a surge against the facility's own history?

Three answers side by side: how probable so high a count is on a usual date, how probable it is that today
is a record in spite of the errors of all counts, and today's model-free rank. Published surges are controlled
for multiplicity (Benjamini and Hochberg, Controlling the false discovery rate, 1995).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from statsmodels.stats.multitest import multipletests

from detector.counting.background import Counts, fit_background
from detector.counting.samples import Floats

SURGE, ELEVATED, USUAL, TOO_FEW = "yes", "elevated", "within usual range", "too few dates"
_Z95 = 1.959964
_MIN_SD = 0.3
_UNDERFLOW = 1e-280


@dataclass(frozen=True)
class Verdict:
    """Today against the history.

    Attributes:
        p_usual: predictive probability of a count at least this high on a usual date.
        p_record: probability that today's true number exceeds that of every earlier date.
        p_rank: (1 + number of earlier counts at least as high) / (n + 1); its floor is 1 / (n + 1).
        n: earlier dates compared.
        maximum: highest earlier count.
    """

    p_usual: float
    p_record: float
    p_rank: float
    n: int
    maximum: float


def assess(today: Counts, history: Counts, season: Floats | None = None) -> Verdict:
    """Compare one count with the history.

    Args:
        today: one count.
        history: n >= 1 earlier counts of the same footprint by the same model version.
        season: (n,) log seasonal factors relative to today, `background.seasonal_offsets`.
    """
    if today.value.shape != (1,) or history.value.size == 0:
        raise ValueError("assess needs one count today and at least one earlier.")
    background = fit_background(history, season)
    excess = max(0.0, float(today.relative_variance[0] - history.relative_variance.mean()))
    value = float(np.round(today.value[0]))
    # A lower bound below today's count says nothing about its rank; one above it does.
    ranked = ~history.censored | (history.value >= value)
    as_high = int((history.value[ranked] >= value).sum())
    n_max = int(np.ceil(1.5 * max(today.high[0], history.high.max()))) + 20
    return Verdict(
        p_usual=background.upper_tail(value, excess),
        p_record=p_record(today, history, background.pmf(n_max)),
        p_rank=(1 + as_high) / (int(ranked.sum()) + 1),
        n=history.value.size,
        maximum=float(history.value.max()),
    )


def p_record(today: Counts, history: Counts, usual: Floats) -> float:
    """P(record) = sum_m [prod_j F_j(m) - prod_j F_j(m - 1)] (1 - F_0(m)).

    F_j is the distribution function of the true number on date j, proportional to usual(N) L(y_j | N); today
    has a flat prior. L is normal on either side of the count, with the widths of its interval; 1 above a
    censored one.

    Args:
        today: one count.
        history: n earlier counts.
        usual: (M + 1,) predictive probability of 0..M on a usual date.
    """
    numbers = np.arange(usual.size, dtype=np.float64)
    past = usual * _likelihood(history, numbers)
    past_total = past.sum(axis=1, keepdims=True)
    flat = _likelihood(history, numbers)
    past = np.where(past_total > _UNDERFLOW, past, flat)
    cdf = np.minimum(np.cumsum(past, axis=1) / past.sum(axis=1, keepdims=True), 1.0)
    highest = np.prod(cdf, axis=0)
    now = _likelihood(today, numbers)[0]
    above = 1 - np.cumsum(now) / now.sum()
    return float(np.clip(np.diff(highest, prepend=0.0) @ above, 0.0, 1.0))


def _likelihood(counts: Counts, numbers: Floats) -> Floats:
    """(n, M + 1) likelihood of each true number given each count."""
    below = np.maximum((counts.value - counts.low) / _Z95, _MIN_SD)[:, None]
    above = np.maximum((counts.high - counts.value) / _Z95, _MIN_SD)[:, None]
    gap = numbers[None, :] - counts.value[:, None]
    out = np.exp(-0.5 * (gap / np.where(gap < 0, below, above)) ** 2)
    return np.where(counts.censored[:, None] & (gap > 0), 1.0, out)


@dataclass(frozen=True)
class Rules:
    """Thresholds of the decision; see configs/count.yaml."""

    min_history: int = 8
    queue_p: float = 0.01
    queue_record: float = 0.95
    fdr: float = 0.05


def decide(verdicts: Sequence[Verdict], rules: Rules) -> list[str]:
    """One word per verdict, all verdicts of one release together.

    `yes` where p_usual and p_record pass and Benjamini-Hochberg over all tested dates agrees; `elevated`
    where p_usual passes and only one of the other two; `too few dates` below `rules.min_history`; else
    `within usual range`.
    """
    tested = np.array([verdict.n >= rules.min_history for verdict in verdicts], dtype=bool)
    p = np.array([verdict.p_usual for verdict in verdicts])
    certified = np.zeros(len(verdicts), dtype=bool)
    if tested.any():
        certified[tested] = multipletests(p[tested], alpha=rules.fdr, method="fdr_bh")[0]
    words = []
    for verdict, is_tested, is_certified in zip(verdicts, tested, certified, strict=True):
        if not is_tested:
            words.append(TOO_FEW)
        elif verdict.p_usual > rules.queue_p:
            words.append(USUAL)
        else:
            n_agree = int(verdict.p_record >= rules.queue_record) + int(is_certified)
            words.append((USUAL, ELEVATED, SURGE)[n_agree])
    return words
