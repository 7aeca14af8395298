"""Measured latencies of a user's own: from a CSV file, or from the results store.

Promises lines with positive finite times of one way of running, each with its place for an error
message. Several samples of one model, batch and input become their median. Refuses, in one line, a
table without its columns, a value that is no number, and a store whose measurements were taken
under several settings.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from statistics import median
from typing import Any

from gadprof.errors import DataError, StoreError, UnknownNameError, nearest
from gadprof.results.files import read_file

COLUMNS = ("model", "batch", "input", "latency")
LATENCIES = {"latency": 1.0, "latency_s": 1.0, "latency_ms": 1e-3}
# what must agree between the measurements that one fit takes
SETTING_KEYS = ("device", "dtype", "amp", "channels_last", "runtime", "threads")


@dataclass(frozen=True)
class Line:
    """One model's latency (s) for a whole batch; an empty ``shape`` is the model's own default."""

    model: str
    batch: int
    shape: tuple[int, ...]
    seconds: float


def family_of(model: str) -> str:
    """The family of a model string: the letters that its name begins with.

    The prefixes that say who ported a timm model's weights are left out.
    """
    name = model
    for form in ("timm:", "torchvision:", "transformers:"):
        name = name.removeprefix(form)
    if name == model and ("/" in model or ".py" in model):
        return model
    name = re.sub(r"^(tf_|legacy_|fb_|timm_)+", "", name)
    found = re.match(r"[a-z]+", name)
    return found.group(0) if found else name


def read_csv(path: str) -> tuple[Line, ...]:
    """The lines of a CSV file: model, batch, input and latency (s). Raises DataError."""
    try:
        text = read_file(path, "measurements", DataError).decode("utf-8-sig")
        header, *rows = [*csv.reader(io.StringIO(text, newline=""))] or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {path!r}: it is no CSV text ({error})") from error
    names = [name.strip() for name in header]
    time = next((name for name in LATENCIES if name in names), None)
    missing = [n for n in COLUMNS[:3] if n not in names] + ([] if time else ["latency"])
    if time is None or missing:
        raise DataError(
            f"{path!r} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; its "
            "first line must be model,batch,input,latency (seconds; or latency_ms)"
        )
    lines = [
        _line(f"{path}:{number}", dict(zip_longest(names, row, fillvalue="")), time)
        for number, row in enumerate(rows, start=2)
        if any(value.strip() for value in row)
    ]
    if not lines:
        raise DataError(f"{path!r} has no measurements below its first line")
    return medians(lines)


def _line(place: str, row: Mapping[str, str], time: str) -> Line:
    from gadprof.errors import GadprofError
    from gadprof.models.sources import parse_shapes

    model = row["model"].strip()
    if not model:
        raise DataError(f"{place}: no model's name")
    text = row["batch"].strip()
    if not re.fullmatch("0*[1-9][0-9]{0,8}", text):
        raise DataError(f"{place}: batch {text!r} is no positive whole number")
    shape_text = row["input"].strip()
    try:
        shapes = parse_shapes((shape_text,)) if shape_text else ()
    except GadprofError as error:
        raise DataError(f"{place}: {error}") from error
    value = row[time].strip()
    try:
        seconds = float(value) * LATENCIES[time]
    except ValueError as error:
        raise DataError(f"{place}: {time} {value!r} is no number") from error
    if not math.isfinite(seconds) or seconds <= 0:
        raise DataError(f"{place}: {time} {value} is not a positive time")
    return Line(model, int(text), shapes[0] if shapes else (), seconds)


def medians(lines: Sequence[Line]) -> tuple[Line, ...]:
    """One line for each model, batch and input: the median of its times."""
    groups: dict[tuple[str, int, tuple[int, ...]], list[float]] = {}
    for line in lines:
        groups.setdefault((line.model, line.batch, line.shape), []).append(line.seconds)
    return tuple(Line(*key, median(times)) for key, times in groups.items())


def read_store(
    path: str | None, only: Mapping[str, str]
) -> tuple[tuple[Line, ...], dict[str, Any]]:
    """Finished measurements of a store under one setting, and that setting.

    ``only`` holds values that a setting must have, as text. Raises StoreError, UnknownNameError.
    """
    from gadprof.store.store import Store, chosen_path

    for key in only:
        if key not in SETTING_KEYS:
            raise UnknownNameError(
                f"no setting {key!r}"
                + (nearest(key, SETTING_KEYS) or f"; there are {', '.join(SETTING_KEYS)}")
            )
    chosen = chosen_path(path)
    if chosen is None:
        raise StoreError("the results store is off; name one with --store PATH")
    with Store(chosen, create=False) as store:
        entries = store.entries(kinds=("measurement",))
    groups: dict[tuple[Any, ...], list[Line]] = {}
    for entry in entries:
        line = _entry_line(entry)
        setting = tuple(entry.settings.get(key) for key in SETTING_KEYS)
        wanted = all(
            _text(v) == only.get(k, _text(v)) for k, v in zip(SETTING_KEYS, setting, strict=True)
        )
        if line is not None and wanted:
            groups.setdefault(setting, []).append(line)
    if not groups:
        raise StoreError(
            f"the store {str(chosen)!r} holds no finished inference measurement"
            + (" with " + ", ".join(f"{k}={v}" for k, v in only.items()) if only else "")
            + "; 'gadprof bench MODEL…' makes some"
        )
    if len(groups) > 1:
        keys = [
            key
            for place, key in enumerate(SETTING_KEYS)
            if len({setting[place] for setting in groups}) > 1
        ]
        values = {
            key: sorted({_text(setting[SETTING_KEYS.index(key)]) for setting in groups})
            for key in keys
        }
        raise StoreError(
            f"the store holds measurements under {len(groups)} settings; choose with "
            + " ".join(f"--only {key}={'|'.join(found)}" for key, found in values.items())
        )
    setting, lines = next(iter(groups.items()))
    return medians(lines), dict(zip(SETTING_KEYS, setting, strict=True))


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _entry_line(entry: Any) -> Line | None:
    settings, result = entry.settings, entry.result or {}
    latency = result.get("latency_s") or {}
    seconds = latency.get("median") if isinstance(latency, dict) else None
    if not isinstance(seconds, float) or seconds <= 0 or settings.get("mode", "infer") != "infer":
        return None
    shapes = result.get("input_shapes") or settings.get("input_shapes") or ()
    if len(shapes) > 1:
        return None
    shape = tuple(int(size) for size in shapes[0]) if shapes else ()
    return Line(entry.model, int(settings.get("batch", 1)), shape, seconds)
