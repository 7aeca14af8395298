"""One figure against another, in the words of a sentence: ``62.1 % fewer MACs than hrnet32``.

Promises that equal figures are called equal and different ones never are, and that from twice on a
figure is so many times the other. Knows no model and no unit: the caller names both.
"""

from __future__ import annotations

from collections.abc import Sequence


def listed(names: Sequence[str]) -> str:
    """Names as a sentence has them: ``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun: ``1 design``, ``1,200 designs``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def fewer(ratio: float, what: str) -> str:
    """An amount of ``what`` beside another: ``62.1 % fewer MACs``, ``3.4 times the MACs``."""
    if ratio >= 2:
        return f"{ratio:.3g} times the {what}"
    amount = "as many" if ratio == 1 else f"{_share(ratio)} {'fewer' if ratio < 1 else 'more'}"
    return f"{amount} {what}".rstrip()


def fewer_than(ratio: float, what: str, other: str) -> str:
    """The same with the other's name: ``62.1 % fewer MACs than hrnet32``."""
    joined = "as" if ratio == 1 else "of" if ratio >= 2 else "than"
    return f"{fewer(ratio, what)} {joined} {other}"


def faster(ratio: float) -> str:
    """A time over another: ``26 % faster``, ``38 % slower``, ``2.4 times as slow``, ``as fast``."""
    if ratio == 1:
        return "as fast"
    if ratio >= 2:
        return f"{ratio:.3g} times as slow"
    return f"{_share(ratio, 0)} {'faster' if ratio < 1 else 'slower'}"


def faster_than(ratio: float, other: str) -> str:
    """The same with the other's name: ``26 % faster than hrnet32``, ``as fast as hrnet32``."""
    return f"{faster(ratio)} {'as' if ratio == 1 or ratio >= 2 else 'than'} {other}"


def _share(ratio: float, digits: int = 1) -> str:
    """How far a ratio is from 1, in per cent; what rounds to nothing is below the last digit."""
    text = f"{100 * abs(ratio - 1):.{digits}f}"
    return f"{text} %" if float(text) else f"less than {10**-digits:g} %"
