"""Where the shipped configs and weights lie, in a checkout and in an installed wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).parent
_CHECKOUT = _PACKAGE.parent


def resource(*parts: str) -> Path:
    """Path of a shipped file, for example `resource("configs", "detect.yaml")`.

    A wheel carries `configs/` and `weights/` inside the package; a checkout has them at its top level.

    Raises:
        FileNotFoundError: the file is in neither place.
    """
    for root in (_PACKAGE / "_shipped", _CHECKOUT):
        path = root.joinpath(*parts)
        if path.exists():
            return path
    raise FileNotFoundError(f"{'/'.join(parts)} is not part of this installation; reinstall railcars.")
