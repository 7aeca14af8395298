"""A model's forward trace for its features, with its branches fused or not.

Promises a trace at a prime batch where the model runs on stand-ins, so that copies over the batch
show (``per_sample``), and one at batch 1 where it is read from a plan or a graph, or asks for
values. Code that is not gadprof's own runs in a process apart. Raises what counting a model string
raises.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gadprof.counting.records import Trace
from gadprof.prediction.per_sample import PRIME_BATCH

if TYPE_CHECKING:
    from torch import nn

Shapes = tuple[tuple[int, ...], ...]
# what a block calls the method that joins its branches; the first gives the module to take
FUSING = ("fuse", "reparameterize", "switch_to_deploy")


@dataclass(frozen=True)
class BatchTrace:
    """A trace and the batch that it was taken at; ``fused`` is whether branches were joined."""

    trace: Trace
    batch: int
    fused: bool = False

    @property
    def macs(self) -> int:
        """The MACs of one sample, rounded up where some do not depend on the batch."""
        return -(-self.trace.macs // self.batch)


def trace_of(
    model: str,
    shapes: Shapes = (),
    *,
    reparam: bool = False,
    bounds: Mapping[str, Any] | None = None,
) -> BatchTrace:
    """The forward trace of a model string; ``reparam`` joins its branches where it knows how.

    With ``bounds`` (``timeout_s``, ``memory_limit_bytes``) every model that is not gadprof's runs
    within them in a process apart, without them only code of the user's.
    """
    from gadprof.errors import NeedsValuesError
    from gadprof.models.counting import trace_model
    from gadprof.models.sources import resolve

    source = resolve(model)
    if source.kind == "onnx" or source.spec is not None:
        return BatchTrace(trace_model(source, shapes=shapes, **(bounds or {})), 1)
    apart = bounds is not None or source.runs_user_code
    try:
        if apart:
            from gadprof.models.guarded import call_guarded

            request = {"model": model, "shapes": shapes, "reparam": reparam}
            return call_guarded(f"{__name__}:trace_here", BatchTrace, request, **(bounds or {}))
        return trace_here({"model": model, "shapes": shapes, "reparam": reparam})
    except NeedsValuesError:
        how: Any = {**(bounds or {}), "in_process": not apart}
        return BatchTrace(trace_model(source, shapes=shapes, **how), 1)


def trace_here(request: dict[str, Any]) -> BatchTrace:
    """The trace at a prime batch, on stand-ins, in this process."""
    from gadprof.counting.count import count
    from gadprof.models.counting import load_without_values

    model = request["model"]
    shapes = tuple(tuple(shape) for shape in request["shapes"])
    loaded = load_without_values(model, shapes=shapes, batch=PRIME_BATCH)
    module, fused = loaded.module, False
    if request["reparam"] and can_fuse(module):
        module, fused = _fused(module, model, shapes), True
    trace = count(module, loaded.args, loaded.kwargs, name=model, fallback=False)
    return BatchTrace(trace, PRIME_BATCH, fused)


def _fused(module: nn.Module, model: str, shapes: Shapes) -> nn.Module:
    """The module fused, built again with its weights where fusing asks for values."""
    from gadprof.errors import ModelFailedError
    from gadprof.models.sources import load

    try:
        return fuse(module)
    except Exception:
        real = load(model, shapes=shapes).module
    try:
        return fuse(real)
    except Exception as error:
        raise ModelFailedError(
            f"{model}: joining its branches failed ({type(error).__name__}: {error}); try "
            "--reparam no"
        ) from error


def can_fuse(module: nn.Module) -> bool:
    """Whether any part below the module joins its branches by a method of its own."""
    parts = list(module.modules())[1:]
    return any(callable(getattr(part, name, None)) for part in parts for name in FUSING)


def fuse(module: nn.Module) -> nn.Module:
    """The module with the branches of every part joined that knows how; it is changed in place."""
    for name, child in list(module.named_children()):
        made = child
        if callable(getattr(child, "fuse", None)):
            made = child.fuse()  # type: ignore[operator]
            setattr(module, name, made)
        elif callable(getattr(child, "reparameterize", None)):
            child.reparameterize()  # type: ignore[operator]
        elif callable(getattr(child, "switch_to_deploy", None)):
            child.switch_to_deploy()  # type: ignore[operator]
        fuse(made)
    return module
