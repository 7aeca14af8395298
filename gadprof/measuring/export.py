"""A model written as the file of a runtime, checked by running it, and what the exporter changed.

Promises: the converter and the file each run in a process of their own under limits; outputs are
held against eager's; operations and multiply-adds are counted from the file where its format can
be read, beside the model's. Nothing is written here: the bytes are handed back whole. Refuses a
file that does not compute the model.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gadprof.counting.inputs import Input
from gadprof.errors import GadprofError, SettingError
from gadprof.measuring.settings import Dtype, Setting, check_setting
from gadprof.results.tabular import Tabular
from gadprof.workers.folders import private_folder
from gadprof.workers.process import WorkerFailedError

if TYPE_CHECKING:
    from gadprof.counting.records import Trace
    from gadprof.results.page import Page


@dataclass(frozen=True)
class Target:
    """A format: the runtime that checks its file, the file's suffix, the suffix of its weights."""

    runtime: str
    suffix: str
    weights: str = ""
    runs: bool = True


TARGETS: dict[str, Target] = {
    "onnx": Target("onnxruntime", ".onnx"),
    "executorch": Target("executorch", ".pte"),
    "litert": Target("litert", ".tflite"),
    "ncnn": Target("ncnn", ".param", ".bin"),
    "mnn": Target("mnn", ".mnn"),
    "openvino": Target("openvino", ".xml", ".bin"),
    # written by their vendors' documentation, and not yet run: no such runtime is at hand
    "coreml": Target("coreml", ".mlmodel", runs=False),
    "qnn": Target("qnn", ".pte", runs=False),
    "tensorrt": Target("tensorrt-engine", ".engine", runs=False),
}
# the formats that gadprof counts
COUNTED = ("onnx", "litert")


@dataclass(frozen=True)
class Change:
    """How many operations of a kind the model and its file have, and their multiply-adds.

    ``file`` and ``file_macs`` are None where gadprof cannot count the file.
    """

    kind: str
    model: int
    file: int | None
    model_macs: int
    file_macs: int | None

    @property
    def word(self) -> str:
        """What the exporter did to them."""
        if self.file is None or self.file == self.model:
            return ""
        return "fused or folded away" if self.file < self.model else "added or split"


@dataclass(frozen=True)
class Export(Tabular):
    """A model's file: its check, its counts, and its bytes by suffix (``content``).

    ``macs_by_dtype`` is of the file; ``file_layers`` counts a format's own layers where gadprof
    cannot count the file itself. Bytes, seconds, decibels.
    """

    model: str
    to: str
    precision: str
    runtime_version: str
    difference: float | None
    deployed: dict[str, Any] | None
    model_macs: int | None
    file_macs: int | None
    macs_by_dtype: dict[str, int]
    changes: tuple[Change, ...]
    file_layers: dict[str, int]
    notes: tuple[str, ...]
    content: dict[str, bytes]

    @property
    def countable(self) -> bool:
        """Whether gadprof reads the format."""
        return self.to in COUNTED

    def page(self) -> Page:
        """The table of changes, the check, and the JSON document."""
        from gadprof.measuring.export_page import export_page

        return export_page(self)


def export_model(
    model: str,
    to: str,
    *,
    precision: Dtype = "fp32",
    inputs: Sequence[Input] = (),
    batch: int = 1,
    weights: str = "",
    calibration: str = "",
    seed: int = 0,
    timeout_s: float = 600.0,
    memory_limit_bytes: int | None = None,
) -> Export:
    """Convert a model string for a target, run the file, and count it.

    Raises GadprofError: ModelFailedError where the converter or the file fails.
    """
    from gadprof.measuring.runtimes.converted import read_manifest

    target = TARGETS[to]
    setting = Setting(
        runtime=target.runtime,
        dtype=precision,
        batch=batch,
        input_shapes=tuple(item.shape for item in inputs),
        calibration=calibration,
        seed=seed,
    )
    if target.runs:
        check_setting(setting)
    with private_folder("gadprof-export-") as folder:
        loaded = make_file(
            model,
            setting,
            folder,
            weights=weights,
            timeout_s=timeout_s,
            memory_limit_bytes=memory_limit_bytes,
            runs=target.runs,
        ) or {
            "notes": [f"{to} has not been run yet, here or anywhere: check its outputs"],
            "runtime_version": "",
        }
        manifest = read_manifest(folder)
        path = manifest["path"]
        content = {target.suffix: _bytes(path)}
        if target.weights:
            content[target.weights] = _bytes(manifest["beside"][0])
        before = _count(model, tuple(inputs), batch, timeout_s)
        after = _count(path, (), batch, timeout_s) if to in COUNTED else None
        layers = file_layers(path, to)
    return Export(
        model=model,
        to=to,
        precision=precision,
        runtime_version=loaded["runtime_version"],
        difference=loaded.get("difference"),
        deployed=loaded.get("deployed"),
        model_macs=before.macs if before else None,
        file_macs=after.macs if after else None,
        macs_by_dtype=_dtypes(after),
        changes=changes(before, after) if before else (),
        file_layers=layers,
        notes=tuple(loaded["notes"]),
        content=content,
    )


