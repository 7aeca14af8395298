"""Closed forms of blocks, written by hand from the literature: GP, GG and Rs with every term.

Promises exact integers for any positive integers, and the formula in symbols and in numbers. It
knows nothing of plans, costs or modules, so that a check of one against the other means something,
and imports nothing heavy. GADNet's equations 1 and 5 to 7 are the source of ``ga`` and ``gd``.

GP is the number of weights of convolutions and fully connected layers; GG is the number of their
multiply-accumulates for one sample. Normalisation, biases, activations, pooling and scaling are
terms of their own, shown but in neither. H×W is the output size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

from gadprof.errors import SpecError, UnknownNameError, nearest
from gadprof.formulas.terms import Closed, ClosedForm, Numbers, Term, ceil_div
from gadprof.results.tabular import Tabular

if TYPE_CHECKING:
    from gadprof.results.page import Page

# every input a closed form may take, with its default; None has no default
DEFAULTS: dict[str, int | None] = {
    "c_in": None,
    "c_out": None,
    "k": 3,
    "d": 3,
    "s": 2,
    "r": 16,
    "h": 64,
    "w": 48,
    "stride": 1,
}


@dataclass(frozen=True)
class Formula(Tabular):
    """A block's closed form at given integers.

    ``GP`` weights, ``GG`` MACs of one sample, ``Rs`` = P / GP against the ordinary convolution of
    the same kernel, ``Rs_macs`` the same for MACs. ``symbols`` and ``substituted`` hold the
    formulas of GP, GG and Rs as text; ``limit`` says where Rs goes as the channels grow, and
    ``Rs_limit`` is that number. ``uses`` names the inputs that the block reads.
    """

    block: str
    inputs: Mapping[str, int]
    GP: int
    GG: int
    Rs: float
    Rs_macs: float
    terms: tuple[Term, ...]
    symbols: Mapping[str, str]
    substituted: Mapping[str, str]
    limit: str
    source: str
    note: str = ""
    reference: Formula | None = None
    names: Mapping[str, int] = field(default_factory=dict)
    Rs_limit: float | None = None
    uses: tuple[str, ...] = ()

    def page(self) -> Page:
        """Its terms as a table, and its JSON document."""
        from gadprof.formulas.page import formula_page

        return formula_page(self)

    @property
    def params(self) -> int:
        """All parameters of the block: weights, normalisation and biases."""
        return sum(term.params for term in self.terms)


def formula(block: str = "ga", **inputs: int) -> Formula:
    """Evaluate a block's closed form.

    Inputs: ``c_in``, ``c_out`` (channels), ``k`` (kernel), ``d`` (cheap kernel), ``s`` (ratio),
    ``r`` (reduction), ``h``, ``w`` (output size), ``stride``, and what else the block defines.
    Raises UnknownNameError for a block or input that does not exist, SpecError for a value that is
    not a positive integer. Source: GADNet, equations 1 and 5 to 7.
    """
    closed = CLOSED_FORMS.get(block)
    if closed is None:
        raise UnknownNameError(
            f"unknown block {block!r}"
            + (nearest(block, CLOSED_FORMS) or f"; it is one of {', '.join(CLOSED_FORMS)}")
        )
    numbers = read_inputs(block, inputs)
    form = closed(numbers)
    result = _evaluate(block, form, numbers)
    if block == "conv":
        return result
    replaced = form.reference or _conv(numbers)
    return _with_reference(result, _evaluate("conv", replaced, numbers))


def read_inputs(block: str, inputs: Mapping[str, int]) -> Numbers:
    """Check a closed form's inputs and fill in defaults; raises UnknownNameError, SpecError."""
    defaults = {**DEFAULTS, **OWN_DEFAULTS.get(block, {}), **EXTRA_INPUTS.get(block, {})}
    for name in inputs:
        if name not in defaults:
            known = nearest(name, defaults) or f"; it takes {', '.join(defaults)}"
            raise UnknownNameError(f"block {block!r} has no input {name!r}{known}")
    values: dict[str, int] = {}
    for name, default in defaults.items():
        value = inputs.get(name, default)
        if value is None:
            raise SpecError(f"block {block!r} needs {name}; type for example {name}=64")
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise SpecError(f"{name}={value} is not a positive integer; try {name}=64")
        values[name] = value
    extra = {name: values.pop(name) for name in EXTRA_INPUTS.get(block, {})}
    return Numbers(**values, extra=extra)


