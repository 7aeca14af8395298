"""A TorchScript module made countable: torch runs it out of sight, but its operations are seen."""

from __future__ import annotations

from typing import Any

from torch import nn


class Scripted(nn.Module):
    """A TorchScript module behind a plain one: its operations reach the dispatcher all the same.

    Parameters and buffers lie in a tree of empty modules under their own names.
    """

    def __init__(self, script: Any) -> None:
        super().__init__()
        self.__dict__["script"] = script
        for name, parameter in script.named_parameters():
            holder, last = self._holder(name)
            holder.register_parameter(last, nn.Parameter(parameter, parameter.requires_grad))
        for name, buffer in script.named_buffers():
            holder, last = self._holder(name)
            holder.register_buffer(last, buffer)

    def _holder(self, name: str) -> tuple[nn.Module, str]:
        *path, last = name.split(".")
        holder: nn.Module = self
        for part in path:
            if part not in holder._modules:
                holder.add_module(part, nn.Module())
            holder = holder.get_submodule(part)
        return holder, last

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the script."""
        return self.__dict__["script"](*args, **kwargs)

    def train(self, mode: bool = True) -> Scripted:
        """Set the mode of the script, too."""
        self.__dict__["script"].train(mode)
        return super().train(mode)
