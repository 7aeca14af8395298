"""The process that holds one model: started by the parent, paced by it, and expendable.

Promises: it does nothing between requests but wait in a read, so that only the model whose turn it
is uses the machine; samples are taken with the garbage collector off and nothing between the two
clock readings but the model. Refuses outputs that hold NaN.
"""

from __future__ import annotations

import contextlib
import gc
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gadprof.errors import GadprofError
from gadprof.measuring.probes.heap import keep_heap
from gadprof.measuring.settings import Setting

if TYPE_CHECKING:
    from gadprof.measuring.runtimes import Prepared


class NanOutputError(GadprofError):
    """The model returned NaN."""

    failure_kind = "nan"


@dataclass
class Held:
    """The one model of this process, loaded and ready."""

    setting: Setting
    module: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    run: Callable[[], Any]
    sample: Callable[[Callable[[], Any], int], list[int]]
    closers: tuple[Callable[[], None], ...]
    # the run itself where ``run`` replays a recording of it, and bytes that the timer holds
    plain_run: Callable[[], Any] | None = None
    apart_bytes: int = 0
    warming: list[float] = field(default_factory=list)


def service() -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Answers the requests of a measuring run; holds the model between them."""
    keep_heap()
    held: Held | None = None

    def answer(message: dict[str, Any]) -> dict[str, Any]:
        nonlocal held
        held, reply = serve(message, held)
        return reply

    return answer


def serve(message: dict[str, Any], held: Held | None) -> tuple[Held | None, dict[str, Any]]:
    """Answer one request; returns the model now held and the reply."""
    operation = message["operation"]
    if operation == "load":
        if held is not None:
            release(held)
        return load(message)
    if operation == "convert":
        return held, convert(message)
    if operation == "peaks":
        from gadprof.measuring.explain.roofline import measure_peaks

        return held, measure_peaks(
            Setting(**message["setting"]), quick=bool(message.get("quick", False))
        )
    if held is None:
        raise GadprofError(f"nothing is loaded, so that {operation!r} has no object")
    match operation:
        case "warmup":
            return held, warm_up(
                held, float(message["slice_s"]), float(message["limit_s"]), message.get("known_s")
            )
        case "sample":
            return held, take_turn(held, int(message["count"]), int(message["refresh"]))
        case "check":
            return held, check_outputs(held)
        case "memory":
            from gadprof.measuring.probes.memory import measure_memory

            use = measure_memory(
                held.plain_run or held.run,
                held.module,
                (*held.args, *held.kwargs.values()),
                held.setting,
                apart_bytes=held.apart_bytes,
            )
            return held, {**use, "predicted_peak_bytes": predict_peak(held)}
        case "energy":
            from gadprof.measuring.probes.energy import measure_energy

            return held, measure_energy(
                held.run, held.sample, held.setting.device, float(message["seconds"])
            )
        case "sensors":
            from gadprof.measuring.probes.nvml import read_sensors

            return held, {"sensors": read_sensors(held.setting.device)}
        case "work":
            from gadprof.measuring.explain.work import work_reply
            from gadprof.measuring.runtimes.onnx_graph import OnnxGraph

            if isinstance(held.module, OnnxGraph):
                raise GadprofError(
                    f"{held.module.path} is a file, whose operations cannot be timed here; "
                    "gadprof bench --runtime onnxruntime times the whole of it"
                )
            return held, work_reply(
                held.module, held.args, held.kwargs, train=held.setting.mode == "train"
            )
        case "profile":
            from gadprof.measuring.explain.profile import profile_run

            return held, profile_run(
                held.run,
                held.module,
                held.setting,
                runs=int(message["runs"]),
                trace_path=message.get("trace_path"),
            )
        case _:
            raise GadprofError(f"unknown request {operation!r}")


def load(message: dict[str, Any]) -> tuple[Held, dict[str, Any]]:
    """Build the model, its inputs and its runtime, or load the file that was made of it."""
    started = time.perf_counter()
    setting = _setting(message["setting"])
    _quieten(setting)
    converted = message.get("converted")
    if converted is not None:
        return _load_file(converted, setting, started)
    module, args, kwargs, shapes = _ready(message, setting)
    from gadprof.measuring.runtimes import prepare

    prepared = prepare(module, args, kwargs, setting)
    held = _held(prepared, setting, module, args, kwargs)
    return held, _loaded(prepared, shapes, started)


def convert(message: dict[str, Any]) -> dict[str, Any]:
    """Build the model and write its runtime's file into a folder."""
    setting = _setting(message["setting"])
    _quieten(setting)
    module, args, kwargs, shapes = _ready(message, setting)
    if message.get("weights"):
        from gadprof.models.counting import with_checkpoint

        with_checkpoint(module, message["weights"])
    from gadprof.measuring.runtimes.converted import convert_model

    convert_model(module, args, kwargs, setting, message["folder"], shapes, message.get("shared"))
    return {}


