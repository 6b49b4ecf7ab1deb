"""The network of the second stage, for training and export."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from detector.crops import CROP_PX, OFFSETS

_BINOMIAL = (1.0, 4.0, 6.0, 4.0, 1.0)
_PLACE_PX = 2
"""Pixels along the box to a place where an end may lie."""
_ROWS = CROP_PX[1] // 8
_PLACES = CROP_PX[0] // _PLACE_PX
_WIDTHS = (16, 24, 32, 64)
_NARROW, _HIDDEN, _TOLD = 32, 128, 32
_REACH = 7  # places that a convolution along the box spans
_PULL = 0.5  # per pixel
_DROPPED = 0.3
_LEAST = 1e-3
_SHORTEST = 0.25
_SIDE_PX = (50.0, 10.0)


class SecondNetwork(nn.Module):
    """From crops, sides and first scores of N objects to their classes and how far their boxes are off.

    Pictures pass through the same binomial as those of the first stage (docs/training.md). A fourth plane shows the
    box. What it says of classes is added to what the first stage said, so that it begins as good and has to learn only
    what that does not know.

    Where an end lies is a choice among places along the box, and what is told is the mean of them: convolutions find
    an end wherever it is, which layers that give a length cannot (after Wang et al., Side-Aware Boundary Localization,
    2020; Li et al., Generalized Focal Loss, 2020). It begins with the ends of the box, and so leaves alone those that
    it does not see.

    Args:
        classes: C, classes of objects.
    """

    soft: Tensor
    across: Tensor
    down: Tensor
    places: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        weights = torch.tensor(_BINOMIAL) / sum(_BINOMIAL)
        self.register_buffer("soft", torch.outer(weights, weights).expand(3, 1, -1, -1).clone())
        for name, edge, shape in (("across", CROP_PX[0], (1, 1, 1, -1)), ("down", CROP_PX[1], (1, 1, -1, 1))):
            self.register_buffer(name, (torch.arange(edge) + 0.5 - edge / 2).abs().reshape(shape))
        self.register_buffer("places", (torch.arange(_PLACES) + 0.5) * _PLACE_PX - CROP_PX[0] / 2)
        first, second, third, fourth = _WIDTHS
        self.body = nn.Sequential(
            _convolution(4, first, (5, 5), (2, _PLACE_PX)),
            _convolution(first, second, (3, 3), (2, 1)),
            _convolution(second, third, (3, 3), (2, 1)),
        )
        self.flat = _convolution(third, third, (_ROWS, 1), (1, 1), (0, 0))
        self.along = nn.Sequential(
            _convolution(third + 2, third, (1, _REACH)),
            _convolution(third, third, (1, _REACH)),
            _convolution(third, third, (1, _REACH)),
        )
        self.ends = nn.Conv2d(third, 2, 1)
        self.pull = nn.Parameter(torch.tensor(_PULL))
        self.deep = nn.Sequential(
            _convolution(third, fourth, (3, 3), (2, 2)),
            _convolution(fourth, fourth, (3, 3)),
            _convolution(fourth, _NARROW, (1, 1)),
        )
        cells = -(-_ROWS // 2) * -(-_PLACES // 2)
        self.seen = nn.Sequential(nn.Flatten(), nn.Dropout(_DROPPED), nn.Linear(_NARROW * cells, _HIDDEN), nn.SiLU())
        self.told = nn.Sequential(nn.Linear(classes + 3, _TOLD), nn.SiLU())
        self.both = nn.Sequential(nn.Dropout(_DROPPED), nn.Linear(_HIDDEN + _TOLD, _HIDDEN // 2), nn.SiLU())
        self.trust = nn.Parameter(torch.ones(()))
        self.classes, self.sides = nn.Linear(_HIDDEN // 2, classes + 1), nn.Linear(_HIDDEN, OFFSETS - 2)
        for last in (self.classes, self.sides, self.ends):  # it begins by saying what the first stage says
            nn.init.zeros_(last.weight)
            if last.bias is not None:
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
        logits, by, _ = self.looked(crops, sides, scores)
        return logits, by

    def looked(self, crops: Tensor, sides: Tensor, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `forward`, and the logits of the places where the ends may lie, N x 2 x P, the left end's first."""
        pixels = functional.pad(crops.permute(0, 3, 1, 2).float() / 255.0, (2, 2, 2, 2), mode="replicate")
        picture = functional.conv2d(pixels, self.soft, groups=3)
        half = (sides / 2).reshape(-1, 2, 1, 1)
        shown = (half[:, :1] - self.across + 0.5).clamp(0, 1) * (half[:, 1:] - self.down + 0.5).clamp(0, 1)
        body = self.body(torch.cat([picture, shown], dim=1))
        seen = self.seen(self.deep(body))
        length, width = sides[:, :1], sides[:, 1:]
        far = torch.stack([self.places + length / 2, self.places - length / 2], dim=1)  # from the box's own ends
        near = torch.tanh(far / (2 * width[:, :, None])).unsqueeze(2)
        before = -self.pull.abs() * far.abs()
        ends = before + self.ends(self.along(torch.cat([self.flat(body), near], dim=1))).squeeze(2)
        left, right = self._mean_place(ends) - self._mean_place(before)
        across, wider, turn = self.sides(seen).split(1, dim=1)
        longer = torch.log(((length + right - left) / length).clamp(min=_SHORTEST)) * length / width
        by = torch.cat([(left + right) / (2 * width), across, longer, wider, turn], dim=1)
        return self._classes(seen, sides, scores), by, ends

    def _mean_place(self, logits: Tensor) -> Tensor:
        """Of places (N x 2 x P), 2 x N x 1, in pixels from the middle of the crop."""
        return (logits.softmax(dim=2) * self.places).sum(dim=2).t().unsqueeze(2)

    def _classes(self, seen: Tensor, sides: Tensor, scores: Tensor) -> Tensor:
        total = scores.sum(dim=1, keepdim=True)
        sure = total.clamp(_LEAST, 1 - _LEAST)
        shares = scores / total.clamp(min=_LEAST)
        told = torch.cat([torch.log(sure / (1 - sure)), shares, sides / sides.new_tensor(_SIDE_PX)], dim=1)
        own: Tensor = self.classes(self.both(torch.cat([seen, self.told(told)], dim=1)))
        return self.trust * first_logits(scores) + own

    @torch.no_grad()
    def weigh(self, first: float, own: float) -> None:
        """Multiply what the first stage says of classes, and what this one adds to it."""
        for parameter, factor in ((self.trust, first), (self.classes.weight, own), (self.classes.bias, own)):
            parameter.mul_(factor)


