"""In what numbers a model computes: MACs and bytes by type, bit-operations, zeros, active experts.

Everything is read from a trace's records, but the zeros of weights, for which the module itself is
asked. A product's type is the one that it multiplies in: that of its first operand, or eight bits
where a quantised kernel says so; weights that are only stored in fewer bits (weight-only
quantisation) show in the bytes. Refuses nothing.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from gadprof.counting.kinds import DTYPE_BYTES, MATMUL_KINDS

if TYPE_CHECKING:
    from torch import nn

    from gadprof.counting.records import Operation, Trace

_PLAIN = {"qint8": "int8", "quint8": "int8", "qint32": "int32", "uint8": "int8"}
_BITS = {"bool": 1, "int4": 4, "uint4": 4, "quint4x2": 4, "complex64": 32, "complex128": 64}


def bits_of(dtype: str) -> int:
    """The bits of one number of a type; of one part of a complex one."""
    return _BITS.get(dtype, 8 * DTYPE_BYTES.get(dtype, 4))


def mac_types(operation: Operation, trace: Trace) -> tuple[str, str]:
    """The types of the two numbers that a product multiplies: activation and weight."""
    told = operation.attributes.get("mac_dtype")
    if told is not None:
        return str(told), str(told)
    types = [_PLAIN.get(item.dtype, item.dtype) for item in operation.inputs]
    if operation.name in ("aten.addmm", "aten.baddbmm", "aten.addmv", "aten.addbmm"):
        types = types[1:]  # the first is what is added
    first = types[0] if types else operation.dtype
    for name in operation.params:
        if name in trace.quantised_weights:
            inputs, own = trace.quantised_weights[name]
            return inputs or first, own
    return first, types[1] if len(types) > 1 else first


def macs_by_dtype(trace: Trace) -> dict[str, int]:
    """Multiply-adds by the type that they are done in, most first."""
    found: dict[str, int] = {}
    for operation in trace.operations:
        if operation.macs and operation.kind in MATMUL_KINDS:
            dtype = mac_types(operation, trace)[0]
            found[dtype] = found.get(dtype, 0) + operation.macs
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def bops(trace: Trace) -> int:
    """Bit-operations: each MAC times the bits of its activation times those of its weight."""
    total = 0
    for operation in trace.operations:
        if operation.macs and operation.kind in MATMUL_KINDS:
            left, right = mac_types(operation, trace)
            total += operation.macs * bits_of(left) * bits_of(right)
    return total


def bytes_by_dtype(trace: Trace) -> dict[str, int]:
    """Bytes that operations read and wrote, by the type of what they made, most first."""
    found: dict[str, int] = {}
    for operation in trace.operations:
        moved = operation.bytes_read + operation.bytes_written
        if moved:
            found[operation.dtype] = found.get(operation.dtype, 0) + moved
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def active_params(trace: Trace) -> int:
    """Parameters that one token uses: of grouped experts, the share of those it is sent to.

    All of them where a model has no experts. The number of experts a token is read from the rows
    of the grouped product and those of its module's input.
    """
    idle = 0
    seen: set[str] = set()
    for operation in trace.forward:
        groups = int(operation.attributes.get("groups", 0) or 0)
        if operation.kind != "matmul" or groups < 2 or not operation.params:
            continue
        record = trace.modules.get(operation.module)
        shapes = record.input_shapes[operation.call] if record and record.input_shapes else ()
        tokens = prod(shapes[0][:-1]) if shapes else 0
        for name in operation.params:
            weight = next(
                (item for item in operation.inputs if len(item.shape) == 3 and item.storage < 0),
                None,
            )
            if name in seen or weight is None or not tokens:
                continue
            seen.add(name)
            used = min(groups, -(-int(operation.attributes["m"]) // tokens))
            idle += weight.elements - weight.elements * used // groups
    return trace.params - idle


@dataclass(frozen=True)
class Sparsity:
    """Multiply-adds with all weights and with those alone that are not zero.

    ``patterns`` says, for each parameter with zeros, what share is kept and whether every four
    neighbours along its inputs hold at most two (``2:4``), which hardware can use.
    """

    macs: int
    effective_macs: int
    patterns: Mapping[str, str]


def sparsity(trace: Trace, module: nn.Module) -> Sparsity:
    """How many multiply-adds of a traced module have a weight that is not zero.

    The module must hold its weights (not on the meta device) under the names of the trace. A
    weight that is masked or parametrised counts as what the product reads.
    """
    import torch

    from gadprof.counting.trace.patches import training_flags

    # a parametrisation may write to buffers of its own while it trains
    with torch.no_grad(), training_flags(list(module.modules()), False):
        found = [(name, weight != 0, made) for name, weight, made in _weights(module)]
    filled = {name: array for name, array, _ in found}
    return sparsity_of(trace, filled, {name for name, _, made in found if made})


def sparsity_of(trace: Trace, filled: Mapping[str, Any], computed: Container[str] = ()) -> Sparsity:
    """As ``sparsity``, from arrays that say by name which weights are not zero, outputs first.

    ``computed`` are weights that a mask or a parametrisation makes, which no trace names.
    """
    kept = {name: (int(array.sum()), prod(array.shape)) for name, array in filled.items()}
    patterns = {
        name: _pattern(filled[name], share) for name, share in kept.items() if share[0] < share[1]
    }
    effective = 0
    for operation in trace.operations:
        if operation.macs and operation.kind in MATMUL_KINDS:
            names = [name for name in operation.params if name in kept]
            own = f"{operation.module}.weight".lstrip(".")
            if not names and own in computed:
                names = [own]
            share = sum(kept[name][0] for name in names)
            whole = sum(kept[name][1] for name in names)
            effective += operation.macs * share // whole if whole else operation.macs
    return Sparsity(trace.macs, effective, patterns)


def _weights(module: nn.Module) -> Iterator[tuple[str, Any, bool]]:
    """Every dense weight of at least two dimensions as products read it, by its path.

    The last says whether a mask or a parametrisation makes it.

    Of a weight in a sparse layout the elements that it stores are what is counted already.
    """
    import torch

    for path, inner in module.named_modules():
        before = f"{path}." if path else ""
        names = [name.removesuffix("_orig") for name in inner._parameters]
        masked = [name for name in names if f"{name}_mask" in inner._buffers]
        parametrised = getattr(inner, "parametrizations", {})
        for name in dict.fromkeys([*names, *parametrised]):
            weight = getattr(inner, name, None)
            if name in masked:
                weight = getattr(inner, f"{name}_orig") * getattr(inner, f"{name}_mask")
            if weight is None or weight.is_meta or weight.layout is not torch.strided:
                continue
            if weight.dim() > 1:
                yield f"{before}{name}", weight.detach(), name in masked or name in parametrised


def _pattern(filled: Any, share: tuple[int, int]) -> str:
    words = f"{100 * share[0] / share[1]:.1f} % kept"
    outputs, inputs = filled.shape[:2]
    by_channel = filled.reshape(outputs, inputs, -1).swapaxes(1, 2).reshape(-1, inputs)
    for rows in (filled.reshape(outputs, -1), by_channel):
        if rows.shape[1] % 4 == 0 and bool((rows.reshape(-1, 4).sum(-1) <= 2).all()):
            return f"2:4, {words}"
    return words
