"""Fitting the second stage: resumable, averaged over steps, judged on held-out facilities after every epoch."""

import csv
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader

from detector.backends.second import probabilities
from detector.crops import moved
from detector.errors import UsageError
from detector.geometry import Ints, iou_pairs
from detector.store import replacing
from training.secondstage import STATE
from training.secondstage.candidates import UNSURE, Candidates
from training.secondstage.network import SecondNetwork, loss_of_ends
from training.secondstage.samples import CandidateTiles, Samples
from training.settings import SecondConfig

RESULTS = "results.csv"
_LOSSES = ("classes", "offsets", "ends")
_NONE = (0.0, 0.0, 0.0, 0)
_MOST_NORM = 5.0  # of the gradients
_BETA = 0.05  # widths up to which the loss of offsets is square
_EMA = 0.998
_SMOOTHING = 0.02
_SEEDS = 1_000_003
_LEAST = 1e-9


@dataclass
class Fit:
    """One fitting, under way in a folder.

    Attributes:
        config: settings.
        out: its folder: second.pt (the state, every few minutes) and results.csv (a row for each epoch).
        device: of torch.
        network: what is fitted.
        average: its moving average, which is what counts.
        epoch: the one under way.
        done: of its boxes, those seen.
        steps: taken so far.
        losses: of the epoch's steps so far: sums of the classes', the offsets' and the ends', and their number.
        rows: what each finished epoch came to.
    """

    config: SecondConfig
    out: Path
    device: torch.device
    network: SecondNetwork
    average: dict[str, Tensor] = field(init=False)
    epoch: int = 0
    done: int = 0
    steps: int = 0
    losses: tuple[float, ...] = _NONE
    rows: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Move the network to its device and make its optimizer."""
        self.network.to(self.device).to(memory_format=torch.channels_last)
        self.average = {key: value.detach().clone() for key, value in self.network.state_dict().items()}
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=self.config.lr, weight_decay=self.config.weight_decay
        )

    def run(self, train: Candidates, held_out: Candidates, tell: Callable[[str], None]) -> dict[str, Tensor]:
        """Fit to the end; `tell` is called with a line after every epoch.

        Returns:
            The averaged state.
        """
        tiles, looks = CandidateTiles(train, self.config), CandidateTiles(held_out, None)
        saved = time.monotonic()
        while self.epoch < self.config.epochs:
            order = np.random.default_rng([self.config.seed, self.epoch]).permutation(len(tiles))
            for samples in self._batches(tiles, order):
                self.done += len(samples)
                losses = self._step(samples, (self.epoch + self.done / len(train)) / self.config.epochs)
                self.losses = tuple(a + b for a, b in zip(self.losses, (*losses, 1), strict=True))
                if time.monotonic() - saved > 60 * self.config.save_minutes:
                    self.save()
                    saved = time.monotonic()
            self.epoch, self.done = self.epoch + 1, 0
            *sums, steps = self.losses
            means = {name: loss / steps for name, loss in zip(_LOSSES, sums, strict=True)}
            figures = {"epoch": self.epoch, **means, **self._judged(looks)}
            self.rows.append({name: round(float(value), 4) for name, value in figures.items()})
            self.losses = _NONE
            self.save()
            tell(", ".join(f"{name} {value}" for name, value in self.rows[-1].items()))
        return self.average

    def _batches(self, tiles: CandidateTiles, order: Ints) -> Iterator[Samples]:
        """The epoch's boxes that are not done, `batch` at a time; all batches are alike, which is what makes them fast.

        Those that are left at the end come in a smaller one, if there are two at least: norms learn nothing from one.
        """
        ends = np.cumsum([len(tiles.rows[place]) for place in order])
        first = int(np.searchsorted(ends, self.done, side="right"))
        skip = self.done - (int(ends[first - 1]) if first else 0)
        drawn = [(self.epoch, int(place)) for place in order[first:]]
        loader = DataLoader(tiles, batch_size=None, sampler=drawn, num_workers=self.config.workers)
        waiting: list[Samples] = []
        for one in loader:
            if isinstance(one, UsageError):
                raise one
            waiting.append(one[skip:])
            skip = 0
            while sum(map(len, waiting)) >= self.config.batch:
                every = Samples.joined(waiting)
                yield every[: self.config.batch]
                waiting = [every[self.config.batch :]]
        if sum(map(len, waiting)) > 1:
            yield Samples.joined(waiting)

    def _step(self, samples: Samples, share: float) -> tuple[float, float, float]:
        """One step, at a share of the whole way; the losses of classes, offsets and ends."""
        config = self.config
        rate = config.lr * (config.lr_end + (1 - config.lr_end) * (1 + math.cos(math.pi * share)) / 2)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * min(1.0, (self.steps + 1) / max(1, config.warmup_steps))
        self.network.train()
        torch.manual_seed(config.seed * _SEEDS + self.steps)  # what is dropped is a function of the step
        crops, sides, scores = self._inputs(samples)
        logits, by, ends = self.network.looked(crops, sides, scores)
        target, on = (torch.from_numpy(each).to(self.device) for each in (samples.target, samples.is_on))
        wanted = torch.from_numpy(samples.offsets).to(self.device)
        kind = functional.cross_entropy(logits.float(), target, ignore_index=UNSURE, label_smoothing=_SMOOTHING)
        off = functional.smooth_l1_loss(by.float(), wanted, beta=_BETA, reduction="none").sum(dim=1)
        missed = loss_of_ends(ends.float(), sides, wanted)
        kind = torch.where((target != UNSURE).any(), kind, torch.zeros_like(kind))  # the mean of none is no number
        place, end = ((each * on).sum() / on.sum().clamp(min=1) for each in (off, missed))
        loss = kind + config.offsets * (place + end)
        if not torch.isfinite(loss):
            raise UsageError(
                f"{self.out}: the loss is no number after {self.steps} steps.", "Begin anew with a lower `lr`."
            )
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), _MOST_NORM)
        self.optimizer.step()
        self.steps += 1
        self._average()
        return kind.item(), place.item(), end.item()

    def _average(self) -> None:
        kept = min(_EMA, self.steps / (self.steps + 50))
        for key, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.average[key].lerp_(value.detach(), 1 - kept)
            else:
                self.average[key].copy_(value)

    def _inputs(self, samples: Samples) -> tuple[Tensor, Tensor, Tensor]:
        crops, sides, scores = (
            torch.from_numpy(np.ascontiguousarray(each)).to(self.device)
            for each in (samples.crops, samples.sides, samples.scores)
        )
        return crops, sides, scores

    @torch.no_grad()
    def _judged(self, looks: CandidateTiles) -> dict[str, float]:
        """On held-out tiles: loss of the classes, share of right ones, and IoU with objects before and after.

        What nothing is known of, since there are no such boxes, is not told.
        """
        network = SecondNetwork(looks.candidates.scores.shape[1]).to(self.device).eval()
        network.load_state_dict(self.average)
        losses, right, before, after = ([np.zeros(0)] for _ in range(4))
        for place in range(len(looks)):
            samples = looks.sampled(0, place)
            logits, by = (each.float().cpu().numpy() for each in network(*self._inputs(samples)))
            sure, on = samples.target != UNSURE, samples.is_on
            of, target = probabilities(logits)[sure], samples.target[sure]
            losses.append(-np.log(np.maximum(of[np.arange(len(of)), target], _LEAST)))
            right.append(of.argmax(axis=1) == target)
            rows = looks.rows[place][on]
            boxes, truth = looks.candidates.xywhr[rows], looks.candidates.truth[rows]
            before.append(iou_pairs(boxes, truth))
            after.append(iou_pairs(moved(boxes, by[on]), truth))
        every = {"classes": losses, "right": right, "iou_first": before, "iou": after}
        joined = {name: np.concatenate(parts) for name, parts in every.items()}
        return {f"held_out_{name}": float(values.mean()) for name, values in joined.items() if len(values)}

    def save(self) -> None:
        """Keep all that the next step depends on."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "done": self.done,
            "steps": self.steps,
            "losses": self.losses,
            "rows": self.rows,
        }
        with replacing(self.out / STATE) as scratch:
            torch.save(state, scratch)
        if self.rows:
            with replacing(self.out / RESULTS) as scratch, scratch.open("w", newline="") as file:
                writer = csv.DictWriter(file, list(self.rows[0]))
                writer.writeheader()
                writer.writerows(self.rows)

    def resume(self) -> None:
        """Go on from what was kept.

        Raises:
            UsageError: it is damaged.
        """
        path = self.out / STATE
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.average = state["average"]
            self.epoch, self.done, self.steps = state["epoch"], state["done"], state["steps"]
            self.losses, self.rows = state["losses"], state["rows"]
        except (OSError, RuntimeError, KeyError, UnpicklingError, EOFError) as error:
            raise UsageError(f"{path}: cannot be read ({error}).", "Delete it to begin anew.") from error
