"""Quantities as people write them, in a configuration and on the command line alike.

``12M``, ``7.1G``, ``64MiB``, ``2%``, ``60s``. Promises exact integers (``2.5M`` is 2 500 000,
never a float) and refuses what is negative, not finite, has an unknown unit or is not a whole
number. k, M, G and T are powers of 1000; kB, MB, GB and TB too; KiB, MiB, GiB and TiB of 1024. A
size of ``4G`` could be either and is refused.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from gadprof.errors import ConfigError

COUNT_UNITS = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
BYTE_UNITS = {
    "": 1,
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
}

DURATION_UNITS = {
    "": Fraction(1),
    "s": Fraction(1),
    "ms": Fraction(1, 1000),
    "us": Fraction(1, 10**6),
    "m": Fraction(60),
    "min": Fraction(60),
    "h": Fraction(3600),
}
LONGEST_S = 30 * 24 * 3600  # thirty days: no run that is longer was meant

_PATTERN = re.compile(r"\s*(\d[\d_ ]{0,30}(?:\.\d{0,30})?|\.\d{1,30})\s*([A-Za-z%]*)\s*")


def read_count(value: Any, where: str) -> int:
    """A whole number of things: ``12M``, ``"7.1G"``, ``12000000``. Raises ConfigError."""
    return _whole(value, where, COUNT_UNITS, "12M")


def read_bytes(value: Any, where: str) -> int:
    """A whole number of bytes: ``64MiB``, ``"1.5GB"``, ``65536``. Raises ConfigError."""
    units = {name.lower(): size for name, size in BYTE_UNITS.items()}
    if isinstance(value, str):
        unit = _split(value, where, '"64MiB"')[1]
        if unit.lower() in ("k", "m", "g", "t"):
            letter = unit.upper() if unit.lower() != "k" else "k"
            digits = value.strip()[: -len(unit)].strip()
            raise ConfigError(
                f"{where} = {value!r} could be {digits}{unit.upper()}iB or {digits}{letter}B; "
                "write the one that is meant"
            )
        value = f"{value.strip()[: len(value.strip()) - len(unit)]}{unit.lower()}"
    return _whole(value, where, units, "64MiB")


def read_duration(value: Any, where: str) -> float:
    """A positive time in seconds, at most thirty days: ``60``, ``"60s"``, ``"2m"``, ``"500ms"``.

    Raises ConfigError.
    """
    if isinstance(value, str):
        number, unit = _split(value, where, '"60s"')
        if unit.lower() not in DURATION_UNITS:
            known = ", ".join(name for name in DURATION_UNITS if name)
            raise ConfigError(f"{where} = {value!r} has the unknown unit {unit!r}; use {known}")
        number *= DURATION_UNITS[unit.lower()]
    else:
        number = read_ratio(value, where, '"60s"')
    if not 0 < number <= LONGEST_S:
        raise ConfigError(f"{where} = {value!r} is not above 0 and at most 30 days; write 60s")
    return float(number)


def read_share(value: Any, where: str) -> Fraction:
    """A share: ``2%``, ``"0.02"`` or ``0.02``. Raises ConfigError."""
    if isinstance(value, str):
        number, unit = _split(value, where, '"2%"')
        if unit not in ("", "%"):
            raise ConfigError(f'{where} = {value!r} is not a share; write for example "2%"')
        return number / 100 if unit else number
    return read_ratio(value, where, '"2%"')


def read_ratio(value: Any, where: str, example: str = "0.8") -> Fraction:
    """A non-negative number such as a ratio. Raises ConfigError."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(
            f"{where} = {value!r} is {_type(value)}, not a number; write for example {example}"
        )
    if not 0 <= value < float("inf"):
        raise ConfigError(f"{where} = {value!r} is not allowed; write for example {example}")
    return Fraction(repr(value))


def _whole(value: Any, where: str, units: dict[str, int], example: str) -> int:
    if isinstance(value, str):
        number, unit = _split(value, where, f'"{example}"')
        if unit not in units:
            known = ", ".join(name for name in units if name)
            raise ConfigError(f"{where} = {value!r} has the unknown unit {unit!r}; use {known}")
        number *= units[unit]
    else:
        number = read_ratio(value, where, f'"{example}"')
    if number.denominator != 1:
        raise ConfigError(f"{where} = {value!r} is not a whole number; write for example {example}")
    return int(number)


def _split(text: str, where: str, example: str) -> tuple[Fraction, str]:
    match = _PATTERN.fullmatch(text) if len(text) <= 80 else None
    if match is None:
        raise ConfigError(f"{where} = {text[:80]!r} is not a quantity; write for example {example}")
    return Fraction(re.sub("[_ ]", "", match[1])), match[2]


def _type(value: Any) -> str:
    names = {bool: "true or false", str: "text", list: "a list", dict: "a table"}
    return names.get(type(value), type(value).__name__)
