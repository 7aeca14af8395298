"""Fits predicted CUDA memory to measured training peaks, and says the error on unseen families.

    python benchmarks/gpu_memory.py --peaks FILE --cache DIR [-o FILE] [--page FILE]

``--peaks`` is a table of measured peaks of timm models in training (``model, batch, measured_mib,
fake_tensor_peak_mib``: what a monitor showed of the process, and what torch's fake tensors said).
Every model is traced once on the meta device, every row simulated once for each setting of the
workspaces; both are kept in ``--cache``. A row that cannot have run to its end is set apart first,
by the table alone. ``-o`` is the file of coefficients, ``--page`` the page, which opens with the
finding and names every row that stays far off.
"""

from __future__ import annotations

import csv
import json
import pickle
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from gadprof.errors import GadprofError
from gadprof.memory.allocator import MIB
from gadprof.memory.peaks import Coefficients, least_need, run_steps
from gadprof.memory.step import Step, step_of
from gadprof.models.inputs import parse_inputs
from gadprof.output import write_atomic
from gadprof.prediction.fitting import folds_of
from gadprof.prediction.measurements import family_of
from gadprof.render.tables import render_table

OPTIMIZER = "sgd-momentum"
FULL = 38_500 * MIB  # from here on the card of 40 GB was full: what a run needed is not known
LEAST_CONTEXT = 1000 * MIB  # CUDA and its libraries never take less
FOLDS = 10
# an input that the fake tensors of the table show to be smaller than the model's own
SIDES = {"sam2_hiera_tiny": 224}
FAR = 0.25
START = {"pointwise": 0.0, "dense": 2.0, "strided": 1.0, "grouped": 1.0}
STEPS_OF = {"pointwise": 0.5, "dense": 0.5, "strided": 0.5, "grouped": 0.5}
CONTEXTS = tuple(range(1600, 1901, 10))  # MiB
COPIES = tuple(step / 2 for step in range(9))
Multiples = Mapping[str, float]


@dataclass(frozen=True)
class Row:
    """One measured peak, in bytes, and why it is no peak of a whole run ("" where it is)."""

    model: str
    batch: int
    measured: int
    fake: int
    unfinished: str = ""


def read_rows(path: Path) -> list[Row]:
    """The table's rows, each judged by the table alone."""
    rows: dict[str, list[Row]] = defaultdict(list)
    with path.open(encoding="utf-8") as stream:
        for line in csv.DictReader(stream):
            sizes = [round(float(line[k]) * MIB) for k in ("measured_mib", "fake_tensor_peak_mib")]
            rows[line["model"]].append(Row(line["model"], int(line["batch"]), *sizes))
    return [row for found in rows.values() for row in judged(sorted(found, key=_batch))]


def _batch(row: Row) -> int:
    return row.batch


def judged(rows: Sequence[Row]) -> list[Row]:
    """One model's rows by batch, those set apart that cannot be the peak of a whole step."""
    peaks = [row.measured for row in rows]
    if max(peaks) < 1.01 * min(peaks):
        return [replace(row, unfinished="the same at every batch") for row in rows]
    found: list[Row] = []
    for row in rows:
        reason = ""
        if row.measured < row.fake + LEAST_CONTEXT:
            reason = "less than its tensors and a context"
        elif row.measured >= FULL:
            reason = "the card was full"
        found.append(replace(row, unfinished=reason))
    return found


def steps_of(models: Sequence[str], cache: Path) -> dict[str, Step]:
    """Every model's training step; one that cannot be traced is told and left out."""
    steps = {}
    for model in models:
        path = cache / f"{model}.step"
        if not path.exists():
            try:
                side = SIDES.get(model)
                inputs = parse_inputs((f"3x{side}x{side}",) if side else ())
                found: Any = step_of(f"timm:{model}", inputs=inputs, train=True)
            except GadprofError as error:
                found = f"{type(error).__name__}: {error}"
            path.write_bytes(pickle.dumps(found))
        found = pickle.loads(path.read_bytes())
        if isinstance(found, str):
            click.echo(f"{model}: {found[:150]}", err=True)
        else:
            steps[model] = found
    return steps


