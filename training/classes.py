"""Class names as the network numbers them, and which of them a label of another data set means."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Self

import yaml

from detector.config import IGNORE, class_table
from detector.errors import UsageError

NO_CLASS = -1
_SEPARATORS = re.compile(r"[\s_-]+")


@lru_cache(maxsize=1)
def class_names() -> tuple[str, ...]:
    """Class names in the order of the network's outputs."""
    return class_table().names


def class_index(name: str) -> int:
    """Number of the network output of class `name`.

    Raises:
        ValueError: no class has this name.
    """
    names = class_names()
    if name not in names:
        raise ValueError(f"class must be one of {', '.join(names)}. Received: {name!r}.")
    return names.index(name)


@dataclass(frozen=True)
class Vocabulary:
    """What the labels of one data set mean to us.

    Attributes:
        meanings: label, folded -> class name, `ignore`, or None for what is no object of ours.
    """

    meanings: Mapping[str, str | None]

    @classmethod
    def of(cls, name: str, labels: Path | None = None) -> Self:
        """The vocabulary `name` of configs/classes.yaml, with our own names.

        Args:
            name: of the label set, such as "xview".
            labels: a YAML file of the user's, label -> class name, `ignore` or null, that goes before both.

        Raises:
            UsageError: that file is no such mapping, or names an unknown class.
        """
        table = class_table()
        own: dict[str | int, str | None] = {own: own for own in (*table.names, IGNORE)}
        pairs = own | table.labels.get(name, {}) | (_labels(labels) if labels else {})
        return cls({folded(label): meaning for label, meaning in pairs.items()})

    def number_of(self, label: str | int) -> int | None:
        """The class number that a label means, `NO_CLASS` for areas to ignore, None for no object of ours.

        Raises:
            KeyError: the vocabulary does not have this label.
        """
        meaning = self.meanings[folded(label)]
        if meaning is None:
            return None
        return NO_CLASS if meaning == IGNORE else class_index(meaning)


@lru_cache(maxsize=1024)
def folded(label: str | int) -> str:
    """A label without regard to case and separators."""
    return _SEPARATORS.sub("_", str(label).strip()).casefold()


def _labels(path: Path) -> dict[str | int, str | None]:
    try:
        pairs = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise UsageError(f"{path}: cannot be read ({error}).", "Give a YAML file of lines `label: class`.") from error
    if not isinstance(pairs, dict):
        raise UsageError(f"{path}: is no mapping.", "Write lines `label: class`.")
    known = (*class_names(), IGNORE, None)
    if wrong := [value for value in pairs.values() if value not in known]:
        cure = f"Map each label to {', '.join(class_names())}, {IGNORE} or null."
        raise UsageError(f"{path}: maps to unknown classes {wrong}.", cure)
    return pairs
