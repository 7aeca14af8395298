"""Closed forms of the light and attention blocks of other papers, written by hand.

Like ``formula`` it knows nothing of plans and modules. S is the stride, H×W the output size, so
that what runs before the stride has S²·H·W positions. Each form refuses channels that do not
divide as its block needs, and says where the source leaves something open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from gadprof.errors import SpecError
from gadprof.formulas.terms import Closed, ClosedForm, Numbers, Term, ceil_div


class Positions(NamedTuple):
    """Where a convolution runs: how often each of its weights is used, in symbols and numbers."""

    symbols: str
    numbers: str
    positions: int


@dataclass
class Form:
    """Collects a block's terms; ``close`` puts them together.

    ``conv`` adds weights to GP and GG; the other methods add elementwise work and parameters that
    are in neither. Operations are floating-point ones: normalisation 2, ReLU6 2, sigmoid 3,
    softmax 5 an element, as in counts of the real block.
    """

    n: Numbers
    products: list[tuple[Term, Positions, str, str]] = field(default_factory=list)
    norms: list[tuple[str, int, int]] = field(default_factory=list)
    biases: list[tuple[str, int, int]] = field(default_factory=list)
    work: dict[str, tuple[int, str]] = field(default_factory=dict)

    @property
    def out(self) -> Positions:
        """At every output position."""
        return Positions("H·W", f"{self.n.h}·{self.n.w}", self.n.hw)

    @property
    def inside(self) -> Positions:
        """At every input position."""
        n = self.n
        if n.stride == 1:
            return self.out
        return Positions("S²·H·W", f"{n.stride}²·{n.h}·{n.w}", n.stride**2 * n.hw)

    def conv(
        self, name: str, symbols: str, numbers: str, weights: int, place: Positions | None = None
    ) -> None:
        """A convolution or fully connected layer: weights used once at each position."""
        where = self.out if place is None else place
        head = f"{where.symbols}·" if where.symbols else ""
        macs = f"{head}({symbols})" if head and "+" in symbols else head + symbols
        term = Term(name, symbols, weights, macs, weights * where.positions)
        self.products.append((term, where, symbols, numbers))

    def product(self, name: str, symbols: str, numbers: str, factor: int, place: Positions) -> None:
        """A product of two maps: work at each position, and no weights."""
        term = Term(name, macs_symbols=f"{place.symbols}·{symbols}", macs=factor * place.positions)
        self.products.append((term, place, symbols, numbers))

    def norm(self, symbol: str, channels: int, positions: int) -> None:
        """Batch normalisation."""
        self.norms.append((symbol, channels, positions))

    def bias(self, symbol: str, channels: int, positions: int = 1) -> None:
        """Biases."""
        self.biases.append((symbol, channels, positions))

    def operate(self, name: str, operations: int, kind: str) -> None:
        """Elementwise work under a name; kinds of one name are listed once."""
        had, kinds = self.work.get(name, (0, ""))
        listed = [part for part in kinds.split(", ") if part]
        if kind not in listed:
            listed.append(kind)
        self.work[name] = (had + operations, ", ".join(listed))

    def relu(self, elements: int) -> None:
        """A ReLU on so many elements."""
        self.operate("activation", elements, "ReLU")

    def squeeze_excitation(self, channels: int, symbol: str, positions: int) -> None:
        """Two fully connected layers on the channel means, with pooling and scaling."""
        hidden = ceil_div(channels, self.n.r)
        self.conv(
            "attention",
            f"2·{symbol}·ceil({symbol}/r)",
            f"2·{channels}·ceil({channels}/{self.n.r})",
            2 * channels * hidden,
            ONCE,
        )
        self.operate("gating", hidden + 3 * channels, "ReLU, sigmoid")
        self.operate("pooling", channels * positions, "additions")
        self.operate("scaling", channels * positions, "multiplications")

    def terms(self) -> tuple[Term, ...]:
        """Every term: the counted ones first."""
        channels = sum(c for _, c, _ in self.norms)
        operations = sum(2 * c * positions for _, c, positions in self.norms)
        symbols = " + ".join(symbol for symbol, _, _ in self.norms)
        both = f"2·({symbols})" if "+" in symbols else f"2·{symbols}"
        normalisation = Term(
            "normalisation", both, 2 * channels, "0", 0, operations, "scale and shift", False
        )
        held = sum(c for _, c, _ in self.biases)
        added = sum(c * positions for _, c, positions in self.biases)
        named = " + ".join(symbol for symbol, _, _ in self.biases) or "0"
        bias = Term("bias", named, held, "0", 0, added, "additions" if added else "", False)
        others = tuple(
            Term(name, operations=count, operations_kind=kind, counted=False)
            for name, (count, kind) in self.work.items()
        )
        return (*(term for term, *_ in self.products), normalisation, bias, *others)

    def close(
        self,
        limit: Fraction,
        why: str,
        source: str,
        note: str = "",
        names: Mapping[str, int] | None = None,
        uses: str = "",
        reference: Closed | None = None,
    ) -> Closed:
        """The closed form; ``limit`` is where Rs goes as all channels grow together."""
        return Closed(
            terms=self.terms(),
            gp="GP = "
            + " + ".join(symbols for term, _, symbols, _ in self.products if term.params),
            gg="GG = " + self._placed(numbers=False),
            gp_numbers=" + ".join(text for term, _, _, text in self.products if term.params),
            gg_numbers=self._placed(numbers=True),
            rs="Rs = P / GP",
            rs_numbers="",
            limit=f"Rs -> {why} as the channels grow together; here {float(limit):.4f}",
            source=source,
            note=note,
            names=names or {},
            rs_limit=float(limit),
            uses=("c_in", "c_out", "k", *uses.split(), "h", "w", "stride"),
            reference=reference,
        )

    def _placed(self, *, numbers: bool) -> str:
        """The terms grouped by the place where they run."""
        groups: dict[str, tuple[str, list[str]]] = {}
        for _, place, symbols, text in self.products:
            key = place.numbers if numbers else place.symbols
            _, texts = groups.setdefault(place.symbols, (key, []))
            texts.append(text if numbers else symbols)
        parts = []
        for key, texts in groups.values():
            joined = " + ".join(texts)
            if key:
                joined = f"{key}·({joined})" if "+" in joined else f"{key}·{joined}"
            parts.append(joined)
        return " + ".join(parts)


ONCE = Positions("", "", 1)
MOST_BRANCHES = 16


def multiple(name: str, value: int, of: int, why: str) -> None:
    """Refuse channels that do not divide. Raises SpecError."""
    if value % of:
        above = value + of - value % of
        raise SpecError(f"{name}={value} does not divide by {of} ({why}); try {name}={above}")


def same_channels(n: Numbers, block: str) -> None:
    """Refuse a block that keeps its channels another number. Raises SpecError."""
    if n.c_in != n.c_out:
        raise SpecError(
            f"c_out={n.c_out} differs from c_in={n.c_in}, which block {block!r} keeps at stride "
            f"{n.stride}; try c_out={n.c_in}"
        )


def _primary(form: Form) -> None:
    """The ordinary convolution with its normalisation and ReLU."""
    n = form.n
    form.conv("primary", "Cin·Cout·k²", f"{n.c_in}·{n.c_out}·{n.k}²", n.c_in * n.c_out * n.k**2)
    form.norm("Cout", n.c_out, n.hw)
    form.relu(n.c_out * n.hw)


def grouped(n: Numbers) -> Closed:
    """Grouped convolution."""
    groups = n.extra["groups"]
    multiple("c_in", n.c_in, groups, "groups")
    multiple("c_out", n.c_out, groups, "groups")
    form = Form(n)
    form.conv(
        "grouped", "Cin·Cout·k²/G", f"{n.c_in}·{n.c_out}·{n.k}²/{groups}",
        n.c_in * n.c_out * n.k**2 // groups,
    )  # fmt: skip
    form.norm("Cout", n.c_out, n.hw)
    form.relu(n.c_out * n.hw)
    return form.close(
        Fraction(groups), "G", "Xie et al., ResNeXt, CVPR 2017, section 3",
        names={"G": groups}, uses="groups",
    )  # fmt: skip


def depthwise_separable(n: Numbers) -> Closed:
    """Depthwise, then pointwise convolution."""
    form = Form(n)
    form.conv("depthwise", "Cin·k²", f"{n.c_in}·{n.k}²", n.c_in * n.k**2)
    form.conv("pointwise", "Cin·Cout", f"{n.c_in}·{n.c_out}", n.c_in * n.c_out)
    form.norm("Cin", n.c_in, n.hw)
    form.norm("Cout", n.c_out, n.hw)
    form.relu((n.c_in + n.c_out) * n.hw)
    return form.close(
        Fraction(n.k**2), "k² (1/Rs = 1/Cout + 1/k²)",
        "Howard et al., MobileNets, 2017, section 3.1",
        "normalisation and ReLU after both convolutions",
    )  # fmt: skip


def inverted_residual(n: Numbers) -> Closed:
    """MobileNetV2's block."""
    form, t = Form(n), n.extra["t"]
    wide, before = t * n.c_in, form.inside
    if t > 1:
        form.conv("expand", "Cin·e", f"{n.c_in}·{wide}", n.c_in * wide, before)
        form.norm("e", wide, before.positions)
        form.operate("activation", 2 * wide * before.positions, "ReLU6")
    form.conv("depthwise", "e·k²", f"{wide}·{n.k}²", wide * n.k**2)
    form.conv("project", "e·Cout", f"{wide}·{n.c_out}", wide * n.c_out)
    form.norm("e", wide, n.hw)
    form.norm("Cout", n.c_out, n.hw)
    form.operate("activation", 2 * wide * n.hw, "ReLU6")
    if n.stride == 1 and n.c_in == n.c_out:
        form.operate("shortcut", n.c_out * n.hw, "additions")
    kept = 2 * t if t > 1 else 1
    return form.close(
        Fraction(n.k**2, kept), "k²/(2·t)" if t > 1 else "k²",
        "Sandler et al., MobileNetV2, CVPR 2018, table 1",
        "e = t·Cin; t = 1 leaves the expansion out; the input is added where size and channels "
        "stay",
        {"e": wide}, "t",
    )  # fmt: skip


