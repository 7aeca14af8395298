"""``gadprof diff``: which modules of a model changed, appeared or went, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import click

from gadprof.commands.option_types import CARD
from gadprof.commands.options import (
    batch_option,
    command,
    input_option,
    memory_limit_option,
    packed,
    result_options,
    store_option,
    timeout_option,
)
from gadprof.commands.show import show
from gadprof.output import Output, tell

FIGURES = ("params", "macs", "flops", "activations", "peak_activation_bytes", "weight_bytes")


@dataclass(frozen=True)
class Given:
    """What both sides are counted with."""

    input_texts: tuple[str, ...]
    batch: int
    timeout: float
    memory_limit: int | None
    store: str | None


@command(name="diff", example="gadprof diff hrnet32 gadnet32")
@click.argument("words", nargs=-1, required=True, metavar="A B [MODEL]")
@click.option(
    "--device",
    "devices",
    type=CARD,
    metavar="NAME,…",
    help="Predict the latency on these devices too.",
)
@click.option(
    "--fail-on",
    "fail_on",
    multiple=True,
    metavar="FIGURE[=SHARE]",
    help="Exit 1 where a figure grows beyond a share (0 by default): params, macs, flops, "
    "activations, peak_activation_bytes, weight_bytes, latency; 'any' allows no change at all.",
)
@click.option(
    "--uncounted",
    type=click.Choice(["fail", "warn"]),
    default="fail",
    show_default=True,
    help="What --fail-on makes of a total that lacks an operation without a rule.",
)
@packed(
    "given",
    Given,
    input_option,
    batch_option,
    timeout_option("How long to wait for a model."),
    memory_limit_option,
    store_option,
)
@result_options()
def diff(
    words: tuple[str, ...],
    devices: str | None,
    fail_on: tuple[str, ...],
    uncounted: str,
    given: Given,
    out: Output,
) -> int:
    """Show what differs between two models, or between two states of one.

    \b
    gadprof diff hrnet32 hrnet32:block=cbam        two models
    gadprof diff main HEAD my_model.py:build       one model at two git refs
    gadprof diff main my_model.py:build            at a ref, and as it is here
    gadprof diff count.json my_model.py:build      kept by count … -o count.json

    Modules are matched by their path, and where names moved by type and shapes. The figures are
    exact, and the modules' differences add up to the totals'. Exits 1 where --fail-on says so.
    """
    import dataclasses

    from gadprof.gate.diff import compare_sides, judged
    from gadprof.gate.diff_sides import is_kept, sides
    from gadprof.models.sources import given_inputs
    from gadprof.render.progress import Working

    if not 2 <= len(words) <= 3:
        raise click.UsageError("name two sides, or two git refs and a MODEL")
    limits = _limits(fail_on)
    cards = tuple(filter(None, (part.strip() for part in (devices or "").split(","))))
    if "latency" in limits and not cards:
        raise click.UsageError("latency is that of a device; add for example --device rtx4090")
    both = words if len(words) == 2 and not any(map(is_kept, words)) else words[-1:]
    named, shapes = given_inputs(both, given.input_texts)
    with Working("counting both sides"):
        before, after = sides(
            (*words[: len(words) - len(both)], *named),
            shapes=shapes,
            batch=given.batch,
            devices=cards,
            timeout_s=given.timeout,
            memory_limit_bytes=given.memory_limit,
            store=given.store,
        )
    found = compare_sides(before, after)
    failures = judged(found, limits, unsettled=uncounted == "warn")
    found = dataclasses.replace(found, failures=failures)
    show(out, found.page())
    for failure in () if out.seen else found.failures:
        tell(f"gadprof: {failure.message}")
    return 1 if found.failures else 0


def _limits(texts: tuple[str, ...]) -> dict[str, Fraction | None]:
    """``macs=2%``, ``params`` and ``any``, several in one text parted by commas."""
    from gadprof.errors import ConfigError, nearest
    from gadprof.results.quantities import read_share

    known = (*FIGURES, "latency", "any")
    limits: dict[str, Fraction | None] = {}
    for part in (piece.strip() for text in texts for piece in text.split(",")):
        figure, equals, share = part.partition("=")
        if figure not in known:
            hint = nearest(figure, known) or f"; one of {', '.join(known)}"
            raise click.BadParameter(f"{figure!r} is no figure{hint}", param_hint="--fail-on")
        try:
            limits[figure] = read_share(share, f"--fail-on {figure}") if equals else None
        except ConfigError as error:
            raise click.UsageError(str(error)) from error
    return limits
