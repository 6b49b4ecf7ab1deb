"""Algorithm R, steps 1 and 2: which detections are true, and which share of the true objects is found.

True: p_i = expit(w0 + w1 z_i + w2 x) over all scenes, ridge logistic regression; in a scene the logits, drawn apart so
that the mean stays p_i, have an effect d ~ N(0, tau2) in common. z_i is the logit of the detector's probability that i
is of the group, whatever it names i: a railcar that it calls a locomotive is still a railcar, and its score is shared
out over both, so that counting names would lose it.
Found: R ~ Beta(k m, k (1 - m)), logit m = t0 + t1 x + t2 q, penalised beta-binomial likelihood with a Laplace
posterior; q is the scene's score quality. d and R share a Gaussian copula.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import betaln, expit

from detector.counting.samples import METADATA, Bools, Floats, Labelled, Sample, Scaler, logit

_MIN_TAU2 = 0.01
_ANCHORS_Z = np.array([-3.0, -1.0, 1.0, 3.0])  # one pseudo-detection each, true with probability expit(z)
_PRIOR_MEAN = np.r_[1.7, np.zeros(len(METADATA) + 1), np.log(10.0)]  # t0, t1 (K), t2, log k
_PRIOR_SD = np.r_[1.5, np.full(len(METADATA) + 1, 0.5), 1.0]
_COPULA_SHRINK = 20.0
_MIN_SCENES = 3
_C2 = (16 * np.sqrt(3) / (15 * np.pi)) ** 2


@dataclass(frozen=True)
class Model:
    """The fitted truth and recall models of one group.

    Attributes:
        scaler: standardises metadata.
        truth: (2 + K,) w0, w1, w2.
        truth_sd: standard error of w0, clustered by facility: an error that all scenes share.
        tau2: variance of the scene effect.
        z_mean: mean score logit of true detections.
        recall: (3 + K,) mode of t0, t1, t2, log k; recall_cov its covariance (Laplace).
        copula: correlation of the scene effect with the recall.
    """

    scaler: Scaler
    truth: Floats
    tau2: float
    z_mean: float
    recall: Floats
    recall_cov: Floats
    copula: float
    truth_sd: float = 0.0

    def truth_logit(self, sample: Sample) -> Floats:
        """(D,) logit of the probability that each detection is true, over all scenes that it may be of."""
        z = logit(sample.scores)
        return np.asarray(self.truth[0] + self.truth[2:] @ self.scaler(sample) + self.truth[1] * z, dtype=np.float64)

    def p_true(self, sample: Sample) -> Floats:
        """(D,) calibrated probability that each detection is an object of the group."""
        return np.asarray(expit(self.truth_logit(sample)), dtype=np.float64)

    def in_a_scene(self, truth_logit: Floats) -> Floats:
        """(D,) the same in a scene of effect d = 0: with d ~ N(0, tau2) added, the mean probability is p again.

        The normal logit's mean is that of a logit by 1 / sqrt(1 + c2 tau2) as large (Zeger, Liang, Albert, Models for
        longitudinal data, 1988). Without it, draws of many faint detections are too many by a fifth and more.
        """
        return np.asarray(np.sqrt(1 + _C2 * self.tau2) * truth_logit, dtype=np.float64)

    def recall_features(self, sample: Sample, truth_logit: Floats | None = None) -> Floats:
        """(2 + K,) 1, x, q: what logit m is linear in; `truth_logit` where it is known already."""
        return np.concatenate([[1.0], self.scaler(sample), [self.quality(sample, truth_logit)]])

    def quality(self, sample: Sample, truth_logit: Floats | None = None) -> float:
        """Score quality q = sum p_i (z_i - zbar) / (sum p_i + 5)."""
        p = expit(self.truth_logit(sample) if truth_logit is None else truth_logit)
        return float(p @ (logit(sample.scores) - self.z_mean) / (p.sum() + 5.0))


def fit_model(scenes: Sequence[Labelled]) -> Model:
    """Fit both models to scenes with known truth.

    Raises:
        ValueError: there is no scene.
    """
    if not scenes:
        raise ValueError("At least one labelled scene is needed. Received: none.")
    scaler = Scaler.fit([scene.sample for scene in scenes])
    truth = _fit_truth(scenes, scaler)
    draft = Model(scaler, truth, _MIN_TAU2, 0.0, _PRIOR_MEAN, np.diag(_PRIOR_SD**2), 0.0)
    residual, variance = _scene_residuals(draft, scenes)
    tau2 = max(_MIN_TAU2, float(((residual**2 - variance).sum() + 0.3) / ((variance**2).sum() + 3.0)))
    p = np.concatenate([draft.p_true(scene.sample) for scene in scenes])
    z = np.concatenate([logit(scene.sample.scores) for scene in scenes])
    z_mean = float(p @ z / p.sum()) if p.sum() > 0 else 0.0
    scored = replace(draft, tau2=tau2, z_mean=z_mean)
    features = np.array([scored.recall_features(scene.sample) for scene in scenes])
    found = np.array([scene.is_true.sum() for scene in scenes], dtype=np.float64)
    total = np.array([scene.n_true for scene in scenes], dtype=np.float64)
    recall, cov = _fit_recall(features, found, total)
    effect = residual / np.sqrt(variance + tau2 * variance**2 + 1e-9)
    copula = _copula(effect, _recall_residuals(recall, features, found, total), total > 0)
    truth_sd = _shared_error(residual, variance, [scene.facility for scene in scenes])
    return replace(scored, recall=recall, recall_cov=cov, copula=copula, truth_sd=truth_sd)


def _fit_truth(scenes: Sequence[Labelled], scaler: Scaler) -> Floats:
    """(2 + K,) w0, w1, w2: ridge logistic regression, pulled to p = score by pseudo-data."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - only fitting needs it, and it is large

    rows = []
    for sample in (scene.sample for scene in scenes):
        z = logit(sample.scores)
        rows.append(np.column_stack([z, np.tile(scaler(sample), (z.size, 1))]))
    anchors = np.zeros((2 * _ANCHORS_Z.size, 1 + len(METADATA)))
    anchors[:, 0] = np.tile(_ANCHORS_Z, 2)
    anchor_truth = np.repeat([True, False], _ANCHORS_Z.size)
    features = np.vstack([*rows, anchors])
    label = np.concatenate([*(scene.is_true for scene in scenes), anchor_truth])
    weight = np.ones(label.size)
    weight[-anchor_truth.size :] = np.concatenate([expit(_ANCHORS_Z), expit(-_ANCHORS_Z)])
    fitted = LogisticRegression(C=1.0, max_iter=1000).fit(features, label, sample_weight=weight)
    return np.concatenate([fitted.intercept_, fitted.coef_[0]]).astype(np.float64)


