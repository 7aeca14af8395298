"""Quantities as people write them in a configuration: ``12M``, ``7.1G``, ``64MiB``, ``2%``.

Promises exact integers (``2.5M`` is 2 500 000, never a float) and refuses what is negative, has
an unknown unit or is not a whole number. k, M, G and T are powers of 1000; KiB, MiB, GiB and TiB
of 1024.
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
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
}

_PATTERN = re.compile(r"\s*(\d[\d_ ]{0,30}(?:\.\d{1,30})?)\s*([A-Za-z%]*)\s*")


def read_count(value: Any, where: str) -> int:
    """A whole number of things: ``12M``, ``"7.1G"``, ``12000000``. Raises ConfigError."""
    return _whole(value, where, COUNT_UNITS, "12M")


def read_bytes(value: Any, where: str) -> int:
    """A whole number of bytes: ``64MiB``, ``"1.5GB"``, ``65536``. Raises ConfigError."""
    return _whole(value, where, BYTE_UNITS, "64MiB")


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
