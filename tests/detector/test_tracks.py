"""Track lines: read with the facility they belong to, kept with the run, and how many vehicles fit on them."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import LineString, MultiLineString, box

from detector.errors import UsageError
from detector.facilities import Facility
from detector.tracks import capacity, kept_tracks, load_tracks, write_tracks

YARD = Facility("yard", "Yard", box(129.0, 40.0, 129.01, 40.01), 1.0)
METRE = 1 / 111_035  # of latitude, in degrees, there


def line(*points: tuple[float, float], facility_id: object = "yard", kind: str = "LineString") -> dict[str, Any]:
    return {
        "type": "Feature",
        "properties": {"facility_id": facility_id},
        "geometry": {"type": kind, "coordinates": list(points)},
    }


def written(folder: Path, *features: dict[str, Any]) -> Path:
    path = folder / "tracks.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)}))
    return path


def north(length_m: float, east: float = 129.005, start: float = 40.001) -> LineString:
    return LineString([(east, start), (east, start + length_m * METRE)])


def test_tracks_are_read_cut_and_kept(tmp_path: Path) -> None:
    inside, across = line((129.001, 40.001), (129.002, 40.001)), line((129.009, 40.002), (129.02, 40.002))
    tracks = load_tracks(written(tmp_path, inside, across, inside), [YARD])
    assert list(tracks) == ["yard"]
    assert tracks["yard"].length == pytest.approx(0.002)  # beyond the polygon nothing counts, drawn twice counts once
    write_tracks(tmp_path / "kept.geojson", tracks)
    assert load_tracks(tmp_path / "kept.geojson", [YARD])["yard"].equals(tracks["yard"])


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ([], "no feature"),
        ([line((129.001, 40.001), (129.002, 40.001), facility_id=None)], "feature 1 has no facility_id"),
        ([line((129.001, 40.001), (129.002, 40.001), facility_id="x")], "(facility_id 'x') belongs to no facility"),
        ([line((130.1, 40.001), (130.2, 40.001))], "feature 1 (facility_id 'yard') lies outside"),
        ([line((500_000, 4_500_000), (500_100, 4_500_000))], "no longitude and latitude"),
        ([line(kind="LineString")], "geometry"),
        (
            [{"type": "Feature", "properties": {"facility_id": "yard"}, "geometry": YARD.geometry.__geo_interface__}],
            "is a Polygon",
        ),
    ],
)
def test_a_track_that_cannot_be_used_is_named(tmp_path: Path, features: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_tracks(written(tmp_path, *features), [YARD])
    assert words in str(caught.value)
    assert caught.value.cure


def test_kept_tracks_that_no_longer_fit_are_left_out_and_named(tmp_path: Path) -> None:
    inside = line((129.001, 40.001), (129.002, 40.001))
    gone, moved = line((129.1, 40.1), (129.2, 40.1), facility_id="gone"), line((1.0, 4.0), (2.0, 4.0), facility_id="m")
    path, elsewhere = written(tmp_path, inside, gone, moved, gone), Facility("m", "m", box(7.0, 4.0, 8.0, 5.0), 1.0)
    tracks, left_out = kept_tracks(path, [YARD, elsewhere])
    assert list(tracks) == ["yard"] and tracks["yard"].length == pytest.approx(0.001)
    assert left_out == ("gone", "m")
    assert kept_tracks(written(tmp_path, inside), [YARD])[1] == ()
    with pytest.raises(UsageError, match="no longitude and latitude"):
        kept_tracks(written(tmp_path, line((500_000, 4_500_000), (500_100, 4_500_000))), [YARD])


def test_a_file_without_facility_ids_or_without_lines_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, {"type": "Feature", "properties": {"id": 1}, "geometry": north(9).__geo_interface__})
    with pytest.raises(UsageError, match="no property `facility_id`"):
        load_tracks(path, [YARD])
    with pytest.raises(UsageError, match="does not exist"):
        load_tracks(tmp_path / "gone.geojson", [YARD])


@pytest.mark.parametrize(("length_m", "most"), [(0.5, 0), (2, 1), (11.9, 1), (12.1, 2), (119, 10), (121, 11)])
def test_a_piece_holds_a_vehicle_more_than_its_length_over_the_pitch(length_m: float, most: int) -> None:
    assert capacity(north(length_m), 12.0) == most


def test_pieces_that_touch_are_one() -> None:
    one = north(119)
    halves = MultiLineString([north(60), north(59, start=40.001 + 60 * METRE)])
    assert capacity(halves, 12.0) == capacity(one, 12.0)
    apart = MultiLineString([north(61), north(58, east=129.006)])
    assert capacity(apart, 12.0) == 6 + 5
    assert capacity(MultiLineString(), 12.0) == 0


@settings(max_examples=50, deadline=None)
@given(lengths=st.lists(st.floats(2, 300), min_size=1, max_size=5), pitch=st.floats(8, 25))
def test_vehicles_a_pitch_apart_always_fit(lengths: list[float], pitch: float) -> None:
    lines = MultiLineString([north(length, east=129.001 + 0.001 * i) for i, length in enumerate(lengths)])
    most = sum(math.floor(0.999 * length / pitch) + 1 for length in lengths)
    assert most <= capacity(lines, pitch) <= sum(length / pitch + 1.01 for length in lengths)
