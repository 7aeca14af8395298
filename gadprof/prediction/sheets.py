"""What data sheets say of cards: peak rates and bandwidth, by the names that ``predict`` takes.

Promises figures that follow from units, clock and bus as the makers print them: dense operations a
second, half precision with single-precision accumulation. A card whose sheet is held to a source
figure by figure (``explain``'s roofline) has that one's. Radeon cards of RDNA 3 count one
instruction a lane and clock; that some pairs are issued at once is left to what cards reach.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class Sheet:
    """Peaks of a card: operations a second in fp32 and fp16, bytes a second; its maker.

    The rates hold at ``clock_mhz``; ``watts`` is the board's power limit, 0 where it has none of
    its own. ``tensor`` is whether convolutions under amp run on tensor cores as the cards do that
    were measured so.
    """

    name: str
    maker: str
    fp32: float
    fp16: float
    bytes_per_s: float
    tensor: bool
    source: str
    clock_mhz: float
    watts: float

    @property
    def peaks(self) -> tuple[float, float]:
        """Operations a second in half precision, and bytes a second."""
        return self.fp16, self.bytes_per_s

    def rate(self, dtype: str) -> float:
        """Operations a second in a number format."""
        return self.fp32 if dtype == "fp32" else self.fp16


# lanes, boost GHz, fp16 operations for each of fp32, bus in bits, Gbit/s a line, watts of the board
# (0: it shares a processor's)
UNITS: dict[str, tuple[str, int, float, float, int, float, int]] = {
    "gtx1060": ("NVIDIA GeForce GTX 1060 6 GB", 1280, 1.708, 1, 192, 8, 120),
    "gtx1070": ("NVIDIA GeForce GTX 1070", 1920, 1.683, 1, 256, 8, 150),
    "gtx1080": ("NVIDIA GeForce GTX 1080", 2560, 1.733, 1, 256, 10, 180),
    "gtx1080ti": ("NVIDIA GeForce GTX 1080 Ti", 3584, 1.582, 1, 352, 11, 250),
    "titan-x": ("NVIDIA Titan X (Pascal)", 3584, 1.531, 1, 384, 10, 250),
    "titan-xp": ("NVIDIA Titan Xp", 3840, 1.582, 1, 384, 11.4, 250),
    "titan-v": ("NVIDIA Titan V", 5120, 1.455, 8, 3072, 1.7, 250),
    "gtx1650": ("NVIDIA GeForce GTX 1650", 896, 1.665, 2, 128, 8, 75),
    "gtx1660ti": ("NVIDIA GeForce GTX 1660 Ti", 1536, 1.77, 2, 192, 12, 120),
    "rtx2060": ("NVIDIA GeForce RTX 2060", 1920, 1.68, 4, 192, 14, 160),
    "rtx2060-maxq": ("NVIDIA GeForce RTX 2060 Max-Q", 1920, 1.185, 4, 192, 11, 65),
    "rtx2070": ("NVIDIA GeForce RTX 2070", 2304, 1.62, 4, 256, 14, 175),
    "rtx2080": ("NVIDIA GeForce RTX 2080", 2944, 1.71, 4, 256, 14, 215),
    "rtx2080ti": ("NVIDIA GeForce RTX 2080 Ti", 4352, 1.545, 4, 352, 14, 250),
    "titan-rtx": ("NVIDIA Titan RTX", 4608, 1.77, 8, 384, 14, 280),
    "rtx3060": ("NVIDIA GeForce RTX 3060 12 GB", 3584, 1.777, 2, 192, 15, 170),
    "rtx3060ti": ("NVIDIA GeForce RTX 3060 Ti", 4864, 1.665, 2, 256, 14, 200),
    "rtx3070": ("NVIDIA GeForce RTX 3070", 5888, 1.725, 2, 256, 14, 220),
    "rtx3080ti": ("NVIDIA GeForce RTX 3080 Ti", 10240, 1.665, 2, 384, 19, 350),
    "rtx3090ti": ("NVIDIA GeForce RTX 3090 Ti", 10752, 1.86, 2, 384, 21, 450),
    "rtx4060": ("NVIDIA GeForce RTX 4060", 3072, 2.46, 2, 128, 17, 115),
    "rtx4070": ("NVIDIA GeForce RTX 4070", 5888, 2.475, 2, 192, 21, 200),
    "rtx4070ti": ("NVIDIA GeForce RTX 4070 Ti", 7680, 2.61, 2, 192, 21, 285),
    "rtx4080": ("NVIDIA GeForce RTX 4080", 9728, 2.505, 2, 256, 22.4, 320),
    "rtx5070": ("NVIDIA GeForce RTX 5070", 6144, 2.512, 2, 192, 28, 250),
    "rtx5080": ("NVIDIA GeForce RTX 5080", 10752, 2.617, 2, 256, 30, 360),
    "radeon-680m": ("AMD Radeon 680M", 768, 2.4, 2, 128, 6.4, 0),
    "radeon-780m": ("AMD Radeon 780M", 768, 2.7, 4, 128, 6.4, 0),
    "vega64": ("AMD Radeon RX Vega 64", 4096, 1.546, 2, 2048, 1.89, 295),
    "radeon-vii": ("AMD Radeon VII", 3840, 1.75, 2, 4096, 2, 300),
    "rx5700": ("AMD Radeon RX 5700", 2304, 1.725, 2, 256, 14, 180),
    "rx5700xt": ("AMD Radeon RX 5700 XT", 2560, 1.905, 2, 256, 14, 225),
    "rx6700xt": ("AMD Radeon RX 6700 XT", 2560, 2.581, 2, 192, 16, 230),
    "rx6800": ("AMD Radeon RX 6800", 3840, 2.105, 2, 256, 16, 250),
    "rx6800xt": ("AMD Radeon RX 6800 XT", 4608, 2.25, 2, 256, 16, 300),
    "rx6900xt": ("AMD Radeon RX 6900 XT", 5120, 2.25, 2, 256, 16, 300),
    "rx7600": ("AMD Radeon RX 7600", 2048, 2.655, 4, 128, 18, 165),
    "rx7700s": ("AMD Radeon RX 7700S", 2048, 2.5, 4, 128, 18, 100),
    "rx7800xt": ("AMD Radeon RX 7800 XT", 3840, 2.43, 4, 256, 19.5, 263),
    "rx7900xt": ("AMD Radeon RX 7900 XT", 5376, 2.4, 4, 320, 20, 315),
    "rx7900xtx": ("AMD Radeon RX 7900 XTX", 6144, 2.5, 4, 384, 20, 355),
}


# the clock (MHz) at which the half-precision rate of a checked sheet holds
CLOCKS_MHZ = {
    "rtx3080": 1710, "rtx3080-12g": 1710, "rtx3090": 1695, "rtx4090": 2520, "rtx5090": 2407,
    "v100": 1530, "t4": 1590, "a100": 1410, "h100": 1830, "h200": 1830,
}  # fmt: skip


@lru_cache(maxsize=1)
def card_sheets() -> Mapping[str, Sheet]:
    """Every card of which the peaks are known, by short name."""
    from gadprof.measuring.explain.roofline import sheets

    found = {}
    for key, plain in sheets().items():
        rates = plain["flops_per_s"]
        found[key] = Sheet(
            plain["name"], "nvidia", rates["fp32"], rates["fp16"], plain["bytes_per_s"],
            "bf16" in rates, plain["source"], CLOCKS_MHZ[key], plain["watts"],
        )  # fmt: skip
    for key, (name, lanes, clock, half, bits, rate, watts) in UNITS.items():
        fp32 = lanes * 2 * clock * 1e9
        maker = name.partition(" ")[0].lower()
        source = f"{lanes} lanes at {clock} GHz, {bits} bit at {rate} Gbit/s"
        tensor = maker == "nvidia" and key.startswith(("rtx3", "rtx4", "rtx5"))
        found[key] = Sheet(
            name, maker, fp32, half * fp32, bits / 8 * rate * 1e9, tensor, f"{name}: {source}",
            1e3 * clock, watts,
        )  # fmt: skip
    return found
