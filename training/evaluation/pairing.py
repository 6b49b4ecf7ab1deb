"""Which truth file is of which scene of a run."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from detector.errors import UsageError
from detector.runfolder import read_record
from training.formats.polygons import sources, stem_of

_DATED = re.compile(r"(.+)-\d{8}(-[0-9a-f]+)")


@dataclass(frozen=True)
class Pairing:
    """The truth of the scenes of a run.

    Attributes:
        files: scene_id -> its truth file.
        without_truth: scenes of the run that no file is of.
        without_scene: files that are of no scene of the run.
    """

    files: Mapping[str, Path]
    without_truth: tuple[str, ...]
    without_scene: tuple[Path, ...]


def pair(run: Path, truth: Path, scene_ids: Sequence[str]) -> Pairing:
    """Find the truth of scenes by the stem of their files.

    Where several scenes or several truth files have one stem, the folder must tell: truth that lies beside an image is
    of that image.

    Args:
        run: the RUN folder, whose record says where the images lie.
        truth: a folder of GeoJSONs, or one of them; one serves the only scene of a run whatever its name.
        scene_ids: of the run.

    Raises:
        UsageError: `truth` does not exist, or it cannot be told which of several files or scenes belong together.
    """
    if not truth.exists():
        raise UsageError(f"{truth}: does not exist.", "Give a folder of truth files or one GeoJSON file.")
    scenes: dict[str, list[str]] = {}
    for scene_id, stem in file_stems(scene_ids).items():
        scenes.setdefault(stem, []).append(scene_id)
    given: dict[str, list[Path]] = {}
    for path in [truth] if truth.is_file() else sources(truth):
        given.setdefault(stem_of(path), []).append(path)
    if truth.is_file() and len(scenes) == 1:
        given = {next(iter(scenes)): [truth]}
    files: dict[str, Path] = {}
    for stem, ids in scenes.items():
        files |= _matched(run, stem, ids, given.get(stem, []))
    used = set(files.values())
    return Pairing(
        files,
        tuple(scene_id for ids in scenes.values() for scene_id in ids if scene_id not in files),
        tuple(path for paths in given.values() for path in paths if path not in used),
    )


def file_stems(scene_ids: Iterable[str]) -> dict[str, str]:
    """The stem of the file that each scene_id of a run was made of.

    A scene_id has the date of the scene before its digits only where another one of the run is the same without it
    (`detector.scenes`).
    """
    found = dict.fromkeys(scene_ids)
    dated = {scene_id: _DATED.fullmatch(scene_id) for scene_id in found}
    return {
        scene_id: match[1] if match and f"{match[1]}{match[2]}" in found else scene_id.rpartition("-")[0]
        for scene_id, match in dated.items()
    }


def _matched(run: Path, stem: str, ids: Sequence[str], files: Sequence[Path]) -> dict[str, Path]:
    """The truth of the scenes of one stem.

    Raises:
        UsageError: several scenes or files have this stem, and their folders do not tell them apart.
    """
    if not files:
        return {}
    if len(ids) == len(files) == 1:
        return {ids[0]: files[0]}
    images = _images(run, ids)
    beside = {
        scene_id: [f for f in files if f.parent.resolve() in {image.parent.resolve() for image in images[scene_id]}]
        for scene_id in ids
    }
    claimed = [path for found in beside.values() for path in found]
    is_single = len(claimed) == len(set(claimed)) and all(len(found) <= 1 for found in beside.values())
    if is_single and len(claimed) in {len(ids), len(files)}:
        return {scene_id: found[0] for scene_id, found in beside.items() if found}
    raise _ambiguous(stem, [str(images[scene_id][0]) if images[scene_id] else scene_id for scene_id in ids], files)


def _ambiguous(stem: str, scenes: Sequence[str], files: Sequence[Path]) -> UsageError:
    if len(scenes) > 1:
        return UsageError(
            f"{scenes[0]} and {scenes[1]} are both called {stem}, and {files[0]} may be the truth of either.",
            "Put the truth of each beside its image, or rename the images and detect again.",
        )
    return UsageError(
        f"{files[0]} and {files[1]} may both be the truth of {scenes[0]}.",
        "Keep one of them, or put the right one beside the image.",
    )


def _images(run: Path, ids: Sequence[str]) -> dict[str, list[Path]]:
    """Where the files of scenes lay, as far as the record of the run says."""
    record = read_record(run) if (run / "run.json").exists() else {}
    result: dict[str, list[Path]] = {scene_id: [] for scene_id in ids}
    for entry in record.get("inputs", ()):
        if entry.get("scene_id") in result:
            result[entry["scene_id"]].append(Path(entry["path"]))
    return result
