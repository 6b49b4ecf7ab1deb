"""Algorithm R, step 3: draws of the true number of objects behind one scene's detections."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit

from detector.counting.calibration import Model
from detector.counting.inverse import beta_quantile, nbinom_quantile
from detector.counting.samples import METADATA, Bools, Floats, Sample

_MIN_RECALL = 0.05
_SURELY_Z = 4.753424
"""The normal quantile of 1 - 1e-6."""


@dataclass(frozen=True)
class Joint:
    """Standard normals that several counts share, so that their draws go together index by index.

    What is uncertain about a fitted model errs alike wherever it is used; what is odd about a scene touches all groups
    seen in it. Counts drawn with the same numbers can be added draw by draw (`detector.counting.total`).

    Attributes:
        parameters: (n, 4 + K) for the fitted parameters: the same for all counts of one model.
        scene: (n, 2) for the scene effect and the recall: the same for all groups in one scene.
    """

    parameters: Floats
    scene: Floats

    @classmethod
    def draw(cls, n_draws: int, parameters: np.random.Generator, scene: np.random.Generator) -> "Joint":
        """Generators in equal states give equal numbers; fewer draws are the first of more."""
        size = len(METADATA) + 4
        return cls(parameters.standard_normal((n_draws, size)), scene.standard_normal((n_draws, 2)))

    def of_scene(self, scene: np.random.Generator) -> "Joint":
        """The same parameters in another scene."""
        return replace(self, scene=scene.standard_normal(self.scene.shape))


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
    def counts(self) -> Floats:
        """(n,) all objects."""
        return np.asarray(self.is_true.sum(axis=0) + self.missed, dtype=np.float64)

    def among(self, chosen: Bools, share: float, at_z: Floats) -> Floats:
        """(n,) objects in a part of the scene.

        The misses given the found objects are a sum of as many equal parts and a half, so each is in the part with the
        probability (found there + share / 2) / (found + 1/2): Binomial, here by its normal approximation.

        Laws: never more than `counts`, draw by draw; all of them where the part is the whole; none where it is empty.

        Args:
            chosen: (D,) detections in the part.
            share: of the area.
            at_z: (n,) standard normals.
        """
        there = self.is_true[chosen].sum(axis=0)
        part = (there + share / 2) / (self.is_true.sum(axis=0) + 0.5)
        mean = part * self.missed
        missed = np.clip(np.rint(mean + np.sqrt(mean * (1 - part)) * at_z), 0, self.missed)
        return np.asarray(there + missed, dtype=np.float64)


def draw_counts(
    model: Model, sample: Sample, n_draws: int, rng: np.random.Generator, joint: Joint | None = None
) -> Floats:
    """(n_draws,) whole numbers: draws of N = true positives + misses.

    True positives given the scene effect are Poisson-binomial; misses given them are NegBin(TP + 1/2, R).

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
    return draw_given_effects(model.truth_logit(sample), effect[:n_draws], recall[:n_draws], rng)


def draw_effects(model: Model, sample: Sample, joint: Joint) -> tuple[Floats, Floats]:
    """(n,) effects on the truth logit and (n,) recalls R, joined by the Gaussian copula.

    The effect is d ~ N(0, tau2) of the scene plus the error of w0, N(0, truth_sd^2).
    """
    root = np.linalg.cholesky(model.recall_cov)
    theta = model.recall + joint.parameters[:, 1:] @ root.T
    scene = joint.scene[:, 0]
    shared = model.copula * scene + np.sqrt(1 - model.copula**2) * joint.scene[:, 1]
    mean_logit = theta[:, :-1] @ model.recall_features(sample)
    recall = beta_quantile(np.clip(shared, -_SURELY_Z, _SURELY_Z), mean_logit, theta[:, -1])
    effect = np.sqrt(model.tau2) * scene + model.truth_sd * joint.parameters[:, 0]
    return effect, np.clip(recall, _MIN_RECALL, 1 - 1e-6)


def draw_given_effects(truth_logit: Floats, effect: Floats, recall: Floats, rng: np.random.Generator) -> Draws:
    """Draws at given scene effects and recalls.

    Laws: the order of `truth_logit` does not matter for the counts; with the same generator state, raising any of its
    values never lowers any of them.

    Args:
        truth_logit: (D,) per detection, at d = 0.
        effect: (n,) scene effects.
        recall: (n,) recalls.
        rng: draws one uniform per detection and draw, and one per draw for the misses.
    """
    missed_at = rng.random(effect.size)
    order = np.argsort(-truth_logit, kind="stable")
    is_true = np.empty((order.size, effect.size), dtype=bool)
    is_true[order] = rng.random(is_true.shape) < expit(truth_logit[order][:, None] + effect)
    return Draws(is_true, nbinom_quantile(missed_at, is_true.sum(axis=0) + 0.5, recall))
