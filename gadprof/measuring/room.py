"""What a model that found no room on a card would have needed there, by its trace.

Promises words for an error's line, or "" where the trace cannot tell either.
"""

from __future__ import annotations

from gadprof.errors import GadprofError
from gadprof.measuring.settings import Setting


def room_needed(model: str, setting: Setting) -> str:
    """The predicted peak of a model string under a setting, as a clause."""
    from gadprof.counting.inputs import Input
    from gadprof.memory.peaks import predict_peaks
    from gadprof.memory.step import Format, step_of
    from gadprof.results.cells import bytes_text

    dtype: Format = "fp32"
    if setting.dtype != "fp32":
        dtype = "amp" if setting.amp else "bf16"  # fp16 and bf16 take the same bytes
    try:
        step = step_of(
            model,
            inputs=tuple(Input(shape) for shape in setting.input_shapes),
            train=setting.mode == "train",
            dtype=dtype,
        )
    except GadprofError:
        return ""
    peaks = predict_peaks(step, setting.batch, "none")
    return (
        f"by its trace it needs about {bytes_text(peaks.process_peak_bytes)} at batch "
        f"{setting.batch}"
    )
