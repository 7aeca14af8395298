"""Rules of operations on sparse tensors, counted by the elements that they hold.

A product with a sparse matrix multiplies each stored element once a column of the other; one of two
sparse matrices multiplies, for each k, every element of column k of the first with every one of row
k of the second. A stored block is stored whole. What has no rule here is listed, never counted as
if it were dense.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from gadprof.counting.rules.work import Rule, Work, elements, told, uncounted

Args = Sequence[Any]
Kwargs = Mapping[str, Any]

_LAYOUTS = ("torch.sparse_coo", "torch.sparse_csr", "torch.sparse_csc", "torch.sparse_bsr",
            "torch.sparse_bsc")  # fmt: skip


@cache
def _holds_some(layout: Any) -> bool:
    return str(layout) in _LAYOUTS


def is_sparse(tensor: Any) -> bool:
    """Whether a tensor holds some of its elements only."""
    return _holds_some(tensor.layout)


def stored(tensor: Any) -> int:
    """The elements that a tensor holds; all of them where it is dense."""
    if not is_sparse(tensor):
        return elements(tensor)
    values = tensor._values() if str(tensor.layout) == "torch.sparse_coo" else tensor.values()
    return elements(values)


def stored_bytes(tensor: Any) -> int:
    """Memory of the values and of the indices beside them."""
    if not is_sparse(tensor):
        return int(tensor.numel() * tensor.element_size())
    parts: tuple[Any, ...]
    if str(tensor.layout) == "torch.sparse_coo":
        parts = (tensor._values(), tensor._indices())
    elif str(tensor.layout) in ("torch.sparse_csr", "torch.sparse_bsr"):
        parts = (tensor.values(), tensor.crow_indices(), tensor.col_indices())
    else:
        parts = (tensor.values(), tensor.ccol_indices(), tensor.row_indices())
    return sum(int(part.numel() * part.element_size()) for part in parts)


def _pairs(a: Any, b: Any) -> int:
    """Multiply-adds of a product of two sparse matrices."""
    import torch

    left, right = (item if str(item.layout) == "torch.sparse_coo" else item.to_sparse_coo()
                   for item in (a, b))  # fmt: skip
    columns = torch.bincount(left._indices()[-1], minlength=a.shape[-1])
    rows = torch.bincount(right._indices()[-2], minlength=a.shape[-1])
    return int((columns * rows).sum())


def _matmul(a: Any, b: Any, out: Any, *, added: bool) -> Work:
    factor = 4 if a.is_complex() else 1
    if is_sparse(a) and is_sparse(b):
        macs = _pairs(a, b)
    elif is_sparse(a):
        macs = stored(a) * (int(b.shape[-1]) if b.dim() > 1 else 1)
    else:
        macs = stored(b) * (int(a.shape[-2]) if a.dim() > 1 else 1)
    attributes = {"m": a.shape[-2] if a.dim() > 1 else 1, "k": a.shape[-1], "bias": added,
                  "n": b.shape[-1] if b.dim() > 1 else 1, "sparse": True}  # fmt: skip
    return Work(
        "matmul", macs=macs * factor, adds=stored(out) if added else 0, attributes=attributes
    )


def _product(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    return _matmul(args[0], args[1], outs[0], added=False)


def _linear(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    """Rows times a weight, either of them sparse, or both."""
    x, weight = args[0], args[1]
    bias = len(args) > 2 and args[2] is not None
    if is_sparse(x) and is_sparse(weight):
        macs = _pairs(x, weight.t())
    elif is_sparse(x):
        macs = stored(x) * int(weight.shape[0])
    else:
        macs = stored(weight) * (elements(x) // max(1, int(x.shape[-1])))
    return Work(
        "linear",
        macs=macs * (4 if x.is_complex() else 1),
        adds=elements(outs[0]) if bias else 0,
        attributes={
            "in_features": weight.shape[1],
            "out_features": weight.shape[0],
            "bias": bias,
            "sparse": True,
        },
    )


def _added(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    beta = kwargs.get("beta", args[3] if len(args) > 3 else 1)
    return _matmul(args[1], args[2], outs[0], added=beta != 0)


def _sampled(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    """input, a, b: the products of a and b where the input has elements."""
    kept = stored(args[0])
    return Work(
        "matmul",
        macs=kept * int(args[1].shape[-1]),
        adds=kept if kwargs.get("beta", 1) != 0 else 0,
        attributes={"k": args[1].shape[-1], "bias": True, "sparse": True},
    )


def _softmax(log: bool) -> Rule:
    def rule(args: Args, kwargs: Kwargs, outs: Args) -> Work:
        kept = stored(args[0])
        return Work(
            "softmax",
            adds=kept * (3 if log else 2),
            multiplies=0 if log else kept,
            comparisons=kept,
            transcendentals=kept,
            attributes={"input_elements": kept, "log": log},
        )

    return told(rule, "softmax of the stored elements")


def _sum(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    kept = stored(args[0])
    return Work(
        "reduction",
        adds=max(0, kept - stored(outs[0])),
        attributes={"input_elements": kept},
    )


_PRODUCT = told(_product, "stored elements x columns of the other; sum of column x row for two")
_ADDED = told(_added, "stored elements x columns of the other, and one addition a result")
RULES: dict[str, Rule] = {
    **{f"aten.{name}": _PRODUCT for name in ("mm", "mv", "bmm", "matmul", "_sparse_mm",
                                             "_sparse_sparse_matmul", "smm", "hspmm")},
    "aten.linear": told(_linear, "stored elements x rows of the other"),
    **{f"aten.{name}": _ADDED for name in ("addmm", "_sparse_addmm", "sspaddmm", "addmv",
                                           "baddbmm")},
    "aten.sparse_sampled_addmm": told(_sampled, "stored elements x k"),
    "aten._sparse_softmax": _softmax(False),
    "aten._sparse_log_softmax": _softmax(True),
    "aten._sparse_sum": told(_sum, "one addition a stored element"),
    "aten.sum": told(_sum, "one addition a stored element"),
}  # fmt: skip

# what works on each stored element by itself, so that the plain rule fits the values
BY_ELEMENT = ("mul", "div", "neg", "abs", "relu", "sqrt", "sin", "tanh", "sigmoid", "pow", "sign",
              "floor", "ceil", "round", "square", "add", "sub", "threshold", "clamp")  # fmt: skip


def sparse_work(name: str, plain: Rule | None, args: Args, kwargs: Kwargs, outs: Args) -> Work:
    """What an operation with sparse tensors costs, from what they hold."""
    rule = RULES.get(name)
    if rule is not None:
        return rule(args, kwargs, outs)
    if plain is None:
        return uncounted()
    base = name.partition(".")[2].rstrip("_")
    if base in BY_ELEMENT and outs and is_sparse(outs[0]):
        out = outs[0]
        held = out._values() if str(out.layout) == "torch.sparse_coo" else out.values()
        return plain(args, kwargs, [held])
    work = plain(args, kwargs, outs)
    computes = work.macs + work.adds + work.multiplies + work.comparisons + work.transcendentals
    return uncounted() if computes else work