def make_file(
    model: str,
    setting: Setting,
    folder: str,
    *,
    weights: str,
    timeout_s: float,
    memory_limit_bytes: int | None = None,
    runs: bool = True,
) -> dict[str, Any] | None:
    """Make a model's file in a folder in one process, and load and check it in another.

    Returns what the load told, None where the file is not to be run. Raises SettingError,
    WorkerFailedError.
    """
    from gadprof.measuring.kept import kept
    from gadprof.measuring.launcher import convert, default_memory_limit, load, measuring_worker

    limit = memory_limit_bytes or default_memory_limit()
    with told_by_kind():
        with measuring_worker(memory_limit_bytes=limit) as worker:
            convert(worker, model, setting, folder=folder, timeout_s=timeout_s, weights=weights)
        if not runs:
            return None
        with measuring_worker(memory_limit_bytes=limit) as worker:
            return load(worker, model, setting, timeout_s=timeout_s, converted=kept(folder))


@contextlib.contextmanager
def told_by_kind() -> Iterator[None]:
    """Let what a worker found to be bad use be bad use here, too. Raises SettingError."""
    try:
        yield
    except WorkerFailedError as failure:
        if failure.kind != "usage":
            raise
        raise SettingError(failure.reason) from failure


def _bytes(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read()


def _count(source: str, inputs: tuple[Input, ...], batch: int, timeout_s: float) -> Trace | None:
    """The count of a model or a file, None where it cannot be had."""
    from gadprof.models.counting import trace_model

    try:
        return trace_model(source, inputs=inputs, batch=batch, timeout_s=timeout_s)
    except GadprofError:
        return None


def _dtypes(trace: Trace | None) -> dict[str, int]:
    from gadprof.counting.precision import macs_by_dtype

    return macs_by_dtype(trace) if trace else {}


def changes(before: Trace, after: Trace | None) -> tuple[Change, ...]:
    """Every kind of operation of a model's forward and of its file, most multiply-adds first."""
    rows = []
    sides = [_by_kind(before), _by_kind(after) if after else {}]
    for kind in {**sides[0], **sides[1]}:
        count, macs = sides[0].get(kind, (0, 0))
        file_count, file_macs = sides[1].get(kind, (0, 0)) if after else (None, None)
        rows.append(Change(kind, count, file_count, macs, file_macs))
    return tuple(sorted(rows, key=lambda row: (-row.model_macs, -row.model, row.kind)))


def _by_kind(trace: Trace) -> dict[str, tuple[int, int]]:
    """How many operations of each kind a forward pass has, and their multiply-adds."""
    found: dict[str, tuple[int, int]] = {}
    for item in trace.forward:
        count, macs = found.get(item.kind, (0, 0))
        found[item.kind] = (count + 1, macs + item.macs)
    return found


def file_layers(path: str, to: str) -> dict[str, int]:
    """How often each of a format's own layers stands in a text file of it, most first."""
    if to not in ("ncnn", "openvino"):
        return {}
    if to == "ncnn":
        from gadprof.measuring.runtimes.ncnn_net import layer_kinds

        kinds = layer_kinds(path)
    else:
        with open(path, encoding="utf-8") as stream:
            kinds = re.findall(r'<layer [^>]*\btype="(\w+)"', stream.read())
    return dict(Counter(kinds).most_common())
