"""The page of predicted latency, with its figure and its data.

    python benchmarks/prediction_report.py -o reports [--tables DIR --cache DIR]

With the throughput tables of pytorch-image-models it fits again first (see ``fit_prediction.py``),
and writes the coefficients and ``data/prediction.json``; without, it makes the page from those two.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from gadprof.output import write_folder
from gadprof.pose.ablation import variant_names
from gadprof.prediction.api import predict, predict_trace
from gadprof.prediction.fits import Fit, find_fit, fits, transfer_errors
from gadprof.prediction.tracing import trace_of
from gadprof.render.page_files import index_page
from gadprof.render.tables import render_table
from gadprof.results.cells import percent_text, scaled

DATA, PLOT = "data/prediction.json", "plots/prediction.png"
COEFFICIENTS = Path(__file__).parents[1] / "gadprof" / "data" / "latency_coefficients.json"
NETWORKS = tuple(dict.fromkeys((*variant_names(""), "hrnet32", "gadnet32", "hrnet48", "gadnet48")))
SHEETS = ("rtx3080", "a100", "h100")
WORST = 20
# tried once while the form was chosen, with the figures that it gave then
TRIED = (
    "- Following a compiler's joining of operations, for the CPU's compiled models: mean error "
    "15.1 % before, 11.5 % with it (the two differ in folds, too: four and ten).",
    "- A learned residual, kernel or ridge regression on the classes' shares of time and the mean "
    "shapes, fitted to errors on left-out families: worse in all 14 settings tried (rtx3090-nhwc "
    "8.1 % before, 8.7 to 9.3 % after; rtx4090-nchw 7.8 % before, 7.9 to 8.2 % after). It learns "
    "families, not causes.",
    "- A class of its own for 7×7 depthwise convolutions: ConvNeXt, left out, then has too few "
    "relatives and its mean error on the rtx4090 rises from 11 % to 23 %.",
    "- Attention of three or five dimensions, which no fused kernel takes, the layout that a "
    "permuted map hands on, and normalisations that keep half precision: rtx4090-nchw 7.8 % "
    "before, 7.2 % after.",
    "- What no record shows, by what torch really runs: the copy that makes a permuted input of a "
    "linear layer, product, softmax or normalisation contiguous; a convolution's bias as an "
    "operation apart; no copy of a fused attention's heads; attention without a fused kernel as "
    "two products and a softmax, in single precision from torch 2.5 on; depthwise convolutions "
    "by torch's own kernel; tiles of 64 rows (five folds: rtx4090-nchw 6.3 %, rtx3090-nhwc 7.6 %).",
    "- Tensors of more than 2³¹ numbers as a term: rtx3090-nhwc 7.6 % before, 7.4 % after.",
    "- Weaker penalties, 0.4 of what they were: rtx3090-nhwc 7.4 % before, 7.1 % after; chosen on "
    "rtx4090-nchw and rtx3090-nhwc among two values, the other three tables untouched.",
    "- With channels last, the copies around group norm and reflection padding, which work on "
    "channels apart: rtx3090-nhwc 7.1 % before, 6.9 % after.",
    "- With channels last, a class of its own for groups that are no power of two wide, and none "
    "of those copies where a weight is computed, since its numbers lie in the plain order: "
    "rtx3090-nhwc 7.0 % before (76 % within 10 %), 6.3 % after (78 %).",
    "- With channels last, a class of its own for patches cut by their first convolution: "
    "rtx3090-nhwc 6.3 % before and after (78.2 % within 10 %, 78.4 %); not kept.",
    "- A bound on how far above its base a rate may go, e instead of e²: rtx3090-nhwc 7.4 % "
    "before, 7.3 % after, but rtx4090-nchw 6.3 % before, 7.1 % after; not kept.",
    "- The mean of up to four fits of different penalties and features: rtx3090-nhwc 7.0 %, no "
    "better than its best member at 6.9 %; not kept.",
)
Rows = Sequence[Mapping[str, Any]]


def percent(value: float, digits: int = 1) -> str:
    """A share as a percentage."""
    return f"{100 * value:.{digits}f} %"


def signed_error(row: Mapping[str, Any]) -> float:
    """Predicted over measured, minus one."""
    return float(row["predicted_s"] / row["measured_s"] - 1)


def ranks(values: Iterable[float]) -> Any:
    """The place of each value in ascending order."""
    return np.argsort(np.argsort(list(values)))


def accuracy(rows_of: Mapping[str, Rows]) -> str:
    """One line a device: how large the errors on families left out are."""
    lines = []
    for key, fit in fits().items():
        rows = rows_of[key]
        rates = [
            [row[name] / row["batch"] for row in rows] for name in ("measured_s", "predicted_s")
        ]
        order = float(np.corrcoef(ranks(rates[0]), ranks(rates[1]))[0, 1])
        lines.append(
            [
                key,
                fit.models,
                fit.families,
                percent(fit.cv["mean_absolute_error"]),
                percent(fit.cv["median_absolute_error"]),
                percent(fit.cv["within_10_percent"], 0),
                f"{order:.3f}",
                f"× {np.exp(fit.cv['log_error_95']):.2f}",
                percent(fit.cv["interval_coverage"]),
            ]
        )
    headers = ["device", "models", "families", "mean error", "median", "within 10 %"]
    headers += ["rank correlation", "95 % interval", "its coverage"]
    return render_table("md", headers, lines)


def networks(key: str, fit: Fit) -> tuple[str, dict[str, float]]:
    """The paper's networks on one device, and the predicted seconds of each."""
    batch = 256 if fit.kind == "gpu" else 1
    rows, _ = predict(NETWORKS, fit.device, batch=batch, layout=fit.layout)
    first = rows[NETWORKS.index("hrnet32")]
    assert first.predicted_latency_s is not None
    lines, found = [], {}
    for row in rows:
        if row.predicted_latency_s is None:
            lines.append([row.model, scaled(row.macs), None, None, None, row.refused or row.error])
            continue
        value, (low, high) = row.predicted_latency_s["value"], row.predicted_latency_s["interval95"]
        found[row.model] = value
        shares = ", ".join(f"{n} {100 * s:.0f} %" for n, s in list(row.by_class.items())[:3])
        lines.append(
            [
                row.model,
                scaled(row.macs),
                f"{1e3 * value:.1f} ms",
                f"{1e3 * low:.1f} to {1e3 * high:.1f} ms",
                f"{row.macs / first.macs:.3f} / {value / first.predicted_latency_s['value']:.3f}",
                shares,
            ]
        )
    headers = ["network", "MACs", "predicted", "95 %", "MACs / time to HRNet32", "most time in"]
    title = f"### {key}, {fit.dtype}, batch {batch}, 256×192\n\n"
    return title + render_table("md", headers, lines), found


