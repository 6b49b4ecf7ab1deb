"""Facilities are determined by their seed and hold together."""

import numpy as np
import pytest
from scipy.spatial import cKDTree
from shapely.geometry import LineString, Polygon

from detector.errors import UsageError
from training.synth.profile import Profile, load_profile
from training.synth.tracks import CLEARANCE_M
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
    assert all(line.distance(Polygon(p.corners())) > 1.6 for p in yard.fixed for line in lines)


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
    path = tmp_path / "broken.yaml"  # type: ignore[operator]
    path.write_text(resource("configs", "synth-train.yaml").read_text() + "\nnonsense: 1\n")
    with pytest.raises(UsageError, match="nonsense"):
        load_profile(path)
