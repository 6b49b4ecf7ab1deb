"""Which files among the inputs are images, and which merely lie beside them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rasterio.errors import RasterioIOError

from detector.errors import InputRejected, UsageError
from detector.inputs.acquisition import Declared
from detector.inputs.masks import is_cloud_mask
from detector.inputs.stac import StacFiles, is_stac
from detector.pixels.rasterfile import open_raster

RASTER_SUFFIXES = frozenset(
    {".tif", ".tiff", ".gtiff", ".jp2", ".j2k", ".j2c", ".jpx", ".vrt"}
    | {".png", ".jpg", ".jpeg", ".ntf", ".nitf", ".img"}
)
# Never images, though GDAL can open some of them as rasters: world files and other companions of an image,
# vector data and tables, documents, archives and scripts.
OTHER_SUFFIXES = frozenset(
    {
        ".aux",
        ".msk",
        ".ovr",
        ".prj",
        ".wkt",
        ".wld",
        ".j2w",
        ".jgw",
        ".jpgw",
        ".pgw",
        ".pngw",
        ".tfw",
        ".tifw",
    }
    | {".eph", ".hdr", ".imd", ".met", ".rpb", ".rpc", ".til", ".xml", ".xsd", ".qix", ".qmd", ".qml"}
    | {".cpg", ".csv", ".dbf", ".geojson", ".gfs", ".gml", ".gpkg", ".json", ".kml", ".kmz", ".parquet"}
    | {".sbn", ".sbx", ".shp", ".shx", ".sqlite", ".tab", ".tsv", ".xls", ".xlsx", ".qgz"}
    | {
        ".cfg",
        ".doc",
        ".docx",
        ".htm",
        ".html",
        ".ini",
        ".log",
        ".md",
        ".odt",
        ".pdf",
        ".txt",
        ".yaml",
        ".yml",
    }
    | {".gz", ".mp4", ".py", ".sh", ".tar", ".zip"}
)
_SIDE_IMAGE = re.compile(
    r"(?:^|[-_.])(?:thumb(?:nail)?s?|browse|quicklook|ql|preview|overview|udm2?|cloud-?mask|mask)$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class FoundFiles:
    """The image files of the inputs, sorted, with what STAC declares about them.

    Attributes:
        images: files to look at, resolved.
        declared: by file, what a STAC item says of it.
        rejected: inputs that name no file.
        folders: the folders given, against which a manifest's paths may be relative.
    """

    images: tuple[Path, ...]
    declared: dict[Path, Declared]
    rejected: tuple[InputRejected, ...]
    folders: tuple[Path, ...]


def find_files(inputs: Sequence[Path]) -> FoundFiles:
    """Find the image files in folders (recursive), files, STAC documents and `.txt` lists of paths.

    In a folder, a file is an image by its suffix (`RASTER_SUFFIXES`); one of `OTHER_SUFFIXES` is not; one
    of any other suffix is an image if GDAL opens it. Thumbnails, masks and hidden files lie beside images
    and are no inputs. A file named on its own is looked at whatever its name, unless its suffix is in
    `OTHER_SUFFIXES`.

    Raises:
        UsageError: an input does not exist.
    """
    images: set[Path] = set()
    stac = StacFiles()
    rejected: list[InputRejected] = []
    folders = []
    for path in inputs:
        if path.is_dir():
            folders.append(path)
            for file in _files_below(path):
                if is_stac(file):
                    stac.read(file)
                elif _is_image(file):
                    images.add(file.resolve())
        elif not path.exists():
            raise UsageError(f"{path}: does not exist.", "Give a folder, image files, or a STAC document.")
        else:
            listed, missing = _listed(path) if path.suffix.lower() == ".txt" else ([path], [])
            rejected += missing
            for file in listed:
                if is_stac(file):
                    stac.read(file)
                elif file.suffix.lower() not in OTHER_SUFFIXES:
                    images.add(file.resolve())
    images = (images - stac.aside) | stac.declared.keys()
    return FoundFiles(tuple(sorted(images)), stac.declared, (*rejected, *stac.rejected), tuple(folders))


def _files_below(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """All files in a folder and the folders in it, linked ones too, but not into a circle of links."""
    here = folder.resolve()
    if here in above:
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _files_below(path, (*above, here))
        elif path.is_file() or path.is_symlink():  # a dangling link is an image that is missing
            yield path


def _listed(path: Path) -> tuple[list[Path], list[InputRejected]]:
    """The files that a list names, one path a line, relative to the list; and the lines that name none."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read ({error}).", "Give a UTF-8 text, one path a line.") from error
    found, missing = [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        file = path.parent / line.strip()
        if file.is_file():
            found.append(file)
        else:
            cure = "Write one path a line, relative to the list."
            missing.append(InputRejected(file, f"{path.name}:{number} names a file that does not exist", cure))
    return found, missing


def _is_image(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix in OTHER_SUFFIXES or _SIDE_IMAGE.search(path.stem) or is_cloud_mask(path):
        return False
    return suffix in RASTER_SUFFIXES or _opens(path)


def _opens(path: Path) -> bool:
    try:
        with open_raster(path):
            return True
    except RasterioIOError:
        return False
