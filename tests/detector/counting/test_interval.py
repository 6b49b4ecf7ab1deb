"""Algorithm R: models, draws, inflation and intervals."""

import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.counting.calibration import fit_model
from detector.counting.combine import combine_repeats
from detector.counting.inflation import LEVELS, Nonconformity, cross_fit, quantiles
from detector.counting.interval import Calibration, calibrate, estimate, from_draws, insured
from detector.counting.posterior import Joint, draw_counts, draw_effects, draw_given_effects
from detector.counting.samples import METADATA, Labelled, Sample
from tests.simulation import World, simulate


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    rng = np.random.default_rng(1)
    return calibrate(simulate(20, 4, rng), 300, rng)


def sample(scores: list[float]) -> Sample:
    return Sample(np.array(scores, dtype=np.float64), np.array([0.4, 1.0, 0.4, 40.0, 12.0, np.log1p(len(scores) / 20)]))


def study(n_facilities: int, n_dates: int, replicates: int, world: World | None = None) -> np.ndarray:
    """Rows of (n_true, count, low and high of each level, raw count) at facilities that were never seen."""
    rows = []
    for replicate in range(replicates):
        rng = np.random.default_rng([7, replicate])
        fitted = calibrate(simulate(n_facilities, n_dates, rng, world), 300, rng)
        inflation = fitted.inflation()
        for scene in simulate(20, 4, rng, world, prefix="unseen"):
            found = estimate(fitted.model, inflation, scene.sample, 300, rng)
            ends = [end for level in LEVELS for end in (found.low[level], found.high[level])]
            rows.append([scene.n_true, found.count, *ends, (scene.sample.scores >= 0.5).sum()])
    return np.array(rows)


@pytest.mark.integration
def test_intervals_cover_at_unseen_facilities_and_beat_poisson() -> None:
    table = study(n_facilities=15, n_dates=4, replicates=8)
    n_true, count, low, high, raw = table[:, 0], table[:, 1], table[:, 8], table[:, 9], table[:, 10]
    assert 0.92 <= np.mean((low <= n_true) & (n_true <= high)) <= 0.99
    for first, last in ((0, 5), (6, 25), (26, 999)):
        chosen = (n_true >= first) & (n_true <= last)
        assert chosen.sum() >= 40
        assert np.mean((low <= n_true)[chosen] & (n_true <= high)[chosen]) >= 0.86
    assert np.mean(n_true < low) <= 0.065
    assert np.mean(n_true > high) <= 0.065
    assert abs(count.sum() / n_true.sum() - 1) <= 0.08
    half = 1.96 * np.sqrt(raw)
    assert score(low, high, n_true) <= 0.85 * score(np.maximum(raw - half, 0), raw + half, n_true)
    assert (high - low)[count <= 25].mean() <= 11
    assert ((high - low) / count.clip(1))[count > 20].mean() <= 1.1


def score(low: np.ndarray, high: np.ndarray, n_true: np.ndarray) -> float:
    miss = np.maximum(low - n_true, 0) + np.maximum(n_true - high, 0)
    return float((high - low + 40 * miss).mean())


@pytest.mark.integration
def test_every_level_covers_at_least_its_share() -> None:
    table = study(n_facilities=15, n_dates=4, replicates=4, world=World(scene_sd=0.9, string_sd=1.2))
    for i, level in enumerate(LEVELS):
        inside = (table[:, 2 + 2 * i] <= table[:, 0]) & (table[:, 0] <= table[:, 3 + 2 * i])
        # 80 facilities whose four dates go together: three standard errors of a share of so many.
        assert inside.mean() >= level - 3 * np.sqrt(level * (1 - level) / 80)


