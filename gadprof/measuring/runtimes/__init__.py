"""Ways to run a module, one a file, behind one interface.

A runtime takes a module with its inputs and returns a ``Prepared``: a callable without arguments
that runs the model once. A runtime that is not eager is first checked against eager on the same
inputs. Refuses a runtime whose package is missing, with the extra to install.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gadprof.errors import ModelFailedError

if TYPE_CHECKING:
    from gadprof.measuring.settings import Setting

# runtime -> module with a function prepare(module, args, kwargs, setting) -> Prepared; the others
# are files of a runtime (``converted``)
PREPARERS: dict[str, str] = {
    "eager": "gadprof.measuring.runtimes.eager",
    "compile": "gadprof.measuring.runtimes.compiled",
    "torchscript": "gadprof.measuring.runtimes.torchscript",
}

# largest relative difference from eager (of the largest output value) by precision
TOLERANCES: dict[str, float] = {"fp32": 2e-3, "fp16": 3e-2, "bf16": 1e-1}


@dataclass(frozen=True)
class Prepared:
    """A model ready to run.

    ``run`` runs it once and returns its outputs; ``version`` names the runtime's version;
    ``notes`` are sentences that the reader should see beside the figures; ``deployed`` holds the
    fields of ``converted.Deployed`` where a file of a runtime is run.
    """

    run: Callable[[], Any]
    version: str
    notes: tuple[str, ...] = ()
    difference: float | None = None
    closers: tuple[Callable[[], None], ...] = field(default=())
    deployed: dict[str, Any] | None = None


def prepare(
    module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], setting: Setting
) -> Prepared:
    """Prepare a module for a setting's runtime and check its outputs against eager.

    Raises MissingExtraError, ModelFailedError.
    """
    import dataclasses

    if setting.runtime not in PREPARERS:
        from gadprof.measuring.runtimes.converted import convert_model, load_converted

        folder = tempfile.TemporaryDirectory(prefix="gadprof-converted-")
        try:
            convert_model(module, args, kwargs, setting, folder.name)
            loaded = load_converted(folder.name, setting)
        except BaseException:
            folder.cleanup()
            raise
        return dataclasses.replace(loaded, closers=(*loaded.closers, folder.cleanup))
    preparer = importlib.import_module(PREPARERS[setting.runtime])
    prepared: Prepared = preparer.prepare(module, args, kwargs, setting)
    if setting.runtime == "eager" or setting.mode == "train":
        return prepared
    eager = importlib.import_module(PREPARERS["eager"]).prepare(module, args, kwargs, setting)
    difference = largest_difference(eager.run(), prepared.run())
    tolerance = TOLERANCES[setting.dtype]
    if not difference <= tolerance:
        raise ModelFailedError(
            f"{setting.runtime}'s outputs differ from eager's by {difference:.2g} of the largest "
            f"value, more than {tolerance:g}; it does not compute the same model"
        )
    return dataclasses.replace(prepared, difference=difference)


def tensors(outputs: Any) -> list[Any]:
    """All tensors and arrays within nested outputs, in order."""
    if hasattr(outputs, "shape") and hasattr(outputs, "dtype"):
        return [outputs]
    if isinstance(outputs, dict):
        return [tensor for value in outputs.values() for tensor in tensors(value)]
    if isinstance(outputs, (list, tuple)):
        return [tensor for value in outputs for tensor in tensors(value)]
    if hasattr(outputs, "__dict__"):
        return [tensor for value in vars(outputs).values() for tensor in tensors(value)]
    return []


def largest_difference(expected: Any, actual: Any) -> float:
    """The largest absolute difference of two outputs over the largest expected value.

    Infinite when the outputs differ in number or shape.
    """
    import torch

    left = [torch.as_tensor(value).detach().float().cpu() for value in tensors(expected)]
    right = [torch.as_tensor(value).detach().float().cpu() for value in tensors(actual)]
    if len(left) != len(right) or any(a.shape != b.shape for a, b in zip(left, right, strict=True)):
        return float("inf")
    worst = 0.0
    for a, b in zip(left, right, strict=True):
        if a.numel() == 0:
            continue
        scale = float(a.abs().max()) or 1.0
        gap = float((a - b).abs().max()) / scale
        worst = gap if not gap <= worst else worst
    return worst
