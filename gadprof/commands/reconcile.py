"""``gadprof reconcile``: under which reading a published figure is true."""

from __future__ import annotations

import click

from gadprof.commands.options import format_option, input_option, output_option, store_option


@click.command(name="reconcile")
@click.argument("model", metavar="MODEL")
@click.option(
    "--claimed",
    required=True,
    metavar="7.10G",
    help="The complexity as printed (G if it has no prefix).",
)
@click.option("--params", metavar="28.5M", help="The parameters as printed (M if without prefix).")
@input_option
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=12,
    show_default=True,
    help="How many readings to print.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=300.0,
    show_default=True,
    help="Seconds for a model that is code of yours.",
)
@format_option("table", "json", "md")
@output_option
@store_option
def reconcile(
    model: str,
    claimed: str,
    params: str | None,
    input_texts: tuple[str, ...],
    limit: int,
    timeout: float,
    output_format: str,
    output: str | None,
    store: str | None,
) -> int:
    """List the readings (convention, unit, G, input, scope) that give a claimed figure."""
    from gadprof.audit.claims import parse_claim
    from gadprof.audit.reconcile import full
    from gadprof.audit.reconcile_page import reconciliation_page
    from gadprof.models.sources import parse_shapes
    from gadprof.output import check_writable, emit
    from gadprof.render.tables import render
    from gadprof.store.recording import record_reconciliation

    if output is not None:
        check_writable(output)
    parse_claim(claimed)
    if params is not None:
        parse_claim(params)
    result = full(
        model, claimed, params=params, shapes=parse_shapes(input_texts), timeout_s=timeout
    )
    emit(render(reconciliation_page(result, limit), output_format), output)
    record_reconciliation(result, store=store)
    return 0 if result.readings and (params is None or result.params) else 1
