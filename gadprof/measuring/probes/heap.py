"""What a worker's C library does with the memory that a model frees between its operations.

By glibc's default a large block is mapped afresh, or the end of the heap handed back and taken
again, run after run, depending on what the process happened to free before: the same MobileNetV2
then takes 0 or 6,700 page faults a run, which doubles its time. ``keep_heap`` promises that freed
memory is kept, for every model and runtime alike, as the allocators of servers do. It changes
nothing where the C library is another (``heap_policy`` says which).
"""

from __future__ import annotations

import contextlib
import platform
import sys

# <malloc.h> of glibc
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4
NEVER = -1

KEPT = "kept by the process (glibc: no trimming, no mapping)"
SYSTEM = "as the system's allocator does"


def heap_policy() -> str:
    """What becomes of memory that a worker's model frees, in words for a record."""
    glibc = sys.platform.startswith("linux") and platform.libc_ver()[0] == "glibc"
    return KEPT if glibc else SYSTEM


def keep_heap() -> bool:
    """Keep what is freed from now on in this process; False where the C library is not glibc."""
    if heap_policy() != KEPT:
        return False
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        return bool(library.mallopt(M_MMAP_MAX, 0) and library.mallopt(M_TRIM_THRESHOLD, NEVER))
    return False
