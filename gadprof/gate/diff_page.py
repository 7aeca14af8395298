"""A diff as a page: the verdict in a sentence, then totals, modules and predicted latency."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gadprof.results.cells import percent_text, signed_text
from gadprof.results.figures import FIGURES, lower_bound_note
from gadprof.results.page import Page, Section
from gadprof.results.plain import to_plain
from gadprof.results.table import Column, Table

if TYPE_CHECKING:
    from gadprof.gate.diff import Diff, ModuleChange, ModuleFigures

SHOWN = 40  # modules in a table for people; JSON and CSV hold all


def diff_page(diff: Diff) -> Page:
    """The page of a diff; its exact rows are the modules."""
    tables = [_totals(diff)]
    if diff.changes:
        tables.append(_modules(diff))
    if diff.before.latency or diff.after.latency or diff.after.refused:
        tables.append(_latency(diff))
    section = Section("diff", "What changed", (verdict(diff), *_notes(diff)), tuple(tables))
    return Page(
        "diff",
        f"{diff.before.name} → {diff.after.name}",
        (section,),
        lambda: diff_object(diff),
        frame=_modules(diff, every=True),
    )


def verdict(diff: Diff) -> str:
    """One sentence: whether it passes, what the totals do, how many modules differ."""
    changed = {key: value for key, value in diff.difference.items() if value}
    parts = []
    for figure in FIGURES[:4]:
        if figure.key in changed:
            before = diff.before.totals[figure.key]
            ratio = (before + changed[figure.key]) / before if before else None
            grown = percent_text(ratio, 2) if ratio else "from 0"
            least = figure.summed and (diff.before.at_least or diff.after.at_least)
            parts.append(
                f"{figure.title}{' (counted part)' * least} "
                f"{signed_text(changed[figure.key])} ({grown})"
            )
    kinds = {kind: sum(c.kind == kind for c in diff.changes) for kind in
             ("changed", "appeared", "went", "moved")}  # fmt: skip
    counted = ", ".join(f"{number} {kind}" for kind, number in kinds.items() if number)
    modules = f"modules: {counted}" if counted else "no module differs"
    if diff.before.modules is None or diff.after.modules is None:
        modules = "modules are not known of kept totals"
    mark = "✗" if diff.failures else "✓"
    totals = ", ".join(parts) or "parameters, MACs, FLOPs and activations are unchanged"
    return f"{mark} {diff.before.name} → {diff.after.name}: {totals}; {modules}."


def _notes(diff: Diff) -> tuple[str, ...]:
    found = [f"fails: {failure.message}" for failure in diff.failures]
    for side in (diff.before, diff.after):
        found += [f"{side.name} on {device}: {why}" for device, why in side.refused.items()]
        if side.at_least:
            found.append(lower_bound_note(side.name, side.uncovered))
    return tuple(found)


def _totals(diff: Diff) -> Table:
    columns = (
        Column("figure", "", rank=0),
        Column("before", "before", "count", rank=0),
        Column("after", "after", "count", rank=0),
        Column("difference", "difference", "signed", rank=0),
        Column("change", "change", "change", digits=2, rank=1),
    )
    rows = []
    for figure in FIGURES:
        before, after = diff.before.total(figure.key), diff.after.total(figure.key)
        known = before is not None and after is not None
        rows.append(
            (
                f"{figure.title} (bytes)" if figure.kind == "bytes" else figure.title,
                before,
                after,
                after - before if before is not None and after is not None else None,
                after / before if known and before and after is not None else None,
            )
        )
    return Table("totals", "", columns, tuple(rows))


def _modules(diff: Diff, *, every: bool = False) -> Table:
    columns = (
        Column("kind", "", rank=0),
        Column("module", "module", rank=0),
        Column("type", "type", rank=2),
        Column("shape", "output", rank=3),
        Column("params", "params", "signed", rank=1),
        Column("macs", "MACs", "signed", rank=0),
        Column("flops", "FLOPs", "signed", place="exact"),
        Column("activations", "activations", "signed", rank=1),
    )
    chosen = diff.changes if every else diff.changes[:SHOWN]
    rows = tuple(_row(change) for change in chosen)
    notes: tuple[str, ...] = (
        "each module's own figures, after minus before, without what lies below it: together they "
        "are the difference of the totals",
    )
    if len(chosen) < len(diff.changes):
        notes += (f"{SHOWN} of {len(diff.changes):,} modules; --format json or csv has all",)
    return Table("modules", "Modules", columns, rows, note="; ".join(notes))


def _row(change: ModuleChange) -> tuple[Any, ...]:
    before, after = change.before, change.after
    path = change.path or "(model)"
    if before is not None and after is not None and before.path != after.path:
        path = f"{before.path} → {after.path}"
    kinds = [module.type for module in (before, after) if module is not None]
    difference = change.difference
    return (
        change.kind,
        path,
        " → ".join(dict.fromkeys(kinds)),
        " → ".join(dict.fromkeys(_shape(m) for m in (before, after) if m is not None)),
        difference["params"],
        difference["macs"],
        difference["flops"],
        difference["activations"],
    )


def _shape(module: ModuleFigures) -> str:
    return ", ".join("x".join(map(str, shape)) for shape in module.outputs)


def _latency(diff: Diff) -> Table:
    columns = (
        Column("device", "device", rank=0),
        Column("before_s", "before", "seconds", rank=0),
        Column("after_s", "after", "seconds", rank=0),
        Column("low_s", "95 % from", "seconds", rank=2),
        Column("high_s", "to", "seconds", rank=2),
        Column("ratio", "change", "change", rank=0),
    )
    rows = []
    for device in dict.fromkeys((*diff.before.latency, *diff.after.latency)):
        before = diff.before.latency.get(device, (None, None, None))
        after = diff.after.latency.get(device, (None, None, None))
        ratio = after[0] / before[0] if before[0] and after[0] else None
        rows.append((device, before[0], after[0], after[1], after[2], ratio))
    note = "predicted of the whole batch, see gadprof predict"
    return Table("latency", "Predicted latency", columns, tuple(rows), note)


def diff_object(diff: Diff) -> dict[str, Any]:
    """The diff as plain values."""

    def side(which: Any) -> dict[str, Any]:
        return {
            "name": which.name,
            "totals": dict(which.totals),
            "at_least": which.at_least,
            "uncovered": dict(which.uncovered),
            "latency": {
                device: {"value": value, "interval95": [low, high]}
                for device, (value, low, high) in which.latency.items()
            },
            "refused": dict(which.refused),
        }

    return {
        "before": side(diff.before),
        "after": side(diff.after),
        "difference": diff.difference,
        "modules_known": diff.before.modules is not None and diff.after.modules is not None,
        "changes": to_plain(diff.changes),
        "failures": to_plain(diff.failures),
        "ok": not diff.failures,
    }
