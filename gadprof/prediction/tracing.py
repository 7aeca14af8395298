"""A model's batch-1 trace, for its features.

Promises that code which is not gadprof's own runs in a process apart; raises what counting a model
string raises.
"""

from __future__ import annotations

from typing import Any


def trace_of(model: str, shapes: tuple[tuple[int, ...], ...] = ()) -> Any:
    """The trace of a model string's forward pass, on the meta device where it can run there."""
    from gadprof.models.counting import trace_model

    return trace_model(model, shapes=shapes, in_process=True)
