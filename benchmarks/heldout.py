"""The scenes of the held-out facilities, which `make evaluate` renders and training never sees."""

from pathlib import Path

from detector.errors import UsageError

TEST = Path("data/heldout/test")


def pictures(folder: Path = TEST) -> list[Path]:
    """The pictures of a folder of rendered scenes, in order of name.

    Raises:
        UsageError: there are none.
    """
    found = sorted(folder.glob("*.tif"))
    if not found:
        raise UsageError(f"{folder}: holds no scenes.", "Run `make evaluate`.")
    return found
