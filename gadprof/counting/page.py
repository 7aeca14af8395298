"""A count as a page: its rows by module, type, operation or stage, and its JSON document."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gadprof.counting.precision import active_params, bops, bytes_by_dtype, macs_by_dtype
from gadprof.counting.summary import Division, Line, lines
from gadprof.results.cells import bytes_text
from gadprof.results.page import Page, page_of
from gadprof.results.plain import describe_machine
from gadprof.results.table import Column, Table

if TYPE_CHECKING:
    from gadprof.counting.records import Trace

CONVENTION = (
    "gadprof: a MAC is one multiply-add of a convolution or matrix product, biases apart; flops "
    "are 2 x MACs and every elementwise operation"
)
SHOWN_DEPTH = 2  # of a model's modules where nobody says another


def count_page(trace: Trace, by: Division = "module", depth: int | None = SHOWN_DEPTH) -> Page:
    """The rows of a division; ``depth`` limits the levels of modules."""
    rows = lines(trace, by, depth=depth)
    title = _title(trace)
    table = Table(
        "count", title, _columns(by), tuple(_row(line, by) for line in rows),
        notes=tuple(_notes(trace, by, depth)),
    )  # fmt: skip
    return page_of(table, document=lambda: count_object(trace, rows, by), name="count")


def trace_page(trace: Trace) -> Page:
    """A trace at a prompt: its upper modules are shown, a DataFrame has all of them."""
    keys = ("type", "depth", "calls", "params", "macs", "flops", "activations", "bytes", "share")
    frame = Table(
        "modules",
        "",
        (Column("path", "module"), *(Column(key, key) for key in keys)),
        tuple(
            (line.name, *(getattr(line, key) for key in keys)) for line in lines(trace, "module")
        ),
    )
    return replace(count_page(trace), frame=frame)


def count_object(trace: Trace, rows: tuple[Line, ...], by: str) -> dict[str, Any]:
    """A count as plain values."""
    return {
        "model": trace.model,
        "input": [list(shape) for shape in trace.input_shapes],
        "batch": trace.batch,
        "train": trace.train,
        "params": trace.params,
        "trainable_params": trace.trainable_params,
        "buffers": trace.buffers,
        "macs": trace.macs,
        "flops": trace.flops,
        "activations": trace.activations,
        "bytes_read": trace.bytes_read,
        "bytes_written": trace.bytes_written,
        "peak_activation_bytes": trace.peak_activation_bytes,
        "weight_bytes": trace.param_bytes,
        "operations": len(trace.operations),
        "elementwise": trace.elementwise(),
        "uncovered": dict(trace.uncovered),
        "at_least": trace.at_least,
        "macs_by_dtype": macs_by_dtype(trace),
        "bops": bops(trace),
        "bytes_by_dtype": bytes_by_dtype(trace),
        "weight_bytes_by_dtype": dict(trace.weight_bytes_by_dtype),
        "active_params": active_params(trace),
        "data_dependent_macs": trace.data_dependent_macs,
        "chosen_by_data": dict(trace.chosen_by_data),
        "effective_macs": trace.effective_macs,
        "sparse_weights": dict(trace.sparse_weights),
        "by": by,
        "modules" if by == "module" else "groups": list(rows),
        **({"modules": []} if by != "module" else {}),
        "device": trace.device,
        "note": trace.note,
        "convention": CONVENTION,
        "machine": describe_machine(),
    }


def _columns(by: str) -> tuple[Column, ...]:
    """Keys as CSV has had them: the titles of the figures."""
    return (
        Column(by, by, place="exact"),
        Column("name", by, "tree", place="shown", rank=0),
        *([Column("type", "type", rank=3)] if by == "module" else []),
        Column("calls", "calls", "count", rank=4),
        Column("params", "params", "scaled", rank=0),
        Column("MACs", "MACs", "scaled", rank=0),
        Column("share", "share", "share", rank=1),
        Column("FLOPs", "FLOPs", "scaled", rank=3),
        Column("activations", "activations", "scaled", rank=3),
        Column("bytes", "bytes", "bytes", rank=2),
    )


def _row(line: Line, by: str) -> tuple[Any, ...]:
    last = line.name.rsplit(".", 1)[-1] if line.depth else line.name
    return (
        line.name, (line.depth, last), *([line.type] if by == "module" else []), line.calls,
        line.params, line.macs, line.share, line.flops, line.activations, line.bytes,
    )  # fmt: skip


def _title(trace: Trace) -> str:
    shapes = " and ".join("x".join(map(str, shape)) for shape in trace.input_shapes)
    what = "forward and backward" if trace.train else "forward"
    least = "at least " if trace.at_least else ""
    return (
        f"{trace.model} at {shapes}, {what}: {trace.params:,} parameters, {least}{trace.macs:,} "
        f"MACs, {least}{trace.flops:,} FLOPs"
    )


def _notes(trace: Trace, by: str, depth: int | None) -> list[str]:
    found = [
        CONVENTION,
        f"peak activation memory {bytes_text(trace.peak_activation_bytes)}, input included",
    ]
    if by == "module" and depth is not None:
        found.append(f"modules down to level {depth}; --depth {depth + 2} shows more")
    if trace.device == "plan":
        found.append("read from the network's plan; --trace runs its module, for the same records")
    if trace.note:
        found.append(trace.note)
    types = macs_by_dtype(trace)
    if len(types) > 1 or set(types) - {"float32"}:
        listed = ", ".join(f"{dtype} {macs:,}" for dtype, macs in types.items())
        found.append(f"MACs by type: {listed}; {bops(trace):,} bit-operations")
    if trace.effective_macs is not None:
        found.append(_zeros(trace))
    active = active_params(trace)
    if active != trace.params:
        found.append(f"{active:,} of {trace.params:,} parameters are active for one token")
    if trace.data_dependent_macs:
        chosen = ", ".join(f"{name} kept {most:,}" for name, most in trace.chosen_by_data.items())
        found.append(f"{trace.data_dependent_macs:,} MACs depend on data: at most {chosen}")
    if trace.uncovered:
        listed = ", ".join(f"{name} x{times}" for name, times in sorted(trace.uncovered.items()))
        found.append(f"totals are lower bounds; not counted, for want of a rule: {listed}")
    else:
        found.append("every operation that does arithmetic has a rule")
    return found


def _zeros(trace: Trace) -> str:
    """What the zeros of weights save, and how many weights have the pattern that hardware uses."""
    sparse = trace.sparse_weights
    if not sparse:
        return "no product has a weight with zeros: the effective MACs are all of them"
    two_of_four = sum(words.startswith("2:4") for words in sparse.values())
    saved = trace.macs - (trace.effective_macs or 0)
    return (
        f"effective MACs {trace.effective_macs:,}: {saved:,} have a weight that is zero; "
        f"weights with zeros: {len(sparse)}, {two_of_four} of them 2:4"
    )
