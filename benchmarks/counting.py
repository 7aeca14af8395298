"""How fast hrnet32 is counted: by gadprof, and by the other counters, interleaved in one run.

python benchmarks/counting.py [--rounds 9] [--processes 5] [--model hrnet32]
python benchmarks/counting.py --timm 60 --rounds 2
python benchmarks/counting.py --timm 0 --processes 5

In process, every tool counts a module that is built already, once on the meta device and once on
the CPU, and its faster way stands. As a process, every tool's script imports, builds and counts,
again both ways. Targets: 0.10 of the fastest rival in process, 0.6 as a process. Tools that are
not installed are left out, and named.

``--timm`` counts that many models of timm instead, spread over its files, each built once on the
meta device; processor seconds, so that other work on the machine does not show. A rival that does
not run on meta (fvcore) is the slower for it and left out, and said. It also says what all of
timm's models would take, and compares the whole process of ``gadprof count timm:resnet50`` with
one that imports torch and timm alone. Targets there: 0.15 in the median, 40 minutes on two
processors, 1.1.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.metadata
import importlib.util
import io
import os
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import click

RIVALS = {
    "thop": ("thop", ("ultralytics-thop", "thop")),
    "ptflops": ("ptflops", ("ptflops",)),
    "fvcore": ("fvcore", ("fvcore",)),
    "torchinfo": ("torchinfo", ("torchinfo",)),
    "torch": ("torch", ("torch",)),
}
TARGET_IN_PROCESS = 0.10
TARGET_PROCESS = 0.6
TARGET_TIMM = 0.15
TARGET_ALL_MINUTES = 40.0
TARGET_IMPORTS = 1.1

SCRIPT = """
import torch
from gadprof import build, spec
{imports}
design = spec({model!r})
with torch.device({device!r}):
    module = build(design).eval()
x = torch.zeros((1, *design.default_input), device={device!r})
{count}
"""
IMPORTS = {
    "thop": "from thop import profile",
    "ptflops": "from ptflops import get_model_complexity_info",
    "fvcore": "from fvcore.nn import FlopCountAnalysis",
    "torchinfo": "from torchinfo import summary",
    "torch": "from torch.utils.flop_counter import FlopCounterMode",
}
COUNTS = {
    "thop": "print(profile(module, inputs=(x,), verbose=False))",
    "ptflops": (
        "print(get_model_complexity_info(module, (1,), as_strings=False, "
        "print_per_layer_stat=False, input_constructor=lambda _: x))"
    ),
    "fvcore": "print(FlopCountAnalysis(module, x).total())",
    "torchinfo": "print(summary(module, input_data=x, verbose=0).total_mult_adds)",
    "torch": (
        "counter = FlopCounterMode(display=False)\n"
        "with torch.no_grad(), counter:\n    module(x)\nprint(counter.get_total_flops())"
    ),
}


def counter_of(tool: str) -> Callable[[Any, Any], int]:
    """A function of a module and its input that counts once with one rival."""
    if tool == "thop":
        from thop import profile

        return lambda module, x: int(profile(module, inputs=(x,), verbose=False)[0])
    if tool == "ptflops":
        from ptflops import get_model_complexity_info

        return lambda module, x: int(
            get_model_complexity_info(
                module,
                (1,),
                as_strings=False,
                print_per_layer_stat=False,
                input_constructor=lambda _: x,
            )[0]
        )
    if tool == "fvcore":
        from fvcore.nn import FlopCountAnalysis

        def fvcore(module: Any, x: Any) -> int:
            analysis = FlopCountAnalysis(module, x)
            analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
            return int(analysis.total())

        return fvcore
    if tool == "torchinfo":
        from torchinfo import summary
        from torchinfo.torchinfo import clear_cached_forward_pass

        def torchinfo(module: Any, x: Any) -> int:
            result = summary(module, input_data=x, verbose=0)
            clear_cached_forward_pass()
            return int(result.total_mult_adds)

        return torchinfo

    def own(module: Any, x: Any) -> int:
        import torch
        from torch.utils.flop_counter import FlopCounterMode

        counter = FlopCounterMode(display=False)
        with torch.no_grad(), counter:
            module(x)
        return int(counter.get_total_flops())

    return own


def ours(module: Any, x: Any) -> int:
    """Our count: totals and a record of every module."""
    import gadprof

    return gadprof.count(module, x).macs


def ours_with_records(module: Any, x: Any) -> int:
    """Our count, and then every operation's record read."""
    import gadprof

    trace = gadprof.count(module, x)
    return sum(operation.macs for operation in trace.operations)


