"""Scores by class: shares of one score, read from a table or from names alone."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from detector.classscores import ClassScores, Floats, column_of
from detector.errors import UsageError

NAMES = ("railcar", "tarped_railcar", "locomotive")
VALUES = arrays(np.float32, st.tuples(st.integers(0, 5), st.just(len(NAMES))), elements=st.floats(0, 0.25, width=32))


@given(VALUES)
def test_scores_survive_a_table(values: Floats) -> None:
    scores = ClassScores(NAMES, values)
    again = ClassScores.read(pd.DataFrame(scores.columns()), NAMES)
    np.testing.assert_array_equal(again.values, values)


@given(VALUES)
def test_classes_add_up_to_the_score(values: Floats) -> None:
    scores = ClassScores(NAMES, values)
    np.testing.assert_allclose(scores.of(NAMES[:2]) + scores.of(NAMES[2:]), scores.total)
    assert (scores.of(()) == 0).all()
    assert (scores.of(NAMES[:1]) <= scores.of(NAMES[:2])).all()


@given(VALUES, VALUES)
def test_boxes_are_taken_and_joined(first: Floats, second: Floats) -> None:
    both = ClassScores(NAMES, first).joined(ClassScores(NAMES, second))
    np.testing.assert_array_equal(both.take(np.arange(len(first))).values, first)
    np.testing.assert_array_equal(both.take(np.arange(len(both.values)) >= len(first)).values, second)


def test_a_detector_that_only_names_is_sure_of_its_names() -> None:
    scores = ClassScores.named(np.array(["locomotive", "railcar"]), np.array([0.7, 0.4]), NAMES)
    assert scores.of(["railcar", "tarped_railcar"]).tolist() == [0, 0.4]
    assert scores.total.tolist() == [0.7, 0.4]


def test_a_table_of_an_earlier_version_is_refused_with_the_cure() -> None:
    table = pd.DataFrame({column_of(name): [0.1] for name in NAMES[:2]})
    with pytest.raises(UsageError, match="score_locomotive") as caught:
        ClassScores.read(table, NAMES)
    assert "railcars detect" in caught.value.cure
