"""What a scene is: one usable acquisition, placed in time and on the ground."""

import math
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, Self

from rasterio.crs import CRS
from rasterio.transform import Affine

from detector.errors import InputRejected

AGAIN = "Run the same command again."


@dataclass(frozen=True)
class CloudMask:
    """Where the clouds of one file are told, on any grid.

    Attributes:
        path: the raster; the image itself where the mask is one of its bands.
        meaning: `cloud`: what is not 0 is hidden; `clear`: what is 0 is hidden; `udm2`: Planet's eight bands, of which
            heavy haze (5), cloud (6) and missing or suspect data (8, without its bit for clouds) are hidden.
        band: one-based index of the band that tells; of no account in `udm2`.
    """

    path: Path
    meaning: Literal["cloud", "clear", "udm2"]
    band: int = 1


@dataclass(frozen=True)
class FileState:
    """A file as it was when its content was hashed: what tells a later change at no cost.

    Attributes:
        path: the file.
        size_bytes: its size.
        mtime_ns: when it was last written, in nanoseconds since 1970.
    """

    path: Path
    size_bytes: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """The state of a file now; of a link, that of the file it leads to.

        Raises:
            OSError: it is gone.
        """
        facts = path.stat()
        return cls(path, facts.st_size, facts.st_mtime_ns)


@dataclass(frozen=True)
class Scene:
    """One usable acquisition, in one file or cut into several on one pixel grid.

    Attributes:
        scene_id: stem of the first file, "-", 8 hex digits of the content hash; with the date in between where
            another scene of an earlier date has the same name and content.
        paths: its files, row by row.
        offsets_px: per file, the (column, row) of its top left pixel in the scene.
        sizes_px: per file, its (columns, rows).
        acquired: acquisition time, UTC; 00:00 where the source gives a date only.
        acquired_source: where that time was found: "manifest", "stac", "tag" or "name".
        sensor: name of the sensor, where known.
        width: columns of the scene, over all its files.
        height: rows of the scene, over all its files.
        bands: one-based indexes of the bands used: one (pan) or three (red, green, blue).
        n_bands: bands in the file.
        dtype: numpy name of the pixel type.
        crs: coordinate reference system, or None without georeference.
        transform: scene pixels to CRS coordinates (identity without georeference).
        gsd_x_m: metres on the ground along one pixel step to the right.
        gsd_y_m: metres on the ground along one pixel step down.
        cloud_cover: share of the scene under cloud, 0 to 1, where known.
        off_nadir_deg: angle between the view and the vertical, where known.
        facility_id: the facility that a scene without georeference shows.
        size_bytes: total size of its files.
        sha256: of its file; with others that decide its pixels (companions, sources of a VRT, the cloud mask), or in
            several files, of their hexadecimal hashes joined in order.
        masks: per file, its cloud mask; empty where no file has one.
        states: per file, those of all files that its hash is of, as they were before they were hashed; no part of
            what a scene is: equal scenes may have others.
    """

    scene_id: str
    paths: tuple[Path, ...]
    offsets_px: tuple[tuple[int, int], ...]
    sizes_px: tuple[tuple[int, int], ...]
    acquired: datetime
    acquired_source: str
    sensor: str | None
    width: int
    height: int
    bands: tuple[int, ...]
    n_bands: int
    dtype: str
    crs: CRS | None
    transform: Affine
    gsd_x_m: float
    gsd_y_m: float
    cloud_cover: float | None
    off_nadir_deg: float | None
    facility_id: str | None
    size_bytes: int
    sha256: str
    masks: tuple[CloudMask | None, ...] = ()
    states: tuple[tuple[FileState, ...], ...] = field(default=(), compare=False, repr=False)

    def mask(self, index: int) -> CloudMask | None:
        """The cloud mask of file number `index`."""
        return self.masks[index] if self.masks else None

    def see_unchanged(self, index: int | None = None) -> None:
        """See that the scene's files, or those behind file number `index`, are still those that were hashed.

        Raises:
            InputRejected: one was written since.
            OSError: one is gone.
        """
        for states in self.states if index is None else self.states[index : index + 1]:
            for state in states:
                if FileState.of(state.path) != state:
                    raise InputRejected(state.path, "it changed while it was read", AGAIN)

    @property
    def gsd_m(self) -> float:
        """Geometric mean of the GSD along the two pixel axes, in metres."""
        return math.sqrt(self.gsd_x_m * self.gsd_y_m)


@dataclass(frozen=True)
class Rejection:
    """One input that is not used: the file, what is wrong with it, and what to do about it."""

    path: Path
    reason: str
    cure: str


@dataclass(frozen=True)
class Survey:
    """What the inputs hold.

    Attributes:
        scenes: the usable ones, by time.
        rejected: every input that is not used.
        aside: previews and masks by their names, in folders, that no scene uses; no inputs.
    """

    scenes: tuple[Scene, ...]
    rejected: tuple[Rejection, ...]
    aside: tuple[Path, ...] = ()
