"""Whole RUN folders and their truth without imagery: rectangles on a yard, seen by a simulated detector."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from shapely.geometry.base import BaseGeometry

from detector.classscores import ClassScores
from detector.config import class_table
from detector.counting.samples import METADATA, Floats
from detector.tally.sightings import find_views
from tests.simulation import Site, World, look_values, scene_values, see

LON, LAT = 27.10, 41.30
WIDTH_DEG, HEIGHT_DEG = 0.010, 0.004
_METRES = np.array([83660.0, 111060.0])  # of a degree of longitude and latitude there
_HALF_CAR = np.array([[7.5, 1.5], [7.5, -1.5], [-7.5, -1.5], [-7.5, 1.5]])
_TRACKS, _SLOTS = 12, 45
SHA = "ab" * 32
NETWORK = b"simulated network"
NETWORK_SHA = hashlib.sha256(NETWORK).hexdigest()


@dataclass(frozen=True)
class Tables:
    """The detections and scenes tables of a run, and the true objects of each scene."""

    detections: gpd.GeoDataFrame
    scenes: gpd.GeoDataFrame
    truth: Mapping[str, gpd.GeoDataFrame]

    def write(self, run: Path, truth: Path) -> None:
        """A RUN folder without counts, and a truth folder."""
        run.mkdir(parents=True, exist_ok=True)
        truth.mkdir(parents=True, exist_ok=True)
        self.detections.to_parquet(run / "detections.parquet")
        self.scenes.to_parquet(run / "scenes.parquet")
        (run / "run.json").write_text(json.dumps({"weights": {"sha256": SHA}}))
        for scene_id, objects in self.truth.items():
            objects.to_file(truth / f"{scene_id.rpartition('-')[0]}.truth.geojson", driver="GeoJSON")


def outline(share: float = 1.0) -> BaseGeometry:
    """The western `share` of the yard."""
    return shapely.box(LON, LAT, LON + share * WIDTH_DEG, LAT + HEIGHT_DEG)


def yard_run(
    numbers: Mapping[date, int],
    rng: np.random.Generator,
    *,
    facility_id: str = "yard",
    seen_share: Mapping[date, float] | None = None,
    class_name: str = "railcar",
    world: World | None = None,
) -> Tables:
    """One scene per date of a yard with that many objects, at random places on its tracks.

    Args:
        numbers: true objects by date.
        rng: random numbers.
        facility_id: of the yard.
        seen_share: by date, the western share that is visible where it is not all.
        class_name: of all objects.
        world: how hard the detector's life is.
    """
    world = world or World()
    site = Site.draw(facility_id, rng, world)
    detections, scenes, truth = [], [], {}
    for day, number in numbers.items():
        visible = outline((seen_share or {}).get(day, 1.0))
        scene_id = f"{facility_id}_{day:%Y%m%d}-0123abcd"
        seen = see(number, site, rng, world)
        places = _places(number, rng)
        spots = np.vstack([places[seen.found], _anywhere(seen.false_scores.size, rng)])
        score = np.r_[seen.true_scores, seen.false_scores]
        acquired = datetime.combine(day, time(9, 30), tzinfo=UTC)
        table = with_class_scores(
            _objects(spots, class_name).assign(
                scene_id=scene_id, facility_id=facility_id, acquired=acquired, score=score, detected=score >= 0.5
            )
        )
        detections.append(inside(table, visible))
        truth[scene_id] = _objects(places, class_name).assign(visible=1.0)
        values = dict(zip(METADATA[:-1], scene_values(seen.quality, rng).tolist(), strict=True))
        values |= asdict(look_values(rng.spawn(1)[0]))
        scenes.append(_scene_row(scene_id, facility_id, acquired, values, visible))
    return Tables(
        gpd.GeoDataFrame(pd.concat(detections, ignore_index=True), crs="EPSG:4326"),
        gpd.GeoDataFrame(scenes, crs="EPSG:4326"),
        truth,
    )


def with_class_scores(table: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Detections of a detector that is sure of the names."""
    names, score = table["class"].to_numpy(dtype=str), table["score"].to_numpy(dtype=float)
    return table.assign(**ClassScores.named(names, score, class_table().names).columns())


def inside(table: gpd.GeoDataFrame, region: BaseGeometry) -> gpd.GeoDataFrame:
    """The rows whose centre lies in the region."""
    centres = shapely.get_coordinates(shapely.centroid(table.geometry.to_numpy()))
    return table[shapely.contains_xy(region, centres)]


def join(runs: Sequence[Tables]) -> Tables:
    """Several yards in one run."""
    return Tables(
        gpd.GeoDataFrame(pd.concat([run.detections for run in runs], ignore_index=True), crs="EPSG:4326"),
        gpd.GeoDataFrame(pd.concat([run.scenes for run in runs], ignore_index=True), crs="EPSG:4326"),
        {key: table for run in runs for key, table in run.truth.items()},
    )


def looks_of(tables: Tables) -> tuple[Floats, list[str]]:
    """What the domain check looks at, a row per scene, and the facility of each."""
    views = find_views(tables.detections, tables.scenes, class_table())
    seen = [(view.looks[0], facility_id) for facility_id, some in views.items() for view in some]
    return np.array([look for look, _ in seen]), [facility_id for _, facility_id in seen]


def _scene_row(
    scene_id: str, facility_id: str, acquired: datetime, values: Mapping[str, float], visible: BaseGeometry
) -> dict[str, object]:
    return {
        "scene_id": scene_id,
        "facility_id": facility_id,
        "acquired": acquired,
        "width": 2000,
        "height": 1100,
        "observed_fraction": visible.area / outline().area,
        "cloud_cover": np.nan,
        "brightness": 0.4,
        "geometry": visible,
        **values,
    }


def _places(number: int, rng: np.random.Generator) -> Floats:
    """(number, 2) centres on distinct slots of the tracks, in degrees."""
    slot = rng.choice(_TRACKS * _SLOTS, size=number, replace=False)
    column, row = slot % _SLOTS, slot // _SLOTS
    return np.column_stack([LON + WIDTH_DEG * (column + 0.5) / _SLOTS, LAT + HEIGHT_DEG * (0.2 + 0.4 * row / _TRACKS)])


def _anywhere(number: int, rng: np.random.Generator) -> Floats:
    return np.array([LON, LAT]) + rng.random((number, 2)) * [WIDTH_DEG, HEIGHT_DEG]


def _objects(centres: Floats, class_name: str) -> gpd.GeoDataFrame:
    corners = centres[:, None, :] + _HALF_CAR / _METRES
    number = len(centres)
    data = {"class": [class_name] * number, "length_m": [15.0] * number, "width_m": [3.0] * number}
    return gpd.GeoDataFrame(data, geometry=list(shapely.polygons(corners)), crs="EPSG:4326")


def write_weights(folder: Path) -> Path:
    """weights/sim.json in `folder`, of a network that nobody can run; its description."""
    weights = folder / "weights"
    weights.mkdir()
    (weights / "sim.onnx").write_bytes(NETWORK)
    spec = {
        "name": "sim",
        "architecture": "none",
        "classes": list(class_table().names),
        "imgsz": 640,
        "gsd_m": 0.3,
        "reg_max": 16,
        "score_floor": 0.05,
        "operating_threshold": {"rail_vehicle": 0.5, "off_rail": 0.5},
        "sha256": {"onnx": NETWORK_SHA},
    }
    (weights / "sim.json").write_text(json.dumps(spec))
    return weights / "sim.json"
