"""What `railcars scenes` prints: one row per input file, with the verdict."""

from collections.abc import Mapping, Sequence

import pandas as pd
from rasterio.errors import RasterioError
from shapely import unary_union

from detector.detection.planning import NO_DATA, why_not_shown
from detector.facilities import Facility, facility_in_scene
from detector.inputs.acquisition import date_in_name
from detector.raster import SceneReader
from detector.scene import Scene, Survey

COLUMNS = (
    "file",
    "date",
    "date_source",
    "sensor",
    "width",
    "height",
    "bands",
    "n_bands",
    "dtype",
    "gsd_m",
    "crs",
    "covered",
    "usable",
    "verdict",
)


def scene_table(survey: Survey, facilities: Sequence[Facility] = ()) -> pd.DataFrame:
    """One row per file of a survey: usable scenes by time, then the rejected files.

    Columns: `file` (path as text), `date` (UTC), `date_source`, `sensor`, `width`, `height` (of the
    file), `bands` (used, one-based, "3,2,1"), `n_bands`, `dtype`, `gsd_m`, `crs` (short name), `covered`
    (dict: share of each facility that the file's scene shows with data, facilities not shown left out),
    `usable` (bool), `verdict` ("ok", "ok, but ...", or reason and cure). Unknown cells are None.
    """
    rows = [row for scene in survey.scenes for row in _scene_rows(scene, facilities)]
    for entry in survey.rejected:
        empty = dict.fromkeys(COLUMNS)
        verdict = f"{entry.reason}. {entry.cure}"
        rows.append({**empty, "file": str(entry.path), "covered": {}, "usable": False, "verdict": verdict})
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(object)


def covered_shares(scene: Scene, facilities: Sequence[Facility]) -> dict[str, float]:
    """Share of each facility that the scene shows with data, by `facility_id`; without those not shown."""
    outlines = {facility.facility_id: facility_in_scene(scene, facility) for facility in facilities}
    outlines = {key: outline for key, outline in outlines.items() if not outline.is_empty}
    if not outlines:
        return {}
    with SceneReader(scene) as reader:
        valid = reader.valid_geometry(unary_union(list(outlines.values())))
    shares = {key: outline.intersection(valid).area / outline.area for key, outline in outlines.items()}
    return {key: share for key, share in shares.items() if share > 0}


def _scene_rows(scene: Scene, facilities: Sequence[Facility]) -> list[dict[str, object]]:
    notes = [*_date_notes(scene)]
    try:
        covered = covered_shares(scene, facilities)
    except (RasterioError, OSError) as error:
        covered = {}
        notes.append(f"its pixels cannot all be read ({error.__cause__ or error})")
    else:
        notes += _cover_notes(scene, facilities, covered)
    masks = sorted({mask.path.name for mask in scene.masks if mask is not None})
    verdict = "ok" + (f", clouds by {', '.join(masks)}" if masks else "") + "".join(f", but {note}" for note in notes)
    pieces = len(scene.paths)
    rows = []
    for number, (path, (width, height)) in enumerate(zip(scene.paths, scene.sizes_px, strict=True), start=1):
        part = f" (piece {number} of {pieces} of one scene)" if pieces > 1 else ""
        rows.append(
            {
                "file": str(path),
                "date": scene.acquired,
                "date_source": scene.acquired_source,
                "sensor": scene.sensor,
                "width": width,
                "height": height,
                "bands": ",".join(map(str, scene.bands)),
                "n_bands": scene.n_bands,
                "dtype": scene.dtype,
                "gsd_m": scene.gsd_m,
                "crs": _crs_name(scene),
                "covered": covered,
                "usable": True,
                "verdict": verdict + part,
            }
        )
    return rows


def _cover_notes(scene: Scene, facilities: Sequence[Facility], covered: Mapping[str, float]) -> list[str]:
    """Why the scene shows none of the facilities, as a run would say it; nothing where it shows one."""
    if covered or not facilities:
        return []
    if any(facility_in_scene(scene, facility).area > 0 for facility in facilities):
        return [f"it {NO_DATA}"]
    return [why_not_shown(scene, facilities)[0]]


def _crs_name(scene: Scene) -> str | None:
    if scene.crs is None:
        return None
    authority = scene.crs.to_authority(confidence_threshold=70)
    return ":".join(authority) if authority else scene.crs.to_wkt().split('"')[1]


def _date_notes(scene: Scene) -> list[str]:
    """A note where a date from a tag is not the one in the name: tags may hold when the file was written."""
    named = date_in_name(scene.paths[0], scene.acquired, scene.acquired_source)
    if named is None:
        return []
    return [f"its name says {named} and its tag {scene.acquired.date()} (state it in a manifest)"]
