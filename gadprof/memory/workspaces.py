"""What cuDNN takes beside the tensors while a convolution runs.

Which algorithm cuDNN picks is not documented, so the workspace is an estimate: a multiple of the
bytes of the convolution's input and output, one multiple for each sort of convolution, fitted to
measured training peaks. These speak of the gradient by the weights alone; what the two other
passes take was never what set a peak, and counts as nothing. Depthwise convolutions run on torch's
own kernels and take none.
"""

from __future__ import annotations

from collections.abc import Mapping

from gadprof.memory.step import Convolution

SORTS = ("pointwise", "dense", "strided", "grouped")


def sort_of(convolution: Convolution) -> str:
    """Which multiple a convolution takes: by its groups, then its kernel, then its stride."""
    if convolution.groups > 1:
        return "grouped"
    if max(convolution.kernel) == 1:
        return "pointwise"
    return "dense" if max(convolution.stride) == 1 else "strided"


def workspace(convolution: Convolution, batch: int, multiples: Mapping[str, float]) -> int:
    """Bytes of the workspace that one convolution takes, 0 in a forward pass.

    ``multiples`` has one number for each of ``SORTS``.
    """
    if not convolution.backward or convolution.depthwise or len(convolution.kernel) != 2:
        return 0
    return int(multiples[sort_of(convolution)] * convolution.sample_bytes * batch)
