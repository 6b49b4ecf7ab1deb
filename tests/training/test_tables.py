"""Documents tell the results that are committed, and these are of the weights that are shipped."""

from pathlib import Path

import pytest

from benchmarks.tables import DOCUMENTS, TABLES, filled, read_results
from detector.weights import load_weights


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_tables_are_those_of_the_results(path: Path) -> None:
    text = path.read_text()
    assert filled(text, read_results()) == text, "Run `python -m benchmarks.tables`."


def test_results_are_of_the_shipped_weights() -> None:
    measured = {name: result["weights_sha256"] for name, result in read_results().items() if "weights_sha256" in result}
    assert set(measured) >= {"counting", "detection", "domain", "grounds"}
    shipped = load_weights().digest
    others = [name for name, digest in measured.items() if digest != shipped]
    assert not others, "Measure these anew, or restore them with `git checkout benchmarks/results`."


def test_every_table_stands_in_a_document() -> None:
    text = "".join(path.read_text() for path in DOCUMENTS)
    assert all(f"<!-- results: {name} -->\n|" in text for name in TABLES)


def test_only_what_lies_between_the_marks_changes() -> None:
    text = "before\n<!-- results: counts -->\nas it was\n<!-- end -->\nafter\n<!-- end -->\n"
    written = filled(text, read_results())
    assert written.startswith("before\n<!-- results: counts -->\n| what |")
    assert written.endswith("|\n<!-- end -->\nafter\n<!-- end -->\n")
    assert "as it was" not in written


def test_an_unknown_table_is_an_error() -> None:
    with pytest.raises(KeyError, match="odds"):
        filled("<!-- results: odds -->\n<!-- end -->\n", read_results())
