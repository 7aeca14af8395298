"""The receptive field of a network's output: how many pixels of the input one place of it sees.

Promises the theoretical field of convolutions, pools and up-sampling, in input pixels along height
and width, where ways of different depth meet the larger one. What reaches a place through a squeeze
of the whole map (a scale a channel) or through attention over positions is not counted: every place
would see everything. Read from a forward trace's shapes alone.
(Source of the recurrence: Araujo, Norris, Sim, Computing Receptive Fields, Distill, 2019.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gadprof.counting.records import Operation, TensorRecord, Trace

# the pixels that one place sees, and the pixels between two neighbouring places, by axis
Field = tuple[tuple[Fraction, Fraction], ...]


def receptive_field(trace: Trace) -> tuple[int, int]:
    """Height and width in pixels of what one place of the last output sees."""
    start: Field = ((Fraction(1), Fraction(1)),) * 2
    fields: dict[int, Field] = {}
    last = start
    for operation in trace.forward:
        maps = [item for item in operation.inputs if item.storage >= 0]
        if not maps or not operation.outputs:
            continue
        widest = max(_area(item) for item in maps)
        seen = [fields.get(item.storage, start) for item in maps if _area(item) == widest]
        joined = tuple(max(one) for one in zip(*seen, strict=True))
        last = _after(operation, maps[0], joined)
        for output in operation.outputs:
            fields[output.storage] = last
    return int(last[0][0]), int(last[1][0])


def _area(item: TensorRecord) -> int:
    """Positions of a map; a vector has one."""
    return item.shape[-2] * item.shape[-1] if len(item.shape) == 4 else 1


def _after(operation: Operation, source: TensorRecord, field: Field) -> Field:
    """The field behind one operation."""
    attributes, output = operation.attributes, operation.outputs[0]
    if operation.kind in ("convolution", "pooling") and "kernel" in attributes:
        kernel = _pair(attributes, "kernel", 1)
        stride = (
            _strides(source, output)
            if "stride" not in attributes
            else _pair(attributes, "stride", 1)
        )
        dilation = _pair(attributes, "dilation", 1)
        if attributes.get("transposed"):
            return tuple(
                (size + ((k - 1) * d // s) * step, step / s)
                for (size, step), k, d, s in zip(field, kernel, dilation, stride, strict=True)
            )
        return tuple(
            (size + (k - 1) * d * step, step * s)
            for (size, step), k, d, s in zip(field, kernel, dilation, stride, strict=True)
        )
    if operation.kind == "resize":
        ratios = [
            Fraction(before, after)
            for before, after in zip(source.shape[-2:], output.shape[-2:], strict=True)
        ]
        between = 0 if attributes.get("mode") == "nearest" else 1
        return tuple(
            (size + between * step, step * ratio)
            for (size, step), ratio in zip(field, ratios, strict=True)
        )
    return field


def _pair(attributes: Mapping[str, object], name: str, default: int) -> tuple[int, int]:
    value = attributes.get(name, default)
    if isinstance(value, Sequence):
        return int(value[0]), int(value[-1])
    return int(str(value)), int(str(value))


def _strides(source: TensorRecord, output: TensorRecord) -> tuple[int, int]:
    """The stride of a pool whose shapes alone tell it."""
    high, wide = (
        max(1, round(before / after))
        for before, after in zip(source.shape[-2:], output.shape[-2:], strict=True)
    )
    return high, wide