def _evaluate(block: str, form: Closed, numbers: Numbers) -> Formula:
    gp = sum(term.params for term in form.terms if term.counted)
    gg = sum(term.macs for term in form.terms if term.counted)
    inputs = {name: getattr(numbers, name) for name in DEFAULTS}
    return Formula(
        block=block,
        inputs={**inputs, **numbers.extra},
        GP=gp,
        GG=gg,
        Rs=1.0,
        Rs_macs=1.0,
        terms=form.terms,
        symbols={"GP": form.gp, "GG": form.gg, "Rs": form.rs},
        substituted={
            "GP": f"{form.gp_numbers} = {gp}",
            "GG": f"{form.gg_numbers} = {gg}",
            "Rs": form.rs_numbers,
        },
        limit=form.limit,
        source=form.source,
        note=form.note,
        names=form.names,
        Rs_limit=form.rs_limit,
        uses=form.uses,
    )


def _with_reference(result: Formula, reference: Formula) -> Formula:
    import dataclasses

    rs = reference.GP / result.GP if result.GP else float("nan")
    rs_macs = reference.GG / result.GG if result.GG else float("nan")
    substituted = {**result.substituted, "Rs": f"{reference.GP} / {result.GP} = {rs:.4f}"}
    return dataclasses.replace(
        result, Rs=rs, Rs_macs=rs_macs, reference=reference, substituted=substituted
    )


# --- terms that blocks share ----------------------------------------------------------------------


def normalisation(channels: int, n: Numbers, symbol: str = "Cout") -> Term:
    """Batch normalisation's scale and shift, and its two operations an element."""
    return Term(
        "normalisation", f"2·{symbol}", 2 * channels, "0", 0, 2 * channels * n.hw,
        "scale and shift", counted=False,
    )  # fmt: skip


def activation(channels: int, n: Numbers) -> Term:
    """A ReLU on every output element."""
    return Term("activation", operations=channels * n.hw, operations_kind="ReLU", counted=False)


def bias(channels: int = 0, n: Numbers | None = None, symbol: str = "0") -> Term:
    """Biases of convolutions and fully connected layers; none unless the block has some."""
    positions = n.hw if n is not None else 0
    return Term(
        "bias", symbol, channels, "0", 0, channels * positions,
        "additions" if channels else "", counted=False,
    )  # fmt: skip


def squeeze_excitation(channels: int, n: Numbers, symbol: str) -> tuple[Term, ...]:
    """Two fully connected layers on the channel means, the pooling before and the scaling after."""
    hidden = ceil_div(channels, n.r)
    weights = 2 * channels * hidden
    symbols = f"2·{symbol}·ceil({symbol}/r)"
    return (
        Term(
            "attention", symbols, weights, symbols, weights, hidden + 3 * channels, "ReLU, sigmoid"
        ),
        Term("pooling", operations=channels * n.hw, operations_kind="additions", counted=False),
        Term(
            "scaling", operations=channels * n.hw, operations_kind="multiplications", counted=False
        ),
    )


def _no_attention() -> tuple[Term, ...]:
    return (Term("attention"), Term("pooling", counted=False), Term("scaling", counted=False))


# --- the paper's blocks ---------------------------------------------------------------------------


def _conv(n: Numbers) -> Closed:
    weights = n.c_in * n.c_out * n.k**2
    return Closed(
        terms=(
            Term("primary", "Cin·Cout·k²", weights, "H·W·Cin·Cout·k²", n.hw * weights),
            Term("cheap"),
            *_no_attention(),
            normalisation(n.c_out, n),
            bias(),
            activation(n.c_out, n),
        ),
        gp="P = Cin·Cout·k²",
        gg="G = H·W·Cin·Cout·k²",
        gp_numbers=f"{n.c_in}·{n.c_out}·{n.k}²",
        gg_numbers=f"{n.h}·{n.w}·{n.c_in}·{n.c_out}·{n.k}²",
        rs="Rs = 1",
        rs_numbers="1",
        limit="1",
        source="ordinary convolution",
        rs_limit=1.0,
        uses=("c_in", "c_out", "k", "h", "w", "stride"),
    )


def _ghost_terms(n: Numbers) -> tuple[Term, Term]:
    primary, cheap = n.m * n.c_in * n.k**2, n.g * n.d**2
    return (
        Term("primary", "m·Cin·k²", primary, "H·W·m·Cin·k²", n.hw * primary),
        Term("cheap", "g·d²", cheap, "H·W·g·d²", n.hw * cheap),
    )


_SPLIT = "m = ceil(Cout/s), g = Cout - m"
_LIMIT = "Rs = s·Cin / (Cin + s - 1) -> s as Cin grows (k = d, attention neglected)"


