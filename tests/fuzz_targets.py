"""What is fuzzed: every reader of a stranger's text, and every renderer, as a function of bytes.

A target ends quietly or raises GadprofError with one line; anything else is a fault. None may
write, run or connect outside the scratch folder that it is given. ``test_fuzz.py`` runs them on
hypothesis' inputs and on the kept corpus, ``benchmarks/fuzz.py`` under coverage guidance.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import json
import re
import shutil
import sqlite3
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from gadprof.errors import GadprofError

Target = Callable[[bytes, Path], None]

LONGEST_S = 5.0  # of the processor, so that a busy machine fails nothing
CORPUS = Path(__file__).with_name("fuzz_corpus")


def ends_well(target: Target, data: bytes, folder: Path) -> None:
    """Run a target; one line of refusal is a good end. Raises whatever else it raises."""
    started = time.thread_time()
    try:
        target(data, folder)
    except (GadprofError, click.UsageError) as error:
        told = str(error)
        assert told.strip(), "a refusal without a word"
        assert len(told) < 4000, f"a refusal of {len(told)} characters"
    taken = time.thread_time() - started
    assert taken < LONGEST_S, f"{taken:.1f} s for {len(data)} bytes"


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _file(data: bytes, folder: Path, name: str) -> str:
    path = folder / name
    path.write_bytes(data)
    return str(path)


# --- what is typed --------------------------------------------------------------------------------


def model_string(data: bytes, folder: Path) -> None:
    """The grammar of model strings; a built-in network is costed at its own input."""
    from gadprof.models.counting import cost_or_trace
    from gadprof.models.sources import resolve

    source = resolve(_text(data))
    if source.spec is not None and not any(item.file for item in source.inputs):
        cost = cost_or_trace(source)
        assert cost.params > 0
        assert cost.macs > 0


def inputs(data: bytes, folder: Path) -> None:
    """The grammar of inputs, one a line, and the tensors that they name, without their values."""
    from gadprof.models.inputs import call_of, parse_inputs, split_inputs

    texts = _text(data).split("\n")
    with contextlib.suppress(GadprofError):
        split_inputs("model@" + texts[0])
    found = parse_inputs(texts)
    if not any(item.file for item in found):
        call_of(found, 2, device="meta")


def options(data: bytes, folder: Path) -> None:
    """Every kind of value of the command line and of quantities in a configuration."""
    from gadprof.commands import option_types
    from gadprof.results import quantities

    text = _text(data)
    readers = ("read_count", "read_bytes", "read_duration", "read_share", "read_ratio")
    for reader in readers:
        with contextlib.suppress(GadprofError):
            getattr(quantities, reader)(text, "value")
    for kind in _option_types(option_types):
        with contextlib.suppress(GadprofError, click.UsageError):
            kind.convert(text, None, None)


@functools.lru_cache(maxsize=1)
def _option_types(module: Any) -> tuple[click.ParamType, ...]:
    made = []
    for name, kind in vars(module).items():
        if isinstance(kind, click.ParamType):
            made.append(kind)
        elif isinstance(kind, type) and issubclass(kind, click.ParamType) and name[0] != "_":
            with contextlib.suppress(TypeError):  # it needs its values
                made.append(kind())
    return tuple(made)


# --- what is read from files ----------------------------------------------------------------------


def configuration(data: bytes, folder: Path) -> None:
    """A TOML configuration, and the lines that annotations name."""
    from gadprof.gate.config import load_config

    config = load_config(_file(data, folder, "gadprof.toml"))
    for budget in config.budgets:
        config.line_of(budget.name, "max_params")


def baseline(data: bytes, folder: Path) -> None:
    """A baseline, the same as one side of a diff, and as the data of a comment."""
    from gadprof.commands.comment import read_comment_data
    from gadprof.gate.baseline import read_rows
    from gadprof.gate.diff_sides import sides
    from gadprof.render.comment import MARK, comment_body

    path = _file(data, folder, "kept.json")
    with contextlib.suppress(GadprofError):
        sides((path, path))
    with contextlib.suppress(GadprofError):
        body = comment_body(read_comment_data(path))
        assert body.startswith(MARK)
        assert _comments_in(body) == 1
        assert len(body) < 65_536
    found = read_rows(data, "it")
    for row in found.rows:
        found.row(row.model)


def _comments_in(markdown: str) -> int:
    """How many HTML comments a page opens; within a code span it is only words."""
    return len(re.findall(r"(?<!\\)<!--", re.sub(r"(`+)[^`].*?\1", "", markdown)))


def kept_data(data: bytes, folder: Path) -> None:
    """The JSON that reports, audits, accuracies and calibration read."""
    from gadprof.audit import audit_data
    from gadprof.pose.accuracy import read_accuracies
    from gadprof.prediction.fits import read_fits
    from gadprof.report.data import read_data

    path = _file(data, folder, "data.json")
    for read in (
        lambda: audit_data.audits_of(audit_data.read_data(path)),
        lambda: read_accuracies(path),
        lambda: read_fits(_text(data), "it"),
    ):
        with contextlib.suppress(GadprofError):
            read()
    read_data([path]).models()


def measurements(data: bytes, folder: Path) -> None:
    """A CSV file of measured latencies."""
    from gadprof.prediction.measurements import read_csv

    read_csv(_file(data, folder, "times.csv"))


def onnx_file(data: bytes, folder: Path) -> None:
    """An ONNX file, counted from its graph."""
    from gadprof.counting.onnx.graph import count_onnx

    trace = count_onnx(_file(data, folder, "model.onnx"))
    assert min(trace.params, trace.macs, trace.flops, trace.activations) >= 0


def tflite_file(data: bytes, folder: Path) -> None:
    """A TensorFlow Lite file, counted from its graph."""
    from gadprof.counting.tflite.graph import count_tflite

    trace = count_tflite(_file(data, folder, "model.tflite"))
    assert min(trace.params, trace.macs, trace.flops, trace.activations) >= 0


def store_pages(data: bytes, folder: Path) -> None:
    """A store some of whose bytes were changed: three bytes a change, its place and its value."""
    path = folder / "results.sqlite"
    shutil.copy(_fresh_store(folder.parent), path)
    content = bytearray(path.read_bytes())
    for start in range(0, len(data) - 2, 3):
        place = int.from_bytes(data[start : start + 2], "little") % len(content)
        content[place] = data[start + 2]
    path.write_bytes(content)
    try:
        _read_store(path)
    finally:
        assert path.read_bytes() == bytes(content), "a store that was read alone has changed"


def store_values(data: bytes, folder: Path) -> None:
    """A store in which someone else wrote: a text for each column of an entry, one a line."""
    path = folder / "results.sqlite"
    shutil.copy(_fresh_store(folder.parent), path)
    lines = [line.decode("utf-8", "replace") for line in data.split(b"\n")]
    values = [*lines, *["{}"] * 6][:6]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "UPDATE entries SET settings = ?, result = ?, model = ?, kind = ?, recorded_at = ?, "
            "name = ?",
            values,
        )
        connection.commit()
    _read_store(path)


def _read_store(path: Path) -> None:
    from gadprof.gate.baseline import find_baseline
    from gadprof.prediction.measurements import read_store
    from gadprof.render.tables import render
    from gadprof.store.history import QUANTITIES, history_page, history_plot, models_page
    from gadprof.store.store import Store

    with Store(path, create=False) as opened:
        entries = opened.entries()
        names, models = opened.names(), opened.models()
        render(models_page(opened.summaries()), "table")
    for model in models:
        render(history_page(model, entries), "md")
        for quantity in QUANTITIES:
            with contextlib.suppress(GadprofError):
                history_plot(model, entries, quantity)
    for name in names:
        with contextlib.suppress(GadprofError):
            find_baseline(f"store:{name}", store=str(path))
    with contextlib.suppress(GadprofError):
        read_store(str(path), {})


def _fresh_store(folder: Path) -> Path:
    from gadprof.store.store import NewEntry, Store

    path = folder / "fresh.sqlite"
    if not path.exists():
        machine = {"cpu": "none", "cores": 2, "packages": {}}
        figures = {"params": 10, "macs": 20, "latency_s": {"median": 0.5}}
        with Store(path) as store:
            for kind in ("cost", "measurement"):
                entry = NewEntry(kind, "gadnet32", figures, {"input": [[3, 64, 64]], "batch": 1})
                store.add([entry], name="kept", machine=machine)
    return path


# --- what travels between processes ---------------------------------------------------------------


def wire(data: bytes, folder: Path) -> None:
    """A message of a child process, and the record that it should be."""
    from gadprof.cluster.run import Task, read_answer
    from gadprof.comparison.compare import ComparedRow
    from gadprof.counting.records import Trace
    from gadprof.results.rebuild import SchemaError, from_plain
    from gadprof.workers.wire import WireClosedError, receive

    stream = io.BytesIO(data)

    def read(count: int) -> bytes:
        part = stream.read(count)
        if not part:
            raise WireClosedError("end")
        return part

    with contextlib.suppress(SchemaError):
        read_answer(Task("key", "module:function", {}), _text(data))
    with contextlib.suppress(WireClosedError):
        message = receive(read)
        for kind in (Trace, ComparedRow):
            with contextlib.suppress(SchemaError):
                from_plain(kind, message.get("value", message))


# --- what is shown --------------------------------------------------------------------------------


def renderers(data: bytes, folder: Path) -> None:
    """One page of strange names and numbers in every form, each form still what it says it is."""
    from gadprof.output import harmless
    from gadprof.render.annotations import to_annotations, to_step_summary
    from gadprof.render.comment import comment_body
    from gadprof.render.junit import to_junit
    from gadprof.render.tables import render
    from gadprof.results.escape import file_stem, unique_labels
    from gadprof.results.verdicts import CheckResult, CommentData, Verdict

    words, values = _words_and_values(data)
    page = _page(words, values)
    forms = {form: render(page, form) for form in ("table", "json", "csv", "md", "latex", "html")}
    json.loads(forms["json"])
    header, *rows = csv.reader(io.StringIO(forms["csv"]))
    assert all(len(row) == len(header) for row in rows)
    assert len(rows) == len(page.tables[0].rows)
    assert forms["html"].lower().count("<script") == _plain_html().lower().count("<script")
    for form in ("table", "md", "latex", "html"):
        shown = harmless(forms[form])
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown), form
    first = words[0]
    verdicts = tuple(
        Verdict(first, first, word, status, word)  # type: ignore[arg-type]
        for word, status in zip(words, ("fail", "warn", "pass", "error", "waived"), strict=False)
    )
    result = CheckResult(verdicts, config=first)
    told = to_annotations(result).splitlines()
    assert len(told) == sum(verdict.status != "pass" for verdict in verdicts) + 1
    assert all(line.startswith("::") for line in told)
    ET.fromstring(to_junit(result).encode("utf-8"))
    to_step_summary(result)
    assert _comments_in(comment_body(CommentData(verdicts, base=first))) == 1
    assert re.fullmatch(r"[a-z0-9._-]{1,64}", file_stem(first))
    labels = unique_labels(words)
    assert len(set(labels)) == len(labels)


def _words_and_values(data: bytes) -> tuple[list[str], list[Any]]:
    """At least one word, and values of the kinds that tables hold."""
    words = [_text(part) for part in data.split(b"\x00")][:8]
    values: list[Any] = []
    for word in words:
        try:
            value = json.loads(word)
        except (ValueError, RecursionError):
            value = word
        values.append(word if isinstance(value, (dict, list)) else value)
    return words, values


def _page(words: list[str], values: list[Any]) -> Any:
    from gadprof.results.page import Page, Plot, Section
    from gadprof.results.table import NUMBER_KINDS, Column, Table

    kinds = ("text", *sorted(NUMBER_KINDS - {"interval"}))
    columns = tuple(
        Column(f"key{number}", words[number % len(words)], kind)  # type: ignore[arg-type]
        for number, kind in enumerate(kinds)
    )
    rows = tuple((word, *[value] * (len(kinds) - 1)) for word, value in zip(
        words, values, strict=True))  # fmt: skip
    table = Table("table", words[-1], columns, rows, note=words[0])
    finite = [v for v in values if isinstance(v, int) and abs(v) < 1e300]
    points = [{"label": words[0], "x": x, "y": x} for x in (1, *finite)]
    plot = Plot("plot", "scatter", words[0], words[-1], "y", words[0], {"points": points})
    plots = (plot,) * (len(words[0]) % 4 == 1)  # a figure takes long to draw
    section = Section("section", words[-1], (words[0], words[-1]), (table,), plots, (words[0],))
    return Page("page", words[0], (section,), {"words": words, "values": values}, words[-1])


@functools.lru_cache(maxsize=1)
def _plain_html() -> str:
    from gadprof.render.tables import render

    return render(_page(["word"], [1]), "html")


TARGETS: dict[str, Target] = {
    "model-string": model_string,
    "inputs": inputs,
    "options": options,
    "configuration": configuration,
    "baseline": baseline,
    "kept-data": kept_data,
    "measurements": measurements,
    "onnx": onnx_file,
    "tflite": tflite_file,
    "store-pages": store_pages,
    "store-values": store_values,
    "wire": wire,
    "renderers": renderers,
}


# words of the grammars, which bytes alone would take long to find, with a space between them
WORDS = {
    "model-string": "gadnet32 hrnet32 ghost-se-hrnet32 lite-hrnet18 hourglass2 : , = s d blocks "
    "width modules 4 3-3-6-6 -1 @ x 64 timm: torchvision: trust: .py:f .onnx .pt2 @ids=7:int64",
    "inputs": "3 x 224 : int64 bool = ones < 1000 := null [ ] [0] .key e × ² .npz float32",
    "options": "1 0 . : , - e G i B % s ms macs= auto cuda:0 nan inf 1e308 ٣ GiB 16:64:8",
    "configuration": '[ ] budgets . gadnet32 max_params max_growth = "2%" "12M" { } , true 1e400 '
    "[[waivers]] [tool.gadprof] input batch reference max_latency_ratio uncounted baseline report",
    "baseline": '{ } [ ] : , "rows" "model" "params" "macs" "schema_version" "verdicts" "budget" '
    '"rule" "status" "message" "changes" "before" "modules" "depth" "name" "type" 1 -1 1e400 null',
    "kept-data": '{ } [ ] : , "rows" "model" "latency_s" "median" "backends" "models" "versions" '
    '"refused" "kind" "accuracies" "reports" "points" "profiles" "fits" "members" 1 -1 1e400 null',
    "measurements": 'model,batch,input,latency latency_ms , m 1 3x4x4 0.5 1e309 nan " ²',
    "store-values": '{ } [ ] : , "input" "batch" "latency_s" "median" "params" "ap" 1 null 0.5 x',
    "wire": '{ } [ ] : , "value" "operations" "modules" "name" "error" "exit_code" 1 null "x"',
    "renderers": "| ` <script> ]]> :: %0A @user #1 ![a](b) --> <!-- 1e400 -1 NaN null \u202e",
}


def words_of(name: str) -> list[bytes]:
    """The words of a target's grammar, and what may stand between them."""
    words = WORDS.get(name, "").split()
    return [word.encode() for word in words] + [b" ", b"\n", b"\x00", b"\x10"] * bool(words)