@settings(max_examples=30, deadline=None)
@given(
    scores=st.lists(st.floats(0.05, 0.999), min_size=5, max_size=60), n_scenes=st.integers(2, 5), rho=st.floats(0, 0.9)
)
def test_identical_scenes_narrow_by_no_more_than_gls_allows(
    calibration: Calibration, scores: list[float], n_scenes: int, rho: float
) -> None:
    one = estimate(calibration.model, calibration.inflation(), sample(scores), 300, np.random.default_rng(1))
    both = combine_repeats([one] * n_scenes, rho)
    allowed = np.sqrt((1 + (n_scenes - 1) * rho) / n_scenes)  # sd of the mean of n errors of correlation rho
    assert both.count == pytest.approx(one.count, abs=1)
    for level in LEVELS:
        width = one.high[level] - one.low[level]
        c = one.inflation[level]
        assert both.high[level] - both.low[level] <= width + 1
        # Whole draws, moved by half a car at most, then spread by c, and ends cut to whole cars.
        assert both.high[level] - both.low[level] >= allowed * (width - 2) - c - 2


def test_nothing_detected_gives_a_finite_interval_from_zero(calibration: Calibration) -> None:
    found = estimate(calibration.model, calibration.inflation(), sample([]), 1000, np.random.default_rng(0))
    assert found.count == 0
    assert found.low[0.95] == 0
    assert 1 <= found.high[0.95] <= 8


