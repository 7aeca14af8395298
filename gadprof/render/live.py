"""A live view of a measuring run on the terminal; nothing at all where there is none.

Promises: it draws on standard error, only between turns and at most four times a second, and
leaves no trace behind when the run ends.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from gadprof.results.cells import seconds_text
from gadprof.results.escape import plain

if TYPE_CHECKING:
    from rich.table import Table

    from gadprof.measuring.progress import Progress, RunProgress

REDRAW_S = 0.25


@contextlib.contextmanager
def live_view() -> Iterator[Progress | None]:
    """A progress receiver that draws, or None where standard error is not a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield Drawing(live)


class Drawing:
    """Draws the state of a run into a rich Live."""

    def __init__(self, live: Any) -> None:
        self._live = live
        self._next = 0.0
        self._phase = ""

    def update(self, state: RunProgress) -> None:
        """Redraw, unless it was done a moment ago in the same phase."""
        now = time.monotonic()
        if now < self._next and state.phase == self._phase:
            return
        self._next, self._phase = now + REDRAW_S, state.phase
        self._live.update(draw(state), refresh=True)


def draw(state: RunProgress) -> Table:
    """The state as a table: samples, median, the ratio's interval, and the time left."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    part = f"{state.group}/{state.groups} · " if state.groups > 1 else ""
    blocks = f"{state.blocks} block" + ("s" if state.blocks != 1 else "")
    title = f"{part}{state.phase} · {blocks} · {state.left_s:.0f} s left at most"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False)
    for name in ("model", "samples", "median", "ratio", "95 % interval", "±"):
        table.add_column(name, justify="left" if name == "model" else "right")
    for row in state.rows:
        if row.error:
            table.add_row(Text(plain(row.label)), Text(plain(row.error, 60), style="red"))
            continue
        cells = ["", "", ""]
        if row.ratio is not None and row.ci95 is not None:
            width = (row.ci95[1] - row.ci95[0]) / 2 / row.ratio
            cells = [
                f"{row.ratio:.3f}",
                f"{row.ci95[0]:.3f} to {row.ci95[1]:.3f}",
                f"{100 * width:.1f} % of {100 * state.precision:g} %",
            ]
        table.add_row(Text(plain(row.label)), str(row.samples), seconds_text(row.median_s), *cells)
    return table
