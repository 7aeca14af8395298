"""Whether any of 10,000 fuzzed names reaches a terminal with a control byte in it.

    PYTHONPATH=. python benchmarks/terminal_names.py [--names 10000] [--seed N]

Each name holds control characters of every kind (C0, C1, escape sequences, bidirectional marks,
lone surrogates) and goes where strangers' names go: a model, a row, a configuration's path and
text, a knob, a store, an error's text, a node of an ONNX file. What the terminal was sent is read
back from it. Exit code 1 where a control byte arrived. Linux and macOS.
"""

from __future__ import annotations

import contextlib
import io
import os
import pty
import random
import re
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

CONTROLS = [
    *map(chr, (*range(1, 32), *range(127, 160))),
    *("\u2028", "\u2029", "\ud800", "\udcff"),
    *map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))),
]
SEQUENCES = (
    *("\x1b[2J", "\x1b]0;t\x07", "\x1b[31m", "\x9b31m", "\x1b]8;;http://x\x1b\\", "\x1bc"),
    *("\x1b]52;c;eA==\x07", "\x1b[6n", "\x1bP$q\x1b\\", "\x1b[?1049h", "\r\n", "\x08" * 4),
)
# what a terminal may be sent beside text, where no colour and no bar of progress is shown
ALLOWED = re.compile(rb"\r\n|[\t\n]")
RAW = re.compile(rb"[\x00-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xa8-\xae]|\xe2\x81[\xa6-\xa9]")
NODES = 500


def fuzzed(draw: random.Random) -> str:
    """A name with one to six hostile parts."""
    parts = []
    for _ in range(draw.randint(1, 6)):
        parts.append(draw.choice(SEQUENCES) if draw.random() < 0.5 else draw.choice(CONTROLS))
        parts.append("".join(draw.choices("ab/.:-_ xé漢🐍", k=draw.randint(0, 4))))
    return "x" + "".join(parts)


class Terminal:
    """A terminal as this process's standard output and error; what it was sent is kept."""

    def __init__(self) -> None:
        self.there, here = pty.openpty()
        self.sent = bytearray()
        self._lock = threading.Lock()
        threading.Thread(target=self._read, daemon=True).start()
        raw = io.FileIO(here, "w")
        self.stream = io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", "backslashreplace")

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(self.there, 1 << 16):
                with self._lock:
                    self.sent += data

    def take(self) -> bytes:
        """What was sent since the last call, waiting for the end that is written here."""
        self.stream.write("<end>")
        self.stream.flush()
        while True:
            with self._lock:
                if self.sent.endswith(b"<end>"):
                    data = bytes(self.sent[:-5])
                    self.sent.clear()
                    return data


def shown_by(terminal: Terminal, words: Sequence[str]) -> bytes:
    """What a command line shows."""
    from gadprof.cli import run

    with contextlib.redirect_stdout(terminal.stream), contextlib.redirect_stderr(terminal.stream):
        run(list(words))
    return terminal.take()


def places(name: str, number: int, folder: Path) -> tuple[str, list[str]]:
    """Where the name goes, in turn."""
    file_name = name.replace("/", "_").replace("\ud800", "")
    quoted = "".join(f"\\U{ord(c):08x}" if c not in "\ud800\udcff" else "" for c in name)
    config = folder / "gadprof.toml"
    turn = number % 8
    if turn >= 5:
        text = (f'"{quoted}" = 1\n', f'[budgets."{quoted}"]\nmax_macs = 1\n',
                f'[budgets.gadnet32]\nmodel = "{quoted}"\nmax_macs = 1\n')[turn - 5]  # fmt: skip
        config.write_text(text)
        return "a configuration's text", ["check", f"--config={config}"]
    return [
        ("a model", ["count", "--", name]),
        ("a row", ["compare", "gadnet32", name]),
        ("a path", ["check", f"--config={file_name}.toml"]),
        ("a knob", ["count", f"gadnet32:{name}=1"]),
        ("a store", ["history", f"--store={folder}/{file_name}"]),
    ][turn]


def graphs(names: Sequence[str], folder: Path) -> Iterator[Path]:
    """ONNX files whose nodes, operators and modules have these names."""
    from onnx import TensorProto, helper

    for first in range(0, len(names), NODES):
        nodes = []
        for number, name in enumerate(names[first : first + NODES]):
            text = name.encode("utf-8", "ignore").decode()
            nodes.append(helper.make_node("Relu" if number % 2 else f"Own{text}", [f"t{number}"],
                                          [f"t{number + 1}"], name=f"/{text}/{number}",
                                          domain="" if number % 2 else "own"))  # fmt: skip
        ends = [helper.make_tensor_value_info(f"t{n}", TensorProto.FLOAT, (1, 3))
                for n in (0, len(nodes))]  # fmt: skip
        known = [helper.make_tensor_value_info(f"t{n}", TensorProto.FLOAT, (1, 3))
                 for n in range(1, len(nodes))]  # fmt: skip
        graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], value_info=known)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
        path = folder / "m.onnx"
        path.write_bytes(helper.make_model(graph, opset_imports=opsets).SerializeToString())
        yield path


@click.command()
@click.option("--names", "count", default=10_000, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(count: int, seed: int) -> None:
    """Show the names and look at what the terminal was sent."""
    from gadprof.render import progress

    draw = random.Random(seed)
    os.environ.update(GADPROF_STORE="off", TERM="xterm", NO_COLOR="1")
    progress.DELAY_S = float("inf")  # it redraws its line; what it says is escaped before
    terminal, raw, seen = Terminal(), 0, Counter[str]()
    names = [fuzzed(draw) for _ in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)

        def look(place: str, data: bytes, many: int) -> int:
            seen[place] += many
            assert data, f"nothing was shown of {place}"
            found = RAW.findall(ALLOWED.sub(b"", data))
            if found:
                click.echo(f"{place}: {found[:3]} in {data[:300]!r}")
            return len(found)

        for number, name in enumerate(names):
            place, words = places(name, number, Path(folder))
            raw += look(place, shown_by(terminal, words), 1)
        for path in graphs(names, Path(folder)):
            nodes = min(NODES, count)
            for by in ("module", "op"):
                words = ["count", str(path), f"--by={by}", "--depth=9"]
                raw += look("a node", shown_by(terminal, words), nodes if by == "op" else 0)
    for place, number in sorted(seen.items()):
        click.echo(f"{number:7,}  names as {place}")
    click.echo(f"{sum(seen.values()):,} names shown on a terminal, {raw} raw control bytes")
    raise SystemExit(bool(raw))


if __name__ == "__main__":
    sys.exit(main())
