"""What NVIDIA's management library knows of a card: clocks, temperature, power, throttling.

Promises: read-only. Refuses nothing: a sensor that a card lacks is None, and a machine without
nvidia-ml-py or driver gives no sensors at all, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# NVML's clocks-event reasons that mean a slower card, as bits of one mask (nvml.h)
SLOWDOWN_REASONS: dict[int, str] = {
    0x0004: "software power cap",
    0x0008: "hardware slowdown",
    0x0020: "software thermal slowdown",
    0x0040: "hardware thermal slowdown",
    0x0080: "hardware power brake",
}


def open_device(device: str) -> tuple[Any, Any]:
    """The pynvml module and the handle of ``cuda[:i]``. Raises ImportError or its NVMLError."""
    import pynvml

    pynvml.nvmlInit()
    try:
        import torch

        # by uuid: CUDA_VISIBLE_DEVICES renumbers the devices for torch, not for NVML
        uuid = str(torch.cuda.get_device_properties(device).uuid)
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
    except (ImportError, AttributeError, AssertionError, RuntimeError):
        handle = pynvml.nvmlDeviceGetHandleByIndex(int(device.partition(":")[2] or 0))
    return pynvml, handle


def read_sensors(
    device: str, opener: Callable[[str], tuple[Any, Any]] = open_device
) -> dict[str, Any] | None:
    """Clocks (Hz), temperature (degrees Celsius), power (W) and slowdown reasons, or None."""
    if not device.startswith("cuda"):
        return None
    try:
        nvml, handle = opener(device)
    except Exception as error:
        return {"unavailable": f"{type(error).__name__}: {error}"}

    def ask(question: Callable[[], Any], scale: float = 1.0) -> float | None:
        try:
            return float(question()) * scale
        except Exception:
            return None

    mask = ask(lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))
    return {
        "sm_clock_hz": ask(lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM), 1e6),
        "memory_clock_hz": ask(
            lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM), 1e6
        ),
        "temperature_c": ask(
            lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)
        ),
        "power_w": ask(lambda: nvml.nvmlDeviceGetPowerUsage(handle), 1e-3),
        "slowdowns": [word for bit, word in SLOWDOWN_REASONS.items() if int(mask or 0) & bit],
    }