def by_sheet() -> str:
    """HRNet32 and GADNet32 on devices that have a data sheet alone."""
    traces = {name: trace_of(name) for name in ("hrnet32", "gadnet32")}
    lines = []
    for device in SHEETS:
        fit = find_fit(device, None)
        row: list[Any] = [device]
        seconds = []
        for name, trace in traces.items():
            found = predict_trace(name, trace, fit, 256).predicted_latency_s
            assert found is not None
            seconds.append(found["value"])
            low, high = found["interval95"]
            row.append(f"{1e3 * found['value']:.1f} ms ({1e3 * low:.0f} to {1e3 * high:.0f})")
        lines.append([*row, f"{seconds[1] / seconds[0]:.3f}"])
    return render_table("md", ["device", "hrnet32", "gadnet32", "ratio"], lines)


def pairs() -> str:
    """The measured error of every move by data sheets."""
    lines = [
        [
            pair,
            percent(one["mean_absolute_error"]),
            percent(one["median_absolute_error"]),
            percent(one["within_10_percent"], 0),
        ]
        for pair, one in transfer_errors()["pairs"].items()
    ]
    return render_table(
        "md", ["fitted on, predicted", "mean error", "median", "within 10 %"], lines
    )


def families(rows_of: Mapping[str, Rows]) -> str:
    """Mean signed error of every family on every device, with its number of models."""
    names = sorted({row["family"] for rows in rows_of.values() for row in rows})
    lines = []
    for name in names:
        line: list[Any] = [name]
        for rows in rows_of.values():
            own = [signed_error(row) for row in rows if row["family"] == name]
            line.append(f"{percent_text(1 + np.mean(own), 0)} ({len(own)})" if own else None)
        lines.append(line)
    return render_table("md", ["family", *rows_of], lines)


