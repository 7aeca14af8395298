"""``torch.compile`` with its default mode; compilation happens before the first sample.

On the CPU it generates C++, so that a C++ compiler must be present: without one the row says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gadprof.measuring.runtimes import Prepared
from gadprof.measuring.runtimes.eager import step

if TYPE_CHECKING:
    from gadprof.measuring.settings import Setting


def prepare(
    module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], setting: Setting
) -> Prepared:
    """Compile, run once so that the compiler's time stays out of the samples, and count graphs."""
    import time

    import torch
    from torch._dynamo.utils import counters

    counters.clear()
    compiled = torch.compile(module)
    run = step(compiled, args, kwargs, setting)
    started = time.perf_counter()
    run()
    run()
    seconds = time.perf_counter() - started
    breaks = sum(counters["graph_break"].values())
    graphs = counters["stats"].get("unique_graphs", 0)
    note = f"torch.compile took {seconds:.1f} s for {graphs} graph(s), {breaks} graph break(s)"
    return Prepared(run, f"torch {torch.__version__} (inductor)", (note,))
