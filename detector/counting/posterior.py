"""Algorithm R, step 3: draws of the true number of objects behind one scene's detections."""

import numpy as np
from scipy.special import betaincinv, expit, ndtr
from scipy.stats import nbinom

from detector.counting.calibration import Model
from detector.counting.samples import Floats, Sample

_MIN_RECALL = 0.05


def draw_counts(model: Model, sample: Sample, n_draws: int, rng: np.random.Generator) -> Floats:
    """(n_draws,) whole numbers: draws of N = true positives + misses.

    True positives given the scene effect are Poisson-binomial; misses given them are NegBin(TP + 1/2, R).
    """
    effect, recall = draw_effects(model, sample, n_draws, rng)
    return draw_given_effects(model.truth_logit(sample), effect, recall, rng)


def draw_effects(model: Model, sample: Sample, n_draws: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """(n_draws,) scene effects d and (n_draws,) recalls R, joined by the Gaussian copula."""
    normal = rng.standard_normal((2, n_draws))
    root = np.linalg.cholesky(model.recall_cov)
    theta = model.recall + rng.standard_normal((n_draws, model.recall.size)) @ root.T
    mean = np.clip(expit(theta[:, :-1] @ model.recall_features(sample)), 1e-4, 1 - 1e-4)
    k = np.exp(np.clip(theta[:, -1], -3, 8))
    shared = model.copula * normal[0] + np.sqrt(1 - model.copula**2) * normal[1]
    recall = betaincinv(k * mean, k * (1 - mean), np.clip(ndtr(shared), 1e-6, 1 - 1e-6))
    return np.sqrt(model.tau2) * normal[0], np.clip(recall, _MIN_RECALL, 1 - 1e-6)


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
