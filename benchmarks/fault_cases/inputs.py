"""Inputs: sizes that no model takes, grammar that no command reads, files that hold none."""

from __future__ import annotations

import os
from collections.abc import Iterator

from benchmarks.fault_cases.case import Case, Make, Outcome
from benchmarks.fault_cases.made import RUNS, shown, sparse_terabyte, zipped

LONG = "9" * 5000
SIZES = (
    "", " ", "x", "xx", "3x", "x256x192", "3xx192", "3x256x", "3x0x192", "0x256x192", "3x256x0",
    "-3x256x192", "3x-256x192", "3x256x-192", "3x250x192", "3x256x191", "1x256x192", "4x256x192",
    "3x1x1", "3x31x31", "3x256x192x1", "3", "256", "3x256", "3.5x256x192", "3x2.56e2x192",
    "3x0x100x192", "3x\u0662\u0665\u0666x192", "3\u00d7250\u00d7192", "3 x 250 x 192", "3,256,192",
    "3x256x192,", "[3x256x192", "3x256x192]", "[[3x256x192]]", "(3,256,192)", "3X250X192",
    "inf", "nan", "3xinfxinf", "3xnanx192", "1e9", "3x1e9x1e9", f"3x{LONG}x192", f"{LONG}",
    "3x99999999999999999999x32", "3x9223372036854775808x32", "3x9223372036854775776x32",
    "3x4294967296x4294967296", "3x64000000x64000000", "3x2147483648x2147483648",
    "3x-9223372036854775808x32", "3x256x192\x1b[2J", "\x1b]0;t\x07", "3x256x192\n3", "\u202e",
    "3x256x192:float32:float32", "3x256x192:nothing", "3x256x192:", ":float32", "a=", "=3x8x8",
    "a=b=3x8x8", "3x256x192<0", "3x256x192:int64<", "3x256x192:int64<-1", "3x256x192:int64<x",
    f"3x256x192:int64<{LONG}", "3x256x192=", "3x256x192=\x00"[:-1], "x" * 100_000, "3x" * 5000,
    "[" * 2000, "3x256x192@3x256x192", "nothing.pt", "nothing.npz", "nothing.npy", "/dev/null.npz",
    "/etc/passwd", "/etc/passwd.pt", "-", "--", "-1", "$(id)", "%d", "{}", "\ufeff3x256x192",
    "steps:=", ":=5", "steps:=five", f"steps:={LONG}", "steps:=__import__('os')", "a:=1:=2",
    "mask=128:bool<2", "x=3x8x8:complex64", "x=3x8x8:object", "x=3x8x8:\x1b[2J",
)  # fmt: skip
# what a built-in network takes: sizes in another spelling
ALLOWED = ("3,256,192", "256", "3x256", "3x256x191", "3x31x31", "3x\u0662\u0665\u0666x192")

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.conv(x)

def build():
    return Net()
