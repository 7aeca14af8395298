"""What a gate says: one verdict a rule, and the result of a run.

Plain records; the gate makes them, renderers show them as text, annotations and JUnit XML.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from gadprof.results.sentences import counted

NAMED = "model"  # the rule that a model string names a model
Status = Literal["pass", "fail", "warn", "error", "waived"]


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
class ChangedModule:
    """A module whose own figures differ from the base's, after minus before."""

    kind: str
    path: str
    type: str
    params: int
    macs: int
    activations: int


@dataclass(frozen=True)
class BaseChange:
    """One model here against the base: totals, the modules that changed most, a latency ratio.

    ``latency`` is (ratio to the base, low, high), measured interleaved in one run; ``problem``
    says why there is no comparison; ``…_at_least`` that something was not counted on that side.
    """

    model: str
    before: Mapping[str, int] = field(default_factory=dict)
    after: Mapping[str, int] = field(default_factory=dict)
    modules: tuple[ChangedModule, ...] = ()
    more: int = 0
    latency: tuple[float, float, float] | None = None
    problem: str | None = None
    before_at_least: bool = False
    after_at_least: bool = False


@dataclass(frozen=True)
class CommentData:
    """What a pull request's comment says: plain data, also where strangers made it."""

    verdicts: tuple[Verdict, ...]
    base: str | None = None
    changes: tuple[BaseChange, ...] = ()


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
        """2 where a model string names nothing, 1 where a rule failed or could not be judged."""
        if any(v.status == "error" and v.rule == NAMED for v in self.verdicts):
            return 2
        return 1 if self.count("fail") or self.count("error") else 0

    @property
    def summary(self) -> str:
        """One line: how many rules hold, are broken, are undecided, could not be judged."""
        words = (("pass", "hold"), ("fail", "broken"), ("warn", "undecided"), ("error", "unjudged"),
                 ("waived", "waived"))  # fmt: skip
        parts = [f"{self.count(status)} {word}" for status, word in words if self.count(status)]  # type: ignore[arg-type]
        return f"{counted(len(self.verdicts), 'rule')}: " + ", ".join(parts or ["nothing to judge"])


def ordered(verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """Broken rules first, then undecided ones, then those that hold."""
    rank = {"fail": 0, "error": 1, "waived": 2, "warn": 3, "pass": 4}
    return tuple(sorted(verdicts, key=lambda verdict: rank[verdict.status]))
