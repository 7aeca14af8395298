"""One model's page: what it costs, where, and when its memory is full.

Promises every figure exact; the finding comes first, in two sentences, and words are explained
where they first stand. A very deep model shows as many levels as make a page that opens quickly.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gadprof.counting.page import count_page
from gadprof.counting.summary import lines, stage_name
from gadprof.results.cells import bytes_text, scaled, share_text
from gadprof.results.page import Page, Plot, Section
from gadprof.results.table import Column, Table

if TYPE_CHECKING:
    from gadprof.counting.records import Trace

MOST_ROWS = 1500  # of a page's module tree
MOST_STEPS = 600  # of a timeline, each the most of its operations


def model_page(trace: Trace) -> Page:
    """Sections for reading; the JSON is that of ``gadprof count``."""
    depth = _depth(trace)
    modules = count_page(trace, "module", depth)
    (tree,) = modules.tables
    tree = replace(tree, key="modules", title="Modules", notes=())
    timeline = memory_plot(trace)
    more = []
    for by, title in (("stage", "By stage"), ("type", "By type of module"), ("op", "By operation")):
        (table,) = count_page(trace, by, None).tables  # type: ignore[arg-type]
        more.append(replace(table, key=by, title=title, notes=(), folded=True))
    notes = [f"The tree shows levels down to {depth}."] if depth is not None else []
    if trace.uncovered:
        listed = ", ".join(f"{name} ({n})" for name, n in sorted(trace.uncovered.items()))
        notes.append(f"Operations without a rule, which are not counted: {listed}.")
    notes += [trace.note] if trace.note else []
    return Page(
        "count",
        trace.model,
        (
            Section("summary", "Summary", tuple(_words(trace))),
            Section("modules", "Where the cost lies", tuple(notes), (tree,)),
            *(
                [
                    Section(
                        "memory",
                        "When memory is full",
                        (_memory_words(trace),),
                        (alive_table(trace),),
                        (timeline,),
                    )
                ]
                if timeline
                else []
            ),
            Section("divisions", "The same, added up otherwise", (), tuple(more)),
        ),
        modules.document,
        f"gadprof count {trace.model} -o count.html",
    )


def _depth(trace: Trace) -> int | None:
    """The levels of modules that keep to ``MOST_ROWS``; None where that is all."""
    levels: dict[int, int] = {}
    for path in trace.modules:
        level = path.count(".") + 1 if path else 0
        levels[level] = levels.get(level, 0) + 1
    count = 0
    for level in sorted(levels):
        count += levels[level]
        if count > MOST_ROWS:
            return max(level - 1, 1)
    return None


def _words(trace: Trace) -> list[str]:
    stages = lines(trace, "stage")
    shapes = " and ".join("×".join(map(str, shape)) for shape in trace.input_shapes)
    first = (
        f"{trace.model} takes {scaled(trace.macs)}MAC for {scaled(trace.params)} parameters at "
        f"{shapes}"
    )
    if len(stages) > 1 and trace.macs and trace.params:
        busiest = max(stages, key=lambda line: line.macs)
        heaviest = max(stages, key=lambda line: line.params)
        work = share_text(busiest.macs / trace.macs, 0)
        weights = share_text(heaviest.params / trace.params, 0)
        if busiest is heaviest:
            first += f": {busiest.name} does {work} of the work and holds {weights} of the weights"
        else:
            first += f": {busiest.name} does {work} of the work, {heaviest.name} holds {weights} of"
            first += " the weights"
    return [
        f"{first}. Its maps need {bytes_text(trace.peak_activation_bytes)} at once, its weights "
        f"{bytes_text(trace.param_bytes)}.",
        "A MAC is one multiply-add of a convolution or a matrix product, biases apart; a FLOP is "
        "one floating-point operation, so that a MAC is two. Maps are what operations hand on; G "
        "is 10^9, MiB is 2^20 bytes.",
    ]


def _memory_words(trace: Trace) -> str:
    index = _peak(trace)
    operation = trace.operations[index]
    where = operation.module or "the model itself"
    return (
        f"The most memory of live maps at once is {bytes_text(trace.live_bytes[index])}, at "
        f"operation {index + 1:,} of {len(trace.operations):,} ({operation.name} in {where}), the "
        "input included and weights apart."
    )


def _peak(trace: Trace) -> int:
    return max(range(len(trace.live_bytes)), key=lambda index: trace.live_bytes[index])


def alive_table(trace: Trace) -> Table:
    """The maps that are alive at the peak, each by the module that made it, the largest first.

    A map counts from the operation that makes it to the last that reads it; what a name holds
    longer, without reading it again, is one row of its own, so that the rows add up to the peak.
    """
    peak = _peak(trace)
    made: dict[int, tuple[int, str, str, tuple[int, ...]]] = {}
    size: dict[int, int] = {}
    last: dict[int, int] = {}
    for index, operation in enumerate(trace.operations):
        for tensor in operation.inputs:
            made.setdefault(tensor.storage, (-1, "", "input", tensor.shape))
        for tensor in operation.outputs:
            found = (index, operation.module, operation.name, tensor.shape)
            made.setdefault(tensor.storage, found)
        for tensor in (*operation.inputs, *operation.outputs):
            size[tensor.storage] = max(size.get(tensor.storage, 0), tensor.nbytes)
            last[tensor.storage] = index
    alive = [
        (size[storage], module or "(model)", name, "×".join(map(str, shape)))
        for storage, (index, module, name, shape) in made.items()
        if storage >= 0 and index <= peak <= last[storage]
    ]
    whole = trace.live_bytes[peak]
    rest = whole - sum(row[0] for row in alive)
    rows = [(module, name, shape, number) for number, module, name, shape in alive]
    rows.sort(key=lambda row: -row[3])
    if rest:
        rows.append(("held by a name, read no more" if rest > 0 else "shared", "", "", rest))
    columns = (
        Column("module", "made by", rank=0),
        Column("operation", "operation", rank=2),
        Column("shape", "shape", rank=1),
        Column("bytes", "bytes", "bytes", rank=0),
        Column("share", "of the peak", "share", rank=0),
    )
    cells = tuple((*row, row[3] / whole if whole else None) for row in rows)
    return Table("alive", "Alive at the peak", columns, cells)


def memory_plot(trace: Trace) -> Plot | None:
    """Bytes of live maps after each operation, with the stages below; None where none is known."""
    live = trace.live_bytes
    if len(live) < 2 or len(live) != len(trace.operations):
        return None
    stride = -(-len(live) // MOST_STEPS)
    steps = [[i, max(live[i : i + stride])] for i in range(0, len(live), stride)]
    spans: list[dict[str, Any]] = []
    for index, operation in enumerate(trace.operations):
        name = stage_name(operation.module)
        if spans and spans[-1]["name"] == name:
            spans[-1]["end"] = index + 1
        else:
            spans.append({"name": name, "start": index, "end": index + 1})
    peak = _peak(trace)
    operation = trace.operations[peak]
    label = operation.module or operation.name
    return Plot(
        "memory",
        "timeline",
        "Memory of live maps over the operations",
        "operation",
        "live maps",
        f"Bytes of live maps over {len(live):,} operations of {trace.model}; the peak is "
        f"{bytes_text(live[peak])} at {label}",
        {"steps": steps, "spans": spans, "peak": {"label": label, "x": peak, "y": live[peak]}},
        y_kind="bytes",
    )
