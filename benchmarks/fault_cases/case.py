"""What a case is, and what came of it; plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Content = str | bytes
Make = Callable[[Path], object]  # adds to a case's folder


@dataclass(frozen=True)
class Case:
    """One command line (``argv``) or call (``call``) in a folder of its own, and how it may end.

    ``exits`` are the exit codes that are right; ``says`` a pattern of what it has to say (standard
    error, where it fails), ``prints`` one of its standard output. ``files`` lie in its folder,
    ``make`` adds what a file's content cannot say, ``writes`` are patterns of what it may change
    there. ``env`` is added to the environment (None: taken away). ``fresh`` runs it in an
    interpreter of its own. ``stdout`` and ``stderr`` are ``file``, ``closed``, ``terminal``,
    ``pipe`` (whose reader has gone) or a path; ``stdin`` is ``nothing`` or ``closed``. ``signals`` are sent after so many seconds.
    ``limits`` are resource limits by name. ``user`` lets the modes of files hold, also for root. ``check``
    says what else is wrong, if anything. ``lines`` is how many lines of standard error it may need.
    """

    name: str
    argv: tuple[str, ...] = ()
    exits: tuple[int, ...] = (2,)
    says: str = ""
    prints: str = ""
    files: Mapping[str, Content] = field(default_factory=dict)
    make: Make | None = None
    writes: tuple[str, ...] = ()
    env: Mapping[str, str | None] = field(default_factory=dict)
    call: Callable[[Path], object] | None = None
    fresh: bool = False
    stdin: str = "nothing"
    stdout: str = "file"
    stderr: str = "file"
    signals: tuple[tuple[float, int], ...] = ()
    limits: Mapping[str, int] = field(default_factory=dict)
    user: bool = False
    check: Callable[[Outcome], str] | None = None
    limit_s: float = 120.0
    lines: int = 1
    width: int = 80


@dataclass(frozen=True)
class Outcome:
    """How a case ended. ``left`` are processes that outlived it, ``touched`` files that it changed
    without being asked, ``exit`` is negative where a signal ended it and None where it hung."""

    case: Case
    folder: Path
    exit: int | None
    out: bytes
    err: bytes
    seconds: float
    peak_bytes: int
    left: tuple[str, ...]
    touched: tuple[str, ...]
