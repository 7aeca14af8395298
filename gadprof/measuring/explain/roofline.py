"""The least time that a machine allows for given work: max(FLOPs / peak, bytes / bandwidth).

Promises: this machine's peaks are measured, by a matrix product and by a copy, with the dtype and
threads of the run; a named device's come from its data sheet and are marked so. The bound is a
bound: nothing is predicted. Refuses an unknown device and a precision that its sheet lacks.
(S. Williams, A. Waterman, D. Patterson, "Roofline", CACM 52, 2009.)
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from gadprof.errors import SettingError, UnknownNameError, nearest

if TYPE_CHECKING:
    from gadprof.measuring.settings import Setting


@dataclass(frozen=True)
class Peaks:
    """What a machine can do at best: ``measured`` here, or from a data sheet."""

    name: str
    flops_per_s: float
    bytes_per_s: float
    measured: bool
    source: str

    @property
    def ridge(self) -> float:
        """FLOPs a byte above which arithmetic, not memory, is the limit."""
        return self.flops_per_s / self.bytes_per_s

    def bound_s(self, flops: float, traffic_bytes: float) -> float:
        """The least seconds for this work."""
        return max(flops / self.flops_per_s, traffic_bytes / self.bytes_per_s)

    def limit(self, flops: float, traffic_bytes: float) -> str:
        """Which of the two makes the bound: ``arithmetic`` or ``memory``."""
        arithmetic = flops / self.flops_per_s >= traffic_bytes / self.bytes_per_s
        return "arithmetic" if arithmetic else "memory"


def sheets() -> dict[str, dict[str, Any]]:
    """All data sheets by short name; ``sources`` says against what each figure was checked."""
    text = resources.files("gadprof.measuring.explain").joinpath("devices.json").read_text("utf-8")
    devices: dict[str, dict[str, Any]] = json.loads(text)["devices"]
    return devices


def peaks_of_sheet(device: str, dtype: str) -> Peaks:
    """A named device's peaks. Raises UnknownNameError or SettingError."""
    known = sheets()
    key = device.lower().replace("_", "-").replace(" ", "")
    if key not in known:
        raise UnknownNameError(
            f"no data sheet of {device!r}"
            + (nearest(key, known) or f"; there are those of {', '.join(known)}")
        )
    sheet = known[key]
    rates, source = sheet["flops_per_s"], sheet["source"]
    if dtype not in rates:
        named = ", ".join(name for name in rates if name != "tf32")
        raise SettingError(f"{sheet['name']}'s sheet has no {dtype} rate; try {named}")
    rate = rates[dtype]
    if dtype == "fp32" and rates.get("tf32", 0.0) > rate:
        # torch lets cuDNN convolve fp32 tensors in TF32 unless told otherwise: the bound must hold
        rate, source = rates["tf32"], f"{source}; fp32 bounded by the TF32 rate"
    return Peaks(sheet["name"], rate, sheet["bytes_per_s"], False, source)


def best_rate(
    run: Callable[[], Any],
    amount: float,
    *,
    seconds: float,
    wait: Callable[[], Any] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """The highest ``amount`` a second over repetitions of ``run`` within ``seconds``."""
    run()
    wait()
    best = 0.0
    started = clock()
    while True:
        before = clock()
        run()
        wait()
        after = clock()
        best = max(best, amount / max(after - before, 1e-9))
        if after - started >= seconds:
            return best


def measure_peaks(setting: Setting, *, quick: bool = False) -> dict[str, Any]:
    """This machine's peaks under a setting, as the fields of ``Peaks``."""
    import torch

    torch.set_num_threads(setting.threads)
    dtype = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[setting.dtype]
    on_cuda = setting.device.startswith("cuda")
    wait: Callable[[], Any] = lambda: None  # noqa: E731
    if on_cuda:
        wait = torch.cuda.synchronize
    elif setting.device == "mps":
        wait = torch.mps.synchronize
    seconds = 0.3 if quick else 1.0
    if on_cuda and setting.dtype == "fp32":
        # the product may take the path that convolutions take, else it would be no bound for them
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32
    flops = 0.0
    for side in (512, 1024) if not on_cuda else (4096, 8192):
        with torch.inference_mode():
            left = torch.randn(side, side, device=setting.device).to(dtype)
            right = torch.randn(side, side, device=setting.device).to(dtype)
            out = torch.empty_like(left)

            def product(a: Any = left, b: Any = right, c: Any = out) -> None:
                torch.mm(a, b, out=c)

            flops = max(flops, best_rate(product, 2.0 * side**3, seconds=seconds, wait=wait))
    # four times what any last-level cache of a desktop holds; read once, written once
    count = (64 if quick else 128) * 2**20 // 4 * (8 if on_cuda else 1)
    source = torch.ones(count, dtype=torch.float32, device=setting.device)
    target = torch.empty_like(source)
    bandwidth = best_rate(
        lambda: target.copy_(source), 2.0 * source.nbytes, seconds=seconds, wait=wait
    )
    where = (
        torch.cuda.get_device_name(setting.device)
        if on_cuda
        else f"this machine's {setting.device}"
    )
    return asdict(
        Peaks(
            where,
            flops,
            bandwidth,
            True,
            f"measured: a matrix product and a copy, {setting.dtype}, {setting.threads} thread(s)",
        )
    )
