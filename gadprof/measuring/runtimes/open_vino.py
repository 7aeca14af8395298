"""OpenVINO on the CPU, from the same ONNX file as ONNX Runtime, in fp32 and for latency.

Inference precision is pinned to fp32: by itself OpenVINO would pick bfloat16 where the processor
has it, and be compared with eager's fp32 unfairly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gadprof.errors import MissingExtraError
from gadprof.measuring.runtimes import Prepared
from gadprof.measuring.runtimes.onnx_export import export

if TYPE_CHECKING:
    from gadprof.measuring.settings import Setting


def prepare(
    module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], setting: Setting
) -> Prepared:
    """Export, compile for the CPU with the setting's threads, and feed the same arrays."""
    try:
        import openvino
    except ImportError as error:
        raise MissingExtraError("openvino", "openvino", "the runtime openvino") from error

    exported = export(module, args, kwargs)
    core = openvino.Core()
    compiled = core.compile_model(
        core.read_model(exported.path),
        "CPU",
        {
            "INFERENCE_NUM_THREADS": setting.threads,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "CPU_DENORMALS_OPTIMIZATION": True,
        },
    )
    request = compiled.create_infer_request()
    feed = [exported.feed[port.get_any_name()] for port in compiled.inputs]

    def run() -> Any:
        results = request.infer(feed, share_inputs=True, share_outputs=True)
        return [results[port] for port in compiled.outputs]

    return Prepared(
        run, f"openvino {openvino.__version__.split('-')[0]}", closers=(exported.close,)
    )
