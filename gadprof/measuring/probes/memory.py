"""How much memory one run takes: the allocator's exact peak, and the process's.

Promises: on the CPU every allocation and release of torch's allocator in one run is recorded and
replayed, so that the peak is exact and not sampled; on CUDA the caching allocator's own peaks are
read. The peak counts what was resident before the run (weights, buffers, inputs) as well. Refuses
to report an allocator peak for a runtime that does not use torch's allocator.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gadprof.measuring.settings import Setting


@dataclass(frozen=True)
class MemoryUse:
    """Bytes of one run.

    ``peak_bytes`` is resident plus transient; ``transient_bytes`` the highest sum of allocations
    that the run itself made; ``resident_bytes`` weights, buffers and inputs, None of a file whose
    runtime alone knows them; ``reserved_bytes``
    what a caching allocator held of the device; ``process_*`` the whole process, libraries
    included.
    """

    peak_bytes: int | None
    transient_bytes: int | None
    resident_bytes: int | None
    reserved_bytes: int | None = None
    process_peak_bytes: int | None = None
    process_before_bytes: int | None = None
    allocations: int | None = None
    note: str = ""


def peak_of(changes: Iterable[int]) -> int:
    """The highest running sum of a sequence of allocations (positive) and releases (negative)."""
    level = peak = 0
    for change in changes:
        level += change
        peak = max(peak, level)
    return peak


def recorded_changes(run: Callable[[], Any]) -> tuple[int, ...]:
    """Every allocation and release of torch's CPU allocator during one run, in order, in bytes."""
    from torch._C._autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        outputs = run()
        del outputs
    events = profiler.profiler.kineto_results.events()
    memory = [
        (event.start_ns(), event.nbytes())
        for event in events
        if event.name() == "[memory]" and event.device_type() == DeviceType.CPU
    ]
    return tuple(size for _, size in sorted(memory, key=lambda item: item[0]))


def resident_bytes(module: Any, inputs: Iterable[Any]) -> int:
    """Bytes of all parameters, buffers and inputs, shared storage counted once."""
    seen: dict[int, int] = {}
    for tensor in [*module.parameters(), *module.buffers(), *inputs]:
        if hasattr(tensor, "untyped_storage"):
            storage = tensor.untyped_storage()
            seen[storage.data_ptr()] = storage.nbytes()
    return sum(seen.values())


def measure_memory(
    run: Callable[[], Any],
    module: Any,
    inputs: Iterable[Any],
    setting: Setting,
    *,
    apart_bytes: int = 0,
) -> dict[str, Any]:
    """One run's memory as the fields of ``MemoryUse``.

    ``apart_bytes`` of the device are held for the measurement and left out.
    """
    held = resident_bytes(module, inputs)
    if setting.device.startswith("cuda"):
        note = ""
        if setting.cuda_graph:
            note = (
                "of a run without the CUDA graph, beside the graph's outputs: a replay allocates "
                "nothing, its maps lie in the graph's own pool, which is in the reserved bytes"
            )
        return asdict(_cuda(run, held, apart_bytes, note))
    before = reset_process_peak()
    if setting.runtime not in ("eager", "compile", "torchscript"):
        outputs = run()
        del outputs
        use = MemoryUse(
            None,
            None,
            held or None,
            process_peak_bytes=process_peak(),
            process_before_bytes=before,
            note=f"{setting.runtime} does not use torch's allocator: only the process's peak",
        )
        return asdict(use)
    outputs = run()
    del outputs
    highest = process_peak()
    if setting.device != "cpu":
        note = f"no allocator record on {setting.device}"
        return asdict(MemoryUse(None, None, held, None, highest, before, None, note))
    changes = recorded_changes(run)
    transient = peak_of(changes)
    return asdict(
        MemoryUse(
            peak_bytes=held + transient,
            transient_bytes=transient,
            resident_bytes=held,
            process_peak_bytes=highest,
            process_before_bytes=before,
            allocations=sum(1 for change in changes if change > 0),
        )
    )


def _cuda(run: Callable[[], Any], held: int, apart_bytes: int, note: str) -> MemoryUse:
    import torch

    from gadprof.measuring.probes.cuda import peak_memory

    allocated, reserved, before = peak_memory(torch.cuda, run, apart_bytes)
    return MemoryUse(
        peak_bytes=allocated,
        transient_bytes=allocated - before,
        resident_bytes=held,
        reserved_bytes=reserved,
        process_peak_bytes=process_peak(),
        note=note,
    )


def _status_bytes(field: str) -> int | None:
    if not sys.platform.startswith("linux"):
        return None
    with open("/proc/self/status", encoding="ascii") as stream:
        for line in stream:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    return None


def reset_process_peak() -> int | None:
    """Set the kernel's high-water mark to the present size, which is returned."""
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w", encoding="ascii") as f:
        f.write("5")
    return _status_bytes("VmRSS")


def process_peak() -> int | None:
    """The most memory that the process held since the mark was set, or since it began."""
    peak = _status_bytes("VmHWM")
    if peak is not None:
        return peak
    try:
        import resource
    except ImportError:
        return None
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024
