"""Cards that were measured together: one form for all, each card's rates, and its host's speed.

Promises a fit for each machine that was measured, and one for a card of which only the data sheet
is known: the sheet's peaks times what cards of its maker reached of theirs, and the measured hosts'
mean. A host's costs are one vector for all times the machine's factor; ``once`` a pass is its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
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
from gadprof.prediction.launch import Host
from gadprof.prediction.model import Coefficients
from gadprof.prediction.way import Way


@dataclass(frozen=True)
class Machine:
    """A machine with a card: logarithms of what its card is beside the common form and its host.

    ``rate`` and ``bandwidth`` move the form's first two bases, ``host`` the host's costs; ``once``
    is seconds a pass.
    """

    device: str
    source: str
    rate: float
    bandwidth: float
    host: float
    once: float
    least_batch: int
    most_batch: int
    networks: int


@dataclass(frozen=True)
class Cards:
    """All machines in one number format.

    ``reached`` gives, by maker, the logarithms of the share of a sheet's peaks that cards reach;
    ``other_host`` is a host that nobody measured, as the cards' makers' hosts scatter. ``cv`` is of
    networks left out, ``cv_sheet`` of cards left out, and of each maker's ``by_maker``.
    """

    dtype: str
    width: int
    member: Coefficients
    costs: tuple[float, ...]
    machines: tuple[Machine, ...]
    reached: Mapping[str, tuple[float, float]]
    other_host: Host
    seen: tuple[int, ...]
    cells: frozenset[int]
    families: int
    cv: Mapping[str, Any]
    cv_sheet: Mapping[str, Any]

    @property
    def way(self) -> Way:
        """How the machines ran: eagerly, with a torch older than 2.0."""
        return Way(gpu=True, fused_attention=False, width=self.width)

    def fits(self) -> dict[str, Fit]:
        """A fit a machine; a second machine with the same card has a number."""
        found: dict[str, Fit] = {}
        for machine in self.machines:
            key, number = f"{machine.device}-{self.dtype}", 1
            while key in found:
                number += 1
                key = f"{machine.device}-{self.dtype}-{number}"
            host = Host(self._costs(machine.host), machine.once)
            found[key] = replace(
                self._fit(key, machine.device, machine.rate, machine.bandwidth, host),
                least_batch=machine.least_batch,
                most_batch=machine.most_batch,
                models=machine.networks,
                source=machine.source,
            )
        return found

    def of_sheet(self, device: str, maker: str, flops_per_s: float, bytes_per_s: float) -> Fit:
        """A card by its peaks alone."""
        rate, bandwidth = self.reached[maker]
        fit = self._fit(
            f"{device}-{self.dtype}",
            device,
            float(np.log(flops_per_s)) + rate,
            float(np.log(bytes_per_s)) + bandwidth,
            self.other_host,
        )
        of_maker = "by its data sheet, not measured, and what other cards reach of theirs"
        cv = self.cv_sheet.get("by_maker", {}).get(maker, self.cv_sheet)
        return replace(fit, method=of_maker, cv=cv)

    def _costs(self, factor: float) -> tuple[float, ...]:
        return tuple(float(cost * np.exp(factor)) for cost in self.costs)

    def _fit(self, key: str, device: str, rate: float, bandwidth: float, host: Host) -> Fit:
        base = self.member.base + np.array([rate, bandwidth, 0.0])
        return Fit(
            key=key,
            device=device,
            layout="nchw",
            dtype=self.dtype,
            kind="gpu",
            way=self.way,
            reparam=False,
            members=(replace(self.member, base=base),),
            seen=self.seen,
            cells=self.cells,
            least_batch=min(machine.least_batch for machine in self.machines),
            most_batch=max(machine.most_batch for machine in self.machines),
            least_kernel_s=0.0,
            models=max(machine.networks for machine in self.machines),
            families=self.families,
            source=", ".join(dict.fromkeys(machine.source for machine in self.machines)),
            method="one form for all cards, times the card's rates, fitted",
            cv=self.cv,
            host=host,
        )


def read_cards(plain: Mapping[str, Any]) -> Cards:
    """Cards from their JSON object. Raises KeyError, TypeError or ValueError."""
    values = dict(plain)
    values["member"] = member_of(values["member"])
    values["costs"] = tuple(values["costs"])
    values["machines"] = tuple(Machine(**machine) for machine in values["machines"])
    values["reached"] = {maker: tuple(pair) for maker, pair in values["reached"].items()}
    host = values["other_host"]
    values["other_host"] = Host(tuple(host["costs"]), host["once"], host["log_error_95"])
    values["seen"] = counts_of(values["seen"])
    values["cells"] = cells_of_plain(values["cells"])
    return Cards(**values)


def plain_cards(cards: Cards) -> dict[str, Any]:
    """Their JSON object, as ``read_cards`` takes it."""
    plain = {name: getattr(cards, name) for name in Cards.__dataclass_fields__}
    return plain | {
        "member": plain_member(cards.member),
        "costs": _short(cards.costs),
        "machines": [_rounded(asdict(machine)) for machine in cards.machines],
        "other_host": _rounded(asdict(cards.other_host)),
        "seen": list(cards.seen),
        "cells": plain_cells(cards.cells),
        "cv": dict(cards.cv),
        "cv_sheet": dict(cards.cv_sheet),
    }


def _rounded(plain: dict[str, Any]) -> dict[str, Any]:
    return {name: _short(value) for name, value in plain.items()}


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    return [_short(item) for item in value] if isinstance(value, (tuple, list)) else value
