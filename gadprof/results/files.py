"""Files that a user names, read whole: bounded in size, and refused in one line.

Promises that what has no end (``/dev/zero``), a pipe to which nobody writes, or what is not JSON of
a sane depth becomes the caller's own error with the file's name and what is wrong with it, never a
traceback, a full memory or a wait without an end.
"""

from __future__ import annotations

import json
import os
import select
import stat
import time
from typing import IO, Any

from gadprof.errors import GadprofError, os_reason

MOST_BYTES = 64 << 20
PIPE_S = 5.0  # how long nobody may have opened a pipe to write to it
WRITER_S = 300.0  # how long a writer may think


def read_file(
    path: str | os.PathLike[str],
    what: str,
    raised: type[GadprofError],
    *,
    way_out: str = "",
    most_bytes: int = MOST_BYTES,
) -> bytes:
    """A file's bytes; ``what`` it should be and the ``way_out`` are part of the refusal."""
    shown, tail = f"{what} {os.fspath(path)!r}", way_out and f"; {way_out}"
    size = 0
    try:
        # not waiting for whoever would write to a pipe
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as stream:
            found = os.fstat(descriptor)
            if stat.S_ISREG(found.st_mode) and found.st_size:
                size = found.st_size
                # no more than it holds: room for what is read is taken before it is read
                data = stream.read(size + 1) if size <= most_bytes else b""
            else:
                most_bytes = min(most_bytes, MOST_BYTES)
                data = _slowly(descriptor, most_bytes + 1)
    except (OSError, ValueError) as error:  # a null byte in a path is a ValueError
        raise raised(f"cannot read {shown}: {os_reason(error)}{tail}") from error
    except MemoryError as error:
        raise raised(
            f"{shown} of {size >> 20:,} MiB does not fit the memory; name another"
        ) from error
    if max(size, len(data)) > most_bytes:
        raise raised(f"{shown} is larger than {most_bytes >> 20:,} MiB; name another")
    return data


def _slowly(descriptor: int, most: int) -> bytes:
    """Up to ``most`` bytes of a pipe or a device, which may have none yet."""
    parts: list[bytes] = []
    left, deadline = most, time.monotonic() + PIPE_S
    while left > 0:
        try:
            part = os.read(descriptor, min(left, 1 << 20))
        except BlockingIOError:
            if not select.select([descriptor], [], [], WRITER_S)[0]:
                raise TimeoutError(0, f"nobody wrote to it for {WRITER_S:g} s") from None
            continue
        if not part:  # its end, or a pipe that nobody has opened to write to yet
            if parts or time.monotonic() > deadline or not _is_pipe(descriptor):
                break
            time.sleep(0.02)
            continue
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _is_pipe(descriptor: int) -> bool:
    return stat.S_ISFIFO(os.fstat(descriptor).st_mode)


def check_regular(path: str | os.PathLike[str], what: str, raised: type[GadprofError]) -> None:
    """Refuse what a library would read for ever, a pipe or a device, and what is not there."""
    shown = f"{what} {os.fspath(path)!r}"
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        raise raised(f"cannot read {shown}: {os_reason(error)}") from error
    if not stat.S_ISREG(mode):
        raise raised(f"{shown} is no file; name one")


def load_tensors(source: str | os.PathLike[str] | IO[bytes], device: str = "cpu") -> Any:
    """What torch saved: tensors and plain data alone, for nothing that a pickle names is run.

    What torch warns of (a protocol, a sparse tensor) is of no use to who reads a refusal. Raises
    what torch raises.
    """
    import warnings

    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.load(source, map_location=device, weights_only=True)


def read_json(
    path: str | os.PathLike[str],
    what: str,
    raised: type[GadprofError],
    *,
    way_out: str = "",
    most_bytes: int = MOST_BYTES,
) -> Any:
    """What a JSON file holds."""
    data = read_file(path, what, raised, way_out=way_out, most_bytes=most_bytes)
    return parse_json(data, f"{what} {os.fspath(path)!r}", raised, way_out=way_out)


def parse_json(
    data: bytes | str, shown: str, raised: type[GadprofError], *, way_out: str = ""
) -> Any:
    """What a JSON text holds; ``shown`` is how the refusal calls it."""
    try:
        return json.loads(data)
    except RecursionError as error:
        raise raised(f"{shown} is not JSON of ours: it is nested too deeply") from error
    except ValueError as error:  # an integer of 5,000 digits is a ValueError
        tail = way_out and f"; {way_out}"
        raise raised(f"{shown} is not JSON: {str(error)[:120]}{tail}") from error
