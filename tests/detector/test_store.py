"""The ledger keeps what it was given, for one owner, and files appear whole or not at all."""

import errno
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import RunMismatch, UsageError
from detector.runlock import open_run_folder, run_folder, sole_writer
from detector.store import GROUP, Ledger, TileResult, content_key, replacing, sweep, write_json

ROOT = Path(__file__).parents[2]
HOLD = (
    "import pathlib, sys\n"
    "from detector.runlock import sole_writer\n"
    "with sole_writer(pathlib.Path(sys.argv[1])):\n"
    "    print('held', flush=True)\n"
    "    sys.stdin.read()\n"
)


def result(n: int, seed: int = 0) -> TileResult:
    rng = np.random.default_rng(seed)
    boxes, scores = rng.normal(5e5, 1e3, (n, 5)), rng.random((n, 5), dtype=np.float32)
    return TileResult(boxes, scores, rng.random(n) > 0.5, 0.75, rng.random(18))


def same(a: TileResult, b: TileResult) -> bool:
    return a.to_bytes() == b.to_bytes()


@given(n=st.integers(0, 50), seed=st.integers(0, 2**32 - 1))
def test_a_result_survives_its_bytes_exactly(n: int, seed: int) -> None:
    before = result(n, seed)
    after = TileResult.from_bytes(before.to_bytes())
    assert np.array_equal(after.xywhr, before.xywhr)
    assert np.array_equal(after.scores, before.scores)
    assert after.scores.dtype == np.float32
    assert np.array_equal(after.cut, before.cut)
    assert after.valid == before.valid
    assert np.array_equal(after.look, before.look)


def test_rows_must_match() -> None:
    with pytest.raises(ValueError, match="one row each"):
        TileResult(np.zeros((2, 5)), np.zeros((1, 5), np.float32), np.zeros(2, bool), 1.0, np.zeros(18))


