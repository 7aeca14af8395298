"""OpenVINO on the CPU, from the same ONNX file as ONNX Runtime, for latency.

Inference precision is pinned to the one asked for: by itself OpenVINO would pick bfloat16 where
the processor has it, and be compared with eager's fp32 unfairly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from gadprof.errors import MissingExtraError
from gadprof.measuring.runtimes.converted import Job, Made, Names, Started, check_installed, feed
from gadprof.measuring.runtimes.onnx_export import export_once

if TYPE_CHECKING:
    from gadprof.measuring.settings import Setting


def convert(job: Job) -> Made:
    """Export, and write OpenVINO's own two files; integers by NNCF, per channel.

    Raises MissingExtraError, ModelFailedError.
    """
    check_installed("openvino")
    import openvino

    exported = export_once(job)
    model = openvino.Core().read_model(exported)
    if job.setting.dtype == "int8":
        model = quantised(model, job)
    path = job.path("model.xml")
    openvino.save_model(model, path, compress_to_fp16=job.setting.dtype == "fp16")
    return Made(path, beside=(job.path("model.bin"),))


def quantised(model: Any, job: Job) -> Any:
    """The model with NNCF's integers, calibrated on the samples. Raises MissingExtraError.

    Ranges are the least and the greatest value over all samples: the mean of each sample's, which
    NNCF takes by default, cuts off what a few samples do not all have, such as a joint's peak.
    """
    try:
        import logging

        import nncf
        from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters
        from nncf.quantization.range_estimator import RangeEstimatorParametersSet
    except ImportError as error:
        raise MissingExtraError("nncf", "openvino", "integers for OpenVINO") from error
    logging.getLogger("nncf").setLevel(logging.ERROR)
    left = input_names(model)
    samples = [feed(job.names, sample, left) for sample in job.samples]
    return nncf.quantize(
        model,
        nncf.Dataset(samples),
        preset=nncf.QuantizationPreset.PERFORMANCE,
        subset_size=len(samples),
        advanced_parameters=AdvancedQuantizationParameters(
            activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX
        ),
    )


def input_names(model: Any) -> set[str]:
    """What the inputs are called that a model still has."""
    return {name for port in model.inputs for name in port.get_names()}


def start(path: str, names: Names, setting: Setting) -> Started:
    """The model compiled for the CPU with the setting's threads, fed the same arrays."""
    import openvino

    core = openvino.Core()
    compiled = core.compile_model(
        core.read_model(path),
        "CPU",
        {
            "INFERENCE_NUM_THREADS": setting.threads,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f16" if setting.dtype == "fp16" else "f32",
            "CPU_DENORMALS_OPTIMIZATION": True,
        },
    )
    request = compiled.create_infer_request()
    used = str(compiled.get_property("INFERENCE_PRECISION_HINT"))
    notes = () if setting.dtype != "fp16" or "float16" in used else (f"it computes in {used}",)

    left = input_names(compiled)

    def bind(sample: Sequence[Any]) -> Callable[[], Any]:
        fed = feed(names.inputs, sample, left)

        def run() -> list[Any]:
            results = request.infer(fed, share_inputs=True, share_outputs=True)
            return [results[port] for port in compiled.outputs]

        return run

    return Started(bind, f"openvino {openvino.__version__.split('-')[0]}", notes)
