"""Find the scenes among the inputs: one acquisition each, with its time, GSD, CRS, or the reason why not."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from rasterio.errors import RasterioError

from detector.errors import InputRejected
from detector.inputs.acquisition import Declared, acquisition_time, cloud_share, off_nadir_deg, sensor_name
from detector.inputs.cut import join_cut_scenes
from detector.inputs.files import find_files
from detector.inputs.manifest import Manifest, load_manifest
from detector.inputs.masks import CURE as MASK_CURE
from detector.inputs.masks import cloud_mask
from detector.inputs.names import named, printable
from detector.inputs.probe import GSD_LIMITS_M, Header, check_pixels, measure, read_header, scene_of
from detector.pixels.cloudmask import FileGrid, MaskReader
from detector.scene import Rejection, Scene, Survey

__all__ = ["Rejection", "Scene", "Survey", "find_scenes"]

Look = Callable[[Path, tuple[Declared, ...]], tuple[Scene, Header] | InputRejected]
LookAtFiles = Callable[[Look, list[Path], list[tuple[Declared, ...]]], Iterable[tuple[Scene, Header] | InputRejected]]
Said = TypeVar("Said", Declared, InputRejected)
STATED = ("manifest", "stac")  # sources of a time that are someone's word for this very file
READERS = 4  # files looked at at the same time: mostly waiting for the disk


def find_scenes(
    inputs: Sequence[Path],
    *,
    manifest: Path | None = None,
    bands: tuple[int, ...] | None = None,
    gsd_limits_m: tuple[float, float] = GSD_LIMITS_M,
    look_at_files: LookAtFiles | None = None,
) -> Survey:
    """Find the scenes in folders (recursive), image files, STAC documents and `.txt` lists of paths.

    Files that are one acquisition delivered cut on one pixel grid become one scene; a VRT that can be used
    stands for the files it reads; a copy of a scene is rejected; of several links to one file, those that give
    the same time are one. What is wrong with one file never stops the others. The result depends neither on the
    order of the inputs nor on the machine.

    Args:
        inputs: what to search.
        manifest: CSV that states what the files do not say; see `detector.inputs.manifest`.
        bands: one-based bands to use in every file, one or three, instead of the files' own.
        gsd_limits_m: smallest and largest GSD that can be used.
        look_at_files: applies a function to each file and what is stated of it, in order; by default threads do.

    Raises:
        UsageError: an input does not exist, or the manifest cannot be read.
    """
    found = find_files([path for path in inputs if manifest is None or named(path) != named(manifest)])
    folders = (*found.folders, *(path.parent for path in inputs if path.is_file()))
    stated = load_manifest(manifest, folders) if manifest else Manifest({}, ())
    faults = [*found.rejected, *stated.rejected, *_not_given(stated, found.images)]
    look = partial(_look, bands=bands, gsd_limits_m=gsd_limits_m)
    by_manifest, by_stac = (_by_image(source.declared, found.images) for source in (stated, found))
    refused = _by_image({fault.path: fault for fault in stated.rejected}, found.images).keys() - by_manifest.keys()
    files = [path for path in found.images if path not in refused]
    declared = [tuple(source[path] for source in (by_manifest, by_stac) if path in source) for path in files]
    scenes: list[Scene] = []
    unusable: list[InputRejected] = []
    members: set[Path] = set()
    for outcome in (look_at_files or _by_threads)(look, files, declared):
        if isinstance(outcome, InputRejected):
            unusable.append(outcome)
        else:
            scene, header = outcome
            scenes.append(scene)
            members.update(path.resolve() for path in header.members)
    aside = found.aside - set(found.images) - _files_of(scenes)
    faults += _not_used_otherwise(unusable, scenes, stated.declared.keys() | found.declared.keys())
    faults = [fault for fault in faults if fault.path.resolve() not in members]
    scenes, copies = _without_copies([scene for scene in scenes if scene.paths[0].resolve() not in members])
    rejected = {_rejection(fault) for fault in (*faults, *copies)}
    return Survey(
        _called_apart(join_cut_scenes(scenes)),
        tuple(sorted(rejected, key=lambda entry: (str(entry.path), entry.reason))),
        tuple(sorted(aside)),
    )


def _rejection(fault: InputRejected) -> Rejection:
    """A fault as a row of tables, which take text alone."""
    return Rejection(Path(printable(str(fault.path))), printable(fault.reason), fault.cure)


def _files_of(scenes: Iterable[Scene]) -> set[Path]:
    """All files that scenes are made of, their cloud masks among them."""
    return {state.path for scene in scenes for states in scene.states for state in states}


def _by_threads(
    look: Look, files: list[Path], declared: list[tuple[Declared, ...]]
) -> Iterable[tuple[Scene, Header] | InputRejected]:
    with ThreadPoolExecutor(READERS) as pool:
        yield from pool.map(look, files, declared)


def _look(
    path: Path,
    declared: tuple[Declared, ...],
    *,
    bands: tuple[int, ...] | None,
    gsd_limits_m: tuple[float, float],
) -> tuple[Scene, Header] | InputRejected:
    """The scene in one file, or why there is none."""
    try:
        header = read_header(path, bands)
        scene = _scene(header, declared, gsd_limits_m)
        check_pixels(header)
        _check_mask(scene)
    except InputRejected as error:
        return error
    except OSError as error:
        return InputRejected(path, f"it cannot be read ({error.strerror or error})", "Check that it is still there.")
    return scene, header


def _scene(header: Header, declared: tuple[Declared, ...], gsd_limits_m: tuple[float, float]) -> Scene:
    path = header.path
    size = measure(header, declared, gsd_limits_m)
    facility_id = next((entry.facility_id for entry in declared if entry.facility_id), None)
    if header.crs is None and facility_id is None:
        raise InputRejected(path, "without a CRS, a manifest must name its facility", "Fill in the column facility_id.")
    return scene_of(
        header,
        size,
        acquisition_time(path, declared, header.tags),
        sensor=sensor_name(declared, header.tags),
        cloud_cover=cloud_share(declared, header.tags),
        off_nadir_deg=off_nadir_deg(declared, header.tags),
        facility_id=facility_id if header.crs is None else None,
        mask=cloud_mask(path, header.descriptions, declared),
    )


def _check_mask(scene: Scene) -> None:
    """Raise InputRejected where the scene's cloud mask does not fit, or cannot be read."""
    mask = scene.mask(0)
    if mask is None:
        return
    try:
        with MaskReader(mask, FileGrid.of(scene, 0)) as reader:
            reader.seen(0, 0, scene.width, scene.height, step=max(1, max(scene.width, scene.height) // 1024))
    except InputRejected as error:
        raise InputRejected(scene.paths[0], error.reason, error.cure) from error
    except RasterioError as error:
        reason = f"its cloud mask {mask.path.name} cannot be read ({error})"
        raise InputRejected(scene.paths[0], reason, MASK_CURE) from error


def _not_given(stated: Manifest, images: tuple[Path, ...]) -> list[InputRejected]:
    """The manifest's rows that name a file which is not among the inputs."""
    given = {path.resolve() for path in images}
    return [
        InputRejected(path, f"{entry.where} names it, but it is no input", "Add it to the inputs, or remove the row.")
        for path, entry in stated.declared.items()
        if path.resolve() not in given
    ]


def _not_used_otherwise(
    faults: Sequence[InputRejected], scenes: Sequence[Scene], declared: Collection[Path]
) -> list[InputRejected]:
    """The faults without those of further links to a file that is a scene, of which nothing is stated."""
    used = {scene.paths[0].resolve() for scene in scenes}
    return [fault for fault in faults if fault.path in declared or fault.path.resolve() not in used]


def _by_image(said: Mapping[Path, Said], images: Sequence[Path]) -> dict[Path, Said]:
    """What is said of each image: under its own name, or under one that is no image and leads to the same file."""
    if not said:
        return {}
    of_file = {path.resolve(): said[path] for path in said.keys() - set(images)}
    known = ((image, said.get(image) or of_file.get(image.resolve())) for image in images)
    return {image: entry for image, entry in known if entry is not None}


def _without_copies(scenes: Sequence[Scene]) -> tuple[list[Scene], list[InputRejected]]:
    """The scenes without the second of any two files of the same content and time, and what is said of those.

    Equal content under one name was taken at one time if it was on one date: sources differ in what they state.
    A second link to one file is left out without a word, but where its name gives another date.
    """
    kept: dict[tuple[object, ...], Scene] = {}
    unique, copies = [], []
    for scene in sorted(scenes, key=lambda scene: scene.paths[0].is_symlink()):
        path, date = scene.paths[0], scene.acquired.date()
        keys = ((scene.sha256, scene.acquired), (scene.sha256, date, path.stem))
        file = (path.resolve(),)
        wanted = keys if scene.acquired_source in STATED else (*keys, file)
        twin = next((kept[key] for key in wanted if key in kept), None)
        if twin is None:
            kept.update(dict.fromkeys((*keys, file), scene))
            unique.append(scene)
        elif (fault := _copy_fault(scene, twin)) is not None:
            copies.append(fault)
    return unique, copies


def _copy_fault(scene: Scene, twin: Scene) -> InputRejected | None:
    """What is said of a scene that is no other than its twin; None where it is a link to the same file."""
    path, other = scene.paths[0], twin.paths[0]
    if path.resolve() != other.resolve():
        return InputRejected(path, f"it is a copy of {other}", "Nothing: the scene is counted once.")
    if scene.acquired.date() == twin.acquired.date():
        return None
    reason = f"it is the same file as {other}, and dated {scene.acquired:%Y-%m-%d} in place of {twin.acquired:%Y-%m-%d}"
    return InputRejected(path, reason, "Keep the right one of the two, or state their dates in a manifest.")


def _called_apart(scenes: Sequence[Scene]) -> tuple[Scene, ...]:
    """The scenes by time, no two of one name: equal content of later dates has the date in its `scene_id`."""
    apart: dict[str, Scene] = {}
    for scene in sorted(scenes, key=lambda scene: (scene.acquired, scene.scene_id)):
        stem, _, digest = scene.scene_id.rpartition("-")
        dated = f"{stem}-{scene.acquired:%Y%m%d}-{digest}"
        scene_id = dated if scene.scene_id in apart else scene.scene_id
        apart[scene_id] = replace(scene, scene_id=scene_id)
    return tuple(apart.values())
