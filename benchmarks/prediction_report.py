"""The page of predicted latency, with its figure and its data.

    python benchmarks/prediction_report.py -o reports [--tables DIR --devices DIR --cache DIR]

With the throughput tables of pytorch-image-models it fits again first (see ``fit_prediction.py``),
and writes the coefficients and ``data/prediction.json``; without, it makes the page from those two.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from gadprof.output import write_folder
from gadprof.pose.ablation import variant_names
from gadprof.prediction.api import HOST, predict, predict_everywhere, predict_trace
from gadprof.prediction.fit import Fit
from gadprof.prediction.fits import cards, find_fit, fits, transfer_errors
from gadprof.prediction.page import ratio, ratio_plot
from gadprof.prediction.tracing import trace_of
from gadprof.render.page_files import index_page
from gadprof.render.plots import render_plot
from gadprof.render.tables import render_table
from gadprof.results.cells import percent_text, scaled

DATA, PLOT = "data/prediction.json", "plots/prediction.png"
COEFFICIENTS = Path(__file__).parents[1] / "gadprof" / "data" / "latency_coefficients.json"
NETWORKS = tuple(dict.fromkeys((*variant_names(""), "hrnet32", "gadnet32", "hrnet48", "gadnet48")))
RATIO_PLOT = "plots/prediction-ratio.png"
SHEETS = ("rtx3080", "a100", "h100")
FEW_DEVICES = 10  # the processors without half precision are fewer
LEAST_PLACED = 20  # networks, for a runtime to be told of
SHEET_BATCH = 512  # that an H100 is busy with
PHONE_NETWORKS = ("hrnet32", "gadnet32", "litehrnet18")
METHODS = (
    "A model is traced on stand-ins at a prime batch, so that a copy over the batch shows as one. "
    "Each operation becomes a row: class, multiply-adds, bytes, shape; under mixed precision with "
    "the casts, under a compiler without what stays in registers. Its time is a rounded roofline, "
    "whose two rates are exponentials of a linear form in the shape, with bends in the logarithms "
    "of size, width, depth and inner side; a ridge holds the forms near those of all products, or "
    "of all that only moves numbers. Only totals are fitted, by damped Gauss-Newton steps on "
    "Huber's loss of the log-time, a family of n rows counting n^0.7 times.",
    "The RTX 4090 and 5090 were measured with branches joined (RepVGG, MobileOne, FastViT, "
    "GhostNetV3, LeViT …), the others not; a prediction joins them as its device's table did, and "
    "`--reparam yes` or `no` says otherwise. Linear and cubic resizing of maps whose channels lie "
    "apart counts steps through planes, as its kernel runs.",
    "A training step is forward, backward and the optimiser: the forward's rows with rates of "
    "their own, and one row that reads and writes all parameters.",
)
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
    "- What is TResNet in the tables of training steps was normalised in place by another package "
    "(the networks named iabn there are as slow with channels last): its six rows, 76 % off in "
    "the mean, are left out.",
    "- On phones, where a network's mean over all devices is known, its rows are missed by 5.7 % "
    "at the median in half precision and by 5.5 % in eight bits: so much is the devices', the rest "
    "the form's. What the runtime folds into convolutions (normalisation, ReLU) left out, and the "
    "compiled fits of all four devices as where the form begins: eight settings gave 17 to 22 % "
    "around the 19 % of the one that stays, and their means 19 %; among 80 networks that is "
    "scatter, so that none was chosen by it.",
    "- A Gaussian process over 14 totals of a network, the geometric mean of both: in half "
    "precision on phones 28.1 % in the mean (18.6 % at the median, rank 0.951) before, 25.0 % "
    "(17.7 %, 0.945) after; five settings of it gave 25.1 to 25.6 %, and weights of 0.3 and 0.4 "
    "instead of a half 25.7 and 25.3 %. In eight bits, with 38 networks, it made it worse (24 % at "
    "the median before, 25 to 27 % after), alone, joined with half precision or as a ratio to it; "
    "not kept. On the tables of throughputs, with a weight of 0.2: rtx3090-nchw 5.5 % before and "
    "after, rtx4090-nchw 5.9 and 5.7 %, compiled 8.7 and 8.4 %, i9-10940x 11.4 and 10.5 %; with a "
    "process of 1,300 models a card to carry, not kept.",
)
Columns = Mapping[str, Any]


def table_fits() -> Mapping[str, Fit]:
    """The fits that a table of throughputs gave: neither phones nor cards measured together."""
    return {key: fit for key, fit in fits().items() if fit.kind == "cpu" or fit.dtype == "amp"}


def together() -> Mapping[str, Fit]:
    """The fits of machines that were measured together."""
    return {key: fit for key, fit in fits().items() if fit.kind == "gpu" and fit.dtype != "amp"}


def percent(value: float, digits: int = 1) -> str:
    """A share as a percentage."""
    return f"{100 * value:.{digits}f} %"


def ranks(values: Any) -> Any:
    """The place of each value in ascending order."""
    return np.argsort(np.argsort(values))


def per_sample(table: Columns, name: str) -> Any:
    """Seconds a sample of every row, (n,)."""
    return np.array(table[name]) / np.array(table["batch"])


def signed_errors(table: Columns) -> Any:
    """Predicted over measured, minus one, of every row, (n,)."""
    return np.array(table["predicted_s"]) / np.array(table["measured_s"]) - 1


def accuracy(tables: Mapping[str, Columns]) -> str:
    """One line a table: how large the errors on families left out are, three times over."""
    lines = []
    for key, fit in table_fits().items():
        table, cv = tables[key], fit.cv
        pair = [ranks(per_sample(table, name)) for name in ("measured_s", "predicted_s")]
        cells = []
        for way in ("prefix", "module", "kind"):
            one = cv[f"by_{way}"]
            cells.append(
                f"{percent(one['mean_absolute_error'])} / {percent(one['mean_over_families'])}"
            )
        lines.append(
            [
                key,
                fit.models,
                fit.families,
                *cells,
                percent(cv["median_absolute_error"]),
                percent(cv["within_10_percent"], 0),
                f"{float(np.corrcoef(*pair)[0, 1]):.3f}",
                f"× {np.exp(cv['log_error_95']):.2f}",
                f"× {np.exp(cv['log_error_95'] * (1 + cv['novelty_slope'])):.2f}",
                percent(cv["interval_coverage"]),
            ]
        )
    headers = ["device", "rows", "families", "prefix left out", "timm module", "merged kind"]
    headers += ["median", "within 10 %", "rank correlation", "95 % interval", "all novel", "covers"]
    return render_table("md", headers, lines)


def networks(key: str, fit: Fit) -> tuple[str, dict[str, float]]:
    """The paper's networks on one device, and the predicted seconds of each."""
    batch = 256 if fit.kind == "gpu" else 1
    rows, _ = predict(NETWORKS, fit.key, batch=batch)
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
    title = f"### {key}, {fit.dtype}, {fit.mode}, batch {batch}, 256×192\n\n"
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
            found = predict_trace(name, trace, fit, SHEET_BATCH).predicted_latency_s
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
    timed = transfer_errors()["ten_timed"]
    for line, pair in zip(lines, transfer_errors()["pairs"], strict=True):
        line.append(percent(timed[pair]["mean_absolute_error"]) if pair in timed else None)
    return render_table(
        "md", ["fitted on, predicted", "mean error", "median", "within 10 %", "ten timed"], lines
    )


