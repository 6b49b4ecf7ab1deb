"""What has to be looked at: the facilities in each scene, its tiles, and the content keys of both."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from detector.config import ClassTable, DetectConfig
from detector.detection.tables import part_name
from detector.errors import UsageError
from detector.facilities import Facility, facility_in_scene
from detector.pixels.modelgrid import ModelGrid
from detector.scenes import Rejection, Scene
from detector.store import content_key
from detector.tiling import Tile, TileGrid
from detector.weights import Judged, Weights

TILE_VERSION = 7
"""Raise it when the same tile would give another result: what ledgers hold is then computed again."""
PART_VERSION = 9
"""Raise it when the same tiles would give other rows."""
NO_DATA = "has no valid pixel inside any facility"


@dataclass(frozen=True)
class Plan:
    """One scene that shows something of at least one facility.

    Attributes:
        scene: the scene.
        facilities: the facilities that it shows, each with all of its outline in scene pixels.
        part: name of the part of the run that holds its rows.
    """

    scene: Scene
    facilities: tuple[tuple[Facility, BaseGeometry], ...]
    part: str


@dataclass(frozen=True)
class Planner:
    """Turns scenes into plans and plans into tiles, for one set of weights and settings.

    Raises:
        UsageError: the settings ask for tiles of another size than the weights take.
    """

    weights: Weights
    config: DetectConfig
    table: ClassTable

    def __post_init__(self) -> None:
        """Check that settings and weights fit."""
        if self.config.tile_px != self.weights.spec.imgsz:
            raise UsageError(
                f"tile_px is {self.config.tile_px}, but {self.weights.spec.name} takes tiles of "
                f"{self.weights.spec.imgsz} px.",
                f"Set tile_px: {self.weights.spec.imgsz}.",
            )

    @property
    def grid(self) -> TileGrid:
        """The tile grid of every scene."""
        return TileGrid(self.config.tile_px, self.config.overlap_px)

    def plan(self, scenes: Sequence[Scene], facilities: Sequence[Facility]) -> tuple[list[Plan], list[Rejection]]:
        """Plans in order of acquisition, and the scenes that show no facility or come twice."""
        plans: dict[str, Plan] = {}
        rejected: list[Rejection] = []
        ordered = sorted(facilities, key=lambda facility: facility.facility_id)
        for scene in sorted(scenes, key=lambda scene: (scene.acquired, scene.scene_id)):
            shown = [(f, area) for f in ordered if (area := facility_in_scene(scene, f)).area > 0]
            if not shown:
                rejected += _reject(scene, *why_not_shown(scene, ordered))
                continue
            part = part_name(scene.scene_id, self._part_key(scene, [f for f, _ in shown]))
            if part in plans:
                twin = plans[part].scene.paths[0]
                rejected += _reject(scene, f"is the same image as {twin}", "Nothing: it is counted once.")
                continue
            plans[part] = Plan(scene, tuple(shown), part)
        return list(plans.values()), rejected

    def tiles(self, plan: Plan, valid: BaseGeometry | None = None) -> list[Tile]:
        """The tiles to look at; only those with data where `valid` says where (in scene pixels)."""
        scene, gsd_m = plan.scene, self.weights.spec.gsd_m
        margin_px = self.config.margin_m / gsd_m
        wanted = [to_model(scene, area, gsd_m).buffer(margin_px) for _, area in plan.facilities]
        shape = ModelGrid.of(scene, gsd_m).shape(scene)
        return self.grid.tiles_over(shape, wanted, None if valid is None else to_model(scene, valid, gsd_m))

    def reach(self, plan: Plan) -> BaseGeometry:
        """Rectangles, in scene pixels, that hold the plan's facilities and the cars that stand over their edges."""
        margin_px = 2 * self.config.margin_m / min(plan.scene.gsd_x_m, plan.scene.gsd_y_m)
        bounds = np.array([area.bounds for _, area in plan.facilities])
        frames = shapely.box(*(bounds + margin_px * np.array([-1, -1, 1, 1])).T)
        return shapely.multipolygons(shapely.envelope(shapely.get_parts(shapely.union_all(frames))))

    def tile_key(self, scene: Scene, tile: Tile) -> str:
        """Content key of a tile's result, which follows from pixels, window, weights and settings."""
        return content_key(
            "tile",
            TILE_VERSION,
            [
                scene.sha256,
                scene.offsets_px,
                scene.bands,
                scene.gsd_x_m,
                scene.gsd_y_m,
                scene.width,
                scene.height,
            ],
            [tile.window_px, tile.core_px],
            self._settings,
        )

    def judged(self, scores: NDArray[np.float32]) -> Judged:
        """What boxes with class probabilities (N, C) are taken for."""
        return self.weights.spec.judged(scores, self.table)

    def named(self, scores: NDArray[np.floating]) -> NDArray[np.int64]:
        """(N,) index of the class that boxes with scores (N, C) are called."""
        return self.weights.spec.named(scores, self.table)

    @cached_property
    def family_of(self) -> NDArray[np.int64]:
        """(C,) the merge family of each class."""
        return np.array(self.weights.spec.families(self.table), dtype=np.int64)

    @property
    def families(self) -> range:
        """The numbers of the merge families."""
        return range(len(self.table.families))

    @cached_property
    def _settings(self) -> list[Any]:
        """What besides its pixels and its place a tile's result follows from."""
        spec = self.weights.spec
        return [[self.weights.digest, spec.score_floor], [self.config.digest(), self.table.digest()]]

    def _part_key(self, scene: Scene, shown: Sequence[Facility]) -> str:
        crs = None if scene.crs is None else scene.crs.to_wkt()
        return content_key(
            "part",
            PART_VERSION,
            [scene.scene_id, scene.sha256, scene.offsets_px, scene.bands, scene.width, scene.height],
            [scene.gsd_x_m, scene.gsd_y_m, crs, list(scene.transform)],
            [scene.acquired.isoformat(), scene.acquired_source, scene.sensor, scene.cloud_cover, scene.off_nadir_deg],
            [(f.facility_id, f.geometry.wkb_hex) for f in shown],
            [self.weights.spec.digest(), self.config.digest(), self.table.digest()],
        )


