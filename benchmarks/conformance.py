"""The referee: our count of real models beside torch's own counter and every installed one.

python benchmarks/conformance.py --results FILE.jsonl [--seconds 600] [--package timm] [--model M]
python benchmarks/conformance.py --results FILE.jsonl --page reports/conformance.md

Every model of timm, and a fixed list of ten other packages (``benchmarks/unchanged.py``), by every
counter that is installed: the counter's own code runs, and its number less what its convention
makes of the model is the residual, 0 where every operation of the difference is named. One of each
architecture comes first, a small one, so that a run that was ended early stands for the whole;
``--results`` keeps a line a model, so that it goes on where it was.

timm's models run on the meta device, where no arithmetic happens, and the counters that replace
functions of torch are kept from seeing what its Python kernels call within. What a counter cannot
run there, and the other packages' small models, run with values on the CPU. A counter that fails
on a model fails by itself (its error is kept); a model that we cannot count is a fault.
"""

from __future__ import annotations

import contextlib
import gc
import json
import signal
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

# what may be computed with values where a counter fails without
MOST_MACS = 6_000_000_000
MOST_PARAMETERS = 150_000_000
SECONDS_A_COUNTER = 60

Built = tuple[Any, tuple[Any, ...], dict[str, Any]]


def waiting(packages: tuple[str, ...], done: set[str], results: Path) -> Iterator[tuple[str, str]]:
    """Package and model name of what was not judged yet, one of each architecture first.

    Each package is imported when its turn comes; the results say how many models it has.
    """
    later: list[tuple[str, list[list[str]]]] = []
    for package in packages:
        families: dict[str, list[str]] = {}
        for name, family in names_of(package):
            families.setdefault(family, []).append(name)
        write(results, {"package": package, "models": sum(map(len, families.values()))})
        gc.freeze()  # what was imported stays, and is not looked through after each model
        yield from _not_in(done, package, [names[0] for names in families.values()])
        later.append((package, [names[1:] for names in families.values()]))
    for package, rest in later:
        for turn in range(max(map(len, rest), default=0)):
            yield from _not_in(done, package, [item[turn] for item in rest if turn < len(item)])


def _not_in(done: set[str], package: str, names: list[str]) -> Iterator[tuple[str, str]]:
    return ((package, name) for name in names if f"{package}:{name}" not in done)


def names_of(package: str) -> list[tuple[str, str]]:
    """The models of a package with their architecture (a file of timm)."""
    if package == "timm":
        import timm

        from benchmarks.unchanged import SIGNS, timm_file

        small_first = sorted(timm.list_models(), key=lambda name: not any(
            sign in name for sign in SIGNS))  # fmt: skip
        return [(name, timm_file(name)) for name in small_first]
    from benchmarks.unchanged import PACKAGES

    try:
        return [(name, name) for name, _ in PACKAGES[package]()]
    except ImportError as error:
        click.echo(f"{package}: not installed ({error})", err=True)
        return []


def built(package: str, name: str, device: str) -> Built:
    """A model with random weights in eval mode, and its inputs."""
    import torch

    torch.manual_seed(0)
    if package == "timm":
        import timm

        with torch.device(device):
            model = timm.create_model(name).eval()
            size = model.default_cfg.get("input_size", (3, 224, 224))
            return model, (torch.randn(1, *size),), {}
    from benchmarks.unchanged import PACKAGES

    model, args, kwargs = dict(PACKAGES[package]())[name]()
    return model.eval(), args, kwargs