# --- nothing else is touched ----------------------------------------------------------------------

_WRITING = frozenset(
    ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod",
     "os.truncate", "shutil.rmtree", "subprocess.Popen", "os.system", "os.exec", "os.fork",
     "os.posix_spawn", "socket.connect", "socket.bind")
)  # fmt: skip


class Watch:
    """Sees what a target writes, runs or connects to outside a folder; ``touched`` lists it.

    An audit hook stays for as long as the process does, so there is one, switched on and off.
    """

    def __init__(self, *folders: Path) -> None:
        self.folders = tuple(str(folder.resolve()) for folder in folders)
        self.touched: list[str] = []
        self._on = False
        sys.addaudithook(self._see)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Raise AssertionError at the end where anything outside was touched."""
        self.touched.clear()
        self._on = True
        try:
            yield
        finally:
            self._on = False
        assert not self.touched, f"touched {self.touched[:5]}"

    def _see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._on:
            return
        if event == "open":
            path, mode, flags = arguments
            writes = (isinstance(mode, str) and set(mode) & set("wax+")) or (
                mode is None and isinstance(flags, int) and flags & 3
            )
            if writes and isinstance(path, (str, bytes)) and not self._inside(path):
                self.touched.append(f"open {path!r}")
        elif event in _WRITING:
            where = arguments[0] if arguments else ""
            if not (isinstance(where, (str, bytes)) and self._inside(where)):
                self.touched.append(f"{event} {where!r}")

    def _inside(self, path: str | bytes) -> bool:
        text = path.decode("utf-8", "surrogateescape") if isinstance(path, bytes) else path
        return text.startswith(self.folders) or "__pycache__" in text or text == "/dev/null"
