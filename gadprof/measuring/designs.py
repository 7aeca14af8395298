"""Many designs of one family timed against a reference in one runtime, as a search needs it.

Promises interleaved ratios with intervals, as ``measure`` gives them. Where the runtime reads ONNX,
each design is exported once, by torch's quicker exporter, and the file is timed in every such
runtime and at every launch. A design that fails has its one line. Refuses a runtime that is not
installed, before anything is built.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gadprof.errors import GadprofError, MissingExtraError
from gadprof.measuring.result import BenchResult
from gadprof.measuring.runtimes.onnx_graph import RUNTIMES as READ_ONNX
from gadprof.measuring.settings import Setting, check_setting

# runtime -> the package that it is imported from, and the extra that has it
PACKAGES = {
    "onnxruntime": ("onnxruntime", "onnx"),
    "openvino": ("openvino", "openvino"),
    "tensorrt": ("onnxruntime", "onnx"),
}


@dataclass(frozen=True)
class Run:
    """One run of models under a setting: how narrow an interval to reach, for how long at most.

    ``launches`` is how often each is started afresh (None: as often as the time allows).
    """

    models: tuple[str, ...]
    setting: Setting
    precision: float
    time_limit_s: float
    timeout_s: float = 300.0
    launches: int | None = None
    seed: int = 0

    @property
    def options(self) -> dict[str, Any]:
        """As ``measure`` calls them."""
        return {
            "precision": self.precision,
            "time_limit_s": self.time_limit_s,
            "timeout_s": self.timeout_s,
            "launches": self.launches,
            "seed": self.seed,
            "null": False,
            "memory": False,
            "energy": False,
        }


def check_runnable(setting: Setting) -> None:
    """Refuse a setting that cannot be measured here. Raises GadprofError."""
    check_setting(setting)
    package, extra = PACKAGES.get(setting.runtime, ("torch", "torch"))
    if importlib.util.find_spec(package) is None:
        raise MissingExtraError(package, extra, f"the runtime {setting.runtime}")


def measure_designs(
    run: Run,
    folder: Path,
    on_turn: Callable[[int, str, Setting, Sequence[float]], None] | None = None,
) -> BenchResult:
    """Time built-in models against the first; the files of exported ones stay in ``folder``.

    Raises GadprofError.
    """
    from gadprof.measuring.bench import measure

    quick = run.setting.runtime in READ_ONNX and run.setting.dtype == "fp32"
    named = {_file(model, folder) if quick else model: model for model in run.models}

    def told(row: int, model: str, setting: Setting, samples: Sequence[float]) -> None:
        if on_turn is not None:
            on_turn(row, named[model], setting, samples)

    result = measure(list(named), run.setting, on_turn=told, **run.options)
    reference = run.models[0]
    rows = tuple(
        replace(
            row,
            model=named[row.model],
            ratio=replace(row.ratio, to=reference) if row.ratio else None,
        )
        for row in result.rows
    )
    return replace(result, rows=rows)


def _file(model: str, folder: Path) -> str:
    """The ONNX file of a built-in model; the model itself where the export fails."""
    path = folder / f"{hashlib.sha256(model.encode()).hexdigest()[:16]}.onnx"
    if not path.exists():
        try:
            _export(model, path)
        except (GadprofError, RuntimeError, ValueError, TypeError):
            return model
    return str(path)


def _export(model: str, path: Path) -> None:
    import io
    import os

    import torch

    from gadprof.models.sources import load, resolve

    loaded = load(resolve(model))
    part = f"{path}.part"
    # the exporter by torch.export takes ten times as long
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            loaded.module.eval(), loaded.args, part, input_names=["input_0"], dynamo=False
        )  # fmt: skip
    os.replace(part, path)
