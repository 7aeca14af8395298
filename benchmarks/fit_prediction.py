"""Fits the latency coefficients to public throughput tables, and says the error on unseen families.

    python benchmarks/fit_prediction.py --tables DIR --cache DIR [--devices DIR] [-o FILE]
        [--data FILE]

``--tables`` is a folder of the result files of pytorch-image-models (``benchmark-*.csv``). Every
model is traced once, at a prime batch, on the meta device; traces, features and each table's result
are kept in ``--cache``, so that a run that was stopped goes on. A table's models have their
branches joined where its parameter counts say so, remembered for the device. Cross-validation
leaves families out three times over: by the name's prefix, by timm's module, and by merged kinds
(``prediction_kinds``); the interval is that of the hardest. ``-o`` is the file of coefficients,
``--data`` holds every row's measured and left-out predicted time, which the page of predictions
shows. Prints one line a device.
"""

from __future__ import annotations

import csv
import hashlib
import json
import pickle
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from fit_cards import PRECISIONS as FORMATS
from fit_cards import fit_cards, keep, kept
from fit_phones import PRECISIONS, fit_phones, placements
from launch_costs import launch_errors, runs
from prediction_kinds import kind_of

import gadprof.prediction
from gadprof.measuring.explain.roofline import sheets
from gadprof.output import write_atomic
from gadprof.prediction.errors import adaptive_summary, error_summary, sizes
from gadprof.prediction.features import CLASSES, features_of
from gadprof.prediction.fit import Fit, key_of
from gadprof.prediction.fits import fits_text, moved
from gadprof.prediction.fitting import (
    Measured,
    fit_coefficients,
    fit_prepared,
    folds_of,
    predict_rows,
    prepare,
    subset,
)
from gadprof.prediction.informative import informative
from gadprof.prediction.measurements import family_of
from gadprof.prediction.model import Coefficients, operation_seconds
from gadprof.prediction.novelty import KNOWN_FROM, cells_of, families_by_cell, known_cells
from gadprof.prediction.per_sample import PRIME_BATCH
from gadprof.prediction.tracing import can_fuse, fuse
from gadprof.prediction.way import Way

_OLD = Way(amp=True, gpu=True)
_NEW = Way(amp=True, gpu=True, wide_attention=True)
_TRAIN = Way(amp=True, gpu=True, fused_attention=False, train=True)
# In these tables TResNet was normalised in place by another package, as the networks named iabn
# still are: with channels last those take 3.1 (VoVNet) and 4.9 times (DenseNet) as long as without,
# TResNet 3.2 to 4.1 times, and the same networks normalised plainly 0.87 times.
IN_PLACE = ("tresnet",)


@dataclass(frozen=True)
class Table:
    """A file (its name's middle) and how its device ran; ``kind`` is gpu or cpu.

    ``other_network`` are the beginnings of names that stood for another network then.
    """

    part: str
    device: str
    kind: str
    way: Way
    reparam: bool = False
    other_network: tuple[str, ...] = ()

    @property
    def layout(self) -> str:
        return "nhwc" if self.way.channels_last else "nchw"

    @property
    def key(self) -> str:
        return key_of(self.device, self.layout, self.way, self.kind)


TABLES = (
    Table("infer-amp-nchw-pt240-cu124-rtx3090", "rtx3090", "gpu", _OLD),
    Table(
        "infer-amp-nhwc-pt240-cu124-rtx3090",
        "rtx3090",
        "gpu",
        Way(amp=True, gpu=True, channels_last=True),
    ),
    Table("infer-amp-nchw-pt291-cu128-4090", "rtx4090", "gpu", _NEW, True),
    Table("infer-amp-nchw-pt291-cu130-5090", "rtx5090", "gpu", _NEW, True),
    Table(
        "infer-amp-nchw-pt291-cu128-4090-dynamo",
        "rtx4090",
        "gpu",
        Way(amp=True, gpu=True, wide_attention=True, compiled=True),
        True,
    ),
    Table(
        "infer-amp-nchw-pt291-cu130-5090-dynamo",
        "rtx5090",
        "gpu",
        Way(amp=True, gpu=True, wide_attention=True, compiled=True),
        True,
    ),
    Table("infer-fp32-nchw-pt240-cpu-i9_10940x-dynamo", "i9-10940x", "cpu", Way(compiled=True)),
    Table("infer-fp32-nchw-pt240-cpu-i7_12700h-dynamo", "i7-12700h", "cpu", Way(compiled=True)),
    Table("train-amp-nchw-pt112-cu113-rtx3090", "rtx3090", "gpu", _TRAIN, other_network=IN_PLACE),
    Table(
        "train-amp-nhwc-pt112-cu113-rtx3090",
        "rtx3090",
        "gpu",
        Way(amp=True, gpu=True, fused_attention=False, train=True, channels_last=True),
        other_network=IN_PLACE,
    ),
)
FITTING = ("fitting", "model", "novelty")  # the code that a fit follows from, given its rows
FOLDS = {"prefix": 6, "module": 4, "kind": 3}
WAYS_OUT = tuple(FOLDS)
WORST = 20
KEEP_EACH = 200  # models whose features are kept together
TEN_AMONG = 4
# twice and more what enqueueing a kernel takes: eagerly, and from compiled code
HOST_S = {"eager": 20e-6, "compiled": 10e-6}


