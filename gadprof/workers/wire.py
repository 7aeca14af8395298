"""How parent and worker talk: JSON messages with a length before each, over two pipes.

Promises: a message is whole or an error; what a model prints never mixes with it, since standard
output is not used. Refuses a message longer than ``MAX_BYTES`` and anything that is not JSON.
"""

from __future__ import annotations

import json
import os
import struct
from typing import Any

HEADER = struct.Struct(">I")
MAX_BYTES = 1 << 29


class WireClosedError(Exception):
    """The other end has gone."""


def write_message(descriptor: int, message: dict[str, Any]) -> None:
    """Send one message whole. Raises WireClosedError."""
    data = json.dumps(message).encode()
    view = memoryview(HEADER.pack(len(data)) + data)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except (BrokenPipeError, OSError) as error:
        raise WireClosedError(str(error)) from error


def read_message(descriptor: int) -> dict[str, Any]:
    """Receive one message, waiting for it. Raises WireClosedError."""
    (length,) = HEADER.unpack(_read_exactly(descriptor, HEADER.size))
    if length > MAX_BYTES:
        raise WireClosedError(f"a message of {length} bytes is not one of ours")
    message = json.loads(_read_exactly(descriptor, length))
    if not isinstance(message, dict):
        raise WireClosedError("a message that is not an object")
    return message


def _read_exactly(descriptor: int, count: int) -> bytes:
    parts: list[bytes] = []
    while count:
        try:
            part = os.read(descriptor, min(count, 1 << 20))
        except OSError as error:
            raise WireClosedError(str(error)) from error
        if not part:
            raise WireClosedError("end of file")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
