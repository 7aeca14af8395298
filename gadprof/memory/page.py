"""Predicted CUDA memory as tables: the peaks of one step, and the largest batches that fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gadprof.results.cells import bytes_text
from gadprof.results.page import Page, page_of
from gadprof.results.table import Column, Table

if TYPE_CHECKING:
    from gadprof.memory.largest import Largest
    from gadprof.memory.peaks import Peaks


def peaks_page(peaks: Peaks, errors: Mapping[str, Any]) -> Page:
    """A row a figure, the three peaks and what they are made of."""
    low, high = peaks.interval95
    rows: list[tuple[str, str, int, str]] = [
        ("tensor_peak_bytes", "tensor peak", peaks.tensor_peak_bytes, "max_memory_allocated"),
        ("weight_bytes", "of it weights, buffers", peaks.weight_bytes, "resident"),
        ("optimizer_bytes", "of it optimiser", peaks.optimizer_bytes, peaks.optimizer),
        (
            "transient_bytes",
            "of it transient",
            peaks.transient_bytes,
            "saved tensors, gradients, workspaces at the peak",
        ),
        ("allocator_peak_bytes", "allocator peak", peaks.allocator_peak_bytes,
         "max_memory_reserved"),
        ("process_peak_bytes", "process peak", peaks.process_peak_bytes,
         f"what a monitor shows; 95 %: {bytes_text(low)} to {bytes_text(high)}"),
        ("context_bytes", "of it context", peaks.context_bytes, "CUDA, libraries, kernels"),
        ("loader_bytes", "of it loader", peaks.loader_bytes, "batches kept ready on the card"),
        ("least_bytes", "least", peaks.least_bytes, "a card with less will not do"),
    ]  # fmt: skip
    if not peaks.train:
        rows = [row for row in rows if row[0] != "optimizer_bytes"]
    columns = (
        Column("key", "", place="exact"),
        Column("what", "what", rank=0, place="shown"),
        Column("bytes", "predicted", "bytes", rank=0),
        Column("means", "means", rank=1, place="shown"),
    )
    step = f"training step, {peaks.optimizer}" if peaks.train else "forward pass"
    title = f"{peaks.model} at batch {peaks.batch}, {step}, {peaks.dtype}: predicted CUDA memory"
    table = Table("cuda_memory", title, columns, tuple(rows), notes=(_origin(errors),))
    document = {
        "model": peaks.model,
        "cuda_memory": peaks,
        "error_on_unseen_families": dict(errors),
    }
    return page_of(table, document=document, name="cuda-memory")


def largest_page(
    found: Sequence[Largest], errors: Mapping[str, Any], document: Mapping[str, Any]
) -> Page:
    """A row a model: three batches, and the predicted peak of the first."""
    columns = (
        Column("model", "model", rank=0),
        Column("largest_batch", "largest batch", "count", rank=0),
        Column("sure_batch", "sure", "count", rank=1),
        Column("impossible_batch", "will not fit", "count", rank=1),
        Column("process_peak_bytes", "predicted peak", "bytes", rank=0),
        Column("low_bytes", "95 % from", "bytes", rank=2),
        Column("high_bytes", "to", "bytes", rank=2),
    )
    rows = [
        (
            one.model,
            one.batch,
            one.sure_batch,
            one.impossible_batch,
            one.peaks.process_peak_bytes,
            *one.peaks.interval95,
        )
        for one in found
    ]
    title = ""
    if found:
        one = found[0]
        step = f"training, {one.peaks.optimizer}" if one.peaks.train else "forward"
        title = f"{one.device}, {bytes_text(one.capacity_bytes)}: {step}, {one.peaks.dtype}"
    notes = ("sure: fits at the upper end of the 95 % interval, too", _origin(errors))
    table = Table("fit", title, columns, tuple(rows), notes=notes)
    return page_of(
        table,
        document={**document, "error_on_unseen_families": dict(errors)},
        name="fit",
        words=_verdict(found),
    )


def _verdict(found: Sequence[Largest]) -> str:
    """The largest batch of each model, or that not one sample fits."""
    if not found:
        return ""
    device = found[0].device
    parts = [
        f"{one.model} fits {device} up to batch {one.batch:,}"
        if one.batch
        else f"{one.model} does not fit {device} with one sample"
        for one in found
    ]
    return "; ".join(parts) + "."


def _origin(errors: Mapping[str, Any]) -> str:
    return (
        "predicted from the trace; on unseen model families the median error of the process peak "
        f"in training was {100 * errors['median_absolute_error']:.1f} %, "
        f"{100 * errors['within_12_percent']:.0f} % of {errors['rows']:,} within 12 %"
    )
