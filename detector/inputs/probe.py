"""Look into one image file: its grid, bands and GSD, and whether its pixels can be read."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.errors import CRSError, RasterioError
from rasterio.io import DatasetReader
from rasterio.transform import Affine
from rasterio.windows import Window

from detector.errors import InputRejected
from detector.inputs.acquisition import Declared
from detector.inputs.bands import BandsUnclear, choose_bands
from detector.inputs.behind import digests_of, files_behind, joint_digest
from detector.pixels.georef import Grid, PixelSize, is_on_earth, pixel_size
from detector.pixels.rasterfile import open_raster, read_values
from detector.scene import CloudMask, FileState, Scene

GSD_LIMITS_M = (0.20, 0.75)
GSD_TOLERANCE = 0.01  # a nominal 0.20 m is 0.1999 m on the ground
GSD_AGREES = 0.10  # stated and measured GSD differ by no more than this share
MAX_SHEAR_DEG = 3.0
MAX_STRETCH = 4.0  # of one pixel axis over the other: square degrees at 75 degrees north have 3.9
DTYPES = ("uint8", "uint16", "int16", "uint32", "int32", "float32", "float64")
PROBES = 8  # windows per axis whose pixels are read
PROBE_PX = 64
COPY_CURE = "Copy or download the file again."
GEOREF_CURE = (
    "Give it a CRS (gdal_edit.py -a_srs EPSG:...; a .prj file beside a world file), "
    "or state gsd_m and facility_id in a manifest."
)


@dataclass(frozen=True)
class Header:
    """What a file says of itself, pixels apart.

    Attributes:
        path: the file.
        width: columns.
        height: rows.
        bands: one-based indexes of the bands to use.
        n_bands: bands in the file.
        dtype: numpy name of the pixel type.
        crs: its CRS, or None without georeference.
        unplaced: why it has no georeference; empty where it has one.
        transform: pixels to CRS coordinates (identity without georeference).
        tags: its metadata, the vendor's among them.
        descriptions: name of each band, or None.
        members: the other files that decide its pixels: companions, and what a VRT reads.
        states: of the file and its members, when all this was read.
    """

    path: Path
    width: int
    height: int
    bands: tuple[int, ...]
    n_bands: int
    dtype: str
    crs: CRS | None
    unplaced: str
    transform: Affine
    tags: dict[str, str]
    descriptions: tuple[str | None, ...]
    members: tuple[Path, ...]
    states: tuple[FileState, ...]


def read_header(path: Path, bands: tuple[int, ...] | None = None) -> Header:
    """Read what the file says of itself.

    Args:
        path: an image file.
        bands: the user's choice of bands, by default the file's own.

    Raises:
        InputRejected: the file is empty, no image, or its bands or pixel type cannot be used.
    """
    try:
        if path.stat().st_size == 0:
            raise InputRejected(path, "the file is empty (0 bytes)", COPY_CURE)
        with open_raster(path) as dataset:
            return _header(path, dataset, bands)
    except (RasterioError, OSError) as error:
        raise InputRejected(path, *_why_not_readable(path, error)) from error


def _header(path: Path, dataset: DatasetReader, override: tuple[int, ...] | None) -> Header:
    if dataset.count == 0:
        raise InputRejected(path, "it holds no raster band", "Give the image itself, not its container.")
    try:
        bands = choose_bands([c.name for c in dataset.colorinterp], dataset.descriptions, override)
    except BandsUnclear as error:
        raise InputRejected(path, str(error), error.cure) from error
    dtypes = {dataset.dtypes[band - 1] for band in bands}
    if len(dtypes) > 1 or (dtype := dtypes.pop()) not in DTYPES:
        raise InputRejected(
            path, f"pixel type {dataset.dtypes[bands[0] - 1]} is not supported", f"Convert it to {DTYPES[1]}."
        )
    crs = dataset.crs or _crs_beside(path)
    unplaced = _why_not_placed(dataset, crs)
    members = files_behind(dataset)
    tags = dataset.tags() | dataset.tags(ns="EXIF") | dataset.tags(ns="IMAGERY") | dataset.tags(ns="IMD")
    return Header(
        path,
        dataset.width,
        dataset.height,
        bands,
        dataset.count,
        dtype,
        None if unplaced else crs,
        unplaced,
        Affine.identity() if unplaced else dataset.transform,
        {str(key): str(value) for key, value in tags.items()},
        tuple(dataset.descriptions),
        members,
        _states(path, members),
    )


def _states(path: Path, members: tuple[Path, ...]) -> tuple[FileState, ...]:
    try:
        return tuple(FileState.of(file) for file in (path, *members))
    except OSError as error:
        reason = f"it cannot be read ({error.strerror or error})"
        raise InputRejected(path, reason, "Check that it is still there.") from error


def _why_not_placed(dataset: DatasetReader, crs: CRS | None) -> str:
    """Why the file has no georeference, or an empty string."""
    if dataset.transform == Affine.identity():
        if dataset.rpcs is not None or dataset.gcps[0]:
            return "it is not orthorectified (only RPCs or ground control points)"
        return "it has no georeference"
    if crs is None:
        return "it has no CRS"
    return "" if is_on_earth(crs) else "its CRS gives no place on the Earth"


def _crs_beside(path: Path) -> CRS | None:
    """The CRS in a `.prj` file beside an image that has only a world file."""
    for suffix in (".prj", ".PRJ"):
        beside = path.with_suffix(suffix)
        if beside.is_file():
            try:
                return CRS.from_wkt(beside.read_text(encoding="utf-8"), morph_from_esri_dialect=True)
            except (CRSError, UnicodeDecodeError) as error:
                cure = "Replace it by the WKT of the image's CRS."
                raise InputRejected(path, f"{beside.name} beside it holds no CRS", cure) from error
    return None


def _why_not_readable(path: Path, error: Exception) -> tuple[str, str]:
    try:
        with path.open("rb") as stream:
            head = stream.read(512)
    except OSError as fault:
        return (
            f"it cannot be read ({fault.strerror})",
            "Check that the file is there and that you may read it.",
        )
    if head.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer, not the image", "Fetch the content with git lfs pull."
    if head and all(byte >= 32 or byte in b"\t\n\r\f" for byte in head):
        return "it holds text, not an image", COPY_CURE
    if path.suffix.lower() in {".jp2", ".j2k", ".j2c", ".jpx"} and not _reads_jpeg2000():
        return "this GDAL reads no JPEG 2000", "Convert it to GeoTIFF with a GDAL that does."
    return f"it cannot be read ({error.__cause__ or error})", COPY_CURE


def _reads_jpeg2000() -> bool:
    with rasterio.Env() as env:
        return any(name.startswith(("JP2", "JPEG2000")) for name in env.drivers())


def measure(
    header: Header, declared: tuple[Declared, ...] = (), limits_m: tuple[float, float] = GSD_LIMITS_M
) -> PixelSize:
    """The file's pixel size on the ground, at its centre.

    Args:
        header: the file.
        declared: statements about the file; their GSD counts where there is no georeference.
        limits_m: smallest and largest GSD that can be used.

    Raises:
        InputRejected: the GSD is unknown, outside the limits, or not what the manifest says; the pixels are
            sheared or far from square; the georeference cannot be used.
    """
    path = header.path
    if header.crs is None:
        gsd_m = next((entry.gsd_m for entry in declared if entry.gsd_m is not None), None)
        if gsd_m is None:
            raise InputRejected(path, f"{header.unplaced}, and no manifest gives its gsd_m", GEOREF_CURE)
        size = PixelSize(gsd_m, gsd_m, 0.0)
    else:
        size = pixel_size(Grid(header.crs, header.transform), (header.width / 2, header.height / 2))
    gsd = float(np.sqrt(size.gsd_x_m * size.gsd_y_m))
    if not np.isfinite(gsd) or gsd == 0:
        raise InputRejected(path, "its georeference lies outside its CRS", "Correct its CRS or its transform.")
    low, high = limits_m
    if not low * (1 - GSD_TOLERANCE) <= gsd <= high * (1 + GSD_TOLERANCE):
        raise InputRejected(
            path,
            f"GSD {gsd:.3g} m is outside {low:.2f}-{high:.2f} m",
            "Give the image at its native resolution, or correct its CRS, transform or gsd_m.",
        )
    if max(size.gsd_x_m, size.gsd_y_m) > MAX_STRETCH * min(size.gsd_x_m, size.gsd_y_m):
        raise InputRejected(
            path,
            f"its pixels are {size.gsd_x_m:.3g} m wide and {size.gsd_y_m:.3g} m high",
            "Correct its CRS or its transform, or warp it to square pixels (UTM) with gdalwarp.",
        )
    for entry in declared:  # a STAC item gives the sensor's nominal GSD, a manifest the file's
        if entry.source == "manifest" and entry.gsd_m and abs(entry.gsd_m / gsd - 1) > GSD_AGREES:
            raise InputRejected(
                path,
                f"{entry.where} says gsd_m {entry.gsd_m:g}, its georeference {gsd:.3g}",
                "Correct the one that is wrong, or leave gsd_m empty.",
            )
    if size.shear_deg > MAX_SHEAR_DEG:
        raise InputRejected(
            path, f"its pixels are sheared by {size.shear_deg:.0f} degrees", "Warp it to UTM with gdalwarp."
        )
    return size


def scene_of(
    header: Header,
    size: PixelSize,
    acquired: tuple[datetime, str],
    *,
    sensor: str | None = None,
    cloud_cover: float | None = None,
    off_nadir_deg: float | None = None,
    facility_id: str | None = None,
    mask: CloudMask | None = None,
) -> Scene:
    """The scene that one file (with the files it refers to) makes, named after its name and content.

    Args:
        header: of the file.
        size: its GSD.
        acquired: when it was taken, and which source says so.
        sensor: what took it.
        cloud_cover: declared share of clouds, 0 to 1.
        off_nadir_deg: declared angle between the view and the vertical.
        facility_id: the facility it shows, where it has no place on the map.
        mask: where its clouds are told.
    """
    path, states = header.path, header.states
    digests = digests_of([state.path for state in states])
    if mask is not None and mask.path == path:
        digests.append(f"{mask.meaning} {mask.band}")
    elif mask is not None:
        files = _files_of(mask)
        states += tuple(FileState.of(file) for file in files)
        digests.append(joint_digest(digests_of(files)))
    digest = joint_digest(digests)
    return Scene(
        scene_id=f"{path.stem}-{digest[:8]}",
        paths=(path,),
        offsets_px=((0, 0),),
        sizes_px=((header.width, header.height),),
        acquired=acquired[0],
        acquired_source=acquired[1],
        sensor=sensor,
        width=header.width,
        height=header.height,
        bands=header.bands,
        n_bands=header.n_bands,
        dtype=header.dtype,
        crs=header.crs,
        transform=header.transform,
        gsd_x_m=size.gsd_x_m,
        gsd_y_m=size.gsd_y_m,
        cloud_cover=cloud_cover,
        off_nadir_deg=off_nadir_deg,
        facility_id=facility_id,
        size_bytes=sum(state.size_bytes for state in header.states),
        sha256=digest,
        masks=(mask,) if mask is not None else (),
        states=(states,),
    )


def _files_of(mask: CloudMask) -> tuple[Path, ...]:
    """A cloud mask's file, and those that decide its pixels."""
    with open_raster(mask.path) as dataset:
        return mask.path, *files_behind(dataset)


