"""Rare classes reach their share of the training list, and Ultralytics reads that list."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tile_scenes import small_config, write_scene
from training.dataset import build
from training.datasets.balance import MOST, repetitions, shares

names = st.sampled_from(["railcar", "locomotive", "container"])


class TestRepetitions:
    @given(
        st.lists(st.sets(names), min_size=1, max_size=40),
        st.dictionaries(names, st.floats(0.01, 0.9), max_size=3),
    )
    def test_every_tile_stays_and_none_stands_too_often(self, shown: list[set[str]], wanted: dict[str, float]) -> None:
        classes = {f"t{number}": found for number, found in enumerate(shown)}
        times = repetitions(classes, wanted)
        assert times.keys() == classes.keys()
        assert all(1 <= count <= MOST for count in times.values())
        rare = set(wanted)
        assert all(count == 1 for tile, count in times.items() if not classes[tile] & rare)
        assert times == repetitions(dict(reversed(classes.items())), wanted)

    def test_shares_are_reached(self) -> None:
        classes = {f"t{n}": {"railcar"} | ({"locomotive"} if n % 20 == 0 else set()) for n in range(2000)}
        classes |= {f"c{n}": {"container"} for n in range(100)}
        reached = shares(classes, repetitions(classes, {"locomotive": 0.2, "container": 0.15}))
        assert reached["locomotive"] == pytest.approx(0.2, abs=0.02)
        assert reached["container"] == pytest.approx(0.15, abs=0.02)

    def test_what_has_its_share_is_left_alone(self) -> None:
        classes = {f"t{n}": {"railcar"} for n in range(10)}
        assert set(repetitions(classes, {"railcar": 0.5, "locomotive": 0.3}).values()) == {1}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("balanced")
    for stem in ("north", "south", "west"):
        write_scene(folder / "scenes", stem)
    config = small_config(balance={"container": 0.8})
    manifest = build(config, [str(folder / "scenes")], folder / "yolo", processes=1)
    assert manifest["repeated"]
    return folder / "yolo"


class TestList:
    def test_names_every_training_tile_and_those_repeated_more_often(self, built: Path) -> None:
        lines = (built / "train.txt").read_text().split()
        assert {built / line for line in lines} == set((built / "images" / "train").iterdir())
        assert len(lines) > len(set(lines))

    def test_training_reads_it_with_cached_labels(self, built: Path) -> None:
        pytest.importorskip("ultralytics")
        from ultralytics.data.utils import check_det_dataset  # noqa: PLC0415
        from ultralytics.utils import DEFAULT_CFG  # noqa: PLC0415

        from training.fitting.loader import TileDataset  # noqa: PLC0415

        lines = (built / "train.txt").read_text().split()
        data = check_det_dataset(str(built / "data.yaml"), autodownload=False)
        for _ in range(2):  # the second time with the labels of labels/train.cache
            tiles = TileDataset(
                0.35, img_path=data["train"], imgsz=64, augment=True, hyp=DEFAULT_CFG, data=data, task="obb"
            )
            assert len(tiles) == len(lines)
            for index in (0, len(lines) - 1):
                assert tiles.load_image(index)[0].shape == (64, 64, 3)
        assert (built / "labels" / "train.cache").exists()

    def test_without_balance_the_folder_is_the_list(self, built: Path) -> None:
        manifest = build(small_config(), [str(built.parent / "scenes")], built.parent / "plain", processes=1)
        assert manifest["repeated"] == {}
        assert "images/train" in (built.parent / "plain" / "data.yaml").read_text()
        assert not (built.parent / "plain" / "train.txt").exists()
