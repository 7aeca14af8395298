"""Fits the latency coefficients to public throughput tables, and says the error on unseen families.

    python benchmarks/fit_prediction.py --tables DIR --cache DIR [-o FILE] [--data FILE]

``--tables`` is a folder of the result files of pytorch-image-models (``benchmark-infer-*.csv``).
Every model is traced once on the meta device (about twelve minutes for all; kept in ``--cache``).
A table whose parameter count is that of the re-parameterised model was measured so, and is traced
so. Cross-validation leaves whole families out. Then each card is predicted from the others by the
data sheets' peaks, families left out as before. ``-o`` is the file of coefficients, ``--data``
holds every row's measured and left-out predicted time, which the page of predictions shows. Prints
one line a device and a pair.
"""

from __future__ import annotations

import csv
import json
import pickle
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from gadprof.counting.count import count
from gadprof.measuring.explain.roofline import sheets
from gadprof.output import write_atomic
from gadprof.prediction.errors import error_summary
from gadprof.prediction.features import CLASSES, features_of
from gadprof.prediction.fits import Fit, fits_text, moved
from gadprof.prediction.fitting import Measured, fit_coefficients, folds_of, predict_rows
from gadprof.prediction.measurements import family_of
from gadprof.prediction.model import Coefficients, operation_seconds

# file name part -> device, layout, format, kind, compiled, torch 2.5 or newer
TABLES = {
    "amp-nchw-pt240-cu124-rtx3090": ("rtx3090", "nchw", "amp", "gpu", False, False),
    "amp-nhwc-pt240-cu124-rtx3090": ("rtx3090", "nhwc", "amp", "gpu", False, False),
    "amp-nchw-pt291-cu128-4090": ("rtx4090", "nchw", "amp", "gpu", False, True),
    "amp-nchw-pt291-cu130-5090": ("rtx5090", "nchw", "amp", "gpu", False, True),
    "fp32-nchw-pt240-cpu-i9_10940x-dynamo": ("i9-10940x", "nchw", "fp32", "cpu", True, False),
}
# under autocast, compiled, channels last, torch 2.5 or newer
MODES = (
    (True, False, False, False),
    (True, False, True, False),
    (True, False, False, True),
    (False, True, False, False),
)
FOLDS = 10
SAME_PARAMS = 0.011e6  # the tables round to 0.01 million


@dataclass(frozen=True)
class Fitted:
    """A table's fit, its rows, their left-out log-errors, and the fits that left families out."""

    fit: Fit
    rows: Sequence[Measured]
    sizes: Sequence[int]
    gaps: Any
    without: Mapping[str, Coefficients]


def traced(model: str, size: int, fused: bool, cache: Path) -> Any:
    """Parameters and the features by mode, or None where the model fails."""
    import timm

    path = cache / f"{model}@{size}{'+fused' if fused else ''}.pickle"
    if path.exists():
        return pickle.loads(path.read_bytes())
    try:
        with torch.device("cpu" if fused else "meta"):
            try:
                module = timm.create_model(model, pretrained=False, img_size=size)
            except TypeError:
                module = timm.create_model(model, pretrained=False)
        module = module.eval()
        if fused:
            from timm.utils.model import reparameterize_model

            module = reparameterize_model(module)
        trace = count(module, (torch.empty(1, 3, size, size, device="meta"),), name=model)
        found = (
            trace.params,
            {
                (amp, compiled, last, wide): features_of(
                    trace.forward,
                    amp=amp,
                    compiled=compiled,
                    channels_last=last,
                    wide_attention=wide,
                )
                for amp, compiled, last, wide in MODES
            },
        )
    except Exception as error:
        click.echo(f"{model} at {size}: {type(error).__name__}: {str(error)[:80]}", err=True)
        found = None
    path.write_bytes(pickle.dumps(found))
    return found


def read_rows(
    path: Path, mode: tuple[bool, bool, bool, bool], cache: Path
) -> tuple[list[Measured], list[int]]:
    """Every row of a table that could be traced, and its pictures' side."""
    rows, sizes = [], []
    with path.open() as stream:
        lines = list(csv.DictReader(stream))
    for line in lines:
        model, size = line["model"], int(line["infer_img_size"])
        params = float(line["param_count"]) * 1e6
        found = traced(model, size, False, cache)
        if found is not None and abs(found[0] - params) > SAME_PARAMS:
            fused = traced(model, size, True, cache)
            if fused is not None and abs(fused[0] - params) < abs(found[0] - params):
                found = fused
        if found is not None:
            batch = int(line["infer_batch_size"])
            seconds = batch / float(line["infer_samples_per_sec"])
            features = found[1][mode]
            rows.append(Measured(model, family_of(f"timm:{model}"), batch, seconds, features))
            sizes.append(size)
    return rows, sizes


