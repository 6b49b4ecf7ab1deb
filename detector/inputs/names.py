"""What a file is called, whatever links lead to it."""

from pathlib import Path


def named(path: Path) -> Path:
    """The absolute path of a file under its own name: links to folders are followed, the file itself may be a link.

    Stores such as git-annex and DVC keep an image under a name made of its content and link the user's name to
    it: dates, masks and companions go by the name. Law: all ways through folders to one name give one path.
    """
    return path.parent.resolve() / path.name


def is_unicode(path: Path) -> bool:
    """Whether a path is text: file systems also take names that are not UTF-8, rasters and tables do not."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def printable(text: str) -> str:
    r"""A path, or a text with one in it, for messages and tables: bytes that are not UTF-8 are written as `\xff`."""
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace")
