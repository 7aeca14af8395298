"""Reads a TensorFlow Lite file: its tensors and operators, without TensorFlow and without weights.

Promises a reader of the format's own tables (flatbuffers: a table is a list of offsets to its
fields) that looks at nothing but shapes, types and options. Refuses, in one line, a file that is
missing, too large, damaged or of another kind: no offset is followed beyond the file.

Source: the schema of TensorFlow Lite, version 3 (schema.fbs); field numbers follow its order.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gadprof.counting.tflite.operators import OPERATORS
from gadprof.errors import SourceError
from gadprof.results.files import read_file

MOST_BYTES = 4 << 30
MOST_OPERATORS = 200_000

DTYPES = (
    "float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64", "int8",
    "float64", "complex128", "uint64", "unknown", "unknown", "uint32", "uint16", "int4", "bfloat16",
)  # fmt: skip

# options by operator: name -> field number and how it is read
_CONVOLUTION = {
    "padding": (0, "b"), "stride_w": (1, "i"), "stride_h": (2, "i"), "activation": (3, "b"),
    "dilation_w": (4, "i"), "dilation_h": (5, "i"),
}  # fmt: skip
_POOL = {
    "padding": (0, "b"), "stride_w": (1, "i"), "stride_h": (2, "i"), "width": (3, "i"),
    "height": (4, "i"), "activation": (5, "b"),
}  # fmt: skip
_ACTIVATION = {"activation": (0, "b")}
_OPTIONS: Mapping[str, Mapping[str, tuple[int, str]]] = {
    "CONV_2D": _CONVOLUTION,
    "DEPTHWISE_CONV_2D": {
        "padding": (0, "b"), "stride_w": (1, "i"), "stride_h": (2, "i"), "multiplier": (3, "i"),
        "activation": (4, "b"), "dilation_w": (5, "i"), "dilation_h": (6, "i"),
    },
    "TRANSPOSE_CONV": {
        "padding": (0, "b"), "stride_w": (1, "i"), "stride_h": (2, "i"), "activation": (3, "b"),
    },
    "AVERAGE_POOL_2D": _POOL, "MAX_POOL_2D": _POOL, "L2_POOL_2D": _POOL,
    "FULLY_CONNECTED": _ACTIVATION, "ADD": _ACTIVATION, "SUB": _ACTIVATION, "MUL": _ACTIVATION,
    "DIV": _ACTIVATION, "L2_NORMALIZATION": _ACTIVATION,
    "CONCATENATION": {"axis": (0, "i"), "activation": (1, "b")},
    "BATCH_MATMUL": {"adjoint_x": (0, "?"), "adjoint_y": (1, "?")},
}  # fmt: skip


# options that no runtime takes below one
_POSITIVE = frozenset(("stride_w", "stride_h", "dilation_w", "dilation_h", "width", "height"))


@dataclass(frozen=True)
class TfliteTensor:
    """A tensor's name, shape and type; ``stored`` where its values lie in the file, ``open``
    where its batch was left open when it was converted."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    stored: bool
    open: bool


@dataclass(frozen=True)
class TfliteOperator:
    """An operator's name, the numbers of its tensors (-1 for none left out), and its options."""

    op: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, int]


