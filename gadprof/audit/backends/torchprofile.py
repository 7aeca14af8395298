"""torchprofile's ``profile_macs``: a jit trace with a handler for some operations."""

from __future__ import annotations

import re
import warnings
from typing import Any

from torch import nn

from gadprof.audit.backends import Reported
from gadprof.audit.backends.positional import positional


def measure(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Reported:
    """torchprofile's MACs, and the operations for which it found no handler."""
    from torchprofile import profile_macs

    inputs = positional(module, args, kwargs, "torchprofile")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        total = profile_macs(module, inputs)
    missing: dict[str, int] = {}
    for warning in caught:
        match = re.search(r'No handlers found: "([^"]+)"', str(warning.message))
        if match:
            missing[match.group(1)] = missing.get(match.group(1), 0) + 1
    return Reported(int(total), None, tuple(sorted(missing.items())))
