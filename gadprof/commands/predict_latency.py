"""The latency half of ``gadprof predict``."""

from __future__ import annotations

from typing import Any

import click


def run(models: tuple[str, ...], **options: Any) -> int:
    """Print predicted latencies; 0 when every row has one, 1 when one was refused or failed."""
    from gadprof.models.sources import parse_shapes
    from gadprof.output import check_writable, emit
    from gadprof.prediction.api import predict
    from gadprof.prediction.page import prediction_page
    from gadprof.render.tables import render
    from gadprof.results.plain import describe_machine

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
    document = {
        "device": fit.device,
        "layout": fit.layout,
        "dtype": fit.dtype,
        "method": fit.method,
        "fitted_to": {"source": fit.source, "models": fit.models, "families": fit.families},
        "error_on_unseen_families": dict(fit.cv),
        "rows": rows,
        "machine": describe_machine(),
    }
    emit(render(prediction_page(rows, fit, document), options["output_format"]), options["output"])
    for row in rows:
        if row.error or row.refused:
            word = row.error or f"refused: {row.refused}"
            click.echo(f"gadprof: {row.model}: {word}", err=True)
    return 1 if any(row.error or row.refused for row in rows) else 0
