"""The scenes of a run are found again for their pictures: behind links, and without their twins."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import geopandas as gpd

from detector.report.album import open_scenes
from detector.run import Inputs, detect_step
from detector.runfolder import read_record
from tests.detector.fakes import facilities_file, fake_config, fake_weights
from tests.detector.imagery import write_image

FAR = {"far": (9e3, 0.0, 9.1e3, 100.0)}


def surveyed(folder: Path, manifest: Path | None = None) -> dict[str, Any]:
    """The record of a run over a folder of images, of which no facility is seen."""
    inputs = Inputs((folder / "images",), facilities_file(folder / "f.geojson", FAR), manifest)
    detect_step(inputs, folder / "run", fake_weights(folder / "weights"), fake_config())
    return read_record(folder / "run")


def rows(*scene_ids: str) -> dict[str, dict[str, Any]]:
    """What scenes.parquet says of them, as far as it counts here."""
    return {name: {"sensor": None, "geometry": gpd.points_from_xy([0], [0])[0]} for name in scene_ids}


def test_a_scene_behind_a_link_is_found_by_its_own_name(tmp_path: Path) -> None:
    for folder in ("store", "images"):
        (tmp_path / folder).mkdir()
    write_image(tmp_path / "store" / "yard.tif").rename(tmp_path / "store" / "ab12")
    link = tmp_path / "images" / "yard_20231005.tif"
    link.symlink_to(tmp_path / "store" / "ab12")
    record = surveyed(tmp_path)
    (entry,) = record["inputs"]
    assert entry["path"] == str(link)
    scenes, _ = open_scenes(record, rows(entry["scene_id"]))
    assert scenes[entry["scene_id"]].acquired == datetime(2023, 10, 5, tzinfo=UTC)


def test_a_scene_is_found_without_its_twin_of_another_date(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
        write_image(tmp_path / "images" / name / "yard.tif")
    manifest = tmp_path / "m.csv"
    manifest.write_text("path,acquired\na/yard.tif,2023-01-05\nb/yard.tif,2023-02-06\n")
    record = surveyed(tmp_path, manifest)
    early, late = (entry["scene_id"] for entry in record["inputs"])
    assert late == early.replace("yard-", "yard-20230206-")
    for wanted in ([early], [late], [early, late]):
        scenes, _ = open_scenes(record, rows(*wanted))
        assert sorted(scenes) == sorted(wanted)
        assert all(scenes[scene_id].scene_id == scene_id for scene_id in wanted)
    write_image(tmp_path / "images" / "b" / "yard.tif", None, crs="EPSG:32651")
    scenes, notes = open_scenes(record, rows(early, late))
    assert list(scenes) == [early] and "has changed" in notes[late]
