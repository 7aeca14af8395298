"""What a gate says: one verdict a rule, and the result of a run.

Plain records; the gate makes them, renderers show them as text, annotations and JUnit XML.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Status = Literal["pass", "fail", "warn", "error"]


@dataclass(frozen=True)
class Verdict:
    """What one rule said of one model; ``actual`` and ``limit`` are in base units."""

    budget: str
    model: str
    rule: str
    status: Status
    message: str
    limit: float | int | None = None
    actual: float | int | None = None


@dataclass(frozen=True)
class CheckResult:
    """Every verdict of a run, in the order of the configuration."""

    verdicts: tuple[Verdict, ...]
    config: str | None = None
    baseline: str | None = None

    def count(self, status: Status) -> int:
        """How many verdicts have a status."""
        return sum(verdict.status == status for verdict in self.verdicts)

    @property
    def exit_code(self) -> int:
        """1 where a rule failed or could not be judged, else 0."""
        return 1 if self.count("fail") or self.count("error") else 0

    @property
    def summary(self) -> str:
        """One line: how many rules hold, are broken, are undecided, could not be judged."""
        words = (("pass", "hold"), ("fail", "broken"), ("warn", "undecided"), ("error", "unjudged"))
        parts = [f"{self.count(status)} {word}" for status, word in words if self.count(status)]  # type: ignore[arg-type]
        return f"{len(self.verdicts)} rules: " + ", ".join(parts or ["nothing to judge"])


def ordered(verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """Broken rules first, then undecided ones, then those that hold."""
    rank = {"fail": 0, "error": 1, "warn": 2, "pass": 3}
    return tuple(sorted(verdicts, key=lambda verdict: rank[verdict.status]))
