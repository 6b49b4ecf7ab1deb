"""How a picture looks: sums that add up, and what they tell apart."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import gaussian_filter, zoom

from detector.pixels.look import Look, look_of, look_sums, no_sums

WHOLE = np.ones((256, 256), dtype=bool)


def noise(seed: int = 0, sigma_px: float = 0.8) -> np.ndarray:
    """A grey picture with detail up to `sigma_px`."""
    rng = np.random.default_rng(seed)
    field = gaussian_filter(rng.normal(size=(256, 256)), sigma_px)
    grey = np.clip(128 + 50 * field / field.std(), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def see(image: np.ndarray, valid: np.ndarray = WHOLE, lo: float = 10, hi: float = 210) -> Look:
    return look_of(look_sums(image, valid, lo, hi))


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_tiles_add_up_in_any_order(seed: int) -> None:
    one, two = np.random.default_rng(seed).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    whole = WHOLE[:64, :64]
    a, b = look_sums(one, whole, 0, 255), look_sums(two, whole, 0, 255)
    both = look_sums(np.concatenate([one, two]), np.concatenate([whole, whole]), 0, 255)
    of_pixels = [*range(11), 19, 20]  # the others are of patches, of which one picture may hold fewer than its halves
    assert (a + b)[of_pixels] == pytest.approx(both[of_pixels])
    assert look_of(0.5 * (a + b)) == look_of(0.5 * (b + a))
    assert (a + no_sums() == a).all()


def test_what_is_not_valid_is_not_looked_at() -> None:
    image, valid = noise(), WHOLE.copy()
    valid[:, 128:] = False
    image[:, 128:] = [255, 0, 0]
    assert see(image, valid).red_share == 0
    assert see(image, valid).chroma == 0
    assert see(image).red_share == 0.5
    assert see(image).red_cast > 0.3


def test_nothing_valid_is_unknown() -> None:
    for sums in (look_sums(noise(), ~WHOLE, 10, 210), no_sums()):
        look = look_of(sums)
        assert all(np.isnan(value) for value in vars(look).values())


def test_a_flat_picture_has_a_look() -> None:
    flat = np.full((256, 256, 3), 114, dtype=np.uint8)
    look = see(flat)
    assert np.isnan(look.chroma)
    assert look.red_cast == 0
    assert look.detail == pytest.approx(0.0)
    assert np.isnan(look_of(look_sums(flat[:40], WHOLE[:40], 0, 1)).detail)  # no patch fits


def test_black_point_and_levels_are_those_of_the_file() -> None:
    look = see(noise(), lo=100, hi=164)
    assert look.black_point == pytest.approx(100 / 164)
    assert look.grey_levels == pytest.approx(6)


def test_real_numbers_have_no_levels_to_count() -> None:
    """A file of reflectances from 0 to 1 is not dark."""
    sums = look_sums(noise(), WHOLE, 0.02, 0.4)
    whole, real = vars(look_of(sums)), vars(look_of(sums, is_whole=False))
    assert np.isnan(real.pop("grey_levels"))
    assert whole.pop("grey_levels") < 0
    assert real == whole


def test_detail_falls_with_the_resolution_whatever_the_contrast() -> None:
    sharp = noise(sigma_px=0.8)
    coarse = np.clip(zoom(sharp[::4, ::4, 0].astype(float), 4, order=3), 0, 255).astype(np.uint8)
    soft = see(np.repeat(coarse[..., None], 3, axis=2)).detail
    assert soft < see(sharp).detail - 2
    assert see(sharp // 2 + 40).detail == pytest.approx(see(sharp).detail, abs=0.1)


def test_cutoff_is_low_where_large_pixels_were_made_smaller_but_not_in_a_soft_picture() -> None:
    rng = np.random.default_rng(0)
    field = sum(sigma * gaussian_filter(rng.normal(size=(256, 256)), sigma) for sigma in (0.5, 1, 2, 4, 8))
    scene = (128 + 40 * field / field.std()).astype(np.float32)
    pixel = 1 / 0.30  # a sensor of 1 m, its point spread half a pixel
    seen = Image.fromarray(gaussian_filter(scene, pixel / 2)).resize((round(256 / pixel),) * 2, Image.Resampling.BOX)

    def cutoff(picture: np.ndarray) -> float:
        grainy = np.clip(np.rint(picture + rng.normal(0, 0.5, picture.shape)), 0, 255)
        return see(np.repeat(grainy.astype(np.uint8)[..., None], 3, axis=2)).cutoff

    assert cutoff(gaussian_filter(scene, 1.5)) == pytest.approx(cutoff(scene), abs=0.1)
    for way in (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS):
        assert cutoff(np.asarray(seen.resize((256, 256), way))) < cutoff(scene) - 0.2, way


def test_noise_in_the_bands_shows_as_chroma() -> None:
    rng = np.random.default_rng(0)
    grainy = np.clip(rng.normal(100, 20, (256, 256, 3)), 0, 255).astype(np.uint8)
    assert see(grainy).chroma > 1.5
    assert see(noise()).chroma == 0


def test_sharpness_contrast_and_brightness_measure_what_they_name() -> None:
    rng = np.random.default_rng(0)
    white = np.repeat(rng.integers(0, 256, (256, 256, 1), dtype=np.uint8), 3, axis=-1)
    assert see(white).sharpness == pytest.approx(1.0, abs=0.03)
    assert see(white // 2).sharpness == pytest.approx(1.0, abs=0.03)
    assert see(white // 2).contrast == pytest.approx(see(white).contrast / 2, rel=0.02)
    assert see(noise(sigma_px=2.5)).sharpness < 0.1
    grey = np.full((256, 256, 3), 51, dtype=np.uint8)
    assert see(grey).brightness == pytest.approx(0.2)
    assert see(grey).contrast == pytest.approx(0.0, abs=1e-6)
    assert np.isnan(see(grey).sharpness)
