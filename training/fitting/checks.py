"""What must hold before a training begins: tiles, run folder, devices, network, and the weights to begin from."""

import json
import math
import os
from pathlib import Path

from detector.errors import UsageError
from training.classes import class_names
from training.fitting.launch import on_processors
from training.formats.listing import Listing
from training.tilefolder import TILE_SUFFIXES, read_listing, read_manifest, tiles_at

WRITTEN = ("weights/best.pt", "weights/last.pt", "weights/step.pt", "results.csv")
"""What a run has written once hours have gone into it."""

RESUMED_FROM = ("weights/step.pt", "weights/last.pt")
"""What a run can be gone on with: its last step, or else its averaged weights."""

_NETWORK = "Give a network of oriented boxes, such as yolo11n-obb.yaml, or the path of a definition of your own."


def check_tiles(data: Path, gsd_m: float) -> None:
    """A folder of tiles lists our classes in our order, has tiles in both splits, and these have the GSD.

    Raises:
        UsageError: one of these does not hold.
    """
    listing = read_listing(data)
    if listing.names != dict(enumerate(class_names())):
        raise UsageError(
            f"{listing.file}: names are {', '.join(listing.names.values()) or 'missing'}.",
            f"They must be those of configs/classes.yaml, numbered from 0: {', '.join(class_names())}.",
        )
    for split in ("train", "val"):
        _check_split(listing, split)
    manifest = read_manifest(data)
    if manifest is not None and not math.isclose(manifest.gsd_m, gsd_m):
        raise UsageError(
            f"{data}: the tiles have {manifest.gsd_m} m per pixel, but the settings say gsd_m {gsd_m}.",
            f"Set `gsd_m: {manifest.gsd_m}`, or cut the scenes again with the settings that you train with.",
        )


def _check_split(listing: Listing, split: str) -> None:
    """A split has tiles, and all of its places are there."""
    if not any(_is_there(place) for place in tiles_at(listing, split)):
        raise UsageError(
            f"{listing.file}: {split} has no tiles.",
            "Training needs some in train and some, of other facilities, in val: annotate more scenes.",
        )
    for place in listing.places_of(split):
        if not place.path.exists():
            raise UsageError(
                f"{listing.file}, line {place.line}: {split}: {place.path} does not exist.",
                "Correct the path, or take it out.",
            )


def _is_there(place: Path) -> bool:
    """Whether a tile is there, or a folder holds one."""
    if place.is_file():
        return place.suffix.lower() in TILE_SUFFIXES
    names = (Path(name) for _, _, names in os.walk(place, followlinks=True) for name in names)
    return any(name.suffix.lower() in TILE_SUFFIXES for name in names)


def check_run_folder(out: Path, gsd_m: float, *, resume: bool) -> None:
    """A new run replaces none: what hours have gone into is gone on with, at its own GSD, or left alone.

    Raises:
        UsageError: `out` is no folder, holds a run that nobody asked to resume, one of another GSD, or one without what
            resuming needs.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: is not a folder.", "Give another --out.")
    held = next((name for name in WRITTEN if (out / name).exists()), None)
    if held is None:
        return
    if not resume:
        raise UsageError(
            f"{out}: holds a run already ({held}).",
            "--resume goes on with it, another --out begins anew (make: RESUME=1 or OUT=FOLDER).",
        )
    best = out / "weights" / "best.pt"
    if best.exists() and not any((out / name).exists() for name in RESUMED_FROM):
        raise UsageError(
            f"{out}: holds neither weights/step.pt nor last.pt to resume.", f"Begin another run with --start {best}."
        )
    begun_m = _begun_gsd_m(out / "config.json")
    if begun_m is not None and begun_m != gsd_m:
        raise UsageError(
            f"{out}: the run was begun at gsd_m {begun_m}, but the settings say {gsd_m}.",
            f"Resume it with --config {out / 'config.json'}, or give another --out.",
        )


def _begun_gsd_m(config: Path) -> float | None:
    """The GSD that the settings of a run say; None where they are not there."""
    if not config.exists():
        return None
    try:
        return float(json.loads(config.read_text())["gsd_m"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UsageError(f"{config}: cannot be read ({error}).", "Delete it: resuming writes it anew.") from error


def check_devices(devices: str) -> None:
    """The devices are there: "auto", "cpu" once or several times, or numbers of CUDA devices, each once.

    Raises:
        UsageError: they are not.
    """
    if devices == "auto" or on_processors(devices):
        return
    numbers = devices.split(",")
    if not all(number.isascii() and number.isdigit() for number in numbers) or len(set(numbers)) < len(numbers):
        raise UsageError(
            f"devices: {devices!r} names none.", "Give auto, cpu, or numbers of CUDA devices, each once, such as 0,1."
        )
    import torch  # noqa: PLC0415 - slow to import, and only for this

    count = torch.cuda.device_count()
    if missing := [number for number in numbers if int(number) >= count]:
        raise UsageError(
            f"devices: {devices} asks for CUDA device {', '.join(missing)}, and torch finds {count or 'none'} here.",
            f"Give {'a number below ' + str(count) if count else 'cpu'}.",
        )


def check_architecture(architecture: str) -> None:
    """The network is defined, and its head gives oriented boxes; call after `go_offline`.

    Raises:
        UsageError: it is not.
    """
    from ultralytics.nn.tasks import yaml_model_load  # noqa: PLC0415 - after the environment is set

    try:
        head = str(yaml_model_load(architecture)["head"][-1][2])
    except (OSError, ValueError, LookupError, TypeError, AssertionError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UsageError(f"architecture: {architecture!r} is no network that is known ({reason}).", _NETWORK) from error
    if not head.startswith("OBB"):
        raise UsageError(f"architecture: {architecture} ends in {head}, not in a head of oriented boxes.", _NETWORK)