@contextlib.contextmanager
def limited(seconds: int) -> Iterator[None]:
    """End what takes more processor time, however busy the machine is. Raises TimeoutError."""

    def late(*_: Any) -> None:
        raise TimeoutError(f"took longer than {seconds} s of processor time")

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def judged(package: str, name: str) -> dict[str, Any]:
    """One model: our count, and for each counter what it reports, and what stays unexplained."""
    from gadprof.audit.audit import on_meta
    from gadprof.audit.observe import observe
    from gadprof.counting.count import count

    row: dict[str, Any] = {"model": f"{package}:{name}", "pairs": {}}
    started = time.process_time()
    try:
        with limited(SECONDS_A_COUNTER):
            model, args, kwargs = built(package, name, "meta" if package == "timm" else "cpu")
            trace = count(model, args, kwargs)
    except Exception as error:
        return {**row, "error": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"}
    row.update(macs=trace.macs, params=trace.params, uncovered=dict(trace.uncovered),
               device=trace.device, count_s=time.process_time() - started)  # fmt: skip
    small = trace.macs <= MOST_MACS and trace.params <= MOST_PARAMETERS
    without_values = trace.device == "meta"
    if without_values:
        model, args, kwargs = model.to("meta"), on_meta(args), on_meta(kwargs)
    elif package == "timm":
        model, args, kwargs = built(package, name, "cpu")

    def again() -> Any:
        return observe(*built(package, name, "cpu"))

    seen = observe(model, args, kwargs, again if small else None)
    row["pairs"].update(pairs(package, name, (model, args, kwargs), trace, seen, small))
    row["seconds"] = time.process_time() - started
    return row


def pairs(
    package: str, name: str, given: Built, trace: Any, seen: Any, small: bool
) -> dict[str, dict[str, Any]]:
    """Every installed counter's number of one model with its ledger in short."""
    from gadprof.audit.audit import explain_all
    from gadprof.audit.backends import installed_backends, run_backend
    from gadprof.audit.views.jit import Untraced
    from gadprof.audit.views.kernels import Unpatched

    installed = [item for item in installed_backends() if item != "gadprof"]
    found: dict[str, dict[str, Any]] = {}

    def kept(backend: str, given: Built, mode: Any, explained: Any) -> bool:
        try:
            with limited(SECONDS_A_COUNTER), mode:
                answer = run_backend(backend, *given)
            row = explained.row(answer)
        except Exception as error:
            found[backend] = {"error": f"{type(error).__name__}: {error}"}
            return False
        if answer.error is not None:
            found[backend] = {"error": answer.error}
            return False
        found[backend] = {"reported": row.reported, "residual": row.residual}
        found[backend]["causes"] = {item.cause: item.amount for item in row.differences}
        if row.unexplained:
            found[backend]["unexplained"] = row.unexplained
        return True

    failed = installed
    if trace.device == "meta" and package == "timm":
        with limited(3 * SECONDS_A_COUNTER):
            explained = explained_on_meta(installed, trace, seen)
        failed = []
        for backend in installed:
            mode = Untraced if backend in ("fvcore", "torchprofile") else Unpatched
            if not kept(backend, given, mode(), explained):
                failed.append(backend)
    if failed and (small or package != "timm"):
        with limited(3 * SECONDS_A_COUNTER):
            explained = explain_all(failed, trace, seen)
        with_values = built(package, name, "cpu")
        for backend in failed:
            kept(backend, with_values, contextlib.nullcontext(), explained)
            found[backend]["with values"] = True
    return found


def explained_on_meta(backends: list[str], trace: Any, seen: Any) -> Any:
    """The ledgers of counters that run on the meta device, where no kernel is fused."""
    from dataclasses import replace

    from gadprof.audit.audit import explain_all
    from gadprof.audit.conventions import aten, convention
    from gadprof.audit.ledger import make_ledger

    explained = explain_all(backends, trace, seen)
    unfused = {"torch": aten.read_torch_meta, "ptflops-aten": aten.read_ptflops_meta}
    ledgers = dict(explained.ledgers)
    for name, reader in unfused.items():
        ledgers[name] = make_ledger(convention(name), reader(seen, trace), trace)
    return replace(explained, ledgers=ledgers)


@click.command()
@click.option("--results", type=click.Path(path_type=Path), required=True)
@click.option("--seconds", default=600.0, show_default=True, help="When to begin no more models.")
@click.option("--package", "packages", multiple=True, help="Only these; all by default.")
@click.option("--model", "chosen", multiple=True, help="Only these, again, as package:name.")
@click.option("--page", type=click.Path(path_type=Path), help="Write the page, run nothing more.")
def main(results: Path, seconds: float, packages: tuple[str, ...], chosen: tuple[str, ...],
         page: Path | None) -> None:  # fmt: skip
    """Judge every model that was not judged before, or write down what was found."""
    import torch

    from benchmarks.unchanged import PACKAGES

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    rows, whole = read(results)
    if page is not None:
        from benchmarks.conformance_page import page as made

        page.write_text(made(rows.values(), whole))
        return
    deadline = time.monotonic() + seconds
    order = (tuple(item.partition(":")[::2]) for item in chosen) if chosen else waiting(
        packages or tuple(PACKAGES), set(rows), results)  # fmt: skip
    for package, name in order:
        if time.monotonic() > deadline:
            break
        try:
            row = judged(package, name)
        except Exception as error:
            row = {"model": f"{package}:{name}", "pairs": {}, "error": repr(error)[:300]}
        rows[row["model"]] = row
        write(results, row)
        bad = {key: pair.get("residual", pair.get("error"))
               for key, pair in row["pairs"].items() if pair.get("residual") != 0}  # fmt: skip
        if chosen or bad or "error" in row:
            click.echo(f"{row['model']}: {row.get('error', '')} {bad or 'every residual is 0'}")


def write(results: Path, row: dict[str, Any]) -> None:
    """Add a line."""
    with results.open("a") as stream:
        stream.write(json.dumps(row) + "\n")


def read(results: Path) -> tuple[dict[str, dict[str, Any]], dict[str, int]]:
    """The last line of each model, and the number of models of each package."""
    lines = results.read_text().splitlines() if results.exists() else []
    found = [json.loads(line) for line in lines]
    rows = {row["model"]: row for row in found if "model" in row}
    return rows, {row["package"]: row["models"] for row in found if "package" in row}


if __name__ == "__main__":
    main()
