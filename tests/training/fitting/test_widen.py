"""A wider network begins as what a narrower one has learnt."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")

from training.fitting.offline import go_offline  # noqa: E402 - must come before anything that imports Ultralytics

go_offline(Path(__file__).parents[3] / "build" / "ultralytics")

from ultralytics.nn.tasks import yaml_model_load  # noqa: E402

from tests.training.networks import as_trained  # noqa: E402
from training.fitting.network import OrientedBoxNetwork  # noqa: E402
from training.fitting.start import transfer  # noqa: E402
from training.fitting.widen import is_narrower, widen  # noqa: E402

HERE = Path("narrow.safetensors")


def network(width: float, classes: int = 5) -> OrientedBoxNetwork:
    """YOLO11 of a width (0.25 is nano, 0.5 is small), as a training leaves it."""
    definition = yaml_model_load("yolo11n-obb.yaml") | {"scales": {"n": [0.5, width, 1024]}}
    torch.manual_seed(int(1000 * width))
    return as_trained(OrientedBoxNetwork(definition, classes))


@pytest.mark.parametrize(("narrow", "wide"), [(0.125, 0.25), (0.25, 0.375), (0.25, 0.5)])
def test_the_wider_network_says_the_same(narrow: float, wide: float) -> None:
    learnt, wider = network(narrow).eval(), network(wide)
    share = transfer(learnt.state_dict(), wider, HERE)
    assert 0 < share < 1
    picture = torch.rand(2, 3, 96, 128)
    with torch.no_grad():
        ours, theirs = wider.eval()(picture)[0], learnt(picture)[0]
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-4)


def test_new_channels_are_heard_from_the_first_step_on() -> None:
    wider = network(0.25)
    widen(wider, network(0.125).state_dict())
    weight = wider.model[5].conv.weight
    from_new = slice(len(weight) // 2), slice(weight.shape[1] // 2, None)  # what known channels hear of new ones
    assert (weight[from_new] == 0).all()
    maps = wider.train()(torch.rand(2, 3, 96, 96))
    sum(maps[name].square().mean() for name in ("boxes", "scores", "angle")).backward()
    assert weight.grad[from_new].abs().max() > 0


def test_other_classes_stay_random() -> None:
    learnt, wider = network(0.125, classes=3), network(0.25)
    before = wider.model[-1].cv3[0][-1].weight.clone()
    transfer(learnt.state_dict(), wider, HERE)
    assert torch.equal(wider.model[-1].cv3[0][-1].weight, before)


def test_what_is_narrower() -> None:
    nano, small = network(0.25), network(0.5)
    assert is_narrower(nano.state_dict(), small)
    assert not is_narrower(small.state_dict(), nano)
    assert not is_narrower(nano.state_dict(), nano)
    assert not is_narrower({"encoder.weight": torch.zeros(3)}, nano)
