"""What labels of other data sets mean."""

from pathlib import Path

import pytest

from detector.config import ClassTable, class_table
from detector.errors import UsageError
from training.classes import NO_CLASS, Vocabulary, class_index


def test_xview() -> None:
    words = Vocabulary.of("xview")
    assert {words.number_of(number) for number in (33, 34, 35, 36, 37)} == {class_index("railcar")}
    assert words.number_of(38) == class_index("locomotive")
    assert words.number_of(91) == class_index("container")
    assert words.number_of(89) == NO_CLASS
    assert words.number_of(73) is None
    with pytest.raises(KeyError):
        words.number_of(1)


@pytest.mark.parametrize("name", ["dota", "coco", "yolo", "polygons"])
def test_our_own_names_mean_themselves_everywhere(name: str) -> None:
    words = Vocabulary.of(name)
    assert words.number_of("railcar") == class_index("railcar")
    assert words.number_of("Tarped Railcar") == words.number_of("tarped-railcar") == class_index("tarped_railcar")
    assert words.number_of("ignore") == NO_CLASS


def test_a_file_of_labels_goes_before(tmp_path: Path) -> None:
    path = tmp_path / "labels.yaml"
    path.write_text("boxcar: railcar\nlorry: null\nyard: ignore\nship: container\n")
    words = Vocabulary.of("dota", path)
    assert words.number_of("Boxcar") == class_index("railcar")
    assert words.number_of("lorry") is None
    assert words.number_of("yard") == NO_CLASS
    assert words.number_of("ship") == class_index("container")
    assert words.number_of("plane") is None


@pytest.mark.parametrize("text", ["boxcar: wagon", "boxcar: [railcar]", "- boxcar", "a: b: c"])
def test_a_wrong_file_of_labels_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "labels.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"labels\.yaml"):
        Vocabulary.of("coco", path)


def test_the_table_may_name_our_classes_only() -> None:
    wrong = class_table().model_dump() | {"labels": {"coco": {"train": "wagon"}}}
    with pytest.raises(ValueError, match="wagon"):
        ClassTable.model_validate(wrong)