def _shared_error(residual: Floats, variance: Floats, facility: Sequence[str]) -> float:
    """Standard error of w0, sqrt(sum_f (sum_{s in f} e_s)^2) / (1 + sum v): Huber's sandwich, clustered by facility."""
    _, code = np.unique(np.array(facility), return_inverse=True)
    return float(np.sqrt((np.bincount(code, residual) ** 2).sum()) / (1 + variance.sum()))


def _scene_residuals(model: Model, scenes: Sequence[Labelled]) -> tuple[Floats, Floats]:
    """Per scene: sum of y - p, and sum of p (1 - p)."""
    p = [model.p_true(scene.sample) for scene in scenes]
    residual = [float((scene.is_true - q).sum()) for scene, q in zip(scenes, p, strict=True)]
    return np.array(residual), np.array([float((q * (1 - q)).sum()) for q in p])


def _fit_recall(features: Floats, found: Floats, total: Floats) -> tuple[Floats, Floats]:
    """Mode and Laplace covariance of the penalised beta-binomial likelihood.

    Args:
        features: (S, 2 + K).
        found: (S,) true detections.
        total: (S,) true objects.
    """
    from scipy.optimize import minimize  # noqa: PLC0415 - only fitting needs it, and it is large

    def loss(theta: Floats) -> float:
        mean = np.clip(expit(features @ theta[:-1]), 1e-6, 1 - 1e-6)
        k = np.exp(np.clip(theta[-1], -3, 8))
        a, b = k * mean, k * (1 - mean)
        likelihood = betaln(found + a, total - found + b) - betaln(a, b)
        penalty = ((theta - _PRIOR_MEAN) / _PRIOR_SD) ** 2
        return float(-likelihood.sum() + penalty.sum() / 2)

    mode = np.asarray(minimize(loss, _PRIOR_MEAN, method="L-BFGS-B").x, dtype=np.float64)
    return mode, np.linalg.inv(_positive(_hessian(loss, mode))).astype(np.float64)


def _hessian(loss: Callable[[Floats], float], at: Floats, step: float = 1e-3) -> Floats:
    """Second derivatives by central differences."""
    size = at.size
    shifts = np.eye(size) * step
    out = np.empty((size, size))
    for i in range(size):
        for j in range(i + 1):
            corners = [loss(at + a * shifts[i] + b * shifts[j]) for a in (1, -1) for b in (1, -1)]
            out[i, j] = out[j, i] = (corners[0] - corners[1] - corners[2] + corners[3]) / (4 * step**2)
    return out


def _positive(matrix: Floats) -> Floats:
    """The symmetric matrix with eigenvalues no smaller than the prior's weakest precision."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.maximum(values, 1 / _PRIOR_SD.max() ** 2)) @ vectors.T, dtype=np.float64)


def _recall_residuals(theta: Floats, features: Floats, found: Floats, total: Floats) -> Floats:
    """Standardised residuals of the found objects under the beta-binomial."""
    mean = expit(features @ theta[:-1])
    k = np.exp(theta[-1])
    variance = total * mean * (1 - mean) * (k + total) / (k + 1)
    return np.asarray((found - total * mean) / np.sqrt(variance + 1e-9), dtype=np.float64)


def _copula(effect: Floats, recall: Floats, used: Bools) -> float:
    """Correlation of the two residuals over the scenes that hold objects, shrunk by n / (n + 20)."""
    a, b = np.clip(effect[used], -3, 3), np.clip(recall[used], -3, 3)
    if a.size < _MIN_SCENES or a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1] * a.size / (a.size + _COPULA_SHRINK))