def shuffle_v1(n: Numbers) -> Closed:
    """ShuffleNet's unit."""
    groups = n.extra["groups"]
    multiple("c_in", n.c_in, groups, "groups")
    multiple("c_out", n.c_out, 4 * groups, "4 x groups")
    made = n.c_out
    if n.stride == 1:
        same_channels(n, "shuffle1")
    else:
        made = n.c_out - n.c_in
        if made < 1:
            raise SpecError(
                f"c_out={n.c_out} must exceed c_in={n.c_in}, which block 'shuffle1' concatenates "
                f"at stride {n.stride}; try c_out={2 * n.c_in}"
            )
    form, middle = Form(n), n.c_out // 4
    before = form.inside
    form.conv("grouped 1×1", "Cin·b/G", f"{n.c_in}·{middle}/{groups}",
              n.c_in * middle // groups, before)  # fmt: skip
    form.conv("depthwise", "b·k²", f"{middle}·{n.k}²", middle * n.k**2)
    last = "Cout" if n.stride == 1 else "(Cout - Cin)"
    form.conv("grouped 1×1, last", f"b·{last}/G", f"{middle}·{made}/{groups}",
              middle * made // groups)  # fmt: skip
    form.norm("b", middle, before.positions)
    form.norm("b", middle, n.hw)
    form.norm(last, made, n.hw)
    form.relu(middle * before.positions + n.c_out * n.hw)
    if n.stride == 1:
        form.operate("shortcut", n.c_out * n.hw, "additions")
    else:
        form.operate("pooling", 9 * n.c_in * n.hw, "3×3 means")
    return form.close(
        Fraction(2 * groups * n.k**2), "2·G·k² (stride 1)",
        "Zhang et al., ShuffleNet, CVPR 2018, figure 2",
        "b = Cout/4; the paper's own G is 1 to 8, 3 in most rows; the shuffle moves data only",
        {"b": middle, "G": groups}, "groups",
    )  # fmt: skip


def shuffle_v2(n: Numbers) -> Closed:
    """ShuffleNet V2's unit."""
    multiple("c_out", n.c_out, 2, "halves")
    if n.stride == 1:
        same_channels(n, "shuffle2")
    form, half = Form(n), n.c_out // 2
    before = form.inside
    source, symbol = (half, "h") if n.stride == 1 else (n.c_in, "Cin")
    if n.stride > 1:
        form.conv("depthwise, left", "Cin·k²", f"{n.c_in}·{n.k}²", n.c_in * n.k**2)
        form.conv("pointwise, left", "Cin·h", f"{n.c_in}·{half}", n.c_in * half)
        form.norm("Cin", n.c_in, n.hw)
        form.norm("h", half, n.hw)
        form.relu(half * n.hw)
    form.conv("pointwise", f"{symbol}·h", f"{source}·{half}", source * half, before)
    form.conv("depthwise", "h·k²", f"{half}·{n.k}²", half * n.k**2)
    form.conv("pointwise, last", "h·h", f"{half}·{half}", half * half)
    form.norm("h", half, before.positions)
    form.norm("h", half, n.hw)
    form.norm("h", half, n.hw)
    form.relu(half * before.positions + half * n.hw)
    return form.close(
        Fraction(2 * n.k**2), "2·k² (stride 1)", "Ma et al., ShuffleNet V2, ECCV 2018, figure 3",
        "h = Cout/2; at stride 1 the other half passes unchanged", {"h": half},
    )  # fmt: skip


_HU = "Hu et al., SENet, CVPR 2018, section 3"


def squeeze_excitation(n: Numbers) -> Closed:
    """A convolution with squeeze-and-excitation on its output."""
    form = Form(n)
    _primary(form)
    form.squeeze_excitation(n.c_out, "Cout", n.hw)
    return form.close(
        n.k**2 / (n.k**2 + Fraction(2, n.r)), "k²/(k² + 2/r)", _HU,
        "no biases in the two layers, as equation 3 names two matrices", uses="r",
    )  # fmt: skip


def cbam(n: Numbers) -> Closed:
    """A convolution with channel and spatial attention on its output."""
    form, c, hidden = Form(n), n.c_out, ceil_div(n.c_out, n.r)
    _primary(form)
    twice = Positions("2", "2", 2)
    form.conv("channel attention", "2·Cout·ceil(Cout/r)", f"2·{c}·ceil({c}/{n.r})",
              2 * c * hidden, twice)  # fmt: skip
    form.conv("spatial attention", "2·7²", "2·7²", 2 * 7**2)
    form.operate("gating", 2 * hidden + c + 3 * c + 3 * n.hw, "ReLU, additions, sigmoid")
    pooled = c * n.hw + (c * n.hw - c) + (c * n.hw - n.hw) + c * n.hw
    form.operate("pooling", pooled, "additions, comparisons")
    form.operate("scaling", 2 * c * n.hw, "multiplications")
    return form.close(
        n.k**2 / (n.k**2 + Fraction(2, n.r)), "k²/(k² + 2/r)",
        "Woo et al., CBAM, ECCV 2018, equations 2 and 3",
        "one mlp serves the mean and the maximum, so its weights work twice; no biases and no "
        "normalisation in the attention, as the equations have none",
        uses="r",
    )  # fmt: skip


def selective_kernel(n: Numbers) -> Closed:
    """SKNet's convolution with two kernels."""
    groups = n.extra["groups"]
    multiple("c_in", n.c_in, groups, "groups")
    multiple("c_out", n.c_out, groups, "groups")
    form, c = Form(n), n.c_out
    z = max(ceil_div(c, n.r), 32)
    weights = n.c_in * c * n.k**2 // groups
    for name in ("first path", "second path"):
        form.conv(name, "Cin·Cout·k²/G", f"{n.c_in}·{c}·{n.k}²/{groups}", weights)
        form.norm("Cout", c, n.hw)
    form.conv("squeeze", "Cout·z", f"{c}·{z}", c * z, ONCE)
    form.conv("select", "2·z·Cout", f"2·{z}·{c}", 2 * z * c, ONCE)
    form.norm("z", z, 1)
    form.relu(2 * c * n.hw + z)
    form.operate("gating", 10 * c, "softmax")
    form.operate("fusion", 2 * c * n.hw, "additions")
    form.operate("pooling", c * n.hw, "additions")
    form.operate("scaling", 2 * c * n.hw, "multiplications")
    return form.close(
        n.k**2 / (Fraction(2 * n.k**2, groups) + Fraction(3, n.r)), "k²/(2·k²/G + 3/r)",
        "Li et al., SKNet, CVPR 2019, section 3.1",
        "two paths, the second with dilation 2 for the (k+2)×(k+2) kernel; z = max(ceil(Cout/r), "
        "32); the paper's G is 32, here 4 unless told otherwise; no biases",
        {"z": z, "G": groups}, "r groups",
    )  # fmt: skip


def _dense(n: Numbers, *, attention: bool) -> tuple[Form, int, Fraction]:
    layers, q = n.extra["layers"], n.extra["q"]
    form, growth = Form(n), ceil_div(n.c_out, q)
    before, end = form.inside, n.c_in + layers * growth
    steps = layers * (layers - 1) // 2
    form.conv(
        "bottlenecks", "4·g·(n·Cin + g·n·(n-1)/2)",
        f"4·{growth}·({layers}·{n.c_in} + {growth}·{steps})",
        4 * growth * (layers * n.c_in + growth * steps), before,
    )  # fmt: skip
    form.conv("growth", "4·n·g²·k²", f"4·{layers}·{growth}²·{n.k}²",
              4 * layers * growth**2 * n.k**2, before)  # fmt: skip
    if attention:
        form.squeeze_excitation(end, "Cend", before.positions)
    form.conv("transition", "Cend·Cout", f"{end}·{n.c_out}", end * n.c_out, before)
    normalised = layers * n.c_in + growth * steps + 4 * growth * layers
    form.norm("n·Cin + g·n·(n-1)/2 + 4·g·n", normalised, before.positions)
    form.norm("Cend", end, before.positions)
    form.relu((normalised + end) * before.positions)
    if n.stride > 1:
        form.operate("pooling", n.c_out * n.hw * n.stride**2, "means")
    wide = 1 + Fraction(layers, q)
    cost = Fraction(4, q) * (layers + Fraction(steps, q)) + Fraction(4 * layers * n.k**2, q**2)
    return form, growth, cost + wide + (2 * wide**2 / n.r if attention else 0)


_DENSE_NOTE = (
    "n layers of growth g = ceil(Cout/q), each BN, ReLU, 1×1 to 4·g, BN, ReLU, k×k; Cend = Cin + "
    "n·g; a 1×1 transition brings Cend to Cout, so that the block drops in; "
)


def dense_block(n: Numbers) -> Closed:
    """DenseNet-BC's block with its transition."""
    form, growth, cost = _dense(n, attention=False)
    layers = n.extra["layers"]
    return form.close(
        n.k**2 / cost, "k² / (4·(n + n·(n-1)/(2·q))/q + 4·n·k²/q² + 1 + n/q)",
        "Huang et al., DenseNet, CVPR 2017, section 3",
        _DENSE_NOTE + "the paper's growth is a number of its own, here it follows the width",
        {"g": growth, "n": layers, "Cend": n.c_in + layers * growth}, "layers q",
    )  # fmt: skip


def dense_attention(n: Numbers) -> Closed:
    """DAM-Net: dense layers and channel attention."""
    form, growth, cost = _dense(n, attention=True)
    layers = n.extra["layers"]
    return form.close(
        n.k**2 / cost, "k² / (dense block + 2·(1 + n/q)²/r)",
        "Ullah et al., DAM-Net, Scientific Reports 13:261, 2023 (abstract: dense layers and "
        "channel attention layers)",
        _DENSE_NOTE + "the text gives no layer sizes: the dense layers are DenseNet's, the "
        "channel attention is squeeze-and-excitation on the Cend maps before the transition",
        {"g": growth, "n": layers, "Cend": n.c_in + layers * growth}, "r layers q",
    )  # fmt: skip


def _windows(size: int, out: int) -> int:
    """The sum of the lengths of adaptive pooling's windows."""
    return sum(ceil_div((i + 1) * size, out) - i * size // out for i in range(out))


def spatial_transformer(n: Numbers) -> Closed:
    """A spatial transformer before a convolution."""
    form, q = Form(n), ceil_div(n.c_in, n.r)
    before = form.inside
    form.conv("localisation", "Cin·q·k²", f"{n.c_in}·{q}·{n.k}²", n.c_in * q * n.k**2, before)
    form.conv("transformation", "6·16·q", f"6·16·{q}", 96 * q, ONCE)
    form.norm("q", q, before.positions)
    form.relu(q * before.positions)
    form.bias("6", 6)
    cells = _windows(n.h * n.stride, 4) * _windows(n.w * n.stride, 4)
    form.operate("pooling", q * cells, "means over 4×4 cells")
    form.operate("grid", 10 * before.positions, "affine map of two coordinates")
    form.operate("sampling", 7 * n.c_in * before.positions, "bilinear")
    _primary(form)
    return form.close(
        n.k**2 / (n.k**2 + Fraction(n.k**2, n.r)), "r/(r + 1)",
        "Jaderberg et al., Spatial Transformer Networks, NIPS 2015, section 3",
        "the paper leaves the localisation network open: a k×k convolution to q = ceil(Cin/r) "
        "maps, BN, ReLU, pooling to 4×4 and a layer with biases to six numbers; bilinear sampling",
        {"q": q}, "r",
    )  # fmt: skip


def multiscale_attention(n: Numbers) -> Closed:
    """MRA-UNet: multi-scale residual attention."""
    form, half = Form(n), ceil_div(n.c_out, 2)
    for name, k in (("small kernel", n.k), ("large kernel", n.k + 2)):
        symbols = "Cin·h·k²" if k == n.k else "Cin·h·(k+2)²"
        form.conv(name, symbols, f"{n.c_in}·{half}·{k}²", n.c_in * half * k**2)
        form.norm("h", half, n.hw)
    form.conv("fusion", "2·h·Cout", f"2·{half}·{n.c_out}", 2 * half * n.c_out)
    form.norm("Cout", n.c_out, n.hw)
    form.relu(2 * half * n.hw + n.c_out * n.hw)
    form.squeeze_excitation(n.c_out, "Cout", n.hw)
    if n.stride > 1 or n.c_in != n.c_out:
        form.conv("shortcut", "Cin·Cout", f"{n.c_in}·{n.c_out}", n.c_in * n.c_out)
        form.norm("Cout", n.c_out, n.hw)
    form.operate("addition", n.c_out * n.hw, "additions")
    cost = Fraction(n.k**2 + (n.k + 2) ** 2, 2) + 1 + Fraction(2, n.r)
    return form.close(
        n.k**2 / cost, "k² / ((k² + (k+2)²)/2 + 1 + 2/r) (without a shortcut convolution)",
        "Ullah et al., Cascade multiscale residual attention CNNs (MRA-UNet), Information "
        "Sciences 608, 2022 (named by GADNet, section 1)",
        "no layer sizes could be read: two kernels, k and k + 2, of h = ceil(Cout/2) maps each, a "
        "1×1 fusion, squeeze-and-excitation, and a residual addition",
        {"h": half}, "r",
    )  # fmt: skip


def conditional_weighting(n: Numbers) -> Closed:
    """Lite-HRNet's unit over the branches of a module."""
    same_channels(n, "ccw")
    if n.stride != 1:
        raise SpecError(f"stride={n.stride} changes the size, which block 'ccw' keeps; try 1")
    branches = n.extra["branches"]
    if branches > MOST_BRANCHES:
        raise SpecError(f"branches={branches} is above {MOST_BRANCHES}; try branches=4")
    multiple("c_in", n.c_in, 2, "halves")
    shrink = 2 ** (branches - 1)
    multiple("h", n.h, shrink, "2^(branches-1)")
    multiple("w", n.w, shrink, "2^(branches-1)")
    form = Form(n)
    halves = [n.c_in * 2**i // 2 for i in range(branches)]
    areas = [(n.h >> i) * (n.w >> i) for i in range(branches)]
    total, hidden = sum(halves), ceil_div(sum(halves), n.r)
    places = [
        Positions(f"H·W/{4**i}" if i else "H·W", f"{n.h >> i}·{n.w >> i}", area)
        for i, area in enumerate(areas)
    ]
    form.conv("cross-resolution", "2·A·ceil(A/r)", f"2·{total}·ceil({total}/{n.r})",
              2 * total * hidden, places[-1])  # fmt: skip
    form.norm("ceil(A/r)", hidden, areas[-1])
    form.norm("A", total, areas[-1])
    form.relu(hidden * areas[-1])
    form.operate("gating", 3 * total * areas[-1], "sigmoid")
    for i, (c, area) in enumerate(zip(halves, areas, strict=True), start=1):
        few = ceil_div(2 * c, n.r)
        form.conv(f"depthwise {i}", f"a{i}·k²", f"{c}·{n.k}²", c * n.k**2, places[i - 1])
        form.conv(f"spatial {i}", f"2·a{i}·ceil(2·a{i}/r)", f"2·{c}·ceil({2 * c}/{n.r})",
                  2 * c * few, ONCE)  # fmt: skip
        form.norm(f"a{i}", c, area)
        form.bias(f"ceil(2·a{i}/r) + a{i}", few + c)
        form.relu(few)
        form.operate("gating", 3 * c, "sigmoid")
        form.operate("pooling", c * area * (2 if i < branches else 1), "additions")
        form.operate("scaling", 2 * c * area, "multiplications")
    squares = sum(c * c for c in halves)
    limit = Fraction(n.k**2 * 4 * squares) / Fraction(2 * total**2 + 4 * squares, n.r)
    names = {"A": total, "B": branches} | {f"a{i}": c for i, c in enumerate(halves, start=1)}
    return form.close(
        limit, "k²·r·4·Σai² / (2·A² + 4·Σai²)",
        "Yu et al., Lite-HRNet, CVPR 2021, section 3.2",
        "one unit on B maps of Cin·2^i channels at H/2^i × W/2^i, half of each passing by; cross-"
        "resolution weighting reduces by r (8 in the official code), spatial weighting by r/2, "
        "with biases as there; P and G are k×k convolutions on all B maps",
        names, "r branches", _convolutions(n, places),
    )  # fmt: skip


def _convolutions(n: Numbers, places: list[Positions]) -> Closed:
    """What the unit replaces: an ordinary convolution on each of its maps."""
    form = Form(n)
    for i, place in enumerate(places):
        c = n.c_in * 2**i
        symbols = f"{4**i}·Cin²·k²" if i else "Cin²·k²"
        form.conv(f"primary {i + 1}", symbols, f"{c}²·{n.k}²", c * c * n.k**2, place)
        form.norm(f"{2**i}·Cin" if i else "Cin", c, place.positions)
        form.relu(c * place.positions)
    return form.close(Fraction(1), "1", "ordinary convolution")


def instance_aware_attention(n: Numbers) -> Closed:
    """DGIA: a convolution and a transformer encoder layer on its output."""
    form, c, wide = Form(n), n.c_out, 4 * n.c_out
    _primary(form)
    form.conv("query, key, value and output", "4·Cout²", f"4·{c}²", 4 * c**2)
    form.conv("feed-forward", "2·e·Cout", f"2·{wide}·{c}", 2 * wide * c)
    pairs = Positions("(H·W)²", f"({n.h}·{n.w})²", n.hw**2)
    form.product("attention", "2·Cout", f"2·{c}", 2 * c, pairs)
    form.bias("5·Cout + e", 5 * c + wide, n.hw)
    form.norms += [("Cout", c, n.hw)] * 2
    # batch normalisation has 2 operations an element; a row's mean and variance cost six more
    form.operate("layer normalisation", 2 * (6 * c + 1) * n.hw, "means, variances, roots")
    form.relu(wide * n.hw)
    form.operate("gating", 5 * n.hw**2, "softmax")
    form.operate("scaling", c * n.hw, "multiplications")
    form.operate("shortcut", 2 * c * n.hw, "additions")
    return form.close(
        n.k**2 / (n.k**2 + Fraction(12)), "k²/(k² + 12)",
        "Yang et al., DGIA, Pattern Recognition 2023 (named by GADNet, section 1); the encoder "
        "layer is Vaswani et al.'s, Attention Is All You Need, NIPS 2017, section 3",
        "a reconstruction: the text says that an instance-aware method supervises the attention, "
        "and gives no layer sizes; here one encoder layer with one head, so that there is one "
        "matrix of H·W×H·W to supervise, e = 4·Cout, biases throughout, no position embedding; "
        "the supervision belongs to training and costs no inference",
        {"e": wide},
    )  # fmt: skip


# block -> closed form
CLOSED_FORMS: dict[str, ClosedForm] = {
    "grouped": grouped,
    "dwsep": depthwise_separable,
    "inverted": inverted_residual,
    "shuffle1": shuffle_v1,
    "shuffle2": shuffle_v2,
    "se": squeeze_excitation,
    "cbam": cbam,
    "sk": selective_kernel,
    "dense": dense_block,
    "ccw": conditional_weighting,
    "stn": spatial_transformer,
    "mra": multiscale_attention,
    "dam": dense_attention,
    "dgia": instance_aware_attention,
}
