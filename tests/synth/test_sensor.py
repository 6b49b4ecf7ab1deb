"""The sensor resamples without loss and delivers the formats it promises."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.synth.canvas import Frame
from training.synth.profile import Profile, load_profile
from training.synth.sensor import Sensor, _tone, area_matrix, clouds, expose, resample


@pytest.fixture(scope="module")
def sensor(profile: Profile) -> Sensor:
    drawn = Sensor.draw(np.random.default_rng(1), profile.sensor, 0.3)
    return replace(
        drawn, noise=0.0, sharpen=0.0, haze=0.0, gamma=2.2, coarse=1.0, smear=1.0, jpeg=0, pan=False, deep=False,
        burn=1.0,
    )  # fmt: skip


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


def test_a_coarser_grid_moves_nothing(sensor: Sensor) -> None:
    light = np.full((60, 80, 3), 0.05, dtype=np.float32)
    light[20:40, 30:60] = 0.5
    row, col = np.mgrid[:60, :80] + 0.5
    # without interpolation, pixels of the coarser grid are two or three wide
    for upsampling, error in (("nearest", 1.0), ("bilinear", 0.3), ("bicubic", 0.3)):
        passed = replace(sensor, coarse=2.3, upsampling=upsampling)
        image = expose(light.copy(), passed, np.random.default_rng(0))[..., 1].astype(float)
        weight = image - np.median(image)
        assert (weight * row).sum() / weight.sum() == pytest.approx(30.0, abs=error)
        assert (weight * col).sum() / weight.sum() == pytest.approx(45.0, abs=error)


def test_smeared_colour_keeps_brightness(sensor: Sensor) -> None:
    light = np.random.default_rng(0).uniform(0.1, 0.4, (60, 80, 3)).astype(np.float32)
    true = replace(sensor, saturation=1.0, gains=(1.0, 1.0, 1.0))
    sharp = expose(light.copy(), true, np.random.default_rng(0)).astype(float)
    smeared = expose(light.copy(), replace(true, smear=3.0), np.random.default_rng(0)).astype(float)
    assert smeared.mean(axis=2) == pytest.approx(sharp.mean(axis=2), abs=3)
    assert np.ptp(smeared, axis=2).mean() < 0.7 * np.ptp(sharp, axis=2).mean()


@given(toe=st.floats(0.5, 1.5), contrast=st.floats(0.7, 1.5), level=st.floats(0.3, 0.6), gamma=st.floats(1.4, 2.8))
@settings(max_examples=40, deadline=None)
def test_the_tone_curve_rises_and_keeps_the_level(toe: float, contrast: float, level: float, gamma: float) -> None:
    sensor = replace(
        Sensor.draw(np.random.default_rng(1), load_profile().sensor, 0.3),
        toe=toe, contrast=contrast, level=level, gamma=gamma,
    )  # fmt: skip
    light = np.linspace(0, 2, 200, dtype=np.float32)
    assert (np.diff(_tone(light, sensor)) >= -1e-6).all()
    assert _tone(np.full(1, level**gamma, np.float32), sensor)[0] == pytest.approx(level, abs=1e-4)


def test_the_middle_of_an_image_lies_at_its_level(sensor: Sensor) -> None:
    light = np.random.default_rng(0).uniform(0.02, 0.3, (80, 90, 3)).astype(np.float32)
    for level in (0.35, 0.5):
        exposed = expose(light.copy(), replace(sensor, level=level, gains=(1.0, 1.0, 1.0)), np.random.default_rng(0))
        assert np.median(exposed) == pytest.approx(255 * level, abs=4)


def test_no_grid_on_the_way_is_coarser_than_allowed(profile: Profile) -> None:
    rng = np.random.default_rng(0)
    for gsd in (0.25, 0.4, 0.6):
        drawn = [Sensor.draw(rng, profile.sensor, gsd) for _ in range(80)]
        assert max(sensor.coarse for sensor in drawn) * gsd <= profile.sensor.coarsest_m + 1e-9
        assert any(sensor.coarse > 1 for sensor in drawn)
