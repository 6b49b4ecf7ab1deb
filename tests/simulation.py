"""Facility-dates with known truth, as scored detections: the test bed of counting, without imagery."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detector.counting.samples import Floats, Labelled, Sample, density
from detector.pixels.look import Look

_STRATA = ((0, 0), (1, 5), (6, 25), (26, 80), (81, 250))
_STRATA_SHARE = (0.17, 0.25, 0.28, 0.18, 0.12)
FLOOR = 0.05


@dataclass(frozen=True)
class World:
    """How hard the simulated detector's life is.

    Attributes:
        recall_logit: mean logit of the recall.
        facility_sd, scene_sd, string_sd: standard deviations of its effects.
        false_per_scene: mean number of false alarms above the score floor.
        score_gap: distance of the mean score logits of true and false detections.
        confused: k where it is above 0: a sixth as many objects of another class stand there, and of each object the
            detector says how sure it is of its class, right on average: Beta(6 k + 1, k) of the true ones, Beta(6 k,
            k + 1) of the others. The larger, the less it knows.
        by_name: it names each object, and does not say how sure it is of the name.
    """

    recall_logit: float = 2.0
    facility_sd: float = 0.4
    scene_sd: float = 0.5
    string_sd: float = 0.7
    false_per_scene: float = 6.0
    score_gap: float = 3.6
    confused: float = 0.0
    by_name: bool = False


@dataclass(frozen=True)
class Site:
    """A facility: its effect on the recall logit, its mean number of false alarms, its area."""

    facility: str
    effect: float
    false_rate: float
    area_ha: float

    @classmethod
    def draw(cls, facility: str, rng: np.random.Generator, world: World) -> "Site":
        rate = world.false_per_scene * rng.gamma(2.0, 0.5)
        return cls(facility, rng.normal(0, world.facility_sd), rate, rng.uniform(5, 40))


@dataclass(frozen=True)
class Seen:
    """What a detector sees: which true objects are found, scores of found and of false ones, quality."""

    found: npt.NDArray[np.bool_]
    true_scores: Floats
    false_scores: Floats
    quality: float


def see(n_true: int, site: Site, rng: np.random.Generator, world: World) -> Seen:
    """One scene with `n_true` objects in strings of six that are missed together."""
    quality = rng.normal()
    effect = site.effect + world.scene_sd * (0.6 * quality + 0.8 * rng.normal())
    string = np.repeat(rng.normal(0, world.string_sd, n_true // 6 + 1), 6)[:n_true]
    found = rng.random(n_true) < 1 / (1 + np.exp(-(world.recall_logit + effect + string)))
    z_true = rng.normal(0.5 * world.score_gap + 0.5 * effect, 1.2, n_true)
    n_false = rng.poisson(site.false_rate * rng.gamma(1.5, 1 / 1.5) * (0.6 + n_true / 75))
    z_false = rng.normal(-0.5 * world.score_gap + 0.3 * rng.normal(), 1.1, n_false)
    scores_true, scores_false = (1 / (1 + np.exp(-z)) for z in (z_true, z_false))
    found &= scores_true >= FLOOR
    return Seen(found, scores_true[found], scores_false[scores_false >= FLOOR], quality)


def scene_values(quality: float, rng: np.random.Generator) -> Floats:
    """(5,) gsd_m, sharpness, contrast, sun_elevation_deg, off_nadir_deg; the last is never known."""
    sharpness = np.exp(0.3 * quality + 0.2 * rng.normal())
    sun = np.nan if rng.random() < 0.2 else rng.uniform(20, 65)
    return np.array([rng.uniform(0.3, 0.5), sharpness, 0.4 + 0.1 * rng.normal(), sun, np.nan])


def look_values(rng: np.random.Generator) -> Look:
    """How the picture of a scene looks, apart from the values that bear on the detector."""
    return Look(
        chroma=rng.uniform(0, 0.4),
        red_cast=rng.normal(0, 0.05),
        red_share=rng.exponential(0.005),
        detail=rng.normal(-4, 0.7),
        cutoff=rng.normal(-0.3, 0.1),
        black_point=rng.uniform(0, 0.4),
        grey_levels=rng.uniform(6.5, 8),
    )


def simulate(
    n_facilities: int, n_dates: int, rng: np.random.Generator, world: World | None = None, prefix: str = "f"
) -> list[Labelled]:
    """Labelled scenes of new facilities."""
    world = world or World()
    sites = [Site.draw(f"{prefix}{i}", rng, world) for i in range(n_facilities)]
    return [_scene(site, rng, world) for site in sites for _ in range(n_dates)]


def true_number(rng: np.random.Generator) -> int:
    """A number of cars: a quarter of the facilities nearly empty, some with hundreds."""
    low, high = _STRATA[rng.choice(len(_STRATA), p=_STRATA_SHARE)]
    return int(rng.integers(low, high + 1))


def _scene(site: Site, rng: np.random.Generator, world: World) -> Labelled:
    n_true = true_number(rng)
    seen = see(n_true, site, rng, world)
    scores = np.r_[seen.true_scores, seen.false_scores]
    is_true = np.arange(scores.size) < seen.true_scores.size
    if world.confused > 0:
        others = see(n_true // 6, site, rng, world).true_scores
        scores, is_true = np.r_[scores, others], np.r_[is_true, np.zeros(others.size, dtype=bool)]
        k = world.confused
        share = np.r_[rng.beta(6 * k + 1, k, scores.size - others.size), rng.beta(6 * k, k + 1, others.size)]
        if world.by_name:
            scores, is_true = scores[share > 0.5], is_true[share > 0.5]
        else:
            scores = scores * share
    metadata = np.r_[scene_values(seen.quality, rng), density(scores, site.area_ha)]
    return Labelled(Sample(scores, metadata), is_true, n_true, site.facility)
