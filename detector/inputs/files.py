"""Which files among the inputs are images, and which merely lie beside them."""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rasterio.errors import RasterioIOError

from detector.errors import InputRejected, UsageError
from detector.inputs.acquisition import Declared
from detector.inputs.masks import is_cloud_mask
from detector.inputs.names import is_unicode, named
from detector.inputs.stac import JSON_SUFFIXES, StacFiles, is_stac, lacks_version
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
        images: files to look at, under their own names (see `named`).
        declared: by file, what a STAC item says of it.
        rejected: inputs that name no file, or none that is an image; folders that cannot be read.
        folders: the folders given, against which a manifest's paths may be relative.
        aside: rasters in folders that are previews or masks by their names; some are `images` all the same, where
            they were named on their own or by STAC.
    """

    images: tuple[Path, ...]
    declared: dict[Path, Declared]
    rejected: tuple[InputRejected, ...]
    folders: tuple[Path, ...]
    aside: frozenset[Path]


def find_files(inputs: Sequence[Path]) -> FoundFiles:
    """Find the image files in folders (recursive), files, STAC documents and `.txt` lists of files and folders.

    In a folder, a file is an image by its suffix (`RASTER_SUFFIXES`); one of `OTHER_SUFFIXES` is not; one
    of any other suffix is an image if GDAL opens it. Thumbnails, masks and hidden files lie beside images
    and are no inputs (`FoundFiles.aside`). A file named on its own is looked at whatever its name; with a suffix of
    `OTHER_SUFFIXES` it is rejected, unless it is called after an image of the inputs, as its companions are.

    Raises:
        UsageError: an input does not exist.
    """
    finder = _Finder()
    for path in _expanded(inputs, finder.rejected):
        finder.add(path)
    return finder.found()


@dataclass
class _Finder:
    """Sorts what it is given into images, STAC documents and the rest."""

    images: set[Path] = field(default_factory=set)
    others: list[Path] = field(default_factory=list)
    stac: StacFiles = field(default_factory=StacFiles)
    rejected: list[InputRejected] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    aside: set[Path] = field(default_factory=set)

    def add(self, path: Path) -> None:
        """A folder, or a file named on its own."""
        if path.is_dir():
            self.folders.append(path)
            for file in _files_below(path, self.rejected):
                self._add_found(file)
        elif is_stac(path):
            self.stac.read(path)
        elif path.suffix.lower() in OTHER_SUFFIXES:
            self.others.append(named(path))
        else:
            self.images.add(named(path))

    def found(self) -> FoundFiles:
        """What was added, sorted."""
        images = (self.images - self.stac.aside) | self.stac.declared.keys()
        stems = {(image.parent, image.stem) for image in images}
        self.rejected += [_no_image(path) for path in self.others if not _is_called_after(path, stems)]
        self.rejected += [
            InputRejected(path, "its name is not UTF-8", "Rename it.") for path in images if not is_unicode(path)
        ]
        usable = tuple(sorted(filter(is_unicode, images)))
        rejected = (*self.rejected, *self.stac.rejected)
        return FoundFiles(usable, self.stac.declared, rejected, tuple(self.folders), frozenset(self.aside))

    def _add_found(self, file: Path) -> None:
        """A file of a folder."""
        if is_stac(file):
            self.stac.read(file)
        elif lacks_version(file):
            self.rejected.append(_no_image(named(file)))
        elif _is_image(file):
            (self.aside if _is_side_image(file) else self.images).add(named(file))


def _expanded(inputs: Sequence[Path], rejected: list[InputRejected]) -> Iterator[Path]:
    """The inputs, with what they name in place of `.txt` lists; lines that name nothing are `rejected`."""
    for path in inputs:
        if not path.exists():
            raise UsageError(f"{path}: does not exist.", "Give a folder, image files, or a STAC document.")
        if path.suffix.lower() == ".txt" and path.is_file():
            yield from _listed(path, rejected)
        else:
            yield path


def _files_below(folder: Path, rejected: list[InputRejected], above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """All files in a folder and the folders in it, linked ones too, but not into a circle of links.

    Folders that cannot be read are `rejected`.
    """
    here = folder.resolve()
    if here in above:
        return
    try:
        entries = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
        folders = {path for path in entries if path.is_dir()}
        # A dangling link is an image that is missing.
        files = {path for path in entries if path not in folders and (path.is_file() or path.is_symlink())}
    except OSError as error:
        cure = "Give yourself the right to read it, or leave it out."
        rejected.append(InputRejected(folder, f"the folder cannot be read ({error.strerror})", cure))
        return
    for path in entries:
        if path in folders:
            yield from _files_below(path, rejected, (*above, here))
        elif path in files:
            yield path


def _listed(path: Path, rejected: list[InputRejected]) -> Iterator[Path]:
    """What a list names, one path a line, relative to the list; lines that name nothing are `rejected`."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read ({error}).", "Give a UTF-8 text, one path a line.") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        named_there = path.parent / line.strip()
        if named_there.exists():
            yield named_there
        else:
            cure = "Write one path a line, relative to the list."
            fault = f"{path.name}:{number} names a file that does not exist"
            rejected.append(InputRejected(named_there, fault, cure))


def _no_image(path: Path) -> InputRejected:
    """Why a file is no input."""
    if path.suffix.lower() in JSON_SUFFIXES:
        reason, cure = "it has no stac_version, so it is no STAC document", "Write it in, or leave the file out."
    else:
        reason, cure = f"{path.suffix} files are no images", "Leave it out, or rename it if it is one."
    return InputRejected(path, reason, cure)


def _is_called_after(path: Path, stems: Collection[tuple[Path, str]]) -> bool:
    """Whether a file's name begins with the stem of an image in its folder: `yard.tfw`, `yard.tif.aux.xml`."""
    ends = [place for place, letter in enumerate(path.name) if letter in "-_."]
    return any((path.parent, path.name[:end]) in stems for end in ends)


def _is_image(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix in OTHER_SUFFIXES:
        return False
    return suffix in RASTER_SUFFIXES or not is_unicode(path) or _opens(path)


def _is_side_image(path: Path) -> bool:
    """Whether a raster is by its name a preview or a mask of another."""
    return _SIDE_IMAGE.search(path.stem) is not None or is_cloud_mask(path)


def _opens(path: Path) -> bool:
    try:
        with open_raster(path):
            return True
    except RasterioIOError:
        return False
