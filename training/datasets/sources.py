"""Which annotated scenes the sources hold, and what of them cannot be used."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from detector.errors import InputRejected, UsageError
from detector.inputs.acquisition import Declared
from detector.inputs.probe import Header, check_pixels, measure, read_header, scene_of
from detector.scene import Scene
from training.datasets.facility import facility_of
from training.formats import Annotations, Fault, read
from training.tiles import Truth

GSD_LIMITS_M = (0.05, 0.75)
"""Finer than what the detector takes may be learnt from, since it is averaged down; coarser may not."""

READERS = 4  # files looked at at the same time: mostly waiting for the disk
_CURE_BANDS = "Write its red, green and blue as a file of three bands."
_UNDATED = datetime(1970, 1, 1, tzinfo=UTC)  # when it was taken plays no part in training


@dataclass(frozen=True)
class SourceScene:
    """One scene, its truth, the facility it shows, and the source as it was given."""

    scene: Scene
    truth: Truth
    facility: str
    source: str


@dataclass(frozen=True)
class Gathered:
    """All scenes that can be used, in the order of the sources, and what is wrong in these."""

    scenes: tuple[SourceScene, ...]
    faults: tuple[Fault, ...]


def gather(sources: Sequence[str], labels: Path | None = None) -> Gathered:
    """The annotated scenes of all sources.

    Args:
        sources: as `training.formats.read` takes them: PATH or FORMAT:PATH, and @GSD_M behind where images do not say
            it; a folder of rendered scenes among them.
        labels: YAML of what their labels mean, before configs/classes.yaml.

    Raises:
        UsageError: a source does not exist or is of no known format, or none holds a scene that can be used.
    """
    scenes: dict[str, SourceScene] = {}
    faults: list[Fault] = []
    for given in sources:
        annotations, wrong = read(given, labels=labels)
        faults += wrong
        for found in _scenes(annotations, given):
            if isinstance(found, Fault):
                faults.append(found)
            elif (twin := scenes.setdefault(found.scene.sha256, found)) is not found:
                image, first = found.scene.paths[0], twin.scene.paths[0]
                faults.append(Fault(image, 0, f"is a copy of {first}, which is used: left out"))
    if not scenes:
        first_fault = f" First of {len(faults)} faults: {faults[0]}." if faults else ""
        raise UsageError(
            f"{', '.join(sources)}: hold no annotated scene that can be used.{first_fault}",
            "Give annotated images, or render some with `python -m training.synth`.",
        )
    return Gathered(tuple(scenes.values()), tuple(faults))


def open_scene(path: Path, gsd_m: float | None) -> Scene:
    """One image as a scene; unlike for counting, neither its date nor its facility need be known.

    Args:
        path: the image.
        gsd_m: its GSD, needed where it has no georeference.

    Raises:
        InputRejected: it cannot be read, or its GSD is unknown or out of range.
    """
    header = read_image(path)
    if header.crs is None and gsd_m is None:
        raise InputRejected(path, f"{header.unplaced} and its GSD is not known", "Give the source as PATH@GSD_M.")
    stated = () if gsd_m is None else (Declared("manifest", "the source", gsd_m=gsd_m),)
    size = measure(header, stated, GSD_LIMITS_M)
    check_pixels(header)
    return scene_of(header, size, (_UNDATED, "none"))


def read_image(path: Path) -> Header:
    """An image's header, as for counting; but where its bands are unclear, the cure is not that of counting.

    Raises:
        InputRejected: it cannot be read, or its bands are unclear.
    """
    try:
        return read_header(path)
    except InputRejected as error:
        if "--settings" not in error.cure:
            raise
        raise InputRejected(path, error.reason, _CURE_BANDS) from error


def _scenes(annotations: Sequence[Annotations], given: str) -> Iterator[SourceScene | Fault]:
    with ThreadPoolExecutor(READERS) as pool:
        yield from pool.map(partial(_scene, given=given), annotations)


def _scene(found: Annotations, given: str) -> SourceScene | Fault:
    try:
        scene = open_scene(found.image, found.gsd_m)
    except InputRejected as error:
        return Fault(error.path, 0, f"{error.reason}: left out. {error.cure}")
    return SourceScene(scene, Truth.of(found, (scene.gsd_x_m, scene.gsd_y_m)), facility_of(found.image), given)
