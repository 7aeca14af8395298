"""Operation classes: one word for what a profiler's event and a count's record have in common.

Promises: a profiled top-level operation and the counted operations behind it get the same class,
so that time stands beside MACs and bytes. What fits no class is "other", never dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

FRAMEWORK = "between operations"
OUTSIDE = "(outside stages)"

# torch's top-level operation names (without aten:: and a trailing underscore) by class
_NAMES: dict[str, tuple[str, ...]] = {
    "linear": ("linear", "addmm", "mm", "mv", "addmv"),
    "matrix product": ("matmul", "bmm", "baddbmm", "einsum", "dot", "tensordot", "bilinear"),
    "attention": (
        "scaled_dot_product_attention",
        "_native_multi_head_attention",
        "_transformer_encoder_layer_fwd",
    ),
    "recurrent": ("lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell"),
    "normalization": (
        "batch_norm",
        "layer_norm",
        "group_norm",
        "instance_norm",
        "rms_norm",
        "native_batch_norm",
        "native_layer_norm",
        "native_group_norm",
        "local_response_norm",
    ),
    "activation": (
        "relu",
        "relu6",
        "gelu",
        "silu",
        "sigmoid",
        "tanh",
        "hardtanh",
        "hardswish",
        "hardsigmoid",
        "leaky_relu",
        "elu",
        "celu",
        "selu",
        "mish",
        "softplus",
        "prelu",
        "log_sigmoid",
        "glu",
        "clamp",
        "clamp_min",
        "clamp_max",
    ),
    "softmax": ("softmax", "log_softmax", "_softmax"),
    "reduction": (
        "mean",
        "sum",
        "amax",
        "amin",
        "max",
        "min",
        "var",
        "std",
        "var_mean",
        "norm",
        "linalg_vector_norm",
        "argmax",
        "topk",
        "cumsum",
        "prod",
        "logsumexp",
    ),
    "pooling": (
        "max_pool1d",
        "max_pool2d",
        "max_pool3d",
        "avg_pool1d",
        "avg_pool2d",
        "avg_pool3d",
        "adaptive_avg_pool1d",
        "adaptive_avg_pool2d",
        "adaptive_avg_pool3d",
        "adaptive_max_pool2d",
        "lp_pool2d",
    ),
    "elementwise": (
        "add",
        "sub",
        "rsub",
        "mul",
        "div",
        "pow",
        "exp",
        "log",
        "sqrt",
        "rsqrt",
        "abs",
        "neg",
        "square",
        "maximum",
        "minimum",
        "where",
        "masked_fill",
        "erf",
        "sin",
        "cos",
        "reciprocal",
        "addcmul",
        "lerp",
        "dropout",
        "feature_dropout",
    ),
    "movement": (
        "cat",
        "concat",
        "stack",
        "pad",
        "constant_pad_nd",
        "copy",
        "contiguous",
        "clone",
        "to",
        "_to_copy",
        "index",
        "index_select",
        "gather",
        "roll",
        "flip",
        "repeat",
        "channel_shuffle",
        "pixel_shuffle",
        "pixel_unshuffle",
        "embedding",
        "scatter",
        "tril",
        "triu",
        "zeros",
        "zeros_like",
        "ones",
        "full",
        "empty",
        "empty_like",
        "arange",
        "rand",
        "randn",
        "im2col",
        "col2im",
    ),
    "view": (
        "view",
        "reshape",
        "flatten",
        "expand",
        "expand_as",
        "permute",
        "transpose",
        "t",
        "squeeze",
        "unsqueeze",
        "select",
        "slice",
        "split",
        "split_with_sizes",
        "chunk",
        "unbind",
        "narrow",
        "detach",
        "unflatten",
        "movedim",
        "alias",
        "as_strided",
        "size",
        "item",
    ),
}
_BY_NAME = {name: word for word, names in _NAMES.items() for name in names}

# the kinds of a count's records that name their class directly
_KINDS: dict[str, str] = {
    "linear": "linear",
    "matmul": "matrix product",
    "attention": "attention",
    "rnn": "recurrent",
    "normalization": "normalization",
    "activation": "activation",
    "elementwise": "elementwise",
    "softmax": "softmax",
    "reduction": "reduction",
    "pooling": "pooling",
    "resize": "resize",
    "view": "view",
    "copy": "movement",
    "cast": "movement",
    "concatenation": "movement",
    "embedding": "movement",
    "fill": "movement",
    "random": "movement",
    "query": "view",
}


def convolution_class(
    kernel: Sequence[int], groups: int, c_in: int, *, transposed: bool = False
) -> str:
    """The class of a convolution: what its speed depends on most."""
    if transposed:
        return "transposed convolution"
    if groups > 1:
        return "depthwise convolution" if groups == c_in else "grouped convolution"
    if all(size == 1 for size in kernel):
        return "1×1 convolution"
    return "×".join(map(str, kernel)) + " convolution"


def class_of_event(name: str, shapes: Sequence[Sequence[int]], concrete: Sequence[Any]) -> str:
    """The class of a profiled top-level operation, from its name, input shapes and arguments."""
    plain = name.partition("::")[2].rstrip("_") or name
    if "conv" in plain and len(shapes) > 1 and len(shapes[1]) > 2:
        transposed = "transpose" in plain
        groups = 1
        # conv2d(input, weight, bias, stride, padding, dilation, groups);
        # conv_transpose2d(input, weight, bias, stride, padding, output_padding, groups, dilation)
        if len(concrete) > 6 and isinstance(concrete[6], int):
            groups = int(concrete[6])
        c_in = int(shapes[0][1]) if len(shapes[0]) > 1 else 0
        return convolution_class(shapes[1][2:], groups, c_in, transposed=transposed)
    if plain.startswith(("upsample", "_upsample", "grid_sampler", "interpolate")):
        return "resize"
    return _BY_NAME.get(plain, "other")


def class_of_record(operation: Any) -> str:
    """The class of one counted operation (a record with ``kind``, ``name`` and ``attributes``)."""
    if operation.functional:
        named = _BY_NAME.get(operation.functional)
        if named is not None:
            return named
    if operation.kind == "convolution":
        attributes = operation.attributes
        return convolution_class(
            attributes["kernel"],
            attributes["groups"],
            attributes["c_in"],
            transposed=bool(attributes.get("transposed")),
        )
    return _KINDS.get(operation.kind, "other")
