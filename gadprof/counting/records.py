"""What a count is made of: one frozen record an operation, and the trace that holds them.

Promises plain data (no tensor, no module, no torch import) with exact integers; refuses nothing.
``Trace`` answers totals; how a figure is *read* (which operations another tool counts, and as
what) is the business of conventions, which see only these records.

The gadprof convention: ``macs`` counts the multiply-adds of convolutions and matrix products and
nothing else (a bias is an addition); ``flops`` is 2 x ``macs`` plus every other floating-point
operation: additions, multiplications (divisions too), comparisons and transcendental functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any, Literal

from gadprof.counting.kinds import DTYPE_BYTES, MATMUL_KINDS, MOVEMENT_KINDS
from gadprof.results.tabular import Tabular

if TYPE_CHECKING:
    from gadprof.results.page import Page

Phase = Literal["forward", "backward"]


@dataclass(frozen=True, slots=True)
class TensorRecord:
    """A tensor that an operation read or wrote.

    ``dtype`` is torch's name without its prefix (``float32``). ``storage`` numbers the memory
    behind it within one trace: two records with one number are views of the same memory, and
    numbers are never reused. Parameters and buffers have negative numbers.
    """

    shape: tuple[int, ...]
    dtype: str
    storage: int

    @property
    def elements(self) -> int:
        """The number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Elements times the size of one, in bytes (of the view, not of what lies behind it)."""
        return prod(self.shape) * DTYPE_BYTES.get(self.dtype, 1)


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation that ran, with everything that was counted about it.

    ``name`` and ``overload`` are torch's (``aten.convolution``, ``default``); ``kind`` is the
    category. ``module`` is the dotted path of the innermost module that was running ("" for the
    root) and ``call`` the index of that module's call, from 0. ``functional`` names the
    torch-level function that it came from where that says more than ``name``
    (``scaled_dot_product_attention``, ``lstm``). ``macs`` and the four other counts are exact.
    ``params`` names the parameters read. ``attributes`` by kind:

    - convolution: ``kernel``, ``stride``, ``padding``, ``dilation``, ``groups``, ``transposed``,
      ``output_padding``, ``bias``, ``c_in``, ``c_out``;
    - linear: ``in_features``, ``out_features``, ``bias``; matmul: ``batch``, ``m``, ``k``, ``n``,
      ``bias`` (an added term, as in addmm);
    - attention: ``batch``, ``heads``, ``queries``, ``keys``, ``head_size``, ``value_size``,
      ``qk_macs``, ``av_macs``, ``mask``, ``causal``;
    - rnn: ``cell`` (lstm, gru, rnn_tanh, rnn_relu), ``layers``, ``directions``, ``input_size``,
      ``hidden_size``, ``proj_size``, ``steps``, ``batch``, ``bias``;
    - normalization: ``norm`` (batch_norm, layer_norm, group_norm, instance_norm, rms_norm),
      ``affine``, ``training``;
    - pooling: ``kernel`` or ``output_size``, ``average`` (bool), ``input_elements``;
    - resize: ``mode``; reduction and softmax: ``input_elements``.
    """

    name: str
    overload: str
    kind: str
    module: str
    module_type: str
    call: int
    inputs: tuple[TensorRecord, ...]
    outputs: tuple[TensorRecord, ...]
    dtype: str
    attributes: Mapping[str, Any]
    macs: int
    adds: int
    multiplies: int
    comparisons: int
    transcendentals: int
    bytes_read: int
    bytes_written: int
    params: tuple[str, ...]
    phase: Phase
    functional: str
    index: int

    @property
    def flops(self) -> int:
        """Floating-point operations: twice the MACs and every elementwise operation."""
        return 2 * self.macs + self.adds + self.multiplies + self.comparisons + self.transcendentals

    @property
    def output_elements(self) -> int:
        """Elements of the first output, 0 where there is none."""
        return self.outputs[0].elements if self.outputs else 0

    @property
    def activations(self) -> int:
        """Output elements of a convolution or a product, 0 for any other operation."""
        return self.output_elements if self.kind in MATMUL_KINDS else 0


