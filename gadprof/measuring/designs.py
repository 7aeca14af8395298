"""Many designs timed against a reference in one runtime, as a search or advice needs it.

Promises interleaved ratios with intervals, as ``measure`` gives them, and that the file which a
runtime makes of a design is made once and stays for later runs. A design that fails has its one
line. Refuses a runtime that is not installed, before anything is built.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gadprof.measuring.result import BenchResult
from gadprof.measuring.settings import Setting, check_setting


@dataclass(frozen=True)
class Run:
    """One run of models under a setting: how narrow an interval to reach, for how long at most.

    ``timeout_s`` bounds each answer, also that of a conversion, which may take minutes.
    ``launches`` is how often each is started afresh (None: as often as the time allows).
    """

    models: tuple[str, ...]
    setting: Setting
    precision: float
    time_limit_s: float
    timeout_s: float
    launches: int | None = None
    seed: int = 0

    @property
    def options(self) -> dict[str, Any]:
        """As ``measure`` calls them."""
        return {
            "precision": self.precision,
            "time_limit_s": self.time_limit_s,
            "timeout_s": self.timeout_s,
            "launches": self.launches,
            "seed": self.seed,
            "null": False,
            "memory": False,
            "energy": False,
        }


def check_runnable(setting: Setting) -> None:
    """Refuse a setting that cannot be measured here. Raises GadprofError."""
    from gadprof.measuring.runtimes.converted import check_installed

    check_setting(setting)
    if setting.is_file:
        check_installed(setting.runtime)


def measure_designs(
    run: Run,
    folder: Path,
    on_turn: Callable[[int, str, Setting, Sequence[float]], None] | None = None,
) -> BenchResult:
    """Time models against the first; the files that a runtime makes of them stay in ``folder``.

    Raises GadprofError.
    """
    from gadprof.measuring.bench import measure

    return measure(list(run.models), run.setting, on_turn=on_turn, keep=str(folder), **run.options)
