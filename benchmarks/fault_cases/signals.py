"""Signals at every moment: the right code, one line, nothing left behind."""

from __future__ import annotations

import signal
from collections.abc import Iterator

from benchmarks.fault_cases.case import Case
from benchmarks.fault_cases.model_files import _net

COMMANDS: dict[str, tuple[str, ...]] = {
    "count": ("count", "net.py:build", "--input=3x8x8"),
    "compare": ("compare", "gadnet32", "net.py:build", "--input=3x256x192"),
    "sweep": ("sweep", "gadnet", "--width=8:400", "--s=2:9", "--d=3,5,7", "--r=2:64", "-o", "f.json"),
    "audit": ("audit", "net.py:build", "--input=3x8x8"),
    "bench": ("bench", "net.py:build", "--input=3x8x8"),
    "report": ("report", "net.py:build", "--input=3x8x8", "-o", "out"),
    "search": ("search", "gadnet", "--width=8:4000", "--s=2:64", "--trials=900000"),
    "formula": ("formula", "--c-in=1:300", "--c-out=1:300"),
    "diff": ("diff", "gadnet32", "net.py:build", "--input=3x256x192"),
}  # fmt: skip
# what a signal ends a command with: Ctrl-C is told, the others are the system's own
CODES = {
    signal.SIGINT: (130, -signal.SIGINT, 0),  # the interpreter's own, before gadprof begins
    signal.SIGTERM: (-signal.SIGTERM, 143, 0),
    signal.SIGHUP: (-signal.SIGHUP, 129, 0),
    signal.SIGQUIT: (-signal.SIGQUIT, 131, 0),
    signal.SIGKILL: (-signal.SIGKILL, 0),
}
MOMENTS = (0.02, 1.0, 6.0)


def cases() -> Iterator[Case]:
    """Each command ended by each signal, early and late."""
    for name, words in COMMANDS.items():
        for number, codes in CODES.items():
            for moment in MOMENTS if number is not signal.SIGQUIT else MOMENTS[2:]:
                yield Case(f"{name}: {number.name} after {moment} s", words,
                           files=_net(build="exec('while True: pass')"), exits=codes, fresh=True,
                           signals=((moment, number), (60.0, signal.SIGKILL)), lines=3,
                           writes=("f.json*", "f.json*/*", "out", "out/*"))  # fmt: skip
    for step in range(8):
        yield Case(f"Ctrl-C {step * 0.02:g} s after the start", COMMANDS["count"], fresh=True,
                   files=_net(build="exec('while True: pass')"), exits=(130, -2),
                   signals=((0.01 + step * 0.02, signal.SIGINT),), lines=30)  # fmt: skip
    yield Case("Ctrl-C five times", COMMANDS["count"], files=_net(build="exec('while True: pass')"),
               exits=(130, -2), fresh=True, lines=3,
               signals=tuple((5 + 0.05 * n, signal.SIGINT) for n in range(5)))  # fmt: skip
    yield Case("stopped and continued", ("count", "gadnet32"), exits=(0,), fresh=True,
               signals=((0.05, signal.SIGSTOP), (1.5, signal.SIGCONT)))  # fmt: skip
    yield Case("a window that changes its size", ("count", "gadnet32"), exits=(0,), fresh=True,
               signals=tuple((0.2 + 0.01 * n, signal.SIGWINCH) for n in range(50)))  # fmt: skip
