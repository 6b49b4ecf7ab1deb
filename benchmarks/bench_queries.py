"""Questions to an archive of ten million detections: `python -m benchmarks.bench_queries`.

Draws detections of many facilities over years into GeoParquet files, one folder for each month, sorted by facility, and
times DuckDB's answers. The columns are those of detections.parquet without `corners_px`, with the hull of each box as
four numbers beside it (the `bbox` of GeoParquet 1.1), by which files and row groups are passed over. Files that lie in
the operating system's cache are read from there.
"""

import argparse
import json
import shutil
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from benchmarks.fresh import machine, peak_mb
from detector.classscores import ClassScores
from detector.config import class_table
from detector.detection.rows import CRS
from detector.geometry import corners_from_xywhr

FACILITIES, MONTHS, VISITS = 1000, 36, 4
ROWS = 10_000_000
ROW_GROUP = 100_000
REPEATS = 5
DEGREE_M = 111_320.0
SHARES = (0.70, 0.06, 0.04, 0.16, 0.04)
"""Of the classes, in the order of configs/classes.yaml."""
ASKED, WEST_SOUTH = 417, (11.02, 48.02)
"""A facility, and where it lies."""
IN_MONTH = "year = 2024 AND month = 6"
NEAR = "bbox.xmax > 11.0 AND bbox.xmin < 11.07 AND bbox.ymax > 48.0 AND bbox.ymin < 48.05"
QUERIES = {
    "series of one facility": f"""
        SELECT CAST(acquired AT TIME ZONE 'UTC' AS DATE) AS date, sum(p_true) AS cars FROM archive
        WHERE facility_id = 'f{ASKED:04}' AND class IN ('railcar', 'tarped_railcar') GROUP BY ALL ORDER BY ALL""",
    "one month, all facilities": f"""
        SELECT facility_id, class, sum(p_true) AS objects, count(*) FILTER (WHERE detected) AS boxes FROM archive
        WHERE {IN_MONTH} GROUP BY ALL ORDER BY ALL""",
    "objects in a window of 5 km, one month": f"""
        SELECT facility_id, class, score, geometry FROM archive WHERE {IN_MONTH}
        AND {NEAR}""",
    "objects in a window of 5 km, all dates": f"""
        SELECT CAST(acquired AT TIME ZONE 'UTC' AS DATE) AS date, class, count(*) FROM archive
        WHERE {NEAR} GROUP BY ALL""",
    "fullest day of every facility": """
        SELECT facility_id, max_by(date, cars) AS date, max(cars) AS cars FROM (
            SELECT facility_id, CAST(acquired AT TIME ZONE 'UTC' AS DATE) AS date, sum(p_true) AS cars FROM archive
            WHERE class IN ('railcar', 'tarped_railcar') GROUP BY ALL) GROUP BY ALL ORDER BY cars DESC""",
    "lengths of all cars, by class": """
        SELECT class, round(length_m) AS metres, count(*) FROM archive WHERE detected GROUP BY ALL ORDER BY ALL""",
}


def months(rows: int) -> Iterator[tuple[int, int, gpd.GeoDataFrame]]:
    """Year, month, and the detections of that month, sorted by facility and time."""
    rng = np.random.default_rng(0)
    places = np.column_stack([rng.uniform(5, 20, FACILITIES), rng.uniform(44, 55, FACILITIES)])
    places[ASKED] = WEST_SOUTH
    usual = rng.lognormal(0, 0.8, FACILITIES)
    for index in range(MONTHS):
        year, month = 2023 + index // 12, index % 12 + 1
        count = rows * (index + 1) // MONTHS - rows * index // MONTHS
        yield year, month, _draw(rng, count, places, usual / usual.sum(), f"{year}-{month:02}")


