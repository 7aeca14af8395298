"""ExecuTorch with its XNNPACK backend, from an exported program.

Promises: ``threads`` threads; what XNNPACK does not take is run by ExecuTorch's portable kernels,
and a note says which operations those are. Integers by XNNPACK's own quantiser: symmetric, static,
per channel. Refuses an operation that ExecuTorch has no kernel for, by its name.
"""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from gadprof.errors import MissingExtraError, ModelFailedError
from gadprof.measuring.runtimes.converted import Job, Made, Names, Started, call_on

if TYPE_CHECKING:
    from gadprof.measuring.settings import Setting


def convert(job: Job) -> Made:
    """Export, quantise where asked, lower to XNNPACK and write ``model.pte``.

    Raises MissingExtraError, ModelFailedError.
    """
    import torch

    try:
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower
    except ImportError as error:
        raise MissingExtraError("executorch", "executorch", "converting to ExecuTorch") from error
    logging.getLogger("executorch").setLevel(logging.ERROR)
    module, args, kwargs = job.module, job.args, job.kwargs
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            if job.setting.dtype == "fp16":
                import copy

                module = Halved(copy.deepcopy(module))
            program = torch.export.export(module, args, kwargs)
            if job.setting.dtype == "int8":
                program = torch.export.export(quantised(program.module(), job), args, kwargs)
            lowered = to_edge_transform_and_lower(
                program,
                partitioner=[XnnpackPartitioner()],
                compile_config=EdgeCompileConfig(_check_ir_validity=False),
            )
            left = portable(lowered.exported_program().graph)
            written = lowered.to_executorch()
        except Exception as error:
            first = next((line for line in str(error).splitlines() if line.strip()), "")
            raise ModelFailedError(
                f"ExecuTorch refused it: {type(error).__name__}: {first[:200]}"
            ) from error
    path = job.path("model.pte")
    with open(path, "wb") as stream:
        written.write_to_file(stream)
    notes: tuple[str, ...] = ()
    if left:
        listed = ", ".join(f"{name} x{count}" for name, count in sorted(left.items()))
        notes = (f"outside XNNPACK, in portable kernels: {listed}",)
    return Made(path, notes)


def Halved(module: Any) -> Any:  # noqa: N802  (a class made late, since torch is)
    """A module computed in half precision between fp32 inputs and outputs."""
    import torch
    from torch.utils import _pytree as pytree

    def to(dtype: Any) -> Callable[[Any], Any]:
        return lambda value: value.to(dtype) if value.is_floating_point() else value

    class Half(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module.half()

        def forward(self, *args: Any, **kwargs: Any) -> Any:
            given = pytree.tree_map_only(torch.Tensor, to(torch.float16), (args, kwargs))
            return pytree.tree_map_only(
                torch.Tensor, to(torch.float32), self.inner(*given[0], **given[1])
            )

    return Half().eval()


def quantised(module: Any, job: Job) -> Any:
    """The exported module with XNNPACK's integers, calibrated on the samples."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    quantiser = XNNPACKQuantizer()
    quantiser.set_global(get_symmetric_quantization_config(is_per_channel=True))
    prepared = prepare_pt2e(module, quantiser)
    for sample in job.samples:
        call_on(prepared, job.args, job.kwargs, sample)
    return convert_pt2e(prepared)


def portable(graph: Any) -> Counter[str]:
    """The operations of a lowered graph that stay outside the delegate, by their names."""
    names = Counter[str]()
    for node in graph.nodes:
        if node.op != "call_function":
            continue
        name = str(getattr(node.target, "__name__", node.target)).split(".")[0]
        if name not in ("executorch_call_delegate", "getitem", "alloc"):
            names[name] += 1
    return names


def start(path: str, names: Names, setting: Setting) -> Started:
    """The program loaded, with a thread pool of the setting's size. Raises ModelFailedError."""
    import torch
    from executorch.extension.pybindings import portable_lib

    portable_lib._unsafe_reset_threadpool(setting.threads)
    try:
        program = portable_lib._load_for_executorch(path)
    except RuntimeError as error:
        raise ModelFailedError(f"ExecuTorch cannot load the file: {str(error)[:200]}") from error

    def bind(sample: Sequence[Any]) -> Callable[[], Any]:
        values = [torch.as_tensor(value) for value in sample]
        return lambda: program.forward(values)

    from importlib.metadata import version

    return Started(bind, f"executorch {version('executorch')} (XNNPACK)")