def worst(rows: Rows) -> str:
    """The models with the largest error and which class of operation it lies in."""
    lines = []
    for row in sorted(rows, key=lambda r: -abs(np.log(r["predicted_s"] / r["measured_s"])))[:WORST]:
        name, before, after = row["corrected"]
        gap = row["measured_s"] - row["predicted_s"]
        why = f"{name}: {1e3 * before:.0f} → {1e3 * after:.0f} ms"
        if (after - before) * gap <= 0:
            why = "no class: the fit misses it with its family too"
        lines.append(
            [
                row["model"],
                row["size"],
                row["batch"],
                f"{1e3 * row['measured_s']:.0f} ms",
                f"{1e3 * row['predicted_s']:.0f} ms",
                percent_text(1 + signed_error(row), 0),
                ", ".join(f"{n} {100 * s:.0f} %" for n, s in row["by_class"].items()),
                why,
            ]
        )
    headers = ["model", "side", "batch", "measured", "predicted", "error", "most time in"]
    return render_table("md", [*headers, "what its own family's times correct most"], lines)


def figure(rows_of: Mapping[str, Rows]) -> bytes:
    """Predicted over measured against measured, one panel a device, as PNG."""
    import io

    from matplotlib.figure import Figure

    drawn = Figure(figsize=(11, 2.6), layout="constrained", dpi=110)
    panels = drawn.subplots(1, len(rows_of), sharey=True)
    for axes, (key, rows) in zip(panels, rows_of.items(), strict=True):
        times = [1e3 * row["measured_s"] / row["batch"] for row in rows]
        ratio = [row["predicted_s"] / row["measured_s"] for row in rows]
        axes.axhspan(0.9, 1.1, color="#dddddd", linewidth=0)
        axes.scatter(times, ratio, s=3, color="#0072b2", linewidths=0, alpha=0.6)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_ylim(0.3, 3)
        axes.set_yticks([0.5, 0.8, 1, 1.25, 2], ["0.5", "0.8", "1", "1.25", "2"])
        axes.set_yticks([], minor=True)
        axes.set_title(key, fontsize=9)
        axes.set_xlabel("measured, ms a picture", fontsize=8)
        axes.tick_params(labelsize=7)
    panels[0].set_ylabel("predicted / measured", fontsize=8)
    stream = io.BytesIO()
    drawn.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def finding(
    fewer: float, saved: Sequence[tuple[str, float]], ghosts: Sequence[tuple[str, float]]
) -> str:
    """What the predictions say of the paper's networks, in two sentences."""
    kinds = {key: fit.kind for key, fit in fits().items()}
    cards = [share for key, share in saved if kinds[key] == "gpu"]
    rest = [share for key, share in saved if kinds[key] != "gpu"]
    slow = [share for kind, share in ghosts if kind == "gpu"]
    words = (
        f"GADNet32 has {percent(fewer, 0)} fewer MACs (multiply-adds) than HRNet32 and is "
        f"predicted to take {percent(min(cards), 0)} to {percent(max(cards), 0)} less time on the "
        "graphics cards"
    )
    for share in rest:
        words += f", but {percent(abs(share), 0)} {'more' if share < 0 else 'less'} on the CPU"
    if min(slow) > 0:
        words += (
            f". Ghost-HRNet32 is predicted slower than HRNet32 on every card, by "
            f"{percent(min(slow), 0)} to {percent(max(slow), 0)}, although it has fewer MACs, too"
        )
    return words + "."