"""
# for a model that is code: each takes seconds
TYPED = (
    "3x8x8:int64", "3x8x8:bool", "3x8x8:complex64", "3x2x2", "2x8x8", "3x8", "8", "y=3x8x8",
    "x=3x8x8,3x8x8", "[3x8x8", "x:=5", "x:=null", "x:=true", "3x99999999x99999999",
    "3x4294967296x4294967296", "3x8x8:float8_e4m3fn", "3x8x8=nan", "3x8x8=inf", "x=[0x3x8x8]",
    "3x8x8:quint8", "3x8x8:int64<0", "3x8x8:int64<99999999999999999999",
)  # fmt: skip


def _npy(shape: str, kind: str = "<f4", data: bytes = b"") -> bytes:
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


FILES: dict[str, tuple[str, bytes]] = {
    "empty npz": ("a.npz", b""),
    "noise npz": ("a.npz", bytes(range(256)) * 4),
    "zip without arrays": ("a.npz", zipped({})),
    "zip of words": ("a.npz", zipped({"x.npy": b"words"})),
    "npz of an array that is cut": ("a.npz", zipped({"x.npy": _npy("(3, 8, 8)")})),
    "npz of negative sizes": ("a.npz", zipped({"x.npy": _npy("(-3, 8, 8)")})),
    "npz of 2^60 elements": ("a.npz", zipped({"x.npy": _npy(f"({2**60},)")})),
    "npz of objects": ("a.npz", zipped({"x.npy": _npy("(1,)", "|O", RUNS)})),
    "npz of a header that runs": ("a.npz", zipped({"x.npy": _npy("__import__('os')")})),
    "npz of words as type": ("a.npz", zipped({"x.npy": _npy("(1,)", "|S3", b"abc")})),
    "npz of another name": ("a.npz", zipped({"y.npy": _npy("(1,3,8,8)", data=bytes(768))})),
    "npz of another shape": ("a.npz", zipped({"arr_0.npy": _npy("(1,3)", data=bytes(12))})),
    "npz whose member leaves the folder": ("a.npz", zipped({"../../x.npy": _npy("(1,)")})),
    "npz whose name is an escape": ("a.npz", zipped({"\x1b[2J.npy": _npy("(1,)", data=bytes(4))})),
    "empty pt": ("a.pt", b""),
    "noise pt": ("a.pt", bytes(range(256)) * 4),
    "pt that is a pickle that runs": ("a.pt", RUNS),
    "pt zip with a pickle that runs": ("a.pt", zipped({"a/data.pkl": RUNS, "a/version": b"3"})),
    "pt zip without a pickle": ("a.pt", zipped({"a/version": b"3"})),
    "pt of a number": ("a.pt", zipped({"a/data.pkl": b"\x80\x02K\x05.", "a/version": b"3"})),
    "pt of an endless memo": ("a.pt", b"\x80\x02" + b"(" * 100_000),
    "npy of 3x8x8": ("a.npy", _npy("(3, 8, 8)", data=bytes(768))),
}  # fmt: skip
PLACES: dict[str, tuple[str, Make]] = {
    "a folder": ("a.npz", lambda work: (work / "a.npz").mkdir()),
    "a pipe": ("a.npz", lambda work: os.mkfifo(work / "a.npz")),
    "a pipe of torch": ("a.pt", lambda work: os.mkfifo(work / "a.pt")),
    "a link to itself": ("a.npz", lambda work: (work / "a.npz").symlink_to("a.npz")),
    "a link to nothing": ("a.pt", lambda work: (work / "a.pt").symlink_to("nothing")),
    "a link to zeros": ("a.npz", lambda work: (work / "a.npz").symlink_to("/dev/zero")),
    "a sparse terabyte": ("a.npz", lambda work: sparse_terabyte(work / "a.npz")),
    "a sparse terabyte of torch": ("a.pt", lambda work: sparse_terabyte(work / "a.pt")),
}


def cases() -> Iterator[Case]:
    """Each input before the commands that read one."""
    for number, text in enumerate(SIZES):
        exits = (0, 2) if text in ALLOWED else (2,)
        for words in (("count", "gadnet32"), ("compare", "gadnet32", "hrnet32"),
                      ("shapes", "gadnet32")):  # fmt: skip
            yield Case(f"{words[0]} size {number} {shown(text, 50)}", (*words, f"--input={text}"),
                       exits=exits, lines=2)  # fmt: skip
        if number % 3 == 0:
            yield Case(f"count at {number} {shown(text, 50)}", ("count", f"gadnet32@{text}"),
                       exits=exits)  # fmt: skip
            yield Case(f"sweep size {number} {shown(text, 50)}",
                       ("sweep", "gadnet", "--width=8", f"--input={text}"), exits=(0, 2)
                       if text in (*ALLOWED, "", "3,256,192") else (2,))  # fmt: skip
    yield Case("two inputs for one that is taken", ("count", "gadnet32", "--input=3x256x192",
                                                    "--input=3x256x192"))  # fmt: skip
    yield Case("a thousand inputs", ("count", "gadnet32", *["--input=3x256x192"] * 1000))
    for number, text in enumerate(TYPED):
        yield Case(f"typed {number} {shown(text, 50)}",
                   ("count", "net.py:build", f"--input={text}", "--format", "json"),
                   files={"net.py": NET}, exits=(0, 1, 2), check=_no_zero, lines=2)  # fmt: skip
    for name, (path, content) in FILES.items():
        yield Case(f"file: {name}", ("count", "net.py:build", f"--input={path}"),
                   files={"net.py": NET, path: content}, exits=(0,) if name[:4] == "npy " else (1, 2))  # fmt: skip
    for name, (path, make) in PLACES.items():
        yield Case(f"file: {name}", ("count", "net.py:build", f"--input={path}"),
                   files={"net.py": NET}, make=make, exits=(1, 2), limit_s=40)  # fmt: skip


def _no_zero(outcome: Outcome) -> str:
    """A convolution that was counted has products."""
    import json

    if outcome.exit != 0:
        return ""
    found = json.loads(outcome.out)
    return "" if found.get("macs", 0) > 0 or found.get("empty") else "counted, without a MAC"
