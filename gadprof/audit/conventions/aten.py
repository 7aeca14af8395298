"""Counters that look below autograd: torch's own and ptflops' aten engine.

What they see on a CPU differs from the meta device in three places, all decided by torch:
attention that fits its fused kernel (counted from torch 2.15 on), ``nn.MultiheadAttention`` with
gradients off, and LSTMs.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from gadprof.audit.conventions import (
    ATTENTION_MISSED,
    BIAS,
    FAST_PATH_MISSED,
    OPERATION_MISSED,
    RECURRENT_MISSED,
    Entry,
    Reading,
)
from gadprof.audit.conventions.fvcore import missed_beside
from gadprof.audit.observe import AtenCall, Observation, Shape
from gadprof.counting.records import Trace

_LSTM = "torch.nn.modules.rnn.LSTM"


def read_torch(observation: Observation, trace: Trace) -> Reading:
    """torch.utils.flop_counter on a CPU in eval mode with gradients off."""
    fast = observation.fast_paths
    fused_counted = observation.torch_counts_fused_attention
    entries = tuple(
        Entry(2 * macs(call), call.path, f"aten.{call.name}", kind(call))
        for call in observation.aten
        if not (call.attention and call.fused[0] and not fused_counted)
        and not any(path in fast for path in call.stack)
        and not in_fused_lstm(observation, call)
    )

    def missed(path: str, kind_: str) -> str:
        if any(path == owner or path.startswith(f"{owner}.") for owner in fast):
            return FAST_PATH_MISSED
        return _missed(path, kind_)

    return Reading(entries, missed)


def read_torch_meta(observation: Observation, trace: Trace) -> Reading:
    """torch.utils.flop_counter on the meta device."""
    entries = tuple(
        Entry(2 * macs(call), call.path, f"aten.{call.name}", kind(call))
        for call in observation.aten
    )
    return Reading(entries, _missed)


def read_ptflops(observation: Observation, trace: Trace) -> Reading:
    """ptflops' aten engine, run with gradients on; it knows neither baddbmm nor fused attention."""
    fused = observation.fused_with_gradients(hooked=False)
    seen = [
        call
        for call in observation.aten
        if not any(path in fused for path in call.stack)
        and not (call.attention and call.fused[1])
        and not in_fused_lstm(observation, call)
    ]
    return Reading(_by_ptflops(seen), missed_beside(fused, _missed))


def read_ptflops_meta(observation: Observation, trace: Trace) -> Reading:
    """ptflops' aten engine on the meta device, where nothing is fused."""
    return Reading(_by_ptflops(observation.aten), _missed)


def _by_ptflops(calls: Iterable[AtenCall]) -> tuple[Entry, ...]:
    entries: list[Entry] = []
    for call in calls:
        if call.name == "baddbmm":
            continue
        operation = f"aten.{call.name}"
        entries.append(Entry(macs(call), call.path, operation, kind(call)))
        bias = _bias(call)
        if bias:
            entries.append(Entry(bias, call.path, operation, "", BIAS))
    return tuple(entries)


def macs(call: AtenCall) -> int:
    """Multiply-adds of one aten product or convolution."""
    args = call.args
    match call.name:
        case "mm" | "bmm":
            return int(args[0].elements * args[1].sizes[-1])
        case "addmm" | "baddbmm":
            return int(args[1].elements * args[2].sizes[-1])
        case "convolution" | "_convolution":
            positions = (args[0] if args[6] else _output(call)).sizes[2:]
            return int(args[0].sizes[0] * args[1].elements * prod(positions))
        case _:
            raise TypeError(f"no multiply-adds rule for aten.{call.name}")


def kind(call: AtenCall) -> str:
    """The kind of multiply-accumulate that an aten operation does."""
    if call.name.endswith("convolution"):
        return "convolution"
    return "attention" if call.attention else "matmul"


def in_fused_lstm(observation: Observation, call: AtenCall) -> bool:
    """Whether a CPU would have run this inside its fused LSTM (oneDNN, no projection)."""
    return any(
        _LSTM in observation.modules[path].types
        and not observation.modules[path].settings.get("proj_size")
        for path in call.stack
    )


def _bias(call: AtenCall) -> int:
    if call.name == "addmm":
        return int(call.args[1].sizes[0] * call.args[2].sizes[1])
    if call.name.endswith("convolution") and call.args[2] is not None:
        return _output(call).elements
    return 0


def _output(call: AtenCall) -> Shape:
    output = call.output
    assert isinstance(output, Shape)
    return output


def _missed(path: str, kind_: str) -> str:
    return {"attention": ATTENTION_MISSED, "rnn": RECURRENT_MISSED}.get(kind_, OPERATION_MISSED)
