"""The files that decide the pixels of an image beside its own: what a VRT reads, masks, headers, world files."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from rasterio.errors import RasterioError
from rasterio.io import DatasetReader

from detector.hashing import sha256_of
from detector.inputs.names import named
from detector.pixels.rasterfile import open_raster

# Listed by GDAL with an image, but without a say in its pixels or place: overviews, and the vendor's metadata, of
# which all that counts (time, clouds, slant) is part of a scene by itself.
NO_SAY = frozenset({".ovr", ".rrd", ".imd", ".rpb", ".rpc", ".til", ".eph"})
VENDOR_TEXTS = frozenset({".xml", ".txt"})  # the vendor's metadata too, but what a VRT reads may be called so
_PAM = ".aux.xml"
_MAKE_MASKS = ("NODATA_VALUES", "INTERNAL_MASK_FLAGS")  # the metadata that say which pixels are valid


def files_behind(dataset: DatasetReader) -> tuple[Path, ...]:
    """The other files that decide the pixels of an open raster: its companions, and all that it reads, however deep.

    Left out are `NO_SAY`, `VENDOR_TEXTS` beside an image that is no VRT, and an `.aux.xml` that holds only
    statistics and metadata, which viewers leave behind.

    Returns:
        Paths under their own names (see `named`), each once, in the order in which GDAL lists them, what a file
        reads right after it.
    """
    found: dict[Path, None] = {}
    _gather(dataset, found)
    return tuple(found)


def digests_of(files: Sequence[Path]) -> list[str]:
    """SHA-256 of the content of each file, as hex; of an `.aux.xml`, of what it says of pixels and place."""
    return [_digest(file) for file in files]


def joint_digest(digests: Sequence[str]) -> str:
    """One digest for several: a single one is itself, so that a file alone has the SHA-256 of its content."""
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _gather(dataset: DatasetReader, found: dict[Path, None]) -> None:
    for name in dataset.files[1:]:
        path = named(Path(name))
        if path in found or not _has_say(path, dataset.driver):
            continue
        found[path] = None
        if dataset.driver == "VRT":
            _gather_source(path, found)


def _has_say(path: Path, driver: str) -> bool:
    """Whether a file that GDAL lists with a raster of this driver decides its pixels or place."""
    if path.name.endswith(_PAM):
        return bool(_told_in(path))
    suffix = path.suffix.lower()
    return suffix not in NO_SAY and (suffix not in VENDOR_TEXTS or driver == "VRT")


def _gather_source(path: Path, found: dict[Path, None]) -> None:
    """What lies behind a source of a VRT; nothing where it is no raster, such as a companion of the VRT."""
    try:
        source = open_raster(path)
    except RasterioError:
        return
    with source:
        _gather(source, found)


def _digest(file: Path) -> str:
    if file.name.endswith(_PAM) and (told := _told_in(file)):
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()
    return sha256_of(file)


def _told_in(path: Path) -> list[object]:
    """What an `.aux.xml` says of pixels and place; the digest of its content where it cannot be read as XML."""
    try:
        return _told(ElementTree.parse(path).getroot())
    except (ElementTree.ParseError, ValueError, LookupError):  # the last two: its encoding is unknown or unfit
        return [sha256_of(path)]


def _told(element: ElementTree.Element) -> list[object]:
    """An element as tag, attributes, text and what it holds; empty where that decides no pixel."""
    if element.tag == "Histograms":
        return []
    if element.tag == "Metadata" and element.get("format") != "xml":  # in XML, ArcGIS keeps georeferences
        return _masks_told(element)
    held = [told for child in element if (told := _told(child))]
    text = (element.text or "").strip()
    says = bool(text or held or (element.attrib and not len(element)))
    return [element.tag, sorted(element.attrib.items()), text, held] if says else []


def _masks_told(metadata: ElementTree.Element) -> list[object]:
    """The entries of metadata that say which pixels are valid, as name and value."""
    return [
        [name, (entry.text or "").strip()]
        for entry in metadata
        if (name := entry.get("key", "")).startswith(_MAKE_MASKS)
    ]
