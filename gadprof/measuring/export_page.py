"""An export as a page: what the exporter changed, kind by kind, and how the file was checked."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from gadprof.results.cells import bytes_text, scaled, seconds_text
from gadprof.results.page import Page, page_of
from gadprof.results.table import Column, Table

if TYPE_CHECKING:
    from gadprof.measuring.export import Export

COLUMNS = (
    Column("kind", "operation", rank=0),
    Column("model", "model", "count", rank=0),
    Column("file", "file", "count", rank=0),
    Column("model_macs", "MACs", "scaled"),
    Column("file_macs", "in the file", "scaled"),
    Column("change", "the exporter", rank=0),
)


def export_page(export: Export) -> Page:
    """A row a kind of operation; notes say how the file was checked and what it holds."""
    rows = tuple(
        (row.kind, row.model, row.file, row.model_macs or None, row.file_macs or None, row.word)
        for row in export.changes
    )
    size = bytes_text(sum(map(len, export.content.values())))
    title = f"{export.model} for {export.to} in {export.precision}: {size}"
    table = Table("export", title, COLUMNS, rows, notes=tuple(_notes(export)))
    return page_of(table, document=lambda: document(export), name="export")


def document(export: Export) -> dict[str, Any]:
    """The JSON document: everything but the file's bytes."""
    plain = asdict(export)
    plain["file_bytes"] = sum(map(len, plain.pop("content").values()))
    return plain


def _notes(export: Export) -> list[str]:
    notes = []
    facts = export.deployed
    if facts is not None:
        words = f"run by {export.runtime_version}: loaded in {seconds_text(facts['load_s'])}, "
        words += f"first run {seconds_text(facts['first_run_s'])}"
        if export.difference is not None:
            words += f"; differs from eager by {export.difference:.2g} of the largest value"
        if facts["snr_db"] is not None:
            words += f", SNR {facts['snr_db']:.1f} dB over {facts['samples']} samples"
        notes.append(words)
        if facts["joints_within_cell"] is not None:
            share = 100 * facts["joints_within_cell"]
            notes.append(f"{share:.1f} % of heat maps keep their maximum within one cell")
    if export.model_macs is not None and export.file_macs is not None:
        gap = export.file_macs - export.model_macs
        same = "the model's own" if gap == 0 else f"{gap:+,} against the model's"
        notes.append(f"MACs in the file: {export.file_macs:,}, {same}")
    elif not export.countable:
        notes.append("MACs are counted from ONNX and TensorFlow Lite files, not from this format")
    elif export.file_macs is None:
        notes.append("this file's MACs could not be counted; gadprof count says why")
    if len(export.macs_by_dtype) > 1 or set(export.macs_by_dtype) - {"float32"}:
        listed = ", ".join(f"{name} {scaled(n, 4)}" for name, n in export.macs_by_dtype.items())
        notes.append(f"MACs by type: {listed}")
    if export.file_layers:
        most = list(export.file_layers.items())
        listed = ", ".join(f"{name} x{count}" for name, count in most[:12])
        notes.append(f"layers in the file: {listed}{' and others' if most[12:] else ''}")
    return [*notes, *export.notes]
