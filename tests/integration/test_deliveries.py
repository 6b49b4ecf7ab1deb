"""The shipped weights on one yard, delivered in other ways that leave its pixels as they are."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.deliveries import Found, count_delivery, render_yard, variants


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_yard(tmp_path_factory.mktemp("yard"))


@pytest.fixture(scope="module")
def original(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Found:
    return count_delivery(rendered, variants()["as it is"], tmp_path_factory.mktemp("original"))


@pytest.mark.integration
@pytest.mark.parametrize("name", ["16 bit", "cut into four"])
def test_same_railcars(name: str, rendered: Path, original: Found, tmp_path: Path) -> None:
    found = count_delivery(rendered, variants()[name], tmp_path)
    assert abs(found.count - original.count) <= 0.02 * original.count
    assert np.quantile(found.shifts_m(original), 0.95) <= 1.0
