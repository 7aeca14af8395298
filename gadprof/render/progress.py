"""One line on the terminal while a command works: what it does, how far it is, how long it takes.

Promises nothing at all where standard error is no terminal, nothing before two seconds have gone
by, and no trace when the work ends. The work only says where it is; a thread of its own draws.
"""

from __future__ import annotations

import sys
import threading
from types import TracebackType
from typing import Any

from gadprof.results.escape import plain

DELAY_S = 2.0
REDRAW_S = 0.25


class Working:
    """``with Working("counting") as work: work.at("resnet50", 3, 8)``."""

    def __init__(self, what: str, total: int | None = None) -> None:
        self._text, self._done, self._total = what, 0, total
        self._what = what
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def at(self, text: str = "", done: int | None = None, total: int | None = None) -> None:
        """Say what is worked on now, and how much of it is done."""
        self._text = f"{self._what} {plain(text, 60)}".strip()
        self._done = self._done if done is None else done
        self._total = self._total if total is None else total

    def count(self, done: int, total: int) -> None:
        """Say how much is done; the shape that most callbacks have."""
        self.at("", done, total)

    def __enter__(self) -> Working:
        if sys.stderr is not None and sys.stderr.isatty():
            self._thread = threading.Thread(target=self._draw, daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout=1.0)

    def _draw(self) -> None:
        if self._ended.wait(DELAY_S):
            return
        with drawn_bar() as bar:
            task = bar.add_task(self._text, total=self._total, completed=self._done)
            while not self._ended.wait(REDRAW_S):
                bar.update(task, description=self._text, total=self._total, completed=self._done)


def drawn_bar() -> Any:
    """rich's progress bar on standard error: a spinner, the words, a bar and the time left."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
