"""calflops' ``calculate_flops``: patched functions of torch, two flops a multiply-add.

Its macs leave out normalisation and activations, its flops hold them; the flops are what it is
known for and what is reported here. It keeps its sums in module-level lists, which are emptied
here because a model that raised would otherwise leave its operations to the next one.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from gadprof.audit.backends import Reported


def measure(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Reported:
    """calflops' flops of the forward pass."""
    from calflops import calculate_flops, calculate_pipline

    try:
        flops, _, params = calculate_flops(
            module,
            args=list(args),
            kwargs=dict(kwargs),
            print_results=False,
            print_detailed=False,
            output_as_string=False,
        )
    finally:
        calculate_pipline.module_flop_count.clear()
        calculate_pipline.module_mac_count.clear()
        calculate_pipline.old_functions.clear()
    return Reported(int(flops) if float(flops).is_integer() else float(flops), int(params))
