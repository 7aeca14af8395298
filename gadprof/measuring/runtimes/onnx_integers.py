"""An ONNX file in integers or halves, by ONNX Runtime's own quantiser.

Integers are static, per output channel, weights signed and activations unsigned (what x86's and
ARM's integer products take), written as pairs of QuantizeLinear and DequantizeLinear that any
runtime reads. Refuses what the quantiser refuses, in its words.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from gadprof.errors import MissingExtraError, ModelFailedError
from gadprof.measuring.runtimes.converted import Job, feed


def quantise(exported: str, job: Job) -> str:
    """Write ``model-int8.onnx`` beside the file, calibrated on the job's samples; its path.

    Raises ModelFailedError, MissingExtraError.
    """
    try:
        import onnx
        from onnxruntime import quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise MissingExtraError("onnx", "onnx", "integers for ONNX Runtime") from error

    held = onnx.load(exported, load_external_data=False).graph
    left = {item.name for item in held.input}

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.samples: Iterator[Any] = iter(job.samples)

        def get_next(self) -> Any:
            sample = next(self.samples, None)
            return None if sample is None else feed(job.names, sample, left)

    prepared, path = job.path("model-prepared.onnx"), job.path("model-int8.onnx")
    try:
        quant_pre_process(exported, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared,
            path,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
    except Exception as error:
        raise ModelFailedError(
            f"ONNX Runtime's quantiser refused it: {type(error).__name__}: {str(error)[:200]}"
        ) from error
    finally:
        if os.path.exists(prepared):
            os.unlink(prepared)
    return path


def halve(exported: str, job: Job) -> str:
    """Write ``model-fp16.onnx`` with fp32 inputs and outputs; its path. Raises ModelFailedError."""
    try:
        import onnx
        from onnxruntime.transformers.float16 import convert_float_to_float16
    except ImportError as error:
        raise MissingExtraError("onnx", "onnx", "halves for ONNX Runtime") from error
    path = job.path("model-fp16.onnx")
    try:
        model = convert_float_to_float16(onnx.load(exported), keep_io_types=True)
        onnx.save(model, path)
    except Exception as error:
        raise ModelFailedError(
            f"ONNX Runtime's converter to fp16 refused it: {type(error).__name__}: "
            f"{str(error)[:200]}"
        ) from error
    return path
