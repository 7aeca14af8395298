"""What several hook-based counters have in common: which call, which layer, which shapes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from typing import Any, TypeVar

from gadprof.audit.conventions import GATES, Entry
from gadprof.audit.observe import ModuleCall, ModuleInfo, Shape

Rule = TypeVar("Rule")

NN = "torch.nn.modules"
CONVOLUTIONS = frozenset(f"{NN}.conv.Conv{n}d" for n in (1, 2, 3))
TRANSPOSED_CONVOLUTIONS = frozenset(f"{NN}.conv.ConvTranspose{n}d" for n in (1, 2, 3))
LINEAR = f"{NN}.linear.Linear"
ATTENTION = f"{NN}.activation.MultiheadAttention"
CONTAINERS = frozenset(f"{NN}.container.{name}" for name in ("Sequential", "ModuleList"))


def nearest_rule(info: ModuleInfo, rules: Mapping[str, Rule]) -> tuple[str, Rule] | None:
    """The rule of a module's type or of its nearest ancestor that has one."""
    for name in info.types:
        if name in rules:
            return name, rules[name]
    return None


def within(path: str, owners: frozenset[str]) -> bool:
    """Whether a module is one of these or lies below one."""
    return bool(owners) and any(
        path == owner or not owner or path.startswith(f"{owner}.") for owner in owners
    )


def first_input(call: ModuleCall) -> tuple[int, ...]:
    """The sizes of the first tensor that a module was called with."""
    for value in (*call.args, *call.kwargs.values()):
        if isinstance(value, Shape):
            return value.sizes
        if isinstance(value, (tuple, list)) and value and isinstance(value[0], Shape):
            return value[0].sizes
    return ()


def output_sizes(call: ModuleCall) -> tuple[int, ...]:
    """The sizes of a module's output, of its first part where it returns several."""
    output: Any = call.output
    while isinstance(output, (tuple, list)) and not isinstance(output, Shape):
        output = output[0] if output else None
    return output.sizes if isinstance(output, Shape) else ()


def convolution_macs(info: ModuleInfo, call: ModuleCall, *, transposed: bool) -> int:
    """Multiply-adds of a convolution layer: weights times positions (input ones if transposed)."""
    weight = info.own["weight"]
    sizes = first_input(call) if transposed else output_sizes(call)
    spatial = len(weight) - 2
    batch = prod(sizes[: -spatial - 1])
    return batch * prod(weight) * prod(sizes[-spatial:])


def recurrent(
    info: ModuleInfo, evaluations: int, *, projected: bool = True
) -> tuple[int, int, int]:
    """Multiply-adds, biases and gate operations of a recurrent layer as both thops count them.

    ``projected`` is whether a projection size is respected.
    """
    settings = info.settings
    cell = info.class_name.removesuffix("Cell")
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[_family(info, cell)]
    hidden = int(settings["hidden_size"])
    projection = int(settings.get("proj_size") or 0) if projected else 0
    directions = 2 if settings.get("bidirectional") else 1
    layers = int(settings.get("num_layers", 1))
    state = projection or hidden
    macs = 0
    for layer in range(layers):
        width = int(settings["input_size"]) if layer == 0 else directions * state
        macs += directions * (gates * hidden * (width + state) + hidden * projection)
    cells = layers * directions
    biases = cells * gates * 2 * hidden * bool(settings.get("bias", True))
    others = {1: 0, 3: 4, 4: 4}[gates] * hidden
    return (
        macs * evaluations,
        biases * evaluations,
        cells * (gates * hidden + others) * evaluations,
    )


def _family(info: ModuleInfo, cell: str) -> str:
    for name in info.types:
        bare = name.rpartition(".")[2].removesuffix("Cell")
        if bare in ("RNN", "GRU", "LSTM"):
            return bare
    return cell


def recurrent_entries(info: ModuleInfo, call: ModuleCall, macs: int, rest: int) -> Iterable[Entry]:
    """The entries of a recurrent layer: its products, and biases and gates together."""
    yield Entry(macs, call.path, info.class_name, "rnn")
    if rest:
        yield Entry(rest, call.path, info.class_name, "", GATES)


def occurrences(
    modules: Mapping[str, ModuleInfo], stop: frozenset[str] = frozenset()
) -> dict[str, int]:
    """How often a walk over children meets each module; shared modules are met once a parent.

    ``stop`` are paths whose children the walk does not enter.
    """
    counts: dict[str, int] = {}

    def walk(path: str) -> None:
        counts[path] = counts.get(path, 0) + 1
        if path not in stop:
            for child in modules[path].children:
                walk(child)

    walk("")
    return counts
