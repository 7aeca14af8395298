"""The public functions: arguments of the wrong kind, sizes and names that cannot be."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.fault_cases.case import Case

LONG = "9" * 5000
SMALL = "gadnet32:width=8,blocks=1-1-1-1,modules=1-1-1"
ANY_SIZE = (3, 250, 192)  # no size of a network that halves five times; a convolution takes it
# what no model string is; what no shape is
STRINGS: tuple[Any, ...] = ("", " ", "x", "x:y=1", "\x1b[2J", "\udcff", "a\0b", "x" * 100_000,
                            "gadnet32:s=0", f"gadnet32:s={LONG}", "gadnet32:blocks=999999999")  # fmt: skip
SHAPES: tuple[Any, ...] = ((3, -1, 8), (3, 0, 8), (0, 8, 8), ANY_SIZE, (1, 256, 192), (3,),
                           (3, 256, 192, 1), (3, 2**62, 2**62), (3, 10**30, 32), (-3, -256, -192))  # fmt: skip


def _conv() -> Any:
    from torch import nn

    return nn.Conv2d(3, 4, 3)


def _call(name: str, *arguments: Any, **options: Any) -> Any:
    """A public function, looked up where it is called."""
    import gadprof

    return getattr(gadprof, name)(*arguments, **options)


def _count_conv(inputs: Any) -> Any:
    return _call("count", _conv(), inputs)


def _calls() -> Iterator[tuple[str, Callable[[], Any]]]:
    import gadprof

    for text in STRINGS:
        name = text.encode("unicode_escape").decode()[:40]
        yield f"spec({name})", partial(_call, "spec", text)
        yield f"cost({name})", partial(_call, "cost", text)
        yield f"count({name})", partial(_call, "count", text)
        yield f"build({name})", partial(_call, "build", text)
        yield f"diff({name})", partial(_call, "diff", text, "gadnet32")
        yield f"formula({name})", partial(_call, "formula", text, c_in=8)
        yield f"predict({name})", partial(_call, "predict", "gadnet32", text)
    for shape in SHAPES:
        yield f"cost at {shape}", partial(_call, "cost", "gadnet32", shape)
        yield f"count at {shape}", partial(_call, "count", "gadnet32", shape)
        yield f"diff at {shape}", partial(_call, "diff", "gadnet32", SMALL, input=shape)
        if shape != ANY_SIZE:
            yield f"count a module at {shape}", partial(_count_conv, (1, *shape))
    for batch in (0, -1, 2**70, 10**400):
        yield f"cost of {str(batch)[:20]}", partial(_call, "cost", "gadnet32", batch=batch)
        yield f"count of {str(batch)[:20]}", partial(_call, "count", "gadnet32", batch=batch)
    for key, value in (("c_in", 0), ("c_in", -1), ("k", 0), ("k", -3), ("d", 0), ("s", 0), ("s", -1), ("r", 0), ("h", 0), ("stride", 0), ("nothing", 1)):  # fmt: skip
        sizes: dict[str, Any] = {"c_in": 32, "c_out": 32, key: value}
        yield f"formula with {key}={str(value)[:9]}", partial(_call, "formula", "ga", **sizes)
    for text in ("", "x", "3", "3x0x8", "3x8x8:nothing", "a=3x8x8,b", "3x-1x8", f"3x{LONG}x8",
                 "\x1b[2J", "nothing.pt", "x=[0x3]", "steps:=five"):  # fmt: skip
        yield f"count a module with {text[:20]!r}", partial(_count_conv, text)
    yield "count of half precision by a shape", lambda: gadprof.count(_conv().half(), (1, 3, 8, 8))
    yield "compare of nothing", lambda: gadprof.compare([])
    yield "report of nothing", lambda: gadprof.report([])
    yield "report of nothing's data", lambda: gadprof.report(["gadnet32"], data=["nothing.json"])
    yield "bench of nothing", lambda: gadprof.bench([])
    yield "bench on nothing", lambda: gadprof.bench(["gadnet32"], device="nothing")
    yield "audit of nothing", lambda: gadprof.audit("nothing")
    yield "audit by nobody", lambda: gadprof.audit("gadnet32", backends=["nobody"])
    yield "build with weights of nothing", lambda: gadprof.build(SMALL, weights="nothing.pt")
    yield "diff at a ref that is an option", lambda: gadprof.diff("--help", "HEAD", "x.py:build")


def _unharmed() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Counts that have to be right whatever is around them: a convolution has 3*4*9*36 MACs."""
    import torch

    import gadprof

    def right(found: Any) -> None:
        assert found.macs == 3 * 4 * 9 * 36, found.macs

    def count() -> None:
        right(gadprof.count(_conv(), (1, 3, 8, 8)))

    def within(context: Any) -> None:
        with context:
            count()

    def after(change: Callable[[Any], object], value: Any) -> None:
        change(value)
        count()

    def often() -> None:
        for _ in range(100):
            count()

    def hooked() -> None:
        module = _conv()
        module.register_forward_hook(lambda *a: gadprof.count(_conv(), (1, 3, 8, 8)))
        right(gadprof.count(module, (1, 3, 8, 8)))

    def threads() -> None:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(8) as pool:
            for found in pool.map(lambda _: gadprof.count(_conv(), (1, 3, 8, 8)), range(16)):
                right(found)

    def raising() -> None:
        from torch import nn

        class Raises(nn.Module):
            def forward(self, x: Any) -> Any:
                raise ValueError("no")

        with contextlib.suppress(gadprof.GadprofError):
            gadprof.count(Raises(), (1, 3, 8, 8))
        count()
        assert _conv()(torch.zeros(1, 3, 8, 8)).shape == (1, 4, 6, 6)

    yield "alone", count
    yield "within no_grad", lambda: within(torch.no_grad())
    yield "within inference_mode", lambda: within(torch.inference_mode())
    yield "within autocast", lambda: within(torch.autocast("cpu"))
    yield "within meta", lambda: within(torch.device("meta"))
    yield "within deterministic algorithms", partial(
        after, torch.use_deterministic_algorithms, True)  # fmt: skip
    yield "with another default type", partial(after, torch.set_default_dtype, torch.float64)
    yield "in a hook of a count", hooked
    yield "in eight threads", threads
    yield "after one that raised", raising
    yield "a hundred times", often
    yield "of frozen weights", lambda: right(gadprof.count(_conv().requires_grad_(False),
                                                           (1, 3, 8, 8)))  # fmt: skip
    yield "of half precision", lambda: right(gadprof.count(_conv().half(), "3x8x8:float16"))
    yield "of a tensor", lambda: right(gadprof.count(_conv(), torch.zeros(1, 3, 8, 8)))
    yield "of a text", lambda: right(gadprof.count(_conv(), "3x8x8"))