@dataclass(frozen=True)
class Row:
    """A line of a table: what was measured, on which model at which side, and its timm module."""

    measured: Measured
    size: int
    module: str
    fused: bool

    def group(self, way_out: str) -> str:
        """The family that it is left out with."""
        if way_out == "prefix":
            return self.measured.family
        return self.module if way_out == "module" else kind_of(self.module)


# --- traces and features --------------------------------------------------------------------------


def trace_name(model: str, size: int, fused: bool) -> str:
    """The name of a trace in the cache."""
    return f"{model}@{size}{'+fused' if fused else ''}"


def traced(model: str, size: int, fused: bool, cache: Path) -> Any:
    """A model's operations and what it is, as plain values; None where it fails or cannot fuse."""
    if fused:
        plain = traced(model, size, False, cache)
        if plain is None or not plain["can_fuse"]:
            return None
    path = cache / "traces" / f"{trace_name(model, size, fused)}.z"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(zlib.compress(pickle.dumps(_trace(model, size, fused)), 3))
    return pickle.loads(zlib.decompress(path.read_bytes()))


def _trace(model: str, size: int, fused: bool) -> Any:
    import torch

    from gadprof.counting.count import count

    try:
        module = _built(model, size, "meta")
        able = can_fuse(module)
        if fused:
            try:
                module = fuse(module)
            except Exception:
                module = fuse(_built(model, size, "cpu"))  # fusing may look at values
        name = type(module).__module__
        batch, shape = PRIME_BATCH, (3, size, size)
        try:
            trace = count(module, (torch.empty(batch, *shape, device="meta"),), name=model)
        except Exception:
            batch = 1
            trace = count(module, (torch.empty(batch, *shape, device="meta"),), name=model)
    except Exception as error:
        click.echo(f"{model} at {size}: {type(error).__name__}: {str(error)[:80]}", err=True)
        return None
    return {
        "params": trace.params,
        "macs": trace.macs,
        "module": name,
        "batch": batch,
        "can_fuse": able,
        "forward": list(trace.forward),
    }


def _built(model: str, size: int, device: str) -> Any:
    import timm
    import torch

    with torch.device(device):
        try:
            module = timm.create_model(model, pretrained=False, img_size=size)
        except TypeError:
            module = timm.create_model(model, pretrained=False)
    return module.eval()


def read_rows(path: Path, table: Table, cache: Path) -> list[Row]:
    """Every row of a table that could be traced."""
    of_way = hashlib.sha1(repr(table.way).encode()).hexdigest()[:8]
    stored = cache / f"features-{code_stamp()}-{of_way}"
    known: dict[str, Any] = pickle.loads(stored.read_bytes()) if stored.exists() else {}
    before = len(known)
    rows = []
    with path.open() as stream:
        lines = list(csv.DictReader(stream))
    what = "train" if table.way.train else "infer"
    for line in lines:
        model, size = line["model"], int(line[f"{what}_img_size"])
        if model.startswith(table.other_network):
            continue
        for fused in ([True] if table.reparam else []) + [False]:
            name = trace_name(model, size, fused)
            if name not in known:
                found = traced(model, size, fused, cache)
                if found is not None:
                    features = features_of(found["forward"], table.way, found["batch"])
                    found = (features, found["module"].rpartition(".")[2])
                known[name] = found
                if len(known) % KEEP_EACH == 0:
                    keep(stored, known)
            if known[name] is not None:
                break
        if known[name] is None:
            continue
        features, module = known[name]
        batch = int(line[f"{what}_batch_size"])
        seconds = batch / float(line[f"{what}_samples_per_sec"])
        measured = Measured(model, family_of(f"timm:{model}"), batch, seconds, features)
        rows.append(Row(measured, size, module, name.endswith("+fused")))
    if len(known) > before:
        keep(stored, known)
    return rows


