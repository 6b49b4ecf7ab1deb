"""Tests of the noise that the rendered ground is made of."""

import numpy as np
import pytest

from training.synth.canvas import Frame
from training.synth.ground import octave

PITCH_M, CELL_M = 2.0, 0.25


def noise(width_m: float = 80.0, height_m: float = 60.0, cell_m: float = CELL_M) -> np.ndarray:
    return octave(np.random.default_rng(5), Frame((0.0, 0.0), 0.0, width_m, height_m, cell_m, 6.0), PITCH_M)


class TestOctave:
    def test_is_standard_and_half_alike_a_pitch_away(self) -> None:
        values, lag = noise(300, 300), round(PITCH_M / CELL_M)
        assert values.std() == pytest.approx(1, abs=0.06)
        inside = slice(None, -lag)
        for axis in (0, 1):
            here, there = (each[inside, inside].ravel() for each in (values, np.roll(values, -lag, axis)))
            assert np.corrcoef(here, there)[0, 1] == pytest.approx(0.5, abs=0.06)

    def test_is_the_same_in_a_larger_frame(self) -> None:
        small, large = noise(), noise(100, 100)
        top, left = ((a - b) // 2 for a, b in zip(large.shape, small.shape, strict=True))
        inside = large[top : top + small.shape[0], left : left + small.shape[1]]
        np.testing.assert_allclose(inside, small, atol=1e-5)

    def test_is_the_same_on_a_finer_grid(self) -> None:
        coarse, fine = noise(), noise(cell_m=CELL_M / 5)
        # every fifth cell of the fine grid, from the third on, has the middle of a coarse one
        np.testing.assert_allclose(fine[2::5, 2::5], coarse, atol=1e-5)

    def test_wraps_around_without_a_seam(self) -> None:
        wide = octave(np.random.default_rng(5), Frame((0.0, 0.0), 0.0, 120.0, 20.0, CELL_M, 0.0), PITCH_M, span_m=50.0)
        period = round(50.0 / CELL_M)
        np.testing.assert_allclose(wide[:, period : 2 * period], wide[:, :period], atol=1e-5)
