"""Scene pixels to the ground and back, pixel sizes and headings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.transform import Affine

from detector.pixels.georef import (
    GEOD,
    Grid,
    heading_deg,
    is_on_earth,
    lonlat_to_scene_px,
    pixel_size,
    scene_px_to_lonlat,
)
from tests.detector.imagery import utm_grid

GRIDS = {
    "EPSG:32652": utm_grid(0.3, 30),
    "EPSG:4326": Affine(3.6e-6, 0, 129, 0, -2.7e-6, 42),
    "EPSG:3857": Affine(0.4, 0, 1.44e7, 0, -0.4, 5.2e6),
    "EPSG:2263": Affine(1, 0, 1e6, 0, -1, 2e5),  # feet
    "EPSG:2056": utm_grid(0.25, -50, (2_616_000.0, 1_265_000.0)),  # another datum
    "EPSG:27700": utm_grid(0.25, 0, (530_000.0, 180_000.0)),  # another datum
    "EPSG:3031": utm_grid(0.5, 0, (500_000.0, 900_000.0)),  # polar
}


def grid(code: str) -> Grid:
    return Grid(CRS.from_string(code), GRIDS[code])


@pytest.mark.parametrize("code", GRIDS)
@settings(max_examples=40, deadline=None)
@given(x=st.floats(-1e3, 4e4), y=st.floats(-1e3, 4e4))
def test_pixels_survive_the_way_to_the_ground_and_back(code: str, x: float, y: float) -> None:
    points = np.array([[[x, y]], [[y, x]]])
    back = lonlat_to_scene_px(grid(code), scene_px_to_lonlat(grid(code), points))
    assert back.shape == points.shape
    assert np.abs(back - points).max() < 1e-3


@pytest.mark.parametrize("code", GRIDS)
def test_pixel_size_is_what_a_tape_on_the_ground_says(code: str) -> None:
    size = pixel_size(grid(code), (500, 400))
    ends = scene_px_to_lonlat(grid(code), np.array([[0, 400], [1000, 400], [500, 0], [500, 800]], dtype=float))
    assert size.gsd_x_m == pytest.approx(GEOD.inv(*ends[0], *ends[1])[2] / 1000, rel=1e-4)
    assert size.gsd_y_m == pytest.approx(GEOD.inv(*ends[2], *ends[3])[2] / 800, rel=1e-4)
    assert size.shear_deg < 0.1


def test_a_site_grid_is_nowhere_on_the_earth() -> None:
    assert not is_on_earth(CRS.from_wkt('LOCAL_CS["site grid",UNIT["metre",1]]'))
    assert all(is_on_earth(CRS.from_string(code)) for code in GRIDS)


def test_a_rotated_geographic_grid_is_sheared() -> None:
    turn = Affine.rotation(30)
    t = Affine(3e-6 * turn.a, 3e-6 * turn.b, 129, 3e-6 * turn.d, -3e-6 * turn.e, 60)
    assert pixel_size(Grid(CRS.from_epsg(4326), t), (0, 0)).shear_deg > 20


def boxes(*angles_deg: float) -> np.ndarray:
    return np.array([[500, 400, 50, 10, np.deg2rad(angle)] for angle in angles_deg])


def test_heading_is_clockwise_from_north() -> None:
    straight = Grid(CRS.from_epsg(32652), utm_grid(0.3))
    np.testing.assert_allclose(heading_deg(straight, boxes(0, 45, 90, 135)) % 180, [90, 135, 0, 45], atol=0.02)
    turned = Grid(CRS.from_epsg(32652), utm_grid(0.3, 30))  # pixel rows climb 30 degrees to the north
    np.testing.assert_allclose(heading_deg(turned, boxes(0, 90)), [60, 150], atol=0.02)
    assert heading_deg(straight, np.empty((0, 5))).shape == (0,)


@given(angle=st.floats(0, 180, exclude_max=True))
def test_heading_stays_below_180_and_needs_no_direction(angle: float) -> None:
    one, other = heading_deg(grid("EPSG:4326"), boxes(angle, angle + 180))
    assert 0 <= one < 180
    assert min(abs(one - other), 180 - abs(one - other)) < 1e-3


def test_without_a_crs_there_is_no_ground() -> None:
    class Nowhere:
        crs = None
        transform = Affine.identity()

    assert np.isnan(scene_px_to_lonlat(Nowhere(), np.zeros((3, 2)))).all()
    assert np.isnan(lonlat_to_scene_px(Nowhere(), np.zeros((3, 2)))).all()
    assert np.isnan(heading_deg(Nowhere(), boxes(10))).all()


def test_what_the_crs_does_not_reach_is_nan() -> None:
    far = Grid(CRS.from_epsg(32652), utm_grid(0.3, origin=(1e12, 1e12)))
    assert np.isnan(scene_px_to_lonlat(far, np.zeros((1, 2)))).all()
    assert np.isnan(lonlat_to_scene_px(grid("EPSG:32652"), np.array([2e6, 1e6]))).all()
