"""Baselines, kept data and checks: JSON that is none, that is another's, that lies."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

from benchmarks.fault_cases.case import Case, Make
from benchmarks.fault_cases.made import sparse_terabyte

TOML = '[budgets.gadnet32]\nmax_growth = "2%"\n'
LONG = "9" * 5000
ROW = {"model": "gadnet32", "params": 1, "macs": 1, "flops": 1, "activations": 1,
       "peak_activation_bytes": 1, "weight_bytes": 1}  # fmt: skip

DOCUMENTS: dict[str, str | bytes] = {
    "empty": "", "spaces": "  ", "a word": "word", "null": "null", "true": "true", "a number": "1",
    "a text": '"x"', "a list": "[]", "an object": "{}", "NaN": "NaN", "infinity": "[Infinity]",
    "cut": '{"schema_version": 1, "rows": [', "two documents": "{} {}", "noise": bytes(range(256)),
    "UTF-16": "{}".encode("utf-16"), "a BOM": b"\xef\xbb\xbf{}", "lone surrogates": '["\\ud800"]',
    "deep lists": "[" * 100_000, "deep objects": '{"a":' * 50_000, "a long number": LONG,
    "a long number in a row": json.dumps({"schema_version": 1, "rows": [{**ROW, "macs": 0}]}).replace(
        '"macs": 0', f'"macs": {LONG}'),
    "a float of 1e999": json.dumps({"schema_version": 1, "rows": [ROW]}).replace("1,", "1e999,", 2),
    "a newer schema": json.dumps({"schema_version": 99, "rows": [ROW]}),
    "a schema of text": json.dumps({"schema_version": "1", "rows": [ROW]}),
    "a schema of true": json.dumps({"schema_version": True, "rows": [ROW]}),
    "no schema": json.dumps({"rows": [ROW]}),
    "rows of a number": json.dumps({"schema_version": 1, "rows": 1}),
    "rows of numbers": json.dumps({"schema_version": 1, "rows": [1]}),
    "rows of null": json.dumps({"schema_version": 1, "rows": [None]}),
    "no rows": json.dumps({"schema_version": 1, "rows": []}),
    "a row without figures": json.dumps({"schema_version": 1, "rows": [{"model": "gadnet32"}]}),
    "a row without a model": json.dumps({"schema_version": 1, "rows": [{"macs": 1}]}),
    "a model of a number": json.dumps({"schema_version": 1, "rows": [{**ROW, "model": 1}]}),
    "figures of text": json.dumps({"schema_version": 1, "rows": [{**ROW, "macs": "1"}]}),
    "negative figures": json.dumps({"schema_version": 1, "rows": [{**ROW, "macs": -1}]}),
    "figures of fractions": json.dumps({"schema_version": 1, "rows": [{**ROW, "macs": 1.5}]}),
    "figures of lists": json.dumps({"schema_version": 1, "rows": [{**ROW, "macs": [1]}]}),
    "figures of true": json.dumps({"schema_version": 1, "rows": [{**ROW, "macs": True}]}),
    "another model": json.dumps({"schema_version": 1, "rows": [{**ROW, "model": "x"}]}),
    "a model of escapes": json.dumps({"schema_version": 1, "rows": [{**ROW, "model": "\x1b[2J"}]}),
    "the model twice": json.dumps({"schema_version": 1, "rows": [ROW, {**ROW, "macs": 2}]}),
    "gigabytes of spaces cut": " " * (5 << 20), "a key twice": '{"rows": 1, "rows": 2}',
}  # fmt: skip

# a baseline that has no figures of the model, as of one that is new
SAYS_NOTHING = ("no schema", "no rows", "a row without figures", "a model of escapes")
# a report reads no counts: it takes such a file and shows nothing of it
ROWS = (
    "a float of 1e999", "no schema", "a row without figures", "figures of text", "negative figures",
    "figures of fractions", "figures of lists", "figures of true",
)  # fmt: skip

PLACES: dict[str, tuple[Make | None, str]] = {
    "nothing": (None, "b.json"),
    "a folder": (lambda w: (w / "b.json").mkdir(), "b.json"),
    "a pipe": (lambda w: os.mkfifo(w / "b.json"), "b.json"),
    "zeros": (None, "/dev/zero"),
    "the null device": (None, "/dev/null"),
    "noise without end": (None, "/dev/urandom"),
    "a link to itself": (lambda w: (w / "b.json").symlink_to("b.json"), "b.json"),
    "a link to zeros": (lambda w: (w / "b.json").symlink_to("/dev/zero"), "b.json"),
    "a sparse terabyte": (lambda w: sparse_terabyte(w / "b.json"), "b.json"),
    "a name too long": (None, "x" * 300 + ".json"),
    "an empty name": (None, ""),
    "escapes": (None, "\x1b[2J\x9b.json"),
    "an option": (None, "--upload-pack=touch owned"),
    "an option of git": (None, "-c"),
    "a ref of two points": (None, "HEAD..HEAD"),
    "a ref of a range": (None, "HEAD@{99999999}"),
    "a ref with a null": (None, "HEAD\udcff"),
    "a ref of a caret": (None, "^"),
    "a ref that is missing": (None, "refs/heads/nothing"),
    "a path of a process": (None, "/proc/self/mem"),
    "a file: form of zeros": (None, "file:/dev/zero"),
    "a git: form of an option": (None, "git:--help"),
    "a store: form of nothing": (None, "store:"),
}


def _readers(path: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield "check", ("check", f"--baseline={path}")
    yield "compare", ("compare", "gadnet32", f"--baseline={path}")
    yield "report", ("report", "gadnet32", f"--data={path}", "-o", "out")
    yield (
        "diff",
        ("diff", path, "gadnet32") if path.strip("-") else ("diff", "--", path, "gadnet32"),
    )
    yield "comment", ("comment", "--print", "--", path)
    yield "accuracy", ("compare", "gadnet32", f"--accuracy={path}")
    yield "devices", ("devices", f"--coefficients={path}")


def cases() -> Iterator[Case]:
    """Each document and place before the commands that read one."""
    for name, text in DOCUMENTS.items():
        for reader, words in _readers("b.json"):
            # a file without the model's row is no fault: the row is then without a comparison
            exits = (0, 1, 2) if name in ("another model", "the model twice") else (1, 2)
            if reader in ("diff", "accuracy") or name in SAYS_NOTHING or (
                reader == "report" and name in ROWS):  # fmt: skip
                exits = (0, 1, 2)
            yield Case(f"{reader}: {name}", words, exits=exits, lines=3,
                       files={"gadprof.toml": TOML, "b.json": text},
                       writes=("out", "out/*") if reader == "report" else ())  # fmt: skip
    for name, (make, path) in PLACES.items():
        for reader, words in _readers(path):
            if reader == "diff" and path.startswith("-"):
                words = ("diff", "--", path, "gadnet32")
            yield Case(f"{reader} at {name}", words, exits=(0, 1, 2) if reader == "accuracy" else
                       (1, 2), make=make, files={"gadprof.toml": TOML}, limit_s=40,
                       lines=3)  # fmt: skip
