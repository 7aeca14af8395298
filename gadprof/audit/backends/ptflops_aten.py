"""ptflops' aten engine: a dispatch mode that knows matrix products and convolutions."""

from __future__ import annotations

from typing import Any

from torch import nn

from gadprof.audit.backends import Reported
from gadprof.audit.backends.ptflops import run


def measure(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Reported:
    """ptflops' MACs by its aten engine, and the aten operations that it treats as zero."""
    return run(module, args, kwargs, "aten")
