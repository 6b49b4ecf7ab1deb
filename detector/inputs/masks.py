"""Where an image's clouds are told: in a manifest, in STAC, in a file beside it, or in one of its bands."""

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from rasterio.errors import RasterioError

from detector.errors import InputRejected
from detector.inputs.acquisition import Declared
from detector.inputs.names import named
from detector.pixels.rasterfile import open_raster
from detector.scene import CloudMask

UDM2_BANDS = 8
_BESIDE = re.compile(r"^(?P<image>.+?)[-_.](?P<kind>udm2?|cloud[-_]?mask|clouds)$", re.IGNORECASE)
# Planet names the mask after the collect, and each of its pictures after the product too.
_PRODUCT = re.compile(
    r"(?:[-_.](?:analytic|visual|pansharpened|panchromatic|ortho|basic|sr|dn|clip|ms|file|format))*", re.I
)
_RASTERS = frozenset({".tif", ".tiff", ".jp2", ".vrt", ".png"})
_CLOUD_BANDS, _CLEAR_BANDS = {"cloud", "clouds", "cloudmask"}, {"clear", "clearmask", "datamask", "validmask", "usable"}
CURE = "Correct or remove the mask, or name another in the manifest's column cloud_mask."


def is_cloud_mask(path: Path) -> bool:
    """Whether a file's name says that it is the cloud mask of another."""
    return _BESIDE.match(path.stem) is not None


def cloud_mask(path: Path, descriptions: Sequence[str | None], declared: Sequence[Declared] = ()) -> CloudMask | None:
    """The cloud mask of an image: the first that is declared, else the file beside it, else a band of its own.

    Beside `yard_20231005.tif`, these are masks: `yard_20231005_udm2.tif` (Planet's usable data mask),
    `yard_20231005_udm.tif`, `..._cloudmask.tif`, `..._cloud_mask.tif`, `..._clouds.tif` (what is not 0 is cloud).

    Args:
        path: the image.
        descriptions: name of each of its bands, or None.
        declared: what is said of it, the source that counts most first.

    Raises:
        InputRejected: the mask cannot be read.
    """
    mask = next((entry.cloud_mask for entry in declared if entry.cloud_mask), None) or _mask_beside(path)
    return _of_file(path, mask) if mask else _of_band(path, descriptions)


def mask_bands(descriptions: Sequence[str | None]) -> tuple[int, ...]:
    """One-based indexes of the bands that are masks by their names, no part of the picture."""
    names = [_letters(text) for text in descriptions]
    return tuple(band for band, name in enumerate(names, start=1) if name in _CLOUD_BANDS | _CLEAR_BANDS)


def _mask_beside(path: Path) -> Path | None:
    """The cloud mask in the folder of an image; of several, the one whose name says most of it, then UDM2."""
    stem = path.stem.lower()
    found = [
        (len(image), is_udm2, mask.name, mask)
        for image, is_udm2, mask in _masks_in(path.parent, path.parent.stat().st_mtime_ns)
        if stem.startswith(image) and _PRODUCT.fullmatch(stem, len(image)) and mask != path
    ]
    return named(max(found)[-1]) if found else None


@lru_cache(maxsize=64)
def _masks_in(folder: Path, changed_ns: int) -> tuple[tuple[str, bool, Path], ...]:
    """The masks in a folder: name of the image, whether UDM2, file. Read again when the folder has changed."""
    del changed_ns
    matches = [(_BESIDE.match(file.stem), file) for file in folder.iterdir() if file.suffix.lower() in _RASTERS]
    return tuple((match["image"].lower(), match["kind"].lower() == "udm2", file) for match, file in matches if match)


def _of_file(path: Path, mask: Path) -> CloudMask:
    try:
        with open_raster(mask) as dataset:
            n_bands, descriptions = dataset.count, dataset.descriptions
    except RasterioError as error:
        raise InputRejected(path, f"its cloud mask {mask.name} cannot be read ({error})", CURE) from error
    match = _BESIDE.match(mask.stem)
    if match is not None and match["kind"].lower() == "udm2":
        if n_bands != UDM2_BANDS:
            reason = f"its cloud mask {mask.name} has {n_bands} bands, a UDM2 has {UDM2_BANDS}"
            raise InputRejected(path, reason, CURE)
        return CloudMask(mask, "udm2")
    if (told := _of_band(mask, descriptions)) is not None:
        return told
    if n_bands != 1:
        reason = f"its cloud mask {mask.name} has {n_bands} bands, none of them named cloud or clear"
        raise InputRejected(path, reason, CURE)
    return CloudMask(mask, "cloud")


def _of_band(path: Path, descriptions: Sequence[str | None]) -> CloudMask | None:
    names = [_letters(text) for text in descriptions]
    for band, name in enumerate(names, start=1):
        if name in _CLOUD_BANDS:
            return CloudMask(path, "cloud", band)
    for band, name in enumerate(names, start=1):
        if name in _CLEAR_BANDS:
            return CloudMask(path, "clear", band)
    return None


def _letters(text: str | None) -> str:
    return re.sub(r"[^a-z]", "", (text or "").lower()).removeprefix("band").removesuffix("band")
