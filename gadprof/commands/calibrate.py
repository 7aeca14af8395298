"""``gadprof calibrate``: latency coefficients of a user's own device, from measurements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from gadprof.commands.options import command, format_option, packed, store_option
from gadprof.commands.show import show
from gadprof.output import Output, check_writable, tell, write_atomic
from gadprof.render.progress import Working

if TYPE_CHECKING:
    from gadprof.results.page import Page


@dataclass(frozen=True)
class Table:
    """What a CSV's measurements were made on; the store knows it."""

    kind: str | None
    dtype: str | None
    layout: str | None
    compiled: bool


@command(name="calibrate", example="gadprof calibrate --from here --device mybox -o mybox.json")
@click.argument("table", required=False, metavar="[FILE]")
@click.option(
    "--from",
    "source",
    type=click.Choice(["store", "csv", "here"]),
    required=True,
    help="Where the measurements are: the results store, the CSV FILE, or made here.",
)
@click.option("--device", metavar="NAME", default="mine", show_default=True, help="Its name.")
@packed(
    "about",
    Table,
    click.option(
        "--kind",
        type=click.Choice(["cpu", "gpu"]),
        help="CSV: what the device is.  [default: cpu]",
    ),
    click.option(
        "--dtype",
        type=click.Choice(["fp32", "fp16", "bf16", "amp"]),
        help="CSV: number format of the measurements.  [default: fp32]",
    ),
    click.option(
        "--layout", type=click.Choice(["nchw", "nhwc"]), help="CSV: memory layout.  [default: nchw]"
    ),
    click.option("--compiled", is_flag=True, help="CSV: the models ran through a compiler."),
)
@click.option(
    "--only", multiple=True, metavar="SETTING=VALUE", help="Store: take these, like threads=1."
)
@click.option(
    "--models",
    "count",
    type=click.IntRange(min=5),
    default=10,
    show_default=True,
    help="Here: so many models are timed, the most informative ones.",
)
@click.option("-o", "--output", required=True, metavar="FILE", help="Write the coefficients here.")
@format_option()
@store_option
def calibrate(
    table: str | None,
    source: str,
    device: str,
    about: Table,
    only: tuple[str, ...],
    count: int,
    output: str,
    output_format: str | None,
    store: str | None,
) -> int:
    """Fit the latency model to your own measurements; 'predict --coefficients FILE' uses it.

    \b
    gadprof calibrate --from here --device mybox -o mybox.json
    gadprof calibrate --from csv measured.csv --device mybox -o mybox.json
    gadprof bench hrnet32 gadnet32 timm:resnet18 timm:vgg11 timm:resnet50
    gadprof calibrate --from store --only threads=1 -o mybox.json

    The CSV has the columns model, batch, input and latency (seconds for the whole batch). From a
    few models another device's coefficients are scaled; the error is that of models left out.
    """
    from gadprof.prediction.calibrate import Device, measured_rows
    from gadprof.prediction.calibrate import calibrate as fit_to
    from gadprof.prediction.fits import fits_text
    from gadprof.prediction.measurements import read_csv, read_store

    check_writable(output)
    if source == "here":
        if table is not None or only:
            raise click.UsageError("--from here measures itself; leave FILE and --only out")
        target, lines, place = _measured_here(device, about, count)
    elif source == "csv":
        if table is None:
            raise click.UsageError(
                "--from csv needs a FILE; type: gadprof calibrate --from csv FILE"
            )
        if only:
            raise click.UsageError("--only chooses among the store's settings; leave it out")
        lines = read_csv(table)
        target = Device(
            device,
            about.layout or "nchw",
            about.dtype or "fp32",
            about.kind or "cpu",
            about.compiled,
        )
        place = table
    else:
        given = [("FILE", table), ("--kind", about.kind), ("--dtype", about.dtype)]
        given += [("--layout", about.layout)]
        extra = [name for name, value in given if value] + ["--compiled"] * about.compiled
        if extra:
            raise click.UsageError(f"the store knows its settings; leave out {', '.join(extra)}")
        lines, setting = read_store(store, _only(only))
        target = Device(
            device,
            "nhwc" if setting["channels_last"] else "nchw",
            "amp" if setting["amp"] else str(setting["dtype"]),
            "gpu" if str(setting["device"]).startswith("cuda") else "cpu",
            setting["runtime"] == "compile",
        )
        place = "results store: " + ", ".join(f"{k}={v}" for k, v in setting.items())
    rows, failed = measured_rows(lines, target)
    for model, error in failed:
        tell(f"gadprof: {model} is left out: {error}")
    with Working("fitting, left out") as work:
        fit = fit_to(rows, target, place, work.count)
    command = f"gadprof calibrate --from {source}"
    write_atomic(output, fits_text({fit.key: fit}, command))
    show(Output(output_format or "table"), _page(fit, failed, output))
    return 0


