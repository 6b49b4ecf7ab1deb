"""The page of a data set, OUT/index.html: what it holds, in numbers and in pictures."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from detector.geometry import xywhr_from_corners
from detector.report import words
from detector.store import write_text
from training.classes import class_names
from training.datasets.histogram import Scale, histogram
from training.datasets.sheet import TileFile, contact_sheets
from training.datasets.sources import SourceScene
from training.datasets.split import SPLITS
from training.formats import Fault
from training.settings import TrainConfig
from training.tiles import to_model

MOST_FAULTS, MOST_FACILITIES = 40, 10
"""Rows of the page's tables; the files beside it have all."""

LENGTH = Scale("length, m", np.arange(0.0, 41.0), (0, 10, 20, 30, 40), open_end=True)
WIDTH = Scale("width, m", np.arange(0.0, 6.01, 0.2), (0, 1, 2, 3, 4, 5, 6), open_end=True)
ANGLE = Scale("angle of the long side in the picture, degrees", np.arange(0.0, 181.0, 7.5), (0, 45, 90, 135, 180))
VISIBLE = Scale("visible share", np.arange(0.0, 1.01, 0.05), (0, 0.2, 0.4, 0.6, 0.8, 1.0))
GSD = Scale("GSD of the scenes, m", np.arange(0.0, 0.76, 0.025), (0, 0.15, 0.3, 0.45, 0.6, 0.75))

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Contents:
    """What a data set holds: its manifest, scenes, the split of each facility, parts as cut, and faults."""

    manifest: dict[str, Any]
    scenes: tuple[SourceScene, ...]
    facilities: dict[str, str]
    parts: Sequence[dict[str, Any]]
    faults: tuple[Fault, ...]


@dataclass(frozen=True)
class Objects:
    """All objects of the scenes, each once: M rows.

    Attributes:
        classes: network output numbers.
        length_m, width_m, angle_deg: of the whole rectangle; angles in [0, 180).
        visible: shares, 0 to 1.
        held_out: whether the facility is in the split "val".
    """

    classes: NDArray[np.int64]
    length_m: Floats
    width_m: Floats
    angle_deg: Floats
    visible: Floats
    held_out: NDArray[np.bool_]


@dataclass(frozen=True)
class ClassRow:
    """One class: its objects in the scenes, and the labels and tiles they became, by split; its histograms."""

    name: str
    objects: tuple[int, int]
    labels: tuple[int, int]
    tiles: tuple[int, int]
    share: float
    figures: tuple[Markup, ...]


def write_page(out: Path, contents: Contents, config: TrainConfig) -> Path:
    """Write OUT/index.html: one self-contained page below 5 MB, equal for equal contents; returns its path."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("training.datasets", "."), PackageLoader("detector.report", ".")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["words"] = words
    tiles = [
        TileFile(name, part["split"], frozenset(numbers))
        for part in contents.parts
        for name, numbers in part["classes"].items()
    ]
    objects = _objects(contents)
    per_facility = _tiles_per_facility(contents)
    by_chance, rare = contact_sheets(out, tiles, config.tiles.image_format)
    text = environment.get_template("page.html.j2").render(
        name=out.name,
        manifest=contents.manifest,
        scenes=contents.scenes,
        rows=_class_rows(contents.manifest, tiles, objects),
        others=_other_counts(contents.manifest),
        overall=_overall_figures(contents, objects, per_facility),
        facilities=per_facility.most_common(MOST_FACILITIES),
        split_of=contents.facilities,
        facility_count=len(per_facility),
        sheets=(("Tiles drawn at random", by_chance), ("More tiles with the rarest classes", rare)),
        faults=contents.faults[:MOST_FAULTS],
        fault_count=len(contents.faults),
    )
    target = out / "index.html"
    write_text(target, text)
    return target


def _objects(contents: Contents) -> Objects:
    boxes, held_out = [np.zeros((0, 5))], [np.zeros(0, dtype=bool)]
    classes, visible = [np.zeros(0, dtype=np.int64)], [np.zeros(0)]
    for source in contents.scenes:
        scene, learnt = source.scene, ~source.truth.ignore
        boxes.append(xywhr_from_corners(to_model(source.truth.corners_px[learnt], scene.gsd_x_m, scene.gsd_y_m, 1.0)))
        held_out.append(np.full(int(learnt.sum()), contents.facilities[source.facility] == "val"))
        classes.append(source.truth.classes[learnt])
        visible.append(source.truth.visible[learnt])
    metres = np.concatenate(boxes)
    return Objects(
        np.concatenate(classes),
        metres[:, 2],
        metres[:, 3],
        np.degrees(metres[:, 4]),
        np.concatenate(visible),
        np.concatenate(held_out),
    )


def _class_rows(manifest: dict[str, Any], tiles: Sequence[TileFile], objects: Objects) -> list[ClassRow]:
    """All classes, also those without objects."""
    rows = []
    listed = Counter({tile.name: manifest["repeated"].get(tile.name, 1) for tile in tiles if tile.split == "train"})
    for number, name in enumerate(class_names()):
        own = objects.classes == number
        parts = own & ~objects.held_out, own & objects.held_out
        showing = [tile for tile in tiles if number in tile.classes]
        measures = ((LENGTH, objects.length_m), (WIDTH, objects.width_m), (ANGLE, objects.angle_deg))
        figures = [Markup(histogram(scale, *(values[part] for part in parts))) for scale, values in measures]
        rows.append(
            ClassRow(
                name,
                (int(parts[0].sum()), int(parts[1].sum())),
                (manifest["counts"]["train"].get(name, 0), manifest["counts"]["val"].get(name, 0)),
                (sum(tile.split == "train" for tile in showing), sum(tile.split == "val" for tile in showing)),
                sum(listed[tile.name] for tile in showing) / max(1, listed.total()),
                tuple(figures) if own.any() else (),
            )
        )
    return rows


def _other_counts(manifest: dict[str, Any]) -> list[tuple[str, int, int]]:
    """What is counted besides classes: tiles, empty ones, ignored areas."""
    names = sorted(set().union(*(manifest["counts"][split] for split in SPLITS)) - set(class_names()))
    train, val = (manifest["counts"][split] for split in SPLITS)
    return [(name.strip("()"), train.get(name, 0), val.get(name, 0)) for name in names]


def _overall_figures(contents: Contents, objects: Objects, per_facility: Counter[str]) -> list[Markup]:
    gsd = np.array([source.scene.gsd_m for source in contents.scenes])
    scene_held_out = np.array([contents.facilities[source.facility] == "val" for source in contents.scenes], dtype=bool)
    tiles = np.array(list(per_facility.values()), dtype=np.float64)
    held_out = np.array([contents.facilities[name] == "val" for name in per_facility], dtype=bool)
    step = max(1, int(np.ceil((tiles.max(initial=1) + 1) / 20)))
    edges = np.arange(0.0, 21.0) * step
    count = Scale("tiles of a facility", edges, tuple(float(edge) for edge in edges[::5]))
    pairs = (
        (GSD, gsd, scene_held_out, "Scenes by GSD"),
        (VISIBLE, objects.visible, objects.held_out, "Objects by visible share"),
        (count, tiles, held_out, "Facilities by number of tiles"),
    )
    return [Markup(histogram(scale, values[~val], values[val], title)) for scale, values, val, title in pairs]


def _tiles_per_facility(contents: Contents) -> Counter[str]:
    facility = {source.scene.scene_id: source.facility for source in contents.scenes}
    counts: Counter[str] = Counter()
    for part in contents.parts:
        if part["name"] in facility:
            counts[facility[part["name"]]] += len(part["tiles"])
    return counts
