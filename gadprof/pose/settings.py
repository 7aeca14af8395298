"""Training settings and their presets, as one frozen record; imports nothing heavy.

The default preset is the paper's: AdamW, 1e-3 and 1e-4 from epoch 170, 260 epochs, batch 48,
256 x 192. What the paper leaves open (weight decay, the strength of the augmentation) is HRNet's or
the optimiser's default, and recorded with every checkpoint.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from gadprof.errors import SpecError, UnknownNameError, nearest

Optimiser = Literal["adamw", "adam"]
Schedule = Literal["step", "cosine"]
SCHEDULES: tuple[Schedule, ...] = ("step", "cosine")


@dataclass(frozen=True)
class TrainSettings:
    """How a network is trained.

    ``height`` and ``width`` in pixels; ``batch`` a device and step; ``milestones`` are epochs at
    which the rate is multiplied by ``gamma``; with the ``cosine`` schedule it falls to zero over
    the whole run instead; over the first ``warmup`` epochs it rises in equal steps; ``sigma`` in
    heatmap cells (None: HRNet's 2 at 64 x 48, in proportion); ``ema`` is the decay of the averaged
    weights (0: none); ``augment`` switches every random change; ``clip`` limits the gradient's norm
    (0: none). With ``foreground`` a a cell's squared difference weighs 1 + a times its target (0:
    the plain mean of the paper): a network with fewer last maps than joints, whose 1x1 head has
    their rank, then keeps joints apart where they are rather than empty cells empty.
    """

    model: str
    height: int = 256
    width: int = 192
    epochs: int = 260
    batch: int = 48
    optimiser: Optimiser = "adamw"
    lr: float = 1e-3
    milestones: tuple[int, ...] = (170,)
    gamma: float = 0.1
    schedule: Schedule = "step"
    warmup: int = 0
    weight_decay: float = 0.01
    sigma: float | None = None
    unbiased: bool = False
    augment: bool = True
    rotation_deg: float = 45.0
    scale: float = 0.35
    half_body: float = 0.3
    flip: float = 0.5
    ema: float = 0.0
    accumulate: int = 1
    clip: float = 0.0
    foreground: float = 0.0
    seed: int = 0


PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        # the paper, section 4: AdamW, 1e-3 -> 1e-4 at epoch 170, 260 epochs, batch 48, 256 x 192
        "paper": MappingProxyType({}),
        # HRNet, w32_256x192_adam_lr1e-3.yaml
        "hrnet": MappingProxyType(
            {
                "optimiser": "adam",
                "epochs": 210,
                "milestones": (170, 200),
                "batch": 32,
                "weight_decay": 0.0,
            }
        ),
    }
)


def make_settings(model: str, preset: str, changes: Mapping[str, Any]) -> TrainSettings:
    """A preset's settings with some changed (None leaves the preset's value).

    Milestones that lie beyond a shortened run move to the same fraction of it, so that a short run
    still ends at the low rate. Raises UnknownNameError or SpecError.
    """
    if preset not in PRESETS:
        raise UnknownNameError(
            f"unknown preset {preset!r}{nearest(preset, PRESETS) or '; it is paper or hrnet'}"
        )
    given = {key: value for key, value in changes.items() if value is not None}
    base = TrainSettings(model=model, **PRESETS[preset])
    settings = dataclasses.replace(base, **given)
    if "milestones" not in given and settings.epochs < base.epochs:
        moved = tuple(max(1, round(m * settings.epochs / base.epochs)) for m in base.milestones)
        settings = dataclasses.replace(settings, milestones=moved)
    check_settings(settings)
    return settings


def check_settings(settings: TrainSettings) -> None:
    """Refuse settings that cannot be trained with. Raises SpecError."""
    for name in ("height", "width"):
        value = getattr(settings, name)
        if value <= 0 or value % 32:
            raise SpecError(f"{name} {value} is not a positive multiple of 32; try 256x192")
    for name in ("epochs", "batch", "accumulate"):
        if getattr(settings, name) < 1:
            raise SpecError(f"{name} {getattr(settings, name)} is not at least 1")
    for name in ("lr", "gamma"):
        if not 0 < getattr(settings, name) < float("inf"):
            raise SpecError(f"{name} {getattr(settings, name)} is not a positive number")
    if settings.schedule not in SCHEDULES:
        raise UnknownNameError(
            f"unknown schedule {settings.schedule!r}"
            f"{nearest(settings.schedule, SCHEDULES) or '; it is step or cosine'}"
        )
    if not 0 <= settings.warmup < max(1, settings.epochs):
        raise SpecError(
            f"warmup {settings.warmup} does not lie within the run's {settings.epochs} epochs"
        )
    if settings.sigma is not None and settings.sigma <= 0:
        raise SpecError(f"sigma {settings.sigma} is not positive; leave it out for HRNet's")
    if not 0 <= settings.ema < 1:
        raise SpecError(f"ema {settings.ema} is not a decay from 0 to below 1; try 0.999")
    if not 0 <= settings.seed < 2**32:
        raise SpecError(f"seed {settings.seed} does not lie from 0 to 4294967295; try 0")
    if settings.weight_decay < 0 or settings.clip < 0:
        raise SpecError("weight decay and clip are not negative")
    if not 0 <= settings.foreground < float("inf"):
        raise SpecError(f"foreground {settings.foreground} is negative or no number; try 10")


def settings_dict(settings: TrainSettings) -> dict[str, Any]:
    """The settings as plain values, for a checkpoint."""
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in dataclasses.asdict(settings).items()
    }


def differences(settings: TrainSettings, stored: Mapping[str, Any]) -> list[str]:
    """Settings that a checkpoint was made with and that differ now, as ``name was/is`` texts.

    A longer run of otherwise equal settings is no difference, unless its rates depend on that.
    """
    now = settings_dict(settings)
    free = () if settings.schedule == "cosine" else ("epochs",)
    return [
        f"{key} was {stored[key]}, is {now[key]}"
        for key in now
        if key in stored and key not in free and stored[key] != now[key]
    ]


def rate_factor(settings: TrainSettings, epoch: int) -> float:
    """What the rate is multiplied by in an epoch (from 0)."""
    factor = min(1.0, (epoch + 1) / (settings.warmup + 1))
    if settings.schedule == "cosine":
        return factor * 0.5 * (1 + math.cos(math.pi * epoch / settings.epochs))
    return factor * settings.gamma ** sum(epoch >= mark for mark in settings.milestones)


def rate_text(settings: TrainSettings) -> str:
    """The rate over the run in words: ``0.001 (x0.1 at 170)``."""
    words = "cosine to 0"
    if settings.schedule == "step":
        words = f"x{settings.gamma:g} at {', '.join(map(str, settings.milestones))}"
    if settings.warmup:
        words += f", {settings.warmup} epochs of warm-up"
    return f"{settings.lr:g} ({words})"
