"""JSON whose elements know their line."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.formats.annotations import Unreadable

_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


class NotJson(Unreadable):
    """A file that is not the JSON it should be."""


@dataclass(frozen=True)
class JsonObject:
    """A JSON object at the top level of a file.

    Attributes:
        values: its members.
        lines: of each member that is an array, the line of each of its elements; where the whole array stands on one
            line, their numbers from 1 instead.
    """

    values: Mapping[str, Any]
    lines: Mapping[str, list[int]]

    def elements(self, key: str) -> Iterator[tuple[int, Any]]:
        """Line and value of each element of the array `key`; nothing where there is no such array."""
        if key in self.lines:
            yield from zip(self.lines[key], self.values[key], strict=True)


def read_object(path: Path) -> JsonObject:
    """Read a file that holds one JSON object.

    Raises:
        NotJson: it does not.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise NotJson(0, f"cannot be read ({error})") from error
    try:
        return _Reader(text).read()
    except json.JSONDecodeError as error:
        raise NotJson(error.lineno, f"is not JSON ({error.msg})") from error


class _Reader:
    """A walk over the members of one object, whose values the standard decoder reads."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._counted = 0

    def read(self) -> JsonObject:
        values: dict[str, Any] = {}
        lines: dict[str, list[int]] = {}
        self._expect("{")
        while not self._take("}"):
            if values:
                self._expect(",")
            key = self._value()
            self._expect(":")
            if self._take("["):
                values[key], lines[key] = self._array()
            else:
                values[key] = self._value()
        return JsonObject(values, lines)

    def _array(self) -> tuple[list[Any], list[int]]:
        values: list[Any] = []
        lines: list[int] = []
        while not self._take("]"):
            if values:
                self._expect(",")
            self._skip()
            lines.append(self._here())
            values.append(self._value())
        one_line = len(set(lines)) == 1 < len(lines)
        return values, list(range(1, len(lines) + 1)) if one_line else lines

    def _here(self) -> int:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def _skip(self) -> None:
        match = _SPACE.match(self._text, self._at)
        self._at = match.end() if match else self._at

    def _take(self, mark: str) -> bool:
        self._skip()
        taken = self._text.startswith(mark, self._at)
        self._at += taken
        return taken

    def _expect(self, mark: str) -> None:
        if not self._take(mark):
            raise json.JSONDecodeError(f"expecting {mark!r}", self._text, self._at)

    def _value(self) -> Any:  # noqa: ANN401
        self._skip()
        value, self._at = _DECODER.raw_decode(self._text, self._at)
        return value
