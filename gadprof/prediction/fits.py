"""Fits of named devices: those that gadprof carries, and files that ``gadprof calibrate`` wrote.

Promises that a file which is no such file, is damaged or of another version is refused in one
line. A device without measurements but with a data sheet gets the coefficients of a measured one,
moved by the ratio of the sheets' peaks, with the error that this had between measured devices.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np

from gadprof.errors import DataError, SpecError, UnknownNameError, nearest
from gadprof.prediction.cards import Cards, plain_cards, read_cards
from gadprof.prediction.features import CLASSES
from gadprof.prediction.fit import (
    Fit,
    cells_of_plain,
    counts_of,
    member_of,
    plain_cells,
    plain_member,
)
from gadprof.prediction.model import Coefficients
from gadprof.prediction.phones import Phones, plain_phones, read_phones
from gadprof.prediction.sheets import card_sheets
from gadprof.prediction.way import Way
from gadprof.results import files

COEFFICIENTS = "latency_coefficients.json"
FITS_SCHEMA_VERSION = 4
WRITES = "'gadprof calibrate' writes one"


@lru_cache(maxsize=1)
def _carried() -> dict[str, Any]:
    text = resources.files("gadprof.data").joinpath(COEFFICIENTS).read_text()
    plain: dict[str, Any] = json.loads(text)
    return plain


@lru_cache(maxsize=1)
def fits() -> Mapping[str, Fit]:
    """Every fit that gadprof carries, by ``device-layout`` or ``device-format``.

    Cards that were measured in large batches alone have the other machines' host, as far as their
    own rows allow.
    """
    found = _fits(_carried(), COEFFICIENTS)
    together = cards()
    if not together:
        return found
    host = together["fp32"].other_host
    return {
        key: replace(fit, host=host.within(fit.least_kernel_s)) if _needs_host(fit) else fit
        for key, fit in found.items()
    }


def _needs_host(fit: Fit) -> bool:
    return fit.host is None and fit.kind == "gpu" and fit.mode == "eager"


@lru_cache(maxsize=1)
def cards() -> Mapping[str, Cards]:
    """The cards that were measured together, by number format."""
    return {one.dtype: one for one in map(read_cards, _carried().get("cards", []))}


_DAMAGED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def read_fits(text: str, name: str) -> Mapping[str, Fit]:
    """The fits of a coefficients file. Raises DataError."""
    told = f"{name!r} is no coefficients file: it"
    return _fits(files.parse_json(text, told, DataError, way_out=WRITES), name)


def _fits(plain: Any, name: str) -> Mapping[str, Fit]:
    if not isinstance(plain, dict) or not isinstance(plain.get("fits"), dict):
        raise DataError(f"{name!r} is no coefficients file; {WRITES}")
    if plain.get("schema_version") != FITS_SCHEMA_VERSION:
        raise DataError(
            f"{name!r} has schema version {plain.get('schema_version')!r}, not "
            f"{FITS_SCHEMA_VERSION}; calibrate again"
        )
    found = {}
    for key, values in plain["fits"].items():
        try:
            found[key] = _fit(key, values)
        except _DAMAGED as error:
            raise DataError(f"{name!r} is damaged at {key!r} ({error}); calibrate again") from error
    try:
        for values in plain.get("cards", []):
            found |= read_cards(values).fits()
        for values in plain.get("phones", []):
            found |= read_phones(values).fits()
    except _DAMAGED as error:
        told = f"{name!r} is damaged at its cards or phones ({error}); calibrate again"
        raise DataError(told) from error
    if not found:
        raise DataError(f"{name!r} holds no fit; calibrate again")
    return found


def _fit(key: str, plain: dict[str, Any]) -> Fit:
    values = dict(plain)
    names = list(values.pop("classes"))
    if names != list(CLASSES[: len(names)]):
        raise ValueError("its operation classes are not this version's")
    members = tuple(member_of(item) for item in values.pop("members"))
    if not members:
        raise ValueError("it has no members")
    values["seen"] = counts_of(values["seen"])
    values["cells"] = cells_of_plain(values["cells"])
    values["way"] = Way(**values["way"])
    return Fit(key=key, members=members, **values)


def plain_fit(fit: Fit) -> dict[str, Any]:
    """The JSON object of a fit, as ``read_fits`` takes it."""
    return {
        "device": fit.device,
        "layout": fit.layout,
        "dtype": fit.dtype,
        "kind": fit.kind,
        "way": {k: v for k, v in asdict(fit.way).items() if v != getattr(Way(), k)},
        "reparam": fit.reparam,
        "classes": list(CLASSES),
        "members": [plain_member(member) for member in fit.members],
        "seen": list(fit.seen),
        "cells": plain_cells(fit.cells),
        "least_batch": fit.least_batch,
        "most_batch": fit.most_batch,
        "least_kernel_s": float(f"{fit.least_kernel_s:.3g}"),
        "models": fit.models,
        "families": fit.families,
        "source": fit.source,
        "method": fit.method,
        "cv": dict(fit.cv),
    }


def fits_text(
    found: Mapping[str, Fit],
    command: str,
    transfer: Mapping[str, Any] | None = None,
    phones: Sequence[Phones] = (),
    cards: Sequence[Cards] = (),
) -> str:
    """A coefficients file; ``transfer`` holds the errors of moving a fit by data sheets."""
    plain = {
        "schema_version": FITS_SCHEMA_VERSION,
        "command": command,
        "fits": {key: plain_fit(fit) for key, fit in found.items()},
    }
    if transfer is not None:
        plain["transfer"] = dict(transfer)
    if cards:
        plain["cards"] = [plain_cards(one) for one in cards]
    if phones:
        plain["phones"] = [plain_phones(one) for one in phones]
    return json.dumps(plain, separators=(",", ":")) + "\n"


ALIASES = {"float32": "fp32", "float": "fp32", "float16": "fp16", "half": "fp16", "int8": "w8a8"}


def find_fit(
    device: str | None,
    layout: str | None,
    path: str | None = None,
    mode: str | None = None,
    dtype: str | None = None,
) -> Fit:
    """The fit of a device, in a layout, mode and format where it has several, from a file if named.

    Raises UnknownNameError for a device that is not there, SpecError for a format that it was not
    measured in, DataError for a bad file.
    """
    known = fits() if path is None else _from_file(path)
    dtype = ALIASES.get(dtype or "", dtype)
    if device is None:
        if len(known) > 1:
            raise SpecError(f"{path!r} holds {', '.join(known)}; choose one with --device")
        return _in_format(list(known.values()), dtype)[0]
    if device in known:
        return _in_format([known[device]], dtype)[0]
    of_device = [fit for fit in known.values() if fit.device == device]
    chosen = [fit for fit in of_device if layout in (None, fit.layout)]
    if of_device and not chosen:
        layouts = ", ".join(dict.fromkeys(fit.layout for fit in of_device))
        raise UnknownNameError(f"{device} was not measured in layout {layout}; it has {layouts}")
    modes = list(dict.fromkeys(fit.mode for fit in chosen))
    chosen = [fit for fit in chosen if mode in (None, fit.mode)]
    if modes and not chosen:
        raise UnknownNameError(
            f"{device} was not measured in mode {mode}; it has {', '.join(modes)}"
        )
    if chosen:
        chosen = _in_format(chosen, dtype)
        return next((fit for fit in chosen if fit.layout == (layout or "nchw")), chosen[0])
    if path is None:
        moved = sheet_fit(device, layout, dtype)
        if moved is not None:
            return moved
    names = sorted(
        {fit.device for fit in known.values()} | (set(card_sheets()) if not path else set())
    )
    raise UnknownNameError(
        f"no fit for device {device!r}"
        + (nearest(device, names) or f"; there are {', '.join(names)}")
    )


def _in_format(chosen: list[Fit], dtype: str | None) -> list[Fit]:
    found = [fit for fit in chosen if dtype in (None, fit.dtype)]
    if found:
        return found
    formats = ", ".join(dict.fromkeys(fit.dtype for fit in chosen))
    raise SpecError(f"{chosen[0].key} was measured in {formats}, not {dtype}; leave --dtype out")


def all_fits(path: str | None = None) -> list[tuple[str, Fit]]:
    """Every fit with how it is known: measured, data sheet or calibrated. Raises DataError."""
    if path is not None:
        return [("calibrated", fit) for fit in _from_file(path).values()]
    found = [("measured", fit) for fit in fits().values()]
    measured = {fit.device for _, fit in found}
    for device in card_sheets():
        if device not in measured:
            moved = sheet_fit(device, None)
            if moved is not None:
                found.append(("data sheet", moved))
    return found


def sheet_fit(device: str, layout: str | None, dtype: str | None = None) -> Fit | None:
    """A fit of a device that has a data sheet and no measurements; None where it has no sheet.

    Under amp from the cards that were measured so, which all have tensor cores of one kind; in
    another format, and for older cards or another maker's, from the cards measured together.
    """
    sheet = card_sheets().get(device)
    if sheet is None:
        return None
    if dtype is None:
        dtype = "amp" if sheet.tensor or not cards() else "fp32"
    if dtype == "amp" and (sheet.tensor or not cards()):
        return transferred_fit(device, layout)
    if layout not in (None, "nchw") or dtype not in cards():
        known = ", ".join(["amp"] * sheet.tensor + list(cards()))
        raise UnknownNameError(
            f"{device} has a data sheet and no measurements; predictions from sheets are for "
            f"layout nchw and {known}"
        )
    return cards()[dtype].of_sheet(device, sheet.maker, sheet.rate(dtype), sheet.bytes_per_s)


def transferred_fit(device: str, layout: str | None) -> Fit | None:
    """The fit under amp of a device that has a data sheet alone; None where it has no sheet.

    The measured cards' coefficients, each moved by the ratio of the sheets' peaks; it runs as the
    newest of them does.
    """
    known = card_sheets()
    if device not in known:
        return None
    stated = transfer_errors()
    if layout not in (None, "nchw"):
        raise UnknownNameError(
            f"{device} has a data sheet and no measurements; predictions from sheets are for "
            f"layout nchw, not {layout}"
        )
    sources = [fits()[key] for key in stated["from"]]
    members = tuple(
        moved(member, known[source.device].peaks, known[device].peaks)
        for source in sources
        for member in source.members
    )
    newest, names = sources[-1], ", ".join(source.device for source in sources)
    return replace(
        newest,
        key=f"{device}-nchw",
        device=device,
        members=members,
        seen=tuple(min(counts) for counts in zip(*(s.seen for s in sources), strict=True)),
        cells=frozenset.intersection(*(source.cells for source in sources)),
        least_kernel_s=max(source.least_kernel_s for source in sources),
        least_batch=max(source.least_batch for source in sources),
        most_batch=min(source.most_batch for source in sources),
        models=min(source.models for source in sources),
        families=min(source.families for source in sources),
        source=f"{names}, and the sheet: {known[device].source}",
        method="transferred by data sheets, not measured, from fits",
        cv=stated["cv"],
    )


def moved(
    found: Coefficients, before: tuple[float, float], after: tuple[float, float]
) -> Coefficients:
    """Coefficients of a device with other peaks: (half-precision FLOPs/s, bytes/s) of its sheet."""
    base = found.base.copy()
    base[:2] += np.log(np.array(after) / np.array(before))
    return replace(found, base=base)


@lru_cache(maxsize=1)
def transfer_errors() -> Mapping[str, Any]:
    """How well fits that were moved by data sheets predict, and from which fits."""
    stated: Mapping[str, Any] = _carried()["transfer"]
    return stated


def _from_file(path: str) -> Mapping[str, Fit]:
    data = files.read_file(path, "coefficients", DataError)
    return read_fits(data.decode("utf-8", "replace"), path)
