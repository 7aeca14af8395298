"""In which order the models take their turns.

Promises: within a block every model has exactly one turn, in an order drawn afresh for each block
from a seeded generator, so that drift and periodic noise hit all of them alike. Refuses an empty
list of names.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence

TURN_S = 0.04
MAX_TURN_SAMPLES = 400
# a model whose one run is shorter than this finds the caches filled by the others
CACHE_SENSITIVE_S = 0.02


def blocks(names: Sequence[str], seed: int = 0) -> Iterator[tuple[str, ...]]:
    """Endless blocks, each a fresh random permutation of ``names``."""
    if not names:
        raise ValueError("no names to schedule; give at least one")
    generator = random.Random(seed)
    order = list(names)
    while True:
        generator.shuffle(order)
        yield tuple(order)


def turn_samples(latency_s: float, turn_s: float = TURN_S) -> int:
    """How many runs a model makes in one turn: about ``turn_s`` worth of them, at least one."""
    if not (latency_s > 0 and math.isfinite(latency_s)):
        return MAX_TURN_SAMPLES
    return max(1, min(MAX_TURN_SAMPLES, round(turn_s / latency_s)))


def refresh_runs(latency_s: float) -> int:
    """Untimed runs at the start of a turn, which bring a short model's data back into the caches.

    A long run moves more data than the caches hold, so that it needs none.
    """
    return 1 if latency_s < CACHE_SENSITIVE_S else 0
