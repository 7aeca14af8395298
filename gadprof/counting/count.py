"""Count a module: one run on the meta device, no weights and no activations in memory.

``count`` answers with a ``Trace`` and leaves the module exactly as it was. A model that cannot
run on meta (its control flow depends on values) is run once on the CPU instead, and the trace
says so. It refuses lazy modules and raises ModelFailedError where the model itself raises.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence, ValuesView
from dataclasses import dataclass, replace
from operator import itemgetter
from threading import RLock
from typing import Any, Literal

import torch
from torch import nn

from gadprof.counting.records import ModuleRecord, Trace
from gadprof.counting.restore import default_algorithms, model_restored
from gadprof.counting.rules.nested import in_parts
from gadprof.counting.rules.registry import RuleError
from gadprof.counting.scripted import Scripted
from gadprof.counting.trace import by_stand_in
from gadprof.counting.trace.dispatch import META, RecordingMode, outer_counts_asleep
from gadprof.counting.trace.fused_attention import (
    attention_by_sequence,
    flex_attention_as_it_is,
    fused_attention,
    has_parts,
)
from gadprof.counting.trace.lifetimes import collector_paused
from gadprof.counting.trace.modules import (
    Inventory,
    UnshapedError,
    alike,
    bytes_by_dtype,
    followed,
    learnt,
    materialised,
    meta_twin,
    quantised_weights,
    take_inventory,
    weight_bytes,
)
from gadprof.counting.trace.patches import training_flags
from gadprof.counting.trace.recorder import Frame, Recorder, dtype_name, plain_shape
from gadprof.counting.trace.substitutes import Substitutes
from gadprof.counting.trace.trees import mapped, once, tensors_in
from gadprof.counting.trace.triton_kernels import launches_recorded
from gadprof.counting.wanted import wanted_input
from gadprof.errors import GadprofError, ModelFailedError, NeedsValuesError

_one_at_a_time = RLock()

Device = Literal["meta", "cpu"]
Speed = Literal["stand-ins", "quick", "plain", "no-grad", "grad"]

# what torch says where a model takes gradients of its own, which inference mode cannot make
_OWN_GRADIENTS = ("does not require grad", "nference tensor")


@dataclass(frozen=True, slots=True)
class _Subject:
    """What is counted: a module and all that it holds, and what it is called with."""

    label: str
    module: nn.Module
    inventory: Inventory
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    train: bool


def count(
    module: nn.Module,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    train: bool = False,
    device: Device = "meta",
    fast: bool = True,
    fallback: bool = True,
    name: str = "",
) -> Trace:
    """Count one run of a module exactly.

    ``args`` and ``kwargs`` are what it is called with; only their shapes and types are read.
    ``train`` counts forward and backward of a training step, from a gradient of ones at every
    output (the loss itself is not the model's). ``device`` "cpu" runs it for real. ``fast`` lets
    well-known operations use gadprof's own shape rules; the counts are the same without.
    Without ``fallback`` a model that does not run on meta raises NeedsValuesError. Raises
    ModelFailedError.
    """
    if isinstance(module, torch._dynamo.OptimizedModule if _dynamo_loaded() else ()):
        module = module._orig_mod
    if isinstance(module, torch.jit.ScriptModule):
        module = Scripted(module)
    if not isinstance(module, nn.Module):
        raise GadprofError(f"{type(module).__name__} is not a torch.nn.Module; pass a module")
    inputs = tuple(args)
    named = dict(kwargs or {})
    try:
        with collector_paused():
            inventory = take_inventory(module)
    except UnshapedError:
        module = materialised(module, inputs, named)
        inventory = take_inventory(module)
    subject = _Subject(name or type(module).__name__, module, inventory, inputs, named, train)
    # one count at a time: two threads that count one model would see each other's changes to it
    with _one_at_a_time, outer_counts_asleep(), _wherever_it_is_called():
        return _count(subject, device, fast, fallback)


def _count(subject: _Subject, device: Device, fast: bool, fallback: bool) -> Trace:
    if device == "cpu":
        return _run_on_cpu(subject, "asked for")
    try:
        return _run(subject, "meta", fast, "")
    except (GadprofError, KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {_first_line(error)}"
        clause = _clause(subject, error)
        _reset(subject.inventory)
        if not fallback:
            _refuse_too_large(subject, reason, clause)
            told = f"{subject.label} cannot run on the meta device ({reason})"
            raise NeedsValuesError(told + (clause and f"; {clause}")) from error
        try:
            return _run_on_cpu(subject, reason, clause)
        except GadprofError:
            raise
        except Exception as real:
            raise _failure(subject, real) from real


@contextlib.contextmanager
def _wherever_it_is_called() -> Iterator[None]:
    """The caller's inference mode, and checks that add operations of their own, set aside."""
    with torch.inference_mode(False), torch.autograd.set_detect_anomaly(False):
        yield


def _dynamo_loaded() -> bool:
    import sys

    return "torch._dynamo" in sys.modules


def _reset(inventory: Inventory) -> None:
    shared = [frame for _, frame in inventory.frames_of_places()]
    for frame in (*inventory.frames.values(), *shared):
        frame.calls = 0
        frame.input_shapes.clear()
        frame.output_shapes.clear()


def _run_on_cpu(subject: _Subject, reason: str, clause: str = "") -> Trace:
    _refuse_too_large(subject, reason, clause)
    return _run(subject, "cpu", False, f"ran on the CPU: {reason}")


def _refuse_too_large(subject: _Subject, reason: str, clause: str) -> None:
    held = subject.inventory.parameters
    needed = sum(p.numel() * p.element_size() for _, p in held if p.is_meta)
    available = _available_bytes()
    if available is not None and needed > available // 2:
        raise ModelFailedError(
            f"{subject.label} cannot run on the meta device ({reason}) and its "
            f"{needed / 1e9:.1f} GB of weights do not fit in memory for a real run"
            f"{clause and f'; {clause}'}"
        )


def _available_bytes() -> int | None:
    try:
        with open("/proc/meminfo", encoding="ascii") as stream:
            for line in stream:
                if line.startswith("MemAvailable"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def _run(subject: _Subject, device: Device, fast: bool, note: str) -> Trace:
    inventory, train = subject.inventory, subject.train
    if fast and device == "meta" and not train:
        try:
            with collector_paused():  # known code alone runs, and keeps no cycle of maps
                return _observe(subject, device, "stand-ins", note)
        except Exception:  # whatever it was, the dispatcher says it with certainty
            _reset(inventory)
    speed: Speed = "quick" if fast else "plain"
    try:
        trace = _observe(subject, device, speed, note)
    except RuntimeError as error:
        if train or not any(words in str(error) for words in _OWN_GRADIENTS):
            raise
        try:
            _reset(inventory)
            trace = _observe(subject, device, "no-grad", note)
        except RuntimeError as repeated:
            if not any(words in str(repeated) for words in _OWN_GRADIENTS):
                raise
            _reset(inventory)
            trace = _observe(subject, device, "grad", note)
    if train and device == "meta" and has_parts(op.name for op in trace.operations):
        # what was counted stays; what a CPU allocates is seen in a run with its fused kernel
        _ = trace.modules  # made from what the next run writes anew
        _reset(inventory)
        with contextlib.suppress(Exception), fused_attention():
            again = _observe(subject, device, speed, note)
            trace = trace.with_allocator_peak(again.allocator_peak_bytes)
    return trace


def _observe(subject: _Subject, device: Device, speed: Speed, note: str) -> Trace:
    """One run, seen by stand-ins, by the dispatcher with own shape rules, or by it alone.

    "no-grad" is the last, where gradients that the model takes itself can be made; "grad" has them
    on from the start.
    """
    module, inventory, train = subject.module, subject.inventory, subject.train
    recorder = Recorder(inventory.frames[id(module)])
    quick = speed == "quick" and device == "meta" and not train
    recorder.gradients = train
    known = by_stand_in.LOCKED if speed == "stand-ins" else ()
    with contextlib.ExitStack() as stack:
        stack.enter_context(model_restored(inventory.modules, locked=known))
        stack.enter_context(default_algorithms())
        if not train or not module.training:
            stack.enter_context(training_flags(inventory.modules, train))
        twins = {} if speed == "stand-ins" else _substitutes(inventory, device, train)
        given_as = once(meta_input if device == "meta" else real_input)
        inputs, named = mapped(subject.args, given_as), mapped(subject.kwargs, given_as)
        numbers = _register(recorder, inventory, twins)
        given = tensors_in(inputs) + tensors_in(named)
        gradients = _no_gradients(speed != "no-grad")
        stack.enter_context(_gradients() if train or speed == "grad" else gradients)
        if speed == "stand-ins":
            output = by_stand_in.forward(module, inventory, recorder, numbers, inputs, named)
        else:
            for tensor in given:
                recorder.serial(tensor)
            jagged = any(tensor.is_nested and not in_parts(tensor) for tensor in given)
            # nested tensors have attention in the encoder's fused path alone, which asks for no
            # function of torch to be replaced
            fused = any(map(in_parts, given)) and not train
            contexts: tuple[contextlib.AbstractContextManager[Any], ...] = (
                launches_recorded(recorder),
                flex_attention_as_it_is(),
                followed(inventory, recorder),
                Substitutes(twins) if twins and not fused else contextlib.nullcontext(),
                attention_by_sequence() if jagged else contextlib.nullcontext(),
                RecordingMode(recorder, quick=quick, real=device == "cpu"),
            )
            for context in contexts:
                stack.enter_context(context)
            if device == "cpu":
                torch.manual_seed(0)  # the same counts in every run; the state is put back
            run = _with_twins(module, twins) if fused else module
            output = run(*inputs, **named)
            if train:
                _backward(recorder, inventory.frames[id(module)], output, twins)
        _check_done(output, subject.label)
        results = tensors_in(output)
        output_shapes = tuple(map(plain_shape, results))
        del output, results
    return _trace(subject, recorder, given, output_shapes, device, note)


def _check_done(output: Any, name: str) -> None:
    """Refuse a result whose work was not done when ``forward`` returned. Raises ModelFailedError.

    A generator, a map over layers or a coroutine runs nothing before it is asked.
    """
    parts = output.values() if isinstance(output, Mapping) else output
    for part in (output, *(parts if isinstance(parts, (list, tuple, ValuesView)) else ())):
        if isinstance(part, (Iterator, Awaitable)):
            raise ModelFailedError(
                f"{name} returns a {type(part).__name__}, whose work is done only as its results "
                "are taken; count a module whose forward returns them all, in a list"
            )


def _with_twins(module: nn.Module, twins: Mapping[int, torch.Tensor]) -> Callable[..., Any]:
    """The module as a function in which its twins lie where it holds its own tensors."""
    held = (*module.named_parameters(remove_duplicate=False),
            *module.named_buffers(remove_duplicate=False))  # fmt: skip
    swapped = {name: twins.get(id(tensor), tensor) for name, tensor in held}

    def call(*args: Any, **kwargs: Any) -> Any:
        return torch.func.functional_call(module, swapped, args, kwargs, tie_weights=False)

    return call


@contextlib.contextmanager
def _gradients() -> Iterator[None]:
    with torch.inference_mode(False), torch.enable_grad():
        yield


def _substitutes(inventory: Inventory, device: Device, train: bool) -> dict[int, Any]:
    """What stands for each parameter and buffer in a run, by the identity of the original.

    A model that lies on meta already stands for itself, unless gradients are made.
    """
    owned = [tensor for _, tensor in inventory.parameters + inventory.buffers]
    if device == "cpu":
        needed = sum(tensor.numel() * tensor.element_size() for tensor in owned)
        available = _available_bytes()
        copied = available is None or needed <= available // 2
        return {id(tensor): _private(tensor, copied) for tensor in owned}
    if not train and all(tensor.is_meta for tensor in owned):
        return {}
    return {id(tensor): meta_twin(tensor) for tensor in owned}


@contextlib.contextmanager
def _no_gradients(inference: bool) -> Iterator[None]:
    with torch.inference_mode() if inference else torch.no_grad():
        yield


def _register(recorder: Recorder, inventory: Inventory, twins: Mapping[int, Any]) -> dict[int, int]:
    """Number the storages of parameters and buffers; returns each tensor's by its identity."""
    number = 0
    addresses: dict[int, int] = {}
    for name, parameter in inventory.parameters:
        number -= 1
        tensor = twins.get(id(parameter), parameter)
        if tensor.layout is not torch.strided:
            continue
        address = addresses[id(tensor)] = tensor.untyped_storage()._cdata
        recorder.own(address, number, name)
    for _, buffer in inventory.buffers:
        number -= 1
        tensor = twins.get(id(buffer), buffer)
        if tensor.layout is not torch.strided:
            continue
        address = addresses[id(tensor)] = tensor.untyped_storage()._cdata
        recorder.own(address, number, None)
    if number == -len(recorder.serials):
        return dict(zip(addresses, range(-1, number - 1, -1), strict=True))
    return {identity: recorder.serials[address] for identity, address in addresses.items()}


def meta_input(tensor: torch.Tensor) -> torch.Tensor:
    """A meta tensor with the shape, strides and type of an input.

    Raises RuntimeError for one whose parts or elements are not all there.
    """
    if tensor.is_nested or tensor.layout is not torch.strided:
        raise RuntimeError("an input that holds parts of different lengths costs what they say")
    twin = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=META)
    return twin.requires_grad_(tensor.requires_grad)


def real_input(tensor: torch.Tensor) -> torch.Tensor:
    """A CPU tensor for a real run: the values given, small random ones for a meta input."""
    if not tensor.is_meta:
        made = tensor.detach().to("cpu", copy=True)
    elif tensor.is_floating_point() or tensor.is_complex():
        made = torch.randn(tensor.shape, generator=_seeded()).to(tensor.dtype)
    else:
        made = torch.zeros(tensor.shape, dtype=tensor.dtype)
    return made.requires_grad_(tensor.requires_grad)


def _seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _private(tensor: torch.Tensor, copied: bool) -> torch.Tensor:
    """A CPU tensor that a real run may write to; meta weights become small random ones.

    Not ``copied`` where memory does not hold the weights twice: a parameter then shares its values.
    """
    if tensor.is_meta:
        made: torch.Tensor = torch.zeros(tensor.shape, dtype=tensor.dtype)
        if isinstance(tensor, nn.Parameter) and made.is_floating_point():
            made.normal_(0.0, 0.02, generator=_seeded(tensor.numel()))
        elif made.is_floating_point():
            made.fill_(1.0)
    else:
        shared = isinstance(tensor, nn.Parameter) and not copied
        made = tensor.detach().to("cpu", copy=not shared)
    return alike(made, tensor)


def _backward(recorder: Recorder, root: Frame, output: Any, twins: Mapping[int, Any]) -> None:
    results = [twins.get(id(tensor), tensor) for tensor in tensors_in(output)]
    wanted = [tensor for tensor in results if tensor.requires_grad]
    if not wanted:
        raise ModelFailedError("no output of the model needs a gradient; count without --train")
    recorder.phase = "backward"
    recorder.frame, recorder.call = root, 0
    torch.autograd.backward(wanted, [torch.ones_like(tensor) for tensor in wanted])


def _trace(
    subject: _Subject,
    recorder: Recorder,
    given: list[torch.Tensor],
    output_shapes: tuple[tuple[int, ...], ...],
    device: Device,
    note: str,
) -> Trace:
    inventory = subject.inventory
    packed_bytes = sum([nbytes for _, _, nbytes in inventory.packed])
    parameters, buffers = bytes_by_dtype(inventory.parameters), bytes_by_dtype(inventory.buffers)
    trained = [parameter for _, parameter in inventory.parameters if parameter.requires_grad]
    shapes = tuple(map(plain_shape, given))
    fields = {
        "model": subject.label,
        "params": sum(inventory.owned.values()),
        "buffers": sum([buffer.numel() for _, buffer in inventory.buffers]),
        "param_bytes": sum(parameters.values()) + packed_bytes,
        "buffer_bytes": sum(buffers.values()),
        "trainable_params": sum([learnt(parameter) for parameter in trained]),
        "input_shapes": shapes,
        "input_dtypes": tuple(dtype_name(tensor.dtype) for tensor in given),
        "output_shapes": output_shapes,
        "batch": shapes[0][0] if shapes and shapes[0] else 1,
        "device": device,
        "note": note,
        "uncovered": dict(sorted(recorder.uncovered.items())),
        "peak_activation_bytes": recorder.peak,
        "allocator_peak_bytes": recorder.allocator_peak(),
        "live_bytes": tuple(recorder.live_after),
        "train": subject.train,
        "data_dependent_macs": recorder.data_macs,
        "chosen_by_data": dict(sorted(recorder.chosen.items())),
        "weight_bytes_by_dtype": weight_bytes(parameters, buffers, inventory),
        "quantised_weights": quantised_weights(inventory),
    }
    later = {
        "operations": recorder.operations,
        "modules": _modules_later(inventory),
        "storage_changes": recorder.storage_changes,
    }
    return Trace.deferred(fields, later, recorder.totals())


def _modules_later(inventory: Inventory) -> Callable[[], dict[str, ModuleRecord]]:
    """A function that makes the record of every module from what is read of it now."""
    readers: dict[type, tuple[int, tuple[str, ...], Any]] = {}
    leaves: dict[str, tuple[tuple[str, ...], tuple[Any, ...]]] = {}
    rows = []
    for module in inventory.modules:
        frame = inventory.frames[id(module)]
        leaf = not module._modules
        if leaf:
            kind = type(module)
            reader = readers.get(kind)
            state = module.__dict__
            if reader is None or reader[0] != len(state) or kind.__module__[:9] != "torch.nn.":
                chosen = tuple([name for name in state if name[0] != "_"])
                # one name more, so that there are always two and the answer is a tuple
                reader = readers[kind] = (len(state), chosen, itemgetter(*chosen, "_modules"))
            leaves[frame.path] = (reader[1], reader[2](state))
        rows.append((frame, inventory.owned[id(module)], leaf))
    for module, frame in inventory.frames_of_places():
        leaves[frame.path] = leaves[inventory.frames[id(module)].path]
        rows.append((frame, 0, True))
    aliases = {inventory.frames[key].path: tuple(paths) for key, paths in inventory.aliases.items()}

    def make() -> dict[str, ModuleRecord]:
        return {
            frame.path: ModuleRecord(
                path=frame.path,
                type=frame.module_type,
                own_params=owned,
                calls=frame.calls,
                input_shapes=tuple(frame.input_shapes),
                output_shapes=tuple(frame.output_shapes),
                leaf=leaf,
                hyper=_hyper(*leaves[frame.path]) if leaf else {},
                aliases=aliases.get(frame.path, ()),
            )
            for frame, owned, leaf in rows
        }

    return make


def _hyper(names: tuple[str, ...], values: tuple[Any, ...]) -> dict[str, Any]:
    """The plain public attributes of a leaf module: numbers, words and tuples of them."""
    return {
        name: value
        for name, value in zip(names, values, strict=False)
        if value is None or isinstance(value, (int, float, str, tuple))
    }


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else ""


def _clause(subject: _Subject, error: Exception, *runs: Callable[..., bool]) -> str:
    """What the model seems to want, "" where that cannot be said of such inputs."""
    try:
        return wanted_input(subject.module, subject.args, subject.kwargs, error, *runs)
    except Exception:
        return ""


def _failure(subject: _Subject, error: Exception) -> ModelFailedError:
    def runs(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        _reset(subject.inventory)
        try:
            _run(replace(subject, args=args, kwargs=kwargs, train=False), "meta", True, "")
        except Exception:
            return False
        return True

    clause = _clause(subject, error, runs)
    told = f"{type(error).__name__}: {_first_line(error)}".rstrip(": ")
    return ModelFailedError(f"{subject.label} raised {told}{clause and f'; {clause}'}")


__all__ = ["RuleError", "count"]
