"""TorchScript by tracing, frozen and optimised for inference."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from gadprof.errors import SettingError
from gadprof.measuring.runtimes import Prepared
from gadprof.measuring.runtimes.eager import step

if TYPE_CHECKING:
    from gadprof.measuring.settings import Setting


def prepare(
    module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], setting: Setting
) -> Prepared:
    """Trace with the inputs; freeze for inference, keep the parameters for training."""
    import torch

    if setting.amp:
        raise SettingError("torchscript is measured without --amp; cast the model with --dtype")
    jit: Any = torch.jit
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if setting.mode == "train":
            traced: Any = jit.trace(
                module, args, example_kwarg_inputs=kwargs or None, check_trace=False
            )
        else:
            with torch.no_grad():
                traced = jit.trace(
                    module,
                    args or None,
                    example_kwarg_inputs=kwargs or None,
                    check_trace=False,
                    strict=False,
                )
                traced = jit.freeze(traced)
    run = step(traced, args, kwargs, setting)
    # the profiling executor specialises on the first two runs
    run()
    run()
    return Prepared(run, f"torch {torch.__version__} (TorchScript)")
