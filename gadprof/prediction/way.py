"""How a device runs a model: number format, layout, compiler, and which kernels its torch has.

Promises plain flags; which rows of work follow from them is decided in ``flow``.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Way:
    """The ways that a model can run.

    ``amp`` is under autocast, else in numbers of ``width`` bytes; ``compiled`` joins operations as
    a compiler does. ``channels_last`` has the pixels' channels side by side in memory, from the
    input on; ``gpu`` is on a card. ``fused_attention`` is false where torch is older than 2.0 and
    runs attention as products and a softmax; ``wide_attention`` is true from 2.5 on, where
    attention without a fused kernel is computed in single precision. ``train`` is a training step:
    forward, backward and the optimiser.
    """

    amp: bool = False
    compiled: bool = False
    channels_last: bool = False
    wide_attention: bool = False
    fused_attention: bool = True
    gpu: bool = False
    train: bool = False
    width: int = 4
