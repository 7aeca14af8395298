"""Clusters: addresses that are none, ports that are silent or speak otherwise, answers that lie."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.fault_cases.case import Case

ADDRESSES = ("", " ", "nothing", "tcp://", "tcp://nothing.invalid:1", "tcp://127.0.0.1",
             "tcp://127.0.0.1:0", "tcp://127.0.0.1:1", "tcp://127.0.0.1:99999", "tcp://[::1]:1",
             "tcp://127.0.0.1:x", "http://127.0.0.1:1", "ws://127.0.0.1:1", "tls://127.0.0.1:1",
             "ucx://127.0.0.1:1", "inproc://x", "127.0.0.1:1", "file:///etc/passwd", "\x1b[2J",
             "tcp://\x1b]0;t\x07:1", "tcp://" + "x" * 5000 + ":1", "--help", "tcp://user:pw@x:1",
             "\udcff", "/nothing/scheduler.json", "tcp://0.0.0.0:1")  # fmt: skip
COMMANDS: dict[str, tuple[str, ...]] = {
    "sweep": ("sweep", "gadnet", "--width=8:12"),
    "report": ("report", "gadnet32:width=8", "-o", "out"),
    "bench": ("bench", "gadnet32:width=8"),
    "audit": ("audit", "gadnet32:width=8"),
}
# what a worker may answer a task with; none is kept
ANSWERS: dict[str, Any] = {
    "None": None, "a number": 5, "a list": [], "bytes": b"{}", "an object": object(),
    "words": "words", "an empty text": "", "null": "null", "a JSON list": "[]", "an empty record": "{}",
    "NaN": '{"value": NaN}', "infinity": '{"value": -Infinity}', "deep": '{"value": ' + "[" * 100_000,
    "a long number": '{"value": ' + "9" * 5000 + "}", "two answers": '{"value": 1} {"value": 2}',
    "a value and an error": '{"value": 1, "error": "x"}', "an error of code 0": '{"error": "x", "exit_code": 0}',
    "an error of code 99": '{"error": "x", "exit_code": 99}', "an error of no text": '{"error": 5, "exit_code": 2}',
    "a failure": '{"failure": "\\u001b[2J"}', "another model": '{"value": {"model": "another"}}',
    "a row of text": '{"value": {"model": "gadnet32:width=8", "macs": "x"}}',
    "a negative row": '{"value": {"model": "gadnet32:width=8", "params": -1, "macs": -5}}',
    "a row that lacks": '{"value": {"model": "gadnet32:width=8"}}', "a row of null": '{"value": null}',
    "ten MiB": "[" + "1," * (5 << 20), "a key twice": '{"value": 1, "value": {}}',
}  # fmt: skip


def _answer(name: str) -> Callable[[Path], object]:
    def call(_work: Path) -> object:
        from gadprof.cluster.clients import _row_about
        from gadprof.cluster.run import Task, read_answer
        from gadprof.errors import ModelFailedError
        from gadprof.results.rebuild import SchemaError

        model = "gadnet32:width=8"
        task = Task("gadprof.cluster.tasks:compare_task", {"model": model},
                    check=_row_about(model))  # fmt: skip
        try:
            return read_answer(task, ANSWERS[name])
        except SchemaError as error:
            raise ModelFailedError(str(error)) from error

    return call


class _Server:
    """A port that says something, or nothing, to whoever comes."""

    def __init__(self, words: bytes | None) -> None:
        self.words = words
        self.socket = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.socket.getsockname()[1]}"

    def _serve(self) -> None:
        held = []
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            held.append(connection)
            if self.words is not None:
                connection.sendall(self.words)
                connection.close()


def _at_port(words: bytes | None, argv: tuple[str, ...]) -> Callable[[Path], object]:
    def call(_work: Path) -> object:
        import os

        from gadprof.cli import run

        code = run([*argv, f"--cluster={_Server(words).address}"])
        os._exit(code)

    return call


def cases() -> Iterator[Case]:
    """Each address before each command, each answer before the check of answers."""
    for number, address in enumerate(ADDRESSES):
        for name, words in COMMANDS.items():
            if name != "sweep" and number % 4:
                continue
            shown = address.encode("unicode_escape").decode()[:30]
            yield Case(f"{name} at {number} {shown}", (*words, f"--cluster={address}"), limit_s=100,
                       exits=(1, 2), writes=("out", "out/*"), lines=3)  # fmt: skip
    for name in ANSWERS:
        yield Case(f"an answer of {name}", call=_answer(name), exits=(1, 2), limit_s=60)
    for name, said in (("nothing", None), ("words", b"words\n"), ("HTTP", b"HTTP/1.1 200 OK\r\n\r\n"),
                        ("zeros", bytes(4096)), ("a length of 2^62", b"\xff" * 8 + bytes(64)),
                        ("an end", b"")):  # fmt: skip
        yield Case(f"a port that says {name}", call=_at_port(said, COMMANDS["sweep"]), exits=(2,),
                   limit_s=100)  # fmt: skip
    for content in ("", "{}", "words", json.dumps({"address": "tcp://127.0.0.1:1"}), "[" * 50_000):
        yield Case(f"a scheduler's file of {content[:20]!r}", (*COMMANDS["sweep"],
                   "--cluster=scheduler.json"), files={"scheduler.json": content}, limit_s=100)  # fmt: skip
