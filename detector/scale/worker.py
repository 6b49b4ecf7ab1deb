"""What runs in one slot of a cluster: a network, reader threads, and no memory of what was asked before."""

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import geopandas as gpd
import ray
from shapely.geometry.base import BaseGeometry

from detector import __version__
from detector.backends import Backend, BackendName, open_backend, open_second
from detector.config import ClassTable, DetectConfig, ScaleConfig
from detector.detection.books import Work, scene_tables
from detector.detection.looking import Looker
from detector.detection.planning import Plan, Planner
from detector.detection.reading import Failure, Readers
from detector.scenes import Scene
from detector.store import TileResult
from detector.tiling import Tile
from detector.weights import ModelSpec, Weights

OpenNetwork = Callable[[Weights, DetectConfig, ScaleConfig], Backend]


@dataclass(frozen=True)
class Recipe:
    """All that a worker is made from, as it travels to another machine.

    Attributes:
        spec: what the network is.
        networks: the network's files, by name.
        config: detection settings.
        table: the classes.
        scale: settings of the cluster.
        open_network: loads the network.
    """

    spec: ModelSpec
    networks: dict[str, bytes]
    config: DetectConfig
    table: ClassTable
    scale: ScaleConfig
    open_network: OpenNetwork


@dataclass(frozen=True)
class Facts:
    """What a worker says of itself: its node, the machine's name, the version of this package, and its backend."""

    node: str
    host: str
    version: str
    backend: str


@dataclass(frozen=True, eq=False)
class _Job:
    scene: Scene
    tile: Tile
    index: int


class Worker:
    """Opens scenes, looks at tiles and puts tables together; the driver says of what.

    What it returns follows from what it is asked, so that any worker may answer any question, twice too.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe

    def start(self) -> Facts:
        """Load the network; before anything else is asked."""
        recipe, gsd_m = self._recipe, self._recipe.spec.gsd_m
        with TemporaryDirectory(prefix="railcars-") as folder:
            weights = Weights(recipe.spec, Path(folder))
            for name, content in recipe.networks.items():
                Path(folder, name).write_bytes(content)
            backend = recipe.open_network(weights, recipe.config, recipe.scale)
            second = open_second(weights, recipe.scale.worker_cpus)
        self._planner = Planner(weights, recipe.config, recipe.table)
        self._readers = Readers(gsd_m, threads=max(2, recipe.scale.worker_cpus)).__enter__()
        self._looker = Looker(self._planner, backend, self._readers, second)
        node = ray.get_runtime_context().get_node_id()
        return Facts(node, socket.gethostname(), __version__, backend.name)

    def open(self, plan: Plan) -> BaseGeometry | Failure:
        """Where the scene has data."""
        reach = self._planner.reach(plan)
        (outcome,) = self._readers.ordered([plan], lambda plan: self._readers.valid_geometry(plan.scene, reach))
        return outcome.result

    def look(self, scene: Scene, tiles: Sequence[Tile]) -> list[TileResult] | Failure:
        """What is in tiles of a scene, in their order, or the first failure."""
        results: dict[int, TileResult] = {}
        failures: dict[int, Failure] = {}

        def tell(job: _Job, result: TileResult | Failure) -> None:
            if isinstance(result, Failure):
                failures[job.index] = result
            else:
                results[job.index] = result

        self._looker.look([[_Job(scene, tile, index) for index, tile in enumerate(tiles)]], tell)
        return failures[min(failures)] if failures else [results[index] for index in range(len(tiles))]

    def tables(self, work: Work) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
        """The rows of a scene all of whose tiles are known."""
        return scene_tables(work, self._planner)


def open_network(weights: Weights, config: DetectConfig, scale: ScaleConfig) -> Backend:
    """The backend of one slot: "auto" is torch where it has a GPU, else OpenVINO with a thread for each processor."""
    by_slot: BackendName = "torch" if scale.worker_gpus else "openvino"
    name = by_slot if config.backend == "auto" else config.backend
    return open_backend(weights, config, name, threads=scale.worker_cpus)
