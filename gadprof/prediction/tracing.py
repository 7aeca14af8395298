"""A model's batch-1 trace, for its features.

Promises that code which is not gadprof's own runs in a process apart; raises what ``sources`` and
``counting`` raise.
"""

from __future__ import annotations

from typing import Any

from gadprof.errors import GadprofError


def trace_of(model: str, shapes: tuple[tuple[int, ...], ...] = ()) -> Any:
    """The trace of a model string's forward pass, on the meta device where it can run there."""
    from gadprof.models.sources import load, resolve

    source = resolve(model)
    if source.kind in ("file", "package"):
        from gadprof.models.guarded import count_guarded

        return count_guarded(model, shapes=shapes)
    if source.spec is not None:
        from gadprof.networks.plan_trace import count_plan

        shape = shapes[0] if shapes else source.spec.default_input
        planned = count_plan(source.spec, shape, name=model)
        if planned is not None:
            return planned
    from gadprof.counting.count import count

    try:
        loaded = load(source, shapes=shapes, device="meta")
    except GadprofError as error:
        if "meta" not in str(error):
            raise
        loaded = load(source, shapes=shapes)
    return count(loaded.module, loaded.args, loaded.kwargs, name=model)
