"""Cut-outs: what is cut, that its colours and its outline stay, and that its edge does not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from detector.errors import UsageError
from tests.annotated import Wagon, annotated_scene
from training.synth.__main__ import draw_dates
from training.synth.canvas import Placement
from training.synth.cutouts import KIND, STRETCH, Cutout, Paint, Stock, cut, read_cutouts, relit, set_up, with_cutouts
from training.synth.profile import Profile
from training.synth.scene import Conditions, Date, RenderedScene, Studio, draw_date
from training.synth.solid import Solid
from training.synth.traffic import Demand
from training.synth.vehicles import draw_vehicle
from training.synth.yard import Yard

BROWN, BLUE = (150, 90, 60), (70, 100, 160)


def sampled(solid: Solid) -> np.ndarray:
    """Reflectance of a solid on a grid of 40 x 20 points in its box, rows from -v to +v."""
    u = (np.linspace(-0.499, 0.499, 40) * solid.length_m).astype(np.float32)
    v = (np.linspace(-0.499, 0.499, 20) * solid.width_m).astype(np.float32)
    return solid.surface(*np.meshgrid(u, v)).albedo


def cutout(
    length_m: float = 14.0, label: str = "railcar", lit: int = 0, colour: tuple[float, ...] = (0.3, 0.2, 0.1)
) -> Cutout:
    albedo = np.broadcast_to(np.array(colour, dtype=np.float32), (24, 112, 3)).copy()
    return Cutout(label, length_m, 3.0, 3.5, lit, albedo)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_wagon_is_cut_along_its_outline(dtype: type) -> None:
    wagons = [Wagon(100, 60, 14.0, 3.0, 0.4, BROWN), Wagon(100, 180, 18.0, 2.75, 0.4, BLUE)]
    found = cut(annotated_scene(wagons, dtype=dtype))
    for one, wagon in zip(found, wagons, strict=True):
        assert (one.length_m, one.width_m) == pytest.approx((wagon.length_m, wagon.width_m), rel=0.01)
        inner = one.albedo[6:-6, 10:-10]
        assert inner.std(axis=(0, 1)).max() < 0.01  # nothing of ground and shadow
        tone = inner.mean(axis=(0, 1))
        wanted = (np.array(wagon.colour) / 255) ** 2.2
        assert tone / tone.sum() == pytest.approx(wanted / wanted.sum(), abs=0.03)


def test_only_whole_wagons_are_cut(tmp_path: Path) -> None:
    wagons = [Wagon(100, 40), Wagon(100, 100, visible=0.8), Wagon(100, 160, ignore=True)]
    annotated_scene(wagons).write(tmp_path)
    assert len(read_cutouts(tmp_path)) == 1
    with pytest.raises(UsageError, match="90%"):
        read_cutouts(annotated_scene(wagons[1:]).write(tmp_path / "none"))


@pytest.mark.parametrize("angle", [0.0, 0.4, -0.7])
@pytest.mark.parametrize("shadow", [(4.0, -14.0), (-2.0, 14.0)])
def test_the_lit_side_is_away_from_the_shadow(angle: float, shadow: tuple[float, float]) -> None:
    sun = -np.array(shadow) / np.hypot(*shadow)
    left = np.array([np.sin(angle), -np.cos(angle)])
    x, y = np.array([100, 120]) + 3 * left * np.sign(left @ sun)
    # a brighter band marks the half of the roof that faces the sun
    scene = annotated_scene([Wagon(100, 120, angle=angle)], shadow_px=shadow)
    band = annotated_scene([Wagon(x, y, width_m=1.0, angle=angle, colour=(220, 160, 130))], shadow_px=(0, 0))
    image = np.where(np.all(band.image == (220, 160, 130), axis=2, keepdims=True), band.image, scene.image)
    (one,) = cut(replace(scene, image=image))
    rows = one.albedo.mean(axis=(1, 2))
    assert one.lit == (1 if rows[12:].mean() > rows[:12].mean() else -1)


def test_a_flat_wagon_is_lower_than_one_with_a_shadow() -> None:
    tall = annotated_scene([Wagon(100, 60), Wagon(100, 120)])
    flat = annotated_scene([Wagon(100, 60), Wagon(100, 120)], shadow_px=(0.0, 0.0))
    image = np.concatenate([tall.image[:90], flat.image[90:]])
    heights = [one.height_m for one in cut(replace(tall, image=image))]
    assert heights[0] > 3
    assert heights[1] < 1.5


@given(seed=st.integers(0, 10**6), length_m=st.floats(12.0, 16.0), lit=st.sampled_from([-1, 0, 1]))
@settings(max_examples=25, deadline=None)
def test_colours_stay_up_to_light(seed: int, length_m: float, lit: int) -> None:
    one = cutout()
    solid = set_up(np.random.default_rng(seed), one, length_m, lit, Paint())
    assert (solid.kind, solid.label, solid.length_m, solid.width_m) == (KIND, "railcar", length_m, 3.0)
    inner = sampled(solid)[6:-6, 4:-4]
    assert inner.mean(axis=(0, 1)) == pytest.approx([0.3, 0.2, 0.1], rel=0.05)
    again = set_up(np.random.default_rng(seed), one, length_m, lit, Paint())
    assert np.array_equal(sampled(solid), sampled(again))


def test_paint_changes_colours_within_what_paint_can_be() -> None:
    means = []
    for seed in range(60):
        shown = sampled(set_up(np.random.default_rng(seed), cutout(), 14.0))
        assert shown.min() >= 0.015 and shown.max() <= 0.92
        means.append(shown.mean(axis=(0, 1)))
    brightness, hues = np.mean(means, axis=1), np.argmax(means, axis=1)
    assert brightness.std() > 0.02 and len(set(hues.tolist())) > 1
    # green is never the weakest channel of a painted wagon by much: none is purple
    assert all(mean[1] > 0.85 * mean.min() for mean in means)
    assert all(not (mean[1] < 0.8 * mean[0] and mean[1] < 0.8 * mean[2]) for mean in means)


@given(slope_u=st.floats(-0.4, 0.4), slope_v=st.floats(-0.4, 0.4))
def test_a_slope_of_light_is_taken_out(slope_u: float, slope_v: float) -> None:
    v, u = np.mgrid[-1:1:24j, -1:1:112j]
    sloped = (np.array([0.3, 0.2, 0.1]) * np.exp(slope_u * u + slope_v * v)[..., None]).astype(np.float32)
    level = relit(sloped, 1.0)
    assert level.mean() == pytest.approx(sloped.mean(), rel=1e-3)
    assert np.ptp(level, axis=(0, 1)).max() < 1e-3
    assert np.allclose(relit(sloped, 0.0), sloped, rtol=1e-4)


@pytest.mark.parametrize("lit", [-1, 1])
def test_the_lit_side_turns_to_the_sun(lit: int) -> None:
    one = cutout(lit=1)
    v = np.linspace(-1, 1, 24, dtype=np.float32)[:, None, None]
    ridge = replace(one, albedo=one.albedo * np.where(np.abs(v - 0.3) < 0.2, 1.5, 1.0).astype(np.float32))
    for seed in range(8):
        shown = sampled(set_up(np.random.default_rng(seed), ridge, 14.0, lit, Paint())).mean(axis=(1, 2))
        assert (shown[10:15].mean() > shown[5:10].mean()) == (lit > 0)


def test_the_outermost_part_cannot_be_seen() -> None:
    # half a metre of green around a brown wagon: nothing of it may show
    albedo = np.broadcast_to(np.array([0.02, 0.6, 0.02], dtype=np.float32), (24, 112, 3)).copy()
    albedo[2:-2, 2:-2] = (0.3, 0.2, 0.1)
    one = replace(cutout(), albedo=albedo)
    for seed in range(10):
        shown = sampled(set_up(np.random.default_rng(seed), one, 14.0, 0, Paint()))
        assert (shown[..., 1] < shown[..., 0]).all()


def standing(seed: int) -> list[Placement]:
    """Cars of several kinds in a row."""
    rng = np.random.default_rng(seed)
    kinds = ["covered", "tank", "covered", "tarped", "locomotive", "open_empty", "hopper"]
    solids = [draw_vehicle(rng, kind) for kind in kinds]
    return [Placement(solid, 20.0 * i, 0.0, 0.3) for i, solid in enumerate(solids)]


@given(seed=st.integers(0, 10**6), share=st.floats(0.0, 1.0))
@settings(max_examples=25, deadline=None)
def test_only_what_fits_is_replaced_and_stays_in_place(seed: int, share: float) -> None:
    stock = Stock((cutout(12.0), cutout(15.0), cutout(14.0, "tarped_railcar")), share)
    before = standing(seed)
    after = with_cutouts(np.random.default_rng(seed), before, stock, 200.0)
    for old, new in zip(before, after, strict=True):
        assert (new.x_m, new.y_m, new.heading) == (old.x_m, old.y_m, old.heading)
        assert (new.solid.label, new.solid.length_m) == (old.solid.label, old.solid.length_m)
        fits = any(
            one.label == old.solid.label and STRETCH[0] <= old.solid.length_m / one.length_m <= STRETCH[1]
            for one in stock.cutouts
        )
        assert new is old or (fits and new.solid.kind == KIND)
        assert new is old or share > 0
        assert new is not old or not fits or share < 1
    again = with_cutouts(np.random.default_rng(seed), before, stock, 200.0)
    assert [p.solid for p in again] == [p.solid for p in after]


def test_the_share_holds_in_the_mean() -> None:
    stock = Stock((cutout(14.0),), 0.35)
    cars = [Placement(replace(cutout_car(), length_m=13.0 + 0.001 * i), 20.0 * i, 0.0, 0.0) for i in range(600)]
    after = with_cutouts(np.random.default_rng(2), cars, stock, 90.0)
    assert np.mean([p.solid.kind == KIND for p in after]) == pytest.approx(0.35, abs=0.06)


def cutout_car() -> Solid:
    return draw_vehicle(np.random.default_rng(1), "covered")


@pytest.fixture(scope="module")
def stock() -> Stock:
    return Stock(tuple(cutout(length, colour=(0.9, 0.1, 0.1)) for length in (10.0, 13.0, 16.0, 20.0, 26.0)), 1.0)


@pytest.fixture(scope="module")
def real(yard: Yard, profile: Profile, plain: Conditions, stock: Stock) -> Date:
    wanted = Demand(cars=12, tarped=0.0, lots=0.0, compact=False, region=yard.region)
    overhead = replace(plain, sun_elevation_deg=89.5, diffuse=0.9)
    return draw_date(yard, 1, profile, conditions=overhead, wanted=wanted, stock=stock)


def inside(scene: RenderedScene, grow_px: float) -> np.ndarray:
    """Pixels in the truth boxes of cut-outs, each grown on all sides."""
    picture = Image.new("1", scene.grid.size)
    for item in (item for item in scene.truth if item.kind == KIND):
        middle = item.corners_px.mean(axis=0)
        long, short = item.corners_px[0] - item.corners_px[3], item.corners_px[0] - item.corners_px[1]
        grown = sum(
            grow_px * np.sign((item.corners_px - middle) @ side)[:, None] * side / np.hypot(*side)
            for side in (long, short)
        )
        ImageDraw.Draw(picture).polygon([tuple(p) for p in (item.corners_px + grown - 0.5).tolist()], fill=1)
    return np.asarray(picture)


def test_truth_of_cutouts_is_exact(yard: Yard, profile: Profile, real: Date) -> None:
    rng = np.random.default_rng(1)
    replaced = [p for p in real.placements if p.solid.kind == KIND]
    assert len(replaced) >= 8
    red = cutout(colour=(0.9, 0.1, 0.1))
    shown = tuple(replace(p, solid=set_up(rng, red, p.solid.length_m, 0, Paint())) for p in replaced)
    studio = Studio(yard, profile)
    full, bare = (studio.render(replace(real, placements=placed)) for placed in (shown, ()))
    redness = [scene.image[..., 0].astype(int) - scene.image[..., 1] for scene in (full, bare)]
    differs = redness[0] - redness[1] > 25
    assert differs[inside(full, -1.5)].mean() > 0.97
    assert differs[~inside(full, 1.5)].mean() < 0.002


def test_without_cutouts_a_date_is_what_it_was(yard: Yard, profile: Profile, stock: Stock) -> None:
    (plain,), (none,), (real,) = (draw_dates(yard, profile, 1, one) for one in (None, replace(stock, share=0.0), stock))
    assert [p.solid for p in plain.placements] == [p.solid for p in none.placements]
    assert plain.conditions == real.conditions
    assert [(p.x_m, p.y_m, p.solid.label) for p in plain.placements] == [
        (p.x_m, p.y_m, p.solid.label) for p in real.placements
    ]
