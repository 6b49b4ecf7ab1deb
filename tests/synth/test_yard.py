"""Facilities are determined by their seed and hold together."""

import numpy as np
import pytest
from scipy.spatial import cKDTree
from shapely.geometry import LineString, Polygon

from detector.errors import UsageError
from training.synth import furniture
from training.synth.bands import BANDS, SURROUNDINGS
from training.synth.compose import PAINTED
from training.synth.plan import Plan
from training.synth.profile import Profile, load_profile
from training.synth.tracks import CLEARANCE_M, Axis
from training.synth.yard import RAILLESS, Yard, draw_yard


def test_a_seed_gives_one_yard(profile: Profile) -> None:
    one, two, other = draw_yard(7, profile), draw_yard(7, profile), draw_yard(8, profile)
    assert one.facility_id == two.facility_id != other.facility_id
    assert one.utm_m == two.utm_m
    assert len(one.tracks) == len(two.tracks)
    assert all(np.array_equal(a.points, b.points) for a, b in zip(one.tracks, two.tracks, strict=True))
    assert [p.corners().tolist() for p in one.fixed] == [p.corners().tolist() for p in two.fixed]


@pytest.mark.parametrize("seed", range(6))
def test_cars_on_free_stretches_do_not_touch(profile: Profile, seed: int) -> None:
    yard = draw_yard(seed, profile, style="marshalling")
    stretches = [track.at(np.arange(low, high, 1.0)) for track in yard.tracks for low, high in track.free]
    assert stretches, "a marshalling yard has room for cars"
    owner = np.concatenate([np.full(len(points), i) for i, points in enumerate(stretches)])
    points = np.concatenate(stretches)
    pairs = cKDTree(points).query_pairs(CLEARANCE_M - 0.3, output_type="ndarray")
    near = pairs[owner[pairs[:, 0]] != owner[pairs[:, 1]]]
    # ends of neighbouring stretches of one track may come close; different tracks may not
    track_of = np.repeat([i for i, t in enumerate(yard.tracks) for _ in t.free], [len(p) for p in stretches])
    assert (track_of[near[:, 0]] == track_of[near[:, 1]]).all()


@pytest.mark.parametrize("seed", range(4))
def test_nothing_stands_in_the_way_of_trains(profile: Profile, seed: int) -> None:
    yard = draw_yard(seed, profile, style="station")
    lines = [LineString(track.points) for track in yard.tracks]
    standing = [p for p in yard.fixed if p.solid.kind != "bridge"]
    assert all(line.distance(Polygon(p.corners())) > 1.6 for p in standing for line in lines)


def test_railless_styles_have_no_tracks(profile: Profile) -> None:
    assert all(not draw_yard(3, profile, style=style).tracks for style in RAILLESS)


def test_every_style_can_be_drawn(profile: Profile) -> None:
    for style in profile.yard.styles:
        yard = draw_yard(1, profile, style=style)
        assert yard.style == style
        assert yard.outline.is_valid
        assert yard.areas


def test_the_outline_lies_inside_the_scene(yard: Yard) -> None:
    west, south, east, north = yard.outline.bounds
    assert west >= -yard.size_m[0] / 2
    assert east <= yard.size_m[0] / 2
    assert south >= -yard.size_m[1] / 2
    assert north <= yard.size_m[1] / 2


def test_profiles_differ_and_reject_unknown_keys(profile: Profile, tmp_path: pytest.TempPathFactory) -> None:
    from detector.resources import resource  # noqa: PLC0415

    heldout = load_profile(resource("configs", "synth-heldout.yaml"))
    assert heldout.name != profile.name
    shared = {"heading_deg", "jpeg", "geographic", "rotated", "cut", "snow", "cloud"}
    for section in ("yard", "ground", "light", "sensor"):
        ours, theirs = getattr(profile, section).model_dump(), getattr(heldout, section).model_dump()
        assert not {key for key in ours if ours[key] == theirs[key]} - shared
    path = tmp_path / "broken.yaml"  # type: ignore[operator]
    path.write_text(resource("configs", "synth-train.yaml").read_text() + "\nnonsense: 1\n")
    with pytest.raises(UsageError, match="nonsense"):
        load_profile(path)


THINGS = {
    "stack": lambda rng: furniture.stack(rng, rng.uniform(6, 26)),
    "panels": lambda rng: furniture.panels(rng, rng.uniform(15, 70), rng.uniform(7, 32)),
    "greenhouse": lambda rng: furniture.greenhouse(rng, rng.uniform(15, 60), rng.uniform(6, 10)),
    "barge": lambda rng: furniture.barge(rng, rng.uniform(5, 70), rng.uniform(2, 6.5)),
    "bus": furniture.bus,
    "tree_row": lambda rng: furniture.tree_row(
        rng, rng.uniform(25, 110), rng.uniform(0.4, 6), rng.uniform(0.7, 4.5), 0.5
    ),
    "bridge": lambda rng: furniture.bridge(rng, rng.uniform(45, 200), rng.uniform(2.5, 20), rng.uniform(5.6, 8.5)),
}


@pytest.mark.parametrize("kind", THINGS)
def test_things_keep_to_their_height_and_carry_no_label(kind: str) -> None:
    for seed in range(8):
        solid = THINGS[kind](np.random.default_rng(seed))
        u, v = np.meshgrid(np.linspace(-0.5, 0.5, 90), np.linspace(-0.5, 0.5, 40))
        patch = solid.surface((u * solid.length_m).astype(np.float32), (v * solid.width_m).astype(np.float32))
        assert (solid.kind, solid.label) == (kind, None)
        assert patch.height_m.min() >= 0
        assert patch.height_m.max() <= solid.height_m + 1e-3
        assert (patch.height_m[patch.cover == 0] == 0).all()
        assert 0 < patch.albedo.min() <= patch.albedo.max() <= 1
        assert patch.albedo.dtype == patch.height_m.dtype == patch.cover.dtype == np.float32


def test_every_band_can_be_built_beside_tracks(profile: Profile) -> None:
    for kind, (builder, widths) in BANDS.items():
        axis = Axis.draw(np.random.default_rng(1), 0.3, 90.0, 300.0)
        plan = Plan(np.random.default_rng(2), profile, axis, 60.0, 0.5, bare=False)
        builder(plan, 10.0, 10.0 + widths[1])
        assert plan.areas or plan.fixed, kind
        assert {area.kind for area in plan.areas} <= PAINTED, kind
        assert {spot.use for spot in plan.spots} <= {"box", "lorry", "car", "traffic", "haul"}


def test_surroundings_name_bands() -> None:
    assert all(kinds.keys() <= BANDS.keys() for kinds in SURROUNDINGS.values())


def test_a_fifth_of_the_training_facilities_has_no_tracks(profile: Profile) -> None:
    styles = profile.yard.styles
    share = sum(weight for style, weight in styles.items() if style in RAILLESS) / sum(styles.values())
    assert 0.15 <= share <= 0.25
