"""Objects in a part of a scene: of the same draws as those of the whole."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.counting.calibration import fit_model
from detector.counting.posterior import Draws, Joint, Scenes, column_sums, draw_given_effects, draw_objects
from detector.counting.samples import Sample
from tests.simulation import simulate


def drawn(seed: int, n: int = 400) -> tuple[Draws, np.random.Generator]:
    rng = np.random.default_rng(seed)
    logits = rng.normal(1, 2, 30)
    return draw_given_effects(logits, rng.normal(0, 0.5, n), rng.uniform(0.4, 0.99, n), rng), rng


@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_a_part_holds_no_more_than_the_whole(seed: int, share: float) -> None:
    draws, rng = drawn(seed)
    chosen = rng.random(30) < share
    part = draws.among(chosen, share, rng.standard_normal(400))
    assert (part >= 0).all()
    assert (part <= draws.counts).all()


def test_the_whole_is_a_part_and_so_is_nothing() -> None:
    draws, rng = drawn(1)
    at_z = rng.standard_normal(400)
    assert np.array_equal(draws.among(np.ones(30, dtype=bool), 1.0, at_z), draws.counts)
    assert not draws.among(np.zeros(30, dtype=bool), 0.0, at_z).any()


def test_misses_are_spread_as_binomial_thinning_spreads_them() -> None:
    n = 40_000
    draws = Draws(np.ones((20, n), dtype=bool), np.full(n, 12.0))
    missed = draws.among(np.arange(20) < 5, 0.25, np.random.default_rng(2).standard_normal(n)) - 5
    assert abs(missed.mean() - 12 * 0.25) < 0.05
    assert abs(missed.var() - 12 * 0.25 * 0.75) < 0.15


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_scenes_drawn_together_are_those_drawn_alone(seed: int, n_scenes: int) -> None:
    rng, n = np.random.default_rng(seed), 300
    model, joint = fit_model(simulate(4, 2, rng)), Joint.draw(n, rng, rng)
    samples = [Sample(rng.uniform(0.05, 1, rng.integers(0, 40))) for _ in range(n_scenes)]
    normals = [Joint.scene_normals(n, rng) for _ in samples]
    together = Scenes.of(model, joint.parameters).draw(
        samples, normals, [np.random.default_rng([seed, i]) for i in range(n_scenes)]
    )
    for i, drawn in enumerate(together):
        alone = draw_objects(
            model, samples[i], n, np.random.default_rng([seed, i]), Joint(joint.parameters, normals[i])
        )
        assert np.array_equal(drawn.is_true, alone.is_true)
        assert np.array_equal(drawn.missed, alone.missed)


@given(st.integers(0, 2**32 - 1), st.integers(0, 600))
def test_column_sums_are_those_of_numpy(seed: int, n_rows: int) -> None:
    table = np.random.default_rng(seed).random((n_rows, 3)) < 0.9
    assert np.array_equal(column_sums(table), table.sum(axis=0))
