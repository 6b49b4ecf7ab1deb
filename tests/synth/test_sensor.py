"""The sensor resamples without loss and delivers the formats it promises."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.synth.canvas import Frame
from training.synth.profile import Profile
from training.synth.sensor import Sensor, area_matrix, clouds, expose, resample


@pytest.fixture(scope="module")
def sensor(profile: Profile) -> Sensor:
    drawn = Sensor.draw(np.random.default_rng(1), profile.sensor)
    return replace(drawn, noise=0.0, sharpen=0.0, haze=0.0, gamma=2.2, jpeg=0, pan=False, deep=False, burn=1.0)


@given(start=st.floats(0, 8), ratio=st.floats(1.0, 5.0), pixels=st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_area_weights_sum_to_one_and_cover_the_pixel(start: float, ratio: float, pixels: int) -> None:
    matrix = area_matrix(100, pixels, start, ratio).toarray()
    assert matrix.sum(axis=1) == pytest.approx(np.ones(pixels), abs=1e-5)
    middle = matrix @ (np.arange(100) + 0.5)
    # cut cells count with their whole middle, so the mean place errs by a fraction of a cell
    assert middle == pytest.approx(start + (np.arange(pixels) + 0.5) * ratio, abs=0.26)


def test_whole_cells_per_pixel_conserve_the_mean() -> None:
    frame = Frame((0.0, 0.0), 0.0, 24.0, 18.0, 0.15, 3.0)
    field = np.random.default_rng(0).random((*frame.shape, 3)).astype(np.float32)
    image = resample(field, frame, (80, 60), (0.3, 0.3))
    assert image.shape == (60, 80, 3)
    assert image.mean(axis=(0, 1)) == pytest.approx(field[20:-20, 20:-20].mean(axis=(0, 1)), rel=1e-4)


def test_a_constant_stays_constant_at_any_gsd() -> None:
    frame = Frame((0.0, 0.0), 0.0, 24.0, 18.0, 0.13, 3.0)
    image = resample(np.full(frame.shape, 0.4, np.float32), frame, (50, 30), (0.41, 0.57))
    assert image == pytest.approx(np.full((30, 50), 0.4), rel=1e-5)


@pytest.mark.parametrize(
    ("change", "bands", "dtype"),
    [
        ({}, 3, np.uint8),
        ({"pan": True}, 1, np.uint8),
        ({"deep": True, "gamma": 1.0}, 3, np.uint16),
        ({"jpeg": 60}, 3, np.uint8),
    ],
)
def test_formats(sensor: Sensor, change: dict[str, float], bands: int, dtype: type) -> None:
    light = np.random.default_rng(0).uniform(0.05, 0.5, (40, 50, 3)).astype(np.float32)
    image = expose(light, replace(sensor, **change), np.random.default_rng(0))
    assert image.shape == (40, 50, bands)
    assert image.dtype == dtype
    assert image.max() <= 2047
    assert image.std() > 3


def test_more_light_gives_higher_numbers(sensor: Sensor) -> None:
    ramp = np.tile(np.linspace(0.02, 0.5, 120, dtype=np.float32)[None, :, None], (40, 1, 3))
    image = expose(ramp, replace(sensor, psf_px=0.3, gains=(1.0, 1.0, 1.0)), np.random.default_rng(0))
    assert (np.diff(image[20, :, 1].astype(int)) >= 0).all()


def test_clouds_cover_their_share() -> None:
    cover = clouds(np.random.default_rng(4), (300, 200), 0.5, 0.3)
    assert cover.shape == (200, 300)
    assert (cover > 0).mean() == pytest.approx(0.3, abs=0.02)
    assert cover.max() <= 1
