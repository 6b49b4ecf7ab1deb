"""Algorithm R, step 3: draws of the true number of objects behind one scene's detections."""

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, expit, ndtr
from scipy.stats import nbinom

from detector.counting.calibration import Model
from detector.counting.samples import METADATA, Floats, Sample

_MIN_RECALL = 0.05


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
    effect, recall = draw_effects(model, sample, joint or Joint.draw(n_draws, rng, rng))
    return draw_given_effects(model.truth_logit(sample), effect[:n_draws], recall[:n_draws], rng)


def draw_effects(model: Model, sample: Sample, joint: Joint) -> tuple[Floats, Floats]:
    """(n,) effects on the truth logit and (n,) recalls R, joined by the Gaussian copula.

    The effect is d ~ N(0, tau2) of the scene plus the error of w0, N(0, truth_sd^2).
    """
    root = np.linalg.cholesky(model.recall_cov)
    theta = model.recall + joint.parameters[:, 1:] @ root.T
    mean = np.clip(expit(theta[:, :-1] @ model.recall_features(sample)), 1e-4, 1 - 1e-4)
    k = np.exp(np.clip(theta[:, -1], -3, 8))
    scene = joint.scene[:, 0]
    shared = model.copula * scene + np.sqrt(1 - model.copula**2) * joint.scene[:, 1]
    recall = betaincinv(k * mean, k * (1 - mean), np.clip(ndtr(shared), 1e-6, 1 - 1e-6))
    effect = np.sqrt(model.tau2) * scene + model.truth_sd * joint.parameters[:, 0]
    return effect, np.clip(recall, _MIN_RECALL, 1 - 1e-6)


def draw_given_effects(truth_logit: Floats, effect: Floats, recall: Floats, rng: np.random.Generator) -> Floats:
    """Draws of N at given scene effects and recalls.

    Laws: the order of `truth_logit` does not matter; with the same generator state, raising any of its values
    never lowers any draw.

    Args:
        truth_logit: (D,) per detection, at d = 0.
        effect: (n,) scene effects.
        recall: (n,) recalls.
        rng: draws one uniform per detection and draw, and one per draw for the misses.
    """
    missed_at = rng.random(effect.size)
    ordered = np.sort(truth_logit)[::-1]
    is_true = rng.random((ordered.size, effect.size)) < expit(ordered[:, None] + effect)
    n_found = is_true.sum(axis=0)
    return np.asarray(n_found + nbinom.ppf(missed_at, n_found + 0.5, recall), dtype=np.float64)
