"""The page of a data set: self-contained, small, true to its contents."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.tile_scenes import small_config, write_scene
from training.dataset import build
from training.datasets.histogram import Scale, histogram
from training.datasets.page import LENGTH
from training.datasets.sheet import RAREST, TileFile, contact_sheets, rarest


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("page")
    for stem in ("north", "south", "<west>"):
        write_scene(folder / "scenes", stem)
    (folder / "scenes" / "odd.truth.geojson").write_text("{}")
    build(small_config(), [str(folder / "scenes")], folder / "yolo", processes=1)
    return (folder / "yolo" / "index.html").read_text()


class TestPage:
    def test_is_one_file_that_loads_nothing(self, page: str) -> None:
        sources = re.findall(r'(?:src|href)="([^"]*)"', page)
        assert all(source.startswith(("data:", "#")) or source == "faults.csv" for source in sources)

    def test_counts_objects_once(self, page: str) -> None:
        row = re.search(r'<th scope="row">railcar</th>(.*?)</tr>', page, re.DOTALL)
        assert row is not None
        cells = [int(cell) for cell in re.findall(r'<td class="n">(\d+)</td>', row.group(1))]
        assert sum(cells[:2]) == 9  # three a scene

    def test_names_are_escaped_and_faults_shown(self, page: str) -> None:
        assert "&lt;west&gt;" in page
        assert "<west>" not in page
        assert "no single image odd.* is near it" in page


class TestSheet:
    def tiles(self, count: int) -> list[TileFile]:
        return [TileFile(f"t{n}", "train", frozenset({0, 2} if n < 3 else {0})) for n in range(count)]

    def test_the_rarest_class_comes_first(self) -> None:
        chosen = rarest(self.tiles(40), set())
        assert {tile.name for tile in chosen[:3]} == {"t0", "t1", "t2"}
        assert len(chosen) == len({tile.name for tile in chosen}) == RAREST

    def test_without_tiles_there_is_none(self, tmp_path: Path) -> None:
        assert contact_sheets(tmp_path, [], "png") == ((), ())

    def test_stays_below_its_limit_whatever_the_tiles_show(self, tmp_path: Path) -> None:
        for kind in ("images", "labels"):
            (tmp_path / kind / "train").mkdir(parents=True)
        rng = np.random.default_rng(0)
        noise = Image.fromarray(rng.integers(0, 255, (512, 512, 3), dtype=np.uint8))
        tiles = self.tiles(72)
        for tile in tiles:
            noise.save(tmp_path / "images" / "train" / f"{tile.name}.jpg", quality=90)
            (tmp_path / "labels" / "train" / f"{tile.name}.txt").write_text("1 0 0 0.5 0 0.5 0.1 0 0.1\n")
        sheets = contact_sheets(tmp_path, tiles, "jpg")
        assert [len(sheet) for sheet in sheets] == [48, 24]
        assert sum(len(picture.image) for sheet in sheets for picture in sheet) < 4_000_000
        (box,) = sheets[0][0].boxes
        assert (box.name, box.points, box.diagonal) == ("tarped_railcar", "0,0 500,0 500,100 0,100", "M0,0L500,100")


class TestHistogram:
    def test_shares_add_up_and_what_is_beyond_stands_in_the_last_bin(self) -> None:
        shares = LENGTH.shares(np.array([0.0, 12.5, 39.5, 41.0, 80.0]))
        assert shares.sum() == pytest.approx(1)
        assert shares[-1] == pytest.approx(3 / 5)

    def test_no_values_are_no_bars(self) -> None:
        scale = Scale("x", np.arange(0.0, 4.0), (0, 3))
        drawn = str(histogram(scale, np.zeros(0), np.zeros(0)))
        assert "<rect" not in drawn
        assert "<path" not in drawn
