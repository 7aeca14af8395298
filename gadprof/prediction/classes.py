"""Which class of the latency model an operation belongs to, and how it is computed on a GPU.

Promises answers from the operation's record alone: the class, the shape of its product, and
whether torch takes cuDNN or a fused kernel for it (the rules are those of torch 2.4 to 2.9).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from math import prod
from typing import Any, Protocol

# ONNX operators that torch names otherwise than by lower-case letters alone
ONNX_NAMES = {
    "Clip": "hardtanh", "HardSigmoid": "hardsigmoid", "HardSwish": "hardswish", "Swish": "silu",
    "LeakyRelu": "leaky_relu", "ReduceMean": "mean", "ReduceSum": "sum", "ReduceMax": "amax",
    "ReduceMin": "amin", "ReduceProd": "prod", "ReduceL2": "linalg_vector_norm", "Sum": "add",
    "ReduceLogSumExp": "logsumexp", "LayerNormalization": "layer_norm", "LogSoftmax": "log_softmax",
    "RMSNormalization": "rms_norm", "GroupNormalization": "group_norm", "Gather": "index_select",
    "Resize": "upsample", "Upsample": "upsample", "BatchNormalization": "batch_norm",
    "Pad": "constant_pad_nd", "NonMaxSuppression": "nms", "RoiAlign": "roi_align",
    "MaxRoiPool": "roi_pool", "GridSample": "grid_sampler", "Reciprocal": "reciprocal",
}  # fmt: skip
# reductions that go once over their input, as those that were measured do
REDUCTIONS = frozenset(
    (
        "mean", "sum", "amax", "amin", "max", "min", "prod", "var", "std", "var_mean", "std_mean",
        "norm", "linalg_vector_norm", "cumsum", "logsumexp", "argmax", "argmin", "any", "all",
    )
)  # fmt: skip


class Traced(Protocol):
    """What is read of a traced operation (gadprof.counting.records.Operation has it)."""

    name: str
    kind: str
    functional: str
    module_type: str
    macs: int
    inputs: Any
    outputs: Any
    attributes: Mapping[str, Any]


@lru_cache(maxsize=1024)
def torch_name(name: str) -> str:
    """An operation's name as torch has it, without its namespace, from that of its record."""
    space, _, plain = name.partition(".")
    return ONNX_NAMES.get(plain, plain.lower()) if space == "onnx" else plain


def products(operation: Traced, out: tuple[int, ...]) -> tuple[int, int, int, int, int, int]:
    """(work, rows, n, k, kernel, stride) of a product; zeros where there is none."""
    a = operation.attributes
    match operation.kind:
        case "convolution":
            groups = int(a.get("groups", 1))
            kernel = listed(a.get("kernel", 1))
            area = prod(kernel)
            return (
                operation.macs, prod(out[2:]), int(a["c_out"]) // groups,
                int(a["c_in"]) // groups * area, max(kernel), max(listed(a.get("stride", 1))),
            )  # fmt: skip
        case "linear":
            n, k = int(a["out_features"]), int(a["in_features"])
            return operation.macs, operation.macs // max(1, n * k), n, k, 1, 1
        case "matmul":
            return (
                operation.macs, int(a.get("batch", 1)) * int(a.get("m", 1)), int(a.get("n", 1)),
                int(a.get("k", 1)), 1, 1,
            )  # fmt: skip
        case "attention":
            rows = int(a["batch"]) * int(a["heads"]) * int(a["queries"])
            return operation.macs, rows, int(a["keys"]), int(a["head_size"]), 1, 1
        case "rnn":
            return operation.macs, int(a.get("steps", 1)), int(a["hidden_size"]), 1, 1, 1
        case "pooling":
            kernel = listed(a.get("kernel", 1))
            return 0, prod(out[2:]), 0, 1, max(kernel), 1
        case _:
            return 0, 0, 0, 1, 1, 1


def listed(value: Any) -> tuple[int, ...]:
    if type(value) is tuple and value and type(value[0]) is int:
        return value
    if isinstance(value, (tuple, list)):
        return tuple(int(item) for item in value) or (1,)
    return (int(value),)