def test_ledger_keeps_results_over_reopening(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        assert ledger.get("a") is None
        ledger.put("a", result(3))
        ledger.put("a", result(4))
    with Ledger(tmp_path / "l.sqlite") as ledger:
        found = ledger.get("a")
        assert found is not None
        assert same(found, result(4))


def test_a_kill_costs_less_than_a_group_of_results(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    child = (
        "import os, signal, sys, pathlib\n"
        "from detector.store import GROUP, Ledger\n"
        "from tests.detector.test_store import result\n"
        "ledger = Ledger(pathlib.Path(sys.argv[1]))\n"
        "for i in range(3 * GROUP - 1):\n"
        "    ledger.put(str(i), result(3, i))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", child, str(path)], check=False, cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    with Ledger(path) as ledger:
        kept = [index for index in range(3 * GROUP) if ledger.get(str(index)) is not None]
        assert kept == list(range(2 * GROUP))
        ledger.put("last", result(1))
        found = ledger.get("last")
    with Ledger(path) as ledger:
        again = ledger.get("last")
    assert found is not None
    assert again is not None
    assert same(found, again)


def test_ledger_survives_a_kill_in_the_middle_of_a_write(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    with Ledger(path) as ledger:
        ledger.put("a", result(3))
    child = (
        "import os, signal, sqlite3, sys\n"
        "db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "db.execute('PRAGMA cache_size = 1'); db.execute('BEGIN IMMEDIATE')\n"
        "for i in range(500):\n"
        "    db.execute('INSERT INTO tiles VALUES (?, ?)', (str(i), bytes(20000)))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", child, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    with Ledger(path) as ledger:
        found = ledger.get("a")
        assert found is not None
        assert same(found, result(3))
        assert ledger.get("0") is None


def test_a_second_owner_is_turned_away(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite"), pytest.raises(UsageError, match="another process"):
        Ledger(tmp_path / "l.sqlite")
    Ledger(tmp_path / "l.sqlite").close()


def test_a_damaged_ledger_says_that_it_can_be_deleted(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    path.write_bytes(b"no database at all, but long enough to be looked at" * 100)
    with pytest.raises(UsageError, match="delete the file"):
        Ledger(path)


def test_a_claim_holds_and_names_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    with Ledger(path) as ledger:
        ledger.claim({"weights": "a", "batch": 1})
    with Ledger(path) as ledger:
        ledger.claim({"batch": 1, "weights": "a"})
        with pytest.raises(RunMismatch, match='weights was "a", now "b"') as caught:
            ledger.claim({"weights": "b", "batch": 1})
        assert "batch" not in caught.value.message
        assert "--out" in caught.value.cure


def test_content_keys_tell_content_apart() -> None:
    key = content_key("tile", 1, {"b": 1, "a": (1, 2)})
    assert key == content_key("tile", 1, {"a": [1, 2], "b": 1})
    assert key != content_key("tile", 1, {"a": [1, 2.0000000000000004], "b": 1})
    assert key != content_key("tile", 1, {"a": [2, 1], "b": 1})


def test_a_failed_write_leaves_the_old_file_and_no_scratch(tmp_path: Path) -> None:
    path = tmp_path / "table [a][b].json"
    write_json(path, {"a": 1})
    before = path.read_bytes()
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": float("nan")})
    with pytest.raises(RuntimeError), replacing(path) as scratch:
        scratch.write_text("half")
        scratch.with_name(scratch.name + "-journal").write_text("half")
        raise RuntimeError
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_files_written_have_the_usual_permissions(tmp_path: Path) -> None:
    usual = tmp_path / "usual"
    usual.write_text("")
    write_json(tmp_path / "a.json", {})
    assert (tmp_path / "a.json").stat().st_mode == usual.stat().st_mode


def test_folders_above_a_text_are_made(tmp_path: Path) -> None:
    write_json(tmp_path / "not" / "there" / "yet.json", {"n": 1})
    assert (tmp_path / "not" / "there" / "yet.json").read_text() == '{\n  "n": 1\n}\n'


def test_sweep_removes_what_a_kill_left(tmp_path: Path) -> None:
    open_run_folder(tmp_path / "run")
    target = tmp_path / "run" / "parts" / "a.parquet"
    child = (
        "import os, signal, sys, pathlib\n"
        "from detector.store import replacing\n"
        "with replacing(pathlib.Path(sys.argv[1])) as scratch:\n"
        "    scratch.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", child, str(target)], check=False, cwd=ROOT)
    assert len(list(target.parent.iterdir())) == 1
    assert not target.exists()
    sweep(tmp_path / "run")
    assert list(target.parent.iterdir()) == []


def test_an_unusable_run_folder_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for run in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(UsageError, match="--out"):
            open_run_folder(run)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_run_folder_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o555)
    with pytest.raises(UsageError, match="cannot be written"):
        open_run_folder(tmp_path / "run")


def test_a_full_disk_is_a_usage_error(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        ledger._db.execute("PRAGMA max_page_count = 6")
        with pytest.raises(UsageError, match="Make room"):
            for index in range(100):
                ledger.put(str(index), result(100, index))


def test_the_ledger_is_plain_sqlite_without_side_files(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        ledger.put("a", result(1))
    assert [file.name for file in tmp_path.iterdir()] == ["l.sqlite"]
    with sqlite3.connect(tmp_path / "l.sqlite") as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    db.close()


def test_one_process_writes_to_a_run_and_a_killed_one_holds_nothing(tmp_path: Path) -> None:
    call = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    with subprocess.Popen(call, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with (
            pytest.raises(UsageError, match=r"run: another process is writing to this run\."),
            sole_writer(tmp_path / "run"),
        ):
            pass
        other.kill()
        other.wait()
        with sole_writer(tmp_path / "run"):
            pass


def test_a_step_inside_of_a_step_keeps_the_lock_of_the_outer_one(tmp_path: Path) -> None:
    run = tmp_path / "run"
    call = [sys.executable, "-c", HOLD, str(run)]
    (tmp_path / "link").symlink_to(run)
    with sole_writer(run):
        with sole_writer(tmp_path / "link"), sole_writer(run / ".." / "run"):
            pass
        done = subprocess.run(call, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        assert "another process is writing to this run" in done.stderr
    done = subprocess.run(call, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.stdout == "held\n"


def test_a_run_without_locks_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = OSError(errno.ENOLCK, "No locks available")
    monkeypatch.setattr("detector.runlock.fcntl.lockf", Mock(side_effect=refused))
    with pytest.raises(UsageError, match=r"cannot be written to \(No locks available\)"), sole_writer(tmp_path):
        pass


@pytest.mark.parametrize("url", ["memory://run", "s3://bucket/run", "file:///tmp/run", "abfs+x://a"])
def test_a_run_is_no_url(url: str) -> None:
    with pytest.raises(UsageError, match=r"shared file system, and copy the results"):
        run_folder(url)


@pytest.mark.parametrize("name", ["run", "kray:run1", "a/s3:/b", "../memory:"])
def test_a_run_has_an_absolute_path(name: str) -> None:
    assert run_folder(name) == Path.cwd() / name
    assert run_folder(f"/{name}") == Path(f"/{name}")


def test_what_the_disk_refuses_is_a_usage_error(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    full = OSError(errno.ENOSPC, "No space left on device")
    for error, kinds in ((full, ()), (RuntimeError("disk is full.\nat 0"), (RuntimeError,))):
        with (
            pytest.raises(UsageError, match=r"a\.json: cannot be written \(.*(full|device)\)\. Make room.*run"),
            replacing(path, kinds) as scratch,
        ):
            scratch.write_text("half")
            raise error
    assert path.read_text() == '{\n  "a": 1\n}\n'
    assert list(tmp_path.iterdir()) == [path]