def code_stamp() -> str:
    """What the code is that turns traces into features, in eight digits."""
    folder = Path(gadprof.prediction.__file__).parent
    names = ("classes", "features", "flow", "fusion", "hidden", "per_sample", "rows", "way")
    text = b"".join((folder / f"{name}.py").read_bytes() for name in names)
    return hashlib.sha1(text).hexdigest()[:8]


def fit_stamp(rows: Sequence[Row]) -> str:
    """What a fit and its errors follow from, in twelve digits: the rows and the code that fits."""
    folder = Path(gadprof.prediction.__file__).parent
    found = hashlib.sha1(b"".join((folder / f"{n}.py").read_bytes() for n in FITTING))
    found.update(repr(FOLDS).encode())
    for row in rows:
        one = row.measured
        found.update(repr((one.model, one.batch, one.seconds, row.module)).encode())
        for part in (one.features.classes, one.features.columns, one.features.counts):
            found.update(part.tobytes())
    return found.hexdigest()[:12]


# --- fits -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LeftOut:
    """Left-out log-errors of one way of leaving out, (n,), the rows' groups and their novelty."""

    gaps: Any
    groups: Sequence[str]
    novelties: Any
    without: Mapping[str, Coefficients]


@dataclass(frozen=True)
class Fitted:
    """A table's fit, its rows, and what leaving families out gave."""

    fit: Fit
    rows: Sequence[Row]
    left_out: Mapping[str, LeftOut]


def leave_out(rows: Sequence[Row], way_out: str, kind: str) -> LeftOut:
    """Each row predicted by a fit that saw none of its group."""
    groups = [row.group(way_out) for row in rows]
    measured = [row.measured for row in rows]
    cells = families_by_cell([m.features for m in measured], groups)
    data, wanted = prepare(measured), np.log([m.seconds for m in measured])
    families = np.array([m.family for m in measured])
    folds = folds_of(groups, FOLDS[way_out])
    gaps, novelties = np.zeros(len(rows)), np.zeros(len(rows))
    without: dict[str, Coefficients] = {}
    for fold in range(int(folds.max()) + 1):
        keep = folds != fold
        found = fit_prepared(subset(data, keep), wanted[keep], families[keep].tolist(), kind)
        for index in np.flatnonzero(folds == fold).tolist():
            row, group = measured[index], groups[index]
            seconds = operation_seconds(found, row.features, row.batch)
            gaps[index] = np.log(seconds.sum() / row.seconds)
            known = [
                len(cells[cell] - {group}) >= KNOWN_FROM for cell in cells_of(row.features).tolist()
            ]
            novelties[index] = 1 - seconds[np.array(known)].sum() / seconds.sum()
            without[group] = found
    return LeftOut(gaps, groups, novelties, without)


def fit_table(path: Path, table: Table, cache: Path) -> Fitted:
    """The fit of one table, with its errors on families that were left out."""
    rows = read_rows(path, table, cache)
    stem = f"left-out-{table.key}-{fit_stamp(rows)}"
    left_out = {
        way_out: kept(
            cache / f"{stem}-{way_out}",
            lambda way_out=way_out: leave_out(rows, way_out, table.kind),
        )
        for way_out in WAYS_OUT
    }
    whole = kept(
        cache / f"{stem}-whole",
        lambda: fit_coefficients([row.measured for row in rows], table.kind),
    )
    measured = [row.measured for row in rows]
    families = [row.family for row in measured]
    batches = np.array([row.batch for row in measured])
    kernels = np.array([row.seconds / row.features.counts.sum() for row in measured])
    cv = adaptive_summary(
        {name: (out.gaps, out.groups, out.novelties) for name, out in left_out.items()},
        "prefix",
        f"leave-family-out, {FOLDS['prefix']} folds",
    )
    fit = Fit(
        key=table.key,
        device=table.device,
        layout=table.layout,
        dtype="amp" if table.way.amp else "fp32",
        kind=table.kind,
        way=table.way,
        reparam=table.reparam,
        members=(whole,),
        seen=tuple(
            len({row.family for row in measured if (row.features.classes == index).any()})
            for index in range(len(CLASSES))
        ),
        cells=known_cells(families_by_cell([row.features for row in measured], families)),
        least_batch=int(np.quantile(batches, 0.02)),
        most_batch=int(batches.max()),
        least_kernel_s=least_kernel(table, kernels),
        models=len(rows),
        families=len(set(families)),
        source=path.name,
        method="fitted",
        cv=cv,
    )
    return Fitted(fit, rows, left_out)


