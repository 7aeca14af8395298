"""``gadprof devices``: what is known of every device that a latency can be predicted for.

Promises one line a fit that gadprof carries, and one a device that has a data sheet alone, each
with its modes, number format, batches and stated error. Imports no torch.
"""

from __future__ import annotations

from typing import Any

import click

from gadprof.commands.options import command, result_options
from gadprof.commands.show import show
from gadprof.output import Output


@command(name="devices")
@click.option(
    "--coefficients", metavar="FILE", help="List what this file of 'gadprof calibrate' holds."
)
@result_options("latex")
def devices(coefficients: str | None, out: Output) -> None:
    """Every device that 'gadprof predict --device' knows, and how well.

    'measured' devices were fitted to public measurements, 'data sheet' ones are moved from those by
    peak rates, 'calibrated' ones come from a file of yours. The error is that on model families
    which the fit never saw.
    """
    from gadprof.prediction.fits import all_fits
    from gadprof.prediction.page import devices_table
    from gadprof.results.page import page_of

    known = all_fits(coefficients)
    document = {"devices": [_plain(by, fit) for by, fit in known]}
    show(out, page_of(devices_table(known), document=document, name="devices"))


def _plain(by: str, fit: Any) -> dict[str, Any]:
    return {
        "key": fit.key,
        "device": fit.device,
        "known_by": by,
        "mode": fit.mode,
        "layout": fit.layout,
        "dtype": fit.dtype,
        "reparam": fit.reparam,
        "batches": [fit.least_batch, fit.most_batch],
        "least_kernel_s": fit.least_kernel_s,
        "models": fit.models,
        "families": fit.families,
        "source": fit.source,
        "method": fit.method,
        "error_on_unseen_families": dict(fit.cv),
    }
