"""Which facilities are trained on and which are held out: never both."""

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path

from detector.csvfile import csv_rows
from detector.errors import UsageError

SPLITS = ("train", "val")
LEFT_OUT = "test"
_CURE = "Give the columns facility,split, with train, val or test (left out) in each row."
_BY_IMAGE = "where names do not tell facilities, --split may list images by file name"


def split_facilities(facilities: Collection[str], val_share: float) -> dict[str, str]:
    """Each facility's split: those with the smallest hashes, at least one, are held out.

    Raises:
        UsageError: there is but one facility.
    """
    if len(facilities) < len(SPLITS):
        raise UsageError(
            f"only one facility ({', '.join(facilities)}) has truth.",
            f"Training needs at least two: one is held out whole; {_BY_IMAGE}.",
        )
    ranked = sorted(facilities, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    held_out = set(ranked[: max(1, round(val_share * len(ranked)))])
    return {name: "val" if name in held_out else "train" for name in sorted(facilities)}


def read_split(path: Path) -> dict[str, str]:
    """What a CSV `facility,split` states of each name, of a facility or an image: train, val, or test (left out).

    Raises:
        UsageError: the file is no such CSV, or contradicts itself.
    """
    header, rows = csv_rows(path, ("facility", "split"), "split", _CURE)
    if missing := {"facility", "split"} - set(header):
        raise UsageError(f"{path}: has no column {', '.join(sorted(missing))}.", _CURE)
    stated: dict[str, str] = {}
    for line, row in rows:
        name, split = row["facility"], row["split"]
        if split not in (*SPLITS, LEFT_OUT) or not name:
            raise UsageError(f"{path}, line {line}: split {split!r} of facility {name!r}.", _CURE)
        if stated.setdefault(name, split) != split:
            raise UsageError(f"{path}, line {line}: {name} stands in {stated[name]} and {split}.", "Keep one of them.")
    return stated


def stated_name(image: Path, facility: str, stated: Mapping[str, str]) -> str:
    """The name by which a split lists an image: its file name, that without the ending, or else its facility."""
    return next((name for name in (image.name, image.stem) if name in stated), facility)


def stated_split(path: Path, stated: Mapping[str, str], facilities: Collection[str]) -> dict[str, str]:
    """Each facility's split as the CSV at `path` states it: train, val, or test, which is left out.

    Rows of facilities that are not among those given are passed over: published splits list more than one has.

    Args:
        path: the CSV.
        stated: what it says, as `read_split` gives it.
        facilities: of the scenes.

    Raises:
        UsageError: it misses a facility, or leaves a split empty.
    """
    unlisted = sorted(set(facilities) - set(stated))
    if unlisted:
        names = ", ".join(unlisted[:5]) + (f" and {len(unlisted) - 5} more" if len(unlisted) > 5 else "")
        raise UsageError(
            f"{path}: does not list the facilities {names}.", f"Add them, as test if they are not wanted; {_BY_IMAGE}."
        )
    found = {name: stated[name] for name in sorted(facilities)}
    for split in SPLITS:
        if split not in found.values():
            raise UsageError(f"{path}: puts no facility of these scenes into {split}.", _CURE)
    return found
