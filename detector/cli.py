"""The command `railcars`: parse, call, print."""

import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import pandas as pd
import typer

from detector import __version__
from detector.config import detect_config, scale_config
from detector.console import CountWatcher, Watcher, counts_table, scenes_table, show_aside, show_rejected
from detector.errors import RailcarsError, UsageError
from detector.runlock import run_folder, sole_writer
from detector.telling import console, note, tell

if TYPE_CHECKING:
    from detector.config import CountConfig, DetectConfig
    from detector.run import Inputs
    from detector.scale.cluster import Cluster
    from detector.weights import Weights

EXIT_STRICT, EXIT_USAGE, EXIT_NOTHING = 1, 2, 3

app = typer.Typer(
    help="Count railcars in overhead imagery, per facility and date, with confidence intervals.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Images = Annotated[list[Path], typer.Argument(help="Folders, image files, STAC documents or .txt lists of paths.")]
Facilities = Annotated[Path, typer.Option(help="GeoJSON or GeoPackage of facility polygons.")]
Out = Annotated[Path, typer.Option(parser=run_folder, metavar="FOLDER", help="The RUN folder; grows with every call.")]
Run = Annotated[Path, typer.Argument(parser=run_folder, metavar="FOLDER", help="A RUN folder.")]
Manifest = Annotated[Path | None, typer.Option(help="CSV with what the files do not say (docs/inputs.md).")]
History = Annotated[Path | None, typer.Option(help="CSV of earlier counts made by eye.")]
Tracks = Annotated[Path | None, typer.Option(help="GeoJSON of track lines: they cap what a hidden part can hold.")]
WeightsName = Annotated[str | None, typer.Option(help="Name of shipped weights, or path of their .json.")]
DetectSettings = Annotated[
    Path | None, typer.Option("--settings", help="YAML of what differs from configs/detect.yaml.")
]
CountSettings = Annotated[
    Path | None,
    typer.Option(
        "--settings", help="YAML of what differs from configs/count.yaml; by default as the run was counted last."
    ),
]
EngineName = Annotated[Literal["local", "ray"], typer.Option(help="Compute here, or on a Ray cluster (docs/scale.md).")]
Address = Annotated[str | None, typer.Option(help="host:port of the cluster's head, with --engine ray.")]
ScaleSettings = Annotated[Path | None, typer.Option("--scale", help="YAML of what differs from configs/scale.yaml.")]
Strict = Annotated[bool, typer.Option("--strict", help="Fail (1) if any input was rejected.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


def main() -> None:
    """Entry point: errors that a user can act on become one line and exit code 2."""
    try:
        app()
    except RailcarsError as error:
        _fail(str(error))
    except OSError as error:
        _fail(_of_system(error))


def _fail(text: str) -> NoReturn:
    tell(f"railcars: {text}", "red")
    sys.exit(EXIT_USAGE)


def _of_system(error: OSError) -> str:
    """What the system refused, with the path where it says one."""
    path = error.filename2 or error.filename  # of a renaming, the name that was wanted
    said = str(error) if path is None else f"{path}: {error.strerror}"
    return f"{said}. Check that it is there, that you may read and write there, and that the disk has room."


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def scenes(
    images: Images,
    facilities: Annotated[Path | None, typer.Option(help="Show the covered share of these facilities.")] = None,
    manifest: Manifest = None,
    settings: DetectSettings = None,
    json_output: AsJson = False,
) -> None:
    """Dry run: date, size, bands, GSD, CRS, covered facilities and the verdict, per file.

    Example: railcars scenes images --facilities facilities.geojson
    """
    from detector.facilities import distances_km, load_facilities
    from detector.listing import scene_table
    from detector.scenes import find_scenes

    config = detect_config(settings)
    outlines = load_facilities(facilities) if facilities else ()
    survey = find_scenes(
        images, manifest=manifest, bands=config.bands, gsd_limits_m=(config.gsd_min_m, config.gsd_max_m)
    )
    table = scene_table(survey, outlines)
    if json_output:
        _print_json(json.loads(table.to_json(orient="records", date_format="iso")))
    else:
        console().print(scenes_table(table))
        show_aside(survey.aside)
        for facility_id, km in distances_km(survey.scenes, outlines).items():
            if km > 0:
                far = "is far from all images" if km == float("inf") else f"is {km:.1f} km from the nearest image"
                note(f"facility {facility_id} {far}; check its polygon, and the images' georeference.")
    if not survey.scenes:
        raise typer.Exit(EXIT_NOTHING)


@app.command()
def run(
    images: Images,
    facilities: Facilities,
    out: Out,
    manifest: Manifest = None,
    history: History = None,
    tracks: Tracks = None,
    weights: WeightsName = None,
    settings: DetectSettings = None,
    engine: EngineName = "local",
    address: Address = None,
    scale: ScaleSettings = None,
    strict: Strict = False,
    quiet: Quiet = False,
    json_output: AsJson = False,
) -> None:
    """The main job: detect, count, report.

    Example: railcars run images --facilities facilities.geojson --out RUN
    """
    from detector.report import report as write_report
    from detector.run import Inputs, check_beside, counting_settings
    from detector.weights import load_weights

    plain, noting = quiet or json_output, _note(quiet=quiet)
    check_beside(facilities, history, tracks, out)
    how = load_weights(weights), detect_config(settings)
    with sole_writer(out):
        with _cluster(engine, address, scale) as cluster:
            rejected = _detect(Inputs(tuple(images), facilities, manifest), out, *how, cluster, noting, quiet=plain)
        counts = _count(out, counting_settings(out), history, tracks, noting, quiet=plain)
        page = write_report(out)
    _finish(counts, quiet=plain, json_output=json_output)
    if not plain:
        console().print(f"report: {page}", markup=False, soft_wrap=True)
    _exit(counts, rejected, strict)


@app.command()
def detect(
    images: Images,
    facilities: Facilities,
    out: Out,
    manifest: Manifest = None,
    weights: WeightsName = None,
    settings: DetectSettings = None,
    engine: EngineName = "local",
    address: Address = None,
    scale: ScaleSettings = None,
    strict: Strict = False,
    quiet: Quiet = False,
) -> None:
    """Find the objects: detections.parquet, detections.gpkg, scenes.parquet.

    Example: railcars detect images --facilities facilities.geojson --out RUN
    """
    from detector.run import Inputs
    from detector.weights import load_weights

    how = load_weights(weights), detect_config(settings)
    with _cluster(engine, address, scale) as cluster:
        given = Inputs(tuple(images), facilities, manifest)
        rejected = _detect(given, out, *how, cluster, _note(quiet=quiet), quiet=quiet)
    if strict and rejected:
        raise typer.Exit(EXIT_STRICT)


@app.command()
def count(
    folder: Run,
    history: History = None,
    tracks: Tracks = None,
    settings: CountSettings = None,
    quiet: Quiet = False,
    json_output: AsJson = False,
) -> None:
    """Count what was detected: counts.csv, counts.parquet.

    Example: railcars count RUN --history counts_by_eye.csv
    """
    from detector.run import counting_settings

    plain, config = quiet or json_output, counting_settings(folder, settings)
    counts = _count(folder, config, history, tracks, _note(quiet=quiet), quiet=plain)
    _finish(counts, quiet=plain, json_output=json_output)
    _exit(counts, 0, strict=False)


@app.command()
def report(folder: Run, quiet: Quiet = False) -> None:
    """Write report.html from the counts.

    Example: railcars report RUN
    """
    from detector.report import report as write_report

    page = write_report(folder)
    if not quiet:
        console().print(f"report: {page}", markup=False, soft_wrap=True)


@app.command()
def evaluate(
    folder: Run,
    truth: Annotated[Path, typer.Option(help="Folder of <stem>.truth.geojson, or one GeoJSON of labelled polygons.")],
    page: Annotated[Path | None, typer.Option(help="Write an HTML page with pictures of errors here.")] = None,
    json_output: AsJson = False,
) -> None:
    """Measure detections, counts and intervals of a run against truth.

    Example: railcars evaluate RUN --truth labels.geojson --page evaluation.html
    """
    from training.evaluation.measure import evaluate as measure
    from training.evaluation.tables import tables

    result = measure(folder, truth, page=page)
    if json_output:
        _print_json(result)
        return
    for table in tables(result):
        console().print(table)


def _cluster(
    engine: Literal["local", "ray"], address: str | None, scale: Path | None
) -> "AbstractContextManager[Cluster | None]":
    """The cluster that computes; None for this process."""
    if engine == "local":
        if address or scale:
            raise UsageError("--address and --scale are for clusters.", "Give --engine ray with them.")
        return nullcontext()
    from detector.scale import connect

    return connect(scale_config(scale), address)


def _detect(
    inputs: "Inputs",
    out: Path,
    weights: "Weights",
    config: "DetectConfig",
    cluster: "Cluster | None",
    note: Callable[[str], None],
    *,
    quiet: bool,
) -> int:
    """Detect with progress; returns how many inputs were rejected."""
    from detector.run import detect_step

    with Watcher(quiet=quiet) as watcher:
        result, rejected = detect_step(inputs, out, weights, config, watcher, cluster=cluster, note=note)
    if not quiet:
        console().print(
            f"{result.n_scenes} scenes ({result.n_new} new), {result.n_tiles} tiles in {result.seconds:.1f} s, "
            f"{result.n_detected} objects at or above the operating threshold"
        )
        show_rejected(rejected, out / "rejected.csv")
        if result.left_out:
            note(f"{len(result.left_out)} scenes of earlier calls were not given this time and are left out.")
        if result.unseen:
            note(f"no image shows {', '.join(result.unseen)}: see `railcars scenes --facilities`.")
    return len(rejected)


def _count(
    folder: Path,
    config: "CountConfig",
    history: Path | None,
    tracks: Path | None,
    note: Callable[[str], None],
    *,
    quiet: bool,
) -> pd.DataFrame:
    """Count with progress."""
    from detector.run import count_step

    with CountWatcher(quiet=quiet) as watcher:
        return count_step(folder, config, history, tracks, note=note, progress=watcher)


def _finish(counts: pd.DataFrame, *, quiet: bool, json_output: bool) -> None:
    if json_output:
        _print_json(json.loads(counts.to_json(orient="records", date_format="iso")))
    if not quiet:
        for table in counts_table(counts):
            console().print(table)


def _exit(counts: pd.DataFrame, rejected: int, strict: bool) -> None:
    if strict and rejected:
        raise typer.Exit(EXIT_STRICT)
    if counts.empty:
        raise typer.Exit(EXIT_NOTHING)


def _print_json(value: Any) -> None:  # noqa: ANN401 - any JSON value
    typer.echo(json.dumps(value, indent=1))


def _note(*, quiet: bool) -> Callable[[str], None]:
    """What the steps tell their notes to."""
    return _silent if quiet else note


def _silent(text: str) -> None:
    """A note that nobody wants."""
