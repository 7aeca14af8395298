"""Neural processors of phones: one form for all devices, and each one's factor of speed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gadprof.prediction.fit import (
    Fit,
    cells_of_plain,
    counts_of,
    member_of,
    plain_cells,
    plain_member,
)
from gadprof.prediction.gaussian_process import GaussianProcess, plain_process, read_process
from gadprof.prediction.launch import KINDS, Host
from gadprof.prediction.model import Coefficients
from gadprof.prediction.placement import Placement, plain_placement, read_placement
from gadprof.prediction.way import Way


@dataclass(frozen=True)
class Phones:
    """Neural processors of phones: one form for all, and each device's factor of speed.

    ``devices`` has, by short name, the name, the logarithm of its factor and on how many networks
    it was measured; ``once`` is what a pass takes beside its operations (s); ``process`` is the
    networks' second estimate, None where they are too few for it; the rest is as in ``Fit``, with
    networks in the place of families.
    """

    precision: str
    dtype: str
    width: int
    member: Coefficients
    once: float
    devices: Mapping[str, tuple[str, float, int]]
    seen: tuple[int, ...]
    cells: frozenset[int]
    source: str
    cv: Mapping[str, Any]
    placements: tuple[Placement, ...] = ()
    process: GaussianProcess | None = None

    def fits(self) -> dict[str, Fit]:
        """One fit a device."""
        found = {}
        for device, (name, factor, networks) in self.devices.items():
            base = self.member.base + np.array([-1.0, -1.0, 1.0]) * factor
            speed = float(np.exp(factor))
            key = f"{device}-{self.dtype}"
            found[key] = Fit(
                key=key,
                device=device,
                layout="nchw",
                dtype=self.dtype,
                kind="npu",
                way=Way(compiled=True, width=self.width),
                reparam=False,
                members=(replace(self.member, base=base),),
                seen=self.seen,
                cells=self.cells,
                least_batch=1,
                most_batch=1,
                least_kernel_s=0.0,
                models=networks,
                families=networks,
                source=f"{name}: {self.source}",
                method="one form for all phones, times the device's factor, fitted",
                cv=self.cv,
                host=Host((0.0,) * len(KINDS), self.once * speed),
                placements=tuple(one for one in self.placements if device in one.devices),
                process=None if self.process is None else self.process.times(speed),
            )
        return found


def read_phones(plain: Mapping[str, Any]) -> Phones:
    """Phones from their JSON object. Raises KeyError, TypeError or ValueError."""
    values = dict(plain)
    values["member"] = member_of(values["member"])
    values.setdefault("once", 0.0)
    values.pop("least_kernel_s", None)  # of older files: a phone has a host instead
    values["devices"] = {key: tuple(value) for key, value in values["devices"].items()}
    values["seen"] = counts_of(values["seen"])
    values["cells"] = cells_of_plain(values["cells"])
    values["placements"] = tuple(map(read_placement, values.get("placements", ())))
    if values.get("process") is not None:
        values["process"] = read_process(values["process"])
    return Phones(**values)


def plain_phones(phones: Phones) -> dict[str, Any]:
    """Their JSON object, as ``read_phones`` takes it."""
    return {
        "precision": phones.precision,
        "dtype": phones.dtype,
        "width": phones.width,
        "member": plain_member(phones.member),
        "once": phones.once,
        "devices": {key: list(value) for key, value in phones.devices.items()},
        "seen": list(phones.seen),
        "cells": plain_cells(phones.cells),
        "source": phones.source,
        "cv": dict(phones.cv),
        "placements": [plain_placement(one) for one in phones.placements],
        "process": None if phones.process is None else plain_process(phones.process),
    }
