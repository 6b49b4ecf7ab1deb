"""What a look showed, and the page that a training writes while it runs."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from training.classes import class_names
from training.fitting.looks import WRONG, TileLook, confusion, partners, worst_false_alarms, worst_misses
from training.fitting.run_page import read_results, write_page

BOX = (30.0, 30.0, 20.0, 6.0, 0.3)
FAR = (90.0, 90.0, 24.0, 6.0, 0.0)
NEAR = (90.0, 70.0, 20.0, 6.0, 0.0)


def look(
    truth: list[tuple[tuple[float, ...], int]],
    found: list[tuple[tuple[float, ...], int, float]],
    image: Path = Path("t.png"),
) -> TileLook:
    def boxes(rows: list[tuple[float, ...]]) -> NDArray[np.float64]:
        return np.array(rows, dtype=np.float64).reshape(-1, 5)

    return TileLook(
        image,
        boxes([box for box, _ in truth]),
        np.array([kind for _, kind in truth], dtype=np.int64),
        boxes([box for box, _, _ in found]),
        np.array([kind for _, kind, _ in found], dtype=np.int64),
        np.array([score for *_, score in found], dtype=np.float64),
    )


@pytest.fixture
def seen() -> TileLook:
    """One railcar found twice, one found as a container, one missed but for a weak box, one alarm on the ground."""
    shifted = (BOX[0] + 1, *BOX[1:])
    return look(
        [(BOX, 0), (FAR, 0), (NEAR, 1)],
        [(shifted, 0, 0.6), (BOX, 0, 0.9), (FAR, 3, 0.5), (NEAR, 1, 0.1), ((60.0, 20.0, 20.0, 6.0, 1.0), 2, 0.4)],
    )


def test_the_surest_box_is_the_object(seen: TileLook) -> None:
    assert partners(seen).tolist() == [WRONG, 0, 1, WRONG, WRONG]


def test_confusion_by_hand(seen: TileLook) -> None:
    table = confusion([seen], 5)
    expected = np.zeros((6, 6), dtype=int)
    expected[0, 0] = expected[0, 3] = expected[1, 5] = expected[5, 0] = expected[5, 2] = 1
    assert np.array_equal(table, expected)


def test_the_worst_come_first(seen: TileLook) -> None:
    unseen = look([(FAR, 2), (NEAR, 2)], [])
    assert [fault.score for fault in worst_false_alarms([seen, unseen], 5)] == [0.6, 0.4]
    misses = worst_misses([seen, unseen], 5)
    assert [(fault.class_number, fault.score, fault.box[2]) for fault in misses] == [
        (2, 0, 24),
        (2, 0, 20),
        (1, 0.1, 20),
    ]
    assert len(worst_misses([seen, unseen], 1)) == 1


def test_nothing_found_on_nothing() -> None:
    assert confusion([look([], [])], 5).sum() == 0
    assert worst_misses([look([], [])], 3) == worst_false_alarms([], 3) == []


def test_the_page_shows_curves_confusion_and_crops(seen: TileLook, tmp_path: Path) -> None:
    tile = tmp_path / "tile.png"
    Image.new("RGB", (96, 96), "grey").save(tile)
    (tmp_path / "results.csv").write_text(
        "epoch,time,train/box_loss,metrics/recall(B),lr/pg0\n1,5,2.0,nan,0.001\n2,9,1.5,0.25,0.0005\n"
    )
    shown = TileLook(tile, seen.truth, seen.truth_class, seen.found, seen.found_class, seen.score)
    page = write_page(tmp_path, [shown]).read_text()
    assert "After 2 epochs" in page
    assert "box 1.5" in page
    assert "recall 0.25" in page
    assert "1 held-out tiles" not in page
    assert all(f'<th scope="row">{name}</th>' in page for name in (*class_names(), "ground"))
    assert page.count("<figure>") == 3
    assert "found as locomotive, score 0.40, tile" in page
    assert "missed tarped_railcar, score 0.10, tile" in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")


def test_the_page_before_the_first_look(tmp_path: Path) -> None:
    page = write_page(tmp_path, []).read_text()
    assert "No look at held-out tiles yet" in page
    assert read_results(tmp_path / "results.csv") == {}
