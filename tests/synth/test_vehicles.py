"""Laws of the procedural vehicles and of what stands beside the tracks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.config import ClassTable, load_settings
from detector.resources import resource
from training.synth.consist import MAX_GAP_M, Fleet, draw_string
from training.synth.objects import OFF_RAIL, Patch, Solid, draw_coupling
from training.synth.paint import COLOURS, Noise, pick
from training.synth.profile import load_profile
from training.synth.solid import Canvas, Draw
from training.synth.tarps import tarpaulin
from training.synth.traffic import CAR_LABELS, Demand, on_tracks
from training.synth.vehicles import KINDS, LENGTHS_M, REGIONS, WEIGHTS, draw_vehicle
from training.synth.yard import draw_yard

seeds = st.integers(0, 2**32 - 1)
kinds = st.sampled_from(sorted(KINDS))
regions = st.sampled_from(REGIONS)
quick = settings(max_examples=60, deadline=None, derandomize=True)

LENGTH_LIMITS_M = {
    "covered": (12.5, 23.3), "tank": (10.8, 18.2), "open_empty": (10.0, 20.4), "open_loaded": (10.0, 20.4),
    "flat_empty": (12.4, 27.3), "flat_loaded": (12.4, 27.3), "flat_container": (12.4, 27.2), "well": (14.6, 21.7),
    "lumber": (13.2, 22.5), "coil": (10.8, 17.2), "hopper": (9.0, 18.3), "hopper_open": (9.0, 16.3),
    "two_axle": (7.5, 10.5), "autorack": (12.8, 27.5), "passenger": (24.0, 26.4), "tarped": (10.0, 20.0),
    "locomotive": (9.5, 22.3), "odd": (8.0, 26.0),
}  # fmt: skip


def sampled(solid: Solid, step_m: float = 0.1) -> Patch:
    """The surface on a grid that fills the box."""
    u = np.arange(-solid.length_m / 2 + 0.01, solid.length_m / 2, step_m, dtype=np.float32)
    v = np.arange(-solid.width_m / 2 + 0.01, solid.width_m / 2, step_m, dtype=np.float32)
    return solid.surface(*np.meshgrid(u, v))


def assert_sound(solid: Solid) -> None:
    patch = sampled(solid)
    for field in (patch.height_m, patch.albedo, patch.cover):
        assert field.dtype == np.float32
        assert np.isfinite(field).all()
    assert patch.albedo.shape == (*patch.height_m.shape, 3)
    assert patch.cover.shape == patch.height_m.shape
    assert patch.cover.min() >= 0 and patch.cover.max() <= 1
    assert patch.albedo.min() > 0 and patch.albedo.max() < 1
    assert patch.height_m.min() >= 0 and patch.height_m.max() <= np.float32(solid.height_m)
    assert (patch.height_m[patch.cover == 0] == 0).all()


@quick
@given(seeds, kinds, regions)
def test_a_vehicle_is_sound_and_of_true_size(seed: int, kind: str, region: str) -> None:
    solid = draw_vehicle(np.random.default_rng(seed), kind, region)
    assert_sound(solid)
    assert (solid.kind, solid.label) == (kind, KINDS[kind])
    low, high = LENGTH_LIMITS_M[kind]
    assert low <= solid.length_m <= high
    assert 2.4 <= solid.width_m <= 3.3
    assert 1.2 <= solid.height_m <= 6.2


@quick
@given(seeds, kinds, regions)
def test_the_box_encloses_the_body_tightly(seed: int, kind: str, region: str) -> None:
    solid = draw_vehicle(np.random.default_rng(seed), kind, region)
    cover = sampled(solid).cover > 0
    assert cover[:, :2].any() and cover[:, -2:].any()
    assert cover[:3].any() and cover[-3:].any()
    u, v = np.float32(solid.length_m), np.float32(solid.width_m)
    outside = solid.surface(np.array([0.51 * u, 0, -0.51 * u, 0], "f4"), np.array([0, 0.51 * v, 0, -0.51 * v], "f4"))
    assert not outside.cover.any()
    assert not outside.height_m.any()


@quick
@given(seeds, kinds, regions)
def test_equal_generators_give_equal_vehicles(seed: int, kind: str, region: str) -> None:
    first, again = (draw_vehicle(np.random.default_rng(seed), kind, region) for _ in range(2))
    assert first == again
    for patch in (sampled(first), sampled(again)):
        np.testing.assert_array_equal(patch.albedo, sampled(first).albedo)
        np.testing.assert_array_equal(patch.height_m, sampled(first).height_m)


@quick
@given(seeds, kinds)
def test_a_surface_depends_on_the_place_only(seed: int, kind: str) -> None:
    solid = draw_vehicle(np.random.default_rng(seed), kind)
    u, v = np.meshgrid(np.linspace(-5, 5, 31, dtype="f4"), np.linspace(-1.2, 1.2, 9, dtype="f4"))
    grid, flat = solid.surface(u, v), solid.surface(u.ravel(), v.ravel())
    np.testing.assert_array_equal(grid.height_m.ravel(), flat.height_m)
    np.testing.assert_array_equal(grid.albedo.reshape(-1, 3), flat.albedo)


@quick
@given(seeds, seeds, kinds, regions)
def test_vehicles_of_one_series_share_their_size(seed: int, series: int, kind: str, region: str) -> None:
    rng = np.random.default_rng(seed)
    first, second = (draw_vehicle(rng, kind, region, series=series) for _ in range(2))
    assert (first.length_m, first.width_m) == (second.length_m, second.width_m)
    assert not np.array_equal(sampled(first).albedo, sampled(second).albedo)


@quick
@given(seeds, st.floats(0.0, 600.0), regions)
def test_a_string_fits_its_track(seed: int, length_m: float, region: str) -> None:
    solids = draw_string(np.random.default_rng(seed), length_m, region=region)
    assert sum(s.length_m for s in solids) + MAX_GAP_M * max(0, len(solids) - 1) <= length_m
    assert all(s.label == KINDS[s.kind] for s in solids)
    if length_m >= 80:
        assert solids
    shortest = min(low for family in LENGTHS_M.values() for ranges in family.values() for low, _ in ranges)
    if length_m < shortest:
        assert not solids


@quick
@given(seeds, kinds)
def test_a_string_holds_only_the_kinds_asked_for(seed: int, kind: str) -> None:
    solids = draw_string(np.random.default_rng(seed), 200.0, weights={kind: 1.0})
    assert {s.kind for s in solids} == {kind}


@quick
@given(seeds, regions)
def test_a_unit_train_is_of_equal_cars_behind_its_locomotives(seed: int, region: str) -> None:
    rng = np.random.default_rng(seed)
    unit = Fleet.of_unit_train(rng, WEIGHTS[region])
    assert unit is not None
    solids = draw_string(rng, 900.0, region=region, locomotive_share=1.0, unit=unit)
    wagons = [s for s in solids if s.kind != "locomotive"]
    assert 1 <= len(solids) - len(wagons) <= 4
    assert solids[0].kind == "locomotive" or solids[-1].kind == "locomotive"
    assert len(wagons) >= 25
    assert {(s.kind, s.length_m, s.width_m) for s in wagons} == {(unit.kind, wagons[0].length_m, wagons[0].width_m)}


def test_a_fleet_without_freight_has_no_unit_trains() -> None:
    assert Fleet.of_unit_train(np.random.default_rng(0), {"passenger": 1.0, "locomotive": 1.0}) is None


def test_a_date_can_hold_many_equal_cars_and_a_line_of_locomotives() -> None:
    yard = draw_yard(11, load_profile(), style="marshalling", size_m=(260.0, 160.0), heading_deg=0.0)
    wanted = Demand(90, 0.0, 0.0, compact=True, region="north_america", locomotives=0.3, depot=True, unit=True)
    placed = [p.solid for p in on_tracks(np.random.default_rng(4), yard, wanted, (0.6, 1.5))]
    cars = [solid for solid in placed if solid.label in CAR_LABELS]
    sizes = [(solid.kind, solid.length_m, solid.width_m) for solid in cars]
    assert len(cars) <= 90
    assert max(map(sizes.count, set(sizes))) >= 30
    assert sum(solid.kind == "locomotive" for solid in placed) >= 2


@quick
@given(seeds)
def test_cloth_is_uneven_where_a_roof_is_not(seed: int) -> None:
    """Along the crown of a sunlit car, the height of a tarpaulin varies more than that of a roof."""
    rng = np.random.default_rng(seed)
    u = np.linspace(-4, 4, 200, dtype=np.float32)
    canvas = Canvas(u, np.zeros_like(u))
    tarpaulin(Draw.single(rng), 12.0, 2.8, (1.2, 2.0))(canvas)
    roof = draw_vehicle(rng, "covered").surface(u, np.zeros_like(u))
    assert canvas.cover.all()
    assert np.ptp(canvas.z) > np.ptp(roof.height_m)


def test_strings_follow_the_weights_of_their_region() -> None:
    rng = np.random.default_rng(3)
    counts = dict.fromkeys(KINDS, 0)
    for _ in range(250):
        for solid in draw_string(rng, 180.0):
            counts[solid.kind] += 1
    assert {kind for kind, count in counts.items() if count} == {kind for kind, w in WEIGHTS["europe"].items() if w}
    assert counts["covered"] > counts["autorack"]
    assert 0.005 < counts["locomotive"] / sum(counts.values()) < 0.06


@quick
@given(seeds, st.sampled_from(sorted(OFF_RAIL)))
def test_what_stands_beside_the_tracks_is_sound(seed: int, kind: str) -> None:
    solid = OFF_RAIL[kind](np.random.default_rng(seed))
    assert_sound(solid)
    assert solid.kind == kind
    assert solid.length_m >= solid.width_m
    assert sampled(solid).cover.mean() > 0.7
    np.testing.assert_array_equal(sampled(solid).albedo, sampled(OFF_RAIL[kind](np.random.default_rng(seed))).albedo)


def test_a_coupling_fills_its_gap() -> None:
    solid = draw_coupling(np.random.default_rng(0), 1.2)
    assert_sound(solid)
    assert (solid.label, solid.length_m) == (None, 1.2)


def test_labels_are_classes_and_weights_are_kinds() -> None:
    names = set(load_settings(ClassTable, resource("configs", "classes.yaml")).names)
    assert set(KINDS.values()) <= names
    assert set(WEIGHTS) == set(REGIONS)
    for weights in WEIGHTS.values():
        assert set(weights) == set(KINDS) - {"odd"}


def test_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(KeyError):
        draw_vehicle(np.random.default_rng(0), "monorail")


def test_roofs_are_rarely_near_black() -> None:
    rng = np.random.default_rng(5)
    dark = 0
    for _ in range(200):
        patch = sampled(draw_vehicle(rng, "covered"), 0.5)
        dark += patch.albedo[patch.cover > 0].mean() < 0.06
    assert dark < 10


@quick
@given(seeds, st.floats(-500, 500), st.floats(-500, 500))
def test_noise_is_bounded_and_continuous(seed: int, x: float, y: float) -> None:
    noise = Noise.draw(np.random.default_rng(seed))
    at = np.array([x, x + 1e-3], dtype=np.float32)
    values = noise(at, np.array([y, y], dtype=np.float32))
    assert np.abs(values).max() <= 1 + 1e-5
    assert abs(values[1] - values[0]) < 0.01


@quick
@given(seeds)
def test_paint_stays_a_reflectance(seed: int) -> None:
    colour = pick(np.random.default_rng(seed), dict.fromkeys(COLOURS, 1.0), 0.5)
    assert colour.shape == (3,)
    assert colour.min() > 0 and colour.max() < 1
