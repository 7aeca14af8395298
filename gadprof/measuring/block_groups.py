"""Many blocks against the convolution that they replace, in any runtime, size by size.

Promises that the blocks of one size take their turns interleaved with one convolution, each in a
process of its own, and that a runtime's file of a block is made once. A block that a runtime
refuses has its own line, the others stand. Refuses a runtime that is not installed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gadprof.measuring.block_pairs import MeasuredPair
from gadprof.measuring.designs import check_runnable
from gadprof.measuring.settings import Setting

Factory = dict[str, Any]


@dataclass(frozen=True)
class BlockGroup:
    """A convolution and the blocks that replace it: names and factories, the convolution first."""

    names: tuple[str, ...]
    factories: tuple[Factory, ...]


def measure_group(
    group: BlockGroup,
    setting: Setting,
    *,
    precision: float,
    block_limit_s: float,
    timeout_s: float = 600.0,
    on_turn: Callable[[int, str, Setting, Sequence[float]], None] | None = None,
) -> dict[str, MeasuredPair]:
    """A pair for every block of a group, by name; sampling takes ``block_limit_s`` a block at most.

    Raises SettingError, MissingExtraError, KeyboardInterrupt.
    """
    from gadprof.measuring.bench import measure

    check_runnable(setting)
    result = measure(
        list(group.names), setting, factories=list(group.factories), precision=precision,
        time_limit_s=block_limit_s * len(group.names), timeout_s=timeout_s, launches=1, null=False,
        memory=False, energy=False, on_turn=on_turn,
    )  # fmt: skip
    if result.interrupted:
        raise KeyboardInterrupt
    first = result.rows[0]
    reference_s = first.latency_s.median if first.latency_s else None
    found = {}
    for row in result.rows[1:]:
        if row.ratio is None or row.latency_s is None:
            why = first.error or row.error or row.ratio_absent or "not measured"
            found[row.model] = MeasuredPair(None, None, None, error=why)
            continue
        low, high = row.ratio.ci95
        found[row.model] = MeasuredPair(
            1 / row.ratio.value, (1 / high, 1 / low), None, row.latency_s.median, reference_s,
            blocks=row.ratio.blocks,
        )  # fmt: skip
    return found
