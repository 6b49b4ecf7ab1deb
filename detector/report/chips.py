"""One picture of the report: the pixels of a shot as JPEG, and the boxes to draw on it."""

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from PIL import Image
from shapely.geometry.base import BaseGeometry

from detector.raster import PAD, SceneReader
from detector.report.framing import Floats, Shot, from_turned, north_deg, to_turned
from detector.report.svg import px
from detector.scene import Scene

MARKUP_BYTES = 42
"""Of one box in the page, without its coordinates."""

READ_PX = 6_000_000
"""Scene pixels read at once: keeps memory flat for scenes of any size."""

_LADDER = ((1500, 80), (1200, 76), (950, 74), (760, 70), (560, 66), (420, 60), (300, 55))
_EDGE = {"judged": 1500, "maximum": 950, "recent": 950, "zoom": 640}
_WEIGHT = {"judged": 6.0, "maximum": 2.0, "recent": 2.0, "zoom": 1.0}


MARKS = {"string_gap": "beside a gap of one car", "double": "perhaps boxed twice"}
"""Flags of detections that the picture marks, with their meaning."""

_SIGN_PX = 5.0


@dataclass(frozen=True)
class Drawn:
    """One box of a picture: its class, its corners as SVG points, and the stroke through a tarped one.

    `mark` is the flag of `MARKS` that the box carries, `sign` the path of its sign; both are empty without one.
    """

    name: str
    points: str
    diagonal: str
    mark: str = ""
    sign: str = ""


@dataclass(frozen=True)
class Picture:
    """A picture ready for the page, coordinates in its own pixels; `image` is empty where `note` says why."""

    shot: Shot
    image: str = ""
    width: int = 0
    height: int = 0
    boxes: tuple[Drawn, ...] = ()
    outline: str = ""
    frames: tuple[tuple[str, float, float, float, float], ...] = ()
    scale_m: float = 0.0
    scale_px: float = 0.0
    gsd_m: float = 0.0
    view_gsd_m: float = 0.0
    sensor: str = ""
    north_deg: float | None = None
    note: str = ""

    @property
    def n_bytes(self) -> int:
        """What the image and its boxes take in the page."""
        return len(self.image) + sum(
            len(box.points) + len(box.diagonal) + len(box.sign) + MARKUP_BYTES for box in self.boxes
        )


def take(shot: Shot, scene: Scene, boxes: pd.DataFrame, *, max_bytes: float) -> Picture:
    """Read one picture with its boxes, as large and fine as `max_bytes` of page allows.

    Args:
        shot: the window.
        scene: its scene.
        boxes: detections of that scene: class and corners_px.
        max_bytes: bytes that the encoded image and the boxes may take in the page.
    """
    u0, v0, u1, v1 = shot.window_m
    middle_m = from_turned(np.array([[(u0 + u1) / 2, (v0 + v1) / 2]]), shot.turn_rad)
    north = north_deg(scene, middle_m / (scene.gsd_x_m, scene.gsd_y_m), shot.turn_rad)
    bare = Picture(shot, gsd_m=scene.gsd_m, sensor=scene.sensor or "", north_deg=north)
    ladder = [(min(edge, _EDGE[shot.role]), quality) for edge, quality in _LADDER]
    length_m, scale_m = max(u1 - u0, v1 - v0), _round_length((u1 - u0) / 5)
    finest = Image.fromarray(read_window(scene, shot, max(scene.gsd_m, length_m / ladder[0][0])))
    for edge, quality in ladder:
        image = finest.copy()
        image.thumbnail((edge, edge), Image.Resampling.LANCZOS)
        view_gsd_m = (u1 - u0) / image.width
        sized = replace(bare, width=image.width, height=image.height, view_gsd_m=view_gsd_m)
        drawn = _drawn(boxes, to_picture(sized, scene, corners_of(boxes)), image.size)
        scaled = replace(sized, boxes=drawn, scale_m=scale_m, scale_px=scale_m / view_gsd_m)
        picture = replace(scaled, image=_jpeg(image, quality))
        if picture.n_bytes <= max_bytes:
            return picture
    return replace(bare, note="left out to keep this page small")


def framed(picture: Picture, scene: Scene, *, outline_px: BaseGeometry, frames: Sequence[Shot]) -> Picture:
    """Add the facility's outline and the frames of zoomed shots to a picture of the whole; zooms get none."""
    if not picture.image or picture.shot.role == "zoom":
        return picture
    outline = shapely.transform(outline_px, lambda points_px: to_picture(picture, scene, points_px))
    return replace(picture, outline=_path(outline), frames=tuple(_framed(frame, picture) for frame in frames))


def to_picture(picture: Picture, scene: Scene, points_px: Floats) -> Floats:
    """Points (..., 2) in scene pixels as pixels of the picture."""
    turned_m = to_turned(points_px, scene, picture.shot.turn_rad)
    return np.asarray((turned_m - picture.shot.window_m[:2]) / picture.view_gsd_m, dtype=np.float64)


def shares(shots: Sequence[Shot], room_bytes: float) -> dict[Shot, float]:
    """Divide the room in the page among the pictures, overviews of the judged date first."""
    total = sum(_WEIGHT[shot.role] for shot in shots)
    return {shot: room_bytes * _WEIGHT[shot.role] / total for shot in shots}


