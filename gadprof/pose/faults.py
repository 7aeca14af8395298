"""What may end a run from outside the network, each told in one line: data, disks, processes."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gadprof.errors import DataError, ModelFailedError, OutputError, os_reason


@contextlib.contextmanager
def faults_of_workers_told() -> Iterator[None]:
    """Raise what a loader's worker found wrong with the data in its own line.

    torch hands it over inside the text of the worker's traceback.
    """
    try:
        yield
    except DataError as error:
        told = str(error).rstrip().rpartition(f"{DataError.__module__}.{DataError.__name__}: ")[2]
        raise DataError(told) from error


@contextlib.contextmanager
def full_disk_told(last: Path) -> Iterator[None]:
    """Say in one line that a log could not be written; checkpoints have a line of their own.

    Raises OutputError.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise
        kept = f"'{last}' is whole" if last.exists() else "no checkpoint was made yet"
        raise OutputError(
            f"cannot write into '{last.parent}': {os_reason(error)}; {kept}; free space and go on "
            "with --resume"
        ) from error


@contextlib.contextmanager
def lost_processes_told(trainer: Any) -> Iterator[None]:
    """Say in one line that a process of several failed, or lost another that had its own line.

    Raises ModelFailedError.
    """
    try:
        yield
    except RuntimeError as error:
        if trainer.world_size < 2:
            raise
        reason = str(error).splitlines()[0].split(". ")[0]
        raise ModelFailedError(
            f"process {trainer.global_rank} of {trainer.world_size} stopped: {reason}; where "
            "another process told a reason, that one came first"
        ) from error
