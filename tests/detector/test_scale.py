"""A run on a real Ray cluster of two nodes on this machine: the bytes of a run in one process, whatever dies."""

import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio.windows import Window
from typer.testing import CliRunner

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
ray = pytest.importorskip("ray", reason="needs the extra `scale`")

from ray.cluster_utils import Cluster as Nodes  # noqa: E402

from detector import cli, scale  # noqa: E402
from detector.config import scale_config  # noqa: E402
from detector.detection.books import Silent  # noqa: E402
from detector.errors import InputRejected, UsageError  # noqa: E402
from detector.facilities import load_facilities  # noqa: E402
from detector.pipeline import DetectResult, detect  # noqa: E402
from detector.scale import address, patience, worker  # noqa: E402
from detector.scale.cluster import Cluster  # noqa: E402
from detector.scale.crew import room  # noqa: E402
from detector.scale.drive import rows_of_tiles  # noqa: E402
from detector.scale.worker import OpenNetwork  # noqa: E402
from detector.scenes import Survey, find_scenes  # noqa: E402
from detector.tiling import Tile  # noqa: E402
from tests.detector.cluster_networks import GREEN, allergic, missing, mortal, mounted_at, steady  # noqa: E402
from tests.detector.fakes import (  # noqa: E402
    PaintBackend,
    facilities_file,
    fake_config,
    fake_weights,
    paint,
    yard,
)

ROOT = Path(__file__).parents[2]
NODE = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}
SCALE = scale_config().model_copy(update={"worker_cpus": 1, "worker_gb": 0.0, "tiles_per_call": 4, "attempts": 2})


@dataclass
class Yards:
    """A folder with three painted scenes, weights, a facility, and `whole`, the run of one process."""

    folder: Path
    whole: DetectResult

    def survey(self, images: str = "images", cluster: Cluster | None = None) -> Survey:
        return find_scenes([self.folder / images], look_at_files=cluster.look_at_files if cluster else None)

    def copy(self, images: Path) -> Path:
        """The scenes once more, in a folder of their own."""
        shutil.copytree(self.folder / "images", images)
        return images

    def detect(
        self, out: Path, network: OpenNetwork, progress: Silent | None = None, images: str = "images"
    ) -> DetectResult:
        """A run on the cluster."""
        with Cluster(SCALE, network=network) as cluster:
            return run(self.folder, self.survey(images, cluster), out, compute=cluster.compute, progress=progress)


def run(folder: Path, survey: Survey, out: Path, **how: object) -> DetectResult:
    weights, facilities = fake_weights(folder / "weights"), load_facilities(folder / "facilities.geojson")
    return detect(survey.scenes, facilities, out, weights, fake_config(), **how)  # type: ignore[arg-type]


class Holder:
    """Takes a processor away from others."""

    def hold(self) -> None:
        """It has it."""


def contents(out: Path) -> dict[str, bytes]:
    """The bytes of all tables, parts included."""
    tables = [path for path in out.rglob("*") if path.suffix in {".parquet", ".gpkg", ".geojson"}]
    return {str(path.relative_to(out)): path.read_bytes() for path in tables}


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """Two nodes, connected to."""
    nodes = Nodes(initialize_head=True, head_node_args=NODE)
    nodes.add_node(**NODE)
    ray.init(nodes.address, log_to_driver=False, logging_level="ERROR")
    yield nodes
    ray.shutdown()
    nodes.shutdown()


@pytest.fixture(scope="module")
def yards(tmp_path_factory: pytest.TempPathFactory) -> Yards:
    folder = tmp_path_factory.mktemp("yards")
    (folder / "images").mkdir()
    for day, cars, gsd_m in ((5, 9, 0.3), (6, 4, 0.41), (7, 0, 0.23)):  # resampled up, down and not at all
        paint(folder / "images" / f"yard_202301{day:02}.tif", yard()[:cars], gsd_m=gsd_m)
    facilities_file(folder / "facilities.geojson", {"yard": (-40, -40, 40, 40)})
    yards = Yards(folder, None)  # type: ignore[arg-type]
    backend = PaintBackend(fake_weights(folder / "weights").spec)
    yards.whole = run(folder, yards.survey(), folder / "whole", backend=backend)
    return yards


