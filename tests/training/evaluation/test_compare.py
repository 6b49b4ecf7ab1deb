"""Two runs compared by a paired bootstrap over facilities."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.errors import UsageError
from tests.simulated_run import yard_run
from training.compare import main
from training.evaluation.compare import Outcome, compare, names_apart


def row(facility: str, n_true: int, hits: int, detected: int, scene: str = "s1") -> dict[str, Any]:
    marks = ["0.9000+"] * hits + ["0.8000-"] * (detected - hits)
    values = {
        "n_true": n_true, "n_detected": detected, "n_hits": hits, "count": float(detected), "scores": " ".join(marks),
    }  # fmt: skip
    return {"scene_id": f"{facility}_{scene}-0123abcd", "facility_id": facility, "railcar": values}


def outcome(name: str, rows: list[dict[str, Any]]) -> Outcome:
    return Outcome.of(name, rows, "railcar")


def test_figures_by_hand() -> None:
    one = outcome("one", [row("a", 10, 8, 10), row("b", 4, 1, 1)])
    got = one.figures(np.array([1.0, 2.0]))  # b counts twice: 18 true, 12 detected, 10 hits
    assert got["f1_50"] == pytest.approx(2 * 10 / (18 + 12))
    assert got["count_mae"] == pytest.approx((0 + 3 + 3) / 3)
    assert got["ap_50"] == pytest.approx(56 / 101)  # precision 1 up to recall 10/18


def test_a_run_against_itself_shows_no_difference() -> None:
    rows = [row(f"f{i}", 10, i, i + 2) for i in range(8)]
    got = compare(outcome("one", rows), outcome("two", rows[::-1]), draws=200)
    assert (got["n_scenes"], got["n_facilities"]) == (8, 8)
    for name in ("f1_50", "ap_50", "count_mae", "estimate_mae"):
        assert (got[name]["difference"], got[name]["low"], got[name]["high"]) == (0, 0, 0)
        assert "no difference shown" in got[name]["verdict"]


def test_the_better_run_is_named() -> None:
    rng = np.random.default_rng(1)
    hits = rng.integers(4, 8, 12)
    first = outcome("old", [row(f"f{i}", 10, int(k), 10) for i, k in enumerate(hits)])
    second = outcome("new", [row(f"f{i}", 10, int(k) + 2, 12) for i, k in enumerate(hits)])
    got = compare(first, second, draws=500)
    assert got["f1_50"]["low"] > 0
    assert got["f1_50"]["verdict"].startswith("F1 at IoU 0.5: new is better than old by 0.")
    # Each scene now has two too many where none was wrong before.
    assert (got["count_mae"]["first"], got["count_mae"]["second"]) == (0, 2)
    assert "new is worse than old" in got["count_mae"]["verdict"]
    assert compare(first, second, draws=500) == got


def test_facilities_not_scenes_are_drawn() -> None:
    """Many scenes of two facilities that disagree leave the difference open."""
    good = [row("a", 10, 10, 10, f"s{i}") for i in range(30)] + [row("b", 10, 2, 10, f"s{i}") for i in range(30)]
    other = [row("a", 10, 2, 10, f"s{i}") for i in range(30)] + [row("b", 10, 9, 10, f"s{i}") for i in range(30)]
    got = compare(outcome("one", good), outcome("two", other), draws=300)["f1_50"]
    assert got["low"] < 0 < got["high"]
    assert "only 2 facilities" in got["verdict"]


def test_one_facility_gives_no_interval() -> None:
    got = compare(outcome("one", [row("a", 10, 5, 5)]), outcome("two", [row("a", 10, 6, 6)]))["f1_50"]
    assert (got["low"], got["high"]) == (None, None)
    assert "single facility" in got["verdict"]


def test_interval_holds_the_true_difference() -> None:
    """Over simulated sets, the interval of the difference of F1 covers it about as often as it says."""
    rng = np.random.default_rng(4)
    inside = 0
    for _ in range(60):
        skill = rng.beta(16, 4, 15)
        rows = [
            [row(f"f{i}", 20, int(rng.binomial(20, s * share)), 20) for i, s in enumerate(skill)]
            for share in (1.0, 0.9)
        ]
        got = compare(outcome("one", rows[0]), outcome("two", rows[1]), draws=200)["f1_50"]
        inside += got["low"] <= -0.1 * 0.8 <= got["high"]
    assert 48 <= inside <= 60


def test_different_scenes_or_truth_are_refused() -> None:
    one = outcome("one", [row("a", 10, 5, 5)])
    with pytest.raises(UsageError, match="same scenes"):
        compare(one, outcome("two", [row("b", 10, 5, 5)]))
    with pytest.raises(UsageError, match="different truth: 10 and 11"):
        compare(one, outcome("two", [row("a", 11, 5, 5)]))


def test_the_command_reads_evaluations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, hits in (("old", 5), ("new", 8)):
        rows = [row(f"f{i}", 10, hits, 9) for i in range(6)]
        (tmp_path / f"{name}.json").write_text(json.dumps({"scenes": rows}))
    call = [str(tmp_path / "old.json"), str(tmp_path / "new.json"), "--draws", "50"]
    assert main([*call, "--json", str(tmp_path / "difference.json")]) == 0
    assert "new is better than old by 0.316" in capsys.readouterr().out
    stored = json.loads((tmp_path / "difference.json").read_text())["railcar"]["f1_50"]
    assert stored["difference"] == pytest.approx(6 / 19, abs=1e-4)
    (tmp_path / "bad.json").write_text("[]")
    assert main([call[0], str(tmp_path / "bad.json")]) == 2
    assert main([call[0], str(tmp_path)]) == 2


def test_sources_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for name in ("A/run", "B/run", "B/run.2"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("A/run.json", "B/run.json"):
        (tmp_path / name).write_text("{}")
    one, other = tmp_path / "A/run", tmp_path / "B/run"
    assert names_apart(one, other) == ("A/run", "B/run")
    assert names_apart(one.with_suffix(".json"), other.with_suffix(".json")) == ("A/run", "B/run")
    assert names_apart(other, tmp_path / "B/run.2") == ("run", "run.2")
    assert names_apart(other, other.with_suffix(".json")) == (str(other), f"{other}.json")
    assert names_apart(one, one) == (str(one), str(one))


def test_scenes_of_one_name_are_compared_each_with_itself() -> None:
    twins = [row("a", 10, 5, 5) | {"scene_id": scene_id} for scene_id in ("yard-00000002", "yard-00000001")]
    twins[0] = twins[0] | row("a", 4, 1, 1) | {"scene_id": "yard-00000002"}
    one = outcome("one", twins)
    assert one.keys == (("yard-00000001", "a"), ("yard-00000002", "a"))
    assert one.n_true.tolist() == [10, 4]
    assert compare(one, outcome("two", twins[::-1]), draws=20)["f1_50"]["difference"] == 0
    with pytest.raises(UsageError, match="same scenes"):
        compare(one, outcome("two", [twins[0], twins[1] | {"scene_id": "yard-00000003"}]))


@pytest.mark.parametrize(
    ("scenes", "words"),
    [
        ([{"a": 1}], "scene_id"),
        ([], "no scene"),
        (["s1"], "neither a RUN"),
        ([row("a", 1, 1, 1) | {"railcar": {}}], "n_true"),
    ],
)
def test_json_of_another_kind_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], scenes: list[Any], words: str
) -> None:
    (tmp_path / "bad.json").write_text(json.dumps({"scenes": scenes}))
    (tmp_path / "a.json").write_text(json.dumps({"scenes": [row("a", 10, 5, 5)]}))
    assert main([str(tmp_path / "bad.json"), str(tmp_path / "a.json")]) == 2
    told = capsys.readouterr().err
    assert "bad" in told
    assert words in told


def test_notes_say_of_which_run_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    numbers = {date(2023, 1, 5): 2, date(2023, 2, 5): 3}
    truth = tmp_path / "truth"
    for name in ("old", "new"):
        yard_run(numbers, np.random.default_rng(1)).write(tmp_path / name, truth)
    file = truth / "yard_20230105.truth.geojson"
    collection = json.loads(file.read_text())
    collection["features"][0]["properties"]["class"] = "tram"
    file.write_text(json.dumps(collection))
    assert main([str(tmp_path / "old"), str(tmp_path / "new"), "--truth", str(truth), "--draws", "20"]) == 0
    notes = [line for line in capsys.readouterr().err.splitlines() if "'tram'" in line]
    assert [line.removeprefix("note: ").partition(": ")[0] for line in notes] == [
        str(tmp_path / "old"),
        str(tmp_path / "new"),
    ]
