"""What one step of a model allocates and frees, in order, at any batch.

``observe`` traces a module once on the meta device at a batch that is a large prime, so that a
storage whose size divides by it grows with the batch and any other does not. Promises the
lifetimes that autograd gives: saved tensors, gradients, buffers in place. A model that cannot run
on meta, or whose shapes do not follow the batch, is refused by the trace itself. Not seen: what
kernels allocate within themselves; ``workspaces`` has that of convolutions.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from gadprof.errors import ModelFailedError

if TYPE_CHECKING:
    from torch import nn

Format = Literal["fp32", "amp", "bf16"]
FORMATS: tuple[Format, ...] = ("fp32", "amp", "bf16")

PROBE_BATCH = 1009  # a prime that is no width of a network
BIRTH, DEATH, CONVOLUTION = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution, forward or backward, as far as its workspace depends on it.

    ``sample_bytes`` is of one sample's input and output together.
    """

    backward: bool
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    groups: int
    c_in: int
    sample_bytes: int

    @property
    def depthwise(self) -> bool:
        """Whether torch's own kernel runs it, without a workspace."""
        return self.groups > 1 and self.groups == self.c_in and len(self.kernel) == 2


@dataclass(frozen=True)
class Step:
    """A forward pass, or a training step without the optimiser, as the allocator sees it.

    ``events`` are (kind, number, bytes, bytes a sample) in order: a storage's birth, its death, or
    a convolution by its index in ``convolutions``. ``weights`` and ``buffers`` are the sizes in
    bytes of what is resident; ``decayed`` says of each weight whether it has two dimensions or
    more; ``input_bytes`` is one sample's input, which is among the births. ``defined_in`` is the
    Python module of the model's class.
    """

    model: str
    train: bool
    dtype: Format
    weights: tuple[int, ...]
    decayed: tuple[bool, ...]
    trainable: tuple[bool, ...]
    buffers: tuple[int, ...]
    input_bytes: int
    events: tuple[tuple[int, int, int, int], ...]
    convolutions: tuple[Convolution, ...]
    defined_in: str


def observe(
    module: nn.Module,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    train: bool,
    dtype: Format = "fp32",
    name: str = "",
) -> Step:
    """Trace one step of a module that was called with ``PROBE_BATCH`` samples.

    Raises ModelFailedError or NeedsValuesError.
    """
    from gadprof.counting.count import count

    with _formats(dtype):
        trace = count(module, args, kwargs, train=train, fast=False, fallback=False, name=name)
    events: list[tuple[int, int, int, int]] = []
    convolutions: dict[Any, int] = {}
    changes = trace.storage_changes
    place = 0
    for index, operation in enumerate(trace.operations):
        while place < len(changes) and changes[place][0] <= index:
            _, number, size = changes[place]
            fixed, sample = _by_batch(abs(size))
            events.append((BIRTH if size >= 0 else DEATH, number, fixed, sample))
            place += 1
        if operation.kind == "convolution" and operation.outputs:
            found = _convolution(operation)
            key = convolutions.setdefault(found, len(convolutions))
            events.append((CONVOLUTION, key, 0, 0))
    if not any(event[3] for event in events):
        raise ModelFailedError(f"{name}: no tensor of it grows with the batch; give --input")
    parameters = list(module.parameters())
    inputs = [value for value in [*args, *kwargs.values()] if hasattr(value, "element_size")]
    return Step(
        model=name,
        train=train,
        dtype=dtype,
        weights=tuple(p.numel() * p.element_size() for p in parameters),
        decayed=tuple(p.dim() > 1 for p in parameters),
        trainable=tuple(bool(p.requires_grad) for p in parameters),
        buffers=tuple(b.numel() * b.element_size() for b in module.buffers()),
        input_bytes=sum(v.numel() * v.element_size() for v in inputs) // PROBE_BATCH,
        events=tuple(events),
        convolutions=tuple(convolutions),
        defined_in=type(module).__module__,
    )


def _by_batch(size: int) -> tuple[int, int]:
    """Bytes that every batch takes, and bytes that each sample adds."""
    return (0, size // PROBE_BATCH) if size % PROBE_BATCH == 0 else (size, 0)


def _convolution(operation: Any) -> Convolution:
    backward = operation.phase == "backward"
    first = operation.inputs[0]
    other = operation.inputs[1] if backward else operation.outputs[0]
    found = operation.attributes
    return Convolution(
        backward=backward,
        kernel=tuple(found["kernel"]),
        stride=tuple(found["stride"]),
        groups=int(found["groups"]),
        c_in=int(found["c_in"]),
        sample_bytes=sum(_by_batch(tensor.nbytes)[1] for tensor in (first, other)),
    )


@contextlib.contextmanager
def _formats(dtype: Format) -> Iterator[None]:
    import torch

    from gadprof.memory.as_on_cuda import Autocast, FusedAttention

    with contextlib.ExitStack() as stack:
        stack.enter_context(FusedAttention())
        if dtype == "amp":
            stack.enter_context(Autocast(torch.float16))
        yield


def step_of(
    model: str,
    *,
    inputs: tuple[Any, ...] = (),
    train: bool = False,
    dtype: Format = "fp32",
    timeout_s: float = 300.0,
    memory_limit_bytes: int | None = None,
) -> Step:
    """The step of a model string, traced in a process of its own where it is not gadprof's.

    Raises what ``sources`` raises, ModelFailedError, or SpecError for an ONNX file.
    """
    from gadprof.errors import SpecError
    from gadprof.models.sources import resolve

    source = resolve(model)
    if source.kind == "onnx":
        raise SpecError(
            f"{model} is a file without torch's allocations; CUDA memory is told of a module"
        )
    request = {"model": model, "inputs": inputs, "train": train, "dtype": dtype}
    if source.spec is not None:
        return answer(request)
    from gadprof.models.guarded import call_guarded

    bounds: Any = {"timeout_s": timeout_s, "memory_limit_bytes": memory_limit_bytes}
    return call_guarded(f"{__name__}:answer", Step, request, **bounds)


def answer(request: Mapping[str, Any]) -> Step:
    """Build the model of a request on the meta device and observe it."""
    import torch

    from gadprof.counting.inputs import Input
    from gadprof.models.counting import load_without_values
    from gadprof.results.rebuild import from_plain

    inputs = tuple(
        item if isinstance(item, Input) else from_plain(Input, item) for item in request["inputs"]
    )
    loaded = load_without_values(request["model"], inputs=inputs, batch=PROBE_BATCH)
    module, args, kwargs = loaded.module, loaded.args, loaded.kwargs
    if request["dtype"] == "bf16":
        module = module.to(torch.bfloat16)

        def narrow(value: Any) -> Any:
            floating = isinstance(value, torch.Tensor) and value.is_floating_point()
            return value.to(torch.bfloat16) if floating else value

        args = tuple(narrow(value) for value in args)
        kwargs = {key: narrow(value) for key, value in kwargs.items()}
    return observe(
        module,
        args,
        kwargs,
        train=bool(request["train"]),
        dtype=request["dtype"],
        name=request["model"],
    )
