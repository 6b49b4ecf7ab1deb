"""What the command prints: progress with rate and time left, and the tables of scenes and counts."""

import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pandas as pd
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from detector.inputs.names import printable
from detector.scene import Rejection
from detector.tally.verdicts import probability
from detector.telling import console
from detector.telling import tell as tell  # noqa: PLC0414 - for the renderer, whose files are hashed

LINE_EVERY_S = 10.0
REJECTED_SHOWN = 10
ASIDE_SHOWN = 3


class Gauge:
    """How far a step is, with rate and time left: a bar on a terminal, a plain line now and then otherwise.

    Args:
        step: what is done.
        unit: of what, in the plural.
        quiet: say nothing.
    """

    def __init__(self, step: str, unit: str, *, quiet: bool) -> None:
        self._quiet = quiet
        self._unit = unit
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(f"{unit}, {{task.fields[rate]}}"),
            TimeRemainingColumn(),
            console=console(stderr=True),
            disable=quiet or not console(stderr=True).is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task(step, total=None, rate="")
        self._done = self._computed = self._total = 0
        self._started = self._told = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def of(self, total: int, step: str | None = None) -> None:
        """How much there is to do, and where it is known better by now, what is done."""
        self._total = total
        self._bar.update(self._task, total=total, description=step)

    def more(self, number: int = 1, *, computed: bool = True) -> None:
        """So many more are done; the rate is of those that took work."""
        self._done += number
        self._computed += number * computed
        rate = self._computed / max(time.monotonic() - self._started, 1e-6)
        self._bar.update(self._task, advance=number, rate=f"{rate:.1f}/s")
        if not self._quiet and self._bar.disable and time.monotonic() - self._told >= LINE_EVERY_S:
            self._told = time.monotonic()
            left = (self._total - self._done) / max(rate, 1e-6)
            line = f"{self._done}/{self._total} {self._unit}, {rate:.1f}/s, about {left:.0f} s left"
            self._bar.console.print(line)


class Watcher(Gauge):
    """Progress of detection (`detector.detection.books.Progress`)."""

    def __init__(self, *, quiet: bool) -> None:
        super().__init__("detecting", "tiles", quiet=quiet)

    def total(self, scenes: int, tiles: int) -> None:
        """How much there is to do."""
        self.of(tiles, f"detecting in {scenes} scenes")

    def tile(self, *, computed: bool) -> None:
        """One more tile is done."""
        self.more(computed=computed)

    def scene(self, scene_id: str, n_detected: int) -> None:
        """A scene is finished; the bar tells enough."""


class CountWatcher(Gauge):
    """Progress of counting (`detector.tally.counts.count_run`)."""

    def __init__(self, *, quiet: bool) -> None:
        super().__init__("counting", "scenes", quiet=quiet)

    def __call__(self, scenes: int, total: int) -> None:
        """So many more scenes are counted."""
        self.of(total)
        self.more(scenes)


def scenes_table(scenes: pd.DataFrame) -> Table:
    """The rows of `detector.listing.scene_table` for a terminal."""
    table = Table(box=None, pad_edge=False)
    for name in ("file", "date", "from", "size", "bands", "type", "GSD m", "CRS", "facilities", "verdict"):
        table.add_column(name, overflow="fold")
    for record in scenes.to_dict("records"):
        row: dict[Hashable, Any] = {
            name: None if np.ndim(value) == 0 and pd.isna(value) else value for name, value in record.items()
        }
        size = row["width"] and f"{row['width']:.0f} x {row['height']:.0f}"
        bands = row["n_bands"] and f"{row['bands']} of {row['n_bands']:.0f}"
        gsd = row["gsd_m"] and f"{row['gsd_m']:.2f}"
        date = row["date"] and f"{row['date']:%Y-%m-%d %H:%M}"
        covered = ", ".join(f"{name} {share:.0%}" for name, share in row["covered"].items())
        cells = [Path(row["file"]).name, date, row["date_source"], size, bands, row["dtype"], gsd, row["crs"]]
        table.add_row(*_plain(*cells, covered, row["verdict"]), style=_style(row["usable"]))
    return table


def counts_table(counts: pd.DataFrame) -> Iterator[Table]:
    """One table per facility: its railcars by date."""
    railcars = counts[counts["group"] == "railcar"]
    for facility_id, rows in railcars.groupby("facility_id", sort=True):
        title = Text(f"{facility_id}: railcars", style="table.title")
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        for name in ("date", "detected", "count", "95 % interval", "seen", "new record", "surge", "flags"):
            table.add_column(name, justify="right" if name in {"detected", "count", "seen"} else "left")
        for row in rows.to_dict("records"):
            record = "" if pd.isna(row["p_surge"]) else probability(float(row["p_surge"])).removeprefix("= ")
            table.add_row(
                *_plain(
                    f"{row['date']:%Y-%m-%d}",
                    str(row["n_detected"]),
                    "" if pd.isna(row["count"]) else f"{row['count']:.0f}",
                    _interval(row["lo95"], row["hi95"]),
                    f"{row['observed_fraction']:.0%}",
                    record,
                    row["surge"],
                    row["flags"],
                ),
                style="bold" if row["surge"] == "yes" else None,
            )
        yield table


def show_rejected(rejected: Sequence[Rejection], listing: Path) -> None:
    """The first rejected inputs with reason and cure, and where the rest is listed."""
    for entry in rejected[:REJECTED_SHOWN]:
        tell(f"rejected: {entry.path}: {entry.reason}. {entry.cure}", "yellow")
    if len(rejected) > REJECTED_SHOWN:
        tell(f"... and {len(rejected) - REJECTED_SHOWN} more in {listing}")


def show_aside(aside: Sequence[Path], note: Callable[[str], None] = tell) -> None:
    """How many rasters in the folders were no inputs by their names, and the first of them."""
    if aside:
        first = ", ".join(path.name for path in aside[:ASIDE_SHOWN]) + (", ..." if len(aside) > ASIDE_SHOWN else "")
        text = f"left aside: {len(aside)} previews and masks by their names ({first}); name one to have it looked at."
        note(printable(text))


def _plain(*cells: object) -> Iterator[Text]:
    """Cells as they are: names may hold brackets, which are markup in a `str`."""
    return (Text(str(cell or "")) for cell in cells)


def _interval(low: float, high: float) -> str:
    if pd.isna(low):
        return ""
    return f"at least {low:.0f}" if pd.isna(high) else f"{low:.0f}-{high:.0f}"


def _style(usable: bool) -> str | None:
    return None if usable else "yellow"
