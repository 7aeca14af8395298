"""``gadprof doctor``: what is installed, what is missing and how to get it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gadprof.commands.options import command, result_options, store_option
from gadprof.commands.show import show
from gadprof.output import Output

if TYPE_CHECKING:
    from gadprof.results.page import Page


@dataclass(frozen=True)
class Finding:
    """One thing looked at: its state (``ok``, ``missing`` or ``note``), and a way out."""

    part: str
    name: str
    state: str
    found: str
    remedy: str = ""


@command(name="doctor")
@result_options()
@store_option
def doctor(out: Output, store: str | None) -> int:
    """Look at extras, counters, GPU, threads and the results store.

    What is missing is named with the command that brings it. Exits 0 also where optional parts
    are missing, 1 where a package that gadprof cannot do without is.
    """
    from gadprof.errors import SettingError
    from gadprof.render.progress import Working

    try:
        os.getcwd()
    except OSError as error:  # where libraries end the process themselves
        raise SettingError("this folder has been removed; change to another") from error
    with Working("looking"):
        findings = [*_packages(), *_counters(), *_compute(), *_store(store)]
    show(out, _page(findings))
    return 1 if any(item.part == "core" and item.state == "missing" for item in findings) else 0


def _page(findings: list[Finding]) -> Page:
    from gadprof.results.page import Page, Section
    from gadprof.results.plain import describe_machine
    from gadprof.results.table import Column, Table

    columns = (
        Column("part", "part", rank=0),
        Column("mark", "", place="shown", rank=0),
        Column("name", "name", rank=0),
        Column("state", "state", place="exact"),
        Column("found", "found", rank=0),
        Column("remedy", "to get it", rank=0),
    )
    marks = {"ok": "✓", "missing": "✗", "note": "·"}
    rows = tuple(
        (item.part, marks[item.state], item.name, item.state, item.found, item.remedy)
        for item in findings
    )
    machine = describe_machine()
    missing = [item for item in findings if item.state == "missing"]
    extras = sorted({item.part for item in missing} - {"core", "counter"})
    words = (
        "Everything is installed."
        if not missing
        else f"missing optional parts: {len(missing)}"
        + (f", of the extras {', '.join(extras)}" if extras else "")
        + "; pip install 'gadprof[all]' brings them all."
    )
    core = [item.name for item in missing if item.part == "core"]
    if core:
        words = f"gadprof cannot work without {', '.join(core)}; pip install gadprof brings them."
    where = f"{machine.cpu}, {machine.cores} cores, {machine.system}, Python {machine.python}"
    table = Table("findings", "", columns, rows, note=where)
    document = {"findings": findings, "machine": machine, "ok": not core}
    return Page("doctor", "gadprof doctor", (Section("doctor", "", (words,), (table,)),), document)


def _packages() -> list[Finding]:
    """Every requirement of the installed distribution, by extra."""
    from importlib import metadata

    from gadprof.results.plain import package_version
    from gadprof.version import __version__

    found = [Finding("core", "gadprof", "ok", __version__)]
    seen: set[tuple[str, str]] = set()
    try:
        needs = metadata.requires("gadprof") or []
    except metadata.PackageNotFoundError:
        needs = []
    for need in needs:
        match = re.match(r"[A-Za-z0-9._-]+", need)
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", need)
        part = extra[1] if extra else "core"
        name = match[0] if match else need
        if part in ("dev", "all", "docs") or name == "gadprof" or (part, name) in seen:
            continue
        if "python_version" in need and package_version(name) is None:
            continue
        seen.add((part, name))
        version = package_version(name)
        wanted = "gadprof" if part == "core" else f"'gadprof[{part}]'"
        remedy = "" if version else f"pip install {wanted}"
        state = "ok" if version else "missing"
        found.append(Finding(part, name, state, version or "not installed", remedy))
    return found


def _counters() -> list[Finding]:
    from gadprof.audit.backends import BACKENDS, distribution_of, not_installed

    found = []
    for name in BACKENDS:
        here = distribution_of(name)
        if here is not None:
            found.append(Finding("counter", name, "ok", f"{here[0]} {here[1]}"))
            continue
        remedy = not_installed(name).partition("type: ")[2]
        twin = name in ("thop", "ultralytics-thop")  # one module, of which one distribution is
        found.append(
            Finding("counter", name, "note" if twin else "missing", "not installed", remedy)
        )
    return found


def _compute() -> list[Finding]:
    """The GPU as torch sees it, and the threads that measuring would use."""
    try:
        import torch
    except ImportError as error:
        return [Finding("compute", "torch", "missing", str(error), "pip install torch")]
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        gpu = Finding("compute", "GPU", "ok", f"{', '.join(names)}, CUDA {torch.version.cuda}")
    elif torch.backends.mps.is_available():
        gpu = Finding("compute", "GPU", "ok", "Metal (mps)")
    else:
        why = "no GPU or driver" if torch.version.cuda else "this torch is built without CUDA"
        gpu = Finding("compute", "GPU", "note", why, "measure with --device cpu")
    threads = f"{torch.get_num_threads()} in torch, {os.cpu_count()} cores"
    if os.environ.get("OMP_NUM_THREADS"):
        threads += f", OMP_NUM_THREADS={os.environ['OMP_NUM_THREADS']}"
    return [gpu, Finding("compute", "threads", "note", threads, "bench --threads chooses")]


def _store(store: str | None) -> list[Finding]:
    from gadprof.errors import StoreError
    from gadprof.store.store import Store, chosen_path, store_exists

    try:
        path = chosen_path(store)
        if path is None:
            return [Finding("store", "results", "note", "off", "--store PATH or $GADPROF_STORE")]
        if not store_exists(path):
            return [Finding("store", "results", "note", f"{path}: nothing kept yet")]
        with Store(path, create=False) as opened:
            words: Any = f"{path}: {len(opened.models())} models"
    except StoreError as error:
        return [Finding("store", "results", "missing", str(error), "--store PATH names another")]
    return [Finding("store", "results", "ok", words)]
