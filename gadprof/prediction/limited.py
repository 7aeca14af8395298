"""A card under a power limit or at a clock other than its data sheet's.

Promises the rate of multiply-adds and the time of a launch moved with the clock; the memory, which
has a clock of its own, and the host stay. A power limit lowers the clock by the cube root: power
goes as voltage squared times clock, and the voltage with the clock. No table holds one card at two
limits, so that this rests on that rule and not on measurements: the interval widens until it
reaches from no change at all to twice the change. Refuses a device without a clock of its own.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gadprof.errors import SettingError
from gadprof.prediction.fit import Fit
from gadprof.prediction.sheets import Sheet, card_sheets

CLOCKS = (0.25, 1.25)  # of the sheet's: what a card is set to
LEAST_POWER = 0.25


def limited(fit: Fit, power_w: float | None, clock_mhz: float | None) -> Fit:
    """The fit of the same card at a limit (W), a clock (MHz) or the lower of both.

    Raises SettingError where the device has no such limit, and where the value is none of it.
    """
    if power_w is None and clock_mhz is None:
        return fit
    sheet = card_sheets().get(fit.device)
    if sheet is None or fit.kind != "gpu":
        raise SettingError(
            f"no data sheet says {fit.device}'s power and clock; leave --power and --clock out"
        )
    ratios = [_of_power(fit.device, sheet, power_w)] if power_w is not None else []
    if clock_mhz is not None:
        ratios.append(_of_clock(fit.device, sheet, clock_mhz))
    ratio = min(ratios)
    move = np.log(ratio) * np.array([1.0, 0.0, -1.0])
    told = [f"{power_w:g} of {sheet.watts:g} W"] if power_w is not None else []
    told += [f"{clock_mhz:g} MHz"] if clock_mhz is not None else []
    wider = float(abs(np.log(ratio)))
    return replace(
        fit,
        members=tuple(replace(member, base=member.base + move) for member in fit.members),
        method=f"at {' and '.join(told)}, {ratio:.3f} of the clock, by rule; {fit.method}",
        cv={**fit.cv, "log_error_95": float(fit.cv["log_error_95"]) + wider},
    )


def _of_power(device: str, sheet: Sheet, power_w: float) -> float:
    """The share of the clock that a power limit leaves."""
    if not sheet.watts:
        raise SettingError(f"{device} shares its power with a processor; give --clock MHz instead")
    if not LEAST_POWER * sheet.watts <= power_w <= sheet.watts:
        raise SettingError(
            f"{power_w:g} W is not within {LEAST_POWER * sheet.watts:g} to {sheet.watts:g} W, the "
            f"board's own limit of {device}; a faster card is told by --clock MHz"
        )
    return float((power_w / sheet.watts) ** (1 / 3))


def _of_clock(device: str, sheet: Sheet, clock_mhz: float) -> float:
    least, most = (share * sheet.clock_mhz for share in CLOCKS)
    if not least <= clock_mhz <= most:
        raise SettingError(
            f"{clock_mhz:g} MHz is not within {least:.0f} to {most:.0f} MHz, about the "
            f"{sheet.clock_mhz:g} MHz of {device}'s data sheet"
        )
    return clock_mhz / sheet.clock_mhz
