"""How much either stage is believed, by tiles that neither has learnt from."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

from detector.counting.samples import Floats
from training.secondstage.candidates import UNSURE, Candidates
from training.secondstage.network import SecondNetwork, first_logits
from training.secondstage.samples import CandidateTiles

LEAST_BOXES = 500
_MOST = 4.0


def weigh(network: SecondNetwork, held_out: Candidates) -> dict[str, float]:
    """Weigh what both stages say of classes anew, where it makes the truth likelier on held-out tiles.

    On the boxes that it learnt from, a second stage is surer than it has a right to be elsewhere, and takes some of
    the first one's say. Two factors, of the first stage's logits and of what the second adds, mend both (Guo et al., On
    calibration of modern neural networks, 2017, with a factor for each). The network is changed in place.

    Args:
        network: in evaluation, on a processor.
        held_out: candidates on held-out tiles.

    Returns:
        `boxes`, how many told, `first` and `own`, the factors, `before` and `after`, mean losses of the classes; empty
        where there are fewer than 500 boxes whose class is known.
    """
    first, own, target = _opinions(network, held_out)
    if len(target) < LEAST_BOXES:
        return {}
    rows = np.arange(len(target))

    def loss(factors: Floats) -> tuple[float, Floats]:
        logs = log_softmax(factors[0] * first + factors[1] * own, axis=1)
        wrong = np.exp(logs)
        wrong[rows, target] -= 1
        slopes = [float((wrong * each).sum()) / len(rows) for each in (first, own)]
        return -float(logs[rows, target].mean()), np.array(slopes)

    even = np.ones(2)
    found = minimize(loss, even, jac=True, method="L-BFGS-B", bounds=[(0.0, _MOST)] * 2)
    network.weigh(*found.x)
    told = {"first": found.x[0], "own": found.x[1], "before": loss(even)[0], "after": found.fun}
    return {"boxes": len(rows), **{name: round(float(value), 4) for name, value in told.items()}}


@torch.no_grad()
def _opinions(network: SecondNetwork, held_out: Candidates) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Of N boxes whose class is known: what either stage adds to the logits, N x (C + 1) each, and the class."""
    looks = CandidateTiles(held_out, None)
    width = held_out.scores.shape[1] + 1
    firsts, owns, targets = [np.zeros((0, width))], [np.zeros((0, width))], [np.zeros(0, dtype=np.int64)]
    for place in range(len(looks)):
        samples = looks.sampled(0, place)
        crops, sides, scores = (torch.from_numpy(each) for each in (samples.crops, samples.sides, samples.scores))
        first = network.trust * first_logits(scores)
        own = network(crops, sides, scores)[0] - first
        known = samples.target != UNSURE
        firsts.append(first.double().numpy()[known])
        owns.append(own.double().numpy()[known])
        targets.append(samples.target[known])
    return np.concatenate(firsts), np.concatenate(owns), np.concatenate(targets)
