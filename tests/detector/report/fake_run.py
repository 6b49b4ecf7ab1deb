"""A RUN folder made by hand: a yard seen on many dates, with pictures, that ends in a surge."""

import datetime as dt
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from pyproj import Transformer
from rasterio.transform import Affine
from shapely.geometry import Polygon, mapping

from detector.config import count_config
from detector.counting.surge import Rules
from detector.tally.totals import ALL, RAIL_VEHICLE, TOTALS_COLUMNS
from detector.tally.verdicts import verdict_sentence

GSD_M = 0.30
YARD_M = (330.0, 130.0)
EAST, NORTH = 640_000.0, 4_700_000.0
PITCH_M = 14.6
TRACKS = 6
CAR_COLOURS = {
    "railcar": [(118, 74, 58), (92, 96, 98), (70, 84, 96), (134, 126, 112)],
    "tarped_railcar": [(58, 96, 150), (64, 118, 92)],
    "locomotive": [(176, 62, 44)],
    "container": [(186, 88, 40), (60, 108, 148)],
}


@dataclass(frozen=True)
class Day:
    """What stood in the yard on a date, and how well it was seen."""

    date: dt.date
    n: int
    tarped: int
    seen: float = 1.0
    flags: str = ""


def history(n_dates: int = 30, last: int = 73, most: int = 20) -> list[Day]:
    """Dates over five years with at most `most` cars, and `last` cars on the final one."""
    rng = np.random.default_rng(11)
    offsets = np.sort(rng.choice(np.arange(20, 1900), n_dates - 2, replace=False)) if n_dates > 2 else []
    start = dt.date(2018, 5, 3)
    days = [Day(start, 9, 0)] if n_dates > 1 else []
    for i, offset in enumerate(offsets):
        n = most if i == n_dates // 2 else int(np.clip(rng.negative_binomial(5, 0.32), 0, most - 1))
        seen, flags = {
            5: (0.83, "partial"),
            12: (0.62, "partial;no_estimate;cloud"),
            19: (0.44, "partial;at_least"),
        }.get(i, (1.0, ""))
        if i in (8, 9):
            flags = "domain:contrast"
        days.append(Day(start + dt.timedelta(days=int(offset)), n, int(n * 0.15), seen, flags))
    return [*days, Day(dt.date(2023, 10, 5), last, int(last * 0.4))]


