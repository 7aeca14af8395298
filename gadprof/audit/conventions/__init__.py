"""How each counter reads a model: conventions as data, each with the rule that maps an observation
to the counter's number, entry by entry.

Promises: the sum of a convention's entries is what that counter reports for this model, misses,
repeats and rounding included. An entry either stands for multiply-accumulates that really happen
(``kind`` is set, ``cause`` is empty) or says by ``cause`` what else it is. Refuses unknown names.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from gadprof.errors import UnknownNameError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable

    from gadprof.audit.observe import Observation
    from gadprof.counting.records import Trace

Unit = Literal["macs", "flops", "mult-adds"]

# what an entry with a cause can be
BIAS = "bias"
NORMALISATION = "normalisation"
ACTIVATION = "activation"
RESIZE = "resize"
POOLING = "pooling"
SOFTMAX = "softmax"
ELEMENTWISE = "elementwise operation"
REDUCTION = "reduction"
GATES = "gates of a recurrent layer"
TRANSPOSED = "transposed convolution counted at the output instead of the input"
GROUPS_TWICE = "groups of a transposed convolution divided twice"
GROUPS_MISSED = "groups of a transposed convolution not divided"
TWICE = "module counted twice"
ONCE = "module counted once although it runs twice"
PATCHED_TWICE = "counted by the module and again by the patched function"
ROUNDING = "rounding"
ONE_POSITION = "parameters counted once a sample instead of once a position"
OTHER_FORMULA = "counted by another formula"
UNIT = "unit"
ATTENTION_MISSED = "attention missed"
FUNCTION_MISSED = "functional call missed"
RECURRENT_MISSED = "recurrent layer missed"
FAST_PATH_MISSED = "fast path missed"
TYPE_MISSED = "module type not known"
SHADOWED = "module inside a counted module missed"
OPERATION_MISSED = "operation without a rule"


@dataclass(frozen=True, slots=True)
class Entry:
    """One amount that a counter adds up, in its own unit.

    ``kind`` (convolution, linear, matmul, attention, rnn) marks multiply-accumulates; ``cause``
    marks anything else; exactly one of the two is set. ``operation`` is what the counter saw.
    """

    amount: int | float
    path: str
    operation: str
    kind: str = ""
    cause: str = ""


@dataclass(frozen=True)
class Reading:
    """What a convention makes of a model: its entries and how it names what it misses.

    ``missed`` maps a module path and a kind to the cause why nothing was counted there.
    """

    entries: tuple[Entry, ...]
    missed: Callable[[str, str], str]

    @property
    def total(self) -> int | float:
        """The number that the counter reports."""
        return sum(entry.amount for entry in self.entries)


@dataclass(frozen=True)
class Convention:
    """Which operations count, as what, and whether G is 10^9 or 2^30.

    ``rule`` names the function that reads an observation; ``about`` is one sentence on what it
    counts. ``giga`` is what a printed G means. ``whole`` says that the counter cuts its sum to a
    whole number.
    """

    name: str
    rule: str
    unit: Unit
    about: str
    giga: int = 10**9
    whole: bool = True

    @property
    def flops_per_mac(self) -> int:
        """2 where a multiply-accumulate is two, else 1."""
        return 2 if self.unit == "flops" else 1


_HERE = "gadprof.audit.conventions"

CONVENTIONS: dict[str, Convention] = {
    "gadprof": Convention(
        "gadprof",
        f"{_HERE}.ours:read",
        "macs",
        "multiply-accumulates of convolutions and matrix products, attention included; no bias",
    ),
    "fvcore": Convention(
        "fvcore",
        f"{_HERE}.fvcore:read",
        "macs",
        "jit trace: convolutions and products, 2 a batch-normalised element, 5 a layer-normalised "
        "one, resizing and adaptive pooling; fused attention and recurrent layers count zero",
        whole=False,
    ),
    "thop": Convention(
        "thop",
        f"{_HERE}.thop:read",
        "macs",
        "hooks on exact module types: convolutions at the output, linear layers, 4 a normalised "
        "element, pooling, resizing; functional calls and attention count zero",
    ),
    "ultralytics-thop": Convention(
        "ultralytics-thop",
        f"{_HERE}.ultralytics_thop:read",
        "macs",
        "hooks on module types and their subclasses, 4 a normalised element, pooling, softmax and "
        "functional products outside counted modules",
    ),
    "ptflops": Convention(
        "ptflops",
        f"{_HERE}.ptflops:read",
        "macs",
        "hooks on exact module types (bias, normalisation, activation, pooling included) and "
        "patched functions, which count activations and pooling a second time",
    ),
    "ptflops-aten": Convention(
        "ptflops-aten",
        f"{_HERE}.aten:read_ptflops",
        "macs",
        "aten mm, addmm, bmm and convolutions, with their bias; fused attention counts zero",
    ),
    "torch": Convention(
        "torch",
        f"{_HERE}.aten:read_torch",
        "flops",
        "two a multiply-add of aten convolutions and products; on a CPU with gradients off fused "
        "attention counts zero",
    ),
    "torch-meta": Convention(
        "torch-meta",
        f"{_HERE}.aten:read_torch_meta",
        "flops",
        "torch.utils.flop_counter on the meta device: every convolution and product, two flops "
        "a multiply-add, attention included",
    ),
    "torchinfo": Convention(
        "torchinfo",
        f"{_HERE}.torchinfo:read",
        "mult-adds",
        "parameters of each leaf module, bias included, times its output positions for a module "
        "with Conv in its name, else times the batch",
    ),
    "torchprofile": Convention(
        "torchprofile",
        f"{_HERE}.torchprofile:read",
        "macs",
        "jit trace: convolutions (transposed ones at the output), products and attention, one a "
        "normalised element, products of tensors, pooling and means, bilinear resizing",
    ),
    "calflops": Convention(
        "calflops",
        f"{_HERE}.calflops:read",
        "flops",
        "patched functions: two a multiply-add, bias, normalisation, activation, pooling and "
        "elementwise operations one or more an element; fused attention counts zero",
        whole=False,
    ),
    "hrnet-official": Convention(
        "hrnet-official",
        f"{_HERE}.official:read",
        "macs",
        "multiply-adds of convolution and linear layers only, no bias, divided by 2^30",
        giga=2**30,
    ),
    "mmcv": Convention(
        "mmcv",
        f"{_HERE}.mmcv:read",
        "macs",
        "hooks on exact module types: convolutions with bias, transposed ones at the input, 2 a "
        "normalised element, activation, pooling and Upsample elements",
        whole=False,
    ),
    "torchstat": Convention(
        "torchstat",
        f"{_HERE}.torchstat:read",
        "macs",
        "leaf modules, each once though it runs twice: convolutions with bias, 2 a normalised "
        "element, activation, pooling windows, positions of an Upsample",
        giga=2**30,
    ),
}


def convention(name: str) -> Convention:
    """The convention of that name. Raises UnknownNameError."""
    if name not in CONVENTIONS:
        known = nearest(name, CONVENTIONS) or "; there are " + ", ".join(CONVENTIONS)
        raise UnknownNameError(f"no counting convention is called {name!r}{known}")
    return CONVENTIONS[name]


def read(name: str, observation: Observation, trace: Trace) -> Reading:
    """What a counter makes of a model, from what can be seen of it without running that counter.

    Raises UnknownNameError, and whatever the model raises in the place where that counter looks.
    """
    module_name, _, attribute = convention(name).rule.partition(":")
    rule: Any = getattr(importlib.import_module(module_name), attribute)
    reading: Reading = rule(observation, trace)
    return reading


def total(name: str, observation: Observation, trace: Trace) -> int | float:
    """The number that a counter reports for a model, in that counter's unit."""
    amount = read(name, observation, trace).total
    if convention(name).whole or float(amount).is_integer():
        return int(amount)
    return amount
