"""The network of the second stage, for training and export."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from detector.crops import CROP_PX, OFFSETS

_BINOMIAL = (1.0, 4.0, 6.0, 4.0, 1.0)
_WIDTHS = (24, 48, 96)
_NARROW, _HIDDEN, _TOLD = 32, 128, 32
_DROPPED = 0.3
_LEAST = 1e-3
_SIDE_PX = (50.0, 10.0)


class SecondNetwork(nn.Module):
    """From crops, sides and first scores of N objects to their classes and how far their boxes are off.

    Pictures pass through the same binomial as those of the first stage (docs/training.md). What it says of classes is
    added to what the first stage said, so that it begins as good and has to learn only what that does not know. A
    fourth plane shows the box itself: without it, nobody could say how far its ends are off.

    Args:
        classes: C, classes of objects.
    """

    soft: Tensor
    across: Tensor
    down: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        weights = torch.tensor(_BINOMIAL) / sum(_BINOMIAL)
        self.register_buffer("soft", torch.outer(weights, weights).expand(3, 1, -1, -1).clone())
        for name, edge, shape in (("across", CROP_PX[0], (1, 1, 1, -1)), ("down", CROP_PX[1], (1, 1, -1, 1))):
            self.register_buffer(name, (torch.arange(edge) + 0.5 - edge / 2).abs().reshape(shape))
        first, second, third = _WIDTHS
        self.body = nn.Sequential(
            _convolution(4, first, 5, 2),
            _convolution(first, second, 3, 2),
            _convolution(second, second, 3, 1),
            _convolution(second, third, 3, 2),
            _convolution(third, third, 3, 1),
            _convolution(third, _NARROW, 1, 1),
        )
        cells = (CROP_PX[0] // 8) * (CROP_PX[1] // 8)
        self.seen = nn.Sequential(nn.Flatten(), nn.Dropout(_DROPPED), nn.Linear(_NARROW * cells, _HIDDEN), nn.SiLU())
        self.told = nn.Sequential(nn.Linear(classes + 3, _TOLD), nn.SiLU())
        self.both = nn.Sequential(nn.Dropout(_DROPPED), nn.Linear(_HIDDEN + _TOLD, _HIDDEN // 2), nn.SiLU())
        self.trust = nn.Parameter(torch.ones(()))
        self.classes, self.offsets = nn.Linear(_HIDDEN // 2, classes + 1), nn.Linear(_HIDDEN, OFFSETS)
        for last in (self.classes, self.offsets):  # it begins by saying what the first stage says
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, crops: Tensor, sides: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Look at objects.

        Args:
            crops: N x H x W x 3, uint8.
            sides: N x 2, length and width of the boxes, in pixels.
            scores: N x C, of the first stage.

        Returns:
            Logits of the classes and of nothing, N x (C + 1), and offsets, N x 5, see `detector.crops.offsets`.
        """
        pixels = functional.pad(crops.permute(0, 3, 1, 2).float() / 255.0, (2, 2, 2, 2), mode="replicate")
        picture = functional.conv2d(pixels, self.soft, groups=3)
        half = (sides / 2).reshape(-1, 2, 1, 1)
        along, aside = half[:, :1] - self.across, half[:, 1:] - self.down
        box = (along + 0.5).clamp(0, 1) * (aside + 0.5).clamp(0, 1)
        seen = self.seen(self.body(torch.cat([picture, box], dim=1)))
        total = scores.sum(dim=1, keepdim=True)
        sure = total.clamp(_LEAST, 1 - _LEAST)
        shares = scores / total.clamp(min=_LEAST)
        told = torch.cat([torch.log(sure / (1 - sure)), shares, sides / sides.new_tensor(_SIDE_PX)], dim=1)
        first = torch.log(torch.cat([scores, 1 - total], dim=1).clamp(min=_LEAST))
        both = self.both(torch.cat([seen, self.told(told)], dim=1))
        return self.trust * first + self.classes(both), self.offsets(seen)


def in_half(state: dict[str, Any]) -> dict[str, Any]:
    """A state whose values float16 holds exactly, as float32: files take half the room, and numbers stay equal."""
    return {key: value.half().float() if value.is_floating_point() else value for key, value in state.items()}


def _convolution(inputs: int, outputs: int, edge: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, edge, stride, edge // 2, bias=False), nn.BatchNorm2d(outputs), nn.SiLU(inplace=True)
    )
