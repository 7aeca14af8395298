"""Fits the latency coefficients to public throughput tables, and says the error on unseen families.

    python benchmarks/fit_prediction.py --tables DIR --cache DIR [-o FILE] [--limit N]

``--tables`` is a folder of the result files of pytorch-image-models (``benchmark-infer-*.csv``).
Every model is traced once on the meta device (about ten minutes for all; kept in ``--cache``).
Cross-validation leaves whole families out: a family is the letters that a name begins with, after
the prefixes that say who ported the weights. Prints one line a device.
"""

from __future__ import annotations

import csv
import json
import pickle
import re
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from gadprof.counting.trace import count
from gadprof.output import write_atomic
from gadprof.prediction.features import CLASSES, COLUMNS, features_of
from gadprof.prediction.model import REACH, shape_terms

# file name part -> device, layout, format, kind
TABLES = {
    "amp-nchw-pt240-cu124-rtx3090": ("rtx3090", "nchw", "amp", "gpu"),
    "amp-nhwc-pt240-cu124-rtx3090": ("rtx3090", "nhwc", "amp", "gpu"),
    "amp-nchw-pt291-cu128-4090": ("rtx4090", "nchw", "amp", "gpu"),
    "amp-nchw-pt291-cu130-5090": ("rtx5090", "nchw", "amp", "gpu"),
    "fp32-nchw-pt240-cpu-i9_10940x": ("i9-10940x", "nchw", "fp32", "cpu"),
}
# families that the torch 2.9.1 tables hold re-parameterised
REPARAMETERISED = (
    "repvgg",
    "mobileone",
    "fastvit",
    "repghost",
    "repvit",
    "levit",
    "efficientvit_m",
)
START = {"gpu": (4e13, 6e11, 5e-6), "cpu": (5e11, 3e10, 5e-6)}
FOLDS, STEPS, RATE = 4, 160, 0.04
_AT = {name: index for index, name in enumerate(COLUMNS)}


def family(model: str) -> str:
    """The family of a timm model's name."""
    name = re.sub(r"^(tf_|legacy_|fb_|timm_)+", "", model)
    found = re.match(r"[a-z]+", name)
    return found.group(0) if found else name


def traced(model: str, size: int, fused: bool, cache: Path) -> Any:
    """Features in both formats, from the cache or a new trace; None where the model fails."""
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
        found = {amp: features_of(trace.forward, amp=amp) for amp in (True, False)}
    except Exception as error:
        click.echo(f"{model} at {size}: {type(error).__name__}: {str(error)[:80]}", err=True)
        found = None
    path.write_bytes(pickle.dumps(found))
    return found


def read_rows(path: Path, amp: bool, cache: Path, limit: int | None) -> list[tuple[Any, ...]]:
    """(model, family, batch, seconds, features) of every row that could be traced."""
    rows = []
    with path.open() as stream:
        lines = list(csv.DictReader(stream))
    for line in lines[:limit]:
        model, size = line["model"], int(line["infer_img_size"])
        fused = "pt291" in path.name and model.startswith(REPARAMETERISED)
        found = traced(model, size, fused, cache)
        if found is not None:
            batch = int(line["infer_batch_size"])
            seconds = batch / float(line["infer_samples_per_sec"])
            rows.append((model, family(model), batch, seconds, found[amp]))
    return rows


def prepare(rows: list[tuple[Any, ...]]) -> dict[str, Any]:
    """All rows' operations as tensors, with the model that each belongs to."""
    columns = np.concatenate([row[4].columns for row in rows])
    owner = np.repeat(np.arange(len(rows)), [len(row[4].classes) for row in rows])
    batch = np.array([row[2] for row in rows], float)[owner]
    work = columns[:, _AT["work"]] * batch + columns[:, _AT["fixed_work"]]
    moved = columns[:, _AT["bytes"]] * batch + columns[:, _AT["fixed_bytes"]]
    lines = columns[:, _AT["rows"]] * np.where(columns[:, _AT["work"]] > 0, batch, 1)

    def tensor(values: Any) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float32)

    return {
        "classes": torch.tensor(np.concatenate([row[4].classes for row in rows])),
        "terms": tensor(shape_terms(columns, work, moved, lines)),
        "log_work": tensor(np.where(work > 0, np.log(np.maximum(work, 1)), -30.0)),
        "log_bytes": tensor(np.log(np.maximum(moved, 1))),
        "counts": tensor(np.concatenate([row[4].counts for row in rows])),
        "owner": torch.tensor(owner),
        "log_seconds": tensor(np.log([row[3] for row in rows])),
    }