def processors() -> str:
    """How one CPU's fit predicts the other, once one factor of speed is known."""
    found = transfer_errors().get("processors", {})
    words = [
        f"{pair} {percent(one['mean_absolute_error'])} (median "
        f"{percent(one['median_absolute_error'])}; times {one['factor']})"
        for pair, one in found.items()
    ]
    return (
        "From one CPU to the other, batch 1, families left out, times one factor of speed: "
        + ", ".join(words)
        + "."
    )


def ten_timed_mean() -> float:
    """The mean error over pairs of cards once ten models are timed."""
    pairs = transfer_errors()["ten_timed"].values()
    return float(np.mean([one["mean_absolute_error"] for one in pairs]))


def families(tables: Mapping[str, Columns]) -> str:
    """Mean signed error of every family on every device, with its number of models."""
    names = sorted({name for table in tables.values() for name in table["family"]})
    errors = {key: signed_errors(table) for key, table in tables.items()}
    lines = []
    for name in names:
        line: list[Any] = [name]
        for key, table in tables.items():
            own = errors[key][np.array(table["family"]) == name]
            line.append(f"{percent_text(1 + own.mean(), 0)} ({len(own)})" if len(own) else None)
        lines.append(line)
    return render_table("md", ["family", *tables], lines)


def worst(table: Columns) -> str:
    """The models with the largest error and which class of operation it lies in."""
    lines = []
    errors = signed_errors(table)
    for item in table["worst"]:
        row = item["row"]
        name, before, after = item["corrected"]
        measured, predicted = table["measured_s"][row], table["predicted_s"][row]
        why = f"{name}: {1e3 * before:.0f} → {1e3 * after:.0f} ms"
        if (after - before) * (measured - predicted) <= 0:
            why = "no class: the fit misses it with its family too"
        lines.append(
            [
                table["model"][row],
                table["size"][row],
                table["batch"][row],
                f"{1e3 * measured:.0f} ms",
                f"{1e3 * predicted:.0f} ms",
                percent_text(1 + errors[row], 0),
                percent(table["novelty"][row], 0),
                ", ".join(f"{n} {100 * s:.0f} %" for n, s in item["by_class"].items()),
                why,
            ]
        )
    headers = ["model", "side", "batch", "measured", "predicted", "error", "novel", "most time in"]
    return render_table("md", [*headers, "what its own family's times correct most"], lines)


