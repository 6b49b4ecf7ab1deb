"""The domain check on pictures: rendered yards as they are, and as no detector should be trusted on."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from benchmarks.degraded import DEGRADED, write_degraded
from detector.counting.domain import FEATURES, PICTURE, Domain, fit_domain
from detector.counting.samples import Floats
from detector.pixels.look import look_of, look_sums
from detector.raster import SceneReader
from detector.scenes import find_scenes
from training.synth.profile import load_profile
from training.synth.series import DatePlan, render_series
from training.synth.yard import draw_yard

N_YARDS = 6
NAMED_BY = {
    "1 m brought to 0.5 m": {"detail", "cutoff"},
    "haze over 75 %": {"black_point"},
    "infrared false colour": {"red_share", "chroma", "red_cast"},
    "night": {"detail", "grey_levels", "chroma"},
}


def picture(path: Path) -> Floats:
    """What the domain check looks at of a picture; the objects are left open."""
    scene = find_scenes([path]).scenes[0]
    with SceneReader(scene) as reader:
        height, width = reader.shape_model
        image, valid = reader.read(0, 0, width, height)
        look = look_of(look_sums(image, valid, reader.stretch.lo, reader.stretch.hi))
    known = {"gsd_m": scene.gsd_m, **vars(look)}
    objects = np.full(len(FEATURES) - len(PICTURE), np.nan)
    return np.r_[[known.get(name, np.nan) for name in PICTURE], objects]


@pytest.fixture(scope="module")
def yards(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One date of each yard: colour, at 0.3 to 0.5 m."""
    folder, profile, paths = tmp_path_factory.mktemp("yards"), load_profile(), []
    for i in range(N_YARDS):
        yard = draw_yard(300 + i, profile, style="marshalling", size_m=(130.0, 100.0))
        noon = datetime(2023, 4 + i % 5, 5, 12, tzinfo=UTC) - timedelta(hours=yard.place.x / 15)
        plan = DatePlan(noon, 4, gsd_m=(0.3, 0.4, 0.5)[i % 3])
        paths += render_series(yard, [plan], profile, folder / str(i))
    return paths


@pytest.fixture(scope="module")
def domain(yards: list[Path]) -> Domain:
    return fit_domain(np.array([picture(path) for path in yards]), [str(path) for path in yards])


@pytest.mark.integration
@pytest.mark.parametrize("name", ["as it is", *NAMED_BY])
def test_degraded_pictures_leave_the_range_of_clean_ones(
    name: str, yards: list[Path], domain: Domain, tmp_path: Path
) -> None:
    """Six pictures make wide limits, so that it is the range of the clean ones that is looked at."""
    named = []
    for i, path in enumerate(yards):
        target = tmp_path / f"{i}_20230405.tif"
        write_degraded(path, name, target, seed=i)
        beyond = domain.distances(picture(target)) > 1 + 1e-9
        named.append({feature for feature, out in zip(FEATURES, beyond, strict=True) if out} - {"gsd_m"})
    if name == "as it is":
        assert not any(named)
    else:
        assert all(reasons & NAMED_BY[name] for reasons in named), named


def test_every_degradation_keeps_shape_and_range() -> None:
    rng = np.random.default_rng(0)
    for bands in (1, 3):
        planes = rng.random((bands, 60, 80), dtype=np.float32)
        for name, degrade in DEGRADED.items():
            made, gsd_m = degrade(planes, 0.4, np.random.default_rng(1))
            assert made.min() >= 0, name
            assert made.max() <= 1, name
            assert made.shape[1] * gsd_m == pytest.approx(24, rel=0.5 if "claims" in name else 0.05), name
