"""Files that a user names, read whole: bounded in size, and refused in one line.

Promises that what has no end (``/dev/zero``) or is not JSON of a sane depth becomes the caller's
own error with the file's name and what is wrong with it, never a traceback or a full memory.
"""

from __future__ import annotations

import json
import os
from typing import Any

from gadprof.errors import GadprofError

MOST_BYTES = 64 << 20


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
    try:
        with open(path, "rb") as stream:
            data = stream.read(most_bytes + 1)
    except (OSError, ValueError) as error:  # a null byte in a path is a ValueError
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise raised(f"cannot read {shown}: {reason}{tail}") from error
    if len(data) > most_bytes:
        raise raised(f"{shown} is larger than {most_bytes >> 20:,} MiB; name another")
    return data


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
    except (ValueError, RecursionError) as error:  # an integer of 5,000 digits is a ValueError
        tail = way_out and f"; {way_out}"
        raise raised(f"{shown} is not JSON: {str(error)[:120]}{tail}") from error
