"""What a CPU kernel allocates for itself while it runs: the convolutions of torch's CPU build.

Promises the buffers of a float32 convolution of a plain layout with oneDNN's direct kernels (the
input, weights and output reordered to blocks of channels, 16 of them with AVX-512 and 8 with
AVX2) and with torch's own (the unfolded input), in the order that they come and go; which of the
two runs is torch's rule, restated; and those of its backward pass. Everything else is taken to
need no more than its outputs. Seen with torch 2.14 and 2.15 on AVX-512, one thread;
``benchmarks/peak_memory.py`` compares.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import prod
from typing import Any

from gadprof.counting.rules.work import Work

_SMALL_INPUT = 20480  # elements: up to here torch's own kernel is the faster
IMAGE_CHANNELS = 3
_ROWS = 20632  # bytes of a transposed convolution's accumulator, at least
_SCRATCH = 128  # bytes that oneDNN adds to a scratchpad
# the widest kernel whose weights' gradient is made directly; for a wider one, for groups and for
# depthwise channels that fill no block, oneDNN unfolds a group's input and keeps four copies
_LARGEST_KERNEL = 14
# the widest depthwise kernel whose weights' gradient is made directly in a channels-last layout
_LARGEST_DEPTHWISE = 3


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
    if len(found["kernel"]) != 2 or len(shape) != 4 or not output_bytes:
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


def backward_workspace(
    work: Work,
    inputs: Sequence[tuple[tuple[int, ...], str]],
    output_bytes: int,
    *,
    channels_last: bool = False,
    moved: bool = False,
    threads: int = 1,
) -> int:
    """The most bytes that a convolution's backward pass held at once, its gradients included.

    ``inputs`` are the output's gradient, the input and the weight; ``channels_last`` is of the
    input, and ``moved`` says that the gradient lies otherwise and is copied. The input's gradient
    comes first and stays while the weight's is made.
    """
    block = channel_block()
    found = work.attributes
    gradient, shape, weight = (item[0] for item in inputs[:3])
    if not block or inputs[0][1] != "float32" or len(shape) != 4 or not prod(gradient):
        return output_bytes
    if found["transposed"]:
        return output_bytes
    c_in, c_out, groups = _channels(found)
    kernel: tuple[int, ...] = tuple(found["kernel"])
    spread = any(step != 1 for step in (*found["stride"], *found["dilation"]))
    plain = [4 * prod(sizes) for sizes in (gradient, shape, weight)]
    unfolded = 4 * (c_in // groups) * prod(kernel) * prod(gradient[2:])
    if not _uses_onednn(shape, kernel, groups, spread, threads):
        pointwise = kernel == (1, 1) and not spread and not any(_pair(found["padding"]))
        return output_bytes + (0 if pointwise or groups > 1 else shape[0] * unfolded)
    copied = plain[0] if moved else 0
    kept = plain[1] if found["gradients"] == 2 or output_bytes >= plain[1] + plain[2] else 0
    if channels_last:
        return copied + kept + _backward_channels_last(found, block, plain[2])
    depthwise = groups == c_in == c_out
    made, source, weights = plain
    if depthwise or groups == 1:
        pixels = 4 * shape[0] * prod(gradient[2:])
        made = pixels * _padded(c_out, block)
        source = plain[1] // c_in * _padded(c_in, block)
        weights = plain[2] // c_out * _padded(c_out, block)
        if groups == 1 and c_in > IMAGE_CHANNELS:
            weights = weights // c_in * _padded(c_in, block)
    held = output_bytes
    if kept:
        if groups == 1 and any(step != 1 for step in found["stride"]):  # channels last, and back
            held = max(held, plain[0] + weights + kept, 3 * kept)
        else:
            held = max(held, made + weights + source, source + kept)
    uneven = depthwise and c_in % block != 0
    if uneven or (groups > 1 and not depthwise) or max(kernel) > _LARGEST_KERNEL:
        rest = plain[2] + 4 * plain[2] + unfolded + 2 * _SCRATCH
    else:  # an image is read as it is
        rest = made + weights + (0 if c_in <= IMAGE_CHANNELS else source)
    return copied + max(held, kept + rest, kept + weights + plain[2])


def _backward_channels_last(found: Any, block: int, weight_bytes: int) -> int:
    """Weights alone are reordered; a depthwise kernel beyond 3x3 is treated as one of many groups,
    whose single channels are filled up to a block each way."""
    c_in, c_out, groups = _channels(found)
    kernel: tuple[int, ...] = tuple(found["kernel"])
    inner, outer = c_in // groups, c_out // groups
    if inner == 1 == outer:
        blocked = 4 * _padded(groups, block) * prod(kernel)
        if max(kernel) > _LARGEST_DEPTHWISE:
            blocked = weight_bytes * block * block
        return blocked + 2 * weight_bytes
    blocked = weight_bytes
    if groups == 1 and c_in > IMAGE_CHANNELS:
        blocked = 4 * _padded(outer, block) * _padded(inner, block) * prod(kernel)
    copy = weight_bytes if prod(kernel) > 1 and inner > 1 else 0
    return copy + blocked + 2 * weight_bytes


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


def lies_side_by_side(
    shape: Sequence[int], strides: Sequence[int], *, channels_last: bool = False
) -> bool:
    """Whether a tensor fills its memory without gaps in the plain or the channels-last order."""
    order = list(range(len(shape)))
    if channels_last and len(shape) == 4:
        order = [0, 2, 3, 1]
    step = 1
    for axis in reversed(order):
        if shape[axis] != 1 and strides[axis] != step:
            return False
        step *= shape[axis]
    return True
