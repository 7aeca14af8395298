"""Export paths that were written by their vendors' documentation and have not been run yet.

Core ML needs a Mac, QNN Qualcomm's own kit, TensorRT a card with its package. Each path ends in
the file that the vendor's runtime loads; nothing here checks it. Refuses a precision that the path
does not write, inputs by keyword where it takes none, and where a package is missing.
"""

from __future__ import annotations

from gadprof.errors import MissingExtraError, ModelFailedError, SettingError
from gadprof.measuring.runtimes.converted import Job, Made
from gadprof.measuring.runtimes.onnx_export import export_once

# target -> the precisions that its path writes
PRECISIONS = {"coreml": ("fp32",), "qnn": ("fp16",), "tensorrt-engine": ("fp32", "fp16")}


def convert(job: Job) -> Made:
    """Write the file of the setting's runtime.

    Raises SettingError, MissingExtraError, ModelFailedError.
    """
    runtime, able = job.setting.runtime, PRECISIONS[job.setting.runtime]
    if job.setting.dtype not in able:
        raise SettingError(
            f"{runtime} is exported in {' or '.join(able)} here, not in {job.setting.dtype}; "
            f"type --precision {able[0]}"
        )
    if job.kwargs and runtime != "tensorrt-engine":
        raise SettingError(
            f"{runtime} is exported with positional inputs here, and this model takes "
            f"{', '.join(job.kwargs)} by keyword; type --to onnx"
        )
    match runtime:
        case "coreml":
            return _coreml(job)
        case "qnn":
            return _qnn(job)
        case _:
            return _tensorrt(job)


def _coreml(job: Job) -> Made:
    import torch

    try:
        import coremltools
    except ImportError as error:
        raise MissingExtraError("coremltools", "coreml", "exporting to Core ML") from error
    traced = torch.jit.trace(job.module, job.args)  # type: ignore[no-untyped-call]
    shapes = [coremltools.TensorType(shape=value.shape) for value in job.args]
    made = coremltools.convert(traced, inputs=shapes, convert_to="neuralnetwork")
    path = job.path("model.mlmodel")
    made.save(path)
    return Made(path)


def _qnn(job: Job) -> Made:
    import torch

    try:
        from executorch.backends.qualcomm.serialization.qc_schema import QcomChipset
        from executorch.backends.qualcomm.utils.utils import (
            generate_htp_compiler_spec,
            generate_qnn_executorch_compiler_spec,
            to_edge_transform_and_lower_to_qnn,
        )
    except ImportError as error:
        raise MissingExtraError("Qualcomm's QNN kit", "executorch", "exporting to QNN") from error
    options = generate_htp_compiler_spec(use_fp16=True)
    spec = generate_qnn_executorch_compiler_spec(
        soc_model=QcomChipset.SM8650, backend_options=options
    )
    with torch.no_grad():
        lowered = to_edge_transform_and_lower_to_qnn(job.module, job.args, spec)
    path = job.path("model.pte")
    with open(path, "wb") as stream:
        lowered.to_executorch().write_to_file(stream)
    return Made(path)


def _tensorrt(job: Job) -> Made:
    try:
        import tensorrt
    except ImportError as error:
        raise MissingExtraError("tensorrt", "tensorrt", "exporting to TensorRT") from error
    exported = export_once(job)
    logger = tensorrt.Logger(tensorrt.Logger.ERROR)
    builder = tensorrt.Builder(logger)
    network = builder.create_network(0)
    parser = tensorrt.OnnxParser(network, logger)
    if not parser.parse_from_file(exported):
        raise ModelFailedError(f"TensorRT refused it: {parser.get_error(0)}")
    config = builder.create_builder_config()
    if job.setting.dtype == "fp16":
        config.set_flag(tensorrt.BuilderFlag.FP16)
    made = builder.build_serialized_network(network, config)
    if made is None:
        raise ModelFailedError("TensorRT built no engine")
    path = job.path("model.engine")
    with open(path, "wb") as stream:
        stream.write(made)
    return Made(path)
