"""One input of a model, as plain data without torch.

Promises what a caller asked for and nothing else: how it is made into a tensor is decided where
the model is known.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Input:
    """One input: ``shape`` without the batch, torch's name of its type ("" for the default), and
    the keyword that it is passed by ("" for position)."""

    shape: tuple[int, ...]
    dtype: str = ""
    name: str = ""

    @property
    def plain(self) -> bool:
        """Whether a shape says it all."""
        return not self.dtype and not self.name
