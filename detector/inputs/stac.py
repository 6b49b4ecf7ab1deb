"""STAC on disk: items and the collections that link to them, read without any network."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from detector.errors import InputRejected
from detector.inputs.acquisition import Declared, is_off_nadir, parse_time
from detector.inputs.masks import is_cloud_mask
from detector.inputs.names import named

IMAGE_TYPES = ("image/tiff", "image/jp2", "image/png", "image/jpeg", "image/vnd.stac.geotiff")
SIDE_ROLES = {
    "thumbnail",
    "overview",
    "metadata",
    "cloud",
    "cloud-shadow",
    "snow-ice",
    "data-mask",
    "saturation",
}
CHILD_LINKS = {"item", "child", "items"}
JSON_SUFFIXES = {".json", ".geojson"}


@dataclass
class StacFiles:
    """What STAC documents say: the image files to use, those to leave out, and the faults."""

    declared: dict[Path, Declared] = field(default_factory=dict)
    aside: set[Path] = field(default_factory=set)
    rejected: list[InputRejected] = field(default_factory=list)
    _read: set[Path] = field(default_factory=set)

    def read(self, path: Path) -> None:
        """Add an item, item collection, collection or catalog, and what it links to."""
        if (path := named(path)) in self._read:
            return
        self._read.add(path)
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            self.rejected.append(InputRejected(path, f"not readable as STAC ({error})", "Give valid JSON."))
            return
        if not isinstance(document, dict):
            self.rejected.append(InputRejected(path, "not a STAC document", "Give an item or a collection."))
            return
        if document.get("type") == "Feature":
            self._add_item(path, document)
            return
        for item in _objects(document.get("features")):
            self._add_item(path, item)
        for link in _objects(document.get("links")):
            if link.get("rel") in CHILD_LINKS:
                child = self._local(path, str(link.get("href", "")))
                if child is not None:
                    self.read(child)

    def _add_item(self, path: Path, item: dict[str, Any]) -> None:
        entries = item.get("assets")
        assets = {key: a for key, a in entries.items() if isinstance(a, dict)} if isinstance(entries, dict) else {}
        images = {key: asset for key, asset in assets.items() if _is_image(asset)}
        chosen = {"visual": images["visual"]} if "visual" in images else images
        files = {key: self._local(path, str(a.get("href", "")), report=key in chosen) for key, a in assets.items()}
        mask = next((file for key, file in files.items() if file and _is_mask(assets[key], file)), None)
        for key, file in files.items():
            if file is None:
                continue
            if key in chosen:
                self.declared[file] = _declared(path, item, mask)
            else:
                self.aside.add(file)
        if not chosen:
            self.rejected.append(
                InputRejected(path, "the STAC item has no image asset", "Give an asset the role `data`.")
            )

    def _local(self, base: Path, href: str, report: bool = True) -> Path | None:
        """The file that a link names, relative to the document; a fault is noted where there is none."""
        url = urlparse(href)
        if url.scheme in {"", "file"}:
            file = base.parent / unquote(url.path if url.scheme else href)
            if file.is_file():
                return named(file)
            fault = InputRejected(file, f"{base.name} links to it, but it does not exist", "Correct the link.")
        else:
            fault = InputRejected(
                base, f"links to {href}, which is not on this disk", "Download it and link to the copy."
            )
        if report:
            self.rejected.append(fault)
        return None


def is_stac(path: Path) -> bool:
    """True for a JSON file that names a STAC version near its beginning or its end."""
    return _mentions(path, b'"stac_version"')


def lacks_version(path: Path) -> bool:
    """Whether a JSON file that is not `is_stac` is an item all the same, but for its `stac_version`."""
    if not _mentions(path, b'"assets"'):
        return False
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(document, dict) and document.get("type") == "Feature" and isinstance(document.get("assets"), dict)


def _mentions(path: Path, word: bytes) -> bool:
    """Whether a JSON file holds a word near its beginning or its end."""
    if path.suffix.lower() not in JSON_SUFFIXES:
        return False
    try:
        with path.open("rb") as stream:
            head = stream.read(65536)
            size = stream.seek(0, 2)
            stream.seek(max(0, size - 65536))
            return word in head or word in stream.read()
    except OSError:
        return False


def _objects(value: object) -> list[dict[str, Any]]:
    """The JSON objects in a list; nothing where `value` is no list."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _is_image(asset: dict[str, Any]) -> bool:
    roles = set(asset.get("roles") or ())
    if roles & SIDE_ROLES:
        return False
    media = str(asset.get("type", "")).split(";")[0].strip().lower()
    if is_cloud_mask(Path(str(asset.get("href", "")))):
        return False
    return media in IMAGE_TYPES or (not media and bool(roles & {"data", "visual"}))


def _is_mask(asset: dict[str, Any], file: Path) -> bool:
    """Whether an asset tells where clouds are: by its role `cloud`, or by its name."""
    return "cloud" in set(asset.get("roles") or ()) or is_cloud_mask(file)


def _declared(path: Path, item: dict[str, Any], cloud_mask: Path | None) -> Declared:
    properties = item.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    time = properties.get("datetime") or properties.get("start_datetime") or ""
    cloud, angle = properties.get("eo:cloud_cover"), properties.get("view:off_nadir")
    gsd_m, facility_id = properties.get("gsd"), properties.get("facility_id")
    instruments = properties.get("instruments")
    names = [properties.get("platform"), properties.get("constellation")]
    names += instruments if isinstance(instruments, list) else []
    return Declared(
        source="stac",
        where=path.name,
        acquired=parse_time(str(time)),
        sensor=next((str(name) for name in names if name), None),
        cloud_cover=float(cloud) / 100 if isinstance(cloud, int | float) and 0 <= cloud <= 100 else None,
        off_nadir_deg=float(angle) if isinstance(angle, int | float) and is_off_nadir(angle) else None,
        gsd_m=float(gsd_m) if isinstance(gsd_m, int | float) and gsd_m > 0 else None,
        facility_id=str(facility_id) if facility_id is not None else None,
        cloud_mask=cloud_mask,
    )
