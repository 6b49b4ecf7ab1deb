"""How sure a detector is of each class of each box: its score, shared out over the classes of the box's family."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from detector.runfolder import need_columns

Floats = npt.NDArray[np.float64]


def column_of(name: str) -> str:
    """The column of the detections table that holds a class's share of the score."""
    return f"score_{name}"


@dataclass(frozen=True)
class ClassScores:
    """Scores of D boxes by class; a row sums to the box's score, and is 0 outside of its family.

    Attributes:
        names: the C classes.
        values: (D, C) in [0, 1]; from a table in single precision, since a long run has millions of them.
    """

    names: tuple[str, ...]
    values: npt.NDArray[np.floating]

    @classmethod
    def read(cls, detections: pd.DataFrame, names: tuple[str, ...]) -> Self:
        """Those of the rows of a detections table.

        Raises:
            UsageError: it lacks a class, since an earlier version made it.
        """
        columns = [column_of(name) for name in names]
        need_columns("detections.parquet", detections, columns)
        return cls(names, detections[columns].to_numpy(dtype=np.float32))

    @classmethod
    def named(cls, class_name: npt.NDArray[np.str_], score: Floats, names: tuple[str, ...]) -> Self:
        """Those of a detector that gives each box (D,) one class and one score."""
        return cls(names, np.where(class_name[:, None] == np.array(names)[None], score[:, None], 0.0))

    def columns(self) -> dict[str, npt.NDArray[np.floating]]:
        """As the detections table holds them."""
        return {column_of(name): self.values[:, i] for i, name in enumerate(self.names)}

    def of(self, classes: Collection[str]) -> Floats:
        """(D,) probability that each box is an object of one of these classes; 0 in other families."""
        chosen = [i for i, name in enumerate(self.names) if name in classes]
        return np.asarray(np.minimum(self.values[:, chosen].sum(axis=1, dtype=np.float64), 1.0), dtype=np.float64)

    @property
    def total(self) -> Floats:
        """(D,) the boxes' scores: how sure it is that something of the family stands there."""
        return self.of(self.names)

    def may_be(self, classes: Collection[str]) -> npt.NDArray[np.bool_]:
        """(D,) which boxes may be of these classes: those of their families, whatever their names."""
        return np.asarray(self.of(classes) > 0)

    def joined(self, other: Self) -> Self:
        """These boxes and then others."""
        return type(self)(self.names, np.vstack([self.values, other.values]))

    def take(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Self:
        """Those of some boxes."""
        return type(self)(self.names, self.values[rows])
