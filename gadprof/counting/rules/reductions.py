"""Rules of operations that combine elements: norms, pooling, softmax, sums, resizing, transforms.

Every rule counts exactly what the textbook form does: a sum of n numbers is n - 1 additions, a
mean one more multiplication, a maximum n - 1 comparisons. Resizing counts the taps of its kernel
with their weights; a transform of length n costs 5 n log2 n operations (3 n log2 n additions and
2 n log2 n multiplications), half of that for real data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log2, prod
from typing import Any

from gadprof.counting.rules.work import (
    Rule,
    Work,
    argument,
    elements,
    is_floating,
    listed,
    uncounted,
)

Args = Sequence[Any]
Kwargs = Mapping[str, Any]


def batch_norm_work(count: int, channels: int, *, affine: bool, training: bool) -> Work:
    """Batch normalisation of ``count`` elements.

    Evaluation folds the four vectors into one scale and one shift: a multiplication and an
    addition an element. Training also computes mean and variance (three additions and one
    multiplication an element) and a root a channel.
    """
    return Work(
        "normalization",
        adds=count * (4 if training else 1),
        multiplies=count * (2 if training else 1),
        transcendentals=channels if training else 0,
        attributes={"norm": "batch_norm", "affine": affine, "training": training},
    )


def _batch_norm(training_index: int | None, training: bool = False) -> Rule:
    def rule(args: Args, kwargs: Kwargs, outs: Args) -> Work:
        trained = training
        if training_index is not None:
            trained = bool(argument(args, kwargs, training_index, "training", False))
        x = args[0]
        affine = argument(args, kwargs, 1, "weight") is not None
        channels = x.shape[1] if x.dim() > 1 else 1
        return batch_norm_work(elements(x), channels, affine=affine, training=trained)

    return rule


def _row_norm(norm: str, index_weight: int, rows_of: str) -> Rule:
    """A norm with statistics a row: mean, variance, a root, then scale and shift."""

    def rule(args: Args, kwargs: Kwargs, outs: Args) -> Work:
        x, count = args[0], elements(args[0])
        affine = argument(args, kwargs, index_weight, "weight") is not None
        if rows_of == "shape":  # the second argument is the normalised shape
            rows = count // max(1, prod(args[1]))
        elif rows_of == "groups":
            rows = x.shape[0] * int(args[1])
        elif rows_of == "native_groups":  # input, weight, bias, N, C, HxW, group, eps
            rows = int(args[3]) * int(args[6])
        else:
            rows = x.shape[0] * x.shape[1]
        if norm == "rms_norm":
            adds, multiplies = count, count * (3 if affine else 2)
        else:
            adds, multiplies = count * (5 if affine else 4), count * (3 if affine else 2)
        return Work(
            "normalization",
            adds=adds,
            multiplies=multiplies,
            transcendentals=rows,
            attributes={"norm": norm, "affine": affine, "training": False},
        )

    return rule


def _norm_backward(norm: str) -> Rule:
    """Gradients of input, scale and shift: about eight operations an element, by the formula."""

    def rule(args: Args, kwargs: Kwargs, outs: Args) -> Work:
        count = elements(args[1])
        return Work(
            "normalization",
            adds=5 * count,
            multiplies=5 * count,
            attributes={"norm": norm, "affine": True, "training": True},
        )

    return rule


def _softmax(log: bool) -> Rule:
    """A maximum, a subtraction, an exponential and a sum an element, then a division.

    The logarithmic form subtracts the logarithm of the sum instead of dividing.
    """

    def rule(args: Args, kwargs: Kwargs, outs: Args) -> Work:
        count = elements(outs[0])
        dimension = int(argument(args, kwargs, 1, "dim", -1))
        rows = count // max(1, outs[0].shape[dimension]) if outs[0].dim() else 1
        return Work(
            "softmax",
            adds=count * (3 if log else 2),
            multiplies=0 if log else count,
            comparisons=count,
            transcendentals=count + (rows if log else 0),
            attributes={"input_elements": count, "log": log},
        )

    return rule


def _softmax_backward(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    count = elements(outs[0])
    return Work(
        "softmax", adds=2 * count, multiplies=2 * count, attributes={"input_elements": count}
    )


def _reduction(what: str) -> Rule:
    def rule(args: Args, kwargs: Kwargs, outs: Args) -> Work:
        x = args[0]
        if isinstance(x, (list, tuple)):
            x = x[0]
        count, left = elements(x), elements(outs[0])
        attributes: dict[str, Any] = {"input_elements": count}
        if not is_floating(x):
            return Work("reduction", attributes={**attributes, "integer": True})
        folded = max(0, count - left)
        factor = 2 if x.is_complex() else 1
        if x.is_complex() and what in ("compare", "logsumexp"):
            return uncounted(**attributes)
        match what:
            case "sum":
                return Work("reduction", adds=folded * factor, attributes=attributes)
            case "mean":
                return Work(
                    "reduction",
                    adds=folded * factor,
                    multiplies=left * factor,
                    attributes=attributes,
                )
            case "prod":
                adds, times = (2 * folded, 4 * folded) if factor == 2 else (0, folded)
                return Work("reduction", adds=adds, multiplies=times, attributes=attributes)
            case "compare":
                return Work("reduction", comparisons=folded, attributes=attributes)
            case "var":
                return Work(
                    "reduction",
                    adds=factor * (folded + 2 * count) + (factor - 1) * count,
                    multiplies=factor * count + (factor + 1) * left,
                    attributes=attributes,
                )
            case "std":
                return Work(
                    "reduction",
                    adds=factor * (folded + 2 * count) + (factor - 1) * count,
                    multiplies=factor * count + (factor + 1) * left,
                    transcendentals=left,
                    attributes=attributes,
                )
            case "norm":
                return Work(
                    "reduction",
                    adds=factor * count - left if factor == 2 else folded,
                    multiplies=factor * count,
                    transcendentals=left,
                    attributes=attributes,
                )
            case "logsumexp":
                return Work(
                    "reduction",
                    adds=folded + count,
                    comparisons=folded,
                    transcendentals=count + left,
                    attributes=attributes,
                )
            case _:
                raise TypeError(f"no reduction named {what}")

    return rule


def _scan(what: str) -> Rule:
    """Cumulative operations: one combination an element."""

    def rule(args: Args, kwargs: Kwargs, outs: Args) -> Work:
        count = elements(outs[0])
        attributes: dict[str, Any] = {"input_elements": count}
        if not is_floating(args[0]):
            return Work("reduction", attributes={**attributes, "integer": True})
        if what == "sum":
            return Work("reduction", adds=count, attributes=attributes)
        if what == "prod":
            return Work("reduction", multiplies=count, attributes=attributes)
        if what == "logsumexp":
            return Work(
                "reduction",
                adds=2 * count,
                comparisons=count,
                transcendentals=2 * count,
                attributes=attributes,
            )
        return Work("reduction", comparisons=count, attributes=attributes)

    return rule


def _sort(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    """Comparisons of a merge sort: n ceil(log2 n) a row."""
    count = elements(args[0])
    dimension = int(argument(args, kwargs, 1, "dim", -1)) if len(args) < 3 else -1
    length = args[0].shape[dimension] if args[0].dim() else 1
    depth = max(1, (length - 1).bit_length()) if length > 1 else 0
    comparisons = count * depth if is_floating(args[0]) else 0
    return Work("reduction", comparisons=comparisons, attributes={"input_elements": count})


def _topk(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    """Comparisons of a heap of k: n ceil(log2 (k + 1)) a row."""
    count, k = elements(args[0]), int(argument(args, kwargs, 1, "k", 1))
    depth = max(1, k.bit_length())
    return Work(
        "reduction",
        comparisons=count * depth if is_floating(args[0]) else 0,
        attributes={"input_elements": count},
    )


def _scatter(adds: int) -> Rule:
    """Scattering moves elements; its reducing forms add one to each element of the source."""

    def rule(args: Args, kwargs: Kwargs, outs: Args) -> Work:
        sources = [item for item in args[1:] if hasattr(item, "numel")]
        source = sources[-1] if sources else outs[0]
        count = elements(source)
        if not adds and kwargs.get("reduce") is None and len(args) < 5:
            return Work("copy")
        work = count if is_floating(outs[0]) else 0
        return Work("elementwise", adds=work, attributes={"scatter": True})

    return rule


def window_pool_work(
    kind_average: bool, input_elements: int, output_elements: int, window: int, **attributes: Any
) -> Work:
    """Pooling with a fixed window: its padding is counted as part of the window."""
    shared = {**attributes, "average": kind_average, "input_elements": input_elements}
    if kind_average:
        return Work(
            "pooling",
            adds=output_elements * (window - 1),
            multiplies=output_elements,
            attributes=shared,
        )
    return Work("pooling", comparisons=output_elements * (window - 1), attributes=shared)


def _window_pool(average: bool) -> Rule:
    def rule(args: Args, kwargs: Kwargs, outs: Args) -> Work:
        rank = _spatial_rank(args[0], outs[0], argument(args, kwargs, 1, "kernel_size"))
        kernel = listed(argument(args, kwargs, 1, "kernel_size"), rank)
        return window_pool_work(
            average, elements(args[0]), elements(outs[0]), prod(kernel), kernel=kernel
        )

    return rule


def _spatial_rank(x: Any, out: Any, kernel: Any) -> int:
    return len(kernel) if isinstance(kernel, (list, tuple)) else max(1, x.dim() - 2)


def adaptive_window_total(input_size: int, output_size: int) -> int:
    """The sum of the window lengths of adaptive pooling along one dimension."""
    return sum(
        -(-((index + 1) * input_size) // output_size) - (index * input_size) // output_size
        for index in range(output_size)
    )


def _adaptive_pool(average: bool) -> Rule:
    def rule(args: Args, kwargs: Kwargs, outs: Args) -> Work:
        x, out = args[0], outs[0]
        size = argument(args, kwargs, 1, "output_size")
        rank = len(size) if isinstance(size, (list, tuple)) else 1
        read = prod(x.shape[: x.dim() - rank]) * prod(
            adaptive_window_total(int(x.shape[d]), int(out.shape[d])) for d in range(-rank, 0)
        )
        left = elements(out)
        attributes = {
            "output_size": tuple(int(item) for item in out.shape[-rank:]),
            "average": average,
            "input_elements": elements(x),
        }
        if average:
            return Work("pooling", adds=read - left, multiplies=left, attributes=attributes)
        return Work("pooling", comparisons=read - left, attributes=attributes)

    return rule


def _pool_backward(average: bool) -> Rule:
    def rule(args: Args, kwargs: Kwargs, outs: Args) -> Work:
        gradient, x = args[0], args[1]
        count = elements(x)
        work = max(count, elements(gradient))
        return Work(
            "pooling",
            adds=work,
            multiplies=work if average else 0,
            attributes={"average": average, "input_elements": count},
        )

    return rule


_TAPS = {"nearest": 1, "linear": 2, "bilinear": 4, "trilinear": 8, "bicubic": 16, "lanczos": 36}


def resize_work(mode: str, output_elements: int, taps: int | None = None) -> Work:
    """Resizing to ``output_elements``: each is a weighted sum of the kernel's taps.

    Nearest-neighbour resizing copies: it computes nothing. Weights are computed once a row and
    column and are not counted.
    """
    count = _TAPS[mode] if taps is None else taps
    if mode == "nearest":
        return Work("resize", attributes={"mode": mode})
    return Work(
        "resize",
        adds=output_elements * (count - 1),
        multiplies=output_elements * count,
        attributes={"mode": mode},
    )


def _resize(mode: str) -> Rule:
    def rule(args: Args, kwargs: Kwargs, outs: Args) -> Work:
        return resize_work(mode, elements(outs[0]))

    return rule


def _resize_antialias(mode: str) -> Rule:
    """Anti-aliased: the kernel widens with the reduction, separably in two passes."""

    def rule(args: Args, kwargs: Kwargs, outs: Args) -> Work:
        support = {"bilinear": 2, "bicubic": 4, "lanczos": 6}[mode]
        x, out = args[0].shape, outs[0].shape
        wide = [support * max(1, -(-x[d] // max(1, out[d]))) for d in (-2, -1)]
        middle = prod(out[:-2]) * x[-2] * out[-1]  # columns first, then rows
        final = elements(outs[0])
        return Work(
            "resize",
            adds=middle * (wide[1] - 1) + final * (wide[0] - 1),
            multiplies=middle * wide[1] + final * wide[0],
            attributes={"mode": mode},
        )

    return rule


def _resize_backward(mode: str) -> Rule:
    def rule(args: Args, kwargs: Kwargs, outs: Args) -> Work:
        count, taps = elements(args[0]), _TAPS[mode]
        return Work(
            "resize",
            adds=count * taps,
            multiplies=0 if taps == 1 else count * taps,
            attributes={"mode": mode},
        )

    return rule


def fft_work(total: int, lengths: Sequence[int], *, real: bool) -> Work:
    """A transform of ``total`` elements along dimensions of the given lengths."""
    butterflies = round(total * sum(log2(length) for length in lengths if length > 1))
    if real:
        butterflies //= 2
    return Work(
        "fft",
        adds=3 * butterflies,
        multiplies=2 * butterflies,
        attributes={"lengths": tuple(lengths), "real": real},
    )


def _fft(real: str) -> Rule:
    def rule(args: Args, kwargs: Kwargs, outs: Args) -> Work:
        full = outs[0] if real == "c2r" else args[0]
        dimensions = argument(args, kwargs, 1, "dim")
        lengths = [int(full.shape[dimension]) for dimension in dimensions]
        return fft_work(elements(full), lengths, real=real != "c2c")

    return rule


def _count_of_input(adds: int, multiplies: int, comparisons: int, transcendentals: int) -> Rule:
    def rule(args: Args, kwargs: Kwargs, outs: Args) -> Work:
        count = elements(args[0])
        return Work(
            "reduction",
            adds=adds * count,
            multiplies=multiplies * count,
            comparisons=comparisons * count,
            transcendentals=transcendentals * count,
            attributes={"input_elements": count},
        )

    return rule


def _nll(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    rows = elements(args[1])
    return Work("reduction", adds=rows, multiplies=rows, attributes={"input_elements": rows})


def _embedding_backward(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    return Work("elementwise", adds=elements(args[0]), attributes={"scatter": True})


def _embedding_bag(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    """Rows added up in bags; a mean divides, a weight a row multiplies, a maximum compares."""
    read, made = elements(args[1]) * int(args[0].shape[1]), elements(outs[0])
    folded = max(0, read - made)
    mode = int(argument(args, kwargs, 4, "mode", 0))
    weighted = argument(args, kwargs, 6, "per_sample_weights") is not None
    attributes = {"input_elements": read}
    if mode == _BAG_MAX:
        return Work("reduction", comparisons=folded, attributes=attributes)
    return Work(
        "reduction",
        adds=folded,
        multiplies=(read if weighted else 0) + (made if mode == _BAG_MEAN else 0),
        attributes=attributes,
    )


_BAG_MEAN, _BAG_MAX = 1, 2


RULES: dict[str, Rule] = {
    "aten.batch_norm": _batch_norm(5),
    "aten.native_batch_norm": _batch_norm(5),
    "aten.cudnn_batch_norm": _batch_norm(5),
    "aten.miopen_batch_norm": _batch_norm(5),
    "aten._batch_norm_impl_index": _batch_norm(5),
    "aten._native_batch_norm_legit": _batch_norm(5),
    "aten._native_batch_norm_legit_no_training": _batch_norm(None),
    "aten._batch_norm_with_update": _batch_norm(None, training=True),
    "aten._batch_norm_no_update": _batch_norm(None),
    "aten.layer_norm": _row_norm("layer_norm", 2, "shape"),
    "aten.native_layer_norm": _row_norm("layer_norm", 2, "shape"),
    "aten.rms_norm": _row_norm("rms_norm", 2, "shape"),
    "aten._fused_rms_norm": _row_norm("rms_norm", 2, "shape"),
    "aten.group_norm": _row_norm("group_norm", 2, "groups"),
    "aten.native_group_norm": _row_norm("group_norm", 1, "native_groups"),
    "aten.instance_norm": _row_norm("instance_norm", 1, "channels"),
    "aten.native_batch_norm_backward": _norm_backward("batch_norm"),
    "aten.cudnn_batch_norm_backward": _norm_backward("batch_norm"),
    "aten.batch_norm_backward": _norm_backward("batch_norm"),
    "aten.native_layer_norm_backward": _norm_backward("layer_norm"),
    "aten.native_group_norm_backward": _norm_backward("group_norm"),
    "aten._fused_rms_norm_backward": _norm_backward("rms_norm"),
    "aten.softmax": _softmax(False),
    "aten._softmax": _softmax(False),
    "aten._safe_softmax": _softmax(False),
    "aten.log_softmax": _softmax(True),
    "aten._log_softmax": _softmax(True),
    "aten._softmax_backward_data": _softmax_backward,
    "aten._log_softmax_backward_data": _softmax_backward,
    **{f"aten.{name}": _reduction("sum") for name in ("sum", "nansum", "trace", "sum_to_size")},
    "aten.mean": _reduction("mean"),
    "aten.nanmean": _reduction("mean"),
    "aten.prod": _reduction("prod"),
    **{
        f"aten.{name}": _reduction("compare")
        for name in (
            "max",
            "min",
            "amax",
            "amin",
            "aminmax",
            "argmax",
            "argmin",
            "mode",
            "median",
            "nanmedian",
            "all",
            "any",
            "count_nonzero",
        )
    },
    **{f"aten.{name}": _reduction("var") for name in ("var", "var_mean")},
    **{f"aten.{name}": _reduction("std") for name in ("std", "std_mean")},
    **{f"aten.{name}": _reduction("norm") for name in ("norm", "linalg_vector_norm")},
    "aten.logsumexp": _reduction("logsumexp"),
    "aten.cumsum": _scan("sum"),
    "aten.cumprod": _scan("prod"),
    "aten.cummax": _scan("compare"),
    "aten.cummin": _scan("compare"),
    "aten.logcumsumexp": _scan("logsumexp"),
    "aten.sort": _sort,
    "aten.argsort": _sort,
    "aten.msort": _sort,
    "aten._unique2": _sort,
    "aten.unique_dim": _sort,
    "aten.topk": _topk,
    "aten.kthvalue": _topk,
    **{
        f"aten.{name}": _scatter(1)
        for name in ("scatter_add", "scatter_reduce", "index_add", "index_reduce")
    },
    **{f"aten.{name}": _scatter(0) for name in ("scatter",)},
    **{f"aten.max_pool{d}d": _window_pool(False) for d in (1, 2, 3)},
    **{f"aten.max_pool{d}d_with_indices": _window_pool(False) for d in (1, 2, 3)},
    "aten.mkldnn_max_pool2d": _window_pool(False),
    **{f"aten.avg_pool{d}d": _window_pool(True) for d in (1, 2, 3)},
    **{f"aten.adaptive_avg_pool{d}d": _adaptive_pool(True) for d in (1, 2, 3)},
    **{f"aten._adaptive_avg_pool{d}d": _adaptive_pool(True) for d in (2, 3)},
    **{f"aten.adaptive_max_pool{d}d": _adaptive_pool(False) for d in (1, 2, 3)},
    **{f"aten.max_pool{d}d_with_indices_backward": _pool_backward(False) for d in (2, 3)},
    **{f"aten.avg_pool{d}d_backward": _pool_backward(True) for d in (2, 3)},
    **{f"aten._adaptive_avg_pool{d}d_backward": _pool_backward(True) for d in (2, 3)},
    **{f"aten.adaptive_max_pool{d}d_backward": _pool_backward(False) for d in (2, 3)},
    **{f"aten.fractional_max_pool{d}d": _window_pool(False) for d in (2, 3)},
    **{f"aten.upsample_nearest{d}d": _resize("nearest") for d in (1, 2, 3)},
    **{f"aten._upsample_nearest_exact{d}d": _resize("nearest") for d in (1, 2, 3)},
    "aten.upsample_linear1d": _resize("linear"),
    "aten.upsample_bilinear2d": _resize("bilinear"),
    "aten.upsample_trilinear3d": _resize("trilinear"),
    "aten.upsample_bicubic2d": _resize("bicubic"),
    "aten._upsample_bilinear2d_aa": _resize_antialias("bilinear"),
    "aten._upsample_bicubic2d_aa": _resize_antialias("bicubic"),
    "aten._upsample_lanczos2d_aa": _resize_antialias("lanczos"),
    **{f"aten.upsample_nearest{d}d_backward": _resize_backward("nearest") for d in (1, 2, 3)},
    **{
        f"aten._upsample_nearest_exact{d}d_backward": _resize_backward("nearest") for d in (1, 2, 3)
    },
    "aten.upsample_linear1d_backward": _resize_backward("linear"),
    "aten.upsample_bilinear2d_backward": _resize_backward("bilinear"),
    "aten.upsample_trilinear3d_backward": _resize_backward("trilinear"),
    "aten.upsample_bicubic2d_backward": _resize_backward("bicubic"),
    "aten._upsample_bilinear2d_aa_backward": _resize_backward("bilinear"),
    "aten._upsample_bicubic2d_aa_backward": _resize_backward("bicubic"),
    "aten._fft_r2c": _fft("r2c"),
    "aten._fft_c2r": _fft("c2r"),
    "aten._fft_c2c": _fft("c2c"),
    "aten.nll_loss_forward": _nll,
    "aten.nll_loss2d_forward": _nll,
    "aten.nll_loss_backward": _nll,
    "aten.nll_loss2d_backward": _nll,
    "aten.embedding_dense_backward": _embedding_backward,
    "aten._embedding_bag": _embedding_bag,
    "aten._embedding_bag_forward_only": _embedding_bag,
    "aten.cross": lambda args, kwargs, outs: Work(
        "elementwise", adds=elements(outs[0]), multiplies=2 * elements(outs[0])
    ),
    "aten.linalg_cross": lambda args, kwargs, outs: Work(
        "elementwise", adds=elements(outs[0]), multiplies=2 * elements(outs[0])
    ),
    "aten.bincount": _count_of_input(1, 0, 0, 0),
    "aten.histc": _count_of_input(1, 1, 0, 0),
    "aten.renorm": _count_of_input(1, 2, 0, 0),
}
