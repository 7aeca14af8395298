"""What NVIDIA's management library knows of a card: clocks, temperature, power, throttling.

Promises: read-only. Refuses nothing: a sensor that a card lacks is None, and a machine without
nvidia-ml-py or driver gives no sensors at all, with the reason. ``card_state`` says in words who
else uses a card, and what a MIG slice of one cannot tell.
"""

from __future__ import annotations

import os
import sys
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
    number = int(device.partition(":")[2] or 0)
    torch = sys.modules.get("torch")
    try:
        if torch is None or not torch.cuda.is_initialized():
            return pynvml, _visible(pynvml, number)
        # by uuid: CUDA_VISIBLE_DEVICES renumbers the devices for torch, not for NVML
        uuid = str(torch.cuda.get_device_properties(device).uuid)
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
    except (AttributeError, AssertionError, RuntimeError):
        handle = pynvml.nvmlDeviceGetHandleByIndex(number)
    return pynvml, handle


def _visible(nvml: Any, number: int) -> Any:
    """The handle of torch's card ``number``, found without making a CUDA context on it."""
    chosen = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    name = chosen[number] if number < len(chosen) else ""
    if name.startswith(("GPU-", "MIG-")):
        return nvml.nvmlDeviceGetHandleByUUID(name)
    return nvml.nvmlDeviceGetHandleByIndex(int(name) if name.isdecimal() else number)


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


def card_state(
    device: str, opener: Callable[[str], tuple[Any, Any]] = open_device
) -> dict[str, Any]:
    """A card's driver, memory (bytes) and what others hold of it, with ``words`` for a person."""
    words: list[str] = []
    try:
        nvml, handle = opener(device)
    except Exception as error:
        word = (
            f"the card's sensors are out of reach ({type(error).__name__}: {error}): who else uses "
            "it, its clock and its temperature are not known"
        )
        return {"words": [word]}

    def ask(question: Callable[[], Any]) -> Any:
        try:
            return question()
        except Exception:
            return None

    memory = ask(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
    running = ask(lambda: nvml.nvmlDeviceGetComputeRunningProcesses(handle)) or []
    others = [one for one in running if one.pid != os.getpid()]
    held = sum(int(one.usedGpuMemory or 0) for one in others)
    mode = ask(lambda: nvml.nvmlDeviceGetMigMode(handle))
    mig = bool(mode and mode[0])
    total = int(memory.total) if memory else None
    if others:
        of = f" of {total / 2**30:.1f}" if total else ""
        known = f"{held / 2**30:.1f}{of} GiB" if held else "memory that is not told"
        words.append(
            f"the card is in use by {len(others)} other process{'es' * (len(others) > 1)}, which "
            f"hold{'s' * (len(others) == 1)} {known}: times and free memory are theirs as well"
        )
    if mig:
        words.append(
            "the card is split (MIG): this is a slice, and clocks, power and energy are of the "
            "whole card"
        )
    driver = ask(lambda: nvml.nvmlSystemGetDriverVersion())
    return {
        "driver": driver.decode() if isinstance(driver, bytes) else driver,
        "total_bytes": total,
        "free_bytes": int(memory.free) if memory else None,
        "others": len(others),
        "others_bytes": held,
        "mig": mig,
        "words": words,
    }
