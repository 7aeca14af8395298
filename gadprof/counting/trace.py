"""Count a module: one run on the meta device, no weights and no activations in memory.

``count`` answers with a ``Trace`` and leaves the module exactly as it was. A model that cannot
run on meta (its control flow depends on values) is run once on the CPU instead, and the trace
says so. It refuses lazy modules and raises ModelFailedError where the model itself raises.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import nn

from gadprof.counting.dispatch import META, RecordingMode, tensors_in
from gadprof.counting.modules import (
    Inventory,
    followed,
    meta_twin,
    preserved,
    swap_for,
    take_inventory,
)
from gadprof.counting.recorder import Frame, Recorder, dtype_name
from gadprof.counting.records import ModuleRecord, Trace
from gadprof.counting.rules import RuleError
from gadprof.counting.triton_kernels import launches_recorded
from gadprof.errors import GadprofError, ModelFailedError

Device = Literal["meta", "cpu"]


def count(
    module: nn.Module,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    train: bool = False,
    device: Device = "meta",
    fast: bool = True,
    name: str = "",
) -> Trace:
    """Count one run of a module exactly.

    ``args`` and ``kwargs`` are what it is called with; only their shapes and types are read.
    ``train`` counts forward and backward of a training step, from a gradient of ones at every
    output (the loss itself is not the model's). ``device`` "cpu" runs it for real. ``fast`` lets
    well-known operations use gadprof's own shape rules; the counts are the same without.
    Raises ModelFailedError.
    """
    if isinstance(module, torch._dynamo.OptimizedModule if _dynamo_loaded() else ()):
        module = module._orig_mod
    if not isinstance(module, nn.Module):
        raise GadprofError(f"{type(module).__name__} is not a torch.nn.Module; pass a module")
    inputs = tuple(args)
    named = dict(kwargs or {})
    inventory = take_inventory(module)
    label = name or type(module).__name__
    if device == "cpu":
        return _run_on_cpu(label, module, inventory, inputs, named, train, "asked for")
    try:
        return _run(label, module, inventory, inputs, named, train, "meta", fast, "")
    except (GadprofError, KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {_first_line(error)}"
        _reset(inventory)
        try:
            return _run_on_cpu(label, module, inventory, inputs, named, train, reason)
        except GadprofError:
            raise
        except Exception as real:
            raise _failure(label, module, inputs, named, real) from real


def _dynamo_loaded() -> bool:
    import sys

    return "torch._dynamo" in sys.modules


def _reset(inventory: Inventory) -> None:
    for frame in inventory.frames.values():
        frame.calls = 0
        frame.input_shapes.clear()
        frame.output_shapes.clear()


def _run_on_cpu(
    label: str,
    module: nn.Module,
    inventory: Inventory,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    train: bool,
    reason: str,
) -> Trace:
    needed = sum(p.numel() * p.element_size() for _, p in inventory.parameters if p.is_meta)
    available = _available_bytes()
    if available is not None and needed > available // 2:
        raise ModelFailedError(
            f"{label} cannot run on the meta device ({reason}) and its {needed / 1e9:.1f} GB of "
            "weights do not fit in memory for a real run"
        )
    note = f"ran on the CPU: {reason}"
    return _run(label, module, inventory, args, kwargs, train, "cpu", False, note)


def _available_bytes() -> int | None:
    try:
        with open("/proc/meminfo", encoding="ascii") as stream:
            for line in stream:
                if line.startswith("MemAvailable"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def _run(
    label: str,
    module: nn.Module,
    inventory: Inventory,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    train: bool,
    device: Device,
    fast: bool,
    note: str,
) -> Trace:
    recorder = Recorder(inventory.frames[id(module)])
    shortcut = None
    quick = fast and device == "meta" and not train
    mode: RecordingMode = RecordingMode(recorder, quick=quick)
    recorder.gradients = train
    with preserved(inventory, train=train):
        if device == "meta":
            whole = all(tensor.is_meta for _, tensor in inventory.parameters + inventory.buffers)
            twins = swap_for(inventory, meta_twin) if not whole or train else {}
            inputs, named = _moved(args, meta_input), _moved(kwargs, meta_input)
        else:
            twins = swap_for(inventory, _private_copy)
            inputs, named = _moved(args, real_input), _moved(kwargs, real_input)
        _register(recorder, inventory, twins)
        given = tensors_in(inputs) + tensors_in(named)
        for tensor in given:
            recorder.serial(tensor)
        context = _gradients() if train else torch.inference_mode()
        launches = launches_recorded(recorder)
        with context, launches, followed(inventory, recorder, shortcut), mode:
            output = module(*inputs, **named)
            if train:
                _backward(recorder, inventory.frames[id(module)], output)
        results = tensors_in(output)
        output_shapes = tuple(tuple(tensor.shape) for tensor in results)
        del output, results
    return _trace(label, inventory, recorder, given, output_shapes, device, note, train)


@contextlib.contextmanager
def _gradients() -> Iterator[None]:
    with torch.inference_mode(False), torch.enable_grad():
        yield


def _register(recorder: Recorder, inventory: Inventory, twins: Mapping[int, Any]) -> None:
    number = 0
    for name, parameter in inventory.parameters:
        number -= 1
        tensor = twins.get(id(parameter), parameter)
        recorder.own(tensor.untyped_storage()._cdata, number, name)
    for _, buffer in inventory.buffers:
        number -= 1
        tensor = twins.get(id(buffer), buffer)
        recorder.own(tensor.untyped_storage()._cdata, number, None)


def _moved(value: Any, move: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return move(value)
    if type(value) in (tuple, list):
        return type(value)([_moved(item, move) for item in value])
    if type(value) is dict:
        return {key: _moved(item, move) for key, item in value.items()}
    return value


def meta_input(tensor: torch.Tensor) -> torch.Tensor:
    """A meta tensor with the shape, strides and type of an input."""
    twin = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=META)
    return twin.requires_grad_(tensor.requires_grad)


def real_input(tensor: torch.Tensor) -> torch.Tensor:
    """A CPU tensor for a real run: the values given, small random ones for a meta input."""
    if not tensor.is_meta:
        return tensor.detach().to("cpu", copy=True)
    if tensor.is_floating_point() or tensor.is_complex():
        return torch.randn(tensor.shape, dtype=tensor.dtype)
    return torch.zeros(tensor.shape, dtype=tensor.dtype)


def _private_copy(tensor: torch.Tensor) -> torch.Tensor:
    """A CPU tensor that a real run may write to; meta weights become small random ones."""
    if tensor.is_meta:
        made: torch.Tensor = torch.zeros(tensor.shape, dtype=tensor.dtype)
        if isinstance(tensor, nn.Parameter) and made.is_floating_point():
            made.normal_(0.0, 0.02)
        elif made.is_floating_point():
            made.fill_(1.0)
    elif isinstance(tensor, nn.Parameter):
        made = tensor.detach().to("cpu")
    else:
        made = tensor.detach().to("cpu", copy=True)
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(made, requires_grad=tensor.requires_grad)
    return made


def _backward(recorder: Recorder, root: Frame, output: Any) -> None:
    wanted = [tensor for tensor in tensors_in(output) if tensor.requires_grad]
    if not wanted:
        raise ModelFailedError("no output of the model needs a gradient; count without --train")
    recorder.phase = "backward"
    recorder.frame, recorder.call = root, 0
    torch.autograd.backward(wanted, [torch.ones_like(tensor) for tensor in wanted])


def _trace(
    label: str,
    inventory: Inventory,
    recorder: Recorder,
    given: list[torch.Tensor],
    output_shapes: tuple[tuple[int, ...], ...],
    device: str,
    note: str,
    train: bool,
) -> Trace:
    records: dict[str, ModuleRecord] = {}
    for module in inventory.modules:
        frame = inventory.frames[id(module)]
        records[frame.path] = ModuleRecord(
            path=frame.path,
            type=frame.module_type,
            own_params=inventory.owned[id(module)],
            calls=frame.calls,
            input_shapes=tuple(frame.input_shapes),
            output_shapes=tuple(frame.output_shapes),
            leaf=not module._modules,
            hyper=_hyper(module),
            aliases=tuple(inventory.aliases.get(id(module), ())),
        )
    shapes = tuple(tuple(tensor.shape) for tensor in given)
    return Trace(
        model=label,
        operations=recorder.operations(),
        modules=records,
        params=sum(parameter.numel() for _, parameter in inventory.parameters),
        buffers=sum(buffer.numel() for _, buffer in inventory.buffers),
        param_bytes=sum(p.numel() * p.element_size() for _, p in inventory.parameters),
        buffer_bytes=sum(b.numel() * b.element_size() for _, b in inventory.buffers),
        trainable_params=sum(p.numel() for _, p in inventory.parameters if p.requires_grad),
        input_shapes=shapes,
        input_dtypes=tuple(dtype_name(tensor.dtype) for tensor in given),
        output_shapes=output_shapes,
        batch=shapes[0][0] if shapes and shapes[0] else 1,
        device=device,
        note=note,
        uncovered=dict(sorted(recorder.uncovered.items())),
        peak_activation_bytes=recorder.peak,
        allocator_peak_bytes=recorder.peak,
        live_bytes=tuple(recorder.live_after),
        train=train,
    )


def _hyper(module: nn.Module) -> dict[str, Any]:
    """The plain public attributes of a leaf module: numbers, words and tuples of them."""
    if module._modules:
        return {}
    return {
        key: value
        for key, value in module.__dict__.items()
        if key[0] != "_" and (value is None or isinstance(value, (int, float, str, tuple)))
    }


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else ""


def _failure(
    label: str, module: nn.Module, args: tuple[Any, ...], kwargs: Any, error: Exception
) -> ModelFailedError:
    return ModelFailedError(f"{label} raised {type(error).__name__}: {_first_line(error)}")


__all__ = ["RuleError", "count"]
