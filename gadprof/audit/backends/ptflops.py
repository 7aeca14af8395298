"""ptflops' pytorch engine: hooks on module types, and patched functions of torch.

It divides what its hooks counted by the batch size, but not what its patched functions counted.
"""

from __future__ import annotations

import io
import re
from typing import Any

from torch import nn

from gadprof.audit.backends import Reported
from gadprof.audit.backends.positional import named
from gadprof.errors import ModelFailedError


def measure(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Reported:
    """ptflops' MACs by its pytorch engine, and the module types that it treats as zero."""
    return run(module, args, kwargs, "pytorch")


def run(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], engine: str) -> Reported:
    """Ask one engine of ptflops. Raises ModelFailedError where it gave up."""
    import contextlib

    from ptflops import get_model_complexity_info

    batch = args[0] if len(args) == 1 and not kwargs else named(module, args, kwargs)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        total, params = get_model_complexity_info(
            module,
            (1,),
            print_per_layer_stat=False,
            as_strings=False,
            input_constructor=lambda _: batch,
            ost=printed,
            verbose=True,
            backend=engine,
        )
    text = printed.getvalue()
    if total is None:
        reason = re.search(r"exception:\s*\n(?:<class '[\w.]*?(\w+)'>: )?(.*)", text)
        raise ModelFailedError(
            f"ptflops gave up: {reason.group(1)}: {reason.group(2)}" if reason else "it gave up"
        )
    zero = re.findall(r"Warning: (?:module )?([\w.]+)(?: operation)? is treated as a zero-op", text)
    counts = {name: zero.count(name) for name in zero}
    return Reported(int(total), int(params or 0), tuple(sorted(counts.items())))
