"""How each kind of result reads as a table: for a notebook, and exact for a DataFrame.

Promises that names are escaped and that a DataFrame holds exact integers and base units. Refuses a
type without a rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gadprof.render.cells import bytes_text, scaled
from gadprof.render.html import to_html

Table = tuple[list[str], list[list[Any]]]

FIGURES = ("params", "macs", "flops", "activations", "peak_activation_bytes", "weight_bytes")
_LINE = ("path", "type", "depth", "calls", "params", "macs", "flops", "activations", "bytes",
         "share")  # fmt: skip
SHOWN_DEPTH = 2  # of a trace's modules in a notebook


def exact_table(result: Any) -> Table:
    """Headers and rows of exact values. Raises TypeError for a type without a rule."""
    return _rule(result)[0](result)


def html_of(result: Any) -> str:
    """One or several tables as HTML. Raises TypeError for a type without a rule."""
    return _rule(result)[1](result)


def _rule(result: Any) -> tuple[Callable[[Any], Table], Callable[[Any], str]]:
    rules: dict[str, tuple[Callable[[Any], Table], Callable[[Any], str]]] = {
        "Cost": (_cost, _cost_html),
        "Trace": (_trace, _trace_html),
        "Audit": (_audit, _audit_html),
        "BenchResult": (_bench, _bench_html),
        "Explanation": (_explanation, _explanation_html),
        "Formula": (_formula, _formula_html),
        "Comparison": (_comparison, _comparison_html),
        "Report": (_report, _report_html),
    }
    for kind in type(result).__mro__:
        if kind.__name__ in rules:
            return rules[kind.__name__]
    raise TypeError(f"no table rule for {type(result).__name__}")


def _figures(result: Any) -> list[str]:
    """A row of readable figures in the order of FIGURES."""
    values = [getattr(result, "param_bytes" if name == "weight_bytes" and not hasattr(
        result, name) else name) for name in FIGURES]  # fmt: skip
    return [
        bytes_text(value) if name.endswith("bytes") else scaled(value)
        for name, value in zip(FIGURES, values, strict=True)
    ]


_TITLES = ["model", "params", "MACs", "FLOPs", "activations", "peak activations", "weights"]


def _cost(cost: Any) -> Table:
    headers = ["model", "input", "batch", *FIGURES]
    shape = "x".join(map(str, cost.input))
    return headers, [[cost.name, shape, cost.batch, *(getattr(cost, n) for n in FIGURES)]]


def _cost_html(cost: Any) -> str:
    caption = f"input {'×'.join(map(str, cost.input))}, batch {cost.batch}"
    return to_html(_TITLES, [[cost.name, *_figures(cost)]], caption=caption)


def _lines(trace: Any, depth: int | None) -> list[list[Any]]:
    from gadprof.counting.summary import lines

    return [
        [line.name, line.type, line.depth, line.calls, line.params, line.macs, line.flops,
         line.activations, line.bytes, line.share]
        for line in lines(trace, "module", depth=depth)
    ]  # fmt: skip


def _trace(trace: Any) -> Table:
    return list(_LINE), _lines(trace, None)


def _trace_html(trace: Any) -> str:
    caption = f"{trace.model}: {scaled(trace.params)} parameters, {scaled(trace.macs)}MAC"
    if trace.uncovered:
        caption += "; not counted: " + ", ".join(
            f"{name} ×{count}" for name, count in trace.uncovered.items()
        )
    headers = ["module", "type", "calls", "params", "MACs", "FLOPs", "activations", "of all MACs"]
    rows = [
        [row[0] or "(model)", row[1], *row[3:8], f"{100 * row[9]:.1f} %"]
        for row in _lines(trace, SHOWN_DEPTH)
    ]
    return to_html(headers, rows, caption=caption)


_AUDIT = ("name", "version", "reported", "unit", "ours", "residual", "params", "error")


def _audit(audit: Any) -> Table:
    rows = [[audit.model, *(getattr(row, key) for key in _AUDIT)] for row in audit.backends]
    return ["model", *_AUDIT], rows


def _audit_html(audit: Any) -> str:
    headers = ["counter", "version", "reports", "unit", "causes", "unexplained", "failure"]
    rows = [
        [
            row.name,
            row.version,
            row.reported,
            row.unit,
            "; ".join(f"{item.cause} {item.amount:+,}" for item in row.differences),
            row.residual,
            row.error,
        ]
        for row in audit.backends
    ]
    return to_html(headers, rows, caption=f"{audit.model}: {audit.ours:,} MACs")


def _bench(result: Any) -> Table:
    from gadprof.render.bench import exact_table

    return exact_table(result)


def _bench_html(result: Any) -> str:
    from gadprof.render.bench import readable_table

    headers, rows = readable_table(result, verdicts=True)
    return to_html(headers, rows)


_PART = ("name", "seconds", "share", "operations", "macs", "flops", "traffic_bytes", "intensity",
         "bound_s", "efficiency", "limit")  # fmt: skip


def _explanation(explanation: Any) -> Table:
    rows = [
        [model.model, *(getattr(part, key) for key in _PART)]
        for model in explanation.explained
        for part in model.by_class
    ]
    return ["model", *_PART], rows


def _explanation_html(explanation: Any) -> str:
    headers, rows = _explanation(explanation)
    failed = [f"{model.model}: FAILED, {model.error}." for model in explanation.failed]
    return to_html(headers, rows, caption=" ".join([*explanation.words, *failed]))


_TERM = ("name", "params_symbols", "params", "macs_symbols", "macs", "operations",
         "operations_kind", "counted")  # fmt: skip


def _formula(formula: Any) -> Table:
    rows = [[formula.block, *(getattr(term, key) for key in _TERM)] for term in formula.terms]
    return ["block", *_TERM], rows


def _formula_html(formula: Any) -> str:
    headers = ["term", "weights", "params", "in MACs", "MACs", "other operations", "kind",
               "in GP and GG"]  # fmt: skip
    rows = [[getattr(term, key) for key in _TERM] for term in formula.terms]
    inputs = ", ".join(f"{key} = {value}" for key, value in formula.inputs.items())
    caption = (
        f"{formula.block} at {inputs}: GP = {formula.GP:,}, GG = {formula.GG:,}, "
        f"Rs = {formula.Rs:.4f}"
    )
    return to_html(headers, rows, caption=caption)


def _comparison(comparison: Any) -> Table:
    rows = comparison.rows
    backends = list(dict.fromkeys(name for row in rows for name in row.backends))
    headers = ["model", *FIGURES, *(f"{name}_relative" for name in FIGURES)]
    headers += [f"macs_{name}" for name in backends]
    more: Sequence[tuple[str, Callable[[Any], Any]]] = (
        ("latency_s", lambda row: (row.latency_s or {}).get("median")),
        ("ratio", lambda row: (row.ratio or {}).get("value")),
        ("ap", lambda row: (row.accuracy or {}).get("ap")),
        ("published_ap", lambda row: (row.published_accuracy or {}).get("ap")),
    )
    more = [(key, read) for key, read in more if any(read(row) is not None for row in rows)]
    headers += [*(key for key, _ in more), "error"]
    lines = []
    for row in rows:
        line = [row.model, *(getattr(row, name) for name in FIGURES)]
        line += [row.relative.get(name) for name in FIGURES]
        line += [getattr(row.backends.get(name), "macs", None) for name in backends]
        lines.append([*line, *(read(row) for _, read in more), row.error])
    return headers, lines


def _comparison_html(comparison: Any) -> str:
    from gadprof.render.comparison import comparison_table

    return to_html(*comparison_table(comparison))


def _report_table(report: Any) -> Any:
    return next(
        table
        for section in report.sections
        for table in section.tables
        if table.key == "comparison"
    )


def _report(report: Any) -> Table:
    table = _report_table(report)
    return [column.key for column in table.columns], [list(row) for row in table.rows]


def _report_html(report: Any) -> str:
    from gadprof.render.report_markdown import shown_rows

    return "\n".join(
        to_html([column.title for column in table.columns], shown_rows(table), caption=table.title)
        for section in report.sections
        for table in section.tables
        if not table.folded
    )
