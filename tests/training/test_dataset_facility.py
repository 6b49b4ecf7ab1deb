"""Which facility an image shows, and that no facility is in two splits."""

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import UsageError
from tests.tile_scenes import small_config, write_scene
from training.dataset import build
from training.datasets.facility import facility_of

dates = st.dates(date(1990, 1, 1), date(2049, 12, 31))
forms = st.sampled_from(["%Y%m%d", "%Y-%m-%d", "%Y_%m_%d", "%Y%m%dT021845Z", "%Y%m%d_021845", "%y%b%d021845"])
moments = st.builds(date.strftime, dates, forms)
words = st.text("abWV-_", max_size=6)


@pytest.mark.parametrize(
    ("stem", "facility"),
    [
        ("20230101_gamma", "gamma"),
        ("2023-06-01_gamma", "gamma"),
        ("WV03_20230101_alpha", "WV03_alpha"),
        ("alpha_20230101", "alpha"),
        ("alpha_20230101_P001", "alpha"),
        ("alpha_20230101_R1C2", "alpha"),
        ("alpha_20230101_tile_003", "alpha_tile"),
        ("20230101_beta2", "beta2"),
        ("alpha20230101", "alpha"),
        ("alpha_20230101T0218", "alpha"),
        ("alpha_2023-10-05T02-18-45", "alpha"),
        ("alpha_20230101_tile1", "alpha"),
        ("alpha_20230101_row1_col2", "alpha"),
        ("alpha_20230101_crop3", "alpha"),
        ("alpha_20230101_part2", "alpha"),
        ("alpha_20230101_PAN", "alpha"),
        ("alpha_20230101_MUL", "alpha"),
        ("alpha_20230101_R1C2_pan", "alpha"),
        ("alpha_20230101_copy", "alpha"),
        ("alpha_20230101 - Copy (2)", "alpha"),
        ("alpha_20230101(1)", "alpha"),
        ("alpha_20230101 (1)", "alpha"),
        ("alpha_202301011011", "alpha"),
        ("alpha_202301011011_tile1", "alpha"),
        ("alpha_20230101T101112.123Z", "alpha"),
        ("alpha_20230101T10_11_12Z", "alpha"),
        ("alpha_2023-01-01T10.11.12", "alpha"),
        ("alpha_20230101_panorama", "alpha_panorama"),
        ("alpha_20230101_north_PAN", "alpha_north"),
        ("20230101_beta2_PAN", "beta2_PAN"),
        ("20230101_tile1", "tile1"),
        ("23OCT05021845-M1BS-alpha", "M1BS-alpha"),
        ("alpha_20220101-20230101_mean", "alpha_mean"),
        ("heldout-301094_20211215", "heldout-301094"),
        ("heldout-20301094_20211215", "heldout-20301094"),  # month 30
        ("img_20000001", "img_20000001"),
        ("P0001_202301011", "P0001_202301011"),
        ("alpha", "alpha"),
        ("_alpha_", "_alpha_"),
    ],
)
def test_the_name_without_its_date(stem: str, facility: str) -> None:
    assert facility_of(Path(f"photos/{stem}.tif")) == facility


def test_a_name_that_is_all_date_is_that_of_its_folder() -> None:
    assert {facility_of(Path(f"alpha/{day}.tif")) for day in ("20230101", "2023-06-01")} == {"alpha"}


@given(words, words, st.lists(moments, min_size=2, max_size=2))
def test_dates_make_no_difference(before: str, after: str, taken: list[str]) -> None:
    assert len({facility_of(Path(f"yards/{before}{moment}_{after}.tif")) for moment in taken}) == 1


@pytest.mark.parametrize("form", ["{date}_{yard}", "WV03_{date}_{yard}", "{yard}_{date}"])
def test_a_facility_is_in_one_split_wherever_its_date_stands(tmp_path: Path, form: str) -> None:
    yards = ("alpha", "beta", "gamma")
    for yard in yards:
        for day in ("20230101", "20230601"):
            write_scene(tmp_path / "scenes", form.format(date=day, yard=yard), edge_px=64)
    manifest = build(small_config(), [str(tmp_path / "scenes")], tmp_path / "yolo", processes=1)
    found = [name.removeprefix("WV03_") for split in manifest["facilities"].values() for name in split]
    assert sorted(found) == list(yards)
    places = {name: {s["split"] for s in manifest["sources"] if name in s["name"]} for name in yards}
    assert all(len(splits) == 1 for splits in places.values())


class TestSplitByImage:
    @pytest.fixture
    def scenes(self, tmp_path: Path) -> str:
        """Their names do not tell that the first and the last show one yard."""
        for stem in ("WV03_20230101", "WV03_20230301", "WV03_20230601"):
            write_scene(tmp_path / "scenes", stem, edge_px=64)
        return str(tmp_path / "scenes")

    def test_names_that_do_not_tell_ask_for_it(self, scenes: str, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="--split may list images by file name"):
            build(small_config(), [scenes], tmp_path / "yolo", processes=1)

    def test_images_may_be_listed_by_file_name_with_or_without_ending(self, scenes: str, tmp_path: Path) -> None:
        split = tmp_path / "split.csv"
        split.write_text("facility,split\nWV03_20230101.tif,train\nWV03_20230301,val\nWV03,train\n")
        manifest = build(small_config(), [scenes], tmp_path / "yolo", processes=1, split=split)
        assert manifest["facilities"] == {"train": ["WV03", "WV03_20230101.tif"], "val": ["WV03_20230301"]}
        splits = {source["name"].split("-")[0]: source["split"] for source in manifest["sources"]}
        assert splits == {"WV03_20230101": "train", "WV03_20230301": "val", "WV03_20230601": "train"}

    def test_an_image_that_is_not_listed_is_named(self, scenes: str, tmp_path: Path) -> None:
        split = tmp_path / "split.csv"
        split.write_text("facility,split\nWV03_20230101.tif,train\nWV03_20230301.tif,val\n")
        with pytest.raises(UsageError, match="does not list the facilities WV03"):
            build(small_config(), [scenes], tmp_path / "yolo", processes=1, split=split)
