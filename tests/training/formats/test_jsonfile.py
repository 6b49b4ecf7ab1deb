"""JSON with lines: the values are those of the standard reader."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.formats.fakes import FEW
from training.formats.jsonfile import NotJson, read_object

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=6,
)


@FEW
@given(st.dictionaries(st.text(max_size=5), values, max_size=4), st.sampled_from([None, 0, 2]))
def test_values_are_those_of_the_standard_reader(content: dict[str, object], indent: int | None) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "a.json"
        path.write_text(json.dumps(content, indent=indent))
        found = read_object(path)
        assert found.values == content
        for key, value in content.items():
            if isinstance(value, list):
                assert [element for _, element in found.elements(key)] == value


def test_elements_know_their_line(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('\ufeff{"a": 1,\n "b": [\n\n  {"x": "}\\n]"},\n  2, 3\n ],\n "c": [4, 5], "d": [\n6]}')
    found = read_object(path)
    assert list(found.elements("b")) == [(4, {"x": "}\n]"}), (5, 2), (5, 3)]
    assert list(found.elements("c")) == [(1, 4), (2, 5)]  # on one line: numbers
    assert list(found.elements("d")) == [(8, 6)]
    assert list(found.elements("a")) == []


@pytest.mark.parametrize(
    ("text", "line"), [("", 1), ("[1]", 1), ('{"a": [1,\n2\n', 3), ('{"a": 1\n"b": 2}', 2), ('{"a": [1 2]}', 1)]
)
def test_what_is_wrong_has_a_line(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(NotJson) as caught:
        read_object(path)
    assert caught.value.line == line


def test_other_encodings_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes('{"a": "ä"}'.encode("latin-1"))
    with pytest.raises(NotJson, match="cannot be read"):
        read_object(path)
