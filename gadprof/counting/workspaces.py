"""What a CPU kernel allocates for itself while it runs: the convolutions of torch's CPU build.

Promises the buffers of a float32 convolution of a plain layout with oneDNN's direct kernels (the
input, weights and output reordered to blocks of channels, 16 of them with AVX-512 and 8 with
AVX2) and with torch's own (the unfolded input), in the order that they come and go; which of the
two runs is torch's rule, restated. Everything else is taken to need no more than its outputs.
Seen with torch 2.14 on AVX-512, one thread; ``benchmarks/peak_memory.py`` compares.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import prod
from typing import Any

from gadprof.counting.work import Work

_SMALL_INPUT = 20480  # elements: up to here torch's own kernel is the faster
IMAGE_CHANNELS = 3
_ROWS = 20632  # bytes of a transposed convolution's accumulator, at least
_SCRATCH = 128  # bytes that oneDNN adds to a scratchpad


@cache
def channel_block() -> int:
    """Channels a block of oneDNN's layout on this machine: 16 with AVX-512, 8 with AVX2, else 0."""
    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    return {"AVX512": 16, "AVX2": 8}.get(capability, 0)


def workspace(
    work: Work,
    inputs: Sequence[tuple[tuple[int, ...], str]],
    output_bytes: int,
    *,
    channels_last: bool = False,
    threads: int = 1,
) -> int:
    """The most bytes that an operation held at once, its new outputs included.

    ``channels_last`` says that the input's channels lie side by side.
    """
    block = channel_block()
    if work.kind != "convolution" or not block or inputs[0][1] != "float32":
        return output_bytes
    found = work.attributes
    shape = inputs[0][0]
    if len(found["kernel"]) != 2 or len(shape) != 4:
        return output_bytes
    if found["transposed"]:
        return _transposed(shape, found, block, output_bytes)
    batch, c_in, c_out, groups = shape[0], *_channels(found)
    kernel: tuple[int, ...] = tuple(found["kernel"])
    strided = any(step != 1 for step in found["stride"])
    dilated = any(step != 1 for step in found["dilation"])
    out_pixels = output_bytes // (4 * batch * c_out)
    if not _uses_onednn(shape, kernel, groups, strided or dilated, threads):
        if groups > 1:  # one group after another, then put together
            return 2 * output_bytes
        if tuple(kernel) == (1, 1) and not strided and not any(_pair(found["padding"])):
            return output_bytes
        return output_bytes + 4 * batch * c_in * prod(kernel) * out_pixels
    if channels_last:
        return _channels_last(found, block, output_bytes)
    return _blocked(shape, found, block, out_pixels, output_bytes, strided)


def _uses_onednn(
    shape: tuple[int, ...], kernel: Sequence[int], groups: int, spread: bool, threads: int
) -> bool:
    """Torch's choice between oneDNN and its own kernel for a float32 convolution on the CPU."""
    wide = spread or shape[0] >= 16 or any(size != 1 for size in kernel) or threads > 1
    large = groups > 1 or min(kernel) > 3 or shape[0] > 1 or prod(shape) > _SMALL_INPUT
    return wide and large


def _blocked(
    shape: tuple[int, ...],
    found: Any,
    block: int,
    out_pixels: int,
    output_bytes: int,
    strided: bool,
) -> int:
    batch, c_in, c_out, groups = shape[0], *_channels(found)
    kernel: tuple[int, ...] = tuple(found["kernel"])
    inner, outer = c_in // groups, c_out // groups
    made = 4 * batch * _padded(c_out, block) * out_pixels
    source = 4 * batch * _padded(c_in, block) * prod(shape[2:])
    scratch = 0
    if found["bias"] and c_out % block:
        scratch = 4 * _padded(c_out, block) + _SCRATCH
    if inner == 1 == outer:  # depthwise: a filter a channel
        weights = 4 * _padded(groups, block) * prod(kernel)
    elif groups > 1:  # channels last, nothing filled up
        weights = 4 * c_out * inner * prod(kernel)
        source = 4 * prod(shape)
        made, scratch = output_bytes, 0
    elif c_in <= IMAGE_CHANNELS:  # the image is read as it is
        weights = 4 * _padded(c_out, block) * c_in * prod(kernel)
        source = 0
    else:
        weights = 4 * _padded(outer, block) * _padded(inner, block) * prod(kernel)
        if strided and tuple(kernel) == (1, 1):  # the pixels that are read, side by side
            scratch += 4 * _padded(c_in, block) * out_pixels + _SCRATCH
    return max(scratch + source + weights + made, made + output_bytes)


def _transposed(shape: tuple[int, ...], found: Any, block: int, output_bytes: int) -> int:
    """All three reordered at once, beside the input with its rim of zeros and a few rows."""
    batch, c_in, c_out, groups = shape[0], *_channels(found)
    made = output_bytes // c_out * _padded(c_out, block)
    source = 4 * batch * _padded(c_in, block) * prod(shape[2:])
    kernel: tuple[int, ...] = tuple(found["kernel"])
    weights = 4 * _padded(c_out, block) * _padded(c_in, block) * prod(kernel) // groups
    rims: list[int] = [
        (int(size) - 1 - int(pad)) // int(step)
        for size, pad, step in zip(found["kernel"], found["padding"], found["stride"], strict=True)
    ]
    rimmed: int = prod(int(size) + 2 * rim for size, rim in zip(shape[2:], rims, strict=True))
    scratch = 4 * batch * _padded(c_in, block) * rimmed + _ROWS
    return max(scratch + source + weights + made, made + output_bytes)


def _channels_last(found: Any, block: int, output_bytes: int) -> int:
    """Input and output stay as they are; the weights are copied and then put into blocks."""
    c_in, c_out, groups = _channels(found)
    kernel: tuple[int, ...] = tuple(found["kernel"])
    inner, outer = c_in // groups, c_out // groups
    blocked = 4 * _padded(outer, block) * _padded(inner, block) * groups * prod(kernel)
    if inner == 1 == outer:
        return output_bytes + 4 * _padded(groups, block) * prod(kernel)
    copy = 4 * c_out * inner * prod(kernel) if prod(kernel) > 1 and inner > 1 else 0
    return output_bytes + copy + blocked


def _channels(found: Any) -> tuple[int, int, int]:
    return int(found["c_in"]), int(found["c_out"]), int(found["groups"])


def _padded(channels: int, block: int) -> int:
    return -(-channels // block) * block


def _pair(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def lies_channels_last(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether a tensor of four dimensions has the strides that torch calls channels-last."""
    if len(shape) != 4 or strides[1] == 0:
        return False
    least = 0
    for axis in (1, 3, 2, 0):
        if shape[axis] == 0 or strides[axis] < least or (axis == 0 and least == strides[1]):
            return False
        least = strides[axis] * (shape[axis] if shape[axis] > 1 else 1)
    return True
