"""The other methods: cases worked by hand, and that they cover where their assumptions hold."""

import numpy as np
import pytest

from tests.training.evaluation.places import RAILCAR, TABLE, found, place, truth
from training.evaluation.counting.dates import Forecast
from training.evaluation.counting.rivals import Rival, Tallied, bootstrap, conformal, delta, poisson, rivals


def tallied(n_found: list[float], n_true: list[float], code: list[int], n_right: list[float] | None = None) -> Tallied:
    found, true = np.array(n_found), np.array(n_true)
    return Tallied(found, np.minimum(found, true) if n_right is None else np.array(n_right), true, np.array(code))


def at_95(rival: Rival, n: float) -> tuple[float, float, float]:
    forecast = rival(np.array([n]))
    return float(forecast.low[0.95][0]), float(forecast.count[0]), float(forecast.high[0.95][0])


def test_poisson_by_hand() -> None:
    assert at_95(poisson, 25) == (16, 25, 34)  # 25 +- 9.8
    assert at_95(poisson, 1) == (0, 1, 2)  # none below 0
    assert at_95(poisson, 0) == (0, 0, 0)


def test_whole_numbers_inside_real_ends() -> None:
    ends = {0.5: np.array([2.2, 2.2, -3.0])}, {0.5: np.array([4.9, 2.7, np.inf])}
    inside = Forecast.between(np.zeros(3), *ends, np.array([[-1.2, 0.6]]))
    assert inside.low[0.5].tolist() == [3, 2, 0]
    assert inside.high[0.5].tolist() == [4, 2, np.inf]
    assert inside.draws.tolist() == [[0, 1]]


def test_delta_by_hand() -> None:
    # Of 100 detections 80 are right, of 100 objects 80 found: P = R = 0.8, so that N = n.
    rival = delta(tallied([60, 40], [55, 45], [0, 1], [48, 32]))
    variance = 50 * 0.8 * 0.4 / 0.64 + 2500 * 2 * 0.2 / 80
    half = 1.959964 * variance**0.5
    assert at_95(rival, 50) == (np.ceil(50 - half), 50, np.floor(50 + half))


def test_a_perfect_detector_needs_no_interval() -> None:
    scenes = tallied([5, 10, 20, 7], [5, 10, 20, 7], [0, 0, 1, 2])
    for name, rival in rivals(scenes).items():
        if name != "poisson":
            assert at_95(rival, 12)[1] == 12
    assert at_95(delta(scenes), 12) == (12, 12, 12)
    assert at_95(bootstrap(scenes), 12) == (12, 12, 12)


def test_conformal_by_hand() -> None:
    # Whichever facility is fitted on, b = 1; the other one's 39 residuals are 0, 1 .. 38, of scenes without detections.
    n_true = np.r_[50.0, np.arange(39)]
    alone = Tallied(np.r_[50.0, np.zeros(39)], np.zeros(40), n_true, np.r_[0, np.ones(39, dtype=np.intp)])
    swapped = Tallied(alone.n_found, alone.n_right, n_true, 1 - alone.code)
    ends = [at_95(conformal(scenes), 0) for scenes in (alone, swapped)]
    assert (0, 0, 37) in ends  # the ceil(40 * 0.95) = 38th smallest of them


def test_too_few_scenes_give_an_infinite_interval() -> None:
    rival = conformal(tallied([10, 12, 9, 11], [11, 12, 10, 10], [0, 1, 2, 3]))
    forecast = rival(np.array([10.0]))
    assert forecast.high[0.95][0] == np.inf
    assert np.isfinite(forecast.high[0.5][0])
    assert forecast.low[0.95][0] == 0


def world(rng: np.random.Generator, n_facilities: int) -> Tallied:
    """Detectors whose recall and false alarms differ by facility."""
    code = np.repeat(np.arange(n_facilities), 4)
    n_true = rng.negative_binomial(1.5, 0.06, code.size)
    n_right = rng.binomial(n_true, rng.beta(16, 4, n_facilities)[code])
    n_found = n_right + rng.poisson(rng.gamma(2.0, 1.0, n_facilities)[code])
    return Tallied(n_found.astype(float), n_right.astype(float), n_true.astype(float), code)


@pytest.mark.parametrize(("name", "least", "most"), [("bootstrap", 0.90, 0.98), ("conformal", 0.90, 0.99)])
def test_methods_without_a_model_cover_new_facilities(name: str, least: float, most: float) -> None:
    rng = np.random.default_rng(5)
    inside = []
    for _ in range(6):
        scenes, new = world(rng, 60), world(rng, 60)
        inside.append(rivals(scenes)[name](new.n_found).covers(new.n_true, 0.95))
    assert least <= np.mean(inside) <= most


def test_one_precision_and_recall_for_all_facilities_is_too_sure() -> None:
    rng = np.random.default_rng(6)
    scenes, new = world(rng, 60), world(rng, 200)
    assert delta(scenes)(new.n_found).covers(new.n_true, 0.95).mean() < 0.85


def test_levels_nest_and_draws_are_whole() -> None:
    rng = np.random.default_rng(7)
    scenes = world(rng, 40)
    for rival in rivals(scenes).values():
        forecast = rival(np.arange(60.0))
        for inner, outer in ((0.5, 0.8), (0.8, 0.9), (0.9, 0.95)):
            assert (forecast.low[outer] <= forecast.low[inner]).all()
            assert (forecast.high[inner] <= forecast.high[outer]).all()
        assert (forecast.draws >= 0).all()
        assert (forecast.draws == np.round(forecast.draws)).all()


def test_only_what_is_named_and_detected_counts() -> None:
    names = ["tarped_railcar", "tarped_railcar", "railcar", "tarped_container", "tarped_railcar", "locomotive"]
    seen = found([0, 50, 100, 150, 200, 250], [0.9, 0.9, 0.9, 0.6, 0.4, 0.9], names)
    objects = truth([0, 50, 100, 150, 200, 300], ["tarped_railcar", "railcar", *["tarped_railcar"] * 4])
    places = [place(seen, objects, facility="b"), place(found([], []), truth([]), facility="a")]
    tarped = Tallied.of(places, TABLE.groups["tarped"], TABLE)
    # Named so and detected: at 0, 50 and 150. At 50 stands a railcar without tarpaulin, a container is no rail vehicle.
    assert (tarped.n_found.tolist(), tarped.n_right.tolist(), tarped.n_true.tolist()) == ([3, 0], [1, 0], [5, 0])
    assert tarped.code.tolist() == [1, 0]
    locomotive = Tallied.of(places, TABLE.groups["locomotive"], TABLE)
    assert (locomotive.n_found[0], locomotive.n_right[0], locomotive.n_true[0]) == (1, 0, 0)


def test_what_lies_on_ignored_ground_is_found_but_not_right() -> None:
    one = place(found([0, 50], [0.9, 0.9]), truth([0, 50], care=[True, False]))
    railcar = Tallied.of([one], RAILCAR, TABLE)
    assert (railcar.n_found[0], railcar.n_right[0], railcar.n_true[0]) == (2, 1, 1)
