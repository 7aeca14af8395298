"""Timing on a CUDA device: events around each run, one synchronisation a turn.

Promises: nothing but the model lies between the two events of a sample; events are recorded on the
current stream; the device is synchronised once before and once after a turn, never between its
samples; a requested L2 flush happens before the start event. Every function takes ``cuda`` (the
module ``torch.cuda``, or a stand-in that records its calls). Refuses nothing: whether there is a
device is checked before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

GRAPH_WARMUP_RUNS = 3


class EventTimer:
    """Takes samples with pairs of CUDA events."""

    def __init__(self, cuda: Any, flush: Callable[[], None] | None = None) -> None:
        self._cuda = cuda
        self._flush = flush

    def sample(self, run: Callable[[], Any], count: int) -> list[int]:
        """Device nanoseconds of each of ``count`` runs."""
        cuda = self._cuda
        pairs = [
            (cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)) for _ in range(count)
        ]
        stream = cuda.current_stream()
        cuda.synchronize()
        for start, end in pairs:
            if self._flush is not None:
                self._flush()
            start.record(stream)
            run()
            end.record(stream)
        cuda.synchronize()
        return [round(start.elapsed_time(end) * 1e6) for start, end in pairs]


class L2Flusher:
    """Overwrites a buffer of twice the L2 cache on the device; ``nbytes`` is what it takes there.

    The overwriting is queued on the current stream like the model's kernels: nothing waits for it.
    """

    def __init__(self, torch: Any, device: str) -> None:
        properties = torch.cuda.get_device_properties(device)
        self.nbytes = 2 * int(getattr(properties, "L2_cache_size", 0) or 64 * 2**20)
        self._buffer = torch.empty(self.nbytes, dtype=torch.int8, device=device)

    def __call__(self) -> None:
        self._buffer.zero_()


def capture_graph(cuda: Any, run: Callable[[], Any]) -> Callable[[], Any]:
    """Capture one run as a CUDA graph after warm-up runs on a side stream.

    Returns a function that replays it and returns the outputs' static tensors.
    """
    side = cuda.Stream()
    side.wait_stream(cuda.current_stream())
    with cuda.stream(side):
        for _ in range(GRAPH_WARMUP_RUNS):
            run()
    cuda.current_stream().wait_stream(side)
    graph = cuda.CUDAGraph()
    with cuda.graph(graph):
        outputs = run()

    def replay() -> Any:
        graph.replay()
        return outputs

    return replay


def peak_memory(cuda: Any, run: Callable[[], Any], apart_bytes: int = 0) -> tuple[int, int, int]:
    """Peak allocated, peak reserved, and allocated-before bytes of one run.

    ``apart_bytes`` are held for the measurement and not by the model (the L2 flush's buffer); they
    are in none of the three.
    """
    cuda.synchronize()
    cuda.empty_cache()
    cuda.reset_peak_memory_stats()
    before = int(cuda.memory_allocated())
    outputs = run()
    cuda.synchronize()
    del outputs
    found = (cuda.max_memory_allocated(), cuda.max_memory_reserved(), before)
    allocated, reserved, held = (int(value) - apart_bytes for value in found)
    return allocated, reserved, held
