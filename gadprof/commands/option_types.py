"""Quantities on the command line: percentages, durations, sizes, and lists of choices.

Every parser refuses a value that it does not understand with ``click.BadParameter``, which names
the option, the rule and an example.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import click

from gadprof.errors import nearest

_SECONDS = {"": 1.0, "s": 1.0, "ms": 1e-3, "m": 60.0, "min": 60.0, "h": 3600.0}
_BYTES = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "k": 1 << 10,
    "m": 1 << 20,
    "g": 1 << 30,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
}


def parse_share(text: str, option: str) -> float:
    """``2%`` or ``0.02`` as 0.02; between 0 and 1."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(%?)\s*", text)
    value = float(match.group(1)) / (100 if match.group(2) else 1) if match else math.nan
    if not 0 < value < 1:
        raise click.BadParameter(
            f"{text!r} is not a share between 0 and 100 %; try 2%", param_hint=option
        )
    return value


def parse_duration(text: str, option: str) -> float:
    """``60``, ``60s``, ``2m`` or ``500ms`` as seconds, positive."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)\s*", text.lower())
    unit = _SECONDS.get(match.group(2)) if match else None
    if match is None or unit is None or not float(match.group(1)) > 0:
        raise click.BadParameter(
            f"{text!r} is not a positive duration; try 60s or 2m", param_hint=option
        )
    return float(match.group(1)) * unit


def parse_size(text: str, option: str) -> int:
    """``4GiB``, ``500MB`` or a plain number of bytes, positive."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)\s*", text.lower())
    unit = _BYTES.get(match.group(2)) if match else None
    if match is None or unit is None or float(match.group(1)) * unit < 1:
        raise click.BadParameter(f"{text!r} is not a size; try 4GiB or 500MB", param_hint=option)
    return int(float(match.group(1)) * unit)


def parse_choices(text: str, known: Sequence[str], option: str) -> tuple[str, ...]:
    """A comma-separated list of known words, each once, in the order given."""
    words = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    for word in words:
        if word not in known:
            hint = nearest(word, known) or f"; one of {', '.join(known)}"
            raise click.BadParameter(f"{word!r} is not known{hint}", param_hint=option)
    if not words:
        raise click.BadParameter(f"empty; one of {', '.join(known)}", param_hint=option)
    return words
