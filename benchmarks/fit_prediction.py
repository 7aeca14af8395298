"""Fits the latency coefficients to public throughput tables, and says the error on unseen families.

    python benchmarks/fit_prediction.py --tables DIR --cache DIR [-o FILE] [--only PART]

``--tables`` is a folder of the result files of pytorch-image-models (``benchmark-infer-*.csv``).
Every model is traced once on the meta device (about twelve minutes for all; kept in ``--cache``).
A table whose parameter count is that of the re-parameterised model was measured so, and is traced
so. Cross-validation leaves whole families out. Prints one line a device.
"""

from __future__ import annotations

import csv
import pickle
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from gadprof.counting.trace import count
from gadprof.output import write_atomic
from gadprof.prediction.errors import error_summary
from gadprof.prediction.features import CLASSES, features_of
from gadprof.prediction.fits import Fit, fits_text
from gadprof.prediction.fitting import Measured, fit_coefficients, left_out_errors
from gadprof.prediction.measurements import family_of

# file name part -> device, layout, format, kind, compiled
TABLES = {
    "amp-nchw-pt240-cu124-rtx3090": ("rtx3090", "nchw", "amp", "gpu", False),
    "amp-nhwc-pt240-cu124-rtx3090": ("rtx3090", "nhwc", "amp", "gpu", False),
    "amp-nchw-pt291-cu128-4090": ("rtx4090", "nchw", "amp", "gpu", False),
    "amp-nchw-pt291-cu130-5090": ("rtx5090", "nchw", "amp", "gpu", False),
    "fp32-nchw-pt240-cpu-i9_10940x-dynamo": ("i9-10940x", "nchw", "fp32", "cpu", True),
}
FOLDS = 10
SAME_PARAMS = 0.011e6  # the tables round to 0.01 million


def traced(model: str, size: int, fused: bool, cache: Path) -> Any:
    """Parameters and the features by (amp, compiled), or None where the model fails."""
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
                (amp, compiled): features_of(trace.forward, amp=amp, compiled=compiled)
                for amp, compiled in ((True, False), (False, True))
            },
        )
    except Exception as error:
        click.echo(f"{model} at {size}: {type(error).__name__}: {str(error)[:80]}", err=True)
        found = None
    path.write_bytes(pickle.dumps(found))
    return found


def read_rows(path: Path, amp: bool, compiled: bool, cache: Path) -> list[Measured]:
    """Every row of a table that could be traced."""
    rows = []
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
            features = found[1][amp, compiled]
            rows.append(Measured(model, family_of(f"timm:{model}"), batch, seconds, features))
    return rows


def fit_table(path: Path, part: str, cache: Path) -> tuple[Fit, Any]:
    """The fit of one table, and its left-out log-errors by row."""
    device, layout, dtype, kind, compiled = TABLES[part]
    rows = read_rows(path, dtype == "amp", compiled, cache)
    families = [row.family for row in rows]
    gaps = left_out_errors(rows, lambda inside: fit_coefficients(inside, kind), FOLDS)
    batches = np.array([row.batch for row in rows])
    fit = Fit(
        key=f"{device}-{layout}",
        device=device,
        layout=layout,
        dtype=dtype,
        kind=kind,
        compiled=compiled,
        coefficients=fit_coefficients(rows, kind),
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
    return fit, [(row, gap) for row, gap in zip(rows, gaps, strict=True)]


@click.command()
@click.option("--tables", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--cache", required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", help="Write the coefficients as JSON.")
@click.option("--only", help="Only tables whose name holds this.")
def main(tables: Path, cache: Path, output: str | None, only: str | None) -> None:
    """Fit every device whose table is in the folder."""
    cache.mkdir(parents=True, exist_ok=True)
    found: dict[str, Fit] = {}
    for part in TABLES:
        for path in sorted(tables.glob(f"*{part}*.csv")):
            if only and only not in part:
                continue
            started = time.monotonic()
            fit, _ = fit_table(path, part, cache)
            found[fit.key] = fit
            seconds = time.monotonic() - started
            click.echo(f"{fit.key}: {fit.models} models, {dict(fit.cv)}, {seconds:.0f} s")
    if output:
        command = "python benchmarks/fit_prediction.py --tables DIR --cache DIR -o FILE"
        write_atomic(output, fits_text(found, command))


if __name__ == "__main__":
    main()