def first_logits(scores: Tensor) -> Tensor:
    """What the first stage says of the classes and of nothing, N x (C + 1), by its scores, N x C."""
    return torch.log(torch.cat([scores, 1 - scores.sum(dim=1, keepdim=True)], dim=1).clamp(min=_LEAST))


def loss_of_ends(ends: Tensor, sides: Tensor, offsets: Tensor) -> Tensor:
    """Of logits of places (N x 2 x P), N: cross-entropy with the two places around each true end.

    Ends that lie outside of the crop are none of it (after the distribution focal loss of Li et al., 2020).

    Args:
        ends: see `SecondNetwork.looked`.
        sides: N x 2, length and width of the boxes, in pixels.
        offsets: N x 5, to the objects.
    """
    length, width = sides.T
    middle = offsets[:, 0] * width
    half = length * torch.exp(offsets[:, 2] * width / length) / 2
    at = (torch.stack([middle - half, middle + half], dim=1) + CROP_PX[0] / 2) / _PLACE_PX - 0.5
    inside = (at >= 0) & (at <= _PLACES - 1)
    below = at.clamp(0, _PLACES - 2).floor()
    above = (at - below).clamp(0, 1)
    chosen = ends.log_softmax(dim=2).gather(2, torch.stack([below, below + 1], dim=2).long())
    told = (1 - above) * chosen[..., 0] + above * chosen[..., 1]
    return -torch.where(inside, told, torch.zeros_like(told)).sum(dim=1)


def in_half(state: dict[str, Any]) -> dict[str, Any]:
    """A state whose values float16 holds exactly, as float32: files take half the room, and numbers stay equal."""
    return {key: value.half().float() if value.is_floating_point() else value for key, value in state.items()}


def _convolution(
    inputs: int,
    outputs: int,
    edges: tuple[int, int],
    strides: tuple[int, int] = (1, 1),
    padding: tuple[int, int] | None = None,
) -> nn.Sequential:
    """Convolution, norm and SiLU; heights come before widths."""
    around = (edges[0] // 2, edges[1] // 2) if padding is None else padding
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, edges, strides, around, bias=False), nn.BatchNorm2d(outputs), nn.SiLU(inplace=True)
    )
