"""What depends on colour: copies show the same with other colours, and only pictures that have colours are judged."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio

from benchmarks.bench_colours import COLOURS, main, recoloured
from tests.annotated import Wagon, annotated_scene
from training.annotated import AnnotatedScene

BANDS = np.random.default_rng(0).integers(0, 256, (3, 20, 30), dtype=np.uint8)


def test_bands_change_places() -> None:
    as_is, turned, back, grey = (change(BANDS) for change in COLOURS.values())
    assert np.array_equal(as_is, BANDS)
    for shown in (turned, back):
        assert sorted(band.tobytes() for band in shown) == sorted(band.tobytes() for band in BANDS)
        assert not any(np.array_equal(ours, theirs) for ours, theirs in zip(shown, BANDS, strict=True))
    assert np.array_equal(turned[1], BANDS[0])
    assert np.array_equal(back[2], BANDS[0])
    assert grey.shape == BANDS.shape
    assert grey.dtype == BANDS.dtype
    assert np.abs(grey - BANDS.mean(axis=0)).max() <= 0.5


def test_copies_lie_in_the_same_place_with_their_truth(tmp_path: Path) -> None:
    source = annotated_scene([Wagon(100, 40)]).write(tmp_path / "scenes")
    (tmp_path / "copies").mkdir()
    (copy,) = recoloured([source], COLOURS["grey"], tmp_path / "copies")
    ours, theirs = AnnotatedScene.read(copy), AnnotatedScene.read(source)
    assert ours.image.shape == theirs.image.shape
    assert (ours.image == ours.image[..., :1]).all()
    with rasterio.open(copy) as file, rasterio.open(source) as original:
        assert file.transform == original.transform
        assert file.tags() == original.tags()


def test_pictures_of_one_band_have_no_colours(tmp_path: Path) -> None:
    scene = annotated_scene([Wagon(100, 40)])
    path = replace(scene, image=scene.image[..., :1]).write(tmp_path / "scenes")
    assert recoloured([path], COLOURS["grey"], tmp_path) == []


def test_nothing_to_judge_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--scenes", str(tmp_path)]) == 2
    assert "holds no scenes" in capsys.readouterr().err
