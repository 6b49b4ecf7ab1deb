"""The same run on a Ray cluster: what runs in a worker, who gives the workers their calls, and the cluster itself."""

import os
from typing import TYPE_CHECKING

from detector.config import ScaleConfig
from detector.errors import UsageError

if TYPE_CHECKING:
    from detector.scale.cluster import Cluster


def connect(scale: ScaleConfig, address: str | None = None) -> "Cluster":
    """The cluster at `address`, by default one of its own; see `Cluster`. Ray is imported only here, and calls nobody.

    Raises:
        UsageError: Ray is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        from detector.scale.cluster import Cluster  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise UsageError(
            f"--engine ray needs {error.name}, which is not installed.", "Install it: pip install 'railcars[scale]'."
        ) from error
    return Cluster(scale, address)