def to_model(scene: Scene, geometry: BaseGeometry, gsd_m: float) -> BaseGeometry:
    """A geometry in scene pixels, in model pixels."""
    scales = ModelGrid.of(scene, gsd_m).scales
    return shapely.transform(geometry, lambda points: points / scales)


def why_not_shown(scene: Scene, facilities: Sequence[Facility]) -> tuple[str, str]:
    """Reason and cure of a scene that shows none of the facilities."""
    if scene.crs is None:
        known = ", ".join(facility.facility_id for facility in facilities)
        return (
            f"its manifest or STAC item names the facility {scene.facility_id!r}, which the polygons do not have",
            f"Correct facility_id there, or add its polygon; known are: {known}.",
        )
    return (
        "it shows none of the facilities",
        "Check that the facility polygons and the scene are where you think they are.",
    )


def _reject(scene: Scene, reason: str, cure: str) -> list[Rejection]:
    """One rejection for each file of a scene."""
    return [Rejection(path, reason, cure) for path in scene.paths]


def unreadable(scene: Scene, error: Exception) -> list[Rejection]:
    """Rejections for a scene that failed while it was read."""
    read = f"cannot be read ({error.__cause__ or error})"
    reason = getattr(error, "reason", None) or getattr(error, "message", None) or read
    cure = getattr(error, "cure", None) or "Fetch or copy the file again; gdalinfo -checksum finds the damage."
    return _reject(scene, reason, cure)


def unseen(scene: Scene) -> list[Rejection]:
    """Rejections for a scene that covers facilities but has no data there."""
    return _reject(scene, NO_DATA, "Nothing, if it was clouded or cut off there.")