class Simulations:
    """Allocator peaks of steps, each simulated once and kept in a file."""

    def __init__(self, steps: Mapping[str, Step], path: Path) -> None:
        self.steps = steps
        self.path = path
        self.known: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}

    def reserved(self, row: Row, multiples: Multiples) -> int:
        """The allocator's peak of a row's step in bytes."""
        step = self.steps[row.model]
        sorts = _sorts(step)
        used = {name: value for name, value in multiples.items() if name in sorts}
        key = f"{row.model} {row.batch} {sorted(used.items())}"
        if key not in self.known:
            self.known[key] = run_steps(step, row.batch, OPTIMIZER, multiples).reserved_peak
        return self.known[key]

    def of(self, rows: Sequence[Row], multiples: Multiples) -> Any:
        """The peaks of many rows, in bytes."""
        found = np.array([self.reserved(row, multiples) for row in rows], dtype=float)
        write_atomic(str(self.path), json.dumps(self.known))
        return found


def _sorts(step: Step) -> set[str]:
    from gadprof.memory.workspaces import sort_of

    return {sort_of(found) for found in step.convolutions if not found.depthwise}


def settings() -> list[dict[str, float]]:
    """The start, and each of its multiples one step up and down."""
    found = [dict(START)]
    for name, step in STEPS_OF.items():
        for value in (START[name] - step, START[name] + step):
            if value >= 0:
                found.append({**START, name: value})
    return found


@dataclass(frozen=True)
class Table:
    """Rows as arrays: measured and loader bytes, and the simulated peaks of each setting."""

    rows: Sequence[Row]
    measured: Any
    inputs: Any
    reserved: Any  # (settings, rows)
    least: Any  # bytes that cannot be done without, but for context and loader

    def part(self, chosen: Any) -> Table:
        """The rows of a mask."""
        rows = [row for row, yes in zip(self.rows, chosen, strict=True) if yes]
        return Table(
            rows,
            self.measured[chosen],
            self.inputs[chosen],
            self.reserved[:, chosen],
            self.least[chosen],
        )


def fit(table: Table) -> tuple[int, int, float]:
    """The setting, context bytes and input copies of the least mean error, errors over a quarter
    counted as a quarter."""
    best = (np.inf, 0, 0, 0.0)
    for index, reserved in enumerate(table.reserved):
        for copies in COPIES:
            for context in CONTEXTS:
                predicted = reserved + copies * table.inputs + context * MIB
                error = np.minimum(np.abs(predicted / table.measured - 1), FAR).mean()
                best = min(best, (float(error), index, context * MIB, copies))
    return best[1:]


def predicted_by(found: tuple[int, int, float], table: Table) -> tuple[Any, Any]:
    """Predicted peak and the least need of a table's rows."""
    index, context, copies = found
    beside = copies * table.inputs + context
    return table.reserved[index] + beside, table.least + beside


def cross_validated(table: Table, groups: Sequence[str]) -> tuple[Any, Any]:
    """Each row's predicted peak and least need from fits that saw no row of its group."""
    folds = folds_of(groups, FOLDS)
    peaks, needs = np.zeros(len(table.rows)), np.zeros(len(table.rows))
    for fold in range(int(folds.max()) + 1):
        found = fit(table.part(folds != fold))
        inside = folds == fold
        peaks[inside], needs[inside] = predicted_by(found, table.part(inside))
    return peaks, needs


def summary(predicted: Any, measured: Any, groups: Sequence[str], method: str) -> dict[str, Any]:
    """The errors of predictions, relative to what was measured."""
    errors = np.abs(predicted / measured - 1)
    return {
        "method": method,
        "rows": len(errors),
        "groups": len(set(groups)),
        "median_absolute_error": round(float(np.median(errors)), 4),
        "mean_absolute_error": round(float(errors.mean()), 4),
        "error_90": round(float(np.quantile(errors, 0.9)), 4),
        "within_5_percent": round(float((errors <= 0.05).mean()), 4),
        "within_12_percent": round(float((errors <= 0.12).mean()), 4),
    }


