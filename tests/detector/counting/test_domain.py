"""The domain check: silent on scenes like those of the calibration, loud on others, and it says in what."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from detector.counting.domain import FEATURES, OBJECTS, PICTURE, Domain, _exceeded, fit_domain, object_values
from detector.counting.samples import Floats

NAMES = tuple(FEATURES)
BACK = {"log": np.exp, "logit": expit, "plain": np.asarray, "depth": lambda x: 1 - np.exp(-x)}
USUAL = {"gsd_m": (-0.9, 0.15), "sun_elevation_deg": (40, 10), "length": (2.7, 0.1), "width": (1.1, 0.05)}


def looks(n_facilities: int, n_dates: int, rng: np.random.Generator, missing: float = 0.1) -> tuple[Floats, list[str]]:
    """Scenes with effects of facility and date, heavy tails in every third feature, and unknown values."""
    site = np.repeat(rng.normal(0, 0.7, (n_facilities, len(NAMES))), n_dates, axis=0)
    date = rng.normal(0, 0.7, site.shape)
    heavy = rng.standard_t(4, site.shape) * 0.7
    effect = site + np.where(np.arange(len(NAMES)) % 3 == 0, heavy, date)
    columns = []
    for i, (name, feature) in enumerate(FEATURES.items()):
        mean, sd = USUAL.get(name, (0.0, max(0.4, 2 * feature.least)))
        values = mean + sd * effect[:, i]
        columns.append(BACK[feature.unit](values))
    table = np.column_stack(columns)
    table[rng.random(table.shape) < missing] = np.nan
    return table, [f"f{i}" for i in range(n_facilities) for _ in range(n_dates)]


@pytest.fixture(scope="module")
def domain() -> Domain:
    return fit_domain(*looks(60, 3, np.random.default_rng(1)))


@pytest.mark.parametrize(("n_facilities", "n_dates", "wanted"), [(20, 3, 0.985), (60, 3, 0.99), (120, 2, 0.99)])
def test_scenes_of_new_facilities_stay_silent(n_facilities: int, n_dates: int, wanted: float) -> None:
    rng = np.random.default_rng(n_facilities)
    silent = []
    for _ in range(20):
        fitted = fit_domain(*looks(n_facilities, n_dates, rng))
        new, _ = looks(200, 1, rng)
        silent += [fitted.outside(row) == () for row in new]
    # Two standard errors: binomial, and the scatter of the calibrations, about 0.008 each.
    assert np.mean(silent) >= wanted - 2 * np.hypot(np.sqrt(0.99 * 0.01 / len(silent)), 0.008 / np.sqrt(20))


def known_in(share: float, names: tuple[str, ...], table: Floats, rng: np.random.Generator) -> Floats:
    """The scenes where these features are known in about that share of them."""
    table = table.copy()
    for name in names:
        table[rng.random(len(table)) >= share, NAMES.index(name)] = np.nan
    return table


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.6])
def test_scenes_that_tell_what_few_of_the_calibration_did_stay_silent(share: float) -> None:
    rng = np.random.default_rng(11)
    silent = []
    for _ in range(12):
        table, facility = looks(60, 3, rng, missing=0.0)
        fitted = fit_domain(known_in(share, ("off_nadir_deg", *OBJECTS[:3]), table, rng), facility)
        new, _ = looks(200, 1, rng, missing=0.0)
        silent += [fitted.outside(row) == () for row in new]
    assert np.mean(silent) >= 0.99 - 2 * np.hypot(np.sqrt(0.99 * 0.01 / len(silent)), 0.008 / np.sqrt(12))


def test_a_feature_that_hardly_any_scene_knows_never_speaks_and_moves_no_limit() -> None:
    rng = np.random.default_rng(12)
    table, facility = looks(60, 3, rng, missing=0.0)
    i = NAMES.index("off_nadir_deg")
    rare, never = (fit_domain(known_in(share, ("off_nadir_deg",), table, rng), facility) for share in (0.1, 0.0))
    assert np.isnan(rare.centre[i])
    assert np.array_equal(rare.limit, never.limit)
    wild = np.full(len(NAMES), np.nan)
    wild[i] = 89.0
    assert rare.outside(wild) == ()


def test_a_feature_of_few_facilities_never_speaks_however_many_scenes_they_have() -> None:
    table, facility = looks(60, 3, np.random.default_rng(13), missing=0.0)
    for n_facilities, is_used in ((19, False), (20, True)):
        some = table.copy()
        some[3 * n_facilities :, 0] = np.nan
        assert np.isfinite(fit_domain(some, facility).centre[0]) == is_used


def test_no_calibration_scene_is_outside_unless_the_limit_says_so() -> None:
    table, facility = looks(30, 3, np.random.default_rng(3))
    fitted = fit_domain(table, facility)
    assert not any(fitted.outside(row) for row in table)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_far_off_is_named_on_its_side_alone(domain: Domain, name: str) -> None:
    i, feature = NAMES.index(name), FEATURES[name]
    plain = BACK[feature.unit]
    usual = np.array([BACK[f.unit](c) for f, c in zip(FEATURES.values(), domain.centre, strict=True)])
    for sign, side, end in ((1, "high", domain.high[i]), (-1, "low", domain.low[i])):
        moved = usual.copy()
        moved[i] = plain(domain.centre[i] + 1.2 * domain.limit[i] * (end - domain.centre[i]))
        expected = (name,) if feature.side in {side, "both"} else ()
        assert domain.outside(moved) == expected, sign


def test_what_is_unknown_is_never_outside(domain: Domain) -> None:
    assert domain.outside(np.full(len(NAMES), np.nan)) == ()
    table, facility = looks(10, 3, np.random.default_rng(4))
    table[:, 3] = np.nan
    blind = fit_domain(table, facility)
    wild = np.full(len(NAMES), np.nan)
    wild[3] = 1e6
    assert blind.outside(wild) == ()


def test_a_feature_without_spread_tolerates_its_least() -> None:
    table, facility = looks(10, 3, np.random.default_rng(5), missing=0.0)
    table[:, 0] = 0.30
    fitted = fit_domain(table, facility)
    row = table[0].copy()
    row[0] = 0.30 * np.exp(0.9 * FEATURES["gsd_m"].least)
    assert fitted.outside(row) == ()
    row[0] = 0.30 * np.exp(1.1 * fitted.limit[0] * FEATURES["gsd_m"].least)
    assert fitted.outside(row) == ("gsd_m",)


@given(i=st.integers(0, len(NAMES) - 1), start=st.floats(-3, 3), factor=st.floats(1, 4), seed=st.integers(0, 99))
@settings(max_examples=50)
def test_farther_is_never_less_outside(domain: Domain, i: int, start: float, factor: float, seed: int) -> None:
    (row,), _ = looks(1, 1, np.random.default_rng(seed))
    plain = BACK[tuple(FEATURES.values())[i].unit]
    found = []
    for step in (start, start * factor):
        row[i] = plain(domain.centre[i] + step * (domain.high[i] - domain.centre[i]))
        found.append(set(domain.outside(row)))
    assert found[0] <= found[1]


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_the_order_of_scenes_does_not_matter(seed: int) -> None:
    table, facility = looks(12, 3, np.random.default_rng(6))
    order = np.random.default_rng(seed).permutation(36)
    one, two = fit_domain(table, facility), fit_domain(table[order], [facility[i] for i in order])
    assert one.limit == pytest.approx(two.limit, rel=1e-12)
    assert np.array_equal(one.low, two.low)


def test_the_limit_is_the_quantile_of_the_tail_and_cautious_where_little_is_known() -> None:
    rng = np.random.default_rng(7)
    many = rng.exponential(size=50_000)
    assert _exceeded(many, np.arange(many.size), 0.01) == pytest.approx(np.log(100), rel=0.03)
    for n in (20, 60, 120):
        beyond = [np.exp(-_exceeded(rng.exponential(size=n), np.arange(n), 0.01)) for _ in range(500)]
        assert np.mean(beyond) < 0.01


def test_one_odd_scene_moves_the_limit_little() -> None:
    t = np.random.default_rng(7).exponential(size=360)
    odd = np.where(t == t.max(), 2 * t, t)
    plain, moved = (_exceeded(each, np.repeat(np.arange(120), 3), 0.01) for each in (t, odd))
    assert plain < moved < 1.15 * plain


def test_a_few_scenes_of_one_facility_give_a_wide_domain() -> None:
    table, _ = looks(1, 6, np.random.default_rng(8))
    many = fit_domain(*looks(60, 3, np.random.default_rng(8)))
    assert np.median(fit_domain(table, ["a"] * 6).limit) > 1.5 * np.median(many.limit)


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match=r"\(S, 16\)"):
        fit_domain(np.zeros((3, 2)), ["a", "b", "c"])
    with pytest.raises(ValueError, match="at least 1"):
        fit_domain(np.zeros((0, len(NAMES))), [])


@given(st.permutations(range(8)))
def test_object_values_do_not_depend_on_the_order(order: list[int]) -> None:
    rng = np.random.default_rng(0)
    score, length, width = rng.uniform(0.5, 1, 8), rng.uniform(10, 20, 8), rng.uniform(2.8, 3.2, 8)
    detected = score > 0.55
    values = object_values(score, np.column_stack([length, width]), detected, 2.0)
    again = object_values(score[order], np.column_stack([length, width])[order], detected[order], 2.0)
    assert again == pytest.approx(values)
    assert values[0] == np.median(length[detected])
    assert values[2] == pytest.approx(np.average(score, weights=score))


def test_few_objects_say_nothing_of_size_and_scores() -> None:
    few = np.full(4, 0.9)
    values = object_values(few, np.outer(few, [15, 3]), few > 0.5, 1.0)
    assert np.isnan(values[:3]).all()
    assert values[3] == pytest.approx(np.log1p(3.6))
    none = np.zeros(0)
    assert np.isnan(object_values(none, np.zeros((0, 2)), none > 0, 1.0)[:3]).all()
    assert (*PICTURE, *OBJECTS) == NAMES
