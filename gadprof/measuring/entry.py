"""One row while it is being measured, and the bounds under which a run is.

Holds state and measures nothing; seconds and bytes throughout.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gadprof.measuring.settings import Setting
from gadprof.measuring.warmup import WarmUp
from gadprof.workers.process import Runner, WorkerFailedError

MIN_BLOCKS = 12
NULL = "null"

Spawn = Callable[[str, Setting], Runner]
# the row's number, its model, its setting, the samples (s) of one turn
OnTurn = Callable[[int, str, Setting, Sequence[float]], None]


@dataclass(frozen=True)
class RunLimits:
    """When to stop and what to bound; seconds and bytes."""

    precision: float = 0.02
    time_limit_s: float = 60.0
    timeout_s: float = 300.0
    warm_up_s: float = 10.0
    memory_limit_bytes: int | None = None
    min_blocks: int = MIN_BLOCKS
    # how often each model may be launched afresh: 1 is once, None as often as time allows
    launches: int | None = 1
    # how many times the limit may pass until there are enough blocks for an interval
    grace: float = 1.0


@dataclass
class Entry:
    """One row while it is being measured (or the null, which has no row)."""

    key: str
    model: str
    setting: Setting
    factory: dict[str, Any] | None = None
    runner: Runner | None = None
    loaded: dict[str, Any] = field(default_factory=dict)
    warm: WarmUp | None = None
    notes: list[str] = field(default_factory=list)
    turns: dict[int, list[float]] = field(default_factory=dict)
    failure: WorkerFailedError | None = None
    memory: dict[str, Any] | None = None
    energy: dict[str, Any] | None = None
    # the file that its runtime loads: its folder and the shapes of its inputs
    converted: dict[str, Any] | None = None
    sensors_before: dict[str, Any] | None = None
    sensors_after: dict[str, Any] | None = None

    @property
    def alive(self) -> bool:
        """Whether it still takes turns."""
        return self.failure is None and self.runner is not None

    def note(self, notes: Sequence[str]) -> None:
        """Keep notes that are not kept yet: every launch of a model says the same."""
        self.notes.extend(note for note in notes if note not in self.notes)
