"""What a stranger tries next: closed streams in every combination, options that may be repeated,
tables of very long lines, names with line breaks, folders in a circle, and stranger models."""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.fault_cases.case import Case, Outcome
from benchmarks.fault_cases.model_files import HEAD, right_macs

BUDGET = '[budgets.gadnet32]\nmax_macs = "9G"\n'
GROWTH = '[budgets.gadnet32]\nmax_growth = "2%"\n'  # for which git is asked
LONG = "9" * 5000
SMALL = "gadnet32:width=8,blocks=1-1-1-1,modules=1-1-1"
WORDS = ("", "nan", "=", "==", "inf", LONG, "\x1b[2J\x9b", "a\nb", "-1", "x" * 100_000, "\udcff")
# command and an option of it that may be given again and again
REPEATED: tuple[tuple[tuple[str, ...], str], ...] = (
    (("compare", "gadnet32"), "accuracy"), (("diff", "gadnet32", "hrnet32"), "fail-on"),
    (("formula", "--c-in=32"), "with"), (("predict", "gadnet32", "--device=rtx3090"), "timed"),
    (("calibrate", "--from=csv", "m.csv", "-o", "c.json"), "only"),
    (("sweep", "gadnet", "--width=8"), "max"), (("sweep", "gadnet", "--width=8"), "min"),
    (("search", "gadnet", "--width=8:16"), "max"), (("search", "gadnet", "--width=8:16"), "objective"),
    (("report", "gadnet32"), "plots"), (("redundancy", "gadnet32", "--image=nothing.png"), "place"),
    (("bench", "gadnet32"), "precision"), (("explain", "gadnet32"), "precision"),
)  # fmt: skip
MEASURED = "model,latency_ms\ngadnet32,5\n"
TABLES: dict[str, str | bytes] = {
    "empty": "", "a header alone": "model,latency_ms\n", "one line of 20 MB": "x" * 20_000_000,
    "100,000 columns": ",".join("c" * 100_000) + "\n1\n", "a field of 200,000": f"model,latency_ms\n{'x' * 200_000},5\n",
    "an open quote": 'model,latency_ms\n"gadnet32,5\n', "a quote in a field": 'model,latency_ms\nga"dnet32,5\n',
    "a line break in a field": 'model,latency_ms\n"gad\nnet32",5\n', "null bytes": "model,latency_ms\nx\x00y,5\n",
    "a BOM": "\ufeff" + MEASURED, "UTF-16": MEASURED.encode("utf-16"), "latin-1": "model,latency_ms\n\xe9,5\n".encode("latin-1"),
    "old line ends": MEASURED.replace("\n", "\r"), "semicolons": MEASURED.replace(",", ";"),
    "a header twice": "model,model,latency_ms\nx,y,5\n", "a line too short": "model,latency_ms\ngadnet32\n",
    "a line too long": "model,latency_ms\ngadnet32,5,6,7\n", "a time of NaN": "model,latency_ms\ngadnet32,nan\n",
    "a time below zero": "model,latency_ms\ngadnet32,-5\n", "a time of 1e400": "model,latency_ms\ngadnet32,1e400\n",
    "a time of 5,000 digits": f"model,latency_ms\ngadnet32,{LONG}\n", "a time of words": "model,latency_ms\ngadnet32,fast\n",
    "a model of escapes": "model,latency_ms\n\x1b[2J\x9b,5\n", "a formula": "model,latency_ms\n=cmd|'/c calc'!A1,5\n",
    "100,000 unknown models": "model,latency_ms\n" + "nothing,5\n" * 100_000,
}  # fmt: skip
NAMES = ("a\nb", "a\r\x1b[2Kb", "a b", "-o", "--help", "'", "%s", "\u202ecod", "a\u2028b", "~")
NETWORK = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        {init}

    def forward(self, x):
        {forward}

    {other}

def build():
    return Net()
