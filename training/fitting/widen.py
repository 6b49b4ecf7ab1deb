"""A wider network that begins as what a narrower one of the same layout has learnt."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from ultralytics.nn.modules import C2PSA, OBB, SPPF, Bottleneck, C3k2, Concat, Conv
from ultralytics.nn.modules.block import C3k, PSABlock
from ultralytics.nn.tasks import OBBModel

State = Mapping[str, Tensor]
Channels = NDArray[np.intp]
"""For each channel of the wider network the one of the narrower that it is, or -1 for a new one."""


def is_narrower(state: State, network: nn.Module) -> bool:
    """Whether a state has the layout of `network`, and fewer channels somewhere and more nowhere."""
    own = network.state_dict()
    if state.keys() != own.keys() or any(state[name].dim() != value.dim() for name, value in own.items()):
        return False
    sides = [
        (there, here) for name, value in own.items() for there, here in zip(state[name].shape, value.shape, strict=True)
    ]
    return all(there <= here for there, here in sides) and any(there < here for there, here in sides)


@torch.no_grad()
def widen(network: OBBModel, state: State) -> None:
    """Give a network what a narrower one has learnt; its further channels keep their random weights.

    A known channel hears the known ones as before and new ones with weights of 0, so that they say nothing yet; new
    channels hear all. The first step of training moves both (after Chen et al., Net2Net, 2016, which copies channels).
    Outputs of the head of which the narrower network has another number stay random.

    Law: in evaluation the network gives what the narrower one gives, but for rounding.

    Args:
        network: of YOLO11's modules.
        state: of the narrower one, see `is_narrower`.

    Raises:
        TypeError: the network has a layer of another kind.
    """
    known: list[Channels] = []
    here: Channels = np.arange(3)
    for number, layer in enumerate(network.model):
        taker, sources = _Taker(state, f"model.{number}."), [layer.f] if isinstance(layer.f, int) else layer.f
        given = [here if source == -1 else known[source] for source in sources]
        if isinstance(layer, OBB):
            for name in ("cv2", "cv3", "cv4"):
                for level, branch in enumerate(getattr(layer, name)):
                    taker.at(f"{name}.{level}").sequence(branch, given[level])
        elif isinstance(layer, Concat):
            here = _side_by_side(given)
        else:
            here = taker.layer(layer, given[0])
        known.append(here)


class _Taker:
    """Fills modules from the tensors of a state whose names begin with a prefix.

    Each method fills one kind of module, given the channels of its input, and returns those of its output.
    """

    def __init__(self, state: State, prefix: str) -> None:
        self.state, self.prefix = state, prefix

    def at(self, name: str) -> "_Taker":
        return _Taker(self.state, f"{self.prefix}{name}.")

    def layer(self, module: nn.Module, given: Channels) -> Channels:
        kinds: dict[type[nn.Module], Callable[[Any, Channels], Channels]] = {
            Conv: self.conv,
            Bottleneck: self.bottleneck,
            C3k: self.c3k,
            C3k2: self.c3k2,
            SPPF: self.pyramid,
            C2PSA: self.attentive,
            PSABlock: self.attention,
            nn.Sequential: self.sequence,
            nn.Conv2d: self.last,
        }
        fill = next((fill for kind, fill in kinds.items() if isinstance(module, kind)), None)
        if fill is not None:
            return fill(module, given)
        if any(True for _ in module.parameters()):
            raise TypeError(f"{type(module).__name__} is a layer that is not known here.")
        return given

    def sequence(self, modules: nn.Sequential, given: Channels) -> Channels:
        for number, module in enumerate(modules):
            given = self.at(str(number)).layer(module, given)
        return given

    def conv(self, module: Conv, given: Channels, made: Channels | None = None) -> Channels:
        """A convolution with its norm; `made` where the order of its output is not known channels first."""
        if made is None:
            made = given if module.conv.groups > 1 else self.grown(module.conv.out_channels)
        rows, weight = np.flatnonzero(made >= 0), self.state[f"{self.prefix}conv.weight"].float()
        module.conv.weight[rows] = _heard(module.conv, weight[made[rows]], rows, given)
        for name in ("weight", "bias", "running_mean", "running_var"):
            getattr(module.bn, name)[rows] = self.state[f"{self.prefix}bn.{name}"].float()[made[rows]]
        return made

    def last(self, module: nn.Conv2d, given: Channels) -> Channels:
        """A convolution that gives the head's outputs."""
        weight, rows = self.state[f"{self.prefix}weight"].float(), np.arange(module.out_channels)
        if len(weight) == len(rows):
            module.weight[rows] = _heard(module, weight, rows, given)
            if module.bias is not None:
                module.bias[rows] = self.state[f"{self.prefix}bias"].float()
        return rows

    def bottleneck(self, module: Bottleneck, given: Channels) -> Channels:
        inner = self.at("cv1").conv(module.cv1, given)
        return self.at("cv2").conv(module.cv2, inner, given if module.add else None)

    def c3k(self, module: C3k, given: Channels) -> Channels:
        deep = self.at("m").sequence(module.m, self.at("cv1").conv(module.cv1, given))
        return self.at("cv3").conv(module.cv3, _side_by_side([deep, self.at("cv2").conv(module.cv2, given)]))

    def c3k2(self, module: C3k2, given: Channels) -> Channels:
        parts = self.halves(module.cv1, given)
        for number, block in enumerate(module.m):
            parts.append(self.at(f"m.{number}").layer(block, parts[-1]))
        return self.at("cv2").conv(module.cv2, _side_by_side(parts))

    def pyramid(self, module: SPPF, given: Channels) -> Channels:
        inner = self.at("cv1").conv(module.cv1, given)
        return self.at("cv2").conv(module.cv2, _side_by_side([inner] * (module.n + 1)))

    def attentive(self, module: C2PSA, given: Channels) -> Channels:
        plain, attended = self.halves(module.cv1, given)
        return self.at("cv2").conv(module.cv2, _side_by_side([plain, self.at("m").sequence(module.m, attended)]), given)

    def attention(self, module: PSABlock, given: Channels) -> Channels:
        """Heads of equal size: known ones first, as their channels are."""
        attn, here = module.attn, self.at("attn")
        here.at("qkv").conv(attn.qkv, given)
        here.at("pe").conv(attn.pe, given)
        here.at("proj").conv(attn.proj, given, given)
        wide = self.at("ffn.0").conv(module.ffn[0], given)
        return self.at("ffn.1").conv(module.ffn[1], wide, given)

    def halves(self, module: Conv, given: Channels) -> list[Channels]:
        """The two halves of what a convolution gives."""
        half = self.at("cv1").grown(module.conv.out_channels, 2)
        self.at("cv1").conv(module, given, _side_by_side([half, half]))
        return [half, half]

    def grown(self, channels: int, parts: int = 1) -> Channels:
        """Known channels first, in each of some equal parts of a convolution's output."""
        old = len(self.state[f"{self.prefix}conv.weight"]) // parts
        return np.concatenate([np.arange(old), np.full(channels // parts - old, -1)])


def _side_by_side(parts: Sequence[Channels]) -> Channels:
    """The channels of tensors put together."""
    sizes = [int((part >= 0).sum()) for part in parts]
    starts = np.cumsum([0, *sizes[:-1]])
    return np.concatenate([np.where(part >= 0, part + start, -1) for part, start in zip(parts, starts, strict=True)])


def _heard(module: nn.Conv2d, weight: Tensor, rows: Channels, given: Channels) -> Tensor:
    """Rows of a convolution's weight that hear known inputs by `weight`, and new ones by 0."""
    if module.groups > 1:  # each channel on its own
        return weight
    columns = np.flatnonzero(given >= 0)
    heard = torch.zeros_like(module.weight[rows])
    heard[:, columns] = weight[:, given[columns]]
    return heard
