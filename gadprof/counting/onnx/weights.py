"""Which of an ONNX file's stored tensors are parameters, which are buffers, which are settings.

The file does not say; the operators that read a tensor do. A batch normalisation's running mean
and variance are buffers; sizes, scales, bounds and zero points are settings; integers are indices
except where a quantised operator reads them as weights, or one that nobody knows reads bytes; a
single number with a name that the exporter made up is a constant, and so is what it computed
itself (a mask). Everything else that is stored is a parameter, each tensor once however often it
is read. A floating-point buffer of another kind (a table of positions) cannot be told from a
parameter and counts as one; a table that the exporter looked up counts as long as it is stored.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gadprof.counting.onnx.contrib import DOMAINS
from gadprof.counting.onnx.contrib import WEIGHTS as CONTRIB_WEIGHTS
from gadprof.counting.onnx.tensors import OnnxTensor, Step

_SETTINGS: Mapping[str, frozenset[int]] = {
    name: frozenset(positions)
    for name, positions in {
        "Resize": (1, 2, 3), "Upsample": (1,), "Clip": (1, 2), "Pad": (1, 2, 3),
        "Dropout": (1, 2), "Slice": (1, 2, 3, 4), "Reshape": (1,), "Expand": (1,), "Tile": (1,),
        "TopK": (1,), "Unsqueeze": (1,), "Squeeze": (1,), "Split": (1,), "OneHot": (1, 2),
        "Range": (0, 1, 2), "ConstantOfShape": (0,), "Pow": (1,), "CumSum": (1,), "Trilu": (1,),
        "QuantizeLinear": (1, 2), "DequantizeLinear": (1, 2), "QLinearConv": (1, 2, 4, 5, 6, 7),
        "QLinearMatMul": (1, 2, 4, 5, 6, 7), "ConvInteger": (2, 3), "MatMulInteger": (2, 3),
        "Loop": (0, 1), "If": (0,), "DFT": (1, 2), "BitShift": (1,),
    }.items()
}  # fmt: skip

# inputs that are weights whatever their type, size or name
_WEIGHTS: Mapping[str, frozenset[int]] = {
    name: frozenset(positions)
    for name, positions in {
        "Conv": (1, 2), "ConvTranspose": (1, 2), "DeformConv": (1, 3), "Gemm": (0, 1, 2),
        "MatMul": (0, 1), "BatchNormalization": (1, 2), "LayerNormalization": (1, 2),
        "RMSNormalization": (1,), "GroupNormalization": (1, 2), "InstanceNormalization": (1, 2),
        "PRelu": (1,), "LSTM": (1, 2, 3, 7), "GRU": (1, 2, 3), "RNN": (1, 2, 3), "Einsum": (0, 1),
        "DequantizeLinear": (0,), "ConvInteger": (1,), "MatMulInteger": (1,),
        "QLinearConv": (3, 8), "QLinearMatMul": (3,),
    }.items()
}  # fmt: skip

# operators whose result is the numbers of their first input in another form
FORMS = ("Identity", "DequantizeLinear", "QuantizeLinear", "Cast", "Transpose")

_BUFFERS: Mapping[str, frozenset[int]] = {"BatchNormalization": frozenset((3, 4))}

# names that exporters give to tensors which had none in the model, and to what they computed
_MADE_UP = re.compile(r"(val_\d+|onnx::\w+|.*Constant_\w+|.*_output_\d+|_?\d+|const\w*|)")
_COMPUTED = re.compile(r"val_\d+")
_BYTES = ("int8", "uint8", "int4", "uint4", "int2", "uint2")


@dataclass(frozen=True)
class Weights:
    """Stored tensors by role: name to shape and type, in the file's order.

    ``readers`` is the module path of the first node that reads each; ``sources`` the stored tensor
    of what is the same numbers in another form (``FORMS``).
    """

    params: Mapping[str, OnnxTensor]
    buffers: Mapping[str, OnnxTensor]
    readers: Mapping[str, str]
    sources: Mapping[str, str] = field(default_factory=dict)


def sort_weights(
    stored: Mapping[str, OnnxTensor],
    constants: Iterable[str],
    steps: Iterable[tuple[Step, tuple[str, str]]],
) -> Weights:
    """Tell parameters from buffers and settings by who reads them.

    ``stored`` are the file's tensors; those named in ``constants`` are values of Constant nodes,
    parameters only where they are read as weights. ``steps`` are nodes with the path and class of
    their module.
    """
    roles: dict[str, set[str]] = {name: set() for name in stored}
    readers: dict[str, str] = {}
    renamed: dict[str, str] = {}
    packed: dict[str, OnnxTensor] = {}
    sources: dict[str, str] = {}
    for step, (path, _) in steps:
        source = renamed.get(step.names_in[0], step.names_in[0]) if step.names_in else ""
        first = sources.get(step.names_in[0], step.names_in[0]) if step.names_in else ""
        if step.op in FORMS and first in stored:
            sources[step.names_out[0]] = first
        if step.op == "Identity" and not step.domain and source in stored:
            renamed[step.names_out[0]] = source  # an equal tensor that the exporter stored once
            continue
        if step.op == "MatMulNBits" and step.names_in[1] in stored:
            packed[step.names_in[1]] = _unpacked(step)
        for position, given in enumerate(step.names_in):
            name = renamed.get(given, given)
            if name in roles:
                roles[name].add(_role(step, position))
                readers.setdefault(name, path)
    params, buffers = {}, {}
    loose = frozenset(constants)
    for name, tensor in {**stored, **packed}.items():
        found = roles[name]
        bytes_of_weights = tensor.dtype in _BYTES and tensor.numel() > 1 and "foreign" in found
        if "weight" in found or bytes_of_weights:
            params[name] = tensor
        elif found == {"buffer"}:
            buffers[name] = tensor
        elif found != {"setting"} and name not in loose and _is_parameter(name, tensor):
            params[name] = tensor
    return Weights(params, buffers, readers, sources)


def _unpacked(step: Step) -> OnnxTensor:
    """Weights of a few bits, packed by blocks, as the matrix that they are."""
    bits = int(step.attributes.get("bits", 4))
    return OnnxTensor((int(step.attributes["N"]), int(step.attributes["K"])), f"uint{bits}")


def _is_parameter(name: str, tensor: OnnxTensor) -> bool:
    """Whether a tensor that ordinary operators read looks like one that was learnt."""
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return False
    made_up = _MADE_UP if tensor.numel() == 1 else _COMPUTED
    return made_up.fullmatch(name) is None


def _role(step: Step, position: int) -> str:
    if step.domain in DOMAINS:
        return "weight" if position in CONTRIB_WEIGHTS.get(step.op, ()) else "setting"
    if step.domain:
        return "foreign"
    if position in _WEIGHTS.get(step.op, ()):
        return "weight"
    if position in _BUFFERS.get(step.op, ()):
        return "buffer"
    if position in _SETTINGS.get(step.op, ()):
        return "setting"
    return "operand"
