"""LiteRT (formerly TensorFlow Lite) with its XNNPACK delegate, from a torch module.

Promises: ``threads`` threads; conversion by ``litert-torch``, straight from torch's exported
program, integers by ``ai-edge-quantizer``: static, per channel, calibrated on the samples. Refuses
an operation that the converter cannot lower, by its name.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import warnings
from collections.abc import Callable, Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gadprof.errors import MissingExtraError, ModelFailedError
from gadprof.measuring.runtimes.converted import Job, Made, Names, Started, numbered

if TYPE_CHECKING:
    from gadprof.measuring.settings import Setting

SIGNATURE = "serving_default"
# a range under NOTHING is of a map that is zero; how far the ranges reach that XNNPACK takes
NOTHING, ZERO_REACH, SIGMOID_REACH = 1e-6, 1e-3, 1e-2


def convert(job: Job) -> Made:
    """Convert to a file in fp32, and that to integers or halves where asked.

    Raises MissingExtraError, ModelFailedError.
    """
    whole = export_once(job)
    path = job.path(f"model-{job.setting.dtype}.tflite")
    if job.setting.dtype == "fp32":
        shutil.copyfile(whole, path)
    else:
        requantise(whole, path, job)
    return Made(path)


def export_once(job: Job) -> str:
    """The path of a model's file in fp32, of which the others are made.

    An earlier job of the same model left it, or it is written. Raises MissingExtraError,
    ModelFailedError.
    """
    from importlib.metadata import version

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import litert_torch
    except ImportError as error:
        raise MissingExtraError("litert-torch", "litert", "converting to LiteRT") from error
    name = f"model-{version('litert-torch')}.tflite"
    path = os.path.join(job.shared or job.folder, name)
    if os.path.exists(path):
        return path
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            made = litert_torch.convert(
                job.module, job.args or None, sample_kwargs=job.kwargs or None
            )
            made.export(job.path(name))
        except Exception as error:
            raise ModelFailedError(refusal(error)) from error
    if job.shared is not None:
        os.makedirs(job.shared, exist_ok=True)
        os.replace(job.path(name), path)
    return path


def refusal(error: Exception) -> str:
    """The converter's reason in one line, with the operation where it names one."""
    text = " ".join(str(error).split())
    named = re.search(r"(aten\.\w+(?:\.\w+)?|tfl\.\w+|stablehlo\.\w+)", text)
    which = f" at {named[1]}" if named else ""
    return f"LiteRT's converter refused it{which}: {type(error).__name__}: {text[:160]}"


def requantise(path: str, target: str, job: Job) -> None:
    """Write a file in fp32 again in integers or halves.

    Raises MissingExtraError, ModelFailedError.
    """
    try:
        from ai_edge_quantizer import quantizer, recipe
    except ImportError as error:
        raise MissingExtraError("ai-edge-quantizer", "litert", "integers for LiteRT") from error
    made = quantizer.Quantizer(path)
    try:
        if job.setting.dtype == "int8":
            made.load_quantization_recipe(recipe.static_wi8_ai8())
            # inputs and outputs stay fp32, as in every other runtime
            for end in ("INPUT", "OUTPUT"):
                made.update_quantization_recipe(
                    regex=".*",
                    operation_name=quantizer.qtyping.TFLOperationName[end],
                    algorithm_key=recipe.AlgorithmName.NO_QUANTIZE,
                )
            names = [argument(name) for name in job.names]
            # the quantiser's own way through many samples ends near the first one's ranges
            each = [
                made.calibrate(
                    {SIGNATURE: [dict(zip(names, sample, strict=True))]},
                    num_threads=job.setting.threads,
                )
                for sample in job.samples
            ]
            result = made.quantize(wide_enough(joined(each), sigmoid_inputs(path)))
        else:
            made.update_quantization_recipe(
                regex=".*",
                operation_name=quantizer.qtyping.TFLOperationName.ALL_SUPPORTED,
                op_config=quantizer.qtyping.OpQuantizationConfig(
                    weight_tensor_config=quantizer.qtyping.TensorQuantizationConfig(
                        num_bits=16, dtype=quantizer.qtyping.TensorDataType.FLOAT
                    ),
                    compute_precision=quantizer.qtyping.ComputePrecision.FLOAT,
                    explicit_dequantize=True,
                ),
                algorithm_key=recipe.AlgorithmName.FLOAT_CASTING,
            )
            result = made.quantize()
        result.export_model(target, overwrite=True)
    except Exception as error:
        raise ModelFailedError(
            f"LiteRT's quantiser refused it: {type(error).__name__}: {str(error)[:200]}"
        ) from error


def joined(each: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The range of every map over all samples, of which ``each`` has one's."""
    import numpy

    found = dict(each[0])
    for one in each[1:]:
        for name, ends in one.items():
            so_far = found[name]
            found[name] = {
                **ends,
                "min": numpy.minimum(so_far["min"], ends["min"]),
                "max": numpy.maximum(so_far["max"], ends["max"]),
            }
    return found


def wide_enough(ranges: Mapping[str, Any], sigmoids: Container[str]) -> dict[str, Any]:
    """The calibrated ranges, none so narrow that XNNPACK has no integers for it.

    A map that was zero on every sample gets a range of its own, and what a sigmoid or tanh reads at
    least the range in which its answer moves by a step of eight bits.
    """
    found = dict(ranges)
    for name, ends in ranges.items():
        reach = max(abs(float(ends[end].min())) for end in ("min", "max"))
        least = SIGMOID_REACH if name in sigmoids else ZERO_REACH if reach < NOTHING else 0.0
        if reach < least:
            found[name] = {**ends, "min": 0 * ends["min"] - least, "max": 0 * ends["max"] + least}
    return found


def sigmoid_inputs(path: str) -> frozenset[str]:
    """The names of what a file's sigmoids and tanhs read."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    held = Interpreter(
        path, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    names = {tensor["index"]: tensor["name"] for tensor in held.get_tensor_details()}
    return frozenset(
        names[operation["inputs"][0]]
        for operation in held._get_ops_details()
        if operation["op_name"] in ("LOGISTIC", "TANH")
    )


def argument(name: str) -> str:
    """What a signature calls an input: ``args_0`` for the first, a keyword by its own name."""
    return re.sub(r"^input_(\d+)$", r"args_\1", name)


def start(path: str, names: Names, setting: Setting) -> Started:
    """An interpreter whose input tensors are filled anew for each sample."""
    from importlib.metadata import version

    from ai_edge_litert.interpreter import Interpreter

    try:
        held = Interpreter(path, num_threads=setting.threads)
        held.allocate_tensors()
        runner = held.get_signature_runner(SIGNATURE)
    except (RuntimeError, ValueError) as error:
        told = re.sub(r"(.{12,}?)\1+", r"\1; ", " ".join(str(error).split()))
        raise ModelFailedError(f"LiteRT cannot load the file: {told[:200]}") from error
    found, made = runner.get_input_details(), runner.get_output_details()
    inputs = [found[argument(name)]["index"] for name in names.inputs]
    outputs = [made[name]["index"] for name in numbered(made)]

    def bind(sample: Sequence[Any]) -> Callable[[], Any]:
        def run() -> list[Any]:
            for index, value in zip(inputs, sample, strict=True):
                held.set_tensor(index, value)
            held.invoke()
            return [held.get_tensor(index) for index in outputs]

        return run

    return Started(bind, f"LiteRT {version('ai-edge-litert')} (XNNPACK)")
