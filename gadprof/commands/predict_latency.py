"""The latency half of ``gadprof predict``."""

from __future__ import annotations

from typing import Any

import click


def run(models: tuple[str, ...], **options: Any) -> int:
    """Print predicted latencies; 0 when every row has one, 1 when one was refused or failed."""
    from gadprof.models.sources import parse_shapes
    from gadprof.output import check_writable, emit
    from gadprof.prediction.api import predict
    from gadprof.results.plain import describe_machine, to_json

    if options["output"] is not None:
        check_writable(options["output"])
    rows, fit = predict(
        models,
        options["device"],
        batch=options["batch"],
        layout=options["layout"],
        dtype=options["dtype"],
        shapes=parse_shapes(options["input_texts"]),
        coefficients=options["coefficients"],
    )
    if options["output_format"] == "json":
        payload = {
            "device": fit.device,
            "layout": fit.layout,
            "dtype": fit.dtype,
            "method": fit.method,
            "fitted_to": {"source": fit.source, "models": fit.models, "families": fit.families},
            "error_on_unseen_families": dict(fit.cv),
            "rows": rows,
            "machine": describe_machine(),
        }
        emit(to_json(payload), options["output"])
    else:
        emit(_table(rows, fit), options["output"])
    for row in rows:
        if row.error or row.refused:
            word = row.error or f"refused: {row.refused}"
            click.echo(f"gadprof: {row.model}: {word}", err=True)
    return 1 if any(row.error or row.refused for row in rows) else 0


def _table(rows: list[Any], fit: Any) -> str:
    from gadprof.render.cells import scaled
    from gadprof.render.tables import render_table

    first = next((row for row in rows if row.predicted_latency_s), None)
    cells = []
    for row in rows:
        latency = row.predicted_latency_s
        if latency is None:
            cells.append([row.model, scaled(row.macs), None, None, None, None, "refused"])
            continue
        low, high = latency["interval95"]
        ratio = latency["value"] / first.predicted_latency_s["value"] if first else None
        shares = [f"{name} {100 * share:.0f} %" for name, share in row.by_class.items()][:3]
        cells.append(
            [
                row.model,
                scaled(row.macs),
                f"{1e3 * latency['value']:.1f} ms",
                f"{1e3 * low:.1f} to {1e3 * high:.1f}",
                f"{row.throughput:,.0f}/s",
                f"{ratio:.3f}",
                ", ".join(shares),
            ]
        )
    cv = fit.cv
    batch = rows[0].batch if rows else 0
    return render_table(
        "table",
        ["model", "MACs", "predicted", "95 %", "throughput", "to first", "most time in"],
        cells,
        title=f"{fit.device}, {fit.dtype}, {fit.layout}, batch {batch}",
        notes=(
            f"{fit.method} to {fit.models} models of {fit.families} families ({fit.source}); "
            f"{cv['method']}: mean error {100 * cv['mean_absolute_error']:.1f} %, median "
            f"{100 * cv['median_absolute_error']:.1f} %, {100 * cv['within_10_percent']:.0f} % "
            "within 10 %",
        ),
    )