def count_rows(facility_id: str, days: list[Day]) -> list[dict[str, Any]]:
    """Rows of counts.parquet for these days."""
    rows = []
    for i, day in enumerate(days):
        earlier = [d.n for d in days[:i]]
        for group, n in (
            ("railcar", day.n),
            ("tarped", day.tarped),
            ("locomotive", day.n % 3),
            ("container", day.n // 4),
        ):
            half95, half80 = 1.5 + 0.05 * n + 3 * (1 - day.seen) * 4, 1 + 0.03 * n + 6 * (1 - day.seen)
            surge = group == "railcar" and n > 50
            verdict = "yes" if surge else "too few dates" if i < 8 else "within usual range"
            rows.append({
                "facility_id": facility_id, "date": pd.Timestamp(day.date), "group": group,
                "n_detected": round(n * day.seen * 0.93),
                "count": float(n) if day.seen >= 0.7 else np.nan,
                "lo95": float(max(0, np.ceil(n - half95))),
                "hi95": float(np.floor(n + half95)) if day.seen >= 0.5 else np.nan,
                "lo80": float(max(0, np.ceil(n - half80))),
                "hi80": float(np.floor(n + half80)) if day.seen >= 0.5 else np.nan,
                "observed_fraction": day.seen, "n_scenes": 1, "flags": day.flags,
                "seen_lo95": float(max(0, np.ceil(n * day.seen - half95))),
                "seen_hi95": float(np.floor(n * day.seen + half95)),
                "train_count": n * day.seen + 0.4 if group == "railcar" and n > 4 else np.nan,
                "baseline_n": i, "baseline_whole": i, "baseline_max": float(max(earlier)) if earlier else np.nan,
                "p_surge": (0.9997 if surge else 0.04) if i >= 8 else np.nan, "surge": verdict,
                "p_usual": (2e-5 if surge else 0.4) if i >= 8 else np.nan,
                "p_rank": (1 + sum(e >= n for e in earlier)) / (i + 1),
                "baseline_since": pd.Timestamp(days[0].date),
            })  # fmt: skip
            rows[-1]["verdict"] = verdict_sentence(rows[-1], Rules())
    return rows


def sum_rows(counts: pd.DataFrame) -> pd.DataFrame:
    """Rows of totals.parquet for these counts; intervals as if errors were independent."""
    full = counts[counts["observed_fraction"] >= 1]
    vehicles = full[full["group"].isin(["railcar", "locomotive"])].assign(group=RAIL_VEHICLE)
    whole = pd.concat([full, vehicles]).assign(scope=ALL)
    parts = []
    for table in (vehicles.assign(scope=vehicles["facility_id"]), whole):
        grouped = table.groupby(["date", "scope", "group"], sort=True)
        sums = grouped["count"].sum().to_frame()
        for level in ("95", "80"):
            half = ((table[f"hi{level}"] - table[f"lo{level}"]) ** 2).groupby(
                grouped.ngroup()
            ).sum().to_numpy() ** 0.5 / 2
            sums[f"lo{level}"], sums[f"hi{level}"] = (
                np.ceil(np.maximum(sums["count"] - half, 0)),
                np.floor(sums["count"] + half),
            )
        parts.append(sums.assign(n_facilities=grouped["facility_id"].nunique(), flags="").reset_index())
    return pd.concat(parts, ignore_index=True).reindex(columns=list(TOTALS_COLUMNS))


def render(day: Day, rng: np.random.Generator) -> tuple[NDArray[np.uint8], list[tuple[str, list[float]]]]:
    """A picture of the yard (h, w, 3) and the boxes in it as class and corners_px."""
    w, h = (round(v / GSD_M) for v in YARD_M)
    noise = rng.normal(0, 9, (h, w, 1)) + rng.normal(0, 4, (h, w, 3))
    ground = np.clip(np.array([150, 142, 128]) + noise, 0, 255).astype(np.uint8)
    image = Image.fromarray(ground).filter(ImageFilter.GaussianBlur(0.9))
    draw = ImageDraw.Draw(image)
    angle = np.deg2rad(8)
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    places = [(t, k) for t in range(TRACKS) for k in range(19)]
    for t in range(TRACKS):
        for rail in (-0.75, 0.75):
            origin = np.array([w / 2, h / 2]) + across * ((t - 2.5) * 5.0 + rail) / GSD_M
            draw.line([*(origin - along * w), *(origin + along * w)], fill=(96, 90, 86), width=1)
    boxes = []
    starts = rng.permutation(TRACKS)
    order = sorted(places, key=lambda p: (list(starts).index(p[0]), abs(p[1] - 9)))
    for i, (t, k) in enumerate(order[: day.n]):
        name = "tarped_railcar" if i % 5 < 2 and i < day.tarped * 2.5 else "locomotive" if i % 31 == 30 else "railcar"
        centre = np.array([w / 2, h / 2]) + (across * (t - 2.5) * 5.0 + along * (k - 9) * PITCH_M) / GSD_M
        half = (along * 6.7 / GSD_M, across * 1.5 / GSD_M)
        quad = [centre + a * half[0] + b * half[1] for a, b in ((1, 1), (-1, 1), (-1, -1), (1, -1))]
        draw.polygon([tuple(p + across * 5) for p in quad], fill=(62, 60, 60))
        colours = CAR_COLOURS[name]
        draw.polygon([tuple(p) for p in quad], fill=colours[int(rng.integers(len(colours)))])
        boxes.append((name, [float(v) for p in quad for v in p]))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(0.7))), boxes


def outline() -> Polygon:
    """The yard's outline in EPSG:4326: most of the picture."""
    to_lonlat = Transformer.from_crs("EPSG:32652", "EPSG:4326", always_xy=True)
    w, h = YARD_M
    corners = [
        (EAST + 12, NORTH - 6),
        (EAST + w - 8, NORTH - 20),
        (EAST + w - 10, NORTH - h + 5),
        (EAST + 9, NORTH - h + 16),
    ]
    return Polygon([to_lonlat.transform(x, y) for x, y in corners])


