"""Where a run's numbers come from: the facts that `run.json` records about detection."""

import platform
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from detector import __version__
from detector.config import DetectConfig
from detector.hashing import sha256_of
from detector.pipeline import DetectResult
from detector.scenes import Scene
from detector.weights import Weights

LIBRARIES = ("geopandas", "numpy", "openvino", "pyproj", "rasterio", "shapely")


def provenance(
    result: DetectResult,
    scenes: Sequence[Scene],
    facilities: Path,
    weights: Weights,
    config: DetectConfig,
    *,
    started: datetime,
    finished: datetime,
    manifest: Path | None = None,
) -> dict[str, Any]:
    """What `run.json` says of detection, as JSON values.

    Args:
        result: what `detect` did.
        scenes: the scenes it was given.
        facilities: the file of facility polygons.
        weights: the weights used.
        config: the detection settings used.
        started: when the command began, with its time zone.
        finished: when detection ended.
        manifest: the manifest, where there was one.
    """
    spec = weights.spec
    return {
        "version": __version__,
        "started": started.isoformat(timespec="seconds"),
        "finished": finished.isoformat(timespec="seconds"),
        "weights": {
            "name": spec.name,
            "sha256": weights.digest,
            "files": dict(spec.sha256),
            "architecture": spec.architecture,
            "classes": list(spec.classes),
            "gsd_m": spec.gsd_m,
            "score_floor": spec.score_floor,
            "threshold": spec.operating_threshold,
        },
        "config": {"detect": config.model_dump()},
        "config_sha256": config.digest(),
        "inputs": [
            {
                "scene_id": scene.scene_id,
                "path": str(path),
                "acquired": scene.acquired.isoformat(),
                "acquired_source": scene.acquired_source,
                "scene_bytes": scene.size_bytes,
                "scene_sha256": scene.sha256,
                "cloud_mask": str(mask.path) if (mask := scene.mask(index)) else None,
            }
            for scene in scenes
            for index, path in enumerate(scene.paths)
        ],
        "facilities": file_facts(facilities),
        "manifest": None if manifest is None else str(manifest.resolve()),
        "left_out": list(result.left_out),
        "unseen": list(result.unseen),
        "totals": {
            "scenes": result.n_scenes,
            "scenes_new": result.n_new,
            "tiles_computed": result.n_tiles,
            "tiles_known": result.n_tiles_known,
            "objects": result.n_objects,
            "detected": result.n_detected,
            "rejected": len(result.rejected),
        },
        "detect_seconds": round(result.seconds, 3),
        "software": {
            "backends": list(result.backends),
            "python": platform.python_version(),
            "machine": platform.machine(),
            **{name: version(name) for name in LIBRARIES},
        },
    }


def file_facts(path: Path) -> dict[str, Any]:
    """Absolute path, size and SHA-256 of an input file."""
    return {"path": str(path.resolve()), "size_bytes": path.stat().st_size, "sha256": sha256_of(path)}
