"""Finds every process that a run started, whatever has become of its parents."""

from __future__ import annotations

import os

import psutil

MARK = "GADPROF_TEST_RUN"


def marked_processes(value: str) -> list[int]:
    """The processes whose environment, which their descendants inherit, holds the mark; this
    process and those that have ended apart."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == value:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found
