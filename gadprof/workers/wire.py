"""How parent and child talk: JSON with a length before each message, over a pipe of their own.

Promises: a message is whole or an error; only plain values arrive (nothing that a message holds is
ever run); what a model prints never mixes with it, since standard output is not used. Refuses a
message longer than ``MAX_BYTES`` and anything that is not a JSON object.
"""

from __future__ import annotations

import dataclasses
import json
import os
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any

HEADER = struct.Struct(">I")
MAX_BYTES = 1 << 29
CHUNK_BYTES = 1 << 20


class WireClosedError(Exception):
    """The other end has gone, or sent what is no message."""


def pack(message: dict[str, Any]) -> bytes:
    """A message as bytes, length first; records become mappings of their fields.

    Raises ValueError for one that is too long.
    """
    data = _ENCODER.encode(message).encode()
    if len(data) > MAX_BYTES:
        raise ValueError(f"an answer of {len(data)} bytes is over the limit of {MAX_BYTES}")
    return HEADER.pack(len(data)) + data


def unpack(data: bytes) -> dict[str, Any]:
    """The message in ``data``, without its length. Raises WireClosedError."""
    try:
        message = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise WireClosedError(f"a message that is no JSON ({error})") from error
    if not isinstance(message, dict):
        raise WireClosedError("a message that is not an object")
    return message


def write_message(descriptor: int, message: dict[str, Any]) -> None:
    """Send one message whole, waiting for the reader. Raises WireClosedError, ValueError."""
    view = memoryview(pack(message))
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError as error:
        raise WireClosedError(str(error)) from error


def read_message(descriptor: int) -> dict[str, Any]:
    """Receive one message, waiting for it. Raises WireClosedError."""
    return receive(lambda count: _read(descriptor, count))


def receive(read: Callable[[int], bytes]) -> dict[str, Any]:
    """One message from ``read(at most so many bytes)``, which raises where there are none left.

    Raises WireClosedError.
    """
    (length,) = HEADER.unpack(_exactly(read, HEADER.size))
    if length > MAX_BYTES:
        raise WireClosedError(f"a message of {length} bytes is not one of ours")
    return unpack(_exactly(read, length))


def _exactly(read: Callable[[int], bytes], count: int) -> bytes:
    parts: list[bytes] = []
    while count:
        part = read(min(count, CHUNK_BYTES))
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _read(descriptor: int, count: int) -> bytes:
    try:
        part = os.read(descriptor, count)
    except OSError as error:
        raise WireClosedError(str(error)) from error
    if not part:
        raise WireClosedError("end of file")
    return part


def _plain(value: Any) -> Any:
    """What JSON has no form for: a record as its fields, a number of another library, words."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: getattr(value, name) for name in _field_names(type(value))}
    if hasattr(value, "items"):
        return dict(value.items())
    return value.item() if hasattr(value, "item") else str(value)


@lru_cache(maxsize=256)
def _field_names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


# bound here, since the model of a child may put its own in the place of json.dumps
_ENCODER = json.JSONEncoder(default=_plain)
