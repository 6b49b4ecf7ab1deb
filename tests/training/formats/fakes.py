"""Small images and annotations to write in any format and read again."""

from pathlib import Path

import numpy as np
import rasterio
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from rasterio.transform import Affine

from detector.geometry import Floats, corners_from_xywhr, iou_pairs, xywhr_from_corners
from training.classes import NO_CLASS, class_names
from training.formats.annotations import Annotations

FEW = settings(max_examples=25, deadline=None)  # each example writes and reads files
EDGE_PX = 400
GSD_M = 0.3

rows = st.lists(
    st.tuples(
        st.floats(80, EDGE_PX - 80),
        st.floats(80, EDGE_PX - 80),
        st.floats(12, 90),
        st.floats(5, 12),
        st.floats(0, np.pi, exclude_max=True),
        st.integers(0, len(class_names()) - 1),
        st.booleans(),
    ),
    max_size=6,
)
"""Boxes inside the image: centre, sides, angle, class, whether to be ignored."""


def photo(path: Path, size_px: tuple[int, int] = (EDGE_PX, EDGE_PX)) -> Path:
    """A picture without georeference."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size_px, (120, 110, 100)).save(path)
    return path


def scene(path: Path, pixels: NDArray[np.uint8] | None = None, crs: str = "EPSG:32633") -> Path:
    """A georeferenced image of 0.3 m."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((EDGE_PX, EDGE_PX), 100, dtype=np.uint8) if pixels is None else pixels
    place = Affine(GSD_M, 0, 500_000, 0, -GSD_M, 5_000_000)
    with rasterio.open(
        path, "w", driver="GTiff", width=pixels.shape[1], height=pixels.shape[0], count=1, dtype="uint8", crs=crs,
        transform=place,
    ) as file:  # fmt: skip
        file.write(pixels, 1)
    return path


def annotations_of(image: Path, drawn: list[tuple[float, ...]], gsd_m: float | None = GSD_M) -> Annotations:
    """Annotations as the strategy `rows` draws them; ignored ones of class 0 have no class."""
    table = np.array(drawn, dtype=np.float64).reshape(-1, 7)
    classes, ignore = table[:, 5].astype(np.int64), table[:, 6].astype(bool)
    return Annotations(
        image=image,
        size_px=(EDGE_PX, EDGE_PX),
        gsd_m=gsd_m,
        source=image.with_suffix(".txt"),
        classes=np.where(ignore & (classes == 0), NO_CLASS, classes),
        corners_px=corners_from_xywhr(table[:, :5]),
        visible=np.ones(len(table)),
        ignore=ignore,
        axis_aligned=np.zeros(len(table), dtype=bool),
        line=np.arange(len(table), dtype=np.int64),
    )


def hulls(xywhr: Floats) -> Floats:
    """Upright hulls x0, y0, x1, y1 of boxes."""
    corners = corners_from_xywhr(xywhr)
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def assert_same(found: Annotations, expected: Annotations, tolerance_px: float) -> None:
    """Equal in classes, marks and GSD; corners no farther apart than the tolerance."""
    assert found.image.resolve() == expected.image.resolve()
    assert found.size_px == expected.size_px
    assert found.classes.tolist() == expected.classes.tolist()
    assert found.ignore.tolist() == expected.ignore.tolist()
    assert found.axis_aligned.tolist() == expected.axis_aligned.tolist()
    np.testing.assert_allclose(found.corners_px, expected.corners_px, rtol=0, atol=tolerance_px)
    np.testing.assert_allclose(found.visible, expected.visible, rtol=0, atol=1e-3)


def iou(corners: Floats, others: Floats) -> Floats:
    """IoU of corners row by row."""
    return iou_pairs(xywhr_from_corners(corners), xywhr_from_corners(others))
