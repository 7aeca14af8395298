"""Fits of named devices: those that gadprof carries, and files that ``gadprof calibrate`` wrote.

Promises that a file which is no such file, is damaged or of another version is refused in one
line. A device without measurements but with a data sheet gets the coefficients of a measured one,
moved by the ratio of the sheets' peaks, with the error that this had between measured devices.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np

from gadprof.errors import DataError, SpecError, UnknownNameError, nearest
from gadprof.prediction.features import CLASSES
from gadprof.prediction.model import GROUPS, TERMS, Coefficients
from gadprof.prediction.way import Way
from gadprof.results import files

COEFFICIENTS = "latency_coefficients.json"
FITS_SCHEMA_VERSION = 4
SCALE = 1000  # coefficients but the base are kept as whole thousandths


@dataclass(frozen=True)
class Fit:
    """One device's coefficients, what they were fitted to, and their error on what was left out.

    The predicted time is the mean over ``members``. ``dtype`` is amp or a plain format;
    ``way`` says how the device runs a model, ``reparam`` whether the measured models had their
    branches fused where their library can; ``kind`` is gpu or cpu. ``seen`` counts the families in
    which each class of operation occurred, ``cells`` are the shapes that enough of them had
    (``novelty``); ``least_batch`` and ``most_batch`` bound the measured batch sizes, and
    ``least_kernel_s`` is the mean time of a kernel below which the host sets the pace. ``method``
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

    @property
    def mode(self) -> str:
        """What was measured: eager or compiled inference, or a training step."""
        if self.way.train:
            return "train"
        return "compiled" if self.way.compiled else "eager"


@dataclass(frozen=True)
class Phones:
    """Neural processors of phones: one form for all, and each device's factor of speed.

    ``devices`` has, by short name, the name, the logarithm of its factor and on how many networks
    it was measured; the rest is as in ``Fit``, with networks in the place of families.
    """

    precision: str
    dtype: str
    width: int
    member: Coefficients
    devices: Mapping[str, tuple[str, float, int]]
    seen: tuple[int, ...]
    cells: frozenset[int]
    least_kernel_s: float
    source: str
    cv: Mapping[str, Any]

    def fits(self) -> dict[str, Fit]:
        """One fit a device."""
        found = {}
        for device, (name, factor, networks) in self.devices.items():
            base = self.member.base + np.array([-1.0, -1.0, 1.0]) * factor
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
                least_kernel_s=self.least_kernel_s * float(np.exp(factor)),
                models=networks,
                families=networks,
                source=f"{name}: {self.source}",
                method="one form for all phones, times the device's factor, fitted",
                cv=self.cv,
            )
        return found


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


@lru_cache(maxsize=1)
def fits() -> Mapping[str, Fit]:
    """Every fit that gadprof carries, by ``device-layout``."""
    text = resources.files("gadprof.data").joinpath(COEFFICIENTS).read_text()
    return read_fits(text, COEFFICIENTS)


_DAMAGED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def read_fits(text: str, name: str) -> Mapping[str, Fit]:
    """The fits of a coefficients file. Raises DataError."""
    write = "'gadprof calibrate' writes one"
    plain = files.parse_json(
        text, f"{name!r} is no coefficients file: it", DataError, way_out=write
    )
    if not isinstance(plain, dict) or not isinstance(plain.get("fits"), dict):
        raise DataError(f"{name!r} is no coefficients file; {write}")
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
        for values in plain.get("phones", []):
            found |= _phones(values).fits()
    except _DAMAGED as error:
        raise DataError(f"{name!r} is damaged at its phones ({error}); calibrate again") from error
    if not found:
        raise DataError(f"{name!r} holds no fit; calibrate again")
    return found


def _phones(plain: dict[str, Any]) -> Phones:
    values = dict(plain)
    values["member"] = _member(values["member"])
    values["devices"] = {key: tuple(value) for key, value in values["devices"].items()}
    values["seen"] = _counts(values["seen"])
    values["cells"] = frozenset(np.cumsum(values["cells"]).tolist())
    return Phones(**values)


def _counts(seen: list[int]) -> tuple[int, ...]:
    """Families by class, 0 for the classes that are newer than the file."""
    return tuple([int(count) for count in seen] + [0] * (len(CLASSES) - len(seen)))


def _fit(key: str, plain: dict[str, Any]) -> Fit:
    values = dict(plain)
    names = list(values.pop("classes"))
    if names != list(CLASSES[: len(names)]):
        raise ValueError("its operation classes are not this version's")
    members = tuple(_member(item) for item in values.pop("members"))
    if not members:
        raise ValueError("it has no members")
    values["seen"] = _counts(values["seen"])
    values["cells"] = frozenset(np.cumsum(values["cells"]).tolist())
    values["way"] = Way(**values["way"])
    return Fit(key=key, members=members, **values)


def _member(plain: dict[str, Any]) -> Coefficients:
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


def _plain_member(found: Coefficients) -> dict[str, Any]:
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


