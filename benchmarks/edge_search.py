"""The page of edge-hrnet32: how it was found, and how fast it is in which runtime.

    PYTHONPATH=. python benchmarks/edge_search.py -o reports
        [--measure RUNTIME:PRECISION … --keep FOLDER] [--search FILE --command TEXT]

Without options it makes the page from ``data/edge-search.json``. ``--measure`` times the network
beside gadnet32 and hrnet32 in a runtime and keeps the figures there as each runtime ends, with the
converted files in ``--keep``; ``--search`` takes over the JSON that ``gadprof search … --format
json`` wrote, and the command that wrote it. Refuses what was interrupted.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from gadprof.networks.cost import cost_of
from gadprof.networks.plan_trace import count_plan
from gadprof.networks.receptive import receptive_field
from gadprof.networks.spec import parse_spec, plan_of
from gadprof.output import write_atomic, write_folder
from gadprof.render.page_files import index_page, page_files
from gadprof.results.page import Page, Section
from gadprof.results.plain import to_json
from gadprof.results.table import Column, Table

NETWORK, REFERENCE, SLOWEST = "edge-hrnet32", "gadnet32", "hrnet32"
WANTED = ("onnxruntime:fp32", "onnxruntime:int8", "openvino:fp32", "openvino:int8",
          "executorch:fp32", "executorch:int8")  # fmt: skip
INPUT = (3, 256, 192)
DATA = "data/edge-search.json"
# the ablations in which it was trained beside the others, by what they were trained on
TRAINED = {"four pictures": "ablation-four-pictures", "stick figures": "ablation"}
KEPT = ("latency_s", "ratio", "ci95", "launches", "error")
TOLD = ("file_bytes", "snr_db", "joints_within_cell")

Plain = dict[str, Any]


def measured(text: str, keep: str | None) -> Plain:
    """The three networks in one runtime, against the reference; their files are in ``keep``."""
    from gadprof.measuring.bench import measure
    from gadprof.measuring.settings import read_runtime

    result = measure(
        [REFERENCE, NETWORK, SLOWEST], read_runtime(text),
        precision=0.02, time_limit_s=120.0, timeout_s=1800.0, memory=False, energy=False, keep=keep,
    )  # fmt: skip
    if result.interrupted:
        raise KeyboardInterrupt
    rows: Plain = {}
    for row in result.rows:
        rows[row.model] = {
            "latency_s": row.latency_s.median if row.latency_s else None,
            "ratio": row.ratio.value if row.ratio else None,
            "ci95": row.ratio.ci95 if row.ratio else None,
            "launches": row.ratio.launches if row.ratio else None,
            "error": row.error,
            **{name: (row.deployed or {}).get(name) for name in TOLD},
        }
    version = next((row.runtime_version for row in result.rows if row.runtime_version), "")
    return {"version": version, "machine": result.machine, "rows": rows}


def times(found: Plain, model: str) -> float | None:
    """How many times as fast as the reference a model was measured, or None."""
    ratio = found["rows"].get(model, {}).get("ratio")
    return 1 / ratio if ratio else None


def seen(model: str) -> int:
    """The receptive field of a built-in network in pixels, the smaller side."""
    trace = count_plan(parse_spec(model), INPUT)
    assert trace is not None
    return min(receptive_field(trace))


def how_fast(speeds: Mapping[str, float]) -> str:
    """The median over what was measured, and the least."""
    if not speeds:
        return "was measured in no runtime yet"
    least = min(speeds, key=lambda text: speeds[text])
    return (
        f"is {statistics.median(speeds.values()):.2f} times as fast at the median of {len(speeds)} "
        f"runtimes and precisions, {speeds[least]:.2f} times in the least favourable ({least})"
    )


def summary(data: Plain) -> tuple[str, ...]:
    """The answer, what it rests on, and what is not there yet."""
    kept = {text: found for text, found in data["measured"].items() if times(found, NETWORK)}
    speeds = {text: times(found, NETWORK) or 0.0 for text, found in kept.items()}
    missing = [text for text in WANTED if text not in speeds]
    own, reference = (cost_of(plan_of(parse_spec(n)), INPUT) for n in (NETWORK, REFERENCE))
    slower = [
        text for text, found in kept.items() if (times(found, SLOWEST) or 0.0) >= speeds[text]
    ]
    beside = [text for text, found in kept.items() if times(found, SLOWEST)]
    lines = [
        f"{NETWORK} takes {100 * own.params / reference.params:.0f} % of {REFERENCE}'s parameters "
        f"and {100 * own.macs / reference.macs:.0f} % of its MACs, and {how_fast(speeds)}.",
        f"A place of its output sees {seen(NETWORK):,} pixels, all of the picture from everywhere; "
        f"{REFERENCE}'s sees {seen(REFERENCE):,}, of which the rest lie outside.",
        f"Beside {SLOWEST} it was measured in {len(beside)}: "
        + (f"slower in {', '.join(slower)}." if slower else "faster in each.")
        if beside
        else f"Beside {SLOWEST} it was not measured yet.",
        *(
            trained_words(what, data["trained"][what])
            for what in TRAINED
            if what in data.get("trained", {})
        ),
        f"Its accuracy on COCO is unknown: nothing on this page says that it finds joints as well "
        f"as {REFERENCE} or {SLOWEST}.",
    ]
    for text in missing:
        rows = data["measured"].get(text, {"rows": {}})["rows"]
        errors = [f"{model}: {row['error']}" for model, row in rows.items() if row["error"]]
        why = f"gives no ratio ({'; '.join(errors)})" if errors else "was not measured yet"
        lines.append(f"{text} {why}.")
    return tuple(lines)


def trained(folder: Path) -> Plain:
    """The AP of every seed by network, of the ablations that have it, and their budgets."""
    found: Plain = {}
    for what, name in TRAINED.items():
        path = folder / f"data/{name}.json"
        document = json.loads(path.read_text()) if path.exists() else {"variants": ()}
        scores = {
            item["model"].partition(":")[0]: [run["scores"]["ap"] for run in item["runs"]]
            for item in document["variants"]
        }
        if scores.get(NETWORK):
            knobs = document["variants"][0]["model"].partition(":")[2]
            found[what] = {"page": f"{name}.md", "knobs": knobs, "ap": scores}
    return found


def trained_words(what: str, found: Plain) -> str:
    """How it learned beside the others under one budget."""

    def seeds(model: str) -> str:
        scores = found["ap"][model]
        low, high = (f"{100 * end:.0f}" for end in (min(scores), max(scores)))
        return f"{100 * statistics.mean(scores):.0f} % ({low} to {high})"

    others = [name for name in (SLOWEST, REFERENCE) if found["ap"].get(name)]
    beside = ", ".join(f"{name} {seeds(name)}" for name in others)
    count = len(found["ap"][NETWORK])
    return (
        f"Trained on {what} ({found['knobs']}, {count} seeds, one budget for all, as "
        f"{found['page']} says) it reaches AP {seeds(NETWORK)}; {beside}. That ranks how fast they "
        "learn a few examples, not how well they do on many."
    )


def network_table() -> Table:
    """What the three networks are made of."""
    rows = []
    for name in (NETWORK, REFERENCE, SLOWEST):
        spec = parse_spec(name)
        cost = cost_of(plan_of(spec), INPUT)
        trace = count_plan(spec, INPUT)
        assert trace is not None
        knobs = "-".join(map(str, spec.modules)), "-".join(map(str, spec.blocks))
        rows.append(
            (name, cost.params, cost.macs, len(trace.operations), seen(name),
             spec.block, spec.bottlenecks, spec.stage1, *knobs)
        )  # fmt: skip
    columns = (
        Column("model", "network"), Column("params", "parameters", "count"),
        Column("macs", "MACs", "count"), Column("operations", "operations", "count"),
        Column("receptive_field", "a place sees (px)", "count"), Column("block", "block"),
        Column("bottlenecks", "Bottlenecks", "count"), Column("stage1", "their width", "count"),
        Column("modules", "modules"), Column("blocks", "blocks a branch"),
    )  # fmt: skip
    return Table("networks", "The networks at 256×192", columns, tuple(rows))


def runtime_table(data: Plain) -> Table:
    """Every measured setting, network by network."""
    rows = []
    for text in WANTED:
        found = data["measured"].get(text)
        for model in (NETWORK, SLOWEST) if found else ():
            row = found["rows"].get(model)
            if row is None:
                continue
            low, high = row["ci95"] or (None, None)
            rows.append(
                (text, found.get("version", ""), model, times(found, model) or row["error"],
                 (1 / high, 1 / low) if low else None, row["latency_s"],
                 row.get("joints_within_cell"))
            )  # fmt: skip
    columns = (
        Column("setting", "runtime and precision"), Column("version", "version"),
        Column("model", "network"),
        Column("speed_up", f"times as fast as {REFERENCE}", "ratio", digits=2),
        Column("ci95", "95 %", "interval"), Column("latency_s", "median", "seconds"),
        Column("joints_within_cell", "joints within a cell of fp32", "share", digits=0),
    )  # fmt: skip
    note = (
        "One thread, batch 1, 256×192, untrained, norms scaled to the input. Times are ratios of "
        "interleaved runs on a machine that others used meanwhile; medians are of that machine "
        "in that hour."
    )
    return Table("runtimes", "In each runtime", columns, tuple(rows), note)


def search_tables(search: Plain) -> tuple[Table, ...]:
    """The designs that were measured on the way, and how well they could be predicted."""
    goals = search["objectives"]
    columns = (
        Column("model", "design"), Column("params", "parameters", "count"),
        Column("macs", "MACs", "count"), Column("receptive_field", "sees (px)", "count"),
        *(Column(goal, goal, "ratio", digits=2) for goal in goals),
        Column("speed_up", "mean", "ratio", digits=2),
    )  # fmt: skip
    rows = tuple(
        (
            parse_spec(row["model"]).replace().name, row["params"], row["macs"],
            row["receptive_field"],
            *(
                1 / row["timings"][goal]["ratio"] if row["timings"][goal]["ratio"] else None
                for goal in goals
            ),
            1 / row["ratio"] if row["ratio"] else None,
        )
        for row in search["measured"]
    )  # fmt: skip
    title = f"Designs measured, times as fast as {search['reference']}"
    learned = Table(
        "surrogate", "Predictions of designs that were left out",
        (
            Column("objective", "objective"), Column("networks", "networks", "count"),
            Column("median_error", "median error", "share"),
            Column("error_90", "90 % within", "share"),
            Column("rank", "rank correlation", "ratio", digits=2),
        ),
        tuple(
            (goal, item["networks"], item["median_error"], item["error_90"],
             item["rank_correlation"])
            for goal, item in search["surrogates"].items()
        ),
    )  # fmt: skip
    return Table("designs", title, columns, rows), learned


def page_of(data: Plain) -> Page:
    """The page from its data."""
    search = data["search"]
    axes = ", ".join(
        f"{name} {' '.join(map(str, values))}" if not isinstance(values[0], list)
        else f"{name} {'-'.join(f'{p[0]}:{p[-1]}' for p in values)}"
        for name, values in search["space"]["axes"].items()
        if len(values) > 1
    )  # fmt: skip
    limits = ", ".join(
        [f"at most {value:,} {name}" for name, value in search["max"].items()]
        + [f"at least {value:,} {name}" for name, value in search["min"].items()]
    )
    machine = search["machine"]
    sections = (
        Section("summary", "Summary", summary(data), (network_table(), runtime_table(data))),
        Section(
            "search", "How it was found",
            (
                f"Of {search['costed']:,} designs on HRNet's skeleton ({axes}) "
                f"{search['passed']:,} have {limits}; a place of the output had to see "
                f"{search['receptive_field']} pixels, which is all of the picture from everywhere. "
                f"{len(search['measured'])} were built and timed on {machine['cpu']}, "
                f"{machine['cores']} cores, in rounds of five; the mean is geometric.",
                "The designs of ordinary 3×3 convolutions in few modules came out fastest; the "
                "first table says how many operations each network runs.",
            ),
            search_tables(search),
            commands=(data["command"],),
        ),
    )  # fmt: skip
    command = "PYTHONPATH=. python benchmarks/edge_search.py -o reports"
    return Page("edge-search", f"{NETWORK}: found by measured time", sections, data, command)


def taken_over(path: Path) -> Plain:
    """What a whole search wrote. Raises UsageError."""
    found: Plain = json.loads(path.read_text())
    if "surrogates" not in found or found.get("interrupted"):
        raise click.UsageError(
            f"{path} is not of a search by measured time that came to its end; run it again with "
            "--format json, it goes on from what is kept"
        )
    return found


@click.command()
@click.option("-o", "folder", required=True, type=click.Path(file_okay=False, path_type=Path))
@click.option("--measure", "settings", multiple=True, metavar="RUNTIME:PRECISION")
@click.option("--keep", help="Where the converted files are kept.")
@click.option("--search", "search", type=click.Path(exists=True, path_type=Path))
@click.option("--command", "command", help="What was typed to make the file of --search.")
def main(
    folder: Path,
    settings: tuple[str, ...],
    keep: str | None,
    search: Path | None,
    command: str | None,
) -> None:
    """Write the page, after measuring what is asked for."""
    if (search is None) != (command is None):
        raise click.UsageError("--search FILE and --command TEXT go together")
    path = folder / DATA
    data: Plain = json.loads(path.read_text()) if path.exists() else {"measured": {}}
    data.pop("schema_version", None)
    if search is not None:
        data |= {"search": taken_over(search), "command": command}
    if "search" not in data:
        raise click.UsageError(f"{path} holds no search yet; give --search FILE and --command TEXT")
    path.parent.mkdir(parents=True, exist_ok=True)
    for text in settings:
        data["measured"][text] = json.loads(to_json(measured(text, keep)))
        write_atomic(path, to_json(data))
    data["trained"] = trained(folder)
    files = page_files(page_of(data))
    write_folder(folder, files)
    write_folder(folder, {"index.md": index_page(folder)})


if __name__ == "__main__":
    main()
