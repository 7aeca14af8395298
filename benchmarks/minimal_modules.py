"""For each kind of disagreement the smallest module that shows it, to send to a counter's authors.

Every module is a few lines of torch and its input; the right number of multiply-adds is worked out
by hand in ``work``. ``ask`` runs the counter for real, on the CPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

HEADER = "import torch\nfrom torch import nn\nfrom torch.nn import functional as F\n"


@dataclass(frozen=True)
class Minimal:
    """One kind of disagreement: which counter shows it, on what, and the right number.

    ``kind`` is the cause that its ledger names. ``code`` defines ``model`` and ``x``; ``work`` is
    the number of multiply-adds by hand. ``reported`` is what the counter said when this was
    written, in its own unit, or how its error begins.
    """

    counter: str
    kind: str
    code: str
    work: str
    reported: int | str

    @property
    def macs(self) -> int:
        """The right number of multiply-adds."""
        total = 0
        for part in self.work.split(" + "):
            product = 1
            for factor in part.split(" x "):
                product *= int(factor)
            total += product
        return total


@dataclass(frozen=True)
class Answer:
    """What came of asking: our count, the counter's number or error, its residual and causes."""

    ours: int
    reported: int | float | None
    error: str
    residual: int | float | None
    causes: tuple[str, ...]


_ATTENTION = """\
class Attention(nn.Module):
    def forward(self, x):
        return F.scaled_dot_product_attention(x, x, x)

model, x = Attention(), torch.randn(1, 2, 16, 8)
"""
_FUNCTIONAL = """\
class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, 8))

    def forward(self, x):
        return F.linear(x, self.weight)

model, x = Functional(), torch.randn(3, 8)
"""
_PRODUCT = """\
class Product(nn.Module):
    def forward(self, x):
        return x @ x.transpose(1, 2)

model, x = Product(), torch.randn(2, 5, 8)
"""
_TRANSPOSED = "model, x = nn.ConvTranspose2d(4, 6, 3, stride=2), torch.randn(1, 4, 5, 5)\n"
_GROUPS = "model, x = nn.ConvTranspose2d(4, 4, 2, stride=2, groups=2), torch.randn(1, 4, 5, 5)\n"
_ONCE = "model, x = nn.Linear(8, 4, bias=False), torch.randn(1, 10, 8)\n"
_RELU = "model, x = nn.Sequential(nn.Linear(8, 4, bias=False), nn.ReLU()), torch.randn(3, 8)\n"
_NORM = (
    "model, x = nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), nn.BatchNorm2d(4)), "
    "torch.randn(1, 3, 8, 8)\n"
)
_LSTM = "model, x = nn.LSTM(8, 16, batch_first=True), torch.randn(1, 5, 8)\n"
_FAST = "model, x = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), torch.randn(1, 5, 8)\n"
_BIAS = "model, x = nn.Linear(8, 4), torch.randn(3, 8)\n"
_SUBCLASS = """\
class Own(nn.Conv2d):
    pass

model, x = Own(3, 4, 1, bias=False), torch.randn(1, 3, 8, 8)
"""
_BADDBMM = """\
class Added(nn.Module):
    def forward(self, x):
        return torch.baddbmm(x[:, :, :5], x, x.transpose(1, 2))

model, x = Added(), torch.randn(2, 5, 8)
"""
_EINSUM = """\
class Einsum(nn.Module):
    def forward(self, x):
        return torch.einsum("bij,bkj->bik", x, x)

model, x = Einsum(), torch.randn(2, 5, 8)
"""

_ATTENTION_WORK = "2 x 16 x 16 x 8 + 2 x 16 x 16 x 8"
_PRODUCT_WORK = "2 x 5 x 5 x 8"
_TRANSPOSED_WORK = "5 x 5 x 4 x 6 x 9"
_GROUPS_WORK = "5 x 5 x 4 x 2 x 4"
_LSTM_WORK = "5 x 4 x 16 x 8 + 5 x 4 x 16 x 16"
_FAST_WORK = "5 x 4 x 8 x 8 + 5 x 5 x 8 + 5 x 5 x 8 + 5 x 2 x 8 x 16"
_NORM_WORK = "8 x 8 x 3 x 4"

