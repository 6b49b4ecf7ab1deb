"""Put one acquisition together again that was delivered cut into files."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.transform import Affine

from detector.inputs.behind import joint_digest
from detector.pixels.georef import Grid, pixel_size
from detector.scene import Scene

GRID_PX = 0.05  # files on one grid are this close to whole pixels of each other
GAP_PX = 1.0  # files further apart than this are separate scenes
SEAM_SHARE = 0.05  # of the smaller file: what overlaps more was acquired twice


def join_cut_scenes(scenes: Iterable[Scene]) -> list[Scene]:
    """Join scenes of one file each that are pieces of one acquisition; leave the others as they are.

    Pieces share time, sensor, CRS, pixel type and bands, lie on one pixel grid, touch, and hardly overlap.
    Law: pieces cut from a file at whole pixels join to the scene of that file, but for its name and hash.
    """
    alike: dict[tuple[object, ...], list[Scene]] = defaultdict(list)
    joined = []
    for scene in sorted(scenes, key=lambda scene: scene.paths):
        if scene.crs is None:
            joined.append(scene)
        else:
            key = (scene.acquired, scene.sensor, scene.crs.to_wkt(), scene.dtype, scene.n_bands, scene.bands)
            alike[key].append(scene)
    for group in alike.values():
        rest = group
        while rest:
            offsets = _offsets_px(rest[0], rest)
            taken = _pieces(rest, offsets)
            joined.append(_join([rest[i] for i in taken], offsets[taken]))
            rest = [scene for i, scene in enumerate(rest) if i not in set(taken)]
    return joined


def _offsets_px(first: Scene, scenes: Sequence[Scene]) -> NDArray[np.float64]:
    """Top left corner of each scene in the pixels of the first (N, 2); NaN where it is on another grid."""
    axes = np.array([_axes(scene) for scene in scenes])
    origins = np.array([(scene.transform.c, scene.transform.f) for scene in scenes])
    to_px = np.linalg.inv(_axes(first))
    offsets = (origins - origins[0]) @ to_px.T
    sizes = np.array([(scene.width, scene.height) for scene in scenes])
    drift = np.abs(to_px @ axes - np.eye(2)).max(axis=(1, 2)) * sizes.max(axis=1)
    off_grid = np.abs(offsets - offsets.round()).max(axis=1) + drift
    return np.where((off_grid <= GRID_PX)[:, None], offsets.round(), np.nan)


def _axes(scene: Scene) -> NDArray[np.float64]:
    t = scene.transform
    return np.array([[t.a, t.b], [t.d, t.e]])


def _pieces(scenes: Sequence[Scene], offsets: NDArray[np.float64]) -> list[int]:
    """Indexes of the scenes that are one acquisition with the first: grown piece by piece, in order."""
    on_grid = np.flatnonzero(np.isfinite(offsets[:, 0]))
    sizes = np.array([(scene.width, scene.height) for scene in scenes])
    corners = np.concatenate([offsets, offsets + sizes], axis=1)
    boxes = shapely.box(*corners[on_grid].T)
    tree = shapely.STRtree(boxes)
    taken, refused, front = {0}, set[int](), [0]
    while front:
        near = {int(i) for member in front for i in tree.query(boxes[member], "dwithin", GAP_PX)}
        front = []
        for i in sorted(near - taken - refused):
            around = [int(j) for j in tree.query(boxes[i]) if int(j) in taken]
            shared = shapely.area(shapely.intersection(boxes[around], boxes[i]))
            if (shared > SEAM_SHARE * np.minimum(shapely.area(boxes[around]), boxes[i].area)).any():
                refused.add(i)
            else:
                taken.add(i)
                front.append(i)
    return [int(on_grid[i]) for i in sorted(taken)]


def _join(pieces: Sequence[Scene], offsets: NDArray[np.float64]) -> Scene:
    """One scene of several pieces, whose offsets are relative to any one of them."""
    first = pieces[0]
    if len(pieces) == 1 or first.crs is None:
        return first
    order = sorted(range(len(pieces)), key=lambda i: (offsets[i][1], offsets[i][0]))
    pieces, offsets = [pieces[i] for i in order], offsets[order] - offsets.min(axis=0)
    sizes = [(piece.width, piece.height) for piece in pieces]
    width, height = (int(edge) for edge in (offsets + sizes).max(axis=0))
    t, (column, row) = pieces[0].transform, offsets[0]
    transform = Affine(t.a, t.b, t.c - t.a * column - t.b * row, t.d, t.e, t.f - t.d * column - t.e * row)
    size = pixel_size(Grid(first.crs, transform), (width / 2, height / 2))
    digest = joint_digest([piece.sha256 for piece in pieces])
    return replace(
        pieces[0],
        scene_id=f"{pieces[0].paths[0].stem}-{digest[:8]}",
        paths=tuple(piece.paths[0] for piece in pieces),
        offsets_px=tuple((int(x), int(y)) for x, y in offsets),
        sizes_px=tuple(sizes),
        width=width,
        height=height,
        transform=transform,
        gsd_x_m=size.gsd_x_m,
        gsd_y_m=size.gsd_y_m,
        cloud_cover=_mean(pieces, [piece.cloud_cover for piece in pieces]),
        off_nadir_deg=_mean(pieces, [piece.off_nadir_deg for piece in pieces]),
        size_bytes=sum(piece.size_bytes for piece in pieces),
        sha256=digest,
        states=tuple(states for piece in pieces for states in piece.states),
        masks=tuple(piece.mask(0) for piece in pieces) if any(piece.masks for piece in pieces) else (),
    )


def _mean(pieces: Sequence[Scene], values: Sequence[float | None]) -> float | None:
    """The mean of a value over all pieces by area; None unless each states its own."""
    known = [value for value in values if value is not None]
    if len(known) < len(pieces):
        return None
    return float(np.average(known, weights=[piece.width * piece.height for piece in pieces]))
