"""Eager torch: the module called as it is, for inference or for one training step.

A training step is forward, the mean of all float outputs squared as loss, backward and gradients
reset; no optimiser, whose cost is the user's choice and not the model's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gadprof.measuring.runtimes import Prepared, tensors

if TYPE_CHECKING:
    from gadprof.measuring.settings import Setting


def prepare(
    module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], setting: Setting
) -> Prepared:
    """The module itself, under inference mode or as a training step."""
    import torch

    return Prepared(step(module, args, kwargs, setting), f"torch {torch.__version__}")


def step(
    call: Any, args: tuple[Any, ...], kwargs: dict[str, Any], setting: Setting
) -> Callable[[], Any]:
    """One measured step of any torch callable."""
    import torch

    device_type = setting.device.partition(":")[0]
    amp_dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(setting.dtype)

    if setting.mode == "train":

        def train() -> Any:
            with torch.autocast(device_type, dtype=amp_dtype, enabled=setting.amp):
                outputs = call(*args, **kwargs)
                loss = sum(
                    tensor.float().square().mean()
                    for tensor in tensors(outputs)
                    if tensor.is_floating_point()
                )
            loss.backward()
            call.zero_grad(set_to_none=True)
            return loss

        return train

    if setting.amp:

        def infer_amp() -> Any:
            with torch.inference_mode(), torch.autocast(device_type, dtype=amp_dtype):
                return call(*args, **kwargs)

        return infer_amp

    def infer() -> Any:
        with torch.inference_mode():
            return call(*args, **kwargs)

    return infer