def plain_fit(fit: Fit) -> dict[str, Any]:
    """The JSON object of a fit, as ``read_fits`` takes it."""
    cells = np.diff(sorted(fit.cells), prepend=0).tolist()
    return {
        "device": fit.device,
        "layout": fit.layout,
        "dtype": fit.dtype,
        "kind": fit.kind,
        "way": {k: v for k, v in asdict(fit.way).items() if v != getattr(Way(), k)},
        "reparam": fit.reparam,
        "classes": list(CLASSES),
        "members": [_plain_member(member) for member in fit.members],
        "seen": list(fit.seen),
        "cells": cells,
        "least_batch": fit.least_batch,
        "most_batch": fit.most_batch,
        "least_kernel_s": float(f"{fit.least_kernel_s:.3g}"),
        "models": fit.models,
        "families": fit.families,
        "source": fit.source,
        "method": fit.method,
        "cv": dict(fit.cv),
    }


def _plain_phones(phones: Phones) -> dict[str, Any]:
    return {
        "precision": phones.precision,
        "dtype": phones.dtype,
        "width": phones.width,
        "member": _plain_member(phones.member),
        "devices": {key: list(value) for key, value in phones.devices.items()},
        "seen": list(phones.seen),
        "cells": np.diff(sorted(phones.cells), prepend=0).tolist(),
        "least_kernel_s": float(f"{phones.least_kernel_s:.3g}"),
        "source": phones.source,
        "cv": dict(phones.cv),
    }


def fits_text(
    found: Mapping[str, Fit],
    command: str,
    transfer: Mapping[str, Any] | None = None,
    phones: Sequence[Phones] = (),
) -> str:
    """A coefficients file; ``transfer`` holds the errors of moving a fit by data sheets."""
    plain = {
        "schema_version": FITS_SCHEMA_VERSION,
        "command": command,
        "fits": {key: plain_fit(fit) for key, fit in found.items()},
    }
    if transfer is not None:
        plain["transfer"] = dict(transfer)
    if phones:
        plain["phones"] = [_plain_phones(one) for one in phones]
    return json.dumps(plain, separators=(",", ":")) + "\n"


def find_fit(
    device: str | None, layout: str | None, path: str | None = None, mode: str | None = None
) -> Fit:
    """The fit of a device, in a layout and mode where it has several, from a file where named.

    Raises UnknownNameError for a device that is not there, DataError for a bad file.
    """
    known = fits() if path is None else _from_file(path)
    if device is None:
        if len(known) > 1:
            raise SpecError(f"{path!r} holds {', '.join(known)}; choose one with --device")
        return next(iter(known.values()))
    if device in known:
        return known[device]
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
        return next((fit for fit in chosen if fit.layout == (layout or "nchw")), chosen[0])
    if path is None:
        moved = transferred_fit(device, layout)
        if moved is not None:
            return moved
    names = sorted({fit.device for fit in known.values()} | (set(_sheets()) if not path else set()))
    raise UnknownNameError(
        f"no fit for device {device!r}"
        + (nearest(device, names) or f"; there are {', '.join(names)}")
    )


def all_fits(path: str | None = None) -> list[tuple[str, Fit]]:
    """Every fit with how it is known: measured, data sheet or calibrated. Raises DataError."""
    if path is not None:
        return [("calibrated", fit) for fit in _from_file(path).values()]
    found = [("measured", fit) for fit in fits().values()]
    measured = {fit.device for _, fit in found}
    for device in _sheets():
        if device not in measured:
            moved = transferred_fit(device, None)
            if moved is not None:
                found.append(("data sheet", moved))
    return found


def transferred_fit(device: str, layout: str | None) -> Fit | None:
    """A fit of a device that has a data sheet and no measurements; None where it has no sheet.

    The measured cards' coefficients, each moved by the ratio of the sheets' peaks; it runs as the
    newest of them does.
    """
    from gadprof.measuring.explain.roofline import sheets

    known = _sheets()
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
        moved(member, known[source.device], known[device])
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
        source=f"{names}, and the sheet: {sheets()[device]['source']}",
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


def _sheets() -> dict[str, tuple[float, float]]:
    from gadprof.measuring.explain.roofline import sheets

    return {
        name: (sheet["flops_per_s"]["fp16"], sheet["bytes_per_s"])
        for name, sheet in sheets().items()
        if "fp16" in sheet["flops_per_s"]
    }


@lru_cache(maxsize=1)
def transfer_errors() -> Mapping[str, Any]:
    """How well fits that were moved by data sheets predict, and from which fits."""
    text = resources.files("gadprof.data").joinpath(COEFFICIENTS).read_text()
    stated: Mapping[str, Any] = json.loads(text)["transfer"]
    return stated


def _from_file(path: str) -> Mapping[str, Fit]:
    data = files.read_file(path, "coefficients", DataError)
    return read_fits(data.decode("utf-8", "replace"), path)
