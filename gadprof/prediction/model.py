"""The latency model: every operation takes a rounded roofline of work and bytes, and a launch.

Promises positive times: the reachable rate and bandwidth of a class are exponentials of a base and
of a linear form in the operation's shape, held within a factor e² of the base. Needs numpy alone.
(Roofline: Williams, Waterman, Patterson, CACM 52, 2009.)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gadprof.errors import UnknownNameError, nearest
from gadprof.prediction.features import CLASSES, COLUMNS, ModelFeatures

Floats = NDArray[np.float64]
COEFFICIENTS = "latency_coefficients.json"
REACH = 2.0  # the most that a shape moves a log-rate from its class's base
_AT: Mapping[str, int] = {name: index for index, name in enumerate(COLUMNS)}


@dataclass(frozen=True)
class Fit:
    """One device's coefficients, what they were fitted to, and their error on unseen families.

    ``kind`` is gpu or cpu; ``seen`` counts the models in which each class occurred;
    ``least_batch`` is the smallest batch that the measurements carry; ``cv`` holds the errors of
    the cross-validation that leaves whole families out.
    """

    key: str
    device: str
    layout: str
    dtype: str
    kind: str
    base: Floats
    offset: Floats
    shape: Floats
    shared: Floats
    seen: tuple[int, ...]
    least_batch: int
    models: int
    families: int
    source: str
    cv: Mapping[str, Any]


@lru_cache(maxsize=1)
def fits() -> Mapping[str, Fit]:
    """Every committed fit by ``device-layout``."""
    text = resources.files("gadprof.data").joinpath(COEFFICIENTS).read_text()
    found = {}
    for key, plain in json.loads(text).items():
        assert tuple(plain.pop("classes")) == CLASSES[: len(plain["seen"])]
        arrays = {
            name: np.array(plain.pop(name), dtype=np.float64)
            for name in ("base", "offset", "shape", "shared")
        }
        plain["seen"] = tuple(plain["seen"])
        values: dict[str, Any] = {**arrays, **plain}
        found[key] = Fit(key=key, **values)
    return found


def find_fit(device: str, layout: str | None) -> Fit:
    """The fit of a device, in a layout where it has several. Raises UnknownNameError."""
    known = fits()
    for key in (f"{device}-{layout or 'nchw'}", device):
        if key in known:
            return known[key]
    names = sorted({fit.device for fit in known.values()})
    if device in names:
        layouts = ", ".join(fit.layout for fit in known.values() if fit.device == device)
        raise UnknownNameError(f"{device} was not measured in layout {layout}; it has {layouts}")
    raise UnknownNameError(
        f"no fit for device {device!r}"
        + (nearest(device, names) or f"; there are {', '.join(names)}")
    )


def shape_terms(columns: Floats, work: Floats, moved: Floats, rows: Floats) -> Floats:
    """The linear form's inputs, (n, terms), from feature columns and the work at a batch size."""

    def log2(values: Floats) -> Floats:
        return np.log2(np.maximum(values, 1.0))

    def column(name: str) -> Floats:
        return columns[:, _AT[name]]

    n, k = column("n"), column("k")
    wide, deep = np.maximum(n, 1.0), np.maximum(k, 1.0)
    return np.stack(
        [
            np.minimum(log2(n), 10) / 5 - 1,
            np.minimum(log2(k), 13) / 6 - 1,
            np.minimum(log2(rows), 22) / 10 - 1,
            np.minimum(log2(column("rows")), 14) / 7 - 1,
            log2(column("kernel")) / 2,
            (column("stride") > 1) * 1.0,
            log2(column("inner")) / 5 - 1,
            column("aligned_n") - 1,
            column("aligned_k") - 1,
            np.clip(log2(moved) / 10 - 2, -1, 2),
            np.log2(np.ceil(wide / 64) * 64 / wide) / 3,
            np.log2(np.ceil(deep / 32) * 32 / deep) / 3,
            np.clip(np.log2(np.maximum(work, 1) / np.maximum(moved, 1)) / 5 - 1, -2, 2),
        ],
        axis=1,
    )


def operation_seconds(fit: Fit, features: ModelFeatures, batch: int) -> Floats:
    """The time of each feature row, its occurrences together, in seconds for the whole batch."""
    columns = features.columns
    work = columns[:, _AT["work"]] * batch + columns[:, _AT["fixed_work"]]
    moved = columns[:, _AT["bytes"]] * batch + columns[:, _AT["fixed_bytes"]]
    rows = columns[:, _AT["rows"]] * np.where(columns[:, _AT["work"]] > 0, batch, 1)
    terms = shape_terms(columns, work, moved, rows)
    form = np.einsum("nt,nto->no", terms, fit.shape[features.classes])
    form = REACH * np.tanh((form + fit.offset[features.classes] + terms @ fit.shared) / REACH)
    log_work = np.where(work > 0, np.log(np.maximum(work, 1)), -30.0)
    by_work = np.exp(log_work - fit.base[0] - form[:, 0])
    by_bytes = np.exp(np.log(np.maximum(moved, 1)) - fit.base[1] - form[:, 1])
    roofline = np.sqrt(by_work**2 + by_bytes**2 + 1e-30)
    return np.asarray((roofline + np.exp(fit.base[2])) * features.counts, dtype=np.float64)
