"""The records that every part of gadprof exchanges: plain, frozen, with JSON in and out.

Base units inside (seconds, bytes, operations); only renderers scale. This module imports neither
torch nor numpy.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Machine:
    """Where a figure came from: processor, memory, operating system and versions."""

    cpu: str
    cores: int
    memory_bytes: int | None
    system: str
    python: str
    packages: dict[str, str]
    accelerators: tuple[str, ...] = ()


MACHINE_PACKAGES = (
    "gadprof",
    "torch",
    "fvcore",
    "ultralytics-thop",
    "thop",
    "ptflops",
    "torchvision",
    "timm",
)


def describe_machine(packages: tuple[str, ...] = MACHINE_PACKAGES) -> Machine:
    """Describe this machine without importing any heavy package."""
    import os
    import platform

    return Machine(
        cpu=_cpu_name(),
        cores=os.cpu_count() or 1,
        memory_bytes=_memory_bytes(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        packages={name: version for name in packages if (version := package_version(name))},
    )


def package_version(distribution: str) -> str | None:
    """The installed version of a distribution, or None."""
    from importlib import metadata

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _cpu_name() -> str:
    import platform

    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            for line in stream:
                if line.startswith(("model name", "Model")):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_bytes() -> int | None:
    import os

    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def to_plain(value: Any) -> Any:
    """Dataclasses, tuples and mappings as JSON-ready values; NaN and infinity become None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, dict):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if isinstance(value, bool) or value is None or isinstance(value, (int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "item"):
        return to_plain(value.item())
    return str(value)


def to_json(payload: Any) -> str:
    """One JSON document with the schema version first; exact integers, no NaN."""
    plain = to_plain(payload)
    if isinstance(plain, dict):
        plain = {"schema_version": SCHEMA_VERSION, **plain}
    return json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
