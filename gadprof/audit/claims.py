"""A printed figure and the interval of values that print as it.

``7.10G`` stands for every value from 7.095 to below 7.105 times its G. Refuses what is not a
positive number with an optional K, M, G (or B) or T.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from gadprof.errors import SpecError

_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "B": 3, "T": 4}


@dataclass(frozen=True)
class Claim:
    """A figure as printed: its digits, its prefix ("" for none) and how many decimals it has."""

    text: str
    value: Decimal
    prefix: str

    @property
    def step(self) -> Decimal:
        """One unit in the last printed digit."""
        return Decimal(1).scaleb(int(self.value.as_tuple().exponent))

    @property
    def bounds(self) -> tuple[Decimal, Decimal]:
        """The values that round to the figure: from the first, to below the second."""
        return self.value - self.step / 2, self.value + self.step / 2

    def scale(self, binary: bool) -> int:
        """What the prefix multiplies by: a power of 1000, or of 1024."""
        return int((1024 if binary else 1000) ** _POWERS[self.prefix])

    def rounds(self, amount: int | float | Fraction, *, binary: bool = False) -> bool:
        """Whether an amount prints as the figure, correctly rounded."""
        low, high = self.bounds
        figure = Fraction(amount) / self.scale(binary)
        return Fraction(low) <= figure < Fraction(high)

    def cuts(self, amount: int | float | Fraction, *, binary: bool = False) -> bool:
        """Whether an amount prints as the figure if its further digits are cut off."""
        figure = Fraction(amount) / self.scale(binary)
        return Fraction(self.value) <= figure < Fraction(self.value + self.step)

    def pads(
        self, amount: int | float | Fraction, *, binary: bool = False, cut: bool = False
    ) -> bool:
        """Whether the figure is the amount rounded (or ``cut``) to fewer digits, zeros added.

        Digits that are cut must leave two, or nearly any amount would give the figure.
        """
        text = str(self.value)
        if "." not in text or not text.endswith("0"):
            return False
        shorter = Claim(self.text, Decimal(text.rstrip("0").rstrip(".")), self.prefix)
        if cut and len(shorter.value.as_tuple().digits) < 2:
            return False
        fits = shorter.cuts if cut else shorter.rounds
        return fits(amount, binary=binary)

    def figure(self, amount: int | float | Fraction, *, binary: bool = False) -> str:
        """An amount under this prefix with two digits more than were printed."""
        digits = max(0, -int(self.value.as_tuple().exponent)) + 2
        exact = Fraction(amount) / self.scale(binary)
        quantum = Decimal(1).scaleb(-digits)
        value = (Decimal(exact.numerator) / Decimal(exact.denominator)).quantize(quantum)
        return f"{value} {self.prefix}".strip()


def parse_claim(text: str, assumed: str = "") -> Claim:
    """Read ``7.10G``, ``7.1 GFLOPs``, ``305M``, ``28.5 M`` or plain digits.

    A figure below 1000 without a prefix, as a table's cell has it, gets the ``assumed`` one. Raises
    SpecError.
    """
    match = re.fullmatch(
        r"\s*(\d+(?:[\d_,]*\d)?(?:\.\d+)?|\.\d+)\s*([KMGBT]?)\s*(?:FLOPs?|FLOPS|MACs?|params?)?\s*",
        text,
        flags=re.IGNORECASE,
    )
    if match is None:
        raise SpecError(f"{text!r} is not a figure; type for example 7.10G, 305M or 7645003776")
    value = Decimal(match.group(1).replace(",", "").replace("_", ""))
    if value <= 0:
        raise SpecError(f"{text!r} is not positive; type for example 7.10G")
    prefix = match.group(2).upper()
    return Claim(text.strip(), value, prefix or (assumed if value < 1000 else ""))
