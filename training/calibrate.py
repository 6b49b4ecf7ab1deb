"""Measure a detector's errors on runs with truth and write its calibration. Imports no torch.

python -m training.calibrate --runs RUN... --truth DIR... --weights weights/NAME.json
"""

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from detector.config import ClassTable, class_table
from detector.counting.domain import Domain, fit_domain
from detector.counting.inflation import MIN_SCENES
from detector.counting.interval import calibrate
from detector.counting.samples import Floats, Labelled, Sample, density
from detector.errors import RailcarsError, UsageError
from detector.runfolder import read_record, read_tables
from detector.tally.calibration_file import CalibrationFile, GroupFile, save_calibration, to_domain_file, to_file
from detector.tally.sightings import find_views, scene_metadata, visible_ha
from detector.telling import tell
from detector.weights import ModelSpec, install, load_weights
from training.evaluation.detection import Scored, f1_curve
from training.evaluation.matching import label, match, of_group
from training.evaluation.truth import Place, read_places

MATCH_IOU = 0.3
THRESHOLD_IOU = 0.5  # boxes shown on maps should fit; counting weighs the others too
_DRAWS = 4000  # of each scene; with 300 the factor of 95 % intervals was 1.23 to 1.36 by the seed, with these 1.33
MIN_OBJECTS = 30  # a group with fewer true objects is counted with the railcars' calibration


def places_of(runs: Sequence[Path], truths: Sequence[Path], spec: ModelSpec, table: ClassTable) -> list[Place]:
    """What runs found, beside the truth.

    Args:
        runs: RUN folders made with these weights.
        truths: one truth folder or file per run, or one for all.
        spec: description of the weights.
        table: the class table.

    Raises:
        UsageError: a run was made with other weights, or has no truth.
    """
    if len(truths) not in {1, len(runs)}:
        raise UsageError(f"There are {len(runs)} runs but {len(truths)} truths.", "Give one truth per run, or one.")
    places: list[Place] = []
    for run, truth in zip(runs, truths if len(truths) == len(runs) else [truths[0]] * len(runs), strict=True):
        _check_weights(run, spec)
        places += read_places(run, truth, table.names)
    return places


def calibration_of(
    places: Sequence[Place],
    domain: Domain,
    spec: ModelSpec,
    table: ClassTable,
    *,
    synthetic: bool = False,
    seed: int = 0,
) -> CalibrationFile:
    """Fit every group's calibration.

    Args:
        places: what runs found, beside the truth.
        domain: what their scenes look like.
        spec: description of the weights.
        table: the class table.
        synthetic: whether the scenes were rendered.
        seed: of the draws that the inflation is learnt from.
    """
    groups: dict[str, GroupFile] = {}
    for group, classes in table.groups.items():
        scenes = labelled_scenes(places, classes, table)
        n_objects = sum(scene.n_true for scene in scenes)
        if n_objects >= MIN_OBJECTS and len(scenes) >= MIN_SCENES:
            rng = np.random.default_rng(seed)
            groups[group] = to_file(calibrate(scenes, _DRAWS, rng), n_objects, len(scenes))
    return CalibrationFile(
        weights=spec.name,
        weights_sha256=spec.identity,
        score_floor=spec.score_floor,
        n_scenes=len(places),
        n_facilities=len({str(place.scene["facility_id"]) for place in places}),
        synthetic=synthetic,
        domain=to_domain_file(domain),
        groups=groups,
    )


def domain_of(runs: Sequence[Path], places: Sequence[Place], table: ClassTable) -> Domain:
    """What the scenes of the runs look like, those for which there is truth.

    Raises:
        UsageError: a run was made by a version that did not look at all that the domain check needs.
    """
    judged = {(str(place.scene["scene_id"]), str(place.scene["facility_id"])) for place in places}
    looks: dict[tuple[str, str], Floats] = {}
    for run in runs:
        for facility, views in find_views(*read_tables(run), table).items():
            looks |= {(view.scene_id, facility): view.looks[0] for view in views}
    keys = sorted(judged & looks.keys())
    return fit_domain(np.array([looks[key] for key in keys]), [facility for _, facility in keys])


def operating_thresholds(places: Sequence[Place], table: ClassTable) -> dict[str, float]:
    """By family, in hundredths, where as many are detected as there are; none for a family without detected objects.

    If that is none of the thresholds whose F1 at IoU 0.5, whatever the names, is within a standard error of the
    greatest, about sqrt(F1 (1 - F1) / n) of n true objects, the nearest of these: which has the greatest is chance.
    """
    scored, found = Scored.of(places, table), {}
    for family, classes in table.families.items():
        judged = scored.judge(classes, THRESHOLD_IOU)
        if judged.is_true.any():
            n_true = int(judged.n_true.sum())
            thresholds, f1 = f1_curve(judged.score, judged.is_true, n_true)
            best = float(f1.max())
            as_good = thresholds[f1 >= best - math.sqrt(best * (1 - best) / n_true)]
            even = np.sort(judged.score)[-min(n_true, judged.score.size)]
            found[family] = round(float(np.clip(even, as_good.min(), as_good.max())), 2)
    return found