def least_kernel(table: Table, kernels: Any) -> float:
    """The mean time of a kernel (s) under which the host, not the card, sets the pace.

    On a processor nothing is enqueued, and batch 1 was measured.
    """
    if table.kind != "gpu":
        return 0.0
    return min(HOST_S["compiled" if table.way.compiled else "eager"], float(kernels.min()))


# --- one card from others' ------------------------------------------------------------------------


def transfer_seconds(source: Fitted, target: Fitted) -> Any:
    """Seconds of the target's rows by the source's fits that saw no row of their family, (n,)."""
    peaks = [
        (sheet["flops_per_s"]["fp16"], sheet["bytes_per_s"])
        for sheet in (sheets()[source.fit.device], sheets()[target.fit.device])
    ]
    without = source.left_out["prefix"].without
    seconds = []
    for row in target.rows:
        one = row.measured
        found = moved(without.get(one.family, source.fit.members[0]), *peaks)
        seconds.append(float(operation_seconds(found, one.features, one.batch).sum()))
    return np.array(seconds)


def transfers(found: Mapping[str, Fitted]) -> dict[str, Any]:
    """How well each card is predicted from another's fit, and from all others', by data sheets."""
    cards = {
        key: one
        for key, one in found.items()
        if one.fit.kind == "gpu" and one.fit.layout == "nchw" and one.fit.mode == "eager"
    }
    pairs: dict[str, Any] = {}
    gaps: list[Any] = []
    names: list[str] = []
    for key, target in cards.items():
        measured = np.array([row.measured.seconds for row in target.rows])
        others = [one for other, one in cards.items() if other != key]
        each = [transfer_seconds(one, target) for one in others]
        families = [row.measured.family for row in target.rows]
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
        "processors": between_processors(found),
        "ten_timed": ten_timed(cards),
        "from": list(cards),
        "cv": error_summary(np.concatenate(gaps), names, method),
        "pairs": pairs,
    }


def between_processors(found: Mapping[str, Fitted]) -> dict[str, Any]:
    """Each processor's rows by the other's fit, families left out, times one factor of speed."""
    processors = [one for one in found.values() if one.fit.kind == "cpu"]
    pairs = {}
    for target in processors:
        measured = np.log([row.measured.seconds for row in target.rows])
        families = [row.measured.family for row in target.rows]
        for source in processors:
            if source is target:
                continue
            without, whole = source.left_out["prefix"].without, source.fit.members[0]
            predicted = [
                operation_seconds(without.get(one.family, whole), one.features, one.batch).sum()
                for one in (row.measured for row in target.rows)
            ]
            gaps = np.log(predicted) - measured
            factor = float(np.median(gaps))
            pairs[f"{source.fit.device} to {target.fit.device}"] = {
                "factor": round(float(np.exp(-factor)), 3),
                **sizes(gaps - factor, families),
            }
    return pairs


def ten_timed(cards: Mapping[str, Fitted]) -> dict[str, Any]:
    """Each card from another's fit and ten of its own rows, the most informative of every fourth.

    The card is new to the fit, the models are not.
    """
    found = {}
    for target in cards.values():
        rows = [row.measured for row in target.rows]
        measured = np.log([row.seconds for row in rows])
        families = [row.family for row in rows]
        for source in cards.values():
            if source is target:
                continue
            prior = source.fit.members[0]
            few = rows[::TEN_AMONG]
            timed = [few[index] for index in informative(few, prior, 10)]
            gaps = predict_rows(fit_coefficients(timed, "gpu", prior), rows) - measured
            pair = f"{source.fit.device} to {target.fit.device}"
            found[pair] = sizes(gaps, families) | {"timed": [row.model for row in timed]}
    return found


# --- what the page shows --------------------------------------------------------------------------


def plain_rows(one: Fitted) -> dict[str, Any]:
    """What the page shows of a table: its rows as columns, times in seconds, and the worst rows.

    Of the worst, ``by_class`` are the classes that take most of the time, and ``corrected`` is the
    class whose time changes most once the row's own family is fitted too.
    """
    out = one.left_out["prefix"]
    measured = [row.measured for row in one.rows]
    worst = []
    for index in np.argsort(-np.abs(out.gaps))[:WORST].tolist():
        row = measured[index]
        before = _by_class(out.without[row.family], row)
        after = _by_class(one.fit.members[0], row)
        total = sum(before.values())
        most = sorted(before.items(), key=lambda item: -item[1])[:3]
        name = max(before, key=lambda key: abs(after[key] - before[key]))
        worst.append(
            {
                "row": index,
                "by_class": {key: round(value / total, 3) for key, value in most},
                "corrected": [name, float(f"{before[name]:.4g}"), float(f"{after[name]:.4g}")],
            }
        )
    return {
        "model": [row.model for row in measured],
        "family": [row.family for row in measured],
        "batch": [row.batch for row in measured],
        "size": [row.size for row in one.rows],
        "measured_s": [float(f"{row.seconds:.4g}") for row in measured],
        "predicted_s": [
            float(f"{row.seconds * np.exp(gap):.4g}")
            for row, gap in zip(measured, out.gaps, strict=True)
        ],
        "novelty": [round(float(value), 2) for value in out.novelties],
        "worst": worst,
    }