@dataclass(frozen=True)
class TfliteFile:
    """The main graph of a file; ``graphs`` is how many it holds."""

    tensors: tuple[TfliteTensor, ...]
    operators: tuple[TfliteOperator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    graphs: int


def read_tflite(path: str) -> TfliteFile:
    """Read a file's main graph. Raises SourceError."""
    if not os.path.isfile(path):
        raise SourceError(f"TensorFlow Lite file {path!r} does not exist")
    content = read_file(path, "TensorFlow Lite file", SourceError, most_bytes=MOST_BYTES)
    if len(content) < 8 or content[4:8] != b"TFL3":
        raise SourceError(f"{path} is no TensorFlow Lite file; check the path")
    try:
        return _file(content)
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        raise SourceError(f"{path} is damaged: {error}; convert the model again") from error


class _Table:
    """One table of the file: its fields by number."""

    def __init__(self, content: bytes, at: int) -> None:
        self.content = content
        self.at = at
        if not 0 < at <= len(content) - 4:
            raise ValueError("a table lies outside the file")
        self.layout = at - int(struct.unpack_from("<i", content, at)[0])
        if not 0 <= self.layout <= len(content) - 4:
            raise ValueError("a table's layout lies outside the file")
        self.fields = (struct.unpack_from("<H", content, self.layout)[0] - 4) // 2

    def _place(self, field: int) -> int:
        """Where a field lies, 0 where the table does not have it."""
        if field >= self.fields:
            return 0
        offset = int(struct.unpack_from("<H", self.content, self.layout + 4 + 2 * field)[0])
        return self.at + offset if offset else 0

    def number(self, field: int, kind: str, default: int = 0) -> int:
        """A number by its struct letter."""
        place = self._place(field)
        return int(struct.unpack_from(f"<{kind}", self.content, place)[0]) if place else default

    def _target(self, field: int) -> int:
        place = self._place(field)
        return place + int(struct.unpack_from("<I", self.content, place)[0]) if place else 0

    def table(self, field: int) -> _Table | None:
        """A table within this one."""
        target = self._target(field)
        return _Table(self.content, target) if target else None

    def _length(self, field: int, size: int) -> tuple[int, int]:
        target = self._target(field)
        if not target:
            return 0, 0
        length = int(struct.unpack_from("<I", self.content, target)[0])
        if length * size > len(self.content) - target - 4:
            raise ValueError("a list is longer than the file")
        return target + 4, length

    def text(self, field: int) -> str:
        """A string."""
        start, length = self._length(field, 1)
        return self.content[start : start + length].decode("utf-8", "replace")

    def numbers(self, field: int) -> tuple[int, ...]:
        """A list of 32-bit integers."""
        start, length = self._length(field, 4)
        return struct.unpack_from(f"<{length}i", self.content, start) if length else ()

    def count(self, field: int, size: int = 1) -> int:
        """The length of a list."""
        return self._length(field, size)[1]

    def tables(self, field: int, read: Callable[[_Table], Any]) -> tuple[Any, ...]:
        """A list of tables, each read."""
        start, length = self._length(field, 4)
        if length > MOST_OPERATORS:
            raise ValueError(f"it holds {length:,} of one thing, more than {MOST_OPERATORS:,}")
        places = struct.unpack_from(f"<{length}I", self.content, start) if length else ()
        return tuple(
            read(_Table(self.content, start + 4 * index + place))
            for index, place in enumerate(places)
        )


def _file(content: bytes) -> TfliteFile:
    model = _Table(content, int(struct.unpack_from("<I", content, 0)[0]))
    codes = model.tables(1, _code)
    filled = model.tables(4, lambda table: table.count(0) > 0 or table.number(2, "Q") > 0)
    graphs = model.count(2, 4)
    if not graphs:
        raise ValueError("it holds no graph")
    found = model.tables(2, lambda table: table)[0]
    tensors = found.tables(0, lambda table: _tensor(table, filled))
    operators = found.tables(3, lambda table: _operator(table, codes))
    for item in operators:
        if any(not -1 <= index < len(tensors) for index in (*item.inputs, *item.outputs)):
            raise ValueError(f"{item.op} names a tensor that is not there")
    ends = (*found.numbers(1), *found.numbers(2))
    if any(not 0 <= index < len(tensors) for index in ends):
        raise ValueError("an input or output is not there")
    return TfliteFile(tensors, operators, found.numbers(1), found.numbers(2), graphs)


def _code(table: _Table) -> str:
    """An operator's name; a user's own has its own."""
    number = max(table.number(0, "b"), table.number(3, "i"))
    name = OPERATORS[number] if 0 <= number < len(OPERATORS) else f"OPERATOR_{number}"
    return table.text(1) or name if name == "CUSTOM" else name


def _tensor(table: _Table, filled: tuple[bool, ...]) -> TfliteTensor:
    kind, buffer, shape = table.number(1, "b"), table.number(2, "I"), table.numbers(0)
    if any(size < 0 for size in shape):
        raise ValueError(f"tensor {table.text(3)!r} has a negative size")
    return TfliteTensor(
        table.text(3),
        shape,
        DTYPES[kind] if 0 <= kind < len(DTYPES) else "unknown",
        filled[buffer],
        -1 in table.numbers(7),
    )


def _operator(table: _Table, codes: tuple[str, ...]) -> TfliteOperator:
    op = codes[table.number(0, "I")]
    options = table.table(4)
    read = _OPTIONS.get(op, {}) if options is not None else {}
    found = {
        name: options.number(field, kind, 1 if "dilation" in name else 0)  # type: ignore[union-attr]
        for name, (field, kind) in read.items()
    }
    for name, value in found.items():
        if name in _POSITIVE and value < 1:
            raise ValueError(f"{op} has {name} {value}")
    return TfliteOperator(op, table.numbers(1), table.numbers(2), found)