"""
PLAIN = "return self.conv(x)"
# name -> (in __init__, in forward, another member): counted right, or refused in one line
MODELS: dict[str, tuple[str, str, str]] = {
    "a name of escapes": ("self.add_module('\\x1b[2J\\n', nn.Identity())", PLAIN, "pass"),
    "a class name of escapes": ("type(self).__name__ = '\\x1b[2J\\n\\x9b'", PLAIN, "pass"),
    "a class name that is no text": ("type(self).__name__ = type('S', (str,), {})('Net')", PLAIN, "pass"),
    "itself within itself": ("self.__dict__['_modules']['me'] = self", PLAIN, "pass"),
    "5,000 modules deep": ("exec('m = self\\nfor _ in range(5000):\\n n = nn.Module(); m.inner = n; m = n')", PLAIN, "pass"),
    "a repr that raises": ("pass", PLAIN, "def extra_repr(self): raise ValueError('x')"),
    "a repr that never ends": ("pass", PLAIN, "def __repr__(self):\n        while True: pass"),
    "attributes that are all itself": ("pass", PLAIN, "def __getattr__(self, n):\n        return super().__getattr__(n) if n in ('conv',) else self"),
    "parameters without an end": ("pass", PLAIN, "def named_parameters(self, *a, **k):\n        while True: yield 'x', self.conv.weight"),
    "modules without an end": ("pass", PLAIN, "def named_modules(self, *a, **k):\n        while True: yield 'x', self"),
    "a state that raises": ("pass", PLAIN, "def state_dict(self, *a, **k): raise ValueError('x')"),
    "a train that raises": ("pass", PLAIN, "def train(self, mode=True): raise ValueError('x')"),
    "a to that returns None": ("pass", PLAIN, "def to(self, *a, **k): return None"),
    "a call of its own": ("pass", PLAIN, "def __call__(self, x): return self.conv(x)"),
    "a class that lies": ("pass", PLAIN, "__class__ = property(lambda self: int)"),
    "a finaliser that raises": ("pass", PLAIN, "def __del__(self): raise ValueError('x')"),
    "a finaliser that sleeps": ("pass", PLAIN, "def __del__(self): time.sleep(600)"),
    "a length of -1": ("pass", PLAIN, "def __len__(self): return -1"),
    "a truth that raises": ("pass", PLAIN, "def __bool__(self): raise ValueError('x')"),
    "an equality that raises": ("pass", PLAIN, "def __eq__(self, o): raise ValueError('x')\n    __hash__ = nn.Module.__hash__"),
    "no call of super": ("pass", PLAIN, "def __new__(cls): return object.__new__(cls)\n    __init__ = lambda self: None"),
    "a result of None": ("pass", "self.conv(x)", "pass"),
    "a result that holds itself": ("pass", "y = [self.conv(x)]; y.append(y); return y", "pass"),
    "a result of 100,000 tensors": ("pass", "y = self.conv(x); return [y] * 100_000", "pass"),
    "a result of a class": ("pass", "y = self.conv(x); return type('R', (), {'y': y, '__iter__': None})()", "pass"),
    "a result of keys that are no text": ("pass", "return {5: self.conv(x), None: 3}", "pass"),
    "a generator": ("pass", "yield self.conv(x)", "pass"),
    "no standard streams": ("sys.stdout = sys.stderr = sys.stdin = None", PLAIN, "pass"),
    "a stream that raises": ("sys.stdout = 5", PLAIN, "pass"),
    "300 MB of words": ("exec('for _ in range(300): print(\"x\" * 10**6)')", PLAIN, "pass"),
    "no collector": ("import gc; gc.disable(); gc.freeze()", PLAIN, "pass"),
    "a processor limit of 1 s": ("import resource; resource.setrlimit(resource.RLIMIT_CPU, (1, 1)); exec('while True: pass')", PLAIN, "pass"),
    "a death of its keeper": ("os.kill(os.getppid(), 9); time.sleep(60)", PLAIN, "pass"),
    "a signal to all of its own": ("exec('for n in (1, 2, 10, 12, 15):\\n try: os.kill(os.getppid(), n)\\n except OSError: pass'); time.sleep(60)", PLAIN, "pass"),
    "a copy of itself that goes on": ("os.fork()", PLAIN, "pass"),
    "a copy in its forward": ("pass", "os.fork(); return self.conv(x)", "pass"),
    "a new program in its place": ("os.execv('/bin/true', ['true'])", PLAIN, "pass"),
    "one that says much": ("os.execv('/bin/sh', ['sh', '-c', 'yes | head -c 100000000'])", PLAIN, "pass"),
    "torch taken away": ("sys.modules['torch'] = None", PLAIN, "pass"),
    "a kernel size of a text": ("self.conv.kernel_size = ('3', '3')", PLAIN, "pass"),
    "a kernel size that lies": ("self.conv.kernel_size = (5, 5)", PLAIN, "pass"),
    "a stride of a class": ("self.conv.stride = type('T', (tuple,), {})((1, 1))", PLAIN, "pass"),
    "a buffer of NaN": ("self.register_buffer('b', torch.tensor(float('nan')))", PLAIN, "pass"),
    "a buffer that is sparse": ("self.register_buffer('b', torch.eye(3).to_sparse())", PLAIN, "pass"),
    "a parameter of 2^50": ("self.p = nn.Parameter(torch.empty(2**25, 2**25, device='meta'))", PLAIN, "pass"),
    "no parameter": ("del self.conv", "return nn.functional.conv2d(x, torch.ones(4, 3, 3, 3))", "pass"),
    "a hook that raises": ("self.register_forward_hook(lambda *a: 1 / 0)", PLAIN, "pass"),
    "a hook that removes the others": ("self.register_forward_pre_hook(lambda m, a: m._forward_hooks.clear())", PLAIN, "pass"),
}  # fmt: skip
# variables that change the interpreter, git and the loader
VARIABLES = {
    "PYTHONVERBOSE": "", "PYTHONFAULTHANDLER": "1", "PYTHONTRACEMALLOC": "5",
    "PYTHONMALLOC": "debug", "PYTHONASYNCIODEBUG": "1", "PYTHONNODEBUGRANGES": "1",
    "PYTHONBREAKPOINT": "os.abort", "PYTHONPYCACHEPREFIX": "/dev/null", "PYTHONUSERBASE": "\x1b[2J",
    "GIT_DIR": "/nothing", "GIT_TRACE": "1", "GIT_CONFIG_GLOBAL": "/dev/zero", "PAGER": "false",
    "HTTP_PROXY": "\x1b[2J", "HOME": "a\nb", "BROWSER": "false", "TORCH_LOGS": "nothing",
    "TORCH_HOME": "/dev/null", "PYTORCH_JIT": "0", "KMP_AFFINITY": "nothing", "SHELL": "",
}  # fmt: skip


def _json_written(name: str) -> Callable[[Outcome], str]:
    """What was written is a whole JSON document and nothing that was meant for a stream."""

    def check(outcome: Outcome) -> str:
        try:
            json.loads((outcome.folder / name).read_text())
        except (OSError, ValueError) as error:
            return f"{name}: {error}"
        return ""

    return check


def _streams() -> Iterator[Case]:
    ends = itertools.product(("nothing", "closed"), ("file", "closed"), ("file", "closed"))
    for stdin, stdout, stderr in ends:
        shown = f"{stdin}, {stdout}, {stderr}"
        bare = Case("", fresh=True, stdin=stdin, stdout=stdout, stderr=stderr)
        written = replace(bare, exits=(0,), writes=("o.json",), check=_json_written("o.json"))
        yield replace(written, name=f"{shown}: a file", argv=("count", "gadnet32", "-o", "o.json"))
        yield replace(written, name=f"{shown}: a run",
                      argv=("count", SMALL, "--trace", "-o", "o.json"))  # fmt: skip
        yield replace(bare, name=f"{shown}: bad use", argv=("count", "nothing"))


def _circle(work: Path) -> None:
    (work / "loop").symlink_to(".")
    (work / "gadprof.toml").write_text(BUDGET)


def cases() -> Iterator[Case]:
    """Each in a folder of its own."""
    yield from _streams()
    for words, option in REPEATED:
        for number, value in enumerate(WORDS):
            yield Case(f"{words[0]} --{option} {number}", (*words, f"--{option}={value}"),
                       files={"m.csv": MEASURED}, exits=(0, 1, 2) if option == "timed"
                       else (2,), lines=4)  # fmt: skip
    for name, text in TABLES.items():
        yield Case(f"measurements of {name}", ("calibrate", "--from=csv", "m.csv", "--device=x", "-o", "c.json"),
                   files={"m.csv": text}, exits=(2,), lines=3)  # fmt: skip
        yield Case(f"times of {name}", ("predict", "gadnet32", "--device=rtx3090", "--timed=m.csv"),
                   files={"m.csv": text}, exits=(0, 1, 2), lines=3)  # fmt: skip
    for name in NAMES:
        shown = name.encode("unicode_escape").decode()
        yield Case(f"a configuration named {shown}", ("check", f"--config={name}.toml"), exits=(0,),
                   files={f"{name}.toml": BUDGET})  # fmt: skip
        yield Case(f"a result named {shown}", ("count", "gadnet32", f"--output={name}.json"),
                   exits=(0,), writes=("*.json",))  # fmt: skip
        yield Case(f"a model file named {shown}", ("count", "--input=3x8x8", "--", f"{name}.py:build"),
                   exits=(0, 2), files={f"{name}.py": HEAD + NETWORK.format(
                       init="pass", forward=PLAIN, other="pass")}, limit_s=200)  # fmt: skip
        yield Case(f"a store named {shown}", ("compare", "gadnet32", f"--store={name}.sqlite"),
                   exits=(0, 2), writes=("*.sqlite*", "home/*"))  # fmt: skip
    for depth in (1, 30, 1000):
        way = "loop/" * depth
        yield Case(f"a configuration {depth} times round", ("check", f"--config={way}gadprof.toml"),
                   make=_circle, exits=(0, 2))  # fmt: skip
        yield Case(f"a result {depth} times round", ("count", "gadnet32", f"--output={way}o.json"),
                   make=_circle, exits=(0, 2), writes=("o.json",))  # fmt: skip
        yield Case(f"a report {depth} times round", ("report", "gadnet32:width=8", f"--output={way}out"),
                   make=_circle, exits=(0, 2), writes=("out", "out/*"), lines=2)  # fmt: skip
    for words in (("count", "gadnet32", "-o", "o.json"), ("check", "--config=gadprof.toml"),
                  ("compare", "gadnet32", "--store=s.sqlite"), ("sweep", "gadnet", "--width=8:12", "-o", "f.json"),
                  ("predict", "gadnet32", "--device=rtx3090"), ("diff", "gadnet32", "hrnet32"),
                  ("schema", "count"), ("formula", "--c-in=32"), ("models",)):  # fmt: skip
        yield Case(f"from a removed folder: {' '.join(words)}", words, exits=(0, 2), fresh=True,
                   env={"REMOVE_FOLDER": "1"}, lines=3)  # fmt: skip
    for name, value in VARIABLES.items():
        yield Case(f"{name} set", ("check", "--baseline=git:HEAD"), env={name: value}, fresh=True,
                   files={"gadprof.toml": GROWTH}, exits=(2,), lines=40 if "TRACE" in name else 3)  # fmt: skip
    for name, (init, forward, other) in MODELS.items():
        text = HEAD + NETWORK.format(init=init, forward=forward, other=other)
        yield Case(f"a model with {name}", ("count", "net.py:build", "--input=3x8x8", "--format=json",
                   "--timeout=60s", "--memory-limit=2GiB"), files={"net.py": text}, exits=(0, 1, 2),
                   check=right_macs, limit_s=150)  # fmt: skip
    for suffix, content in (
        ("gz", gzip.compress(b"x")),
        ("ONNX", b"x"),
        ("Py", b"x"),
        ("onnx.txt", b"x"),
    ):
        yield Case(f"a file that ends .{suffix}", ("count", f"m.{suffix}"), files={f"m.{suffix}": content},
                   exits=(1, 2))  # fmt: skip
    for words in ((), ("--",), ("-",), ("--color",), ("--color=purple", "count", "gadnet32"), ("--debug",),
                  ("count", "-"), ("count", "@gadprof.toml"), ("count", *("gadnet32",) * 5000),
                  ("count", "gadnet32", "--format=json", "--format=nothing"), ("count", "gadnet32", "--trace=5"),
                  ("--version=5",), ("help",), ("count", "help"), ("compare", *("gadnet32",) * 300)):  # fmt: skip
        yield Case(f"typed: {' '.join(words)[:60]} ({len(words)})", words, exits=(0, 2), lines=2)
