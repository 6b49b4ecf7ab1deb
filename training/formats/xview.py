"""xView: one `xView_train.geojson` with upright boxes over the TIFFs of `train_images/`.

Each feature has the properties `bounds_imcoords` ("xmin,ymin,xmax,ymax" in pixels), `type_id` and `image_id` (the name
of the TIFF). WorldView-3, 0.3 m. Lam et al., "xView: Objects in Context in Overhead Imagery", 2018.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from detector.errors import InputRejected
from training.classes import Vocabulary
from training.formats.annotations import Annotations, BadBox, Drawn, Fault, checked, numbers, upright
from training.formats.jsonfile import NotJson, read_object
from training.formats.pictures import Album, images_below, open_picture

NAME = "xview"
GSD_M = 0.3
PROPERTY = "bounds_imcoords"
_HEAD = 1 << 16


def claims(path: Path) -> bool:
    """Whether the file, or one in the folder, is an xView GeoJSON."""
    return any(True for _ in _collections(path))


def read(path: Path, vocabulary: Vocabulary, gsd_m: float | None = None) -> tuple[list[Annotations], list[Fault]]:
    """Read an xView GeoJSON, or all in a folder; the TIFFs lie somewhere below the same folder.

    Args:
        path: the GeoJSON or the folder.
        vocabulary: what each `type_id` means.
        gsd_m: of images without georeference; 0.3 m by default, the resolution of xView.

    Returns:
        Annotations by image, upright as they are, and of unknown rotation; of images too that show other things only.
    """
    album = Album(images_below(path if path.is_dir() else path.parent))
    result: list[Annotations] = []
    faults: list[Fault] = []
    for source in _collections(path):
        by_image, wrong = _parsed(source, vocabulary)
        faults += wrong
        for image_id, (line, drawn) in sorted(by_image.items()):
            image = album.nearest(Path(image_id).stem, source)
            if image is None:
                lost = f"no single image {image_id} is near it: its {len(drawn)} boxes are left out"
                faults.append(Fault(source, line, lost))
                continue
            try:
                picture = open_picture(image).with_gsd(gsd_m, GSD_M)
            except InputRejected as error:
                faults.append(Fault(source, line, f"{error.path}: {error.reason}: left out"))
                continue
            annotations, more = checked(picture, source, drawn, vocabulary)
            result.append(annotations)
            faults += more
    return result, faults


def _collections(path: Path) -> Iterator[Path]:
    for file in [path] if path.is_file() else sorted(path.rglob("*.geojson")):
        with file.open("rb") as stream:
            if PROPERTY.encode() in stream.read(_HEAD):
                yield file


def _parsed(source: Path, vocabulary: Vocabulary) -> tuple[dict[str, tuple[int, list[Drawn]]], list[Fault]]:
    """By image the line of its first feature and the boxes that the vocabulary knows or does not, and faults."""
    by_image: dict[str, tuple[int, list[Drawn]]] = {}
    faults: list[Fault] = []
    try:
        features = read_object(source)
    except NotJson as error:
        return {}, [Fault(source, error.line, f"{error.reason}: left out")]
    for line, feature in features.elements("features"):
        try:
            properties = feature["properties"]
            image_id, label, bounds = str(properties["image_id"]), properties["type_id"], properties[PROPERTY]
            _, drawn = by_image.setdefault(image_id, (line, []))
            if not _is_other(label, vocabulary):
                box, swapped = _box(bounds)
                drawn.append(Drawn(label, box, line, axis_aligned=True))
                if swapped:
                    faults.append(Fault(source, line, f"{PROPERTY} {bounds!r} is in the wrong order: put in order"))
        except BadBox as error:
            faults.append(Fault(source, line, f"{error}: left out"))
        except (KeyError, TypeError) as error:
            faults.append(Fault(source, line, f"is no feature of xView ({type(error).__name__} {error}): left out"))
    return by_image, faults


def _is_other(label: str | int, vocabulary: Vocabulary) -> bool:
    """Whether a label is known and none of ours: nine in ten are."""
    try:
        return vocabulary.number_of(label) is None
    except KeyError:
        return False


def _box(bounds: Any) -> tuple[Any, bool]:  # noqa: ANN401
    """Corners of a box and whether its limits stood in the wrong order."""
    if not isinstance(bounds, str) or bounds.count(",") != 3:
        raise BadBox(f"{PROPERTY} must be 'xmin,ymin,xmax,ymax', is {bounds!r}")
    x0, y0, x1, y1 = numbers(bounds.split(","))
    return upright(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)), bool(x0 > x1 or y0 > y1)
