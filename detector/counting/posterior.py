"""Algorithm R, step 3: draws of the true number of objects behind one scene's detections."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from detector.counting.calibration import Model
from detector.counting.inverse import BetaQuantiles, beta_quantile, nbinom_quantile
from detector.counting.samples import METADATA, Bools, Floats, Sample

_MIN_RECALL = 0.05
_LEAST_LOGIT = -600.0  # so that odds stay finite
_UNFOUND = 0.1  # counts as found, so that scenes in which nothing was found may hold objects
_SURELY_Z = 4.753424
"""The normal quantile of 1 - 1e-6."""


@dataclass(frozen=True)
class Joint:
    """Standard normals that several counts share, so that their draws go together index by index.

    What is uncertain about a fitted model errs alike wherever it is used; what is odd about a scene touches all groups
    seen in it. Counts drawn with the same numbers can be added draw by draw (`detector.counting.total`).

    Attributes:
        parameters: (n, 4 + K) for the fitted parameters: the same for all counts of one model.
        scene: (n, 2 + K) for the scene effect, the recall and each of its metadata, where it is unknown: the same for
            all groups in one scene.
    """

    parameters: Floats
    scene: Floats

    @classmethod
    def draw(cls, n_draws: int, parameters: np.random.Generator, scene: np.random.Generator) -> "Joint":
        """Generators in equal states give equal numbers; fewer draws are the first of more."""
        return cls(cls.normals(n_draws, parameters), cls.scene_normals(n_draws, scene))

    @staticmethod
    def normals(n_draws: int, rng: np.random.Generator) -> Floats:
        """(n_draws, 4 + K) standard normals for the parameters."""
        return rng.standard_normal((n_draws, len(METADATA) + 4))

    @staticmethod
    def scene_normals(n_draws: int, rng: np.random.Generator) -> Floats:
        """(n_draws, 2 + K) standard normals for a scene."""
        return rng.standard_normal((n_draws, len(METADATA) + 2))

    def of_scene(self, scene: np.random.Generator) -> "Joint":
        """The same parameters in another scene."""
        return replace(self, scene=self.scene_normals(len(self.scene), scene))


@dataclass(frozen=True)
class Draws:
    """Draws of the objects behind the detections of one scene.

    Attributes:
        is_true: (D, n) whether each detection is true.
        missed: (n,) objects without a detection.
    """

    is_true: Bools
    missed: Floats

    @property
    def found(self) -> Floats:
        """(n,) true detections."""
        return column_sums(self.is_true)

    @property
    def counts(self) -> Floats:
        """(n,) all objects."""
        return self.found + self.missed

    def first(self, n_draws: int) -> "Draws":
        """The first few of them."""
        return Draws(self.is_true[:, :n_draws].copy(), self.missed[:n_draws].copy())

    def among(self, chosen: Bools, share: float, at_z: Floats) -> Floats:
        """(n,) objects in a part of the scene: `objects_among`.

        Args:
            chosen: (D,) detections in the part.
            share: of the area.
            at_z: (n,) standard normals.
        """
        return objects_among(column_sums(self.is_true[chosen]), self.found, self.missed, share, at_z)


def objects_among(there: Floats, found: Floats, missed: Floats, share: Floats | float, at_z: Floats) -> Floats:
    """Objects in a part of a scene; all arguments broadcast.

    The misses given the found objects are a sum of as many equal parts and a tenth, so each is in the part with the
    probability (found there + share / 10) / (found + 1/10): Binomial, here by its normal approximation.

    Laws: never more than found and missed together, draw by draw; all of them where the part is the whole; none where
    it is empty.

    Args:
        there: true detections in the part.
        found: true detections in the scene.
        missed: objects without a detection.
        share: of the scene's area, the part's.
        at_z: standard normals.
    """
    part = (there + share * _UNFOUND) / (found + _UNFOUND)
    mean = part * missed
    in_part = np.clip(np.rint(mean + np.sqrt(mean * (1 - part)) * at_z), 0, missed)
    return np.asarray(there + in_part, dtype=np.float64)


def column_sums(table: Bools) -> Floats:
    """(n,) how many of the rows of (D, n) are true in each column; in bytes, 255 rows at a time."""
    sums = np.zeros(table.shape[1])
    for first in range(0, len(table), 255):
        sums += table[first : first + 255].view(np.uint8).sum(axis=0, dtype=np.uint8)
    return sums


def draw_counts(
    model: Model, sample: Sample, n_draws: int, rng: np.random.Generator, joint: Joint | None = None
) -> Floats:
    """(n_draws,) whole numbers: draws of N = true positives + misses.

    True positives given the scene effect are Poisson-binomial; misses given them are NegBin(TP + 0.1, R):
    the prior of N is N^-0.9. That a half would say more of scenes with nothing in them, docs/method.md shows.

    Args:
        model: of the group.
        sample: what was detected.
        n_draws: number of draws.
        rng: random numbers that are this count's alone.
        joint: those shared with other counts, at least n_draws of them; by default none is shared.
    """
    return draw_objects(model, sample, n_draws, rng, joint).counts


def draw_objects(
    model: Model, sample: Sample, n_draws: int, rng: np.random.Generator, joint: Joint | None = None
) -> Draws:
    """As `draw_counts`, detection by detection."""
    effect, recall = draw_effects(model, sample, joint or Joint.draw(n_draws, rng, rng))
    logits = model.in_a_scene(model.truth_logit(sample))
    return draw_given_effects(logits, effect[:n_draws], recall[:n_draws], rng)


def draw_effects(model: Model, sample: Sample, joint: Joint) -> tuple[Floats, Floats]:
    """(n,) effects on the truth logit and (n,) recalls R, joined by the Gaussian copula.

    The effect is d ~ N(0, tau2) of the scene plus the error of w0, N(0, truth_sd^2). What is not known of the scene,
    such as the sun's elevation without a time of day, is drawn as it was spread over the calibration scenes.
    """
    theta = _parameters(model, joint.parameters)
    unknown = model.scaler.draws(sample, joint.scene[:, 2:])
    mean_logit = theta[:, :-1] @ model.recall_features(sample) + _recall_shift(unknown, theta)
    recall = beta_quantile(_recall_normals(model, joint.scene), mean_logit, theta[:, -1])
    return _effects(model, joint.parameters, joint.scene, unknown), _possible(recall)


@dataclass(frozen=True)
class Scenes:
    """As `draw_effects` for many scenes with the same drawn parameters, many times sooner.

    Attributes:
        model: of the group.
        parameters: (n, 4 + K) standard normals for the fitted parameters, those of a `Joint`.
    """

    model: Model
    parameters: Floats
    _theta: Floats
    _recall: BetaQuantiles

    @classmethod
    def of(cls, model: Model, parameters: Floats) -> "Scenes":
        """What all scenes share, computed once."""
        theta = _parameters(model, parameters)
        return cls(model, parameters, theta[:, :-1], BetaQuantiles.at(theta[:, -1]))

    def draw(
        self, samples: Sequence[Sample], scenes: Sequence[Floats], rngs: Sequence[np.random.Generator]
    ) -> list[Draws]:
        """Draws behind each sample.

        Law: those of `draw_objects`, each with its generator and the `Joint` of its scene.

        Args:
            samples: of V views.
            scenes: of each, the (n, 2 + K) standard normals of its scene.
            rngs: of each, random numbers that are its count's alone; views with one generator use it in turn.
        """
        normals = np.array(scenes)
        logits = [self.model.truth_logit(sample) for sample in samples]
        features = np.array([self.model.recall_features(*each) for each in zip(samples, logits, strict=True)])
        unknown = np.array([self.model.scaler.draws(*each) for each in zip(samples, normals[..., 2:], strict=True)])
        mean_logit = features @ self._theta.T + _recall_shift(unknown, self._theta)
        recall = self._recall(_recall_normals(self.model, normals), mean_logit)
        effects = _effects(self.model, self.parameters, normals, unknown)
        return _draw([self.model.in_a_scene(each) for each in logits], effects, _possible(recall), rngs)


def _parameters(model: Model, normals: Floats) -> Floats:
    """(n, 3 + K) draws of t0, t1, t2, log k."""
    return np.asarray(model.recall + normals[:, 1:] @ np.linalg.cholesky(model.recall_cov).T, dtype=np.float64)


def _recall_shift(unknown: Floats, theta: Floats) -> Floats:
    """(..., n) what unknown metadata (..., n, K) add to logit m, under drawn parameters (n, 2 + K or more)."""
    return np.asarray((unknown * theta[:, 1 : 1 + unknown.shape[-1]]).sum(axis=-1), dtype=np.float64)


def _recall_normals(model: Model, scene: Floats) -> Floats:
    """(..., n) the normals behind the recalls, of scenes (..., n, 2 + K)."""
    shared = model.copula * scene[..., 0] + np.sqrt(1 - model.copula**2) * scene[..., 1]
    return np.asarray(np.clip(shared, -_SURELY_Z, _SURELY_Z), dtype=np.float64)


def _effects(model: Model, parameters: Floats, scene: Floats, unknown: Floats) -> Floats:
    """(..., n) effects on the truth logit, of scenes (..., n, 2 + K) with unknown metadata (..., n, K)."""
    known = np.sqrt(model.tau2) * scene[..., 0] + model.truth_sd * parameters[:, 0]
    return np.asarray(known + unknown @ model.truth[2:], dtype=np.float64)


def _possible(recall: Floats) -> Floats:
    return np.asarray(np.clip(recall, _MIN_RECALL, 1 - 1e-6), dtype=np.float64)


def draw_given_effects(truth_logit: Floats, effect: Floats, recall: Floats, rng: np.random.Generator) -> Draws:
    """Draws at given scene effects and recalls.

    Laws: the order of `truth_logit` does not matter for the counts; with the same generator state, raising any of its
    values never lowers any of them.

    Args:
        truth_logit: (D,) per detection, at d = 0 (`Model.in_a_scene`).
        effect: (n,) scene effects.
        recall: (n,) recalls.
        rng: draws one uniform per detection and draw, and one per draw for the misses.
    """
    return _draw([truth_logit], effect[None], recall[None], [rng])[0]


def _draw(
    truth_logits: Sequence[Floats], effect: Floats, recall: Floats, rngs: Sequence[np.random.Generator]
) -> list[Draws]:
    """As `draw_given_effects` for V scenes, effects and recalls (V, n)."""
    missed_at, trues = np.empty(effect.shape), []
    for i, (truth_logit, rng) in enumerate(zip(truth_logits, rngs, strict=True)):
        missed_at[i] = rng.random(effect.shape[1])
        trues.append(_which_true(truth_logit, effect[i], rng))
    size = np.array([column_sums(is_true) for is_true in trues]) + _UNFOUND
    missed = nbinom_quantile(missed_at.ravel(), size.ravel(), recall.ravel()).reshape(size.shape)
    return [Draws(*each) for each in zip(trues, missed, strict=True)]


def _which_true(truth_logit: Floats, effect: Floats, rng: np.random.Generator) -> Bools:
    """(D, n) whether a uniform u lies below expit(logit + effect), as u (1 + exp(-logit) exp(-effect)) < 1."""
    order = np.argsort(-truth_logit, kind="stable")
    odds_against = np.exp(-np.maximum(truth_logit[order], _LEAST_LOGIT))
    is_true = np.empty((order.size, effect.size), dtype=bool)
    scaled = rng.random(is_true.shape)
    against = np.multiply.outer(odds_against, np.exp(-effect))
    against += 1
    scaled *= against
    is_true[order] = scaled < 1
    return is_true