def _measured_here(device: str, about: Table, count: int) -> tuple[Any, Any, str]:
    """The most informative models, timed on this machine: the device, the lines, and in words."""
    from gadprof.measuring.bench import measure
    from gadprof.measuring.settings import Setting
    from gadprof.prediction.calibrate import Device, chosen_models
    from gadprof.prediction.measurements import Line
    from gadprof.render.live import live_view

    kind, dtype = about.kind or "cpu", about.dtype or "fp32"
    target = Device(device, about.layout or "nchw", dtype, kind, about.compiled)
    batch = 64 if kind == "gpu" else 1
    with Working("choosing models"):
        models = chosen_models(target, batch, count)
    tell(f"gadprof: timing {', '.join(models)}")
    setting = Setting(
        device="cuda" if kind == "gpu" else "cpu",
        batch=batch,
        dtype="fp32" if dtype == "amp" else dtype,  # type: ignore[arg-type]
        amp=dtype == "amp",
        channels_last=about.layout == "nhwc",
        runtime="compile" if about.compiled else "eager",
    )
    with live_view() as view:
        result = measure(models, setting, progress=view, null=False, memory=False, energy=False)
    for row in result.rows:
        if row.error:
            tell(f"gadprof: {row.model}: {row.error}")
    lines = tuple(
        Line(row.model, batch, (), float(row.latency_s.median))
        for row in result.rows
        if row.latency_s is not None
    )
    return target, lines, f"measured here: {setting.label}"


def _only(texts: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign:
            raise click.BadParameter(f"{text!r} is not SETTING=VALUE", param_hint="--only")
        found[key.strip()] = value.strip().lower()
    return found


def _page(fit: Any, failed: Sequence[tuple[str, str]], output: str) -> Page:
    """What was fitted, its error on what was left out, and the file that predict takes."""
    from gadprof.results.page import page_of
    from gadprof.results.plain import describe_machine
    from gadprof.results.sentences import counted
    from gadprof.results.table import Column, Table

    cv = fit.cv
    columns = (
        Column("device", "device", rank=0),
        Column("dtype", "dtype", rank=2),
        Column("layout", "layout", rank=2),
        Column("models", "models", "count", rank=1),
        Column("families", "families", "count", rank=3),
        Column("mean_absolute_error", "mean error", "share", rank=0),
        Column("median_absolute_error", "median", "share", rank=1),
        Column("within_10_percent", "within 10 %", "share", digits=0, rank=1),
    )
    row = (fit.device, fit.dtype, fit.layout, fit.models, fit.families,
           *(cv[column.key] for column in columns[5:]))  # fmt: skip
    notes = (
        f"{fit.method}; the errors are on what was left out, {cv['method']}",
        f"wrote {output}; type: gadprof predict MODEL --coefficients {output}",
    )
    document = {
        "device": fit.device,
        "layout": fit.layout,
        "dtype": fit.dtype,
        "models": fit.models,
        "families": fit.families,
        "method": fit.method,
        "error_on_what_was_left_out": dict(cv),
        "batches": [fit.least_batch, fit.most_batch],
        "left_out": [{"model": model, "error": error} for model, error in failed],
        "file": output,
        "machine": describe_machine(),
    }
    table = Table("fit", "", columns, (row,), notes=notes)
    words = (
        f"Fitted to {counted(fit.models, 'model')} on {fit.device}: the error on what was left out "
        f"is {100 * cv['mean_absolute_error']:.1f} % on average, "
        f"{100 * cv['median_absolute_error']:.1f} % in the median."
    )
    return page_of(table, document=document, name="calibrate", words=words)
