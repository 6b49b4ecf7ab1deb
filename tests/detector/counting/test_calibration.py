"""The truth and recall models: confused classes, shared errors, and what scipy knows too."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit

from detector.counting.calibration import Model, fit_model
from detector.counting.interval import Calibration, calibrate, estimate
from detector.counting.posterior import Joint, draw_effects, draw_given_effects, draw_objects
from detector.counting.samples import METADATA, Labelled, Sample
from tests.simulation import World, simulate

CONFUSED = World(confused=0.2)


@pytest.fixture(scope="module")
def model() -> Model:
    return fit_model(simulate(40, 3, np.random.default_rng(1)))


@pytest.fixture(scope="module")
def confused() -> Calibration:
    rng = np.random.default_rng(2)
    return calibrate(simulate(40, 3, rng, CONFUSED), 300, rng)


def judged(fitted: Calibration, scenes: list[Labelled]) -> np.ndarray:
    """Rows of the truth, the count, and the ends of the 95 % interval."""
    rng, inflation = np.random.default_rng(3), fitted.inflation()
    found = [estimate(fitted.model, inflation, s.sample, 500, rng) for s in scenes]
    return np.array([[s.n_true, e.count, e.low[0.95], e.high[0.95]] for s, e in zip(scenes, found, strict=True)])


def test_weighing_how_sure_a_name_is_makes_better_counts_and_intervals(confused: Calibration) -> None:
    named = replace(CONFUSED, by_name=True)
    by_name = calibrate(simulate(40, 3, np.random.default_rng(2), named), 300, np.random.default_rng(4))
    weighed, ignored = (
        judged(fitted, simulate(40, 3, np.random.default_rng(5), world, prefix="unseen"))
        for fitted, world in ((confused, CONFUSED), (by_name, named))
    )
    covered = (weighed[:, 2] <= weighed[:, 0]) & (weighed[:, 0] <= weighed[:, 3])
    assert covered.mean() >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 40)  # 40 facilities, whose dates go together
    assert interval_score(weighed) < 0.95 * interval_score(ignored)
    assert np.abs(weighed[:, 1] - weighed[:, 0]).mean() < np.abs(ignored[:, 1] - ignored[:, 0]).mean()


def interval_score(rows: np.ndarray) -> float:
    """Mean width and 40 times the miss of `judged` rows."""
    n_true, low, high = rows[:, 0], rows[:, 2], rows[:, 3]
    return float((high - low + 40 * (np.maximum(low - n_true, 0) + np.maximum(n_true - high, 0))).mean())


def test_a_sample_without_metadata_is_that_of_unknown_metadata(model: Model) -> None:
    scores = np.array([0.9, 0.4])
    unknown = Sample(scores, np.full(len(METADATA), np.nan))
    assert (model.p_true(Sample(scores)) == model.p_true(unknown)).all()


def test_nothing_needs_metadata() -> None:
    rng = np.random.default_rng(6)
    bare = [replace(s, sample=Sample(s.sample.scores)) for s in simulate(40, 3, rng)]
    unseen = [replace(s, sample=Sample(s.sample.scores)) for s in simulate(40, 3, rng, prefix="unseen")]
    rows = judged(calibrate(bare, 300, rng), unseen)
    covered = (rows[:, 2] <= rows[:, 0]) & (rows[:, 0] <= rows[:, 3])
    assert covered.mean() >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 40)
    assert abs(rows[:, 1].sum() / rows[:, 0].sum() - 1) <= 0.08


def test_the_shared_error_falls_with_the_number_of_facilities() -> None:
    few, many = (
        np.mean([fit_model(simulate(n, 3, np.random.default_rng([7, i]))).truth_sd for i in range(4)]) for n in (10, 90)
    )
    assert 0 < many < 0.75 * few


def test_true_positives_are_poisson_binomial() -> None:
    logits = np.array([-2.0, -0.5, 0.3, 1.0, 3.0])
    n = 40_000
    draws = draw_given_effects(logits, np.zeros(n), np.full(n, 1 - 1e-9), np.random.default_rng(8)).counts
    expected = stats.poisson_binom(expit(logits)).pmf(np.arange(6))
    found = np.bincount(draws.astype(int), minlength=6)
    assert stats.chisquare(found, n * expected).pvalue > 1e-3


@pytest.mark.parametrize("tau2", [0.01, 0.8, 2.5])
def test_scene_effects_leave_the_mean_number_of_true_detections_as_it_is(model: Model, tau2: float) -> None:
    odd = replace(model, tau2=tau2, truth_sd=0.0)
    sample, rng = Sample(np.linspace(0.06, 0.95, 60), np.zeros(len(METADATA))), np.random.default_rng(3)
    found = draw_objects(odd, sample, 20_000, rng).found
    assert found.mean() == pytest.approx(odd.p_true(sample).sum(), rel=0.015)


def test_misses_are_negative_binomial() -> None:
    n = 40_000
    draws = draw_given_effects(np.full(12, 30.0), np.zeros(n), np.full(n, 0.7), np.random.default_rng(9)).counts - 12
    assert stats.ks_1samp(draws + np.random.default_rng(0).random(n), _uniform_cdf(12.1, 0.7)).pvalue > 1e-3


def _uniform_cdf(size: float, share: float) -> object:
    """Distribution function of a negative binomial number plus a uniform one: continuous, as the test wants."""
    law = stats.nbinom(size, share)

    def cdf(x: np.ndarray) -> np.ndarray:
        whole = np.floor(x)
        return law.cdf(whole - 1) + (x - whole) * law.pmf(whole)

    return cdf


def test_recall_is_beta_at_known_parameters(model: Model) -> None:
    certain = replace(model, recall_cov=np.eye(model.recall.size) * 1e-18, copula=0.0)
    sample, rng = Sample(np.full(5, 0.8), np.zeros(len(METADATA))), np.random.default_rng(10)
    _, recall = draw_effects(certain, sample, Joint.draw(20_000, rng, rng))
    mean, k = expit(model.recall[:-1] @ model.recall_features(sample)), np.exp(model.recall[-1])
    assert stats.ks_1samp(recall, stats.beta(k * mean, k * (1 - mean)).cdf).pvalue > 1e-3


def test_what_is_unknown_of_a_scene_is_drawn_as_it_was_spread(model: Model) -> None:
    """The recalls of a scene with one unknown value are those of scenes with values drawn for it."""
    third = replace(
        model,
        truth=np.r_[model.truth[:2], 0, 0, 0.8, 0, 0, 0],
        tau2=0.01,
        recall=np.r_[2.0, 0, 0, -0.9, 0, 0, 0, 0, 5.0],
        recall_cov=np.eye(model.recall.size) * 1e-18,
    )
    known = np.where(np.isfinite(model.scaler.scale), model.scaler.centre, np.nan)
    n, rng = 4000, np.random.default_rng(3)
    shared = Joint.draw(n, rng, rng)
    unknown = known.copy()
    unknown[2] = np.nan
    effect, recall = draw_effects(third, Sample(np.zeros(0), unknown), shared)
    centre, scale = model.scaler.centre[2], model.scaler.scale[2]
    drawn = []
    for x in np.random.default_rng(4).standard_normal(n).clip(-3, 3):
        known[2] = centre + scale * x
        effects, recalls = draw_effects(third, Sample(np.zeros(0), known), Joint.draw(1, rng, rng))
        drawn.append(np.column_stack([effects + 0.8 * x, recalls]))
    effects, recalls = np.concatenate(drawn).T
    assert stats.ks_2samp(recall, recalls).pvalue > 1e-3
    assert stats.ks_2samp(effect, effects).pvalue > 1e-3
    assert np.corrcoef(effect, recall)[0, 1] < -0.8  # the same draw moves both


def test_the_recall_model_finds_a_beta_binomial() -> None:
    """Scenes drawn from the model itself: one sure score per found object, no false alarms, no metadata."""
    rng = np.random.default_rng(11)
    total = rng.integers(5, 60, 400)
    found = stats.betabinom.rvs(total, 12 * 0.8, 12 * 0.2, random_state=rng)
    scenes = [
        Labelled(Sample(np.full(f, 0.9)), np.ones(f, bool), int(n), f"f{i // 4}")
        for i, (f, n) in enumerate(zip(found, total, strict=True))
    ]
    fitted = fit_model(scenes)
    features = fitted.recall_features(Sample(np.full(20, 0.9)))
    mean, k = expit(fitted.recall[:-1] @ features), np.exp(fitted.recall[-1])
    assert mean == pytest.approx(0.8, abs=0.03)
    assert k == pytest.approx(12, rel=0.35)
    ours = stats.betabinom.logpmf(found, total, k * mean, k * (1 - mean)).sum()
    truth = stats.betabinom.logpmf(found, total, 12 * 0.8, 12 * 0.2).sum()
    assert ours > truth - 3  # the mode of the penalised likelihood is no worse than the truth by much
