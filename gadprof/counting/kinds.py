"""Kinds of operations, and the bytes of a number of each type: plain tables."""

from __future__ import annotations

# kinds whose multiply-adds are MACs, and whose outputs are "activations" (fvcore, pycls, timm)
MATMUL_KINDS = ("convolution", "linear", "matmul", "attention", "rnn")

# kinds that move or rename data and compute nothing
MOVEMENT_KINDS = ("view", "copy", "cast", "concatenation", "embedding", "fill", "random", "query")

DTYPE_BYTES: dict[str, int] = {
    "float64": 8,
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "complex32": 4,
    "complex64": 8,
    "complex128": 16,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint8": 1,
    "uint16": 2,
    "uint32": 4,
    "uint64": 8,
    "bool": 1,
    "qint8": 1,
    "quint8": 1,
    "qint32": 4,
    "float8_e4m3fn": 1,
    "float8_e5m2": 1,
    "float8_e4m3fnuz": 1,
    "float8_e5m2fnuz": 1,
    "float8_e8m0fnu": 1,
}
