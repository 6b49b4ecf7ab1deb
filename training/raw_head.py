"""The network as it is shipped: uint8 pictures in, the head's raw maps out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from ultralytics.nn.modules.head import OBB
from ultralytics.nn.tasks import OBBModel, load_checkpoint, yaml_model_load

from detector.errors import UsageError
from training.classes import class_names

_SOFT = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def through_softening(first: nn.Conv2d) -> nn.Conv2d:
    """A network's first convolution and, before it, the binomial 1 4 6 4 1 along x and y, as one convolution.

    The shipped network sees softer pictures than the trained one did, by about a Gaussian of one pixel: in their finest
    detail rendered pictures are least like real ones. How much was measured: docs/training.md.
    """
    line, edge, rim = first.weight.new_tensor(_SOFT), first.kernel_size[0], len(_SOFT) // 2
    each = first.weight.detach().reshape(-1, 1, edge, edge)
    widened = F.conv2d(each, torch.outer(line, line)[None, None], padding=2 * rim)
    softer = nn.Conv2d(
        first.in_channels,
        first.out_channels,
        edge + 2 * rim,
        first.stride[0],
        int(first.padding[0]) + rim,
        bias=first.bias is not None,
    )
    softer.weight = nn.Parameter(widened.reshape(softer.weight.shape))
    softer.bias = first.bias
    return softer


class RawHead(nn.Module):
    """Normalises, softens, runs the network in float32, and returns logits; nothing is decoded, thresholded or capped.

    Args:
        network: a model of oriented boxes; its batch norms and the softening are folded into its convolutions in place,
            and these are rounded to what float16 can hold, as they are stored.
    """

    def __init__(self, network: OBBModel) -> None:
        super().__init__()
        self.network = network.float().eval().fuse(verbose=False)
        self.network.model[0].conv = through_softening(self.network.model[0].conv)
        with torch.no_grad():
            for value in self.network.parameters():
                value.copy_(value.half())
        head: OBB = network.model[-1]
        self.reg_max = int(head.reg_max)
        self.strides = tuple(int(stride) for stride in network.stride)

    @classmethod
    def from_state(cls, architecture: str | dict[str, Any], classes: int, state: dict[str, Tensor]) -> Self:
        """Build a network, by the name that Ultralytics ships or by its definition, and load a state of any float."""
        network = OBBModel(architecture, ch=3, nc=classes, verbose=False)
        network.load_state_dict(
            {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
        )
        return cls(network)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Raw maps of uint8 pictures, B x H x W x 3, red green blue, H and W multiples of 32.

        Returns:
            distances, B x 4*reg_max x A; classes, B x C x A; angle, B x 1 x A: all logits. The A anchors are level
            after level by stride, each row by row.
        """
        x = images.permute(0, 3, 1, 2).float() / 255.0
        outputs: list[Tensor | None] = []
        for layer in self.network.model[:-1]:
            source = layer.f
            if isinstance(source, int):
                x = layer(x if source == -1 else outputs[source])
            else:
                x = layer([x if index == -1 else outputs[index] for index in source])
            outputs.append(x if layer.i in self.network.save else None)
        head: OBB = self.network.model[-1]
        levels = [outputs[index] for index in head.f]
        distances, classes, angle = (
            torch.cat([branch(level).flatten(2) for branch, level in zip(branches, levels, strict=True)], dim=2)
            for branches in (head.cv2, head.cv3, head.cv4)
        )
        return distances, classes, angle


def halfway(one: dict[str, Tensor], other: dict[str, Tensor]) -> dict[str, Tensor]:
    """The mean of two states of one architecture, of which one was trained on from the other; floats as float16.

    Better ones than both lie between them (Wortsman et al., Robust fine-tuning of zero-shot models, 2022).

    Raises:
        UsageError: the states are of different architectures.
    """
    shapes = [{name: value.shape for name, value in state.items()} for state in (one, other)]
    if shapes[0] != shapes[1]:
        raise UsageError("The weights to blend in are of another architecture.", "Give those the training began from.")
    return {
        name: ((value.float() + other[name].float()) / 2).half() if value.is_floating_point() else value
        for name, value in one.items()
    }


@dataclass(frozen=True)
class Learnt:
    """What a training has come to.

    Attributes:
        architecture: name of the network's definition.
        definition: the definition itself, where Ultralytics ships none of that name.
        state: averaged (EMA) values, floats as float16, contiguous.
    """

    architecture: str
    definition: dict[str, Any] | None
    state: dict[str, Tensor]

    @classmethod
    def of(cls, checkpoint: Path) -> Self:
        """What a checkpoint holds.

        Raises:
            UsageError: its classes are not those of configs/classes.yaml.
        """
        network, content = load_checkpoint(checkpoint)
        names = tuple(network.names.values())
        if names != class_names():
            raise UsageError(f"{checkpoint}: classes are {', '.join(names)}.", "Train with configs/classes.yaml.")
        file = str(network.yaml.get("yaml_file") or content["train_args"]["model"])
        state = {
            key: (value.half() if value.is_floating_point() else value).contiguous().clone()
            for key, value in network.state_dict().items()
        }
        layers = {key: value for key, value in network.yaml.items() if key != "yaml_file"}
        return cls(Path(file).name, None if _is_shipped(file) else layers, state)


def _is_shipped(file: str) -> bool:
    """Whether a network's definition is one that Ultralytics finds by its name, whatever the folder."""
    if Path(file).exists():
        return False
    try:
        yaml_model_load(file)
    except FileNotFoundError:
        return False
    return True
