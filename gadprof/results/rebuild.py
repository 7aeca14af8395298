"""Frozen records from the plain values that ``gadprof.results.plain.to_plain`` made of them.

What a machine of a cluster found travels as JSON and is a record again where it is shown. Promises
the record that ``to_plain`` was given, for records of dataclasses, tuples, mappings and plain
values. Refuses a value that lacks a field without default.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")


def from_plain(kind: type[T], value: Any) -> T:
    """A record of ``kind`` from its plain values. Raises TypeError for a field that is missing."""
    made: T = _rebuilt(kind, value)
    return made


def _rebuilt(kind: Any, value: Any) -> Any:
    if value is None:
        return None
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _rebuilt(next(one for one in arguments if one is not type(None)), value)
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_rebuilt(arguments[0], item) for item in value)
        return tuple(_rebuilt(one, item) for one, item in zip(arguments, value, strict=True))
    if dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
        hints = typing.get_type_hints(kind)
        fields = [field.name for field in dataclasses.fields(kind) if field.name in value]
        return typing.cast(Any, kind)(
            **{name: _rebuilt(hints[name], value[name]) for name in fields}
        )
    return value