@settings(max_examples=30, deadline=None)
@given(scores=st.lists(st.floats(0.05, 0.999), max_size=60), seed=st.integers(0, 99))
def test_intervals_hold_the_count_and_nest(calibration: Calibration, scores: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = estimate(calibration.model, calibration.inflation(), sample(scores), 200, rng)
    for level in LEVELS:
        assert 0 <= found.low[level] <= found.count <= found.high[level] < np.inf
        assert found.high[level] > found.low[level]
    for inner, outer in pairwise(LEVELS):
        assert found.low[outer] <= found.low[inner]
        assert found.high[inner] <= found.high[outer]


@settings(max_examples=30, deadline=None)
@given(scores=st.lists(st.floats(0.05, 0.999), min_size=2, max_size=40), seed=st.integers(0, 99))
def test_the_order_of_detections_does_not_matter(calibration: Calibration, scores: list[float], seed: int) -> None:
    shuffled = np.random.default_rng(seed).permutation(scores).tolist()
    first, second = (
        draw_counts(calibration.model, sample(each), 200, np.random.default_rng(5)) for each in (scores, shuffled)
    )
    assert np.median(first) == np.median(second)
    assert np.mean(first != second) < 0.02  # sums in another order may differ in the last digit


@settings(max_examples=30, deadline=None)
@given(scores=st.lists(st.floats(0.05, 0.95), max_size=40), extra=st.floats(0.9, 0.999))
def test_one_more_confident_detection_never_lowers_the_estimate(
    calibration: Calibration, scores: list[float], extra: float
) -> None:
    # At the same effects and recalls; what the scene's quality then says of its recall is another matter.
    effect, recall = draw_effects(calibration.model, sample(scores), joint_numbers(3))
    logits = calibration.model.truth_logit(sample(scores))
    more = np.r_[logits, calibration.model.truth_logit(sample([*scores, extra]))[-1]]
    low, high = (draw_given_effects(each, effect, recall, np.random.default_rng(4)).counts for each in (logits, more))
    assert np.median(high) >= np.median(low)


def joint_numbers(seed: int, n_draws: int = 200) -> Joint:
    rng = np.random.default_rng(seed)
    return Joint.draw(n_draws, rng, rng)


@settings(max_examples=30, deadline=None)
@given(
    scores=st.lists(st.floats(0.05, 0.95), min_size=1, max_size=40),
    which=st.integers(0, 39),
    gain=st.floats(0.1, 4.0),
)
def test_a_more_confident_detection_never_lowers_a_draw(
    calibration: Calibration, scores: list[float], which: int, gain: float
) -> None:
    effect, recall = draw_effects(calibration.model, sample(scores), joint_numbers(3))
    before = calibration.model.truth_logit(sample(scores))
    after = before.copy()
    after[which % len(scores)] += gain
    low, high = (draw_given_effects(each, effect, recall, np.random.default_rng(4)).counts for each in (before, after))
    assert (high >= low).all()


def test_the_model_finds_what_the_simulation_put_in() -> None:
    rng = np.random.default_rng(2)
    scenes = simulate(40, 5, rng, World(scene_sd=0.01, facility_sd=0.01, string_sd=0.01))
    model = fit_model(scenes)
    share = np.mean([model.p_true(s.sample).sum() for s in scenes]) / np.mean([s.is_true.sum() for s in scenes])
    recall = sum(s.is_true.sum() for s in scenes) / sum(s.n_true for s in scenes)
    typical = 1 / (1 + np.exp(-model.recall[0]))
    assert share == pytest.approx(1, abs=0.05)
    assert typical == pytest.approx(recall, abs=0.03)
    assert model.truth[1] > 0.5


def test_scene_effects_are_seen_in_tau2() -> None:
    calm = fit_model(simulate(30, 4, np.random.default_rng(3), World(score_gap=3.0)))
    moved = [
        Labelled(Sample(_shift(s.sample.scores, sign), s.sample.metadata), s.is_true, s.n_true, s.facility)
        for s, sign in zip(simulate(30, 4, np.random.default_rng(3), World(score_gap=3.0)), [1, -1] * 60, strict=True)
    ]
    assert fit_model(moved).tau2 > calm.tau2 + 0.3


def _shift(scores: np.ndarray, sign: int) -> np.ndarray:
    odds = scores / (1 - scores) * np.exp(1.2 * sign)
    return np.clip(odds / (1 + odds), 1e-6, 1 - 1e-6)


def test_missing_metadata_counts_as_the_mean(calibration: Calibration) -> None:
    unknown = Sample(np.array([0.9]), np.full(len(METADATA), np.nan))
    assert (calibration.model.scaler(unknown) == 0).all()


def test_a_column_without_spread_or_values_says_nothing() -> None:
    scenes = simulate(6, 3, np.random.default_rng(4))
    flat = []
    for scene in scenes:
        metadata = scene.sample.metadata.copy()
        metadata[0], metadata[3] = 0.3, np.nan
        flat.append(Labelled(Sample(scene.sample.scores, metadata), scene.is_true, scene.n_true, scene.facility))
    scaler = fit_model(flat).scaler
    other = Sample(np.zeros(0), np.array([0.5, 1.0, 0.4, 40.0, 5.0, 0.1]))
    assert scaler(other)[0] == 0
    assert scaler(other)[3] == 0
    assert not scaler.unknown(Sample(np.zeros(0)))[[0, 3]].any()  # nothing to be unsure of
    assert scaler.unknown(Sample(np.zeros(0)))[1:3].all()


@pytest.mark.parametrize("n_true", [0, 7])
def test_calibration_survives_scenes_of_one_kind(n_true: int) -> None:
    scores = np.full(n_true, 0.9)
    metadata = np.array([0.3, 1.0, 0.4, 40.0, 5.0, 0.0])
    scenes = [Labelled(Sample(scores, metadata), np.ones(n_true, bool), n_true, f"f{i // 2}") for i in range(6)]
    rng = np.random.default_rng(0)
    fitted = calibrate(scenes, 200, rng)
    found = estimate(fitted.model, fitted.inflation(), scenes[0].sample, 500, rng)
    assert found.low[0.95] <= n_true <= found.high[0.95] < n_true + 15


@given(scores=st.lists(st.floats(0.05, 0.999), max_size=60), seed=st.integers(0, 2**32 - 1))
def test_insurance_keeps_the_count_and_never_narrows(calibration: Calibration, scores: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    plain = estimate(calibration.model, calibration.inflation(), sample(scores), 300, rng)
    wide = insured(plain, rng)
    assert wide.count == plain.count
    assert all(wide.low[k] <= plain.low[k] <= plain.high[k] <= wide.high[k] for k in LEVELS)
    nested = [(wide.low[k], wide.high[k]) for k in LEVELS]
    assert all(out[0] <= low and high <= out[1] for (low, high), out in pairwise(nested))


def test_insurance_of_many_cars_adds_a_fifth(calibration: Calibration) -> None:
    rng = np.random.default_rng(0)
    plain = estimate(calibration.model, calibration.inflation(), sample([0.95] * 150), 2000, rng)
    wide = insured(plain, rng)
    assert wide.high[0.95] > 1.25 * plain.count
    assert wide.draws.std() ** 2 == pytest.approx(plain.draws.std() ** 2 + (0.2 * plain.count) ** 2, rel=0.15)


def test_without_scenes_there_is_no_model() -> None:
    with pytest.raises(ValueError, match="labelled scene"):
        fit_model([])


def test_a_true_label_beyond_the_truth_is_refused() -> None:
    with pytest.raises(ValueError, match="n_true"):
        Labelled(sample([0.9, 0.8]), np.array([True, True]), 1, "f")


def test_inflation_is_the_formula() -> None:
    scores = np.linspace(0.02, 2.0, 100)
    many = Nonconformity(tuple(f"f{i}" for i in range(100)), np.tile(scores[:, None], (1, 4)))
    assert many.inflation(0.95) == pytest.approx(scores[95])  # mass 1/101 each: the 96th reaches 0.95
    few = Nonconformity(tuple(f"f{i % 10}" for i in range(100)), np.tile(scores[:, None], (1, 4)))
    student = 2.262157 * np.sqrt(np.mean(scores**2))
    assert few.inflation(0.95) == pytest.approx(max(scores[95], student), rel=1e-4)


def test_one_scene_is_no_calibration() -> None:
    with pytest.raises(ValueError, match="2 labelled scenes at least"):
        cross_fit(simulate(1, 1, np.random.default_rng(5)), 200, np.random.default_rng(6))


def test_no_facility_is_judged_by_itself() -> None:
    scenes = simulate(12, 3, np.random.default_rng(5))
    # One facility without any true detection: if its scenes were in the fit, it would look ordinary.
    odd = [Labelled(s.sample, np.zeros_like(s.is_true), 0, "odd") for s in scenes[:3]]
    scores = cross_fit(scenes + odd, 200, np.random.default_rng(6))
    is_odd = np.array(scores.facility) == "odd"
    assert scores.scores[is_odd, 3].max() > 1


@given(mean=st.floats(5, 80), c=st.floats(1, 1.9), seed=st.integers(0, 999))
def test_inflated_draws_have_the_interval_as_quantiles(mean: float, c: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = from_draws(rng.poisson(rng.gamma(3, mean / 3, 500)).astype(np.float64), dict.fromkeys(LEVELS, c))
    for level in LEVELS:
        median, low, high = quantiles(found.inflated(level), level)
        assert median == found.count
        assert (low, high) == (found.low[level], found.high[level])


def test_interval_is_the_formula() -> None:
    draws = np.arange(100.0, 201.0)
    found = from_draws(draws, dict.fromkeys(LEVELS, 1.2))
    median, low, high = quantiles(draws, 0.95)
    assert found.low[0.95] == np.ceil(median - 1.2 * (median - low + 0.5))
    assert found.high[0.95] == np.floor(median + 1.2 * (high - median + 0.5))
    near_zero = from_draws(draws - 100, dict.fromkeys(LEVELS, 1.2))
    assert near_zero.low[0.95] == 0


def test_same_seed_same_draws(calibration: Calibration) -> None:
    one, two = (draw_counts(calibration.model, sample([0.9, 0.2]), 100, np.random.default_rng(8)) for _ in range(2))
    assert (one == two).all()


def test_a_thousand_facility_dates_take_seconds(calibration: Calibration) -> None:
    rng = np.random.default_rng(9)
    scenes = simulate(25, 4, rng)
    inflation = calibration.inflation()
    start = time.process_time()
    for scene in scenes:
        estimate(calibration.model, inflation, scene.sample, 1000, rng)
    assert 10 * (time.process_time() - start) < 30  # a tenth of them, on a busy machine