def naming(places: Sequence[Place], thresholds: Mapping[str, float], table: ClassTable) -> dict[str, float]:
    """Factors that make as many detected objects bear the name of a class as there are of it.

    For each group with classes of its own, all but the first of these; none for those with few objects.

    Args:
        places: what runs found, beside the truth.
        thresholds: operating threshold of each family.
        table: the class table.
    """
    scores = np.vstack([place.found.scores.values for place in places])
    factors = {}
    for group, members in table.groups.items():
        own = [table.names.index(name) for name in members if table.group_of(name) == group]
        in_group = np.isin(scores.argmax(axis=1), own)
        for index in own[1:]:
            name = table.names[index]
            n_true = sum(int(of_group(place.truth, (name,)).sum()) for place in places)
            used = scores[in_group & (scores.sum(axis=1) >= thresholds[table.family_of(name)])]
            against = used[:, [other for other in own if other != index]].max(axis=1, initial=0.0)
            ratio = np.sort(against / np.maximum(used[:, index], 1e-9))
            if MIN_OBJECTS <= n_true <= ratio.size:
                factors[name] = round(float(ratio[n_true - 1]), 2)
    return {name: factor for name, factor in factors.items() if factor > 0}


def labelled_scenes(places: Sequence[Place], classes: tuple[str, ...], table: ClassTable) -> list[Labelled]:
    """One labelled sample of a group per scene and facility; don't-care detections are left out.

    All detections that may be of the group take part, whatever their names.
    """
    scenes = []
    for place in places:
        matched = match(place.found, place.truth, MATCH_IOU, table)
        labels = label(place.found, place.truth, matched, classes)
        scores = place.found.scores.of(classes)[labels.row]
        sample = Sample(scores, np.r_[scene_metadata(place.scene), density(scores, visible_ha(place.scene))])
        scenes.append(Labelled(sample, labels.is_true, labels.n_true, str(place.scene["facility_id"])))
    return scenes


def _check_weights(run: Path, spec: ModelSpec) -> None:
    """See that the run was made with these weights."""
    used = (read_record(run).get("weights") or {}).get("sha256")
    if used != spec.identity:
        raise UsageError(
            f"{run}: was made with weights {str(used)[:12]}, not {spec.identity[:12]} ({spec.name}).",
            "Detect again with the weights to be calibrated.",
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Write NAME.calibration.json and the operating thresholds in NAME.json; exit code 2 where inputs do not fit."""
    parser = argparse.ArgumentParser(prog="python -m training.calibrate", description=__doc__)
    parser.add_argument("--runs", type=Path, nargs="+", required=True, help="RUN folders")
    parser.add_argument("--truth", type=Path, nargs="+", required=True, help="truth of each run, or one for all")
    parser.add_argument("--weights", type=Path, required=True, help="weights/NAME.json")
    parser.add_argument("--out", type=Path, help="by default NAME.calibration.json beside the weights")
    parser.add_argument("--rendered", action="store_true", help="the scenes were rendered: the report says so")
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    options = parser.parse_args(arguments)
    try:
        weights = load_weights(options.weights)
        spec = weights.spec
        table = class_table()
        places = places_of(options.runs, options.truth, spec, table)
        domain = domain_of(options.runs, places, table)
        stored = calibration_of(places, domain, spec, table, synthetic=options.rendered, seed=options.seed)
    except RailcarsError as error:
        tell(error)
        return 2
    out = options.out or options.weights.with_name(f"{spec.name}.calibration.json")
    save_calibration(stored, out)
    best = {family: max(score, spec.score_floor) for family, score in operating_thresholds(places, table).items()}
    thresholds = spec.operating_threshold | best
    shipped = spec.model_copy(update={"operating_threshold": thresholds, "naming": naming(places, thresholds, table)})
    install((), shipped, weights.folder)
    objects = ", ".join(f"{name}: {group.n_objects} objects" for name, group in stored.groups.items())
    made_of = f"{stored.n_scenes} scenes of {stored.n_facilities} facilities"
    enough = objects or "no group has enough objects and scenes"
    Console().print(f"{out}: {made_of}; {enough}.", markup=False, soft_wrap=True)
    told = ", ".join(f"{family} {score:g}" for family, score in shipped.operating_threshold.items())
    Console().print(f"{options.weights}: operating threshold {told}.", markup=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
