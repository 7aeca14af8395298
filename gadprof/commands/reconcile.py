"""``gadprof reconcile``: under which reading a published figure is true."""

from __future__ import annotations

import click

from gadprof.commands.options import (
    Within,
    command,
    input_option,
    limit_option,
    memory_limit_option,
    model_argument,
    packed,
    result_options,
    store_option,
    timeout_option,
)
from gadprof.commands.show import show
from gadprof.output import Output


@command(name="reconcile", example="gadprof reconcile hrnet32 --claimed 7.10G --params 28.5M")
@model_argument
@click.option(
    "--claimed",
    required=True,
    metavar="7.10G",
    help="The complexity as printed (G if it has no prefix).",
)
@click.option("--params", metavar="28.5M", help="The parameters as printed (M if without prefix).")
@input_option
@limit_option(12, "How many readings to print.")
@packed("within", Within, timeout_option("For a model that is code of yours."), memory_limit_option)
@result_options()
@store_option
def reconcile(
    model: str,
    claimed: str,
    params: str | None,
    input_texts: tuple[str, ...],
    limit: int,
    within: Within,
    out: Output,
    store: str | None,
) -> int:
    """List the readings (convention, unit, G, input, scope) that give a claimed figure."""
    from gadprof.audit.claims import parse_claim
    from gadprof.audit.reconcile import full
    from gadprof.audit.reconcile_page import reconciliation_page
    from gadprof.models.sources import given_inputs
    from gadprof.render.progress import Working
    from gadprof.store.recording import record_reconciliation

    parse_claim(claimed)
    if params is not None:
        parse_claim(params)
    (named,), shapes = given_inputs((model,), input_texts)
    with Working(f"trying readings of {model}"):
        result = full(named, claimed, params=params, shapes=shapes, **within.bounds)
    show(out, reconciliation_page(result, limit))
    record_reconciliation(result, store=store)
    return 0 if result.readings and (params is None or result.params) else 1
