"""ONNX Runtime: its CPU provider, its CUDA provider, or TensorRT through it where that exists.

Promises: ``threads`` threads inside an operation and one between operations, as torch has; no
spinning threads between runs, which would slow the other models' turns. Refuses a provider that
this build lacks, since ONNX Runtime itself would fall back to the CPU without an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from gadprof.errors import ModelFailedError, SettingError
from gadprof.measuring.runtimes.converted import Job, Made, Names, Started, check_installed, feed
from gadprof.measuring.runtimes.onnx_export import export_once

if TYPE_CHECKING:
    from gadprof.measuring.settings import Setting


def providers(setting: Setting, available: list[str]) -> list[Any]:
    """The providers to ask for, first choice first. Raises SettingError."""
    index = int(setting.device.partition(":")[2] or 0)
    cuda = ("CUDAExecutionProvider", {"device_id": index})
    cpu = "CPUExecutionProvider"
    if setting.runtime == "tensorrt":
        wanted: list[Any] = [("TensorrtExecutionProvider", {"device_id": index}), cuda, cpu]
    elif setting.device.startswith("cuda"):
        wanted = [cuda, cpu]
    else:
        wanted = [cpu]
    first = provider_name(wanted[0])
    if first not in available:
        raise SettingError(
            f"this ONNX Runtime has no {first} (it has {', '.join(available)}); "
            "type: pip install onnxruntime-gpu"
        )
    return wanted


def provider_name(wanted: Any) -> str:
    """The name of a provider that may be asked for with options."""
    return str(wanted if isinstance(wanted, str) else wanted[0])


def check_used(wanted: list[Any], used: list[str]) -> None:
    """Refuse a session that fell back to a slower provider without a word.

    Raises ModelFailedError.
    """
    first = provider_name(wanted[0])
    if first not in used:
        raise ModelFailedError(
            f"ONNX Runtime could not start {first} and fell back to {', '.join(used)}; see that "
            "the versions of its CUDA, cuDNN and TensorRT are installed"
        )


def convert(job: Job) -> Made:
    """Export to ``model.onnx``, in the precision asked for; a graph that is a file is taken as it
    is in fp32.

    Raises MissingExtraError, ModelFailedError, SettingError.
    """
    check_installed("onnxruntime")
    import onnxruntime

    providers(job.setting, list(onnxruntime.get_available_providers()))
    exported = export_once(job)
    if job.setting.dtype == "int8":
        from gadprof.measuring.runtimes.onnx_integers import quantise

        return Made(quantise(exported, job))
    if job.setting.dtype == "fp16":
        from gadprof.measuring.runtimes.onnx_integers import halve

        return Made(halve(exported, job))
    return Made(exported)


def start(path: str, names: Names, setting: Setting) -> Started:
    """A session that is fed the same arrays each time. Raises SettingError, ModelFailedError."""
    import onnxruntime

    wanted = providers(setting, list(onnxruntime.get_available_providers()))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = setting.threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=wanted)
    left = {item.name for item in session.get_inputs()}
    used = list(session.get_providers())
    check_used(wanted, used)
    notes = [f"providers: {', '.join(used)}"]
    if setting.device.startswith("cuda"):
        notes.append("every sample copies inputs to the card and outputs back, unlike eager's")

    def bind(sample: Sequence[Any]) -> Callable[[], Any]:
        fed = feed(names.inputs, sample, left)
        return lambda: session.run(None, fed)

    return Started(bind, f"onnxruntime {onnxruntime.__version__}", tuple(notes))
