"""Second stages whose opinion is known: needs the extra `train`."""

import torch

from detector.weights import Weights
from training.second import attach
from training.secondstage.network import SecondNetwork

NOWHERE = (0.0, 0.0, 0.0, 0.0, 0.0)


def with_opinion(weights: Weights, logits: dict[int, float], by: tuple[float, ...] = NOWHERE) -> Weights:
    """The weights with a second stage that says the same of all: logits of classes (others -9), and offsets."""
    network = SecondNetwork(weights.spec.n_classes).eval()
    said = [logits.get(number, -9.0) for number in range(weights.spec.n_classes + 1)]
    with torch.no_grad():
        for last, values in ((network.classes, said), (network.offsets, by)):
            last.weight.zero_()
            last.bias.copy_(torch.tensor(values))
        network.trust.zero_()
    return with_network(weights, network)


def at_random(seed: int, classes: int = 5) -> SecondNetwork:
    """A network that has learnt nothing, and yet says something of its own of every object."""
    torch.manual_seed(seed)
    network = SecondNetwork(classes)
    with torch.no_grad():
        for last in (network.classes, network.offsets):
            last.weight.normal_(std=0.3)
    return network


def with_network(weights: Weights, network: SecondNetwork) -> Weights:
    """The weights with a second stage, loaded anew."""
    return attach(network.eval(), weights)
