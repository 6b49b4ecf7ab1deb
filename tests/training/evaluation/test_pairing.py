"""Truth belongs to the scene whose file has its name, and where names repeat, to the image that it lies beside."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from detector.errors import UsageError
from training.evaluation.pairing import file_stems, pair

OLD, NEW = "yard-aaaaaaaa", "yard-bbbbbbbb"


def run(folder: Path, images: Mapping[str, str]) -> Path:
    """A RUN folder that knows where its images lay."""
    (folder / "run").mkdir()
    inputs = [{"scene_id": scene_id, "path": str(folder / path)} for scene_id, path in images.items()]
    (folder / "run" / "run.json").write_text(json.dumps({"inputs": inputs}))
    return folder / "run"


def truth(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / "truth" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "truth" / name).write_text("{}")
    return folder / "truth"


def test_names_tell(tmp_path: Path) -> None:
    labels = truth(
        tmp_path, "x/a.geojson", "b.geojson", "b.truth.geojson", "c.geojson", "facilities.geojson", "._a.geojson"
    )
    got = pair(tmp_path, labels, ["a-00000000", "b-00000000", "b-00000000", "d-00000000"])
    assert got.files == {"a-00000000": labels / "x/a.geojson", "b-00000000": labels / "b.truth.geojson"}
    assert got.without_truth == ("d-00000000",)
    assert got.without_scene == (labels / "c.geojson",)


def test_one_file_is_of_the_only_scene(tmp_path: Path) -> None:
    only = truth(tmp_path, "any name.json") / "any name.json"
    assert pair(tmp_path, only, [OLD, OLD]).files == {OLD: only}
    assert pair(tmp_path, only, [OLD, "else-00000000"]).files == {}


def test_two_files_of_one_name_need_a_folder_that_tells(tmp_path: Path) -> None:
    labels = truth(tmp_path, "2023/yard.truth.geojson", "2024/yard.truth.geojson")
    with pytest.raises(
        UsageError, match=r"2023/yard\.truth\.geojson and .*2024/yard\.truth\.geojson may both.*Keep one"
    ):
        pair(tmp_path, labels, [NEW])
    beside = run(tmp_path, {NEW: "truth/2024/yard.tif"})
    got = pair(beside, labels, [NEW])
    assert got.files == {NEW: labels / "2024/yard.truth.geojson"}
    assert got.without_scene == (labels / "2023/yard.truth.geojson",)
    assert pair(tmp_path, labels, ["else-00000000"]).files == {}  # a name that is not needed may repeat


def test_two_scenes_of_one_name_need_a_folder_that_tells(tmp_path: Path) -> None:
    labels = truth(tmp_path, "2023/yard.truth.geojson", "2024/yard.truth.geojson")
    with pytest.raises(UsageError, match=f"{OLD} and {NEW} are both called yard.*beside its image"):
        pair(tmp_path, labels, [OLD, NEW])
    beside = run(tmp_path, {OLD: "truth/2023/yard.tif", NEW: "truth/2024/yard.tif"})
    got = pair(beside, labels, [OLD, NEW])
    assert got.files == {OLD: labels / "2023/yard.truth.geojson", NEW: labels / "2024/yard.truth.geojson"}


def test_a_single_file_beside_one_of_two_scenes_is_its_own(tmp_path: Path) -> None:
    labels = truth(tmp_path, "2023/yard.truth.geojson")
    beside = run(tmp_path, {OLD: "truth/2023/yard.tif", NEW: "truth/2024/yard.tif"})
    got = pair(beside, labels, [OLD, NEW])
    assert got.files == {OLD: labels / "2023/yard.truth.geojson"}
    assert got.without_truth == (NEW,)


@pytest.mark.parametrize("other", ["truth/2023/yard.png", "elsewhere/yard.tif"])
def test_folders_that_do_not_tell(tmp_path: Path, other: str) -> None:
    labels = truth(tmp_path, "2023/yard.truth.geojson", "2022/yard.truth.geojson")
    beside = run(tmp_path, {OLD: "truth/2023/yard.tif", NEW: other})
    with pytest.raises(UsageError, match=f"2023/yard.tif and .*{other} are both called yard"):
        pair(beside, labels, [OLD, NEW])


def test_a_date_that_tells_equal_pictures_apart_is_no_part_of_the_name() -> None:
    ids = ["yard-aaaaaaaa", "yard-20240102-aaaaaaaa", "yard-20240102-bbbbbbbb"]
    assert list(file_stems([*ids, ids[0]]).items()) == list(zip(ids, ["yard", "yard", "yard-20240102"], strict=True))
