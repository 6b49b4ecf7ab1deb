"""Words for whoever runs a command, outside of its results."""

from collections.abc import Sequence

from rich.console import Console

PLAIN_WIDTH = 160  # of tables that do not go to a terminal


def console(*, stderr: bool = False) -> Console:
    """A console as wide as the terminal; wide enough for every table where there is none."""
    found = Console(stderr=stderr, highlight=False)
    return found if found.is_terminal else Console(stderr=stderr, highlight=False, width=PLAIN_WIDTH)


def tell(text: object, style: str | None = None) -> None:
    """A message: one line of standard error, however long, so that it can be searched."""
    console(stderr=True).print(str(text), style=style, markup=False, soft_wrap=True)


def note(text: object) -> None:
    """What is no error, and should be known all the same."""
    tell(f"note: {text}", "yellow")


def some(texts: Sequence[str], most: int) -> str:
    """The first few texts, `most` at most, and how many more there are."""
    more = len(texts) - most
    return ", ".join(texts[:most]) + (f" and {more} more" if more > 0 else "")
