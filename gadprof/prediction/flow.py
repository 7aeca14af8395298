"""How a trace runs on a device: number formats, layouts, and the copies that no record shows.

Promises feature rows of plain numbers, operation by operation. Under mixed precision each tensor's
number format is followed as torch's autocast sets it, casts included; a permuted tensor is followed
as far as operations hand its layout on.
"""

from __future__ import annotations

from math import prod
from typing import Any

from gadprof.prediction.classes import (
    Traced,
    class_of,
    has_fused_kernel,
    is_native_depthwise,
    is_uneven,
    products,
    torch_name,
)
from gadprof.prediction.fusion import Traffic
from gadprof.prediction.hidden import unfused_attention
from gadprof.prediction.per_sample import SampleTensor
from gadprof.prediction.rows import Row, moving
from gadprof.prediction.way import Way

PLANE_WORK = 10**7  # what a step through a plane counts as, so that its rate lies near others'
PAIR_BYTES = 4  # what suppression compares of each pair of boxes counts as moving
FREE_KINDS = ("view", "query", "fill", "random")
PRODUCT_KINDS = ("convolution", "linear", "matmul", "attention", "rnn")

# what autocast computes in single precision, by aten name without underscores at the end
SINGLE_PRECISION = frozenset(
    (
        "layer_norm", "native_layer_norm", "group_norm", "native_group_norm", "softmax",
        "log_softmax", "_softmax", "pow", "exp", "log", "rsqrt", "reciprocal", "sum", "prod",
        "cumsum", "linalg_vector_norm", "norm", "softplus", "expm1", "rms_norm",
    )
)  # fmt: skip

# what hands the memory layout of its input on
LAYOUT_KINDS = frozenset(
    ("elementwise", "activation", "convolution", "pooling", "resize", "concatenation")
)

# modules that bring their parameters to the input's number format themselves
FORMAT_KEEPERS = ("EvoNorm", "FilterResponseNorm")


def _keeps_layout(operation: Traced) -> bool:
    """Whether an operation lays its result out as its input is."""
    name = torch_name(operation.name)
    return (
        operation.kind in LAYOUT_KINDS or name.startswith("batch_norm") or name == "constant_pad_nd"
    )