def tabled(rows: Sequence[Row], simulations: Simulations) -> Table:
    """Simulate every row at every setting."""
    steps = simulations.steps
    blank = Coefficients(0, 0.0, START, {}, 1.0, {}, "")
    reserved = []
    for number, setting in enumerate(settings()):
        reserved.append(simulations.of(rows, setting))
        click.echo(f"setting {number}: {setting}", err=True)
    return Table(
        rows,
        np.array([row.measured for row in rows], dtype=float),
        np.array([steps[row.model].input_bytes * row.batch for row in rows], dtype=float),
        np.array(reserved),
        np.array(
            [least_need(steps[row.model], row.batch, OPTIMIZER, blank) for row in rows],
            dtype=float,
        ),
    )


def fitted(rows: Sequence[Row], simulations: Simulations, source: str) -> dict[str, Any]:
    """Coefficients, errors and every row, as plain data."""
    steps = simulations.steps
    rows = [row for row in rows if row.model in steps]
    whole = [row for row in rows if not row.unfinished]
    apart = [row for row in rows if row.unfinished]
    table = tabled(whole, simulations)
    grouped: dict[str, Callable[[Row], str]] = {
        "module": lambda row: steps[row.model].defined_in,
        "name": lambda row: family_of(row.model),
    }
    errors = {}
    for key, of in grouped.items():
        groups = [of(row) for row in whole]
        peaks, needs = cross_validated(table, groups)
        method = f"leave-family-out, {FOLDS} folds, families by {key}"
        errors[key] = (summary(peaks, table.measured, groups, method), peaks, needs)
    cv, peaks, needs = errors["module"]
    found = fit(table)
    multiples = settings()[found[0]]
    least_ratio = float(np.quantile(table.measured / needs, 0.005))
    ratio = table.measured / peaks
    outside = tabled_least(apart, steps, found)
    coefficients = {
        "schema_version": 1,
        "written_by": "python benchmarks/gpu_memory.py --peaks FILE --cache DIR -o FILE",
        "context_bytes": found[1],
        "input_copies": found[2],
        "multiples": multiples,
        "ratio": {
            str(share): round(float(np.quantile(ratio, share / 100)), 4) for share in (2.5, 97.5)
        },
        "least_ratio": round(least_ratio, 4),
        "cv": cv,
        "source": source,
    }
    bound = {
        "wrong": int((least_ratio * needs > table.measured).sum()),
        "of": len(whole),
        "caught": int((least_ratio * outside > 40_960 * MIB).sum()),
        "unfinished": len(apart),
    }
    plain = []
    for row, peak, need in zip(whole, peaks, needs, strict=True):
        plain.append(_plain(row, steps[row.model], peak, need * least_ratio))
    for row, need in zip(apart, outside, strict=True):
        plain.append(_plain(row, steps[row.model], None, need * least_ratio))
    return {
        "schema_version": 1,
        "coefficients": coefficients,
        "by_name": errors["name"][0],
        "fake": summary(
            np.array([row.fake for row in whole], dtype=float),
            table.measured,
            [steps[row.model].defined_in for row in whole],
            "fake tensors",
        ),
        "optimizers": optimizers(whole, steps, found, multiples),
        "bound": bound,
        "rows": plain,
    }


def tabled_least(rows: Sequence[Row], steps: Mapping[str, Step], found: Any) -> Any:
    """The least need of rows without a measured peak, in bytes."""
    blank = Coefficients(found[1], 0.0, START, {}, 1.0, {}, "")
    return np.array(
        [
            least_need(
                steps[row.model],
                row.batch,
                OPTIMIZER,
                blank,
                round(found[2] * steps[row.model].input_bytes * row.batch),
            )
            for row in rows
        ],
        dtype=float,
    )


