"""``torch.utils.flop_counter``, as one counts inference: eval mode, gradients off.

On the CPU ``nn.MultiheadAttention`` then takes its fused path and fused attention has no formula,
so that attention counts zero; on the meta device both are seen.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from gadprof.audit.backends import Reported


def measure(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Reported:
    """Flops (two a multiply-add) of the operations that torch has a formula for."""
    from torch.utils.flop_counter import FlopCounterMode

    # its module tracker fails on a parameter that is handed to a module as an input and wants a
    # gradient; frozen parameters change no count, and the caller puts the flags back
    module.requires_grad_(False)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        module(*args, **kwargs)
    return Reported(int(counter.get_total_flops()))
