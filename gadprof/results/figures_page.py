"""The page of one result that has the six figures."""

from __future__ import annotations

from typing import Any

from gadprof.results.figures import FIGURES
from gadprof.results.page import Page, page_of
from gadprof.results.table import Column, Table


def figures_page(result: Any) -> Page:
    """One row: name, input, batch and the six figures, which ``result`` has as attributes."""
    columns = (
        Column("model", "model", rank=0),
        Column("input", "input", place="exact"),
        Column("batch", "batch", place="exact"),
        *(Column(figure.key, figure.short, figure.kind) for figure in FIGURES),
    )
    shape = result.input
    row = (
        result.name,
        "x".join(map(str, shape)),
        result.batch,
        *(getattr(result, figure.key) for figure in FIGURES),
    )
    figures = {figure.key: getattr(result, figure.key) for figure in FIGURES}
    document = {"model": result.name, "input": shape, "batch": result.batch, **figures}
    note = f"input {'×'.join(map(str, shape))}, batch {result.batch}"
    return page_of(Table("cost", "", columns, (row,), note), document=document, name="cost")
