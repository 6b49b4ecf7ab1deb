"""What the class outputs are taught: how sure to be that something stands there, and which kind it is."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class ScoreAndKindLoss(nn.Module):
    """Binary cross-entropy of every class score, plus cross-entropy among the classes where an object stands.

    Where one class is much commoner than others that look alike, binary cross-entropy alone first learns shares: every
    rail vehicle gets the same scores, those of the mixture. The second term asks only which class an object has, with
    rare classes weighted up by the root of their scarcity in the batch (weights average 1 over the objects).

    Args:
        gain: weight of the second term; 0 leaves the binary cross-entropy.
    """

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The summed loss, a scalar.

        Args:
            logits: B x A x classes.
            targets: soft targets of the same shape, at most one class above 0 at an anchor.
        """
        scores = functional.binary_cross_entropy_with_logits(logits, targets, reduction="sum")
        weight, kind = targets.max(dim=-1)
        taken = weight > 0
        if self.gain == 0 or not taken.any():
            return scores
        weight, kind = weight[taken], kind[taken]
        mass = torch.zeros(logits.shape[-1], dtype=weight.dtype, device=weight.device).index_add_(0, kind, weight)
        weight = weight * mass.clamp(min=1e-9).rsqrt()[kind]
        weight = weight * (mass.sum() / weight.sum())
        confusion = functional.cross_entropy(logits[taken], kind, reduction="none")
        return scores + self.gain * (weight * confusion).sum()