def read_window(scene: Scene, shot: Shot, view_gsd_m: float) -> NDArray[np.uint8]:
    """Pixels (h, w, 3) of a shot at `view_gsd_m`; what the scene does not hold is grey."""
    u0, v0, u1, v1 = shot.window_m
    w, h = (max(1, round(length / view_gsd_m)) for length in (u1 - u0, v1 - v0))
    corners = from_turned(np.array([(u0, v0), (u1, v0), (u1, v1), (u0, v1)]), shot.turn_rad) / view_gsd_m
    (x0, y0), (x1, y1) = np.floor(corners.min(axis=0)).astype(int), np.ceil(corners.max(axis=0)).astype(int)
    straight = _read_blocks(scene, view_gsd_m, (int(x0), int(y0), int(x1 - x0), int(y1 - y0)))
    cos, sin = math.cos(shot.turn_rad), math.sin(shot.turn_rad)
    left, top = corners[0] - (x0, y0)
    turned = Image.fromarray(straight).transform(
        (w, h),
        Image.Transform.AFFINE,
        (cos, -sin, float(left), sin, cos, float(top)),
        Image.Resampling.BICUBIC,
        fillcolor=(PAD, PAD, PAD),
    )
    return np.asarray(turned)


def corners_of(boxes: pd.DataFrame) -> Floats:
    """Corners (N, 4, 2) of a detections table."""
    values = [np.asarray(corners, dtype=np.float64) for corners in boxes["corners_px"]]
    return np.stack(values).reshape(-1, 4, 2) if values else np.empty((0, 4, 2))


def _read_blocks(scene: Scene, view_gsd_m: float, frame: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """A window (x, y, w, h) at `view_gsd_m`, block by block."""
    x, y, w, h = frame
    side = max(1, int(math.sqrt(READ_PX) * scene.gsd_m / view_gsd_m))
    pixels = np.empty((h, w, 3), dtype=np.uint8)
    with SceneReader(scene, view_gsd_m) as reader:
        for top in range(0, h, side):
            for left in range(0, w, side):
                part_w, part_h = min(side, w - left), min(side, h - top)
                part, _ = reader.read(x + left, y + top, part_w, part_h)
                pixels[top : top + part_h, left : left + part_w] = part
    return pixels


def _drawn(boxes: pd.DataFrame, corners: Floats, size: tuple[int, int]) -> tuple[Drawn, ...]:
    low, high = corners.min(axis=1), corners.max(axis=1)
    seen = ((high > 0) & (low < size)).all(axis=1)
    flags = boxes["flags"].astype(str) if "flags" in boxes else [""] * len(boxes)
    drawn = []
    for name, quad, text, is_seen in zip(boxes["class"].astype(str), corners, flags, seen, strict=True):
        if is_seen:
            texts = [f"{px(x)},{px(y)}" for x, y in quad]
            diagonal = f"M{texts[0]}L{texts[2]}" if name.startswith("tarped") else ""
            mark = next((flag for flag in reversed(MARKS) if flag in text.split(";")), "")
            drawn.append(Drawn(name, " ".join(texts), diagonal, mark, _sign(mark, *quad.mean(axis=0))))
    return tuple(drawn)


def _sign(mark: str, x: float, y: float) -> str:
    """A cross on a double, a ring beside a gap, as SVG paths around a point."""
    r = _SIGN_PX
    if mark == "double":
        return f"M{px(x - r)} {px(y - r)}l{px(2 * r)} {px(2 * r)}m0-{px(2 * r)}l-{px(2 * r)} {px(2 * r)}"
    if mark == "string_gap":
        return f"M{px(x - r)} {px(y)}a{px(r)} {px(r)} 0 1 0 {px(2 * r)} 0a{px(r)} {px(r)} 0 1 0-{px(2 * r)} 0"
    return ""


def _path(outline: BaseGeometry) -> str:
    """Polygons in picture pixels as an SVG path."""
    rings: list[str] = []
    simple = outline.simplify(0.5)
    for polygon in getattr(simple, "geoms", [simple]):
        if polygon.geom_type == "Polygon":
            for ring in (polygon.exterior, *polygon.interiors):
                rings.append("M" + "L".join(f"{px(x)},{px(y)}" for x, y in ring.coords[:-1]) + "Z")
    return "".join(rings)


def _framed(frame: Shot, picture: Picture) -> tuple[str, float, float, float, float]:
    """A zoomed window as letter, x, y, width and height in the picture that frames it."""
    corners = np.array(frame.window_m).reshape(2, 2)
    (x0, y0), (x1, y1) = (corners - picture.shot.window_m[:2]) / picture.view_gsd_m
    return frame.letter, float(x0), float(y0), float(x1 - x0), float(y1 - y0)


def _jpeg(image: Image.Image, quality: int) -> str:
    target = io.BytesIO()
    image.save(target, "JPEG", quality=quality, optimize=True, progressive=True)
    return base64.b64encode(target.getvalue()).decode("ascii")


def _round_length(metres: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is at most `metres`."""
    power = 10.0 ** math.floor(math.log10(max(metres, 1.0)))
    return max(k * power for k in (1, 2, 5) if k * power <= max(metres, 1.0))
