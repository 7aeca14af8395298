"""Fits of named devices: those that gadprof carries, and files that ``gadprof calibrate`` wrote.

Promises that a file which is no such file, is damaged or of another version is refused in one
line. A device without measurements but with a data sheet gets the coefficients of a measured one,
moved by the ratio of the sheets' peaks, with the error that this had between measured devices.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np

from gadprof.errors import DataError, SpecError, UnknownNameError, nearest
from gadprof.prediction.features import CLASSES
from gadprof.prediction.model import TERMS, Coefficients

COEFFICIENTS = "latency_coefficients.json"
FITS_SCHEMA_VERSION = 3
ARRAYS: Mapping[str, tuple[int, ...]] = {
    "base": (3,),
    "offset": (len(CLASSES), 2),
    "shape": (len(CLASSES), TERMS, 2),
    "shared": (TERMS, 2),
}


@dataclass(frozen=True)
class Fit:
    """One device's coefficients, what they were fitted to, and their error on what was left out.

    The predicted time is the mean over ``members``. ``dtype`` is amp or a plain format;
    ``compiled`` whether a compiler joined the operations; ``wide_attention`` whether attention
    without a fused kernel was computed in single precision (torch 2.5 on); ``kind`` is gpu or cpu.
    ``seen`` counts the families in which each class of operation occurred; ``least_batch`` and
    ``most_batch`` bound the measured batch sizes. ``method`` says how the coefficients came about;
    ``cv`` holds the errors on what was left out, relative: ``mean_absolute_error``,
    ``median_absolute_error``, ``within_10_percent`` and ``log_error_95``, the half width of the
    95 % interval of a prediction's logarithm.
    """

    key: str
    device: str
    layout: str
    dtype: str
    kind: str
    compiled: bool
    wide_attention: bool
    members: tuple[Coefficients, ...]
    seen: tuple[int, ...]
    least_batch: int
    most_batch: int
    models: int
    families: int
    source: str
    method: str
    cv: Mapping[str, Any]


@lru_cache(maxsize=1)
def fits() -> Mapping[str, Fit]:
    """Every fit that gadprof carries, by ``device-layout``."""
    text = resources.files("gadprof.data").joinpath(COEFFICIENTS).read_text()
    return read_fits(text, COEFFICIENTS)


def read_fits(text: str, name: str) -> Mapping[str, Fit]:
    """The fits of a coefficients file. Raises DataError."""
    write = "'gadprof calibrate' writes one"
    try:
        plain = json.loads(text)
    except ValueError as error:
        raise DataError(f"{name!r} is no coefficients file ({error}); {write}") from error
    if not isinstance(plain, dict) or "fits" not in plain:
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
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{name!r} is damaged at {key!r} ({error}); calibrate again") from error
    if not found:
        raise DataError(f"{name!r} holds no fit; calibrate again")
    return found


def _fit(key: str, plain: dict[str, Any]) -> Fit:
    values = dict(plain)
    if tuple(values.pop("classes")) != CLASSES:
        raise ValueError("its operation classes are not this version's")
    members = tuple(_member(item) for item in values.pop("members"))
    if not members:
        raise ValueError("it has no members")
    values["seen"] = tuple(int(count) for count in values["seen"])
    return Fit(key=key, members=members, **values)


def _member(plain: dict[str, Any]) -> Coefficients:
    arrays = {name: np.array(plain[name], dtype=np.float64) for name in ARRAYS}
    for name, shape in ARRAYS.items():
        if arrays[name].shape != shape or not np.isfinite(arrays[name]).all():
            raise ValueError(f"{name} has shape {arrays[name].shape}, not {shape}")
    return Coefficients(**arrays)


def plain_fit(fit: Fit) -> dict[str, Any]:
    """The JSON object of a fit, as ``read_fits`` takes it."""
    return {
        "device": fit.device,
        "layout": fit.layout,
        "dtype": fit.dtype,
        "kind": fit.kind,
        "compiled": fit.compiled,
        "wide_attention": fit.wide_attention,
        "classes": list(CLASSES),
        "members": [
            {name: np.round(getattr(member, name), 4).tolist() for name in ARRAYS}
            for member in fit.members
        ],
        "seen": list(fit.seen),
        "least_batch": fit.least_batch,
        "most_batch": fit.most_batch,
        "models": fit.models,
        "families": fit.families,
        "source": fit.source,
        "method": fit.method,
        "cv": dict(fit.cv),
    }


def fits_text(
    found: Mapping[str, Fit], command: str, transfer: Mapping[str, Any] | None = None
) -> str:
    """A coefficients file; ``transfer`` holds the errors of moving a fit by data sheets."""
    plain = {
        "schema_version": FITS_SCHEMA_VERSION,
        "command": command,
        "fits": {key: plain_fit(fit) for key, fit in found.items()},
    }
    if transfer is not None:
        plain["transfer"] = dict(transfer)
    return json.dumps(plain, separators=(",", ":")) + "\n"


def find_fit(device: str | None, layout: str | None, path: str | None = None) -> Fit:
    """The fit of a device, in a layout where it has several, from a file where one is named.

    Raises UnknownNameError for a device that is not there, DataError for a bad file.
    """
    known = fits() if path is None else _from_file(path)
    if device is None:
        if len(known) > 1:
            raise SpecError(f"{path!r} holds {', '.join(known)}; choose one with --device")
        return next(iter(known.values()))
    for key in (f"{device}-{layout or 'nchw'}", device):
        if key in known and layout in (None, known[key].layout):
            return known[key]
    of_device = [fit for fit in known.values() if fit.device == device]
    if layout is None and of_device:
        return of_device[0]
    if of_device:
        layouts = ", ".join(fit.layout for fit in of_device)
        raise UnknownNameError(f"{device} was not measured in layout {layout}; it has {layouts}")
    if path is None:
        moved = transferred_fit(device, layout)
        if moved is not None:
            return moved
    names = sorted({fit.device for fit in known.values()} | (set(_sheets()) if not path else set()))
    raise UnknownNameError(
        f"no fit for device {device!r}"
        + (nearest(device, names) or f"; there are {', '.join(names)}")
    )


def transferred_fit(device: str, layout: str | None) -> Fit | None:
    """A fit of a device that has a data sheet and no measurements; None where it has no sheet.

    The measured cards' coefficients, each moved by the ratio of the sheets' peaks.
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
    first, names = sources[0], ", ".join(source.device for source in sources)
    return replace(
        first,
        key=f"{device}-nchw",
        device=device,
        members=members,
        seen=tuple(min(counts) for counts in zip(*(s.seen for s in sources), strict=True)),
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
    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise DataError(f"cannot read coefficients {path!r}: {reason}") from error
    return read_fits(text, path)