def _exact() -> Iterator[tuple[str, Callable[[], object], int]]:
    """Calls that look odd and have an answer, with that answer worked out by hand."""
    yield (
        "a convolution at 250x192",
        lambda: _count_conv((1, *ANY_SIZE)).macs,
        3 * 4 * 9 * 248 * 190,
    )
    yield "a picture of 3x8", lambda: _count_conv("3x8").macs, 3 * 4 * 9 * 1 * 6
    # GP = m·Cin·k² + g·d² + 2·m·ceil(m/r) with m = g = 16 holds for every positive integer
    for key, value, weights in (("c_in", 10**400, 144 * 10**400 + 176), ("d", 2, 4608 + 64 + 32)):
        sizes: dict[str, int] = {"c_in": 32, "c_out": 32, key: value}
        yield f"GP at {key}={str(value)[:9]}", partial(
            lambda sizes: _call("formula", "ga", **sizes).GP, sizes), weights  # fmt: skip
    yield "a batch of five", lambda: _call("cost", "gadnet32", batch=5).macs, 5 * 2_898_049_856


def _is(call: Callable[[], object], right: object) -> None:
    found = call()
    assert found == right, f"{found}, not {right}"


# arguments that a type checker refuses end in an error of Python's own, never in a wrong number
def _untyped() -> Iterator[tuple[str, Callable[[], Any]]]:
    values: tuple[Any, ...] = (None, 5, 2.5, b"x", [], {}, object(), Fraction(1, 2), float("nan"))
    for value in values:
        shown = f"{type(value).__name__} {str(value)[:12] if value is not None else ''}"
        shown = "an object" if "object at" in shown else shown
        yield f"spec of {shown}", partial(_call, "spec", value)
        yield f"cost at a shape of {shown}", partial(_call, "cost", "gadnet32", (3, value, 192))
        yield f"formula of {shown}", partial(_call, "formula", "ga", c_in=value)
        if value != 5:
            yield f"a batch of {shown}", partial(_call, "cost", "gadnet32", batch=value)


def _lazily(part: Callable[[], Iterator[tuple[str, Callable[[], Any]]]], name: str
            ) -> Callable[[Path], object]:  # fmt: skip
    """The call of that name, made where it runs, so that listing the cases imports nothing."""

    def call(_work: Path) -> object:
        return dict(part())[name]()

    return call


def cases() -> Iterator[Case]:
    """Each call in a process of its own."""
    for name, _ in _calls():
        yield Case(name, call=_lazily(_calls, name), exits=(1, 2), lines=9, limit_s=90)
    for name, _ in _unharmed():
        yield Case(f"a count {name}", call=_lazily(_unharmed, name), exits=(0,), limit_s=120)
    for name, call, right in _exact():
        yield Case(f"an answer: {name}", call=lambda _, c=call, r=right: _is(c, r), exits=(0,),
                   limit_s=90)  # fmt: skip
    for name, _ in _untyped():
        yield Case(f"untyped: {name}", call=_lazily(_untyped, name), exits=(1, 2, 98), limit_s=60)