def figure(tables: Mapping[str, Columns]) -> bytes:
    """Predicted over measured against measured, one panel a table, as PNG."""
    import io

    from matplotlib.figure import Figure

    across = 5
    down = -(-len(tables) // across)
    drawn = Figure(figsize=(11, 2.4 * down), layout="constrained", dpi=110)
    panels = drawn.subplots(down, across, sharey=True, squeeze=False)
    for axes in panels.flat[len(tables) :]:
        axes.set_visible(False)
    for axes, (key, table) in zip(panels.flat, tables.items(), strict=False):
        axes.axhspan(0.9, 1.1, color="#dddddd", linewidth=0)
        times = 1e3 * per_sample(table, "measured_s")
        ratio = signed_errors(table) + 1
        axes.scatter(times, ratio, s=3, color="#0072b2", linewidths=0, alpha=0.6)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_ylim(0.3, 3)
        axes.set_yticks([0.5, 0.8, 1, 1.25, 2], ["0.5", "0.8", "1", "1.25", "2"])
        axes.set_yticks([], minor=True)
        axes.set_title(key, fontsize=8)
        axes.set_xlabel("measured, ms a picture", fontsize=7)
        axes.tick_params(labelsize=7)
    for axes in panels[:, 0]:
        axes.set_ylabel("predicted / measured", fontsize=7)
    stream = io.BytesIO()
    drawn.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def finding() -> tuple[str, bytes]:
    """The page's first two sentences and its figure: where fewer MACs are less time."""
    pair = ("hrnet32", "gadnet32")
    found = predict_everywhere(pair, batch=None)
    inference = [(fit, rows) for fit, rows in found if fit.mode != "train"]
    complete = [item for item in found if all(row.predicted_latency_s for row in item[1])]
    phones = [ratio(rows) - 1 for fit, rows in complete if fit.kind == "npu"]
    complete = [item for item in complete if item[0].key in table_fits()]
    complete.sort(key=lambda item: ratio(item[1]))
    macs = inference[0][1]
    fewer = 1 - macs[1].macs / macs[0].macs
    large = [(fit, rows) for fit, rows in inference if fit.key in table_fits()]
    cards = [1 - ratio(rows) for fit, rows in large if fit.kind == "gpu"]
    small = [
        ratio(rows) - 1
        for fit, rows in predict_everywhere(pair, batch=1)
        if fit.key in together() and fit.host is not None
    ]
    others = [ratio(rows) - 1 for fit, rows in inference if fit.kind == "cpu"]
    ghost = predict_everywhere(("hrnet32", "ghost-hrnet32"), batch=None)
    slower = [
        ratio(rows) - 1
        for fit, rows in ghost
        if fit.key in table_fits() and fit.kind == "gpu" and fit.mode == "eager"
    ]
    text = (
        f"GADNet32 has {percent(fewer, 0)} fewer MACs than HRNet32, and is predicted "
        f"{span(cards, 'faster', 'slower')} on cards at large batches, "
        f"{span(small, 'slower', 'faster') if small else 'nothing known'} there at batch 1, where "
        f"the host sets the pace, {span(others, 'slower', 'faster')} on "
        f"the CPUs{phones_text(phones)}. The Ghost variant of HRNet32, with "
        f"{percent(1 - ghost[0][1][1].macs / ghost[0][1][0].macs, 0)} fewer MACs, is predicted "
        f"{span(slower, 'slower', 'faster')} on cards at large batches."
    )
    return text, render_plot(ratio_plot(pair, complete), "png")


def phones_text(ratios: Sequence[float]) -> str:
    """The phones' part of the first sentence; nothing where none predicts both."""
    if not ratios:
        return ""
    return f", and {span(ratios, 'slower', 'faster')} on the neural processors of phones"


def placed_words(placed: Sequence[Mapping[str, Any]]) -> str:
    """Which networks leave the neural processor, and by which runtime."""
    words = []
    for item in placed:
        if item["networks"] < LEAST_PLACED:
            continue
        text = f"{item['runtime']} {item['precision']}: {len(item['away'])} of {item['networks']}"
        if item["worst"]:
            text += f" (most {item['worst']}, {percent(item['share'], 0)} of its layers)"
        words.append(text)
    held = dict.fromkeys(
        f"{one.right} of {one.networks} in {one.runtime} {fit.dtype}"
        + (" there" if len(one.devices) < FEW_DEVICES else "")
        for fit in fits().values()
        for one in fit.placements
    )
    return (
        "Networks that leave the neural processor for a layer or more, at the median device: "
        + "; ".join(words)
        + ". The table names no operations. Which kinds it was is read off the networks rebuilt "
        "here: what no network had that stayed whole is said to leave. So TensorFlow Lite passes "
        "on layer normalisation, GELU, attention and convolutions of volumes in eight bits, on the "
        "processors that compute no half precision. On networks left out, one at a time, this was "
        f"right for {', '.join(held)}."
    )


def phones(placed: Sequence[Mapping[str, Any]]) -> list[str]:
    """HRNet, Lite-HRNet and GADNet on every phone, in half precision and eight bits."""
    found = [(fit, rows) for fit, rows in predict_everywhere(PHONE_NETWORKS) if fit.kind == "npu"]
    if not found:
        return []
    lines: dict[str, list[Any]] = {}
    for fit, rows in found:
        line = lines.setdefault(fit.source.partition(":")[0], [])
        line.append(fit.dtype)
        for row in rows:
            latency = row.predicted_latency_s
            if latency is None:
                line.append("refused")
                continue
            low, high = latency["interval95"]
            line.append(f"{1e3 * latency['value']:.1f} ms ({1e3 * low:.1f} to {1e3 * high:.0f})")
    stated = {fit.dtype: fit.cv for fit, _ in found}
    parts = []
    for dtype, cv in stated.items():
        rank = cv["rank_correlation"]
        parts.append(
            f"{dtype}: {cv['by_network']['groups']} networks, median "
            f"{percent(cv['median_absolute_error'])}, mean {percent(cv['mean_absolute_error'])}, "
            f"rank correlation {rank['median']} at the median device and {rank['least']} at the "
            f"least, interval × {np.exp(cv['log_error_95']):.1f}"
        )
    errors = "; ".join(parts)
    width = max(len(line) for line in lines.values())
    cells = [[name, *line, *[None] * (width - len(line))] for name, line in lines.items()]
    headers = ["phone", *["", *PHONE_NETWORKS] * (width // (1 + len(PHONE_NETWORKS)))]
    return [
        "## Phones",
        "One form for the neural processors of all Snapdragon devices in the public table "
        "(Qualcomm's runtime), times a factor of each device, and a time a pass. It begins from a "
        "compiled card's, that of eight bits from half precision's; in half precision the time is "
        "the geometric mean of the form's and of a Gaussian process over a network's totals. Error "
        "on networks that none of them has seen: "
        f"{errors}. In eight bits too few networks were measured, and the interval says so: of "
        "under 39 it is the worst one's error, a detector's that takes 20 times as long in eight "
        "bits as in half precision. At batch 1, 256×192:",
        render_table("md", headers, cells),
        placed_words(placed),
    ]


def span(values: Sequence[float], above: str, below: str) -> str:
    """A range of relative changes in words: above zero, below it, or both."""
    low, high = min(values), max(values)
    if low >= 0:
        return f"{100 * low:.0f} to {100 * high:.0f} % {above}"
    if high <= 0:
        return f"{-100 * high:.0f} to {-100 * low:.0f} % {below}"
    return f"from {-100 * low:.0f} % {below} to {100 * high:.0f} % {above}"


def small_batches(details: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Cards and hosts that were measured together: their errors, and the pair at batch 1."""
    if not details:
        return []
    lines = []
    for dtype, machines in details.items():
        for name, one in machines.items():
            first = [f"{space} {percent(error)}" for space, error in one["batch_1"].items()]
            lines.append(
                [
                    name,
                    dtype,
                    percent(one["network"]["mean_absolute_error"]),
                    ", ".join(first) or None,
                    percent(one["card"]["mean_absolute_error"]),
                    percent(one["card_one_timed"]["mean_absolute_error"]),
                ]
            )
    headers = ["machine", "format", "families left out", "batch 1, its space left out"]
    headers += ["card left out", "one network timed"]
    stated = cards()
    errors = "; ".join(
        f"{dtype}: {percent(one.cv['mean_absolute_error'])} of families left out, "
        f"{percent(one.cv_sheet['mean_absolute_error'])} of cards left out, × "
        f"{np.exp(one.cv['log_error_95']):.2f} and × {np.exp(one.cv_sheet['log_error_95']):.2f}"
        for dtype, one in stated.items()
    )
    makers = "; ".join(
        f"{dtype}: "
        + " and ".join(
            f"{percent(own['mean_absolute_error'])} (× {np.exp(own['log_error_95']):.2f}) {title}"
            for title, own in zip(("NVIDIA", "AMD"), one.cv_sheet["by_maker"].values(), strict=True)
        )
        for dtype, one in stated.items()
    )
    pair = ("hrnet32", "gadnet32")
    found = [(fit, rows) for fit, rows in predict_everywhere(pair, batch=1)]
    cells = [
        [
            fit.key,
            *(f"{1e3 * row.predicted_latency_s['value']:.1f} ms" for row in rows),
            f"{ratio(rows):.3f}",
            percent(rows[0].by_class.get(HOST, 0.0), 0),
            fit.source if fit.key in together() else "a host that nobody measured",
        ]
        for fit, rows in found
        if fit.kind == "gpu" and fit.host and all(row.predicted_latency_s for row in rows)
    ]
    return [
        "## Small batches: host and card as two queues",
        "A kernel starts at the later of its being enqueued and the card's being free. What "
        "enqueueing costs was fitted together with what cards reach of their data sheets, on "
        "NAS-Bench-201's and FBNet's networks at batch 1 to 256 on five cards and torchvision's at "
        "batch 12 on others: one vector of costs by kind of call, times a host's factor, and a "
        "time of its own a pass. Mean errors and intervals, " + errors + ". A space of networks "
        "that is left out is one that no card was measured on; a card that is left out has its "
        "sheet and the average host alone, and the hosts differ by more than the cards. With one "
        "network timed there (`--timed MODEL=TIME`), most of that goes. By maker, and so a "
        f"prediction from a sheet states it, cards left out are missed by: {makers}. On Radeon "
        "cards the kernels are a matter of the software's age: of one architecture, the RX 7700S "
        "reaches 0.95 of its sheet's rate in VGG-19 in single precision, the RX 7800 XT 2.0, which "
        "Winograd's algorithm alone allows; no sheet tells the two apart.",
        render_table("md", headers, lines),
        "HRNet32 and GADNet32 at batch 1, 256×192; *host* is the share of HRNet32's time that the "
        "card waits for the host. A card of the throughput tables has the average of the measured "
        "hosts, and an interval as wide as these scatter.",
        render_table("md", ["machine", *pair, "ratio", "host", "measured on"], cells),
    ]


def launches(lines: Sequence[Mapping[str, Any]], of_runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """What launching operations costs at batch 1, on two spaces of networks."""
    if not lines:
        return []
    rows = [
        [
            line["card"],
            line["fitted_on"],
            percent(line["same_space"]),
            f"{percent(line['other_space'])} ({percent_text(1 + line['other_bias'], 0)})",
            percent(line["other_space_one_timed"]),
            f"{line['convolution_us']:.0f} µs",
        ]
        for line in lines
    ]
    means = {
        (space, name): percent(
            float(np.mean([line[name] for line in lines if line["fitted_on"] == space]))
        )
        for space in ("NAS-Bench-201", "FBNet")
        for name in ("other_space", "other_space_one_timed")
    }
    compared = [
        [
            one["card"],
            *(
                f"{middle:.2f} ({low:.2f} to {high:.2f})"
                for low, middle, high in one["over_first"].values()
            ),
        ]
        for one in of_runs
    ]
    headers = ["card", "fitted on 100 of", "the rest of it", "the other space (bias)"]
    headers += ["one of it timed", "a convolution and its norm"]
    return [
        "### From one space to the other alone",
        "At batch 1 these cards wait for the host: a network's time is a sum over its operations "
        "of what enqueueing each costs. By that sum alone, from NAS-Bench-201's networks, FBNet's "
        f"are predicted {means['NAS-Bench-201', 'other_space']} wrong on average, and the other "
        f"way {means['FBNet', 'other_space']}. Almost all of it is one factor of a card, of nearly "
        "one size in both directions: with one network of the other space timed, "
        f"{means['NAS-Bench-201', 'other_space_one_timed']} and "
        f"{means['FBNet', 'other_space_one_timed']} are left. What FBNet's networks cannot tell, "
        "having few sums and one pooling, is held near the costs from which the fit of all "
        "machines begins, chosen with both tables at hand; without that 20.1 % and, one timed, "
        "27.5 % were left.",
        render_table("md", headers, rows),
        "The factor is not a network's: within a space the cards compare with each other alike "
        "whatever is run, and not as they do in the other space. One machine is not a third slower "
        "than itself: the columns of one name are of different machines, or of one in different "
        "states, which no fit can know without a measurement of the second run.",
        render_table("md", ["card, over the GTX 1080 Ti", *of_runs[0]["over_first"]], compared),
    ]


def page(data: Mapping[str, Any], opening: str) -> str:
    """The whole page."""
    tables, launch, placed = (data[name] for name in ("tables", "launch", "placed"))
    moved = transfer_errors()["cv"]
    parts = [
        "# Predicted latency, against what was measured",
        opening,
        f"![Predicted time of GADNet32 over HRNet32's on every device]({RATIO_PLOT})",
        "## How far to trust it",
        "Every error below is of models that the fit never saw, nor any of their family; never of "
        "random rows. Families are left out three times over: by the letters that a name begins "
        "with, by timm's module, and by merged kinds, where a fit has seen no transformer, or no "
        "residual network, or no inverted bottleneck at all. Each cell has the mean over rows and "
        "the mean over families. The interval is conformal over the hardest of the three and "
        "widens with novelty, the share of the predicted time in shapes of operations that few "
        "families had; *covers* is the least share of rows inside it, over the three. The "
        "measurements are public throughput tables of pytorch-image-models, mostly of large "
        "batches; where kernels are so short that the host sets the pace, eager predictions run on "
        "the hosts of other machines, with their scatter, and compiled ones are refused. The form "
        "of the model was chosen on these tables; no setting was tuned to a fold.",
        accuracy(tables),
        f"![Predicted over measured time of every model, by device]({PLOT})",
        "## The paper's networks",
        "MACs and time, each as a share of HRNet32's, stand side by side.",
        *[networks(key, fit)[0] for key, fit in table_fits().items()],
        *phones(placed),
        *small_batches(data.get("cards", {})),
        *launches(launch, data["runs"]),
        "## Devices with a data sheet alone",
        "A device without measurements takes the mean of the measured cards' fits, each moved by "
        "the ratio of the sheets' half-precision rate and bandwidth. Where a card was predicted so "
        f"from the two others, families left out, the mean error was "
        f"{percent(moved['mean_absolute_error'])} (median "
        f"{percent(moved['median_absolute_error'])}); all three are GeForce cards, and nothing was "
        "measured on a data centre's. With ten models timed on the new card, chosen as "
        "`gadprof calibrate --from here` chooses them, the mean error is "
        f"{percent(ten_timed_mean())}, for models that the other card's fit has seen. Batch "
        f"{SHEET_BATCH}:",
        by_sheet(),
        pairs(),
        processors(),
        "## By family",
        "Mean signed error, predicted over measured minus one, and the number of models.",
        "<details>\n<summary>All families</summary>\n",
        families(tables),
        "</details>",
        "## The worst models of each device",
        "Why: the class of operation whose time moves most once the model's own family is fitted "
        "too, from the prediction without it.",
    ]
    for key, table in tables.items():
        parts += [f"### {key}: the worst", worst(table)]
    parts += ["## How it is done", *METHODS, "## What was tried", *TRIED]
    parts.append("Made by `python benchmarks/prediction_report.py`.")
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


@click.command()
@click.option(
    "-o", "--output", default="reports", show_default=True, type=click.Path(path_type=Path)
)
@click.option("--tables", type=click.Path(path_type=Path, exists=True))
@click.option("--cache", type=click.Path(path_type=Path))
@click.option("--devices", type=click.Path(path_type=Path, exists=True))
def main(output: Path, tables: Path | None, cache: Path | None, devices: Path | None) -> None:
    """Write prediction.md, its figure and the index of the folder."""
    if tables is not None:
        if cache is None:
            raise click.UsageError("--tables needs --cache, the folder that keeps the traces")
        words = [sys.executable, str(Path(__file__).parent / "fit_prediction.py")]
        words += ["--tables", str(tables), "--cache", str(cache)]
        words += ["--devices", str(devices)] if devices else []
        words += ["-o", str(COEFFICIENTS), "--data", str(output / DATA)]
        subprocess.run(words, check=True)
    data = json.loads((output / DATA).read_text())
    tables_of = data["tables"]
    opening, drawn = finding()
    files = {"prediction.md": page(data, opening).encode()}
    files |= {PLOT: figure(tables_of), RATIO_PLOT: drawn}
    files["index.md"] = index_page(output, files)
    write_folder(output, files)
    click.echo(f"wrote {', '.join(files)} in {output}")


if __name__ == "__main__":
    main()