@pytest.mark.integration
class TestRun:
    def test_both_nodes_give_the_bytes_of_one_process(self, nodes: Nodes, yards: Yards, tmp_path: Path) -> None:
        result = yards.detect(tmp_path / "run", steady)
        assert contents(tmp_path / "run") == contents(yards.folder / "whole")
        assert (result.n_tiles, result.n_scenes, result.backends) == (yards.whole.n_tiles, 3, ("paint",))
        again = yards.detect(tmp_path / "run", missing)  # nothing to do: no worker is asked for
        assert (again.n_new, again.n_tiles, again.n_scenes) == (0, 0, 3)

    def test_a_second_stage_travels_with_the_weights(self, nodes: Nodes, yards: Yards, tmp_path: Path) -> None:
        from tests.detector.second_stages import at_random, with_network  # noqa: PLC0415 - it imports torch

        both = with_network(fake_weights(tmp_path / "weights"), at_random(0))
        facilities, config = load_facilities(yards.folder / "facilities.geojson"), fake_config()
        alone, shared = tmp_path / "alone", tmp_path / "shared"
        scenes = yards.survey().scenes
        detect(scenes, facilities, alone, both, config, backend=PaintBackend(both.spec))
        with Cluster(SCALE, network=steady) as cluster:
            found = detect(scenes, facilities, shared, both, config, compute=cluster.compute)
        assert found.n_objects > 0
        assert contents(shared) == contents(alone) != contents(yards.whole.run)

    def test_a_worker_killed_in_the_middle_of_a_scene(self, nodes: Nodes, yards: Yards, tmp_path: Path) -> None:
        result = yards.detect(tmp_path / "run", partial(mortal, tmp_path))
        assert (tmp_path / "died").exists()
        assert contents(tmp_path / "run") == contents(yards.folder / "whole")
        assert (result.rejected, result.n_tiles) == ((), yards.whole.n_tiles)

    def test_scenes_that_stop_every_worker_are_rejected(self, nodes: Nodes, yards: Yards, tmp_path: Path) -> None:
        images = yards.copy(tmp_path / "images")
        paint(images / "yard_20230104.tif", yard())  # before the others: a container kills
        with rasterio.open(paint(images / "yard_20230106b.tif", yard()[:2]), "r+") as file:
            file.write(np.full((3, 9, 9), GREEN[0], np.uint8), window=Window(150, 40, 9, 9))
            file.write(np.full((9, 9), GREEN[1], np.uint8), 2, window=Window(150, 40, 9, 9))  # memory runs out
        result = yards.detect(tmp_path / "run", allergic, images=str(images))
        assert [entry.path.name for entry in result.rejected] == ["yard_20230104.tif", "yard_20230106b.tif"]
        assert all("has stopped 2 workers" in entry.reason and entry.cure for entry in result.rejected)
        assert contents(tmp_path / "run") == contents(yards.folder / "whole")

    def test_a_damaged_file_is_rejected_as_in_one_process(self, nodes: Nodes, yards: Yards, tmp_path: Path) -> None:
        images = yards.copy(tmp_path / "images")
        (images / "cut_20230108.tif").write_bytes((images / "yard_20230105.tif").read_bytes()[:5000])
        with Cluster(SCALE, network=steady) as cluster:
            there, here = (yards.survey(str(images), where) for where in (cluster, None))
            assert there == here
            assert [entry.path.name for entry in there.rejected] == ["cut_20230108.tif"]
            broken = there.scenes[1].paths[0]
            broken.write_bytes(broken.read_bytes()[:20_000] + bytes(16))
            spread = run(yards.folder, there, tmp_path / "spread", compute=cluster.compute)
        local = run(
            yards.folder, here, tmp_path / "local", backend=PaintBackend(fake_weights(yards.folder / "weights").spec)
        )
        assert [entry.path for entry in spread.rejected] == [broken]
        assert spread.rejected == local.rejected
        assert contents(tmp_path / "spread") == contents(tmp_path / "local")

    def test_what_a_node_rejects_is_looked_at_where_it_was_named(self, nodes: Nodes) -> None:
        files = [Path(f"{name}.tif") for name in ("a", "damaged", "b")]
        with Cluster(SCALE) as cluster:
            found = list(cluster.look_at_files(partial(mounted_at, os.getpid()), files, [1, 2, 3]))
        assert found[::2] == ["a 1", "b 3"]
        assert isinstance(found[1], InputRejected)
        assert found[1].reason == "it is damaged"

    def test_a_survey_without_a_free_processor_ends(
        self, nodes: Nodes, yards: Yards, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        said: list[str] = []
        monkeypatch.setattr(patience, "note", said.append)
        monkeypatch.setattr(patience, "TELL_AFTER_S", 0.0)
        others = [ray.remote(Holder).options(num_cpus=1).remote() for _ in range(2)]
        ray.get([other.hold.remote() for other in others])
        hasty = SCALE.model_copy(update={"start_minutes": 0.05})
        try:
            with pytest.raises(UsageError, match=r"No file could be looked at for 0\.05 minutes.*'CPU': 0"):
                yards.survey(cluster=Cluster(hasty))
        finally:
            for other in others:
                ray.kill(other)
        assert len(said) == 1
        assert "No file could be looked at yet" in said[0]

    def test_a_driver_killed_and_started_again_repeats_nothing(
        self, nodes: Nodes, yards: Yards, tmp_path: Path
    ) -> None:
        for name in ("images", "weights", "facilities.geojson"):
            (tmp_path / name).symlink_to(yards.folder / name)
        driver = [sys.executable, "-m", "tests.detector.cluster_driver", str(tmp_path), nodes.address, "12"]
        done = subprocess.run(driver, cwd=ROOT, check=False, capture_output=True, text=True)
        assert done.returncode == -signal.SIGKILL, done.stderr
        result = yards.detect(tmp_path / "stopped", steady)
        assert result.n_tiles_known >= 8  # the last of a group may be lost
        assert result.n_tiles_known + result.n_tiles <= yards.whole.n_tiles
        assert contents(tmp_path / "stopped") == contents(yards.folder / "whole")
        assert not list((tmp_path / "stopped").rglob(".tmp-*"))

    def test_a_network_that_cannot_start_ends_the_run(self, nodes: Nodes, yards: Yards, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="3 workers have died while they started"):
            yards.detect(tmp_path / "run", missing)

    def test_the_command_gives_the_bytes_of_a_local_run(self, nodes: Nodes, yards: Yards, tmp_path: Path) -> None:
        settings = tmp_path / "scale.yaml"
        settings.write_text(SCALE.model_dump_json())
        given = [
            "detect", str(yards.folder / "images" / "yard_20230105.tif"), "-q",
            "--facilities", str(yards.folder / "facilities.geojson"), "--out",
        ]  # fmt: skip
        for out, more in (("here", []), ("there", ["--engine", "ray", "--scale", str(settings)])):
            result = CliRunner().invoke(cli.app, [*given, str(tmp_path / out), *more], catch_exceptions=False)
            assert result.exit_code == 0
        here, there = contents(tmp_path / "here"), contents(tmp_path / "there")
        assert len(here) == 6
        assert here == there

    def test_a_node_that_is_lost(self, nodes: Nodes, yards: Yards, tmp_path: Path) -> None:
        assert room(SCALE) == 2

        class Storm(Silent):
            tiles = 0

            def tile(self, *, computed: bool) -> None:
                self.tiles += 1
                if self.tiles == 5:
                    nodes.remove_node(nodes.worker_nodes.copy().pop(), allow_graceful=False)

        result = yards.detect(tmp_path / "run", steady, Storm())
        assert contents(tmp_path / "run") == contents(yards.folder / "whole")
        assert (result.rejected, result.n_tiles) == ((), yards.whole.n_tiles)


class TestWithoutRay:
    def test_ray_that_is_not_installed_is_named_with_the_cure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in [name for name in sys.modules if name.startswith("detector.scale.")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "ray", None)
        with pytest.raises(UsageError, match=r"--engine ray needs ray.*pip install 'railcars\[scale\]'"):
            scale.connect(scale_config())

    def test_an_address_where_nothing_answers(self) -> None:
        with pytest.raises(UsageError, match=r"127\.0\.0\.1:1: no Ray cluster answers .*refused"):
            address.see_that_it_answers("127.0.0.1:1")

    def test_an_address_where_something_else_listens(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(address, "PROBE_S", 1.0)
        with socket.create_server(("127.0.0.1", 0)) as server:
            place = f"127.0.0.1:{server.getsockname()[1]}"
            started = time.monotonic()
            with pytest.raises(UsageError, match=f"{place}: no Ray cluster answers .*not as Ray does, for 1 seconds"):
                address.see_that_it_answers(place)
        assert time.monotonic() - started < 10

    @pytest.mark.parametrize(
        ("said", "message"),
        [
            ("ray.exceptions.AuthenticationError: InvalidAuthToken", "asks for a token.*RAY_AUTH_MODE=token"),
            ("Traceback\\nRuntimeError: Ray version mismatch", r"answers \(.*Ray version mismatch\).*the same Ray"),
            ("x" * 300 + "\\nRuntimeError: the last", r"answers \(RuntimeError: the last\)"),
            ("", "no reason is given"),
        ],
    )
    def test_what_ray_says_of_a_cluster_is_passed_on(
        self, monkeypatch: pytest.MonkeyPatch, said: str, message: str
    ) -> None:
        script = f"import sys; sys.stderr.write('{said}'); sys.exit(1)"
        monkeypatch.setattr(address, "PROBE", (sys.executable, "-c", script))
        with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(UsageError, match=message):
            address.see_that_it_answers(f"127.0.0.1:{server.getsockname()[1]}")

    @pytest.mark.parametrize(
        "given", ["auto", "local", "ray://head:10001", "head", "head:port", ":6379", "head:0", "head:65536"]
    )
    def test_what_is_no_address_is_refused_in_plain_words(self, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
        monkeypatch.setattr(ray, "is_initialized", lambda: False)
        message = f"{given}: is not the address of a cluster's head, host:port.*Without --address, Ray starts"
        with pytest.raises(UsageError, match=message), Cluster(SCALE, given):
            pass
        monkeypatch.setenv("RAY_ADDRESS", given)
        with pytest.raises(UsageError, match="Without RAY_ADDRESS, Ray starts"), Cluster(SCALE):
            pass

    @pytest.mark.parametrize("error", [ConnectionError, RuntimeError, ray.exceptions.RpcError])
    def test_a_ray_that_cannot_be_connected_to_or_started(
        self, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
    ) -> None:
        def init(*_: object, **__: object) -> None:
            raise error("head is lost")

        monkeypatch.delenv("RAY_ADDRESS", raising=False)
        monkeypatch.setattr(ray, "is_initialized", lambda: False)
        monkeypatch.setattr(ray, "init", init)
        monkeypatch.setattr("detector.scale.cluster.see_that_it_answers", lambda _: None)
        with (
            pytest.raises(UsageError, match=r"head:1: no Ray cluster answers \(head is lost\)"),
            Cluster(SCALE, "head:1"),
        ):
            pass
        with pytest.raises(UsageError, match=r"cannot be started on this machine \(head is lost\)"), Cluster(SCALE):
            pass

    def test_waiting_is_said_once_and_ends(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now, said = [0.0], []
        monkeypatch.setattr(patience.time, "monotonic", lambda: now[0])
        monkeypatch.setattr(ray, "available_resources", lambda: {"CPU": 1.0, "node:a": 1.0})
        monkeypatch.setattr(patience, "note", said.append)
        waiting = patience.Patience("No worker has started", {"num_cpus": 2}, minutes=10)
        for now[0] in (0, 29, 31, 599, 600):
            waiting.check()
        assert said == [
            "No worker has started yet: it needs {'num_cpus': 2}, and the cluster has "
            "{'CPU': 1.0, 'GPU': 0.0, 'memory': 0.0} left. Waiting, 10 minutes at most."
        ]
        waiting.renew()
        now[0] = 1200
        waiting.check()
        now[0] = 1201
        with pytest.raises(UsageError, match=r"No worker has started for 10 minutes: it needs.*Free or add nodes"):
            waiting.check()
        assert len(said) == 1

    @pytest.mark.parametrize(
        ("backend", "gpus", "opened"),
        [("auto", 0, "openvino"), ("auto", 1, "torch"), ("openvino", 1, "openvino"), ("torch", 0, "torch")],
    )
    def test_a_slot_computes_on_what_it_has(
        self, monkeypatch: pytest.MonkeyPatch, backend: str, gpus: int, opened: str
    ) -> None:
        monkeypatch.setattr(worker, "open_backend", lambda weights, config, name, threads: name)
        config = fake_config().model_copy(update={"backend": backend})
        assert worker.open_network(None, config, SCALE.model_copy(update={"worker_gpus": gpus})) == opened  # type: ignore[arg-type, comparison-overlap]

    def test_an_address_without_the_engine(self, tmp_path: Path) -> None:
        given = ["detect", str(tmp_path), "--facilities", "f.geojson", "--out", str(tmp_path), "--address", "a:1"]
        with pytest.raises(UsageError, match="Give --engine ray"):
            CliRunner().invoke(cli.app, given, catch_exceptions=False)

    def test_settings_out_of_range_name_the_key(self, tmp_path: Path) -> None:
        (tmp_path / "scale.yaml").write_text(SCALE.model_copy(update={"attempts": 0}).model_dump_json())
        with pytest.raises(UsageError, match="attempts: Input should be greater"):
            scale_config(tmp_path / "scale.yaml")


@pytest.mark.parametrize(
    "make", [partial(UsageError, "what", "cure"), partial(InputRejected, Path("a"), "why", "cure")]
)
def test_errors_travel_whole(make: Callable[[], UsageError | InputRejected]) -> None:
    error = make()
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), vars(copy)) == (str(error), vars(error))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 20), st.data())
def test_calls_are_whole_rows_and_hold_every_tile_once(lengths: list[int], least: int, data: st.DataObject) -> None:
    tiles = [Tile(row, col, (0, 0, 1, 1), (0, 0, 1, 1)) for row, n in enumerate(lengths) for col in range(n)]
    numbers = sorted(data.draw(st.sets(st.sampled_from(range(len(tiles))))))
    parts = list(rows_of_tiles(tiles, numbers, least))
    assert [number for part in parts for number in part] == numbers
    rows = [{tiles[number].row for number in part} for part in parts]
    assert sum(map(len, rows)) == len(set().union(*rows))  # no row is cut
    assert all(len(part) >= least for part in parts[:-1])
    assert all(
        sum(tiles[number].row != max(row) for number in part) < least for part, row in zip(parts, rows, strict=True)
    )