def make_run(
    folder: Path,
    facilities: dict[str, tuple[str, list[Day]]] | None = None,
    *,
    rejected: list[tuple[str, str, str]] | None = None,
    by_eye: str = "",
    pictures: int = 6,
) -> Path:
    """Write a RUN folder.

    Args:
        folder: where; images go to its sibling `images`.
        facilities: name and days by facility id.
        rejected: rows of rejected.csv.
        by_eye: history.csv; none where empty.
        pictures: per facility, write images for this many of the last dates, and for the largest date before.
    """
    folder.mkdir(parents=True, exist_ok=True)
    images = folder.parent / "images"
    images.mkdir(exist_ok=True)
    chosen = facilities or {"tumangang": ("Tumangang border yard", history())}
    counts: list[dict[str, Any]] = []
    scenes: list[dict[str, Any]] = []
    detections: list[dict[str, Any]] = []
    inputs: list[dict[str, Any]] = []
    for facility_id, (_, days) in chosen.items():
        counts += count_rows(facility_id, days)
        shown = (
            {d.date for d in days[-pictures:]} | {max(days[:-1] or days, key=lambda d: d.n).date} if pictures else set()
        )
        for day in days:
            path = images / f"{facility_id}_{day.date:%Y%m%d}.tif"
            sha = hashlib.sha256(path.name.encode()).hexdigest()
            if day.date in shown:
                pixels, boxes = render(day, np.random.default_rng(day.date.toordinal()))
                _write_tif(path, pixels, day)
                sha = hashlib.sha256(path.read_bytes()).hexdigest()
                detections += [_detection(f"{path.stem}-{sha[:8]}", facility_id, day, *box) for box in boxes]
            scenes.append(_scene_row(f"{path.stem}-{sha[:8]}", facility_id, day))
            size = path.stat().st_size if path.exists() else 0
            inputs.append(_input_row(path, scenes[-1], size, sha))
    pd.DataFrame(counts).to_parquet(folder / "counts.parquet")
    sum_rows(pd.DataFrame(counts)).to_parquet(folder / "totals.parquet")
    if by_eye:
        (folder / "history.csv").write_text(by_eye)
    gpd.GeoDataFrame(scenes, geometry="geometry", crs="EPSG:4326").to_parquet(folder / "scenes.parquet")
    columns = ["scene_id", "facility_id", "class", "score", "corners_px", "detected", "flags"]
    pd.DataFrame(detections, columns=columns).to_parquet(folder / "detections.parquet")
    features = [
        {"type": "Feature", "properties": {"facility_id": i, "name": name}, "geometry": mapping(outline())}
        for i, (name, _) in chosen.items()
    ]
    (folder / "facilities.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    pd.DataFrame(rejected or [], columns=["path", "reason", "cure"]).to_csv(folder / "rejected.csv", index=False)
    (folder / "run.json").write_text(
        json.dumps(_provenance(inputs) | ({"history": {"path": "history.csv"}} if by_eye else {}))
    )
    return folder


def _write_tif(path: Path, pixels: NDArray[np.uint8], day: Day) -> None:
    h, w = pixels.shape[:2]
    profile = {
        "driver": "GTiff",
        "width": w,
        "height": h,
        "count": 3,
        "dtype": "uint8",
        "compress": "deflate",
    }
    with rasterio.open(
        path,
        "w",
        crs="EPSG:32652",
        transform=Affine(GSD_M, 0, EAST, 0, -GSD_M, NORTH),
        photometric="RGB",
        **profile,
    ) as target:
        target.write(np.moveaxis(pixels, 2, 0))
        target.update_tags(TIFFTAG_DATETIME=f"{day.date:%Y:%m:%d} 02:14:00")


def _detection(scene_id: str, facility_id: str, day: Day, name: str, corners: list[float]) -> dict[str, Any]:
    return {
        "scene_id": scene_id, "facility_id": facility_id, "class": name, "score": 0.8, "corners_px": corners,
        "detected": True, "flags": "",
    }  # fmt: skip


def _scene_row(scene_id: str, facility_id: str, day: Day) -> dict[str, Any]:
    return {
        "scene_id": scene_id, "facility_id": facility_id,
        "acquired": pd.Timestamp(day.date, tz="UTC") + pd.Timedelta(hours=2), "sensor": "WV03",
        "gsd_m": GSD_M, "width": round(YARD_M[0] / GSD_M), "height": round(YARD_M[1] / GSD_M),
        "observed_fraction": day.seen, "cloud_cover": 0.3 if day.seen == 0.62 else np.nan,
        "sharpness": 0.2, "contrast": 0.2, "brightness": 0.5,
        "sun_elevation_deg": 40.0, "off_nadir_deg": np.nan, "geometry": outline(),
    }  # fmt: skip


def _input_row(path: Path, scene: dict[str, Any], size: int, sha: str) -> dict[str, Any]:
    return {
        "scene_id": scene["scene_id"], "path": str(path), "acquired": scene["acquired"].isoformat(),
        "acquired_source": "tag", "scene_bytes": size, "scene_sha256": sha,
    }  # fmt: skip


def _provenance(inputs: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "version": "0.1.0",
        "started": "2023-10-06T08:01:12Z",
        "finished": "2023-10-06T08:03:40Z",
        "weights": {
            "name": "railcars-n",
            "sha256": "5d" * 32,
            "threshold": {"rail_vehicle": 0.35, "off_rail": 0.2},
            "gsd_m": 0.30,
        },
        "calibration": {
            "n_scenes": 240,
            "n_facilities": 60,
            "measured": {
                "n_dates": 280,
                "n_facilities": 70,
                "coverage": {"0.5": 0.55, "0.8": 0.84, "0.9": 0.93, "0.95": 0.957},
                "by_stratum95": {"0-5": 0.981, "6-25": 0.95, "26+": 0.931},
            },
            "synthetic": True,
            "validation": "cross-fitted by facility",
        },
        "config": {"count": count_config().model_dump()},
        "config_sha256": "a7" * 32,
        "facilities": {"path": "in/facilities.geojson", "size_bytes": 912, "sha256": "c3" * 32},
        "software": {"backend": "openvino", "python": "3.11.7", "numpy": "2.4.0"},
        "inputs": inputs,
    }