def check_pixels(header: Header) -> None:
    """Read pixels all over the file.

    Raises:
        InputRejected: the file is truncated or damaged, or holds nothing but nodata.
    """
    path = header.path
    seen = False
    try:
        with open_raster(path) as dataset:
            if dataset.driver == "GTiff" and (end := _last_byte(dataset, header.bands)) > path.stat().st_size:
                missing = end - path.stat().st_size
                raise InputRejected(path, f"it is truncated: its last {missing} bytes are missing", COPY_CURE)
            for window in _probe_windows(dataset.width, dataset.height):
                values, valid = read_values(dataset, header.bands, window)
                seen = seen or bool(values[:, valid].any())
            if not seen:
                step = max(1, max(dataset.width, dataset.height) // 1024)
                whole = Window(0, 0, dataset.width, dataset.height)
                values, valid = read_values(dataset, header.bands, whole, step)
                seen = bool(values[:, valid].any())
    except RasterioError as error:
        reason = f"its pixels cannot be read: truncated or damaged ({error.__cause__ or error})"
        raise InputRejected(path, reason, COPY_CURE) from error
    if not seen:
        raise InputRejected(path, "every pixel is nodata or zero", "Give an image that shows something.")


def _probe_windows(width: int, height: int) -> Iterator[Window]:
    """Windows spread over the file row by row, the last of them in its last corner."""
    w, h = min(PROBE_PX, width), min(PROBE_PX, height)
    rows, columns = (
        sorted({int(start) for start in np.linspace(0, length - size, PROBES)})
        for length, size in ((height, h), (width, w))
    )
    for row in rows:
        for column in columns:
            yield Window(column, row, w, h)


def _last_byte(dataset: DatasetReader, bands: tuple[int, ...]) -> int:
    """Where the last block of a TIFF ends, by its own table of blocks; sparse blocks count nothing."""
    end = 0
    for band in bands if dataset.interleaving.name == "band" else bands[:1]:
        rows, columns = dataset.block_shapes[band - 1]
        for y in range(-(-dataset.height // rows)):
            for x in range(-(-dataset.width // columns)):
                offset = dataset.get_tag_item(f"BLOCK_OFFSET_{x}_{y}", "TIFF", bidx=band)
                size = dataset.get_tag_item(f"BLOCK_SIZE_{x}_{y}", "TIFF", bidx=band)
                if offset and size:
                    end = max(end, int(offset) + int(size))
    return end
