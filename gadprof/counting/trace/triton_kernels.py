"""Triton kernels that a model launches itself, recorded instead of run while it is on meta.

A launch (``kernel[grid](…)``) is invisible to torch. While a count runs, one on meta tensors
becomes an operation ``triton.KERNEL``: its tensors are what it reads, what it writes is not known,
and it costs what the user's rule says or is listed as uncovered. A launch on real tensors runs as
ever. Kernels behind ``torch.library.triton_op`` are seen by torch and are that operation.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from gadprof.counting.rules.registry import operation_name
from gadprof.counting.trace.patches import beneath, seen_here
from gadprof.counting.trace.recorder import Recorder
from gadprof.counting.trace.trees import tensors_in


@contextlib.contextmanager
def launches_recorded(recorder: Recorder) -> Iterator[None]:
    """Record launches until the end; does nothing where triton has not been imported."""
    jit = sys.modules.get("triton.runtime.jit")
    if jit is None:
        yield
        return
    interface: Any = jit.KernelInterface
    launch = beneath(interface, "__getitem__")

    def recorded(kernel: Any, grid: Any) -> Any:
        real = launch(kernel, grid)

        def call(*args: Any, **kwargs: Any) -> Any:
            ins = [*tensors_in(args), *tensors_in(kwargs)]
            if not any(tensor.is_meta for tensor in ins):
                return real(*args, **kwargs)
            recorder.record(operation_name(kernel), "default", args, kwargs, ins, [])
            return None

        return call

    with seen_here(interface, {"__getitem__": recorded}):
        yield
