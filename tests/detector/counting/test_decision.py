"""Algorithm S: the decision, in a release and in a stream."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from detector.counting.surge import ELEVATED, SURGE, TOO_FEW, USUAL, Rules, Verdict, benjamini_hochberg, decide

RULES = Rules()
STREAM = replace(RULES, control="stream")
QUIET = Verdict(p_usual=0.6, p_record=0.01, p_rank=0.6, n=41, n_whole=41, maximum=20)
CLEAR = Verdict(p_usual=1e-9, p_record=1.0, p_rank=1 / 42, n=41, n_whole=41, maximum=20)


@pytest.mark.parametrize("rules", [RULES, STREAM], ids=["release", "stream"])
@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, SURGE),
        ({"p_record": 0.94}, ELEVATED),  # it may be no record
        ({"p_usual": 0.0099}, ELEVATED),  # the control does not agree
        ({"p_usual": 0.0101}, USUAL),
        ({"p_usual": 0.0099, "p_record": 0.94}, USUAL),
        ({"n_whole": 8}, SURGE),
        ({"n_whole": 7}, TOO_FEW),
    ],
)
def test_each_word_has_its_bounds(rules: Rules, changes: dict[str, float], word: str) -> None:
    verdict = replace(CLEAR, **changes)  # type: ignore[arg-type]
    assert decide([*[QUIET] * 30, verdict], rules)[-1] == word
    assert decide([QUIET, verdict, QUIET], rules)[::2] == [USUAL, USUAL]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.floats(0.001, 0.5))
def test_benjamini_hochberg_finds_what_scipy_finds(values: list[float], alpha: float) -> None:
    p = np.array(values)
    adjusted = false_discovery_control(p)
    assume(np.abs(adjusted - alpha).min() > 1e-12)
    assert ((p <= benjamini_hochberg(p, alpha)) == (adjusted <= alpha)).all()


def test_a_stream_is_stricter_the_longer_nothing_is_found() -> None:
    good = replace(CLEAR, p_usual=1e-5)
    assert decide([good], STREAM) == [SURGE]
    assert decide([*[QUIET] * 500, good], STREAM)[-1] == ELEVATED
    assert decide([*[QUIET] * 500, CLEAR, good], STREAM)[-2:] == [SURGE, SURGE]


def test_what_is_no_record_earns_nothing_in_a_stream() -> None:
    doubtful, good = replace(CLEAR, p_record=0.5), replace(CLEAR, p_usual=1e-5)
    assert decide([*[QUIET] * 500, doubtful, good], STREAM)[-2:] == [ELEVATED, ELEVATED]


def test_untested_dates_take_no_place_in_a_stream() -> None:
    few, good = replace(CLEAR, n_whole=3), replace(CLEAR, p_usual=2e-4)
    assert decide([good], STREAM) == [SURGE]
    assert decide([few] * 50 + [good], STREAM) == [TOO_FEW] * 50 + [SURGE]


VERDICTS = st.lists(
    st.builds(
        Verdict,
        p_usual=st.one_of(st.floats(0, 1), st.floats(0, 0.02), st.floats(0, 1e-5)),
        p_record=st.floats(0.9, 1),
        p_rank=st.just(0.1),
        n=st.just(12),
        n_whole=st.integers(5, 12),
        maximum=st.just(20.0),
    ),
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(first=VERDICTS, later=VERDICTS)
def test_later_dates_change_no_word_of_a_stream(first: list[Verdict], later: list[Verdict]) -> None:
    assert decide([*first, *later], STREAM)[: len(first)] == decide(first, STREAM)


@settings(max_examples=60, deadline=None)
@given(verdicts=VERDICTS, seed=st.integers(0, 99))
def test_the_order_of_a_release_does_not_matter(verdicts: list[Verdict], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(verdicts))
    words = decide(verdicts, RULES)
    assert decide([verdicts[i] for i in order], RULES) == [words[i] for i in order]


@settings(max_examples=60, deadline=None)
@given(verdicts=VERDICTS)
def test_surges_of_a_release_are_those_of_benjamini_and_hochberg(verdicts: list[Verdict]) -> None:
    tested = [v for v in verdicts if RULES.can_judge(v)]
    p = sorted(v.p_usual if v.p_usual <= 0.01 and v.p_record >= 0.95 else 1.0 for v in tested)
    met = [k for k, value in enumerate(p, start=1) if value <= RULES.fdr * k / len(p)]
    assert decide(verdicts, RULES).count(SURGE) == max(met, default=0)


def test_multiplicity_control_can_overrule_a_single_test() -> None:
    borderline = Verdict(p_usual=0.008, p_record=0.99, p_rank=0.02, n=41, n_whole=41, maximum=20)
    quiet = Verdict(p_usual=0.6, p_record=0.01, p_rank=0.6, n=41, n_whole=41, maximum=20)
    few = Verdict(p_usual=1e-9, p_record=1.0, p_rank=0.2, n=4, n_whole=4, maximum=2)
    assert decide([borderline], RULES) == [SURGE]
    assert decide([borderline, *[quiet] * 200], RULES)[0] == ELEVATED
    assert decide([borderline, few], RULES) == [SURGE, TOO_FEW]
    assert decide([], RULES) == []
