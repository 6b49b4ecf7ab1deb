"""The same yard in other files gives the same railcars, through the shipped weights."""

from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from detector.config import count_config, detect_config
from detector.run import Inputs, count_step, detect_step
from detector.weights import load_weights
from tests.integration.scenes import render_yard, variants


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_yard(tmp_path_factory.mktemp("yard"))


@pytest.fixture(scope="module")
def original(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[float, np.ndarray]:
    return counted(rendered, variants()["as it is"], tmp_path_factory.mktemp("original"))


def counted(rendered: Path, write: Callable[[Path, Path], None], folder: Path) -> tuple[float, np.ndarray]:
    """Railcars counted, and the middles (N, 2) in metres of those detected."""
    (folder / "images").mkdir()
    write(rendered, folder / "images")
    facilities = rendered.parents[1] / "facilities.geojson"
    detect_step(Inputs((folder / "images",), facilities), folder / "run", load_weights(), detect_config())
    counts = count_step(folder / "run", count_config())
    found = gpd.read_parquet(folder / "run" / "detections.parquet").query("detected")
    found = found[found["class"].isin(["railcar", "tarped_railcar", "locomotive"])]
    middles = found.to_crs(found.estimate_utm_crs()).centroid
    (row,) = counts[counts["group"] == "railcar"].to_dict("records")
    return float(row["count"]), np.stack([middles.x, middles.y], axis=1)


@pytest.mark.integration
@pytest.mark.parametrize("name", [name for name in variants() if name != "as it is"])
def test_same_railcars(name: str, rendered: Path, original: tuple[float, np.ndarray], tmp_path: Path) -> None:
    count, middles = counted(rendered, variants()[name], tmp_path)
    distance = np.linalg.norm(original[1][:, None] - middles[None], axis=2)
    pairs = linear_sum_assignment(np.minimum(distance, 5.0))
    nearby = distance[pairs] < 5.0
    assert abs(count - original[0]) <= max(1.0, 0.02 * original[0])
    assert np.quantile(distance[pairs][nearby], 0.95) <= 1.0