def _draw(
    rng: np.random.Generator, count: int, places: np.ndarray, weights: np.ndarray, month: str
) -> gpd.GeoDataFrame:
    facility = np.sort(rng.choice(FACILITIES, count, p=weights))
    day = rng.integers(0, VISITS, count) * (28 // VISITS) + 1
    names, shares = class_table().names, np.array(SHARES)
    metres = np.column_stack(
        [rng.uniform(0, 2500, count), rng.uniform(0, 400, count), rng.normal(16, 3, count), np.full(count, 3.0)]
    )
    boxes = np.column_stack([metres, rng.uniform(0, np.pi, count)])
    corners = corners_from_xywhr(boxes) / DEGREE_M + places[facility, None, :]
    score, named = rng.beta(3, 1, count), np.array(names)[rng.choice(len(names), count, p=shares)]
    scene = np.char.add(np.char.add("f", np.char.zfill(facility.astype(str), 4)), np.char.add("_", day.astype(str)))
    table = gpd.GeoDataFrame(
        {
            "scene_id": np.char.add(scene, f"-{month}"),
            "facility_id": np.char.add("f", np.char.zfill(facility.astype(str), 4)),
            "acquired": pd.to_datetime(month + "-" + pd.Series(day).astype(str), format="%Y-%m-%d", utc=True),
            "class": named,
            "score": score,
            **_shared_out(rng, named, score, names).columns(),
            "p_true": score**1.5,
            "length_m": metres[:, 2],
            "width_m": metres[:, 3],
            "heading_deg": np.degrees(boxes[:, 4]),
            "detected": score >= 0.25,
            "flags": "",
        },
        geometry=shapely.polygons(corners),
        crs=CRS,
    )
    return table.sort_values(["facility_id", "acquired"], kind="stable", ignore_index=True)


def _shared_out(rng: np.random.Generator, named: np.ndarray, score: np.ndarray, names: tuple[str, ...]) -> ClassScores:
    """Scores of which the named class has most, and the others of its family the rest in equal parts."""
    table = class_table()
    family = np.array([list(table.families).index(table.family_of(name)) for name in names])
    sure = ClassScores.named(named, score, names).values > 0
    others = (family == family[sure.argmax(axis=1)][:, None]) & ~sure
    share = rng.beta(5, 1, len(score))[:, None]
    shares = np.where(sure, share, 0.0) + others * (1 - share) / others.sum(axis=1, keepdims=True)
    return ClassScores(names, score[:, None] * shares)


def write_archive(folder: Path, rows: int) -> None:
    """Write `rows` detections as `folder`/year=Y/month=M/detections.parquet, unless they are there."""
    done = folder / "rows"
    if done.exists() and done.read_text() == str(rows):
        return
    shutil.rmtree(folder, ignore_errors=True)
    for year, month, table in months(rows):
        part = folder / f"year={year}" / f"month={month}"
        part.mkdir(parents=True)
        table.to_parquet(
            part / "detections.parquet",
            index=False,
            compression="zstd",
            write_covering_bbox=True,
            row_group_size=ROW_GROUP,
        )
    done.write_text(str(rows))


def ask(folder: Path, threads: int) -> list[dict[str, str | int | float]]:
    """Each question: rows of the answer, and the median of `REPEATS` in seconds, and in seconds of processor time."""
    found: list[dict[str, str | int | float]] = []
    with duckdb.connect(
        config={"threads": threads, "memory_limit": "2GB", "autoinstall_known_extensions": "false"}
    ) as db:
        files = folder / "*" / "*" / "*.parquet"
        db.execute(f"CREATE VIEW archive AS SELECT * FROM read_parquet('{files}', hive_partitioning = true)")
        for name, text in QUERIES.items():
            seconds, busy = [], []
            for _ in range(REPEATS):
                start, used = time.perf_counter(), time.process_time()
                answer = db.execute(text).fetchall()
                seconds.append(time.perf_counter() - start)
                busy.append(time.process_time() - used)
            medians = {"seconds": statistics.median(seconds), "cpu_seconds": statistics.median(busy)}
            found.append({"query": name, "rows": len(answer), **{k: round(v, 3) for k, v in medians.items()}})
    return found


def main() -> None:
    """Write the archive where it is missing, ask, print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("data/bench/archive"), help="where the archive lies")
    parser.add_argument("--rows", type=int, default=ROWS, help="detections in it")
    parser.add_argument("--threads", type=int, default=2, help="threads that answer")
    arguments = parser.parse_args()
    start = time.perf_counter()
    write_archive(arguments.folder, arguments.rows)
    seconds = time.perf_counter() - start
    files = list(arguments.folder.rglob("*.parquet"))
    result = {
        "machine": machine() | {"duckdb": duckdb.__version__},
        "rows": arguments.rows,
        "files": len(files),
        "gigabytes": round(sum(path.stat().st_size for path in files) / 1e9, 2),
        "write_seconds": round(seconds, 1),
        "threads": arguments.threads,
        "queries": ask(arguments.folder, arguments.threads),
        "peak_mb": round(peak_mb()),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
