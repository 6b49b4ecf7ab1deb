"""Ultralytics' look at held-out tiles, which keeps boxes and truth of some of them for the page of the run."""

import math
from collections.abc import Callable
from copy import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ultralytics.data.build import InfiniteDataLoader
from ultralytics.models.yolo.obb import OBBValidator

from training.fitting.looks import TileLook

MOST_TILES = 150
_LOWEST_SCORE = 0.05


class LookingValidator(OBBValidator):
    """Keeps every n-th tile, so that at most `MOST_TILES` are kept.

    Attributes:
        looks: those of the latest pass.
    """

    def __init__(
        self,
        loader: InfiniteDataLoader,
        folder: Path,
        arguments: SimpleNamespace,
        callbacks: dict[str, list[Callable[[Any], None]]],
    ) -> None:
        super().__init__(loader, save_dir=folder, args=copy(arguments), _callbacks=callbacks)
        self.looks: list[TileLook] = []

    def init_metrics(self, model: torch.nn.Module) -> None:
        """Begin a pass."""
        super().init_metrics(model)
        self.looks = []
        self.every = max(1, math.ceil(len(self.dataloader.dataset) / MOST_TILES))

    def update_metrics(self, preds: list[dict[str, torch.Tensor]], batch: dict[str, Any]) -> None:
        """Keep some of a batch, then count it."""
        for place, found in enumerate(preds):
            if (self.seen + place) % self.every == 0:
                self.looks.append(_look(found, self._prepare_batch(place, batch)))
        super().update_metrics(preds, batch)


def _look(found: dict[str, torch.Tensor], true: dict[str, Any]) -> TileLook:
    kept = found["conf"] >= _LOWEST_SCORE
    return TileLook(
        image=Path(true["im_file"]),
        truth=_array(true["bboxes"]).reshape(-1, 5),
        truth_class=_array(true["cls"]).astype(np.int64),
        found=_array(found["bboxes"][kept]).reshape(-1, 5),
        found_class=_array(found["cls"][kept]).astype(np.int64),
        score=_array(found["conf"][kept]),
    )


def _array(values: torch.Tensor) -> NDArray[np.float64]:
    return values.detach().cpu().numpy().astype(np.float64)
