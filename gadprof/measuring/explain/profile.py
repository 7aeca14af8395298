"""One model's time by stage and operation class, from ``torch.profiler``.

Promises: every microsecond of the profiled runs is in exactly one place: a top-level operation's
class and stage, or "between operations" (Python, dispatch of views, idle device). Hooks are
removed afterwards, also after an exception. Times are of the profiled runs; whoever explains them
scales them to the unprofiled latency. Refuses nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from gadprof.measuring.explain.classes import FRAMEWORK, OUTSIDE, class_of_event
from gadprof.measuring.explain.stages import stages_of

if TYPE_CHECKING:
    from gadprof.measuring.settings import Setting

MARK = "gadprof.stage:"
ROOT = "gadprof.run"


@contextlib.contextmanager
def marked_stages(module: Any) -> Iterator[None]:
    """Put a profiler range around every call of a stage's module while the block runs."""
    from torch.profiler import record_function

    stages = stages_of(module)
    handles = []
    open_ranges: list[Any] = []

    def enter(stage: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            mark: Any = record_function(MARK + stage)
            mark.__enter__()
            open_ranges.append(mark)

        return hook

    def leave(*_: Any) -> None:
        if open_ranges:
            open_ranges.pop().__exit__(None, None, None)

    modules = dict(module.named_modules())
    try:
        for path, stage in stages.names.items():
            handles.append(modules[path].register_forward_pre_hook(enter(stage)))
            handles.append(modules[path].register_forward_hook(leave, always_call=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def profile_run(
    run: Callable[[], Any],
    module: Any,
    setting: Setting,
    *,
    runs: int,
    trace_path: str | None = None,
) -> dict[str, Any]:
    """Profile ``runs`` runs; seconds a run by (stage, class), and how many kernels a run.

    With ``trace_path`` a Chrome trace is written there (it opens in Perfetto too).
    """
    from torch.profiler import ProfilerActivity, profile, record_function

    on_cuda = setting.device.startswith("cuda")
    activities = [ProfilerActivity.CPU]
    if on_cuda:
        activities.append(ProfilerActivity.CUDA)
    with marked_stages(module):
        run()
        with profile(activities=activities, record_shapes=True) as profiler:
            for _ in range(runs):
                with record_function(ROOT):
                    run()
            if on_cuda:
                import torch

                torch.cuda.synchronize()
    if trace_path is not None:
        profiler.export_chrome_trace(trace_path)
    return summarise(list(profiler.events() or ()), runs, on_cuda=on_cuda)


def summarise(events: list[Any], runs: int, *, on_cuda: bool) -> dict[str, Any]:
    """Add events up. Each has ``name``, ``cpu_parent``, times in microseconds and input shapes."""
    spent: dict[tuple[str, str], float] = {}
    counted: dict[tuple[str, str], int] = {}
    roots = covered = 0.0
    kernels = 0
    for event in events:
        device = str(getattr(event, "device_type", ""))
        if "CUDA" in device:
            kernels += 1
            continue
        if event.name == ROOT:
            roots += event.cpu_time_total
            continue
        if not event.name.startswith("aten::"):
            continue
        stage, top_level, inside = _place(event)
        if not top_level or not inside:
            continue
        word = class_of_event(
            event.name, event.input_shapes or (), getattr(event, "concrete_inputs", None) or ()
        )
        seconds = (event.device_time_total if on_cuda else event.cpu_time_total) / 1e6
        if word == "view":
            word = FRAMEWORK
        else:
            if not on_cuda:
                kernels += 1
            counted[stage, word] = counted.get((stage, word), 0) + 1
        spent[stage, word] = spent.get((stage, word), 0.0) + seconds
        covered += seconds
    rest = max(0.0, roots / 1e6 - covered)
    if rest:
        key = (OUTSIDE, FRAMEWORK)
        spent[key] = spent.get(key, 0.0) + rest
    return {
        "seconds": [[stage, word, value / runs] for (stage, word), value in spent.items()],
        "operations": [[stage, word, value / runs] for (stage, word), value in counted.items()],
        "kernels": kernels / runs,
        "profiled_s": sum(spent.values()) / runs,
    }


def _place(event: Any) -> tuple[str, bool, bool]:
    """An operation's stage, whether no other operation encloses it, and whether a run does."""
    stage = ""
    top_level = True
    inside = False
    parent = event.cpu_parent
    while parent is not None:
        if parent.name.startswith(MARK):
            stage = stage or parent.name[len(MARK) :]
        elif parent.name == ROOT:
            inside = True
        elif parent.name.startswith("aten::"):
            top_level = False
            break
        parent = parent.cpu_parent
    return stage or OUTSIDE, top_level, inside
