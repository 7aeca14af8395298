"""What a run tells while it goes on; the silent default, and the record that a live view draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class RowProgress:
    """One row so far: how many samples, their median, the ratio's interval as it stands."""

    label: str
    samples: int
    median_s: float | None
    ratio: float | None
    ci95: tuple[float, float] | None
    error: str | None = None


@dataclass(frozen=True)
class RunProgress:
    """A group so far: ``left_s`` until its share of the time limit ends."""

    phase: str
    group: int
    groups: int
    blocks: int
    elapsed_s: float
    left_s: float
    precision: float
    rows: tuple[RowProgress, ...]


class Progress(Protocol):
    """Receives the state of the run between turns, never while a sample is taken."""

    def update(self, state: RunProgress) -> None: ...


class Silent:
    """Tells nothing."""

    def update(self, state: RunProgress) -> None:
        """Do nothing."""
