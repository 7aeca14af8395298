"""How much memory a card has: by its name, or as a size.

The names are those of gadprof's data sheets; the sizes what NVIDIA's driver reports as total.
Refuses a name that is not known and a size that is none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gadprof.errors import UnknownNameError, nearest
from gadprof.memory.allocator import MIB

CARDS_MIB: Mapping[str, int] = {
    "rtx3080": 10240,
    "rtx3080-12g": 12288,
    "rtx3090": 24576,
    "rtx4090": 24564,
    "rtx5090": 32607,
    "v100": 16384,
    "t4": 15360,
    "a100": 40960,
    "h100": 81559,
    "h200": 143771,
}
_UNITS = {"gib": 1 << 30, "gb": 10**9, "g": 1 << 30, "mib": MIB, "mb": 10**6, "m": MIB}


def memory_of(device: str) -> int:
    """Bytes of ``rtx3090``, ``24GiB`` or ``24576MiB``. Raises UnknownNameError."""
    key = device.strip().lower().replace("_", "-").replace(" ", "")
    if key in CARDS_MIB:
        return CARDS_MIB[key] * MIB
    match = re.fullmatch(r"(\d+(?:\.\d*)?)(gib|gb|g|mib|mb|m)", key)
    size = int(float(match.group(1)) * _UNITS[match.group(2)]) if match else 0
    if size < MIB:
        raise UnknownNameError(
            f"no card {device!r}; give its memory, for example 24GiB"
            + (nearest(key, CARDS_MIB) or f", or one of {', '.join(CARDS_MIB)}")
        )
    return size
