"""Weights and kept modules: code in a pickle, damage, other networks, odd places."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.fault_cases.case import Case
from benchmarks.fault_cases.made import RUNS, sparse_terabyte, zipped

MODEL = "gadnet32:width=8,blocks=1-1-1-1,modules=1-1-1"


class _Runs:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch owned",)


def _saved(value: Callable[[], object]) -> Callable[[Path], None]:
    def make(work: Path) -> None:
        import torch

        torch.save(value(), work / "w.pt")

    return make


def _torch() -> Any:
    import torch

    return torch


def _dict(**entries: object) -> Callable[[Path], None]:
    return _saved(lambda: dict(entries))


RAW: dict[str, bytes] = {
    "empty": b"", "words": b"words", "noise": bytes(range(256)) * 10, "zeros": bytes(5000),
    "a pickle that runs": RUNS, "a pickle of a class that runs": pickle.dumps(_Runs()),
    "a zip whose pickle runs": zipped({"a/data/pkl": b"", "a/data.pkl": RUNS, "a/version": b"3"}),
    "a zip without a pickle": zipped({"a/version": b"3"}), "a zip of words": zipped({"x": b"words"}),
    "a zip that leaves its folder": zipped({"../../x": b"x", "a/data.pkl": b"\x80\x02}."}),
    "half a zip": zipped({"a/data.pkl": b"\x80\x02}."})[:60],
    "a zip of an endless memo": zipped({"a/data.pkl": b"\x80\x02" + b"(" * 10**6, "a/version": b"3"}),
    "a zip of a long number": zipped({"a/data.pkl": b"\x80\x02\x8b\xff\xff\xff\x7f", "a/version": b"3"}),
    "a pickle of a deep list": b"\x80\x02" + b"]" * 10**5 + b"a" * (10**5 - 1) + b".",
    "HTML": b"<html>404</html>", "a pointer to Git LFS": b"version https://git-lfs.github.com/spec/v1\n",
    "a tar": b"x\x00" * 300, "JSON": b"{}", "NumPy": b"\x93NUMPY\x01\x00",
    "safetensors of a long header": b"\xff" * 8 + b"{}", "HDF5": b"\x89HDF\r\n\x1a\n",
}  # fmt: skip
SAVED: dict[str, Callable[[Path], None]] = {
    "None": _saved(lambda: None), "a number": _saved(lambda: 5), "a list": _saved(lambda: [1]),
    "text": _saved(lambda: "x"), "an empty dict": _dict(), "a tensor": _saved(lambda: _torch().ones(3)),
    "other keys": _dict(nothing=1), "keys of numbers": _saved(lambda: {1: 2}),
    "keys of escapes": _saved(lambda: {"\x1b[2J\x1b]0;t\x07": _torch().ones(1)}),
    "a thousand unknown keys": _saved(lambda: {f"k{n}": _torch().ones(1) for n in range(1000)}),
    "a state_dict of a number": _dict(state_dict=5), "a state_dict of itself": _saved(lambda: _cycle()),
    "a state_dict of escapes": _dict(state_dict={"\x9b2J": 1}), "tensors of NaN": _saved(lambda: {"x": _torch().tensor(float("nan"))}),
    "a sparse tensor": _saved(lambda: {"x": _torch().eye(2).to_sparse()}),
    "a deep dict": _saved(lambda: _deep()), "a pickled module": _saved(lambda: _torch().nn.Linear(2, 2)),
}  # fmt: skip


def _cycle() -> dict[str, object]:
    held: dict[str, object] = {}
    held["state_dict"] = held
    return held


def _deep() -> dict[str, object]:
    held: dict[str, object] = {}
    for _ in range(300):
        held = {"state_dict": held}
    return held


PLACES: dict[str, Callable[[Path], object] | None] = {
    "nothing": None, "a folder": lambda w: (w / "w.pt").mkdir(), "a pipe": lambda w: os.mkfifo(w / "w.pt"),
    "a link to itself": lambda w: (w / "w.pt").symlink_to("w.pt"),
    "a link to zeros": lambda w: (w / "w.pt").symlink_to("/dev/zero"),
    "a link to a random device": lambda w: (w / "w.pt").symlink_to("/dev/urandom"),
    "a sparse terabyte": lambda w: sparse_terabyte(w / "w.pt"),
}  # fmt: skip
KINDS = ("w.pt", "w.pth", "w.pt2", "w.ts", "w.pkl")


def cases() -> Iterator[Case]:
    """Each file as weights of a network, and as a model of its own."""
    weigh = ("count", MODEL, "--weights=w.pt")
    for name, content in RAW.items():
        yield Case(f"weights: {name}", weigh, files={"w.pt": content})
        for kind in KINDS[:1] if len(name) % 2 else KINDS[1:4]:
            yield Case(f"a model {kind}: {name}", ("count", kind, "--timeout=60s"), exits=(1, 2),
                       files={kind: content})  # fmt: skip
    for name, make in SAVED.items():
        yield Case(f"weights: {name}", weigh, make=make)
        yield Case(f"evaluate: {name}", ("evaluate", MODEL, "--weights=w.pt", "--data=nothing"),
                   make=make)  # fmt: skip
        yield Case(f"a model: {name}", ("count", "w.pt", "--timeout=60s"), make=make, exits=(1, 2))
    for name, place in PLACES.items():
        yield Case(f"weights at {name}", weigh, make=place, limit_s=60)
        yield Case(f"a model at {name}", ("count", "w.pt", "--timeout=20s"), make=place,
                   exits=(1, 2), limit_s=90)  # fmt: skip
        yield Case(f"detect with weights at {name}", ("detect", MODEL, "--weights=w.pt",
                   "--image=nothing.png"), make=place, limit_s=60)  # fmt: skip
    for path in ("", "x" * 300, "x/" * 3000, "\x1b[2J", "/dev/null", "/proc/self/mem", "~", "-"):
        yield Case(f"weights named {path[:20].encode('unicode_escape').decode()}",
                   ("count", MODEL, f"--weights={path}"))  # fmt: skip
    yield Case("weights that may not be read", weigh, files={"w.pt": b"x"}, user=True,
               make=lambda w: (w / "w.pt").chmod(0))  # fmt: skip