class Flow:
    """Follows through a trace what depends on the batch, and how wide each tensor's numbers are."""

    def __init__(self, way: Way) -> None:
        self.way = way
        self._made: set[int] = set()
        self._batched: dict[int, bool] = {}
        self._width: dict[int, int] = {}
        self._strided: set[tuple[int, tuple[int, ...]]] = set()
        self._elements: dict[int, int] = {}
        self._attended: dict[int, tuple[int, ...]] = {}

    def rows(self, operation: Traced, traffic: Traffic | None = None) -> list[Row]:
        """The feature rows of one operation (its casts first); none where it costs no time."""
        if not operation.outputs:
            return []
        inputs = [t for t in operation.inputs if t.shape is not None]
        out = operation.outputs[0]
        batched = any(self._depends(t) for t in inputs)
        if isinstance(out, SampleTensor):
            batched = out.batched
        if operation.kind in FREE_KINDS:
            self._free(operation, batched)
            return []
        base = torch_name(operation.name).rstrip("_")
        if base == "clone" and self._lies_so(inputs):
            self._free(operation, batched)
            self._width[out.storage] = self._bytes(inputs[0])
            self._strided.discard((out.storage, tuple(out.shape)))
            return []
        if operation.kind == "attention" and self._fused(operation):
            self._attended[out.storage] = tuple(out.shape)
        rows: list[Row] = []
        if not self.way.amp:
            width = self.way.width
            widths = [width for _ in inputs]
        elif operation.kind in PRODUCT_KINDS:
            rows += [
                self._cast(t, 4, 2) for t in inputs if self._bytes(t) == 4 and prod(t.shape) > 1
            ]
            width, widths = 2, [2 for _ in inputs]
        elif base in SINGLE_PRECISION:
            rows += [self._cast(t, 2, 4) for t in inputs if self._bytes(t) == 2]
            width, widths = 4, [4 for _ in inputs]
        else:
            widths = [self._bytes(t) for t in inputs]
            wide = [w for t, w in zip(inputs, widths, strict=True) if len(t.shape) > 0]
            if operation.kind == "normalization":
                wide = wide[:1]
            width = max(wide, default=2)
            if operation.module_type.startswith(FORMAT_KEEPERS):
                made = [w for t, w in zip(inputs, widths, strict=True) if t.storage >= 0]
                width = max(made, default=width)
        known = {t.storage for t in inputs}
        for t in operation.outputs:
            if t.storage in known and t.storage in self._width:
                width = self._width[t.storage]  # in place
            self._batched[t.storage] = batched
            self._width[t.storage] = width
            self._elements.setdefault(t.storage, prod(t.shape))
        strided = self._layout(operation, inputs, out)
        if not self.way.compiled:
            if operation.kind == "attention" and not self._fused(operation):
                return rows + unfused_attention(
                    operation.attributes,
                    half=self.way.amp,
                    wide=self.way.wide_attention,
                    permuted=len(out.shape) > 3 and self._permuted(inputs[0]),
                    batched=batched,
                )
            hidden = self._hidden(
                operation, inputs, widths, width, strided=strided, batched=batched
            )
            strided = strided and not any(row[0] == "copy_strided" for row in hidden)
            rows += hidden
        name = class_of(operation, [t.shape for t in inputs if t.storage >= 0], out.shape)
        if (
            self.way.amp
            and not strided
            and not self.way.channels_last
            and is_native_depthwise(operation)
        ):
            name = "conv_depthwise_native"
        elif name == "conv_grouped" and self.way.channels_last and is_uneven(operation):
            name = "conv_grouped_uneven"
        rows.append(
            self._row(
                name,
                operation,
                inputs,
                widths,
                width,
                batched=batched,
                strided=strided,
                traffic=traffic,
            )
        )
        return rows

    def _lies_so(self, inputs: list[Any]) -> bool:
        """Whether a permuted tensor lies in memory as its copy would: a fused attention's does."""
        made = self._attended.get(inputs[0].storage) if inputs else None
        return made is not None and made != tuple(inputs[0].shape)

    def _hidden(
        self,
        operation: Traced,
        inputs: list[Any],
        widths: list[int],
        width: int,
        *,
        strided: bool,
        batched: bool,
    ) -> list[Row]:
        """What runs beside an operation: contiguous copies of its inputs, and a bias apart."""
        kind, out = operation.kind, operation.outputs[0]
        bias = moving("bias", out.shape, 2 * width, batched=batched)
        copied: list[Any] = []
        added = False
        if kind == "linear" and len(inputs[0].shape) > 2 and self._permuted(inputs[0]):
            copied, added = inputs[:1], bool(operation.attributes.get("bias"))
        elif kind == "matmul":
            copied = [t for t in inputs if len(t.shape) > 3 and self._permuted(t)]
        elif strided and (
            kind == "softmax"
            or operation.attributes.get("norm") in ("layer_norm", "group_norm")
            or "reflection_pad" in operation.name
        ):
            copied = inputs[:1]
        elif kind == "convolution" and self.way.amp and operation.attributes.get("bias"):
            # torch's own depthwise kernel adds its bias itself
            layout = strided or self.way.channels_last
            added = layout or not is_native_depthwise(operation)
        if self._converted(operation, inputs):
            copied = inputs[:1]
        rows = [
            moving("copy_strided", t.shape, 2 * widths[0], batched=batched, strided=True)
            for t in copied
        ]
        return rows + [bias] * added

    def _layout(self, operation: Traced, inputs: list[Any], out: Any) -> bool:
        """Whether the operation reads a permuted tensor; many hand their layout on."""
        strided = any(self._permuted(t) for t in inputs)
        self._made.add(out.storage)
        if (strided and _keeps_layout(operation)) or self._converted(operation, inputs):
            self._strided.add((out.storage, tuple(out.shape)))
        return strided

    def _converted(self, operation: Traced, inputs: list[Any]) -> bool:
        """Whether a convolution must first bring its pixels' channels side by side.

        A weight that is computed has its numbers in the plain order, and then the pixels stay so.
        """
        if not self.way.channels_last or operation.kind != "convolution" or inputs[1].storage >= 0:
            return False
        shape = inputs[0].shape
        return len(shape) == 4 and prod(shape[2:]) > 1 and not self._permuted(inputs[0])

    def _permuted(self, t: Any) -> bool:
        given = t.storage >= 0 and t.storage not in self._made  # the model's own input
        if given and self.way.channels_last and len(t.shape) == 4:
            return True
        return (t.storage, tuple(t.shape)) in self._strided

    def _free(self, operation: Traced, batched: bool) -> None:
        source = operation.inputs[0] if operation.inputs else None
        for t in operation.outputs:
            if t.storage not in self._batched:
                self._batched[t.storage] = batched
                self._width[t.storage] = 4 if source is None else self._bytes(source)
        if source is None or source.shape is None:
            return
        self._elements.setdefault(source.storage, prod(source.shape))
        strided = self._permuted(source)
        self._made.update(t.storage for t in operation.outputs)
        if torch_name(operation.name) in ("permute", "transpose"):
            strided = not strided
        if strided:
            self._strided.update((t.storage, tuple(t.shape)) for t in operation.outputs)

    def _fused(self, operation: Traced) -> bool:
        return self.way.fused_attention and has_fused_kernel(operation)

    def _depends(self, t: Any) -> bool:
        if isinstance(t, SampleTensor) and not t.batched:
            return False
        return bool(t.storage >= 0 and self._batched.get(t.storage, True))

    def _bytes(self, t: Any) -> int:
        return self._width.get(t.storage, 4) if t.storage >= 0 else 4

    def _cast(self, t: Any, before: int, after: int) -> Row:
        return moving("cast", t.shape, before + after, batched=self._depends(t))

    def _row(
        self,
        name: str,
        operation: Traced,
        inputs: list[Any],
        widths: list[int],
        width: int,
        *,
        batched: bool,
        strided: bool,
        traffic: Traffic | None,
    ) -> Row:
        shape = tuple(operation.outputs[0].shape)
        moved = fixed = largest = 0
        sliced = False
        for t, size in zip(inputs, widths, strict=True):
            own, depends = prod(t.shape), self._depends(t)
            behind = self._elements.get(t.storage, own)
            if depends:
                largest = max(largest, own)
                sliced = sliced or (own < behind and len(t.shape) > 1)
            if traffic is not None and t.storage in traffic.kept:
                continue
            # an expanded tensor is no larger than what lies behind it
            if depends:
                moved += min(own, behind) * size
            else:
                fixed += min(own, behind) * size
        outputs = sum(prod(t.shape) for t in operation.outputs[:1])
        largest = max(largest, outputs)
        work, rows, n, k, kernel, stride = products(operation, shape)
        if name == "attention_math":  # the scores are written, scaled, normalised and read again
            moved += 6 * rows * n * 4
        if traffic is not None:
            work = work or outputs
            if not traffic.written:
                width = 0
        if batched:
            moved += outputs * width
            fixed_work = 0
        else:
            fixed += outputs * width + moved
            moved, fixed_work, work = 0, work, 0
        attributes = operation.attributes
        if name == "reduction:nms" and "boxes" in attributes:
            fixed += PAIR_BYTES * int(attributes["boxes"]) ** 2
        if name == "resize" and self._by_planes(operation, strided=strided):
            work = PLANE_WORK * shape[1]
        inner = shape[-1] if shape else 1
        every = shape[1] if len(shape) == 4 else inner
        if strided and name in ("copy", "layer_norm"):
            name += "_strided"
        return Row(
            name,
            work=work,
            bytes=moved,
            fixed_work=fixed_work,
            fixed_bytes=fixed,
            rows=rows,
            n=n or every,
            k=k,
            kernel=kernel,
            stride=stride,
            inner=inner,
            elements=outputs if batched else 0,
            channels=every,
            strided=int(strided),
            sliced=int(sliced),
            m=int(attributes.get("m", attributes.get("queries", 0))),
            largest=largest if batched else 0,
        )

    def _by_planes(self, operation: Traced, *, strided: bool) -> bool:
        """Whether a resize has one thread a pixel of the result, which goes through all planes.

        So torch's kernels on a card do, for linear and cubic interpolation of maps whose channels
        lie apart: their time is that of batch times channels steps, not of the bytes.
        """
        told = f"{operation.name} {operation.attributes.get('mode', '')}"
        smooth = any(word in told for word in ("bilinear", "bicubic"))
        way = self.way
        return way.gpu and smooth and not (strided or way.channels_last or way.compiled)
