"""Shadows, shading and the leaning view keep their laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.synth.canvas import Fields, Frame, Overhead
from training.synth.light import OVERHEAD_M, Shear, Sky, illuminate, lambert, lean_source, shadow_depth

CELL_M = 0.25


def block(height_m: float, shape: tuple[int, int] = (200, 200)) -> np.ndarray:
    z = np.zeros(shape, dtype=np.float32)
    z[90:110, 90:110] = height_m
    return z


@given(azimuth=st.floats(0, 2 * np.pi), rows=st.integers(3, 30), cols=st.integers(3, 30))
@settings(max_examples=60, deadline=None)
def test_shear_back_inverts_lay(azimuth: float, rows: int, cols: int) -> None:
    field = np.arange(rows * cols, dtype=np.float32).reshape(rows, cols)
    shear = Shear(field.shape, (np.cos(azimuth), np.sin(azimuth)))
    assert np.array_equal(shear.back(shear.lay(field, -1.0)), field)


@given(azimuth=st.floats(0, 2 * np.pi), elevation=st.floats(0.35, 1.1), height=st.floats(1.0, 6.0))
@settings(max_examples=40, deadline=None)
def test_shadow_is_h_over_tan_elevation_away_from_the_sun(azimuth: float, elevation: float, height: float) -> None:
    sun = (float(np.cos(azimuth)), float(np.sin(azimuth)))
    shaded = shadow_depth(block(height), CELL_M, sun, elevation) > 0.02
    row, col = np.nonzero(shaded)
    # how far the shadow reaches beyond the block's farthest corner, away from the sun
    along = -((col - 99.5) * sun[0] + (row - 99.5) * sun[1]) * CELL_M
    corner = 10 * CELL_M * (abs(sun[0]) + abs(sun[1]))
    assert along.max() - corner == pytest.approx(height / np.tan(elevation), abs=3 * CELL_M)
    assert not shaded[90:110, 90:110].any(), "the top is in the sun"
    assert along.min() > -corner


def test_nothing_is_shaded_on_level_ground() -> None:
    assert shadow_depth(np.full((40, 50), 2.0, np.float32), CELL_M, (0.6, 0.8), 0.5).max() <= 1e-4


def test_slopes_towards_the_sun_are_brighter() -> None:
    ramp = np.tile(np.arange(60, dtype=np.float32) * 0.1, (40, 1))
    towards = lambert(ramp, CELL_M, (-1.0, 0.0), 0.8)[20, 30]
    away = lambert(ramp, CELL_M, (1.0, 0.0), 0.8)[20, 30]
    level = lambert(np.zeros_like(ramp), CELL_M, (1.0, 0.0), 0.8)[20, 30]
    assert towards > level > away
    assert level == pytest.approx(1.0)
    slope = 0.1 / CELL_M
    expected = (np.sin(0.8) + slope * np.cos(0.8)) / np.sqrt(1 + slope**2) / np.sin(0.8)
    assert towards == pytest.approx(expected, rel=1e-4)


@given(azimuth=st.floats(0, 2 * np.pi), slope=st.floats(0.05, 0.5), height=st.floats(1.0, 6.0))
@settings(max_examples=30, deadline=None)
def test_tops_lean_by_slope_times_height(azimuth: float, slope: float, height: float) -> None:
    away = (float(np.cos(azimuth)), float(np.sin(azimuth)))
    z = block(height)
    source, wall = lean_source(z, CELL_M, away, slope)
    top = (z.reshape(-1)[source] > 0) & ~wall
    row, col = np.nonzero(top)
    shift = np.array([col.mean() - 99.5, row.mean() - 99.5]) * CELL_M
    assert shift == pytest.approx(np.array(away) * slope * height, abs=2 * CELL_M)
    assert top.sum() == pytest.approx(400, rel=0.15)


def test_no_lean_changes_nothing_on_level_ground() -> None:
    source, wall = lean_source(np.zeros((30, 40), np.float32), CELL_M, (0.8, 0.6), 0.3)
    assert np.array_equal(source, np.arange(1200).reshape(30, 40))
    assert not wall.any()


def test_a_wire_shades_the_ground_beside_it() -> None:
    frame = Frame((0.0, 0.0), 0.0, 40.0, 40.0, CELL_M, 0.0)
    fields = Fields.empty(frame)
    fields.rgb[...] = 0.3
    fields.hang(Overhead(np.array([[-20.0, 0.0], [20.0, 0.0]]), 1.0, 1.0))
    sky = Sky((0.0, 1.0), np.pi / 4, 0.1, (1.0, 1.0, 1.0), (1.0, 1.0, 1.0))
    light = illuminate(fields, sky)[0][:, 80, 1]
    # the sun stands in the south (down), so the shadow lies to the north (up), as far as the wire is high
    assert (80 - int(light.argmin())) * CELL_M == pytest.approx(OVERHEAD_M, abs=0.6)
    assert light.min() == pytest.approx(0.3 * 0.1, rel=0.05)
    assert np.median(light) == pytest.approx(0.3, rel=1e-3)
