"""``gadprof history``: what the results store holds of a model, as a list and as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from gadprof.commands.options import complete_models, format_option, output_option, store_option

if TYPE_CHECKING:
    from gadprof.report.gather import Plot
    from gadprof.store.store import Entry

QUANTITIES = (
    "params",
    "macs",
    "flops",
    "activations",
    "peak_activation_bytes",
    "weight_bytes",
    "latency_s",
    "ap",
)


@click.command(name="history")
@click.argument("model", required=False, shell_complete=complete_models)
@click.option(
    "--kind",
    type=click.Choice(("cost", "count", "measurement", "accuracy", "training", "redundancy")),
    help="Only these.",
)
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Newest entries."
)
@click.option(
    "--plot", metavar="FILE", help="Also draw one figure over the entries (svg, pdf, png)."
)
@click.option(
    "--quantity",
    type=click.Choice(QUANTITIES),
    default="macs",
    show_default=True,
    help="What --plot draws.",
)
@format_option("table", "json", "csv", "md")
@output_option
@store_option
def history(
    model: str | None,
    kind: str | None,
    limit: int,
    plot: str | None,
    quantity: str,
    output_format: str,
    output: str | None,
    store: str | None,
) -> None:
    """List what was counted and measured of MODEL, oldest first; without MODEL, the models."""
    from gadprof.errors import StoreError, nearest
    from gadprof.output import check_writable, emit, plot_suffix, write_atomic
    from gadprof.render.tables import render_table
    from gadprof.results.plain import to_json
    from gadprof.store.store import Store, chosen_path

    if output is not None:
        check_writable(output)
    suffix = ""
    if plot is not None:
        suffix = plot_suffix(plot)
        if model is None:
            raise click.UsageError("--plot needs a MODEL")
    path = chosen_path(store)
    if path is None:
        raise StoreError("the results store is off; name one with --store PATH")
    with Store(path, create=False) as opened:
        if model is not None and model not in opened.models():
            raise StoreError(
                f"the results store {str(path)!r} holds nothing of {model!r}"
                + (nearest(model, opened.models()) or "; 'gadprof history' lists what it holds")
            )
        kinds = (kind,) if kind else ()
        if model is None:
            text = _models(opened.entries(kinds=kinds), output_format)
        else:
            entries = opened.entries(model, kinds=kinds, limit=limit)
            if output_format == "json":
                text = to_json({"model": model, "entries": entries})
            else:
                headers, rows = _rows(entries, exact=output_format == "csv")
                options: dict[str, Any] = {}
                if output_format == "table":
                    options["title"] = f"{model}: {len(entries)} entries of {path}"
                text = render_table(output_format, headers, rows, **options)
            if plot is not None:
                from gadprof.render.plots import render_plot

                write_atomic(plot, render_plot(history_plot(model, entries, quantity), suffix))
    emit(text, output)


def _models(entries: Sequence[Entry], output_format: str) -> str:
    from gadprof.render.tables import render_table
    from gadprof.results.plain import to_json

    totals: dict[str, list[Entry]] = {}
    for entry in entries:
        totals.setdefault(entry.model, []).append(entry)
    rows: list[list[Any]] = [
        [
            model,
            len(found),
            ", ".join(sorted({e.kind for e in found})),
            ", ".join(sorted({e.name for e in found if e.name})) or None,
            found[-1].recorded_at[:16].replace("T", " "),
        ]
        for model, found in sorted(totals.items())
    ]
    headers = ["model", "entries", "kinds", "baselines", "latest"]
    if output_format == "json":
        return to_json({"models": [dict(zip(headers, row, strict=True)) for row in rows]})
    return render_table(output_format, headers, rows)


def figure_of(entry: Entry, quantity: str) -> float | int | None:
    """One figure of an entry in base units; the median for a latency; None where it has none."""
    result = entry.result or {}
    value = result.get(quantity)
    if quantity == "latency_s" and isinstance(value, dict):
        value = value.get("median")
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _rows(entries: Sequence[Entry], *, exact: bool) -> tuple[list[str], list[list[Any]]]:
    from gadprof.render.cells import bytes_text, scaled, seconds_text

    show = (lambda value: value) if exact else scaled
    show_bytes = (lambda value: value) if exact else bytes_text
    show_time = (lambda value: value) if exact else seconds_text
    headers = [
        "when",
        "kind",
        "name",
        "input",
        "batch",
        "params",
        "MACs",
        "peak act.",
        "latency",
        "AP",
    ]
    if exact:
        headers = ["recorded_at", "kind", "name", "input", "batch", "params", "macs",
                   "peak_activation_bytes", "latency_s", "ap", "samples", "gadprof",
                   "cpu"]  # fmt: skip
    else:
        headers += ["samples", "gadprof"]
    rows = []
    for entry in entries:
        shapes = entry.settings.get("input") or entry.settings.get("input_shapes") or []
        row: list[Any] = [
            entry.recorded_at if exact else entry.recorded_at[:16].replace("T", " "),
            entry.kind if entry.finished else f"{entry.kind} (unfinished)",
            entry.name,
            " ".join("x".join(map(str, shape)) for shape in shapes) or None,
            entry.settings.get("batch"),
            show(figure_of(entry, "params")),
            show(figure_of(entry, "macs")),
            show_bytes(figure_of(entry, "peak_activation_bytes")),
            show_time(figure_of(entry, "latency_s")),
            figure_of(entry, "ap"),
            len(entry.samples) or None,
            entry.gadprof_version,
        ]
        if exact:
            row.append(entry.machine.get("cpu"))
        rows.append(row)
    if not exact and all(row[9] is None for row in rows):  # no accuracy, no column of gaps
        headers.pop(9)
        rows = [[*row[:9], *row[10:]] for row in rows]
    return headers, rows


def history_plot(model: str, entries: Sequence[Entry], quantity: str) -> Plot:
    """One figure over a model's entries, in the order in which they were kept.

    Raises StoreError where no entry has it.
    """
    from gadprof.errors import StoreError
    from gadprof.report.gather import Plot

    points: list[dict[str, Any]] = []
    for index, entry in enumerate(entries, 1):
        value = figure_of(entry, quantity)
        if value is not None:
            group = _circumstances(entry, quantity)
            points.append({"label": "", "group": group, "x": index, "y": value})
    if not points:
        raise StoreError(f"no entry of {model!r} has {quantity}; choose another --quantity")
    lines = [
        {"label": "", "points": [[p["x"], p["y"]] for p in points if p["group"] == group]}
        for group in dict.fromkeys(point["group"] for point in points)
    ]
    word = {"latency_s": "latency (s)", "ap": "AP"}.get(quantity, quantity.replace("_", " "))
    return Plot(
        "history",
        "scatter",
        f"{model}: {word}",
        "entry, oldest first",
        word,
        f"{word} of {model} over {len(points)} kept entries",
        {"points": points, "lines": [line for line in lines if len(line["points"]) > 1]},
    )


def _circumstances(entry: Entry, quantity: str) -> str:
    """What must be equal for two entries' figures to be of one line: input, batch, and of a
    latency also the setting."""
    settings = entry.settings
    shapes = settings.get("input") or settings.get("input_shapes") or []
    words = ["params"] if quantity in ("params", "weight_bytes") else [
        " ".join("x".join(map(str, shape)) for shape in shapes) or "its own input",
        f"batch {settings.get('batch', 1)}",
    ]  # fmt: skip
    if quantity == "latency_s":
        keys = ("device", "dtype", "runtime")
        words += [str(settings[key]) for key in keys if settings.get(key)]
        words += [f"{settings['threads']} threads"] if settings.get("threads") else []
    if quantity == "ap":
        words += [str(settings[key]) for key in ("data", "decoding") if settings.get(key)]
    return ", ".join(words)