def in_process(model: str, tools: list[str], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of each count by tool and device, interleaved; the first round is warm-up."""
    import torch

    from gadprof import build, spec

    design = spec(model)
    counters = {tool: counter_of(tool) for tool in tools}
    counters["gadprof"] = ours
    counters["gadprof, records read"] = ours_with_records
    seconds: dict[str, dict[str, list[float]]] = {tool: {} for tool in counters}
    broken: set[tuple[str, str]] = set()
    for turn in range(rounds + 1):
        for tool, count in counters.items():
            for device in ("meta", "cpu"):
                if (tool, device) in broken or (device == "cpu" and tool.startswith("gadprof")):
                    continue
                with torch.device(device):
                    module = build(design).eval()
                x = torch.zeros((1, *design.default_input), device=device)
                gc.collect()
                with contextlib.redirect_stdout(io.StringIO()):
                    started = time.perf_counter()
                    try:
                        count(module, x)
                    except Exception as error:
                        broken.add((tool, device))
                        click.echo(f"{tool} on {device}: {type(error).__name__}", err=True)
                        continue
                    taken = time.perf_counter() - started
                if turn:
                    seconds[tool].setdefault(device, []).append(taken)
    return seconds


def processes(model: str, tools: list[str], runs: int) -> dict[str, dict[str, list[float]]]:
    """Wall and processor seconds of each tool's whole process, interleaved; the first is warm-up.

    Keys are the tool and "wall meta", "cpu meta" (processor time) and so on.
    """
    commands = {
        (tool, device): [
            sys.executable,
            "-W",
            "ignore",
            "-c",
            SCRIPT.format(imports=IMPORTS[tool], model=model, device=device, count=COUNTS[tool]),
        ]
        for tool in tools
        for device in ("meta", "cpu")
    }
    commands["gadprof", "meta"] = [sys.executable, "-m", "gadprof", "count", model]
    commands["import torch", "-"] = [sys.executable, "-c", "import torch"]
    seconds: dict[str, dict[str, list[float]]] = {}
    for turn in range(runs + 1):
        for (tool, device), command in list(commands.items()):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            started = time.perf_counter()
            done = subprocess.run(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
            )
            wall = time.perf_counter() - started
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            if done.returncode:
                click.echo(f"{tool} on {device} exits {done.returncode}", err=True)
                del commands[tool, device]
                continue
            if turn:
                used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                place = seconds.setdefault(tool, {})
                place.setdefault(f"wall {device}", []).append(wall)
                place.setdefault(f"cpu {device}", []).append(used)
    return seconds


def spread(number: int) -> list[str]:
    """That many models of timm in equal steps through its list, which is sorted by architecture."""
    import timm

    names = timm.list_models()
    return [names[(2 * place + 1) * len(names) // (2 * number)] for place in range(number)]


def over_timm(number: int, tools: list[str], rounds: int) -> None:
    """Count models of timm with every tool in turn, and print the ratios and an extrapolation."""
    import timm
    import torch

    torch.set_num_threads(1)
    counters = {tool: counter_of(tool) for tool in tools if tool != "fvcore"}
    counters["gadprof"] = ours
    ratios: list[float] = []
    whole: list[float] = []
    fastest: list[str] = []
    for name in spread(number):
        started = time.process_time()
        with torch.device("meta"):
            module = timm.create_model(name).eval().requires_grad_(False)
        x = torch.zeros((1, *module.default_cfg.get("input_size", (3, 224, 224))), device="meta")
        built = time.process_time() - started
        taken: dict[str, list[float]] = {}
        for turn in range(rounds + 1):
            for tool, count in counters.items():
                gc.collect()
                with contextlib.redirect_stdout(io.StringIO()):
                    started = time.process_time()
                    with contextlib.suppress(Exception):
                        count(module, x)
                        if turn:
                            took = time.process_time() - started
                            taken.setdefault(tool, []).append(took)
        middles = {tool: statistics.median(values) for tool, values in taken.items()}
        rivals = {tool: middle for tool, middle in middles.items() if tool != "gadprof"}
        if "gadprof" not in middles or not rivals:
            click.echo(f"  {name}: not counted", err=True)
            continue
        fastest.append(min(rivals, key=lambda tool: rivals[tool]))
        ratios.append(middles["gadprof"] / rivals[fastest[-1]])
        whole.append(built + middles["gadprof"])
        click.echo(f"  {name:44s} {1e3 * middles['gadprof']:8.1f} ms  {ratios[-1]:6.3f} x")
    middle = statistics.median(ratios)
    everything = statistics.mean(whole) * len(timm.list_models()) / 2 / 60
    often = max(set(fastest), key=fastest.count)
    click.echo(
        f"\n{len(ratios)} models of timm on the meta device, processor time: median ratio to the "
        f"fastest rival (mostly {often}) {middle:.3f}, target {TARGET_TIMM}; built and counted in "
        f"{statistics.mean(whole):.2f} s each, all {len(timm.list_models())} in {everything:.1f} "
        f"minutes on two processors, target {TARGET_ALL_MINUTES:g}"
    )


def against_imports(runs: int) -> None:
    """The process that counts timm's resnet50 beside one that imports torch and timm, in turn."""
    commands = {
        "import torch, timm": [sys.executable, "-c", "import torch, timm"],
        "gadprof count timm:resnet50": [sys.executable, "-m", "gadprof", "count", "timm:resnet50"],
    }
    used: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(runs + 1):
        for name, command in commands.items():
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            if turn:
                used[name].append(
                    after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                )
    plain, counted = (statistics.median(values) for values in used.values())
    click.echo(
        f"whole process, processor time (median of {runs}): {counted:.2f} s, imports alone "
        f"{plain:.2f} s, {counted / plain:.2f} x, target {TARGET_IMPORTS}"
    )


def report(title: str, middles: dict[str, float], target: float) -> None:
    """Print one table of seconds and ratios to the fastest rival."""
    rivals = {name: value for name, value in middles.items() if name in RIVALS}
    fastest = min(rivals, key=lambda name: rivals[name])
    click.echo(f"\n{title} (median; fastest rival: {fastest})")
    for name, value in sorted(middles.items(), key=lambda item: item[1]):
        ratio = value / rivals[fastest]
        goal = ""
        if name == "gadprof":
            goal = f"  target {target:g}: {'met' if ratio <= target else 'not met'}"
        click.echo(f"  {name:24s} {1e3 * value:9.1f} ms  {ratio:6.3f} x{goal}")


@click.command()
@click.option("--model", default="hrnet32", show_default=True)
@click.option("--rounds", default=9, show_default=True, help="Counts in process of each tool.")
@click.option("--processes", "runs", default=5, show_default=True, help="Processes of each tool.")
@click.option("--timm", "spread_over", type=int, help="Count so many of timm's models instead.")
def main(model: str, rounds: int, runs: int, spread_over: int | None) -> None:
    """Count one built-in model with every installed tool, in turn."""
    from gadprof.results.plain import describe_machine

    warnings.simplefilter("ignore")
    tools = [tool for tool, (module, _) in RIVALS.items() if importlib.util.find_spec(module)]
    machine = describe_machine()
    subject = model if spread_over is None else "timm"
    click.echo(f"{subject} on {machine.cpu}, {os.cpu_count()} processors, Python {machine.python}")
    for tool, (_, names) in RIVALS.items():
        found = [name for name in names if _version(name)]
        click.echo(f"  {tool}: " + (f"{found[0]} {_version(found[0])}" if found else "missing"))
    if spread_over is not None:
        if spread_over:
            over_timm(spread_over, tools, rounds)
        if runs:
            against_imports(runs)
        return
    if rounds:
        seconds = in_process(model, tools, rounds)
        middles = {
            tool: min(statistics.median(values) for values in ways.values())
            for tool, ways in seconds.items()
        }
        report("in process, from a built module", middles, TARGET_IN_PROCESS)
    if runs:
        whole = processes(model, tools, runs)
        for clock, words in (("wall", "elapsed"), ("cpu", "processor time")):
            middles = {
                tool: min(
                    statistics.median(values)
                    for key, values in ways.items()
                    if key.startswith(clock)
                )
                for tool, ways in whole.items()
            }
            report(f"whole process, {words}", middles, TARGET_PROCESS)


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


if __name__ == "__main__":
    main()