def fit(data: dict[str, Any], keep: Any, kind: str) -> tuple[Any, dict[str, torch.Tensor]]:
    """Predicted log-seconds of every model, and the coefficients, fitted to the kept models."""
    torch.manual_seed(0)
    terms, models = data["terms"].shape[1], len(data["log_seconds"])
    values = {
        "offset": torch.zeros(len(CLASSES), 2),
        "shape": torch.zeros(len(CLASSES), terms, 2),
        "shared": torch.zeros(terms, 2),
        "base": torch.tensor(np.log(START[kind]), dtype=torch.float32),
    }
    for value in values.values():
        value.requires_grad_()
    chosen = torch.tensor(keep)
    own, kept = chosen[data["owner"]].nonzero()[:, 0], chosen.nonzero()[:, 0]

    def totals(index: torch.Tensor) -> torch.Tensor:
        classes, shape = data["classes"][index], data["terms"][index]
        form = (values["shape"][classes] * shape.unsqueeze(-1)).sum(1) + values["offset"][classes]
        form = REACH * torch.tanh((form + shape @ values["shared"]) / REACH)
        by_work = torch.exp(data["log_work"][index] - values["base"][0] - form[:, 0])
        by_bytes = torch.exp(data["log_bytes"][index] - values["base"][1] - form[:, 1])
        each = (by_work**2 + by_bytes**2 + 1e-30) ** 0.5 + torch.exp(values["base"][2])
        each = each * data["counts"][index]
        return torch.zeros(models).index_add(0, data["owner"][index], each)

    optimiser = torch.optim.Adam(list(values.values()), lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=STEPS)
    for _ in range(STEPS):
        optimiser.zero_grad()
        error = torch.log(totals(own)[kept]) - data["log_seconds"][kept]
        loss = 20 * torch.nn.functional.huber_loss(error, torch.zeros_like(error), delta=0.05)
        size = 1e-3 * values["offset"].pow(2).sum() + 2e-3 * values["shape"].pow(2).sum()
        (loss + size + 1e-3 * values["shared"].pow(2).sum()).backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        every = torch.arange(len(data["owner"]))
        return torch.log(totals(every)).numpy(), values


@click.command()
@click.option("--tables", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--cache", required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", help="Write the coefficients as JSON.")
@click.option("--limit", type=int, help="Rows of each table, for a quick look.")
def main(tables: Path, cache: Path, output: str | None, limit: int | None) -> None:
    """Fit every device whose table is in the folder."""
    cache.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {}
    for part, (device, layout, dtype, kind) in TABLES.items():
        for path in sorted(tables.glob(f"*{part}*.csv")):
            started = time.monotonic()
            rows = read_rows(path, dtype == "amp", cache, limit)
            data = prepare(rows)
            truth = data["log_seconds"].numpy()
            families = sorted({row[1] for row in rows})
            order = np.random.default_rng(0).permutation(len(families))
            fold_of = {families[place]: index % FOLDS for index, place in enumerate(order)}
            folds = np.array([fold_of[row[1]] for row in rows])
            predicted = np.zeros(len(rows))
            for fold in range(FOLDS):
                predicted[folds == fold] = fit(data, folds != fold, kind)[0][folds == fold]
            gap = predicted - truth
            error = np.abs(np.exp(gap) - 1)
            cv = {
                "method": f"leave-family-out, {FOLDS} folds",
                "mean_absolute_error": round(float(error.mean()), 4),
                "median_absolute_error": round(float(np.median(error)), 4),
                "within_10_percent": round(float((error < 0.1).mean()), 4),
                "log_error_95": round(float(np.quantile(np.abs(gap), 0.95)), 4),
            }
            _, values = fit(data, np.ones(len(rows), bool), kind)
            seen = [
                sum(bool((row[4].classes == c).any()) for row in rows) for c in range(len(CLASSES))
            ]
            found[f"{device}-{layout}"] = {
                "device": device,
                "layout": layout,
                "dtype": dtype,
                "kind": kind,
                "classes": list(CLASSES),
                **{
                    name: np.round(value.detach().numpy().astype(float), 5).tolist()
                    for name, value in values.items()
                },
                "seen": seen,
                "least_batch": int(np.quantile([row[2] for row in rows], 0.02)),
                "models": len(rows),
                "families": len(families),
                "source": path.name,
                "cv": cv,
            }
            seconds = time.monotonic() - started
            click.echo(f"{device} {layout}: {len(rows)} models, {cv}, {seconds:.0f} s")
    if output:
        write_atomic(output, json.dumps(found, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
