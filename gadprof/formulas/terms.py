"""What closed forms are made of: terms, the integers that they read, and what they return."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Term:
    """One part of a block: its weights, MACs and other operations, in symbols and in numbers.

    ``params`` and ``macs`` count towards GP and GG when ``counted``; ``operations`` are elementwise
    floating-point operations, which never do. ``operations_kind`` says what they are.
    """

    name: str
    params_symbols: str = "0"
    params: int = 0
    macs_symbols: str = "0"
    macs: int = 0
    operations: int = 0
    operations_kind: str = ""
    counted: bool = True


@dataclass(frozen=True)
class Numbers:
    """The integers that a closed form is evaluated at; ``m`` and ``g`` are derived."""

    c_in: int
    c_out: int
    k: int
    d: int
    s: int
    r: int
    h: int
    w: int
    stride: int
    extra: Mapping[str, int] = field(default_factory=dict)

    @property
    def m(self) -> int:
        """Intrinsic channels, ceil(c_out / s)."""
        return ceil_div(self.c_out, self.s)

    @property
    def g(self) -> int:
        """Ghost channels, c_out - m."""
        return self.c_out - self.m

    @property
    def hw(self) -> int:
        """Output positions."""
        return self.h * self.w


@dataclass(frozen=True)
class Closed:
    """What a block's function returns: its terms, the formulas as text, its limit and source."""

    terms: tuple[Term, ...]
    gp: str
    gg: str
    gp_numbers: str
    gg_numbers: str
    rs: str
    rs_numbers: str
    limit: str
    source: str
    note: str = ""
    names: Mapping[str, int] = field(default_factory=dict)
    rs_limit: float | None = None
    uses: tuple[str, ...] = ()
    reference: Closed | None = None  # what the block replaces, where that is not one convolution


def ceil_div(a: int, b: int) -> int:
    """The smallest integer not below a / b."""
    return -(-a // b)


ClosedForm = Callable[[Numbers], Closed]
