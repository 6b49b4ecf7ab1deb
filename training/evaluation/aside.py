"""What takes no part in an evaluation: objects, scenes and truth files that stand aside. None is lost unsaid."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from detector.telling import note, some
from training.evaluation.pairing import Pairing
from training.evaluation.truthfile import TruthFile

_SHOWN = 3


@dataclass(frozen=True)
class Aside:
    """What does not take part.

    Attributes:
        truth: the folder or file of truth.
        n_scenes: of the run.
        unknown: classes that are none of ours -> objects that have them; neither right nor wrong.
        n_outside: objects, at least half visible by their truth, outside of what their scene shows of any facility
            (of the image, without georeference); neither right nor wrong.
        n_left_out: objects whose class is mapped to no object of ours.
        without_truth: scenes of the run that have no truth.
        without_scene: truth files that are of no scene of the run.
    """

    truth: Path
    n_scenes: int
    unknown: dict[str, int]
    n_outside: int
    n_left_out: int
    without_truth: tuple[str, ...]
    without_scene: tuple[str, ...]

    @classmethod
    def of(
        cls, files: Sequence[TruthFile], names: tuple[str, ...], n_outside: int, pairing: Pairing, truth: Path
    ) -> Self:
        """What stands aside of the truth files in use, with their number of objects outside of the scenes."""
        objects = [file.features.loc[~file.features["ignore"].astype(bool), "class"] for file in files]
        labels, numbers = np.unique(np.concatenate([o.to_numpy(dtype=str) for o in objects]), return_counts=True)
        return cls(
            truth=truth,
            n_scenes=len(pairing.files) + len(pairing.without_truth),
            unknown={str(label): int(n) for label, n in zip(labels, numbers, strict=True) if label not in names},
            n_outside=n_outside,
            n_left_out=sum(file.n_left_out for file in files),
            without_truth=pairing.without_truth,
            without_scene=tuple(
                path.name if path == truth else path.relative_to(truth).as_posix() for path in pairing.without_scene
            ),
        )

    def as_json(self) -> dict[str, Any]:
        """The member `aside` of an evaluation."""
        return {
            "unknown_class": self.unknown,
            "n_outside": self.n_outside,
            "n_left_out": self.n_left_out,
            "scenes_without_truth": list(self.without_truth),
            "truth_without_scene": list(self.without_scene),
        }

    def tell(self) -> None:
        """Say it on stderr."""
        for line in self.lines():
            note(line)

    def lines(self) -> Iterator[str]:
        """One line for each that there is any of."""
        if self.unknown:
            labels = some([repr(label) for label in self.unknown], _SHOWN)
            yield (
                f"{self.truth}: {sum(self.unknown.values())} objects are of no class of ours ({labels}): "
                "neither right nor wrong."
            )
        if self.n_outside:
            yield (
                f"{self.truth}: {self.n_outside} objects lie outside of what the scenes show of the facilities: "
                "neither right nor wrong."
            )
        if self.n_left_out:
            yield f"{self.truth}: {self.n_left_out} objects are left out: classes.yaml maps their class to null."
        if self.without_truth:
            yield (
                f"{self.truth}: has no truth for {len(self.without_truth)} of {self.n_scenes} scenes, which are left "
                f"out: {some(self.without_truth, _SHOWN)}."
            )
        if self.without_scene:
            yield (
                f"{self.truth}: {len(self.without_scene)} files are of no scene of the run: "
                f"{some(self.without_scene, _SHOWN)}."
            )