def _by_class(found: Coefficients, row: Measured) -> dict[str, float]:
    sums: dict[str, float] = {}
    seconds = operation_seconds(found, row.features, row.batch)
    for index, value in zip(row.features.classes.tolist(), seconds.tolist(), strict=True):
        sums[CLASSES[index]] = sums.get(CLASSES[index], 0.0) + value
    return sums


@click.command()
@click.option("--tables", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--cache", required=True, type=click.Path(path_type=Path))
@click.option("--only", multiple=True, metavar="KEY", help="Fit these tables alone.")
@click.option(
    "--devices",
    type=click.Path(path_type=Path, exists=True),
    help="A folder with the tables of phones and of the two spaces of networks.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The coefficients.")
@click.option("--data", type=click.Path(path_type=Path), help="Every row, for the page.")
def main(
    tables: Path,
    cache: Path,
    only: tuple[str, ...],
    devices: Path | None,
    output: Path | None,
    data: Path | None,
) -> None:
    """Fit every table in the folder, and predict each card from the others."""
    cache.mkdir(parents=True, exist_ok=True)
    found: dict[str, Fitted] = {}
    for table in TABLES:
        if only and table.key not in only:
            continue
        one = fit_table(tables / f"benchmark-{table.part}.csv", table, cache)
        found[table.key] = one
        cv = one.fit.cv
        parts = [
            f"{name} {100 * cv[f'by_{name}']['mean_absolute_error']:.1f}/"
            f"{100 * cv[f'by_{name}']['mean_over_families']:.1f} %"
            for name in WAYS_OUT
        ]
        click.echo(
            f"{table.key}: {one.fit.models} models; rows/families: {', '.join(parts)}; interval "
            f"× {np.exp(cv['log_error_95']):.2f} (novelty {cv['novelty_slope']}) covers "
            f"{100 * cv['interval_coverage']:.1f} %"
        )
    of_phones, of_cards = [], {}
    if devices is not None:
        compiled = found["rtx4090-nchw-compiled"].fit.members[0]
        of_phones = [
            fit_phones(devices / "phones_aihub.csv", cache, name, compiled) for name in PRECISIONS
        ]
        eager = found["rtx3090-nchw"].fit
        of_cards = {name: fit_cards(devices, cache, name, eager) for name in FORMATS}
    for each in of_phones:
        click.echo(
            f"phones, {each.dtype}: {each.cv['by_network']['groups']} networks; median "
            f"{100 * each.cv['median_absolute_error']:.1f} %, mean "
            f"{100 * each.cv['mean_absolute_error']:.1f} %; rank {each.cv['rank_correlation']}; "
            f"interval × {np.exp(each.cv['log_error_95']):.2f}"
        )
    for name, (one, _) in of_cards.items():
        click.echo(
            f"cards, {name}: {len(one.machines)} machines; families left out "
            f"{100 * one.cv['mean_absolute_error']:.1f} %, cards left out "
            f"{100 * one.cv_sheet['mean_absolute_error']:.1f} %"
        )
    if output is not None:
        text = fits_text(
            {key: one.fit for key, one in found.items()},
            "python benchmarks/fit_prediction.py",
            transfers(found),
            of_phones,
            [one for one, _ in of_cards.values()],
        )
        write_atomic(str(output), text)
    if data is not None:
        tables_of = {key: plain_rows(one) for key, one in found.items()}
        write_atomic(
            str(data),
            json.dumps(
                {
                    "tables": tables_of,
                    "cards": {name: details for name, (_, details) in of_cards.items()},
                    "launch": launch_errors(devices) if devices else [],
                    "runs": runs(devices) if devices else [],
                    "placed": placements(devices / "phones_aihub.csv") if devices else [],
                },
                separators=(",", ":"),
            )
            + "\n",
        )


if __name__ == "__main__":
    main()