MINIMAL: tuple[Minimal, ...] = (
    Minimal("torch", "attention missed", _ATTENTION, _ATTENTION_WORK, 0),
    Minimal("torch", "recurrent layer missed", _LSTM, _LSTM_WORK, 0),
    Minimal("torch", "fast path missed", _FAST, _FAST_WORK, 0),
    Minimal("fvcore", "attention missed", _ATTENTION, _ATTENTION_WORK, 0),
    Minimal("fvcore", "recurrent layer missed", _LSTM, _LSTM_WORK, 0),
    Minimal("fvcore", "operation without a rule", _BADDBMM, _PRODUCT_WORK, 0),
    Minimal("fvcore", "normalisation", _NORM, _NORM_WORK, 1280),
    Minimal("ptflops", "attention missed", _ATTENTION, _ATTENTION_WORK, 0),
    Minimal("ptflops", "functional call missed", _FUNCTIONAL, "3 x 8 x 4", 0),
    Minimal("ptflops", "functional call missed", _PRODUCT, _PRODUCT_WORK, 0),
    Minimal("ptflops", "module type not known", _SUBCLASS, _NORM_WORK, 0),
    Minimal("ptflops", "hooks divided by the batch", _BIAS, "3 x 8 x 4", 36),
    Minimal("ptflops", "counted by the module and again by the patched function", _RELU,
            "3 x 8 x 4", 48),
    Minimal("ptflops-aten", "attention missed", _ATTENTION, _ATTENTION_WORK, 0),
    Minimal("ptflops-aten", "recurrent layer missed", _LSTM, _LSTM_WORK, 0),
    Minimal("ptflops-aten", "operation without a rule", _BADDBMM, _PRODUCT_WORK, 0),
    Minimal("ptflops-aten", "bias", _BIAS, "3 x 8 x 4", 108),
    Minimal("torchinfo", "parameters counted once a sample instead of once a position", _ONCE,
            "10 x 8 x 4", 32),
    Minimal("torchinfo", "parameters counted once a sample instead of once a position", _SUBCLASS,
            _NORM_WORK, 12),
    Minimal("torchinfo", "transposed convolution counted at the output instead of the input",
            _TRANSPOSED, _TRANSPOSED_WORK, 26862),
    Minimal("torchinfo", "functional call missed", _PRODUCT, _PRODUCT_WORK, 0),
    Minimal("torchprofile", "transposed convolution counted at the output instead of the input",
            _TRANSPOSED, _TRANSPOSED_WORK, 26136),
    Minimal("ultralytics-thop", "gates of a recurrent layer", _LSTM, _LSTM_WORK, 8960),
    Minimal("ultralytics-thop", "functional call missed", _BADDBMM, _PRODUCT_WORK, 0),
    Minimal("ultralytics-thop", "normalisation", _NORM, _NORM_WORK, 1792),
    Minimal("calflops", "groups of a transposed convolution divided twice", _GROUPS, _GROUPS_WORK,
            808),
    Minimal("calflops", "normalisation", _NORM, _NORM_WORK, 2048),
    Minimal("calflops", "a model without parameters", _PRODUCT, _PRODUCT_WORK, "StopIteration"),
)  # fmt: skip


def ask(minimal: Minimal) -> Answer:
    """Run one minimal module by its counter and by ours."""
    import torch

    from gadprof.audit.audit import explain
    from gadprof.audit.backends import run_backend
    from gadprof.audit.observe import observe
    from gadprof.counting.count import count

    torch.manual_seed(0)
    space: dict[str, Any] = {}
    exec(HEADER + minimal.code, space)  # the texts above
    model, inputs = space["model"].eval(), (space["x"],)
    trace = count(model, inputs)
    answer = run_backend(minimal.counter, model, inputs)
    row = explain(answer, trace, observe(model, inputs))
    return Answer(
        trace.macs,
        answer.reported,
        answer.error or "",
        row.residual,
        tuple(difference.cause for difference in row.differences),
    )
