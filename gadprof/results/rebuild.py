"""Frozen records from the plain values that came from elsewhere, checked field by field.

What a child process or a machine of a cluster found travels as JSON and is a record again where it
is shown. Promises the record that was sent, for records of dataclasses, tuples, mappings and plain
values: every value has the type that its field declares, and lists in a field of any type are
tuples again. Refuses, by the path of the field, a value of another type, a field that is missing
and one that is unknown.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

MOST = 1 << 127  # of an integer: beyond any count, and every ratio of two is still a float

T = TypeVar("T")
Reader = Callable[[Any], Any]


class SchemaError(TypeError):
    """A value that is not what its field declares."""


def from_plain(kind: type[T], value: Any) -> T:
    """A record of ``kind`` from its plain values. Raises SchemaError."""
    made: T = _reader(typing.cast(Any, kind))(value)
    return made


@lru_cache(maxsize=512)
def _reader(kind: Any) -> Reader:
    """The function that reads a value of a declared type."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any or isinstance(kind, TypeVar):
        return _any
    if kind is None or kind is type(None):
        return _instance(type(None))
    if origin in (typing.Union, types.UnionType):
        return _union(tuple(_reader(one) for one in arguments), kind)
    if origin is typing.Literal:
        return _literal(arguments)
    if origin is tuple and (len(arguments) != 2 or arguments[1] is not Ellipsis):
        return _fixed(tuple(_reader(one) for one in arguments))
    if origin in (tuple, list, Sequence):
        return _sequence(_reader(arguments[0]), list if origin is list else tuple)
    if origin in (dict, Mapping):
        return _mapping(*(_reader(one) for one in arguments))
    if dataclasses.is_dataclass(kind):
        return _record(kind)
    if kind is float:
        return _number
    if kind in (bool, str):
        return _instance(kind)
    if kind is int:
        return _integer
    if kind in (dict, list, tuple, Mapping):
        return _any
    raise TypeError(f"no reader for {kind}")


def _refuse(value: Any, wanted: Any) -> typing.NoReturn:
    text = repr(value)
    raise SchemaError(f"{text if len(text) <= 60 else text[:57] + '...'} is not {wanted}")


def _any(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(_any(item) for item in value)
    if isinstance(value, dict):
        return {name: _any(item) for name, item in value.items()}
    return value


def _instance(kind: type) -> Reader:
    def read(value: Any) -> Any:
        return value if isinstance(value, kind) else _refuse(value, kind.__name__)

    return read


def _integer(value: Any) -> Any:
    if type(value) is int:
        return value if abs(value) <= MOST else _refuse_size(value)
    return _refuse(value, "int")


def _number(value: Any) -> Any:
    if type(value) is float:
        return value
    return _integer(value) if type(value) is int else _refuse(value, "float")


def _refuse_size(value: int) -> typing.NoReturn:
    raise SchemaError(f"an integer of {value.bit_length()} bits is no figure of anything")


def _literal(values: tuple[Any, ...]) -> Reader:
    return lambda value: value if value in values else _refuse(value, f"one of {values}")


def _union(readers: tuple[Reader, ...], kind: Any) -> Reader:
    def read(value: Any) -> Any:
        reasons = []
        for reader in readers:
            try:
                return reader(value)
            except SchemaError as error:
                reasons.append(str(error))
        # of a record that nearly fits, the field that does not says more than its whole
        raise SchemaError(max(reasons, key=lambda text: text.startswith("field ")))

    return read


def _sequence(reader: Reader, made: Callable[[Any], Any]) -> Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            _refuse(value, "a list")
        return made([reader(item) for item in value])

    return read


def _fixed(readers: tuple[Reader, ...]) -> Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, (list, tuple)) or len(value) != len(readers):
            _refuse(value, f"a list of {len(readers)}")
        return tuple([reader(item) for reader, item in zip(readers, value, strict=True)])

    return read


def _mapping(key: Reader, reader: Reader) -> Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, Mapping):
            _refuse(value, "a mapping")
        return {key(name): reader(item) for name, item in value.items()}

    return read


def _record(kind: Any) -> Reader:
    hints = typing.get_type_hints(kind)
    readers = {
        field.name: _reader(hints[field.name]) for field in dataclasses.fields(kind) if field.init
    }
    needed = {
        field.name
        for field in dataclasses.fields(kind)
        if field.default is field.default_factory is dataclasses.MISSING
    }

    def read(value: Any) -> Any:
        if isinstance(value, kind):
            return value
        if not isinstance(value, Mapping):
            _refuse(value, f"a {kind.__name__}")
        names = value.keys()
        if not names <= readers.keys():
            raise SchemaError(f"{kind.__name__} has no field {min(names - readers.keys())!r}")
        if not needed <= names:
            raise SchemaError(f"{kind.__name__} lacks {min(needed - names)!r}")
        fields = {}
        for name, item in value.items():
            try:
                fields[name] = readers[name](item)
            except SchemaError as error:
                where = str(error)
                inner = where.startswith("field ")
                tail = where.removeprefix("field ") if inner else f": {where}"
                raise SchemaError(f"field {name}{'.' if inner else ''}{tail}") from None
        return kind(**fields)

    return read
