"""A temporary folder that goes with the command, whatever ends it.

A signal that a program cannot answer leaves it no time to tidy up; a small process does it then,
which waits for nothing but its parent's end.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator

# what still writes there is being ended at the same time
_WATCH = """
import os, shutil, sys, time
sys.stdin.buffer.read()
for _ in range(20):
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    if not os.path.exists(sys.argv[1]):
        break
    time.sleep(0.05)
"""


@contextlib.contextmanager
def private_folder(prefix: str = "gadprof-") -> Iterator[str]:
    """A new folder that only this user may enter, as an absolute path; removed at the end.

    Raises OSError where none can be made.
    """
    with contextlib.ExitStack() as stack:
        folder = tempfile.mkdtemp(prefix=prefix)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # no process to be had: a killed command leaves it
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", _WATCH, folder],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C reaches the parent alone
                )
            )
        yield folder