def fit_table(path: Path, part: str, cache: Path) -> Fitted:
    """The fit of one table, with its errors on families that were left out."""
    device, layout, dtype, kind, compiled, wide = TABLES[part]
    rows, sizes = read_rows(path, (dtype == "amp", compiled, layout == "nhwc", wide), cache)
    families = [row.family for row in rows]
    folds = folds_of(families, FOLDS)
    gaps = np.zeros(len(rows))
    measured = np.log([row.seconds for row in rows])
    without: dict[str, Coefficients] = {}
    for fold in range(FOLDS):
        inside = [row for row, place in zip(rows, folds, strict=True) if place != fold]
        outside = [row for row, place in zip(rows, folds, strict=True) if place == fold]
        found = fit_coefficients(inside, kind)
        gaps[folds == fold] = predict_rows(found, outside) - measured[folds == fold]
        without.update({row.family: found for row in outside})
    batches = np.array([row.batch for row in rows])
    fit = Fit(
        key=f"{device}-{layout}",
        device=device,
        layout=layout,
        dtype=dtype,
        kind=kind,
        compiled=compiled,
        wide_attention=wide,
        members=(fit_coefficients(rows, kind),),
        seen=tuple(
            len({row.family for row in rows if (row.features.classes == index).any()})
            for index in range(len(CLASSES))
        ),
        least_batch=int(np.quantile(batches, 0.02)),
        most_batch=int(batches.max()),
        models=len(rows),
        families=len(set(families)),
        source=path.name,
        method="fitted",
        cv=error_summary(gaps, families, f"leave-family-out, {FOLDS} folds"),
    )
    return Fitted(fit, rows, sizes, gaps, without)


def transfer_seconds(source: Fitted, target: Fitted) -> Any:
    """Seconds of the target's rows by the source's fits that saw no row of their family, (n,)."""
    peaks = [
        (sheet["flops_per_s"]["fp16"], sheet["bytes_per_s"])
        for sheet in (sheets()[source.fit.device], sheets()[target.fit.device])
    ]
    whole = source.fit.members[0]
    seconds = []
    for row in target.rows:
        found = moved(source.without.get(row.family, whole), *peaks)
        seconds.append(float(operation_seconds(found, row.features, row.batch).sum()))
    return np.array(seconds)


def transfers(found: Mapping[str, Fitted]) -> dict[str, Any]:
    """How well each card is predicted from another's fit, and from all others', by data sheets."""
    cards = {key: one for key, one in found.items() if key.endswith("-nchw") and "rtx" in key}
    pairs: dict[str, Any] = {}
    gaps: list[Any] = []
    names: list[str] = []
    for key, target in cards.items():
        measured = np.array([row.seconds for row in target.rows])
        others = [one for other, one in cards.items() if other != key]
        each = [transfer_seconds(one, target) for one in others]
        families = [row.family for row in target.rows]
        for one, seconds in zip(others, each, strict=True):
            summary = error_summary(np.log(seconds / measured), families, "families left out")
            pairs[f"{one.fit.device} to {target.fit.device}"] = summary
        gap = np.log(np.mean(each, axis=0) / measured)
        pairs[f"others to {target.fit.device}"] = error_summary(gap, families, "families left out")
        gaps.append(gap)
        names += families
    method = (
        "each of "
        + ", ".join(one.fit.device for one in cards.values())
        + " predicted from the others by data sheets, families left out"
    )
    return {
        "from": list(cards),
        "cv": error_summary(np.concatenate(gaps), names, method),
        "pairs": pairs,
    }


def plain_rows(one: Fitted) -> list[dict[str, Any]]:
    """What the page shows of each row: times in seconds, and the classes that take most of it.

    ``corrected`` is the class whose time changes most once the row's own family is fitted too.
    """
    rows = []
    for row, size, gap in zip(one.rows, one.sizes, one.gaps, strict=True):
        before = _by_class(one.without[row.family], row)
        after = _by_class(one.fit.members[0], row)
        total = sum(before.values())
        most = sorted(before.items(), key=lambda item: -item[1])[:3]
        name = max(before, key=lambda key: abs(after[key] - before[key]))
        rows.append(
            {
                "model": row.model,
                "family": row.family,
                "size": size,
                "batch": row.batch,
                "measured_s": short(row.seconds, 5),
                "predicted_s": short(row.seconds * float(np.exp(gap)), 5),
                "by_class": {key: round(value / total, 2) for key, value in most},
                "corrected": [name, short(before[name], 4), short(after[name], 4)],
            }
        )
    return rows


def short(value: float, digits: int) -> float:
    """A value with so many significant digits."""
    return float(f"{value:.{digits}g}")


def _by_class(found: Coefficients, row: Measured) -> dict[str, float]:
    seconds = operation_seconds(found, row.features, row.batch)
    totals: dict[str, float] = {}
    for index, value in zip(row.features.classes.tolist(), seconds.tolist(), strict=True):
        totals[CLASSES[index]] = totals.get(CLASSES[index], 0.0) + value
    return totals


@click.command()
@click.option("--tables", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--cache", required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", help="Write the coefficients as JSON.")
@click.option("--data", help="Write every row's measured and predicted time as JSON.")
def main(tables: Path, cache: Path, output: str | None, data: str | None) -> None:
    """Fit every device whose table is in the folder."""
    cache.mkdir(parents=True, exist_ok=True)
    found: dict[str, Fitted] = {}
    for part in TABLES:
        for path in sorted(tables.glob(f"*{part}*.csv")):
            started = time.monotonic()
            one = fit_table(path, part, cache)
            found[one.fit.key] = one
            seconds = time.monotonic() - started
            click.echo(f"{one.fit.key}: {one.fit.models} models, {one.fit.cv}, {seconds:.0f} s")
    transfer = transfers(found)
    for pair, summary in transfer["pairs"].items():
        click.echo(f"{pair}: {summary}")
    click.echo(f"from data sheets: {transfer['cv']}")
    if output:
        command = "python benchmarks/fit_prediction.py --tables DIR --cache DIR -o FILE"
        fits = {key: one.fit for key, one in found.items()}
        write_atomic(output, fits_text(fits, command, transfer))
    if data:
        plain = {key: plain_rows(one) for key, one in found.items()}
        text = json.dumps({"schema_version": 1, "rows": plain}, separators=(",", ":"))
        write_atomic(data, text + "\n")


if __name__ == "__main__":
    main()