def class_of(operation: Traced, shapes: list[tuple[int, ...]], out: tuple[int, ...]) -> str:
    """The class of an operation; a name outside CLASSES where none fits."""
    plain = torch_name(operation.name)
    base = plain.rstrip("_")
    match operation.kind:
        case "convolution":
            if operation.functional == "deform_conv2d":
                return "deform_conv2d"
            return "conv3d" if len(out) == 5 else _convolution(operation.attributes)
        case "attention":
            if not has_fused_kernel(operation):
                return "attention_math"
            return "attention_masked" if operation.attributes.get("mask") else "attention"
        case "linear" | "matmul" | "rnn" | "softmax":
            return operation.kind
        case "normalization":
            norm = str(operation.attributes.get("norm", base))
            return {"instance_norm": "group_norm"}.get(norm, norm)
        case "activation":
            if base in ("gelu", "silu", "sigmoid"):
                return base
            if base.startswith("hard"):
                return "activation_hard"
            return "activation_inplace" if plain.endswith("_") else "activation"
        case "elementwise":
            if operation.name == "onnx.Clip":  # a ReLU6, most often
                return "activation"
            spread = len(shapes) > 1 and any(prod(shape) < prod(out) for shape in shapes)
            if spread:
                return "broadcast"
            return base if base in ("add", "mul") else "elementwise"
        case "reduction" if base not in REDUCTIONS:
            return f"{operation.kind}:{base}"
        case "reduction":
            return "global_pool" if base == "mean" and len(out) == 4 else "reduction"
        case "pooling":
            if prod(out[2:]) == 1:
                return "global_pool"
            return "pool" if operation.attributes.get("average", True) else "max_pool"
        case "resize":
            return "resize" if base.startswith("upsample") else f"{operation.kind}:{base}"
        case "concatenation":
            return "cat"
        case "copy":
            if base in ("index", "index_select", "gather", "im2col", "col2im"):
                return "gather"
            return "pad" if "pad" in base else "copy"
        case "cast":
            return "cast"
        case "embedding":
            return "gather"
        case _:
            return f"{operation.kind}:{base}"


def _convolution(a: Mapping[str, Any]) -> str:
    groups, kernel = int(a.get("groups", 1)), max(listed(a.get("kernel", 1)))
    if a.get("transposed"):
        return "conv_transposed"
    if int(a["c_in"]) <= 4:
        return "stem"
    if groups == 1:
        return "conv1x1" if kernel == 1 else "conv"
    if groups == int(a["c_in"]):
        return "conv_depthwise_large" if kernel > 7 else "conv_depthwise"
    return "conv_grouped"


def has_fused_kernel(operation: Traced) -> bool:
    """Whether an attention runs as one kernel: four dimensions, as many key heads as queries'."""
    shapes = [t.shape for t in operation.inputs[:3] if t.shape is not None]
    if len(shapes) < 3 or any(len(shape) != 4 for shape in shapes):
        return False
    return bool(shapes[0][1] == shapes[1][1] == shapes[2][1])


def is_native_depthwise(operation: Traced) -> bool:
    """Whether torch's own kernel computes a depthwise convolution in half precision, not cuDNN.

    With the pixels' channels apart in memory, cuDNN is asked for square kernels of 1, 3 or 5
    without dilation, of at least 32 channels and 7 columns.
    """
    a = operation.attributes
    groups = int(a.get("groups", 1))
    if operation.kind != "convolution" or a.get("transposed"):
        return False
    if groups == 1 or groups != int(a["c_in"]):
        return False
    kernel, stride = listed(a.get("kernel", 1)), listed(a.get("stride", 1))
    if len(kernel) != 2:
        return False
    square = kernel[0] == kernel[1] and kernel[0] in (1, 3, 5)
    plain = max(listed(a.get("dilation", 1))) == 1 and max(stride) <= 2 and len(set(stride)) == 1
    return not (square and plain and groups >= 32 and operation.inputs[0].shape[3] >= 7)


def is_uneven(operation: Traced) -> bool:
    """Whether a grouped convolution's groups have a number of channels that is no power of two."""
    width = int(operation.attributes["c_out"]) // int(operation.attributes.get("groups", 1))
    return width & (width - 1) != 0
