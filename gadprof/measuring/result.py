"""What a benchmark run says: frozen rows with every sample, intervals, verdicts and warnings.

Times in seconds, memory in bytes. Nothing here measures; ``to_plain`` makes the JSON.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gadprof.measuring.settings import Setting
from gadprof.measuring.warmup import WarmUp
from gadprof.results.plain import Machine
from gadprof.results.tabular import Tabular

if TYPE_CHECKING:
    from gadprof.results.page import Page


@dataclass(frozen=True)
class Latency:
    """Statistics of one row's samples; ``ci95`` is the interval of the median (None: too few).

    ``samples`` holds every sample in the order taken; ``turns`` how many belong to each turn.
    ``spread`` is relative and robust (scaled median absolute deviation over the median).
    """

    median: float
    mean: float
    p90: float
    p95: float
    p99: float
    spread: float
    ci95: tuple[float, float] | None
    count: int
    samples: tuple[float, ...]
    turns: tuple[int, ...]


@dataclass(frozen=True)
class Ratio:
    """Time of this row over the time of the reference row, from pairs within blocks.

    ``launches``: in how many processes of its own each of the two was measured.
    """

    value: float
    ci95: tuple[float, float]
    to: str
    blocks: int
    batch_blocks: int
    launches: int = 1

    @property
    def half_width(self) -> float:
        """Half of the interval's width, relative to the ratio."""
        return (self.ci95[1] - self.ci95[0]) / 2 / self.value


@dataclass(frozen=True)
class Warning:
    """Something about the run that a reader must know; the text says what to do next."""

    kind: str
    text: str


@dataclass(frozen=True)
class BenchRow:
    """One model under one setting.

    ``error`` is one line when the row failed, ``error_kind`` one of usage, model, crash, timeout,
    memory, nan; ``stderr_tail`` the last lines that its process printed. ``deployed`` holds the
    fields of ``runtimes.converted.Deployed`` of a row that runs a runtime's file.
    """

    model: str
    setting: Setting
    input_shapes: tuple[tuple[int, ...], ...] = ()
    runtime_version: str = ""
    latency_s: Latency | None = None
    throughput_per_s: float | None = None
    ratio: Ratio | None = None
    ratio_absent: str = ""
    verdict: str = ""
    outcome: str = ""
    peak_bytes: int | None = None
    predicted_peak_bytes: int | None = None
    memory: dict[str, Any] | None = None
    energy: dict[str, Any] | None = None
    sensors: dict[str, Any] | None = None
    warm_up: WarmUp | None = None
    runtime_difference: float | None = None
    deployed: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()
    error: str | None = None
    error_kind: str | None = None
    stderr_tail: tuple[str, ...] = ()


@dataclass(frozen=True)
class BenchGroup:
    """Rows that were interleaved with each other, the null of that run, and its conditions.

    ``null`` is the ratio of the first model to a second copy of itself in a process of its own.
    """

    rows: tuple[int, ...]
    blocks: int
    seconds: float
    stopped_by: str
    null: Ratio | None
    conditions: dict[str, Any]
    warnings: tuple[Warning, ...] = ()
    launches: int = 1


@dataclass(frozen=True)
class BenchResult(Tabular):
    """A whole run."""

    rows: tuple[BenchRow, ...]
    groups: tuple[BenchGroup, ...]
    precision: float
    time_limit_s: float
    interrupted: bool
    machine: Machine
    options: dict[str, Any] = field(default_factory=dict)

    def page(self) -> Page:
        """The table, its notes and the JSON document."""
        from gadprof.measuring.bench_page import bench_page

        return bench_page(self)

    @property
    def exit_code(self) -> int:
        """0 when every row was measured, 2 when a row was bad use, else 1; 130 interrupted."""
        if self.interrupted:
            return 130
        kinds = {row.error_kind for row in self.rows if row.error}
        return 0 if not kinds else 2 if "usage" in kinds else 1
