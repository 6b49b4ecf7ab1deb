"""The model's pixel grid: the scene's own where it fits, and true lengths on every one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.pixels.modelgrid import NATIVE, ModelGrid
from detector.scene import Scene
from detector.scenes import find_scenes
from tests.detector.imagery import write_image


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder: Path = tmp_path_factory.mktemp("scene")
    write_image(folder / "yard_20231005.tif")
    return find_scenes([folder]).scenes[0]


@given(x=st.floats(0.2, 0.75), y=st.floats(0.2, 0.75), angle=st.floats(0, 3.1))
def test_lengths_on_the_ground_do_not_depend_on_the_grid(scene: Scene, x: float, y: float, angle: float) -> None:
    scene = replace(scene, gsd_x_m=x, gsd_y_m=y)
    for native in (0.0, NATIVE):
        grid = ModelGrid.of(scene, 0.3, native)
        along = 40 * np.array([np.cos(angle), np.sin(angle)]) * grid.scales * [x, y]
        assert grid.sides_m(np.array([[9.0, 9.0, 40.0, 10.0, angle]]))[0, 0] == pytest.approx(np.hypot(*along))


def test_a_scene_near_the_models_gsd_is_seen_as_it_is(scene: Scene) -> None:
    for gsd_x, gsd_y, native in ((0.3005, 0.2995, True), (0.3, 0.31, False), (0.5, 0.5, False)):
        grid = ModelGrid.of(replace(scene, gsd_x_m=gsd_x, gsd_y_m=gsd_y), 0.3)
        assert (grid.scale_x == grid.scale_y == 1.0) is native
        assert grid.gsd_x_m == (gsd_x if native else 0.3)
