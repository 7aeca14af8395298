"""One line on the terminal while a command works: what it does, how far it is, how long it takes.

Promises nothing at all where standard error is no terminal, nothing before two seconds have gone
by, and no trace when the work ends. The work only says where it is; a thread of its own draws.
"""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Any

from gadprof.results.escape import plain

DELAY_S = 2.0
REDRAW_S = 0.25


class Working:
    """``with Working("counting") as work: work.at("resnet50", 3, 8)``."""

    def __init__(self, what: str, total: int | None = None) -> None:
        self._what = self._text = plain(what, 100)
        self._done, self._total = 0, total
        self._started = time.monotonic()
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
        with drawn_line() as line:
            task = line.add_task("", total=None)
            while not self._ended.wait(REDRAW_S):
                line.update(task, description=self._words(time.monotonic()))

    def _words(self, now: float) -> str:
        """What is worked on, how much of it is done, and how long it took and will take."""
        elapsed = now - self._started
        parts = [self._text]
        if self._total:
            parts.append(f"{min(self._done, self._total):,} of {self._total:,}")
        parts.append(_clock(elapsed))
        if self._total and 0 < self._done < self._total:
            parts.append(f"about {_clock(elapsed * (self._total / self._done - 1))} left")
        return " · ".join(parts)


def _clock(seconds: float) -> str:
    """Seconds as a person says them: ``42 s``, ``3 min 5 s``, ``2 h 10 min``."""
    whole = int(seconds + 0.5)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def drawn_line() -> Any:
    """One line of rich's on standard error: a spinner and the words."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        console=Console(stderr=True),
        transient=True,
    )