def _load_file(
    converted: dict[str, Any], setting: Setting, started: float
) -> tuple[Held, dict[str, Any]]:
    from gadprof.measuring.runtimes.converted import load_converted
    from gadprof.measuring.runtimes.onnx_graph import OnnxGraph

    prepared = load_converted(converted["folder"], setting)
    held = _held(prepared, setting, OnnxGraph(converted["folder"]), (), {})
    return held, _loaded(prepared, converted["input_shapes"], started)


def _held(
    prepared: Prepared,
    setting: Setting,
    module: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Held:
    run, sample, apart_bytes = _timer(prepared.run, setting)
    return Held(
        setting, module, args, kwargs, run, sample, prepared.closers, prepared.run, apart_bytes
    )


def _loaded(prepared: Prepared, shapes: Sequence[Sequence[int]], started: float) -> dict[str, Any]:
    return {
        "input_shapes": [list(shape) for shape in shapes],
        "runtime_version": prepared.version,
        "notes": list(prepared.notes),
        "difference": prepared.difference,
        "deployed": prepared.deployed,
        "load_s": time.perf_counter() - started,
        "pid": os.getpid(),
    }


def _quieten(setting: Setting) -> None:
    import torch

    # before any thread pool starts, since threads inherit it. An untrained network's activations
    # may sink to subnormal numbers, which a CPU computes several times slower than normal ones: a
    # difference between random weights, not between architectures
    torch.set_flush_denormal(True)
    torch.set_num_threads(setting.threads)
    with contextlib.suppress(RuntimeError):
        torch.set_num_interop_threads(1)


def _ready(
    message: dict[str, Any], setting: Setting
) -> tuple[Any, tuple[Any, ...], dict[str, Any], tuple[tuple[int, ...], ...]]:
    """The module in its mode and layout, on its device."""
    import torch

    module, args, kwargs, shapes = _build(message, setting)
    module.train(setting.mode == "train")
    if setting.channels_last:
        module = module.to(memory_format=torch.channels_last)
        args = tuple(
            value.contiguous(memory_format=torch.channels_last)
            if hasattr(value, "dim") and value.dim() == 4
            else value
            for value in args
        )
    if setting.device.startswith("cuda"):
        torch.cuda.set_device(setting.device)
        torch.backends.cudnn.benchmark = True
    return module, args, kwargs, shapes


def _setting(fields: dict[str, Any]) -> Setting:
    shapes = tuple(tuple(shape) for shape in fields["input_shapes"])
    return Setting(**{**fields, "input_shapes": shapes})


def _build(
    message: dict[str, Any], setting: Setting
) -> tuple[Any, tuple[Any, ...], dict[str, Any], tuple[tuple[int, ...], ...]]:
    import torch

    dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(setting.dtype)
    if setting.amp or setting.is_file:  # a file is made of the fp32 model, and then cast
        dtype = None
    factory = message.get("factory")
    if factory is not None:
        import importlib

        name, _, attribute = factory["function"].partition(":")
        torch.manual_seed(setting.seed)
        module, args = getattr(importlib.import_module(name), attribute)(**factory["arguments"])
        module = module.to(setting.device, dtype)
        args = tuple(value.to(setting.device, dtype) for value in args)
        return module, args, {}, tuple(tuple(value.shape[1:]) for value in args)
    from gadprof.models.sources import find_beside, resolve
    from gadprof.models.sources import load as load_source

    find_beside(message["model"])
    source = resolve(message["model"])
    if source.kind == "onnx":
        from gadprof.measuring.runtimes.onnx_graph import load_graph

        graph, named, shapes = load_graph(source.target, setting, source.inputs)
        return graph, (), named, shapes
    loaded = load_source(
        source,
        shapes=setting.input_shapes,
        batch=setting.batch,
        device=setting.device,
        dtype=dtype,
        seed=setting.seed,
    )
    return loaded.module, loaded.args, loaded.kwargs, loaded.input_shapes


def _timer(
    run: Callable[[], Any], setting: Setting
) -> tuple[Callable[[], Any], Callable[[Callable[[], Any], int], list[int]], int]:
    """What is run, what takes samples of it, and the device's bytes that the latter holds."""
    if setting.device.startswith("cuda"):
        import torch

        from gadprof.measuring.probes.cuda import EventTimer, L2Flusher, capture_graph

        if setting.cuda_graph:
            run = capture_graph(torch.cuda, run)
        flush = L2Flusher(torch, setting.device) if setting.flush_l2 else None
        return run, EventTimer(torch.cuda, flush).sample, flush.nbytes if flush else 0
    if setting.device == "mps":
        import torch

        def run_and_wait() -> Any:
            outputs = run()
            torch.mps.synchronize()
            return outputs

        return run_and_wait, wall_samples, 0
    return run, wall_samples, 0


def wall_samples(run: Callable[[], Any], count: int) -> list[int]:
    """Wall-clock nanoseconds of each of ``count`` runs."""
    clock = time.perf_counter_ns
    samples = [0] * count
    for index in range(count):
        started = clock()
        run()
        samples[index] = clock() - started
    return samples


def warm_up(
    held: Held, slice_s: float, limit_s: float, known_s: float | None = None
) -> dict[str, Any]:
    """Run for a slice of time; ``finished`` when the samples have settled or the limit is reached.

    In slices, so that the parent hears from a slow model often enough to know it from a hanging
    one.
    """
    from gadprof.measuring import warmup

    samples = held.warming
    started = time.perf_counter()
    while True:
        samples.append(held.sample(held.run, 1)[0] / 1e9)
        finished = warmup.finished(
            samples, elapsed_s=math.fsum(samples), limit_s=limit_s, known_s=known_s
        )
        if finished or time.perf_counter() - started >= slice_s:
            break
    if finished:
        gc.collect()
        gc.freeze()
    record = warmup.summarise(samples, math.fsum(samples))
    return {
        "finished": finished,
        "runs": record.runs,
        "seconds": record.seconds,
        "settled": record.settled,
        "first_s": record.first_s,
        "last_median_s": record.last_median_s,
    }


def take_turn(held: Held, count: int, refresh: int) -> dict[str, Any]:
    """One turn: ``refresh`` untimed runs, then ``count`` samples."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        for _ in range(refresh):
            held.run()
        return {"samples_ns": held.sample(held.run, count)}
    finally:
        if enabled:
            gc.enable()


def check_outputs(held: Held) -> dict[str, Any]:
    """Run once and look at every output value. Raises NanOutputError."""
    import torch

    from gadprof.measuring.runtimes import tensors

    notes: list[str] = []
    for index, output in enumerate(tensors(held.run())):
        values = torch.as_tensor(output).detach()
        if not values.is_floating_point():
            continue
        bad = int(values.isnan().sum())
        if bad:
            raise NanOutputError(
                f"output {index} holds NaN in {bad} of {values.numel()} values; "
                "its speed says nothing about a working model"
            )
        infinite = int(values.isinf().sum())
        if infinite:
            notes.append(f"output {index} holds {infinite} infinite values")
    children = _children()
    if children:
        notes.append(f"the model starts processes of its own ({children} alive)")
    return {"notes": notes}


def predict_peak(held: Held) -> int | None:
    """The peak that a count predicts for eager torch; None where it cannot be counted."""
    setting = held.setting
    if setting.runtime != "eager" or setting.amp:
        return None
    try:
        from gadprof.measuring.explain.work import predicted_peak

        return predicted_peak(
            held.module,
            held.args,
            held.kwargs,
            train=setting.mode == "train",
            kernels=setting.device == "cpu" and setting.threads == 1,
        )
    except (ImportError, GadprofError):
        return None


def _children() -> int:
    try:
        import psutil

        return len(psutil.Process().children(recursive=True))
    except Exception:
        return 0


def release(held: Held) -> None:
    """Let go of the model, so that another can be loaded."""
    gc.unfreeze()
    for close in held.closers:
        close()
    held.module = held.run = held.plain_run = held.args = None  # type: ignore[assignment]
    gc.collect()
