"""Everything that needs a CUDA card, in one run of at most eight minutes without a network.

    PYTHONPATH=. python benchmarks/on_gpu.py [-o on_gpu.json] [--page reports/cuda.md]
    PYTHONPATH=. python benchmarks/on_gpu.py --rebuild on_gpu.json --page reports/cuda.md

Each part has a share of the time, and what a part leaves goes to those after it; a part whose time
is gone is skipped with a word, one that fails says why, and what was measured is written after
every part. Beside the JSON, ``on_gpu_nchw.csv`` and ``on_gpu_nhwc.csv`` hold latencies as ``gadprof
calibrate`` reads them. ``--dry-run`` lists the parts and looks at the card; ``--device cpu`` tries
every part's code where there is no card, and writes no page.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import on_gpu_page
import on_gpu_parts as parts

from gadprof.errors import GadprofError, SettingError
from gadprof.measuring.launcher import measuring_worker
from gadprof.measuring.probes.nvml import card_state
from gadprof.measuring.settings import check_device
from gadprof.output import write_atomic
from gadprof.results.plain import describe_machine, to_plain

MINUTES = 8.0
RESERVE_S = 10.0  # for writing, and for what a part takes beyond its share
LEAST_S = 3.0  # with less than this a part is not begun


@dataclass(frozen=True)
class Part:
    """One part: its share of the whole time, and what measures it."""

    name: str
    share: float
    title: str
    run: Callable[[parts.Run], dict[str, Any]]


# the most valuable first; the shares are of a data-centre card
PARTS = (
    Part("tests", 0.09, "the tests that need a card", parts.tests),
    Part("theory", 0.27, "closed forms against measurement", parts.theory),
    Part("networks", 0.23, "the paper's networks against HRNet-W32", parts.networks),
    Part("agreement", 0.06, "a model against itself, and against other timers", parts.agreement),
    Part("memory", 0.13, "predicted against allocated memory", parts.memory),
    Part("explain", 0.08, "where the time of HRNet-W32 and GADNet-W32 goes", parts.explained),
    Part("latency", 0.14, "latency of timm models, predicted before", parts.latency),
)


def run_parts(run: parts.Run, seconds: float, keep: Callable[[dict[str, Any]], None]) -> None:
    """Run every part within the time; ``keep`` is given all that there is after each."""
    clock = run.clock
    started = clock()
    whole = sum(part.share for part in PARTS)
    found: dict[str, Any] = {}
    planned = 0.0
    for part in PARTS:
        planned += part.share / whole * seconds
        until = started + planned
        begun = clock()
        if until - begun < LEAST_S:
            found[part.name] = {"skipped": f"its time was gone: {until - begun:.0f} s were left"}
            keep(found)
            continue
        try:
            data = part.run(replace(run, until=until))
        except KeyboardInterrupt:
            found[part.name] = {"skipped": "interrupted"}
            keep(found)
            return
        except Exception as error:  # one part's failure is no other's
            data = {"failed": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
        found[part.name] = {**data, "seconds": round(clock() - begun, 1)}
        keep(found)


def describe(device: str) -> dict[str, Any]:
    """The machine, and of a card its name, driver, memory and who else uses it."""
    import torch

    plain: dict[str, Any] = {
        "device": device,
        "machine": to_plain(describe_machine(("torch", "timm", "triton"))),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
    }
    if device.startswith("cuda"):
        plain["name"] = torch.cuda.get_device_name(device)
        plain["cudnn"] = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
        plain["state"] = card_state(device)
    return plain


@click.command()
@click.option("--device", default="cuda", show_default=True, help="cuda, cuda:1, or cpu to try it.")
@click.option("--minutes", default=MINUTES, show_default=True, help="For everything.")
@click.option("-o", "--output", default="on_gpu.json", show_default=True, help="What was measured.")
@click.option("--page", "page_file", help="Write the page.")
@click.option("--rebuild", type=click.Path(path_type=Path, exists=True), help="Only the page.")
@click.option("--small", is_flag=True, help="One or two points of everything.")
@click.option("--dry-run", is_flag=True, help="Only say what would run, and on what.")
def main(
    device: str,
    minutes: float,
    output: str,
    page_file: str | None,
    rebuild: Path | None,
    small: bool,
    dry_run: bool,
) -> None:
    """Measure, keep and write."""
    if rebuild is not None:
        plain = json.loads(rebuild.read_text(encoding="utf-8"))
        write_atomic(page_file or "reports/cuda.md", on_gpu_page.page(plain))
        return
    try:
        check_device(device)
    except GadprofError as error:
        if not dry_run:
            raise click.ClickException(str(error)) from None
        click.echo(f"cannot run: {error}")
        device = "cpu"
    if page_file and device == "cpu":
        raise click.ClickException(str(SettingError("a page is of a card; leave out --page")))
    card = describe(device)
    for word in card.get("state", {}).get("words", ()):
        click.echo(word, err=True)
    whole = sum(part.share for part in PARTS)
    if dry_run:
        for part in PARTS:
            seconds = part.share / whole * minutes * 60
            click.echo(f"{part.name:10s} {seconds:4.0f} s  {part.title}")
        return
    result: dict[str, Any] = {
        "schema_version": 1,
        "card": card,
        "minutes": minutes,
        "small": small,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "parts": {},
    }

    def keep(found: dict[str, Any]) -> None:
        result["parts"] = found
        write_atomic(output, json.dumps(to_plain(result), indent=1) + "\n")
        name, last = list(found.items())[-1]
        word = last.get("skipped") or last.get("failed") or "done"
        click.echo(f"{name}: {word}", err=True)

    workers = parts.Workers(lambda: measuring_worker(threads=4))
    try:
        run = parts.Run(device=device, workers=workers, sizes=parts.SMALL if small else parts.WHOLE)
        run_parts(run, minutes * 60 - RESERVE_S, keep)
    finally:
        workers.close()
    for layout, text in parts.calibration_files(result["parts"].get("latency", {})).items():
        write_atomic(str(Path(output).with_suffix("")) + f"_{layout}.csv", text)
    if page_file:
        write_atomic(page_file, on_gpu_page.page(json.loads(json.dumps(to_plain(result)))))


if __name__ == "__main__":
    main()
