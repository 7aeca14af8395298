"""What a group of comparable rows has sampled so far, and whether that is enough.

Promises: ratios are formed block by block and kept apart by launch; new processes are asked for
only where they leave time to sample. Talks to no worker.
"""

from __future__ import annotations

import math
import statistics as stdlib_statistics
from bisect import bisect_right
from collections.abc import Mapping
from typing import TypeVar

from gadprof.measuring import statistics
from gadprof.measuring.entry import Entry, Limits
from gadprof.measuring.progress import RowProgress
from gadprof.measuring.warmup import AGAIN, MINIMUM_S

# what ending a worker and forking another takes beside loading its model
FORK_S = 0.15
# blocks between two launches at least, and the share of the time limit that one launch may take
SEGMENT_BLOCKS = 4
MAX_LAUNCH_SHARE = 0.25

Value = TypeVar("Value")


class GroupSamples:
    """The rows that are comparable with each other, their turns, and the launches between."""

    def __init__(self, members: list[Entry], limits: Limits, *, share_s: float, seed: int) -> None:
        self.members = members
        self.limits = limits
        self.share_s = share_s
        self.seed = seed
        self.null: Entry | None = None
        self.blocks = 0
        self.seconds = 0.0
        # the number of the first block of every launch
        self.launched_at = [0]
        self.launch_s = 0.0
        self.launching_s = 0.0
        self.ratios: dict[str, statistics.Estimate | None] = {}

    @property
    def reference(self) -> Entry:
        """The row that the others are divided by: the first."""
        return self.members[0]

    def entries(self) -> list[Entry]:
        """All rows and the null."""
        return [*self.members, *([self.null] if self.null else [])]

    def label(self, entry: Entry) -> str:
        """The model's name, with what else tells it from the group's other rows."""
        words = []
        if len({member.setting.runtime for member in self.members}) > 1:
            words.append(entry.setting.runtime)
        if len({member.setting.channels_last for member in self.members}) > 1:
            words.append("channels last" if entry.setting.channels_last else "contiguous")
        return f"{entry.model} ({', '.join(words)})" if words else entry.model

    def comparable(self, entry: Entry) -> bool:
        """Whether a row's input is the reference's."""
        return bool(entry.loaded.get("input_shapes") == self.reference.loaded.get("input_shapes"))

    def paired_logs(self, entry: Entry) -> list[list[float]]:
        """log(median of the entry's turn / median of the reference's turn), block by block, a list
        for every launch."""
        reference = self.reference.turns
        return self._by_launch(
            {
                block: math.log(
                    max(stdlib_statistics.median(turn), 1e-9)
                    / max(stdlib_statistics.median(reference[block]), 1e-9)
                )
                for block, turn in entry.turns.items()
                if block in reference
            }
        )

    def turns_of(self, entry: Entry) -> list[list[list[float]]]:
        """The entry's turns, a list for every launch."""
        return self._by_launch(entry.turns)

    def _by_launch(self, values: Mapping[int, Value]) -> list[list[Value]]:
        groups: list[list[Value]] = [[] for _ in self.launched_at]
        for block, value in values.items():
            groups[bisect_right(self.launched_at, block) - 1].append(value)
        return [group for group in groups if group]

    def estimate(self, entry: Entry) -> statistics.Estimate | None:
        """The entry's ratio to the reference so far."""
        return statistics.ratio_of_launches(self.paired_logs(entry), seed=self.seed)

    def narrow_enough(self) -> bool:
        """Whether every interval is as narrow as was asked for."""
        wanted = self.limits.precision
        others = [e for e in self.members[1:] if e.alive and self.comparable(e)]
        if self.reference.alive and others:
            self.ratios = {entry.key: self.estimate(entry) for entry in others}
            return all(
                estimate is not None and estimate.half_width <= wanted
                for estimate in self.ratios.values()
            )
        for entry in self.members:
            if entry.alive:
                median = statistics.median_of_launches(self.turns_of(entry), seed=self.seed)
                if median is None or median.half_width > wanted:
                    return False
        return True

    def enough_launches(self, ends: bool) -> bool:
        """Whether the interval may be looked at: at a launch's end, and after enough of them to
        tell launches from models, or as many as there will be."""
        if len(self.launched_at) >= statistics.MIN_BATCHES:
            return ends or len(self.launched_at) == self.limits.launches
        return not ends and not self._may_launch()

    def segment_ends(self) -> bool:
        """Whether it is time for another launch of every model.

        A segment lasts at least as long as launching takes, so that at most half of the time goes
        into launches, and none is begun that leaves no time to sample.
        """
        blocks = self.blocks - self.launched_at[-1]
        return (
            blocks >= SEGMENT_BLOCKS
            and blocks * self._block_s >= self.launch_s
            and self._may_launch()
        )

    @property
    def _block_s(self) -> float:
        """How long a block takes, launches apart."""
        return (self.seconds - self.launching_s) / self.blocks

    def _may_launch(self) -> bool:
        """Whether another launch is allowed, and leaves time to sample."""
        allowed = self.limits.launches
        if allowed is not None and len(self.launched_at) >= allowed:
            return False
        if self.launch_s > MAX_LAUNCH_SHARE * self.share_s:
            return False
        return self.seconds + self.launch_s + SEGMENT_BLOCKS * self._block_s < self.share_s

    def again_s(self) -> float:
        """What launching every model again should take: loading, and a warm-up that ends when the
        latency is the known one. Infinite where a worker does not tell how long it loaded."""
        total = 0.0
        for entry in self.entries():
            if entry.alive:
                assert entry.warm is not None
                warming = max(MINIMUM_S, (AGAIN + 1) * entry.warm.last_median_s)
                total += entry.loaded.get("load_s", math.inf) + warming + FORK_S
        return total

    def progress(self) -> tuple[RowProgress, ...]:
        """What there is of every row by now, for whoever watches."""
        rows = []
        for entry in self.members:
            flat = [sample for turn in entry.turns.values() for sample in turn]
            estimate = self.ratios.get(entry.key)
            rows.append(
                RowProgress(
                    self.label(entry),
                    len(flat),
                    stdlib_statistics.median(flat[-99:]) if flat else None,
                    estimate.value if estimate else None,
                    estimate.ci95 if estimate else None,
                    entry.failure.reason if entry.failure else None,
                )
            )
        return tuple(rows)