def optimizers(
    rows: Sequence[Row], steps: Mapping[str, Step], found: Any, multiples: Multiples
) -> dict[str, float]:
    """The median error of models of 80 million weights or more at batch 8, by optimiser.

    The context is fitted anew for each, so that none is at a disadvantage.
    """
    chosen = [r for r in rows if r.batch == 8 and sum(steps[r.model].weights) > 320e6]
    if not chosen:
        return {}
    measured = np.array([row.measured for row in chosen], dtype=float)
    result = {}
    for name in ("none", "sgd-momentum", "adamw"):
        peaks = np.array(
            [
                run_steps(steps[row.model], 8, name, multiples).reserved_peak  # type: ignore[arg-type]
                + found[2] * steps[row.model].input_bytes * 8
                for row in chosen
            ]
        )
        errors = [np.median(np.abs((peaks + c * MIB) / measured - 1)) for c in CONTEXTS]
        result[name] = round(float(errors[CONTEXTS.index(found[1] // MIB)]), 4)
    return result


def _plain(row: Row, step: Step, peak: Any, least: float) -> dict[str, Any]:
    return {
        "model": row.model,
        "module": step.defined_in.removeprefix("timm.models."),
        "batch": row.batch,
        "measured_mib": round(row.measured / MIB),
        "predicted_mib": None if peak is None else round(float(peak) / MIB),
        "least_mib": round(least / MIB),
        "unfinished": row.unfinished,
    }


def reason_of(row: Mapping[str, Any], same: Sequence[Mapping[str, Any]]) -> str:
    """Why a row is far off, as far as the table tells."""
    others = [o for o in same if o["batch"] != row["batch"] and o["predicted_mib"]]
    larger = [o for o in others if o["batch"] > row["batch"]]
    gap = row["predicted_mib"] / row["measured_mib"] - 1
    if gap < 0 and any(o["measured_mib"] <= 1.1 * row["measured_mib"] for o in larger):
        return "a larger batch measured less or the same: a workspace tried at this batch alone"
    if gap < 0:
        return "more than its tensors and every workspace known: a workspace of many GB"
    if all(o["predicted_mib"] > o["measured_mib"] for o in others):
        return "all its batches measured less: smaller workspaces, or built otherwise than here"
    return "measured less than its neighbours: the run may not have finished"


def page(data: Mapping[str, Any]) -> str:
    """The page of predicted memory in Markdown; opens with its finding."""
    found = data["coefficients"]
    cv, name, fake, bound = found["cv"], data["by_name"], data["fake"], data["bound"]
    rows = [row for row in data["rows"] if row["predicted_mib"] is not None]
    apart = Counter(row["unfinished"] for row in data["rows"] if row["unfinished"])
    by_model: dict[str, list[Any]] = defaultdict(list)
    for row in data["rows"]:
        by_model[row["model"]].append(row)
    far = [r for r in rows if abs(r["predicted_mib"] / r["measured_mib"] - 1) > FAR]
    far.sort(key=lambda r: -abs(np.log(r["predicted_mib"] / r["measured_mib"])))
    lines = []
    for row in far:
        lines.append(
            [
                row["model"],
                row["batch"],
                row["measured_mib"],
                row["predicted_mib"],
                f"{100 * (row['predicted_mib'] / row['measured_mib'] - 1):+.0f} %",
                reason_of(row, by_model[row["model"]]),
            ]
        )
    batches = []
    for batch in sorted({row["batch"] for row in rows}):
        errors = [
            abs(r["predicted_mib"] / r["measured_mib"] - 1) for r in rows if r["batch"] == batch
        ]
        batches.append(_spread(batch, errors))
    modules: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        modules[row["module"]].append(abs(row["predicted_mib"] / row["measured_mib"] - 1))
    worst = sorted(modules.items(), key=lambda item: -np.median(item[1]))[:10]
    errors_table = [
        _errors("leave-family-out, families by timm module", cv),
        _errors("leave-family-out, families by name", name),
        _errors("torch's fake tensors, as the table gives them", fake),
    ]
    multiples = ", ".join(f"{key} {value:g}" for key, value in found["multiples"].items())
    headers = ["", "rows", "median error", "90 % within", "within 5 %", "within 12 %"]
    return f"""# Predicted CUDA memory of training

The peak of a training step's CUDA memory is predicted from the trace alone, without a card, with \
a median error of {_percent(cv["median_absolute_error"])} on model families that the fit had not \
seen, and {_percent(cv["within_12_percent"])} of {cv["rows"]:,} measured peaks lie within 12 %.
The bound below which a step will not fit was above the measured peak in {bound["wrong"]} of \
{bound["of"]:,} rows ({_percent(bound["wrong"] / bound["of"])}).

{render_table("md", headers, errors_table)}

Measured: {found["source"]}. A monitor showed the whole process: context, libraries, what torch's \
allocator had reserved. {_inferred(rows, data["optimizers"])}

## How

Each model is traced once on the meta device, forward and backward, with attention as the \
memory-efficient kernel saves it. The births and deaths of all storages then run through an \
imitation of torch's caching allocator at the batch asked for: two steps, the second with the \
optimiser's states from the first. Six numbers are fitted: a constant of \
{found["context_bytes"] // MIB:,} MiB for context and libraries, {found["input_copies"]:g} batches \
that the loader holds, and a convolution's workspace in its weights' gradient, as a multiple of \
the bytes of its input and output ({multiples}). Each fold fits all six anew; the neighbourhood in \
which it looks for the multiples was found on a third of the models. No measured peak of a forward \
pass alone is at \
hand: predictions of inference rest on the same constant and no workspace.

A monitor sees what was reserved, so that the three figures differ: the *tensor peak* is what the \
live tensors and workspaces need (`max_memory_allocated`), the *allocator peak* adds fragmentation \
(`max_memory_reserved`), the *process peak* adds the constant and the loader's batches.

## Rows set apart

{_apart(apart)}

They are judged by the table alone, before any prediction, and are in no error above. The bound \
says of {bound["caught"]} of these {bound["unfinished"]} rows that they do not fit 40 GiB.

## By batch

{render_table("md", ["batch", *headers[1:]], batches)}

## The ten modules with the largest median error

{render_table("md", ["module", *headers[1:]], [_spread(key, value) for key, value in worst])}

## Rows more than {100 * FAR:.0f} % off

{len(far)} of {len(rows):,}. A workspace that cuDNN tries once can be several GB and depends on \
the algorithms that it finds at one batch; which ones is not documented.

{render_table("md", ["model", "batch", "measured MiB", "predicted MiB", "error", "reason"], lines)}
"""


def _inferred(rows: Sequence[Mapping[str, Any]], optimizers: Mapping[str, float]) -> str:
    """What the table does not say, and how it was found out."""
    text = (
        "Neither the optimiser nor the input size is given there; the peaks of "
        f"{len({row['model'] for row in rows}):,} models follow each model's own default size in "
        "single precision and SGD with momentum."
    )
    if not optimizers:
        return text
    return (
        f"{text[:-1]}: at batch 8, models of 80 million weights or more have a median error of "
        f"{_percent(optimizers['sgd-momentum'])} with it, {_percent(optimizers['adamw'])} with two "
        f"states a weight and {_percent(optimizers['none'])} with none."
    )


def _apart(apart: Mapping[str, int]) -> str:
    told = {
        "the same at every batch": "did not grow with the batch: the run failed at its start",
        "less than its tensors and a context": "show less than what fake tensors need for the step "
        f"and {LEAST_CONTEXT // MIB:,} MiB: the run ended for want of memory, or failed",
        "the card was full": f"reached {FULL // MIB:,} MiB of the card's 40 GB: what they needed "
        "is not known",
    }
    return "\n".join(f"- {apart[key]} {text}" for key, text in told.items() if apart.get(key))


def _errors(label: str, found: Mapping[str, Any]) -> list[Any]:
    return [
        label,
        found["rows"],
        _percent(found["median_absolute_error"]),
        _percent(found["error_90"]),
        _percent(found["within_5_percent"]),
        _percent(found["within_12_percent"]),
    ]


def _spread(label: Any, errors: Sequence[float]) -> list[Any]:
    values = np.array(errors)
    return [
        label,
        len(values),
        _percent(float(np.median(values))),
        _percent(float(np.quantile(values, 0.9))),
        _percent(float((values <= 0.05).mean())),
        _percent(float((values <= 0.12).mean())),
    ]


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


@click.command()
@click.option("--peaks", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--cache", required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", help="Write the coefficients as JSON.")
@click.option("--page", "page_file", help="Write the page.")
@click.option("--source", default="the table given", help="Where the table comes from, in words.")
def main(peaks: Path, cache: Path, output: str | None, page_file: str | None, source: str) -> None:
    """Fit, validate and write."""
    cache.mkdir(parents=True, exist_ok=True)
    rows = read_rows(peaks)
    steps = steps_of(list(dict.fromkeys(row.model for row in rows)), cache)
    result = fitted(rows, Simulations(steps, cache / "simulated.json"), source)
    if output:
        write_atomic(output, json.dumps(result["coefficients"], indent=1) + "\n")
    if page_file:
        write_atomic(page_file, page(result))
    click.echo(f"{result['coefficients']['cv']}, bound {result['bound']}")


if __name__ == "__main__":
    main()
