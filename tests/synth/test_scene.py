"""Scenes: determinism, truth that matches the pixels, prescribed counts."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from shapely import contains_xy
from shapely.geometry import Polygon

from detector.config import class_table
from detector.detection.sun import sun_elevation_deg
from detector.errors import UsageError
from training.synth import furniture
from training.synth.grid import lay_grid
from training.synth.profile import Profile
from training.synth.scene import Conditions, Date, RenderedScene, Studio, draw_date
from training.synth.series import DatePlan, plan_date
from training.synth.traffic import CAR_LABELS, Demand
from training.synth.yard import Yard, draw_yard


def box_mask(scene: RenderedScene, shrink: float = 1.0) -> np.ndarray:
    """Pixels inside the truth boxes."""
    picture = Image.new("1", scene.grid.size)
    for item in scene.truth:
        middle = item.corners_px.mean(axis=0)
        corners = middle + (item.corners_px - middle) * shrink - 0.5
        ImageDraw.Draw(picture).polygon([tuple(corner) for corner in corners.tolist()], fill=1)
    return np.asarray(picture)


def test_equal_arguments_give_equal_pixels(yard: Yard, profile: Profile, date: Date, scene: RenderedScene) -> None:
    again = Studio(yard, profile).render(draw_date_again(yard, profile, date))
    assert np.array_equal(scene.image, again.image)
    assert [t.label for t in scene.truth] == [t.label for t in again.truth]
    other = Studio(yard, profile).render(replace(date, seed=99, conditions=noisy(date.conditions)))
    assert not np.array_equal(scene.image, other.image)


def draw_date_again(yard: Yard, profile: Profile, date: Date) -> Date:
    wanted = Demand(cars=12, tarped=0.3, lots=0.5, compact=False, region=yard.region)
    return draw_date(yard, date.seed, profile, conditions=date.conditions, wanted=wanted)


def noisy(conditions: Conditions) -> Conditions:
    return replace(conditions, sensor=replace(conditions.sensor, noise=0.02))


def test_truth_boxes_hold_what_was_painted(
    yard: Yard, profile: Profile, date: Date, scene: RenderedScene, plain: Conditions
) -> None:
    # under a sun in the zenith nothing outside the boxes changes but couplings and unlabelled vehicles
    overhead = replace(plain, sun_elevation_deg=89.5, diffuse=0.9)
    labelled = tuple(p for p in date.placements if p.solid.label is not None)
    studio = Studio(yard, profile)
    full = studio.render(Date(1, overhead, labelled))
    bare = studio.render(Date(1, overhead, ()))
    assert full.image.shape == bare.image.shape
    change = full.image.astype(int) - bare.image.astype(int)
    # the exposure follows the cars: what the ground gains as a whole is no change of its own
    change = np.abs(change - np.median(change, axis=(0, 1))).max(axis=2)
    inside, core = box_mask(full, 1.25), box_mask(full, 0.8)
    assert core.sum() > 300
    assert np.median(change[core]) > 8
    for item in full.truth:
        if item.visible < 1 or item.kind == "flat_empty":
            continue
        x, y = item.corners_px.mean(axis=0).astype(int)
        assert change[max(y - 4, 0) : y + 5, max(x - 4, 0) : x + 5].max() > 3
    assert np.median(change[~inside]) <= 3


def test_truth_is_exact_whatever_the_grid(yard: Yard, profile: Profile, date: Date) -> None:
    views = [
        replace(date.conditions, gsd_m=gsd, epsg=epsg or yard.epsg, rotation_deg=turn)
        for gsd, epsg, turn in ((0.3, 0, 0.0), (0.5, 4326, 0.0), (0.35, 0, 30.0), (0.3, 3857, 0.0), (0.3, 3035, 0.0))
    ]
    placements = {tuple(np.round((p.x_m, p.y_m), 3)): p for p in date.placements if p.solid.label}
    studio = Studio(yard, profile)
    for conditions in views:
        scene = studio.render(replace(date, conditions=conditions))
        assert scene.truth
        reference = lay_grid(yard, gsd_m=0.3, epsg=4326, rotation_deg=0.0, cell_m=profile.cell_m)
        corners = np.concatenate([p.corners() for p in placements.values()])
        expected = reference.to_geographic(reference.to_px(corners)).reshape(-1, 4, 2)
        metres = np.array([111320 * np.cos(np.radians(expected[0, 0, 1])), 110570])
        for item in scene.truth:
            found = scene.grid.to_geographic(item.corners_px)
            gap = np.abs((expected - found) * metres).max(axis=(1, 2)).min()
            assert gap < 0.1, "metres between the truth and the object's place"


def test_truth_has_the_contract_classes_and_true_sizes(scene: RenderedScene) -> None:
    names = set(class_table().names)
    for item in scene.truth:
        assert item.label in names
        assert 0 < item.visible <= 1
        edges = np.hypot(*(item.corners_px - np.roll(item.corners_px, -1, axis=0)).T) * scene.grid.gsd_m[0]
        assert sorted(edges[:2]) == pytest.approx([item.width_m, item.length_m], abs=0.01)


def test_lean_shifts_truth_towards_the_roof(yard: Yard, profile: Profile, date: Date, plain: Conditions) -> None:
    upright = Studio(yard, profile).render(date)
    leaning = replace(plain, off_nadir_deg=20.0, view_azimuth_deg=90.0)
    tilted = Studio(yard, profile).render(replace(date, conditions=leaning))
    shifts = []
    for item in tilted.truth:
        size = pytest.approx((item.length_m, item.width_m), abs=1e-4)
        same = [t for t in upright.truth if t.kind == item.kind and (t.length_m, t.width_m) == size]
        # The cars of a unit train are all alike, but stand farther apart than anything leans.
        away = [(item.corners_px - t.corners_px).mean(axis=0) for t in same]
        shifts += sorted(away, key=np.linalg.norm)[:1]
    middle = np.median(shifts, axis=0) * 0.3
    assert 0.2 < middle[0] < 1.2
    assert abs(middle[1]) < 0.1


def test_footprint_and_clouds_lower_what_is_visible(
    yard: Yard, profile: Profile, date: Date, scene: RenderedScene, plain: Conditions
) -> None:
    studio = Studio(yard, profile)
    cut = studio.render(replace(date, conditions=replace(plain, cut=0.5)))
    assert cut.valid.mean() == pytest.approx(0.5, abs=0.03)
    assert not cut.image[~cut.valid].any()
    assert sum(t.visible for t in cut.truth) < sum(t.visible for t in scene.truth)
    for item in cut.truth:
        x, y = item.corners_px.mean(axis=0).astype(int)
        if item.visible == 1:
            assert cut.valid[y, x]
    cloudy = studio.render(replace(date, conditions=replace(plain, cloud=0.5)))
    assert sum(t.visible for t in cloudy.truth) < sum(t.visible for t in scene.truth)


def test_near_black_shadow_of_something_higher_counts_half(
    yard: Yard, profile: Profile, date: Date, plain: Conditions
) -> None:
    # the sun stands beyond the wall; the wall is higher than the cars
    black = replace(plain, sun_elevation_deg=20.0, diffuse=0.02, sun_azimuth_deg=0.0)
    inside = (p for p in date.placements if p.solid.label is not None and abs(p.x_m) < 25 and abs(p.y_m) < 15)
    cars = (replace(next(inside), x_m=0.0, y_m=-10.0, heading=0.0),)
    wall = replace(
        cars[0], y_m=cars[0].y_m + 8.0, heading=0.0, solid=furniture.box(
            np.random.default_rng(0), "wall", (60.0, 3.0, 12.0), furniture.WALLS
        ),
    )  # fmt: skip
    studio = Studio(replace(yard, tracks=(), fixed=(), overhead=()), profile)
    free, dark, bright = (
        studio.render(Date(1, conditions, placements)).truth[0]
        for conditions, placements in (
            (black, cars), (black, (*cars, wall)), (replace(black, diffuse=0.3), (*cars, wall)),
        )
    )  # fmt: skip
    assert free.visible == bright.visible == 1
    assert dark.visible == pytest.approx(0.5, abs=0.1)
    assert np.array_equal(free.corners_px, dark.corners_px)


def test_bridges_hide_what_stands_below(yard: Yard, profile: Profile, date: Date, plain: Conditions) -> None:
    car = next(p for p in date.placements if p.solid.label is not None and abs(p.x_m) < 25 and abs(p.y_m) < 20)
    deck = furniture.bridge(np.random.default_rng(0), 100.0, 40.0, 7.0)
    spanned = replace(yard, fixed=(replace(car, solid=deck),), overhead=())
    assert not Studio(spanned, profile).render(Date(1, plain, (car,))).truth
    assert len(Studio(replace(spanned, fixed=()), profile).render(Date(1, plain, (car,))).truth) == 1


def test_at_most_the_wanted_cars_stand_and_none_overlap(yard: Yard, profile: Profile) -> None:
    for seed in range(3):
        for cars in (0, 1, 9, 200):
            wanted = Demand(cars, -1.0, 0.8, bool(seed % 2), yard.region)
            date = draw_date(yard, seed, profile, wanted=wanted)
            labels = Counter(p.solid.label for p in date.placements)
            assert sum(labels[name] for name in CAR_LABELS) <= cars
            if cars <= 9:
                assert sum(labels[name] for name in CAR_LABELS) == cars
            shapes = [Polygon(p.corners()).buffer(-0.05) for p in date.placements if p.solid.label]
            assert not any(a.intersects(b) for i, a in enumerate(shapes) for b in shapes[:i])


def test_a_plan_is_kept_to_the_car(profile: Profile) -> None:
    yard = draw_yard(2, profile, style="marshalling", size_m=(300.0, 120.0), heading_deg=2.0)
    when = datetime(2023, 10, 5, 12, 0, tzinfo=UTC) - timedelta(hours=yard.place.x / 15)
    date = plan_date(yard, DatePlan(when, cars=30, tarped=0.6), profile)
    cars = [p for p in date.placements if p.solid.label in CAR_LABELS]
    assert len(cars) == 30
    assert all(contains_xy(yard.outline, p.x_m, p.y_m) for p in cars)
    assert 8 <= sum(p.solid.label == "tarped_railcar" for p in cars) <= 28
    with pytest.raises(UsageError, match="no room for 500"):
        plan_date(replace(yard, tracks=yard.tracks[:1]), DatePlan(when, cars=500), profile)


def test_a_plan_by_night_is_refused(profile: Profile) -> None:
    yard = draw_yard(2, profile, style="marshalling", size_m=(300.0, 120.0), heading_deg=2.0)
    noon = datetime(2023, 10, 5, 12, 0, tzinfo=UTC) - timedelta(hours=yard.place.x / 15)
    assert plan_date(yard, DatePlan(noon, cars=3), profile).conditions.sun_elevation_deg == sun_elevation_deg(
        noon, yard.place
    )
    with pytest.raises(UsageError, match="the sun stands at -"):
        plan_date(yard, DatePlan(noon + timedelta(hours=12), cars=3), profile)


@pytest.mark.integration
def test_real_pictures_may_lie_below(yard: Yard, profile: Profile, date: Date, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(3):
        Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(tmp_path / f"{i}.jpg")
    always = profile.model_copy(update={"ground": profile.ground.model_copy(update={"backgrounds": 1.0})})
    plain = Studio(yard, always).render(date)
    pictured = Studio(yard, always, tmp_path).render(date)
    assert (plain.image != pictured.image).any()
    assert {t.label for t in plain.truth} >= {t.label for t in pictured.truth}
