"""The referee: our count of real models beside torch's own counter and every installed one.

python benchmarks/conformance.py --results FILE [--workers 2] [--seconds 600] [--every]

Every model of timm is built on the meta device, counted by gadprof and by torch's own counter with
its meta tensors; both must agree, or the convention that states what torch's counter leaves out
must say why (residual 0). ``--every`` also runs each installed counter on the CPU for models of at
most 30 million parameters and asks for the residual of each. ``--results`` keeps a line a model, so
that a run goes on where it was stopped; ``--seconds`` ends it early. ``--page`` writes what was
really run as markdown.
"""

from __future__ import annotations

import json
import time
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import click

LARGEST = 30_000_000


def judged(name: str, every: bool) -> dict[str, Any]:
    """One model's counts and residuals as plain values."""
    import timm
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from gadprof.audit.audit import explain
    from gadprof.audit.backends import installed_backends, run_backend
    from gadprof.audit.conventions import total
    from gadprof.audit.observe import observe
    from gadprof.counting.count import count

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    row: dict[str, Any] = {"model": name, "residuals": {}, "words": ""}
    started = time.perf_counter()
    try:
        with torch.device("meta"):
            model = timm.create_model(name).eval()
        size = model.default_cfg.get("input_size", (3, 224, 224))
        x = torch.zeros(1, *size, device="meta")
        trace = count(model, (x,))
        row.update(params=trace.params, macs=trace.macs, uncovered=dict(trace.uncovered))
        row["device"], row["seconds"] = trace.device, time.perf_counter() - started
        seen = observe(model, (x,))
        model.requires_grad_(False)  # torch's module tracker fails on parameters that are inputs
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), counter:
            model(x)
        reported = int(counter.get_total_flops())
        row["torch"] = reported
        row["residuals"]["torch on meta"] = reported - total("torch-meta", seen, trace)
        if every and trace.params <= LARGEST:
            names = [item for item in installed_backends() if item != "gadprof"]
            real = timm.create_model(name).eval()
            for backend in names:
                answer = run_backend(backend, real, (torch.randn(1, *size),))
                judgement = explain(answer, trace, seen)
                if answer.error is None:
                    row["residuals"][backend] = judgement.residual
    except Exception as error:
        row["words"] = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    return row


def page(rows: list[dict[str, Any]]) -> str:
    """What was run, as markdown."""
    counted = [row for row in rows if "macs" in row]
    pairs = [(row["model"], name, amount) for row in counted
             for name, amount in row["residuals"].items()]  # fmt: skip
    explained = [pair for pair in pairs if pair[2] == 0]
    equal = [row for row in counted if row.get("torch") == 2 * row["macs"]]
    lines = [
        "# Conformance",
        "",
        f"{len(rows)} models of timm were tried; {len(counted)} were counted, "
        f"{sum(bool(row['uncovered']) for row in counted)} of them with an operation that has no "
        f"rule. Torch's own counter on the meta device reports exactly twice our MACs for "
        f"{len(equal)}. Of {len(pairs)} pairs of a model and a counter {len(explained)} are "
        "explained to residual 0.",
        "",
        "| counter | models | residual 0 |",
        "| --- | ---: | ---: |",
    ]
    tried = Counter(name for _, name, _ in pairs)
    right = Counter(name for _, name, _ in explained)
    lines += [f"| {name} | {tried[name]} | {right[name]} |" for name in sorted(tried)]
    rest = [f"- {model}, {name}: residual {amount:,}" for model, name, amount in pairs if amount]
    failed = [f"- {row['model']}: {row['words']}" for row in rows if row["words"]]
    for title, listed in (("Not explained", rest), ("Not run", failed)):
        if listed:
            lines += ["", f"## {title}", "", *listed]
    return "\n".join(lines) + "\n"


@click.command()
@click.option("--workers", default=2, show_default=True)
@click.option("--seconds", default=600.0, show_default=True, help="When to stop asking for more.")
@click.option("--every", is_flag=True, help="Every installed counter, on the CPU.")
@click.option("--results", type=click.Path(path_type=Path), required=True)
@click.option("--page", "target", type=click.Path(path_type=Path))
def main(workers: int, seconds: float, every: bool, results: Path, target: Path | None) -> None:
    """Judge every model of timm that was not judged before."""
    import timm

    kept = results.read_text().splitlines() if results.exists() else []
    rows = [json.loads(line) for line in kept]
    done = {row["model"] for row in rows}
    waiting = [name for name in timm.list_models() if name not in done]
    deadline = time.monotonic() + seconds
    with ProcessPoolExecutor(workers) as pool, results.open("a") as stream:
        running = {pool.submit(judged, name, every) for name in waiting[: 2 * workers]}
        rest = iter(waiting[2 * workers :])
        while running:
            for future in as_completed(running):
                running.remove(future)
                rows.append(future.result())
                stream.write(json.dumps(rows[-1]) + "\n")
                stream.flush()
                name = next(rest, None) if time.monotonic() < deadline else None
                if name is not None:
                    running.add(pool.submit(judged, name, every))
                break
    text = page(rows)
    click.echo(text)
    if target is not None:
        target.write_text(text)


if __name__ == "__main__":
    main()
