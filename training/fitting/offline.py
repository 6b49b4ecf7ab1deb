"""Ultralytics kept silent, offline and inside the run folder; call before anything imports it."""

import os
import shutil
import sys
from pathlib import Path

import matplotlib

_ENVIRONMENT = {
    "YOLO_OFFLINE": "1",  # no probe whether the network is there, and no download if it is
    "YOLO_AUTOINSTALL": "0",  # never installs packages
    "YOLO_VERBOSE": "0",
    "NO_ALBUMENTATIONS_UPDATE": "1",  # no question to a package index for a newer version
    "MPLBACKEND": "Agg",
}


def be_silent() -> None:
    """Set the environment so that no library of training uses the network; call before anything imports one."""
    os.environ.update(_ENVIRONMENT)


def go_offline(folder: Path) -> None:
    """Set the environment so that Ultralytics neither uses the network nor writes outside `folder`.

    Its settings then lie in `folder`/Ultralytics, with every reporting service off, beside the font that it would
    otherwise download.

    Raises:
        RuntimeError: Ultralytics was imported before, without this environment, which it reads on import.
    """
    late = "ultralytics" in sys.modules
    if late and os.environ.get("YOLO_OFFLINE") != "1":
        raise RuntimeError("ultralytics was imported before go_offline(); call it first.")
    be_silent()
    if late:
        return
    home = folder.resolve() / "Ultralytics"
    home.mkdir(parents=True, exist_ok=True)
    os.environ["YOLO_CONFIG_DIR"] = str(home.parent)
    shutil.copyfile(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", home / "Arial.ttf")
    from ultralytics.utils import SETTINGS  # noqa: PLC0415 - reads the environment on import

    services = ("clearml", "comet", "dvc", "mlflow", "raytune", "tensorboard", "wandb", "sync")
    SETTINGS.update({name: False for name in services if name in SETTINGS})