@dataclass(frozen=True, slots=True)
class ModuleRecord:
    """One module of the model, and how often and with what shapes it was called.

    ``own_params`` counts elements of parameters registered directly on it, shared ones at their
    first owner only. ``input_shapes`` and ``output_shapes`` hold, for each call, the shapes of
    the tensors passed and returned (nested ones in order). ``leaf``: it has no children.
    ``aliases`` are the other paths under which the same module is registered.
    """

    path: str
    type: str
    own_params: int
    calls: int
    input_shapes: tuple[tuple[tuple[int, ...], ...], ...]
    output_shapes: tuple[tuple[tuple[int, ...], ...], ...]
    leaf: bool
    hyper: Mapping[str, Any] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trace(Tabular):
    """Everything that one run of a model did.

    ``modules`` maps every path of the model ("" is the model itself) to its record, in
    registration order, also modules that never ran. ``params`` counts shared parameters once and
    ``buffers`` the elements of buffers; ``param_bytes`` and ``buffer_bytes`` their memory.
    ``device`` is where it ran: "meta" (no arithmetic) or "cpu", with the reason in ``note``. An
    ONNX file does not run, its "onnx graph" is read; nor does a built-in network's "plan".
    ``uncovered`` maps an operation that does arithmetic but has no rule to how often it ran.
    ``peak_activation_bytes`` is the most memory that storages other than parameters and buffers
    held at once, the model's inputs included, with the lifetimes that Python gave them;
    ``live_bytes`` is that amount after each operation; ``allocator_peak_bytes`` adds what the
    CPU kernels allocate for themselves while they run. ``operations`` and ``modules`` may be made
    when they are first read, from plain data that was kept. A run that the dispatcher saw
    (``count`` with ``fast=False``) also answers ``storage_changes``, the births and deaths behind
    ``live_bytes`` in order: (operations that had run, storage, bytes, negative at its death).
    ``data_dependent_macs`` are those of operations whose sizes came from values, in a run on the
    CPU, and ``chosen_by_data`` the most that each choosing operation kept (proposals of a
    detector). ``weight_bytes_by_dtype`` is the memory of parameters and buffers by type, where it
    is known, and ``quantised_weights`` the types of those that are stored in fewer bits: what their
    inputs are quantised to ("" for weights only), and what they are stored as. Where weights were
    read, ``effective_macs`` are those with a weight that is not zero, and ``sparse_weights`` says
    of each weight with zeros what share is kept.
    """

    model: str
    operations: tuple[Operation, ...]
    modules: Mapping[str, ModuleRecord]
    params: int
    buffers: int
    param_bytes: int
    buffer_bytes: int
    trainable_params: int
    input_shapes: tuple[tuple[int, ...], ...]
    input_dtypes: tuple[str, ...]
    output_shapes: tuple[tuple[int, ...], ...]
    batch: int
    device: str
    note: str
    uncovered: Mapping[str, int]
    peak_activation_bytes: int
    allocator_peak_bytes: int
    live_bytes: tuple[int, ...]
    train: bool
    data_dependent_macs: int = 0
    chosen_by_data: Mapping[str, int] = field(default_factory=dict)
    weight_bytes_by_dtype: Mapping[str, int] = field(default_factory=dict, compare=False)
    quantised_weights: Mapping[str, tuple[str, str]] = field(default_factory=dict, compare=False)
    effective_macs: int | None = field(default=None, compare=False)
    sparse_weights: Mapping[str, str] = field(default_factory=dict, compare=False)

    def page(self) -> Page:
        """Its modules as a table; a DataFrame has every level."""
        from gadprof.counting.page import trace_page

        return trace_page(self)

    def __repr__(self) -> str:
        """The totals alone, so that a failed assert on a large trace stays readable."""
        return (
            f"Trace(model={self.model!r}, params={self.params:,}, macs={self.macs:,}, "
            f"flops={self.flops:,}, {len(self.operations):,} operations)"
        )

    @classmethod
    def deferred(
        cls, fields: dict[str, Any], later: dict[str, Callable[[], Any]], totals: dict[str, int]
    ) -> Trace:
        """A trace whose fields in ``later`` are made when first read, and totals known already."""
        trace = cls.__new__(cls)
        unknown = {
            "data_dependent_macs": 0, "chosen_by_data": {}, "weight_bytes_by_dtype": {},
            "quantised_weights": {}, "effective_macs": None, "sparse_weights": {},
        }  # fmt: skip
        trace.__dict__.update({**unknown, **fields}, **totals, _later=later)
        return trace

    def __getattr__(self, name: str) -> Any:
        later = self.__dict__.get("_later", {})
        if name not in later:
            raise AttributeError(f"'Trace' object has no attribute {name!r}")
        value = self.__dict__[name] = later.pop(name)()
        return value

    def __getstate__(self) -> dict[str, Any]:
        for name in tuple(self.__dict__.get("_later", ())):
            getattr(self, name)
        return {key: value for key, value in self.__dict__.items() if key != "_later"}

    def with_allocator_peak(self, allocator_peak_bytes: int) -> Trace:
        """The same trace with another ``allocator_peak_bytes``."""
        twin = Trace.__new__(Trace)
        twin.__dict__.update(self.__getstate__(), allocator_peak_bytes=allocator_peak_bytes)
        return twin

    @property
    def at_least(self) -> bool:
        """Whether something was not counted, so that every total is a lower bound."""
        return bool(self.uncovered)

    @cached_property
    def macs(self) -> int:
        """Multiply-adds of convolutions and matrix products, in all phases."""
        return sum(operation.macs for operation in self.operations)

    @cached_property
    def flops(self) -> int:
        """Floating-point operations in the gadprof convention, in all phases."""
        return sum(operation.flops for operation in self.operations)

    @cached_property
    def activations(self) -> int:
        """Output elements of forward convolutions and matrix products."""
        return sum(op.activations for op in self.operations if op.phase == "forward")

    @property
    def forward(self) -> tuple[Operation, ...]:
        """The operations of the forward pass."""
        return tuple(op for op in self.operations if op.phase == "forward")

    @property
    def backward(self) -> tuple[Operation, ...]:
        """The operations of the backward pass, empty unless it was traced."""
        return tuple(op for op in self.operations if op.phase == "backward")

    @property
    def bytes_read(self) -> int:
        """Bytes that operations read, each input counted at every operation."""
        return sum(operation.bytes_read for operation in self.operations)

    @property
    def bytes_written(self) -> int:
        """Bytes that operations wrote."""
        return sum(operation.bytes_written for operation in self.operations)

    def total(self, name: str, operations: Iterable[Operation] | None = None) -> int:
        """The sum of one count (``macs``, ``adds``, ``bytes_read``, …) over operations."""
        chosen = self.operations if operations is None else operations
        return sum(int(getattr(operation, name)) for operation in chosen)

    def elementwise(self) -> dict[str, int]:
        """Forward elementwise work in elements, by kind of work.

        Output elements, except for pooling and reductions, which count the input elements they
        read. Keys are ``batch_norm``, ``relu``, ``sigmoid``, ``add``, ``mul``, ``upsample``,
        ``pool`` and, for any other operation, its own name. Data movement is not arithmetic and
        convolutions and products are not elementwise; a bias is in neither.
        """
        totals: dict[str, int] = {}
        for operation in self.operations:
            if operation.phase != "forward" or operation.kind in MATMUL_KINDS + MOVEMENT_KINDS:
                continue
            label, amount = elementwise_label(operation)
            totals[label] = totals.get(label, 0) + amount
        return totals

    def by_module(self) -> dict[str, tuple[Operation, ...]]:
        """Operations grouped by the innermost module that ran them."""
        groups: dict[str, list[Operation]] = {}
        for operation in self.operations:
            groups.setdefault(operation.module, []).append(operation)
        return {path: tuple(group) for path, group in groups.items()}


def elementwise_label(operation: Operation) -> tuple[str, int]:
    """The kind of elementwise work of an operation and its amount in elements."""
    plain = operation.name.partition(".")[2].rstrip("_") or operation.name
    plain = str(operation.attributes.get("label", plain))
    if operation.kind == "normalization":
        return str(operation.attributes.get("norm", plain)), operation.output_elements
    if operation.kind == "resize":
        return "upsample", operation.output_elements
    if operation.kind == "pooling":
        return "pool", int(operation.attributes["input_elements"])
    if operation.kind in ("reduction", "softmax"):
        return plain, int(operation.attributes.get("input_elements", operation.output_elements))
    return plain, operation.output_elements