def _limit(n: Numbers) -> str:
    ratio = Fraction(n.s * n.c_in, n.c_in + n.s - 1)
    return f"{_LIMIT}; here {float(ratio):.4f} -> {n.s}"


def _ghost_family(n: Numbers, attended: int, symbol: str, source: str, note: str = "") -> Closed:
    """Ghost, with squeeze-and-excitation on ``attended`` channels (0 for none)."""
    primary, cheap = _ghost_terms(n)
    attention = squeeze_excitation(attended, n, symbol) if attended else _no_attention()
    gp, gg = "m·Cin·k² + g·d²", "H·W·(m·Cin·k² + g·d²)"
    base = f"{n.m}·{n.c_in}·{n.k}² + {n.g}·{n.d}²"
    gp_numbers, gg_numbers = base, f"{n.h}·{n.w}·({base})"
    if symbol:
        extra = f" + 2·{symbol}·ceil({symbol}/r)"
        gp, gg = gp + extra, gg + extra
        numbers = f" + 2·{attended}·ceil({attended}/{n.r})"
        gp_numbers, gg_numbers = gp_numbers + numbers, gg_numbers + numbers
    return Closed(
        terms=(
            primary, cheap, *attention, normalisation(n.c_out, n), bias(), activation(n.c_out, n),
        ),
        gp=f"GP = {gp}, {_SPLIT}",
        gg=f"GG = {gg}",
        gp_numbers=gp_numbers,
        gg_numbers=gg_numbers,
        rs="Rs = Cin·Cout·k² / GP",
        rs_numbers="",
        limit=_limit(n),
        source=source,
        note=note,
        names={"m": n.m, "g": n.g},
        rs_limit=float(n.s),
        uses=("c_in", "c_out", "k", "d", "s", *(("r",) if symbol else ()), "h", "w", "stride"),
    )  # fmt: skip


_HAN = "Han et al., GhostNet, CVPR 2020, section 3"
_LIU = "Liu et al., GADNet, 2024"


def _ghost(n: Numbers) -> Closed:
    return _ghost_family(n, 0, "", _HAN)


def _ghost_se(n: Numbers) -> Closed:
    return _ghost_family(
        n, n.c_out, "Cout", f"{_LIU}, figure 9; Hu et al., SENet, CVPR 2018",
        "squeeze-and-excitation on all Cout output maps of the Ghost module",
    )  # fmt: skip


def _ga(n: Numbers) -> Closed:
    attended = n.m if n.g else 0
    return _ghost_family(
        n, attended, "m", f"{_LIU}, equations 1 and 5 to 7, figure 6",
        "squeeze-and-excitation on the m intrinsic maps; none when s = 1 leaves no ghost maps",
    )  # fmt: skip


def _gd(n: Numbers) -> Closed:
    return _ghost_family(
        n, n.g, "g", f"{_LIU}, equations 5 to 7, figures 7 and 8",
        "the cheap operation reads the input: ghost map j filters input map j mod Cin with one "
        "d×d kernel, so its weights are g·d² also where Cin differs from g; "
        "squeeze-and-excitation on the g ghost maps",
    )  # fmt: skip


# block -> closed form
def _elsewhere(block: str) -> ClosedForm:
    """The closed form of another paper's block, whose file is read only where it is evaluated."""

    def form(n: Numbers) -> Closed:
        from gadprof.formulas import blocks

        return blocks.CLOSED_FORMS[block](n)

    return form


_OTHER_PAPERS = (
    "grouped", "dwsep", "inverted", "shuffle1", "shuffle2", "se", "cbam", "sk", "dense", "ccw",
    "stn", "mra", "dam", "dgia",
)  # fmt: skip

CLOSED_FORMS: dict[str, ClosedForm] = {
    "conv": _conv,
    "ghost": _ghost,
    "ghost-se": _ghost_se,
    "ga": _ga,
    "gd": _gd,
    **{name: _elsewhere(name) for name in _OTHER_PAPERS},
}

# inputs that only some blocks take, with their defaults
EXTRA_INPUTS: dict[str, dict[str, int | None]] = {
    "grouped": {"groups": 4},
    "inverted": {"t": 6},
    "shuffle1": {"groups": 4},
    "sk": {"groups": 4},
    "dense": {"layers": 4, "q": 4},
    "dam": {"layers": 4, "q": 4},
    "ccw": {"branches": 2},
}

# shared inputs whose default is another for some blocks
OWN_DEFAULTS: dict[str, dict[str, int | None]] = {"gd": {"stride": 2}, "ccw": {"r": 8}}
