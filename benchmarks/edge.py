"""The ablation's four networks in every runtime of a phone and every precision, as a page.

    python benchmarks/edge.py --keep FOLDER [--runtimes onnxruntime,…] [--minutes 3]
    python benchmarks/edge.py --scored FILE
    python benchmarks/edge.py --page reports/edge.md --data reports/data/edge.json

Measured: the four networks in all precisions of one runtime are interleaved with each other, one
thread, batch 1, 256x192, ratios to hrnet32 in fp32 of that runtime; a run a runtime, added to the
data file as it ends, so that the same command goes on where the last one stopped. ``--keep`` holds
the converted files, which take minutes to make. The networks are untrained, their norms scaled to
the input: what integers lose is said of their outputs. What they cost in AP is of a trained
network: ``--scored`` takes over what ``gadprof evaluate … --runtime … --format json`` wrote of it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from gadprof.errors import DataError, GadprofError
from gadprof.measuring.bench import measure
from gadprof.measuring.bench_page import DEPLOYED
from gadprof.measuring.settings import PACKAGES, Dtype, installed_runtimes, precisions_of, sweep
from gadprof.output import check_writable, write_atomic
from gadprof.render.markdown import page_markdown
from gadprof.results.cells import seconds_text
from gadprof.results.page import Page, Section
from gadprof.results.plain import to_plain
from gadprof.results.table import Column, Table

NETWORKS = ("hrnet32", "ghost-hrnet32", "ghost-se-hrnet32", "gadnet32")
FIRST = NETWORKS[0]
TITLE = "The four networks in the runtimes of phones"
DATA = "edge.json"
Row = Mapping[str, Any]

COLUMNS = (
    Column("model", "network", rank=0),
    Column("precision", "precision", rank=0),
    Column("median_s", "median", "seconds", rank=0),
    Column("ci95_s", "95 %", rank=1),
    Column("ratio", "to hrnet32 fp32", "ratio", digits=3, rank=0),
    Column("ratio_ci95", "its 95 %", "interval", rank=0),
    Column("macs_per_s", "MAC/s", "scaled", rank=2),
    Column("file_bytes", "file", "bytes", rank=2),
    Column("load_s", "load", "seconds", rank=3),
    Column("first_run_s", "first run", "seconds", rank=3),
    Column("grown_bytes", "process grows by", "bytes", rank=3),
    Column("snr_db", "SNR dB", "ratio", digits=1, rank=1),
    Column("joints_within_cell", "joints within a cell", "share", rank=2),
)
COUNTED = (
    Column("model", "network"),
    Column("params", "parameters", "scaled"),
    Column("macs", "MACs", "scaled"),
    Column("bytes", "bytes moved", "bytes"),
    Column("operations", "operations", "count"),
)
SCORED = (
    Column("model", "network", rank=0),
    Column("file", "as", rank=0),
    Column("version", "version", rank=2),
    Column("ap", "AP", "share", rank=0),
    Column("change", "AP, points", "ratio", digits=1, rank=0),
    Column("joints_within_cell", "joints within a cell", "share", rank=0),
)
FAILED = (
    Column("model", "network"),
    Column("runtime", "runtime"),
    Column("precision", "precision"),
    Column("error", "why"),
)


def wanted(runtime: str, precisions: Sequence[str], run: Mapping[str, Any] | None) -> list[Dtype]:
    """The precisions to measure a runtime in, none where its run has them all.

    The first is fp32, to which all ratios are; those that the run has already come along, since
    rows of one run alone are divided by each other.
    """
    able: tuple[Dtype, ...] = ("fp32",) if runtime == "eager" else precisions_of(runtime)
    there = {row["precision"] for row in run["rows"]} if run else set()
    asked = {"fp32", *precisions} & set(able)
    return [name for name in able if name in asked | there] if asked - there else []


def measured(
    runtime: str, precisions: Sequence[Dtype], keep: str, minutes: float, timeout_s: float
) -> dict[str, Any]:
    """One runtime's run as plain data: its rows, its null, and the load around it.

    Raises KeyboardInterrupt for a run that was, GadprofError.
    """
    settings = sweep(runtimes=(runtime,), dtypes=precisions)
    before = os.getloadavg()
    result = measure(
        NETWORKS,
        settings,
        time_limit_s=60 * minutes,
        timeout_s=timeout_s,
        energy=False,
        keep=keep,
    )
    if result.interrupted:
        raise KeyboardInterrupt
    rows = []
    for row in result.rows:
        latency, ratio = row.latency_s, row.ratio
        rows.append(
            {
                "model": row.model,
                "runtime": runtime,
                "precision": row.setting.dtype,
                "version": row.runtime_version,
                "median_s": latency.median if latency else None,
                "ci95_s": latency.ci95 if latency else None,
                "ratio": ratio.value if ratio else None,
                "ratio_ci95": ratio.ci95 if ratio else None,
                "difference": row.runtime_difference,
                "deployed": row.deployed,
                "notes": row.notes,
                "error": row.error,
            }
        )
    group = result.groups[0]
    plain = {
        "rows": rows,
        "blocks": group.blocks,
        "launches": group.launches,
        "seconds": group.seconds,
        "null": group.null,
        "load_average": [before[0], os.getloadavg()[0]],
        "measured": time.strftime("%Y-%m-%d"),
        "machine": result.machine,
    }
    return dict(to_plain(plain))


def counted() -> list[dict[str, Any]]:
    """What the networks are before any runtime has them."""
    from gadprof.models.counting import trace_model

    found = []
    for name in NETWORKS:
        trace = trace_model(name)
        found.append(
            {
                "model": name,
                "params": trace.params,
                "macs": trace.macs,
                "bytes": trace.bytes_read + trace.bytes_written,
                "operations": len(trace.operations),
            }
        )
    return found


def page(data: Mapping[str, Any], name: str = DATA) -> str:
    """The page of the data, as Markdown."""
    macs = {item["model"]: item["macs"] for item in data["networks"]}
    rows = [row for run in data["runs"].values() for row in run["rows"]]
    sections = [Section("summary", "Summary", tuple(summary(data)))]
    sections.append(
        Section(
            "networks",
            "The networks",
            ("Counted at 3x256x192; what an exporter fuses is not subtracted.",),
            (Table("networks", "", COUNTED, tuple(tuple(i.values()) for i in data["networks"])),),
        )
    )
    for runtime, run in data["runs"].items():
        good = [row for row in run["rows"] if row["median_s"] is not None]
        if good:
            cells = tuple(_cells(row, macs) for row in good)
            table = Table(runtime, "", COLUMNS, cells)
            sections.append(Section(runtime, runtime, (_conditions(run, good),), (table,)))
    if data.get("scored"):
        sections.append(scored_section(data["scored"]))
    bad = tuple((r["model"], r["runtime"], r["precision"], r["error"]) for r in rows if r["error"])
    if bad:
        table = Table("failed", "", FAILED, bad)
        sections.append(Section("failed", "What was not measured, and why", (), (table,)))
    gaps = missing(data)
    if gaps:
        words = f"Not measured yet: {', '.join(gaps)}. The command goes on where it stopped."
        sections.append(Section("missing", "What is missing", (words,)))
    made = Page("edge", TITLE, tuple(sections), {}, "python benchmarks/edge.py --page")
    return page_markdown(made, str, [(name, f"data/{name}")])


def scored_section(scored: Mapping[str, Any]) -> Section:
    """What trained networks score as files, and on what."""
    rows: list[tuple[Any, ...]] = []
    words = []
    for model, found in scored.items():
        whole, on = found["scores"]["ap"], found["accuracy"]
        rows.append((model, "module", None, whole, None, None))
        for item in found["deployed"]:
            if item["scores"] is None:
                continue
            own = item["scores"]["ap"]
            name = f"{item['runtime']}:{item['precision']}"
            kept = item["joints_within_cell"]
            rows.append((model, name, item["version"], own, 100 * (own - whole), kept))
        words.append(
            f"{model}: {on['persons']} boxes of {on['pictures']} pictures, on which it was trained "
            f"and whose first crops calibrate the integers; "
            f"{on['input'][0]}x{on['input'][1]}, {on['decoding']} decoding, "
            f"{'flip test' if on['flip_test'] else 'no flip test'}; weights "
            f"{on['weights_sha256'][:12]}. On so few boxes a point or two is chance."
        )
    return Section(
        "scored", "What integers cost a trained network", tuple(words),
        (Table("scored", "", SCORED, tuple(rows)),),
    )  # fmt: skip


def scored_words(scored: Mapping[str, Any]) -> list[str]:
    """The least share of joints that integers keep, and the largest loss of AP, by network."""
    told = []
    for model, found in scored.items():
        integers = [i for i in found["deployed"] if i["precision"] == "int8" and i["scores"]]
        if not integers:
            continue
        kept = [item["joints_within_cell"] for item in integers]
        span = _span([100 * min(kept), 100 * max(kept)], ".1f")
        least = min(item["scores"]["ap"] for item in integers) - found["scores"]["ap"]
        told.append(
            f"Trained, {model} keeps {span} % of its joints within a cell in eight bits, in "
            f"{', '.join(item['runtime'] for item in integers)}, and its AP changes by "
            f"{100 * least:+.1f} points at worst.".replace("-", "−")
        )
    return told


def missing(data: Mapping[str, Any]) -> list[str]:
    """The runtimes and precisions that no row of the data is of."""
    there = {
        (row["runtime"], row["precision"]) for run in data["runs"].values() for row in run["rows"]
    }
    return [
        f"{runtime} {precision}"
        for runtime in PACKAGES
        for precision in precisions_of(runtime)
        if (runtime, precision) not in there
    ]


def _cells(row: Row, macs: Mapping[str, int]) -> tuple[Any, ...]:
    facts = row["deployed"] or {}
    ends = row["ci95_s"]
    return (
        row["model"],
        row["precision"],
        row["median_s"],
        f"{seconds_text(ends[0])} to {seconds_text(ends[1])}" if ends else None,
        row["ratio"],
        tuple(row["ratio_ci95"]) if row["ratio_ci95"] else None,
        macs[row["model"]] / row["median_s"],
        *(facts.get(key) for key in DEPLOYED),
    )


def _conditions(run: Row, good: Sequence[Row]) -> str:
    null = run["null"]
    words = (
        f"{good[0]['version']}, one thread, batch 1, {run['machine']['cpu']} with "
        f"{run['machine']['cores']} cores; {run['blocks']} interleaved blocks in "
        f"{run['seconds']:.0f} s, {run['launches']} launches of each; the load average was "
        f"{run['load_average'][0]:.1f} before and {run['load_average'][1]:.1f} after"
    )
    if null:
        low, high = null["ci95"]
        words += f"; hrnet32 against itself {null['value']:.3f} ({low:.3f} to {high:.3f})"
    return words + f". Measured {run['measured']}."


def summary(data: Mapping[str, Any]) -> list[str]:
    """Which network wins in which runtime and precision, and why."""
    macs = {item["model"]: item["macs"] for item in data["networks"]}
    operations = {item["model"]: item["operations"] for item in data["networks"]}
    bytes_of = {item["model"]: item["bytes"] for item in data["networks"]}
    told, rates = [], []
    for runtime, run in data["runs"].items():
        for precision in dict.fromkeys(row["precision"] for row in run["rows"]):
            those = {
                row["model"]: row
                for row in run["rows"]
                if row["precision"] == precision and row["median_s"] is not None
            }
            if len(those) < 2:
                continue
            told.append(_winner(runtime, precision, those))
            if FIRST in those and "gadnet32" in those:
                speed = [macs[name] / those[name]["median_s"] for name in (FIRST, "gadnet32")]
                rates.append(speed[1] / speed[0])
    if not told:
        return ["Nothing has been measured yet: run the command below."]
    told += scored_words(data.get("scored", {}))
    if rates:
        shares = [bytes_of[name] / macs[name] for name in ("gadnet32", FIRST)]
        told.append(
            f"Why: gadnet32 has {100 * (1 - macs['gadnet32'] / macs[FIRST]):.0f} % fewer MACs than "
            f"{FIRST}, but in {operations['gadnet32'] / operations[FIRST]:.1f} times as many "
            f"operations, which move {shares[0] / shares[1]:.1f} times the bytes for each MAC; the "
            f"runtimes do {_span(rates)} times as many MACs a second in it."
        )
    return told


def _winner(runtime: str, precision: str, those: Mapping[str, Row]) -> str:
    best = min(those.values(), key=lambda row: row["median_s"])
    words = f"{runtime}, {precision}: {best['model']} is the fastest ({_text(best)})"
    others = [
        f"{name} {row['median_s'] / best['median_s']:.2f} ×"
        for name, row in sorted(those.items(), key=lambda item: item[1]["median_s"])
        if row is not best
    ]
    return words + f"; {', '.join(others)} of its time."


def _span(values: Sequence[float], form: str = ".2f") -> str:
    low, high = f"{min(values):{form}}", f"{max(values):{form}}"
    return low if low == high else f"{low} to {high}"


def _text(row: Row) -> str:
    return seconds_text(row["median_s"])


@click.command()
@click.option("--keep", default=None, help="Where the converted files are kept.")
@click.option("--runtimes", default=None, help="Which, comma-separated; all installed by default.")
@click.option("--precisions", default="fp32,fp16,int8", show_default=True)
@click.option("--minutes", default=3.0, show_default=True, help="Sampling of one runtime.")
@click.option("--timeout", default=1800.0, show_default=True, help="Seconds for one conversion.")
@click.option("--again", is_flag=True, help="Measure what the data has already, too.")
@click.option("--data", default="reports/data/edge.json", show_default=True)
@click.option("--scored", multiple=True, help="Take over what evaluate wrote of a network.")
@click.option("--page", "page_file", default=None, help="Write the page from the data alone.")
def main(
    keep: str | None,
    runtimes: str | None,
    precisions: str,
    minutes: float,
    timeout: float,
    again: bool,
    data: str,
    scored: tuple[str, ...],
    page_file: str | None,
) -> None:
    """Measure runtime by runtime, or write the page."""
    path = Path(data)
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"runs": {}}
    for file in scored:
        one = json.loads(Path(file).read_text())
        kept = {name: one[name] for name in ("accuracy", "scores", "deployed")}
        found.setdefault("scored", {})[one["accuracy"]["model"]] = kept
    if scored:
        write_atomic(path, json.dumps(found, indent=1) + "\n")
        return
    if page_file:
        if not found["runs"]:
            raise DataError(f"no measurement in {data}; measure first, with --keep FOLDER")
        write_atomic(page_file, page(found))
        return
    if keep is None:
        raise click.UsageError("name a folder for the converted files with --keep")
    check_writable(path)
    found["networks"] = counted()
    for runtime in (runtimes or ",".join(installed_runtimes())).split(","):
        run = found["runs"].get(runtime)
        left = wanted(runtime, precisions.split(","), run)
        if again and not left:
            left = list(dict.fromkeys(row["precision"] for row in run["rows"]))
        if not left:
            continue
        found["runs"][runtime] = measured(runtime, left, keep, minutes, timeout)
        write_atomic(path, json.dumps(found, indent=1) + "\n")
        click.echo(f"{runtime}: {len(found['runs'][runtime]['rows'])} rows")


if __name__ == "__main__":
    try:
        main()
    except GadprofError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
