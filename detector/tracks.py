"""The tracks of the facilities: where the hidden part of a yard may hold cars, and how many at most."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import shapely
from shapely.geometry import LineString, MultiLineString
from shapely.geometry.base import BaseGeometry

from detector.errors import UsageError
from detector.facilities import Facility
from detector.pixels.georef import GEOD
from detector.store import write_text
from detector.vectorfile import as_text, check_on_earth, read_features

TRACKS = "tracks.geojson"
"""In the RUN folder: the track lines that were used."""
Tracks = Mapping[str, BaseGeometry]
"""By `facility_id`: its track lines within its polygon, EPSG:4326."""
_SLIVER_M = 1.0


def load_tracks(path: Path, facilities: Sequence[Facility]) -> dict[str, BaseGeometry]:
    """Read track lines (GeoJSON, GeoPackage or another vector format, any CRS), one or more features a facility.

    Each feature is a LineString or MultiLineString with the `facility_id` that it belongs to. What of it lies outside
    of the facility's polygon is left out, as it is in counting; lines drawn twice count once.

    Raises:
        UsageError: the file cannot be read, or a feature cannot be used; the message names the feature.
    """
    known = {facility.facility_id: facility for facility in facilities}
    lines: dict[str, list[BaseGeometry]] = {}
    for label, facility_id, geometry in _features(path):
        if facility_id not in known:
            raise UsageError(
                f"{label} belongs to no facility of the run.",
                f"Correct it, or remove the feature; known are {', '.join(sorted(known))}.",
            )
        inside = _only_lines(geometry.intersection(known[facility_id].geometry))
        if inside.length == 0:
            raise UsageError(
                f"{label} lies outside of its facility's polygon.", "Correct its facility_id or its place."
            )
        lines.setdefault(facility_id, []).append(inside)
    return _joined(lines)


def kept_tracks(path: Path, facilities: Sequence[Facility]) -> tuple[dict[str, BaseGeometry], tuple[str, ...]]:
    """Read the track lines that an earlier call kept, when the facilities may have been others.

    Returns:
        The lines within the facilities, as `load_tracks` gives them, and the `facility_id` of those of which nothing
        lies in a facility of that name: it is gone, or it moved.

    Raises:
        UsageError: the file cannot be read, or a feature is no line; the message names the feature.
    """
    known = {facility.facility_id: facility for facility in facilities}
    lines: dict[str, list[BaseGeometry]] = {}
    left_out: list[str] = []
    for _, facility_id, geometry in _features(path):
        facility = known.get(facility_id)
        inside = _only_lines(geometry.intersection(facility.geometry)) if facility else LineString()
        if inside.length > 0:
            lines.setdefault(facility_id, []).append(inside)
        else:
            left_out.append(facility_id)
    return _joined(lines), tuple(sorted(set(left_out)))


def write_tracks(path: Path, tracks: Tracks) -> None:
    """Write the track lines as GeoJSON, as they were understood: one feature a facility."""
    features = [
        {"type": "Feature", "properties": {"facility_id": name}, "geometry": shapely.geometry.mapping(lines)}
        for name, lines in tracks.items()
    ]
    write_text(path, json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False) + "\n")


def capacity(lines: BaseGeometry, pitch_m: float) -> int:
    """The most vehicles whose centres can lie on these lines `pitch_m` apart: floor(length / pitch) + 1 a piece.

    Pieces below a metre are slivers and hold none.
    """
    pieces = shapely.get_parts(shapely.line_merge(_only_lines(lines)))
    lengths = [float(GEOD.geometry_length(piece)) for piece in pieces]
    return sum(math.floor(length / pitch_m) + 1 for length in lengths if length >= _SLIVER_M)


def _features(path: Path) -> Iterator[tuple[str, str, BaseGeometry]]:
    """Each track line of a file: what messages call it, its `facility_id`, and its geometry on the Earth."""
    columns, geometries = read_features(path, "tracks", "track lines")
    for number, (value, geometry) in enumerate(zip(columns["facility_id"], geometries, strict=True), start=1):
        facility_id = as_text(value)
        label = f"{path}: feature {number}" + (f" (facility_id {facility_id!r})" if facility_id else "")
        if not facility_id:
            raise UsageError(f"{label} has no facility_id.", "Give it that of the facility whose track it is.")
        _check_line(label, geometry)
        yield label, facility_id, geometry


def _joined(lines: Mapping[str, Sequence[BaseGeometry]]) -> dict[str, BaseGeometry]:
    """The lines of each facility as one, in order of `facility_id`; those drawn twice count once."""
    return {facility_id: shapely.union_all(parts) for facility_id, parts in sorted(lines.items())}


def _only_lines(geometry: BaseGeometry) -> BaseGeometry:
    """The linear part of a geometry, without the points that an intersection can leave."""
    parts = shapely.get_parts(geometry)
    return MultiLineString([part for part in parts if isinstance(part, LineString) and part.length > 0])


def _check_line(label: str, geometry: BaseGeometry | None) -> None:
    """Raise UsageError unless the geometry is a line on the Earth."""
    if geometry is None or geometry.is_empty:
        raise UsageError(f"{label} has an empty geometry.", "Draw its line, or remove the feature.")
    if not isinstance(geometry, LineString | MultiLineString):
        raise UsageError(f"{label} is a {geometry.geom_type}.", "Draw the track as a line along its middle.")
    check_on_earth(label, geometry)
