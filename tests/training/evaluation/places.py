"""Small places for the tests of evaluation: cars of 15 x 3 m in one row."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from detector.classscores import ClassScores
from detector.config import class_table
from training.evaluation.detection import Scored
from training.evaluation.truth import Found, Frame, Place, Truth

TABLE = class_table()
RAILCAR = TABLE.groups["railcar"]


def boxes(*x: float, length: float = 15.0) -> np.ndarray:
    return np.array([[at, 0.0, length, 3.0, 0.0] for at in x]).reshape(-1, 5)


def found(
    x: np.ndarray | Sequence[float],
    score: Sequence[float],
    names: Sequence[str] | None = None,
    p_true: Sequence[float] | None = None,
) -> Found:
    """Detections; those with a score of at least 0.5 count as detected."""
    scores = np.array(score, dtype=float)
    at = x if isinstance(x, np.ndarray) else boxes(*x)
    class_name = np.array(names or ["railcar"] * len(at), dtype=str)
    return Found(
        at,
        class_name,
        ClassScores.named(class_name, scores, TABLE.names),
        np.array(p_true if p_true is not None else [np.nan] * len(at), dtype=float),
        scores >= 0.5,
    )


def truth(
    x: np.ndarray | Sequence[float],
    names: Sequence[str] | None = None,
    care: Sequence[bool] | None = None,
    *,
    visible: Sequence[float] | None = None,
    kind: Sequence[str] | None = None,
    axis_aligned: bool = False,
    ignored: BaseGeometry | None = None,
) -> Truth:
    at = x if isinstance(x, np.ndarray) else boxes(*x)
    n = len(at)
    return Truth(
        xywhr=at,
        class_name=np.array(names or ["railcar"] * n, dtype=str),
        kind=np.array(kind or [""] * n, dtype=str),
        visible=np.array(visible or [1.0] * n),
        care=np.array(care if care is not None else [True] * n, dtype=bool),
        axis_aligned=np.full(n, axis_aligned),
        ignored=shapely.Polygon() if ignored is None else ignored,
    )


def place(
    detections: Found,
    objects: Truth,
    *,
    facility: str = "yard",
    scene: str = "yard_20230105",
    conditions: dict[str, Any] | None = None,
    unit_m: float = 1.0,
    side_px: int = 1000,
) -> Place:
    """A fully seen scene without georeference, of `side_px` squared at 1 m: 100 ha by default."""
    row = {
        "scene_id": f"{scene}-0123abcd",
        "facility_id": facility,
        "acquired": datetime(2023, 1, 5, 9, tzinfo=UTC),
        "geometry": None,
        "width": side_px,
        "height": side_px,
        "observed_fraction": 1.0,
        "gsd_m": 1.0,
        "sharpness": 0.1,
        "contrast": 0.1,
        "sun_elevation_deg": 40.0,
        "off_nadir_deg": 5.0,
    }
    return Place(row, detections, objects, conditions or {}, Frame(None, np.ones(2), unit_m))


def scored(*places: Place) -> Scored:
    return Scored.of(places, TABLE)
