"""The oriented-box network: mixed precision where the machine computes it natively, full precision at the head's end.

The convolutions run in bfloat16 with channels last on processors with AMX or AVX512-BF16 (and on CUDA in bfloat16 or
float16); the last convolution of each head, box decoding and loss run in float32. Decoding in bfloat16 would round
a box 400 px from its anchor's origin to 2 px and its angle to half a degree.
"""

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from ultralytics.nn.modules.head import OBB
from ultralytics.nn.tasks import OBBModel
from ultralytics.utils.loss import v8OBBLoss

from training.fitting.assigner import FastRotatedAssigner
from training.fitting.objective import ScoreAndKindLoss

RawMaps = dict[str, Any]  # "boxes", "scores" (logits), "angle" (radians), "feats"


def mixed_dtype(device: torch.device) -> torch.dtype | None:
    """Half precision that `device` computes natively, or None: then float32 is faster or the only choice."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type == "cpu":
        abilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # older torch cannot tell: float32
        return torch.bfloat16 if abilities.get("amx_bf16") or abilities.get("avx512_bf16") else None
    return None


class FullPrecisionConv2d(nn.Conv2d):
    """A convolution that ignores autocast: takes any floating type, computes and returns float32."""

    def forward(self, input: Tensor) -> Tensor:
        """Convolve B x C x H x W in float32."""
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.float())


class OrientedBoxNetwork(OBBModel):
    """Ultralytics' oriented-box model with its precision under control.

    State dict and outputs are those of the stock model; only where rounding happens differs.

    Args:
        architecture: YAML name that Ultralytics ships, such as "yolo11n-obb.yaml", or that file's content.
        classes: number of classes.
    """

    precision: torch.dtype | None = None
    kind_gain: float = 0.0

    def __init__(self, architecture: str | dict[str, Any], classes: int) -> None:
        super().__init__(architecture, ch=3, nc=classes, verbose=False)
        head: OBB = self.model[-1]
        for branch in (*head.cv2, *head.cv3, *head.cv4):
            branch[-1] = _in_full_precision(branch[-1])

    def use_precision(self, device: torch.device) -> None:
        """Compute the convolutions in the half precision that `device` does natively, if any."""
        self.precision = mixed_dtype(device)

    def init_criterion(self) -> v8OBBLoss:
        """The stock loss with the faster assigner, and with `kind_gain` on telling the classes apart."""
        criterion = v8OBBLoss(self)
        criterion.assigner.__class__ = FastRotatedAssigner
        criterion.bce = ScoreAndKindLoss(self.kind_gain)
        return criterion

    def _predict_once(
        self, x: Tensor, profile: bool = False, embed: list[int] | None = None
    ) -> RawMaps | tuple[Tensor, RawMaps]:
        """Raw maps while training; decoded boxes and raw maps otherwise.

        Same as the stock method for the whole network, with the trunk and the head's convolutions under autocast.
        """
        outputs: list[Tensor | None] = []
        here: Tensor = x
        with self._autocast(x.device):
            for layer in self.model[:-1]:
                here = layer(_inputs(layer.f, here, outputs))
                outputs.append(here if layer.i in self.save else None)
            head: OBB = self.model[-1]
            raw: RawMaps = head.forward_head(_inputs(head.f, here, outputs), **head.one2many)
        raw["feats"] = [_shape_only(level) for level in raw["feats"]]
        if head.training:
            return raw
        decoded: Tensor = head._inference(raw)
        return decoded, raw

    def _autocast(self, device: torch.device) -> AbstractContextManager[None]:
        return torch.autocast(device.type, dtype=self.precision, enabled=self.precision is not None)


def _inputs(source: int | list[int], here: Tensor, outputs: list[Tensor | None]) -> Tensor | list[Tensor | None] | None:
    """The inputs of a layer: -1 is the layer before it, other numbers are layers by position."""
    if isinstance(source, int):
        return here if source == -1 else outputs[source]
    return [here if index == -1 else outputs[index] for index in source]


def _shape_only(level: Tensor) -> Tensor:
    """A float32 tensor of the same shape without memory of its own: decoding and loss ask for shape and type only."""
    return torch.zeros((), dtype=torch.float32, device=level.device).expand(level.shape)


def _in_full_precision(conv: nn.Conv2d) -> FullPrecisionConv2d:
    same = FullPrecisionConv2d(conv.in_channels, conv.out_channels, kernel_size=1)
    same.load_state_dict(conv.state_dict())
    return same