def page(rows_of: Mapping[str, Rows]) -> str:
    """The whole page."""
    tables, ratios, ghosts = [], [], []
    for key, fit in fits().items():
        table, seconds = networks(key, fit)
        tables.append(table)
        ratios.append((key, 1 - seconds["gadnet32"] / seconds["hrnet32"]))
        ghosts.append((fit.kind, seconds["ghost-hrnet32"] / seconds["hrnet32"] - 1))
    rows, _ = predict(["hrnet32", "gadnet32"], "rtx3090", batch=256)
    assert rows[0].macs
    assert rows[1].macs
    fewer = 1 - rows[1].macs / rows[0].macs
    less = "; ".join(
        f"{key} {percent(abs(saved), 0)} {'less' if saved > 0 else 'more'}" for key, saved in ratios
    )
    moved = transfer_errors()["cv"]
    parts = [
        "# Predicted latency, against what was measured",
        finding(fewer, ratios, ghosts),
        "Every error below is of models whose family the fit never saw: ten folds over families, "
        "never over rows. A family is the letters that a name begins with. The measurements are "
        "the public throughput tables of pytorch-image-models, mostly of large batches, so that "
        "the cost of launching an operation cannot be told from them; smaller batches are refused. "
        "The form of the model was chosen on these tables, and no setting was tuned to a fold.",
        accuracy(rows_of),
        f"![Predicted over measured time of every model, by device]({PLOT})",
        "The interval is conformal over families; its coverage was measured by leaving each family "
        "out of it.",
        "## The paper's networks",
        f"GADNet32 has {percent(fewer)} fewer MACs than HRNet32. Predicted time: {less}. MACs "
        "and time, each as a share of HRNet32's, stand side by side.",
        *tables,
        "## Devices with a data sheet alone",
        "A device without measurements takes the mean of the measured cards' fits, each moved by "
        "the ratio of the sheets' half-precision rate and bandwidth. Where a card was predicted so "
        f"from the two others, families left out, the mean error was "
        f"{percent(moved['mean_absolute_error'])} (median "
        f"{percent(moved['median_absolute_error'])}); all three are GeForce cards, and nothing was "
        "measured on a data centre's. Batch 256:",
        by_sheet(),
        pairs(),
        "## By family",
        "Mean signed error, predicted over measured minus one, and the number of models.",
        "<details>\n<summary>All families</summary>\n",
        families(rows_of),
        "</details>",
        f"## The worst {WORST} models of each device",
        "Why: the class of operation whose time moves most once the model's own family is fitted "
        "too, from the prediction without it.",
    ]
    for key, rows_here in rows_of.items():
        parts += [f"### {key}: the worst", worst(rows_here)]
    parts += ["## What was tried", *TRIED]
    parts.append("Made by `python benchmarks/prediction_report.py`.")
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


@click.command()
@click.option(
    "-o", "--output", default="reports", show_default=True, type=click.Path(path_type=Path)
)
@click.option("--tables", type=click.Path(path_type=Path, exists=True))
@click.option("--cache", type=click.Path(path_type=Path))
def main(output: Path, tables: Path | None, cache: Path | None) -> None:
    """Write prediction.md, its figure and the index of the folder."""
    if tables is not None:
        if cache is None:
            raise click.UsageError("--tables needs --cache, the folder that keeps the traces")
        words = [sys.executable, str(Path(__file__).parent / "fit_prediction.py")]
        words += ["--tables", str(tables), "--cache", str(cache)]
        words += ["-o", str(COEFFICIENTS), "--data", str(output / DATA)]
        subprocess.run(words, check=True)
    rows_of = json.loads((output / DATA).read_text())["rows"]
    files = {"prediction.md": page(rows_of).encode(), PLOT: figure(rows_of)}
    files["index.md"] = index_page(output, files)
    write_folder(output, files)
    click.echo(f"wrote {', '.join(files)} in {output}")


if __name__ == "__main__":
    main()
