"""One device's fit: its coefficients, what they were fitted to, and how far they are to be trusted.

Promises frozen values, and the plain form of coefficients as whole thousandths.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gadprof.prediction.features import CLASSES
from gadprof.prediction.gaussian_process import GaussianProcess
from gadprof.prediction.launch import Host
from gadprof.prediction.model import GROUPS, TERMS, Coefficients
from gadprof.prediction.placement import Placement
from gadprof.prediction.way import Way

SCALE = 1000  # coefficients but the base are kept as whole thousandths


@dataclass(frozen=True)
class Fit:
    """One device's coefficients, what they were fitted to, and their error on what was left out.

    The predicted time is the mean over ``members``, and where there is a ``process`` the geometric
    mean of that and its own. ``dtype`` is amp or a plain format;
    ``way`` says how the device runs a model, ``reparam`` whether the measured models had their
    branches fused where their library can; ``kind`` is gpu or cpu. ``seen`` counts the families in
    which each class of operation occurred, ``cells`` are the shapes that enough of them had
    (``novelty``); ``least_batch`` and ``most_batch`` bound the measured batch sizes, and
    ``least_kernel_s`` is the mean time of a kernel below which the host sets the pace; ``host``
    what it takes then, None where nothing is known of that and such a batch is refused;
    ``placements`` say what leaves a neural processor in which runtime. ``method``
    says how the coefficients came about; ``cv`` holds the errors on what was left out, relative:
    ``mean_absolute_error``, ``median_absolute_error``, ``within_10_percent`` and ``log_error_95``,
    the half width of the 95 % interval of a prediction's logarithm, which ``novelty_slope`` widens.
    """

    key: str
    device: str
    layout: str
    dtype: str
    kind: str
    way: Way
    reparam: bool
    members: tuple[Coefficients, ...]
    seen: tuple[int, ...]
    cells: frozenset[int]
    least_batch: int
    most_batch: int
    least_kernel_s: float
    models: int
    families: int
    source: str
    method: str
    cv: Mapping[str, Any]
    host: Host | None = None
    placements: tuple[Placement, ...] = ()
    process: GaussianProcess | None = None

    @property
    def mode(self) -> str:
        """What was measured: eager or compiled inference, or a training step."""
        if self.way.train:
            return "train"
        return "compiled" if self.way.compiled else "eager"

    def times(self, factor: float, timed: int) -> Fit:
        """The same device with every time multiplied, as ``timed`` measured models have it."""
        move = np.log(factor) * np.array([-1.0, -1.0, 1.0])
        members = tuple(replace(member, base=member.base + move) for member in self.members)
        host = self.host
        if host is not None:
            host = Host(tuple(cost * factor for cost in host.costs), host.once * factor)
        process = None if self.process is None else self.process.times(factor)
        width = self.cv.get("timed_log_error_95", self.cv["log_error_95"])
        method = (
            f"times {factor:.3g} as {timed} timed model{'s' * (timed > 1)} had it, {self.method}"
        )
        cv = {**self.cv, "log_error_95": width}
        least_kernel_s = self.least_kernel_s * factor
        return replace(
            self,
            members=members,
            host=host,
            process=process,
            method=method,
            cv=cv,
            least_kernel_s=least_kernel_s,
        )


def slug(name: str) -> str:
    """A device's name for the command line."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def key_of(device: str, layout: str, way: Way, kind: str) -> str:
    """The name of a fit: device and layout, and what is unusual for its kind of device."""
    usual = way.compiled == (kind == "cpu")
    words = [device, layout, *["train"] * way.train]
    if not usual:
        words.append("compiled" if way.compiled else "eager")
    return "-".join(words)


def counts_of(seen: list[int]) -> tuple[int, ...]:
    """Families by class, 0 for the classes that are newer than the file."""
    return tuple([int(count) for count in seen] + [0] * (len(CLASSES) - len(seen)))


def cells_of_plain(gaps: Sequence[int]) -> frozenset[int]:
    """Cells from the gaps between them, as the file keeps them."""
    return frozenset(np.cumsum(gaps).tolist())


def plain_cells(cells: frozenset[int]) -> list[int]:
    """The gaps between sorted cells, as ``cells_of_plain`` takes them."""
    return [int(gap) for gap in np.diff(sorted(cells), prepend=0)]


def member_of(plain: Mapping[str, Any]) -> Coefficients:
    """Coefficients from their JSON object. Raises ValueError."""
    base = np.array(plain["base"], dtype=np.float64)
    table = np.zeros((len(CLASSES), 2, 1 + TERMS))
    for index, sides in plain["classes"].items():
        for side, numbers in enumerate(sides):
            if numbers:
                table[int(index), side] = np.array(numbers, dtype=np.float64) / SCALE
    shared = np.array(plain["shared"], dtype=np.float64) / SCALE
    if base.shape != (3,) or shared.shape != (GROUPS, 2, TERMS):
        raise ValueError(f"base and shared have shapes {base.shape} and {shared.shape}")
    if not all(np.isfinite(part).all() for part in (base, table, shared)):
        raise ValueError("a coefficient is not finite")
    return Coefficients(
        base, table[:, :, 0], table[:, :, 1:].transpose(0, 2, 1), shared.transpose(0, 2, 1)
    )


def plain_member(found: Coefficients) -> dict[str, Any]:
    """The JSON object of coefficients, as ``member_of`` takes it."""
    table = np.concatenate([found.offset[:, :, None], found.shape.transpose(0, 2, 1)], axis=2)
    numbers = np.rint(SCALE * table).astype(int)
    return {
        "base": np.round(found.base, 4).tolist(),
        "classes": {
            str(index): [side.tolist() if side.any() else [] for side in sides]
            for index, sides in enumerate(numbers)
            if sides.any()
        },
        "shared": np.rint(SCALE * found.shared.transpose(0, 2, 1)).astype(int).tolist(),
    }
