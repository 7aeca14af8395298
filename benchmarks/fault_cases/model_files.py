"""Model files: code that crashes, hangs, lies, leaves things behind, or attacks who runs it."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.fault_cases.case import Case, Outcome

HEAD = "import os, sys, time, signal, threading, subprocess, torch\nfrom torch import nn\n"
NET = (
    HEAD
    + """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        {forward}
        return self.conv(x)

def build():
    {build}
    return Net()
"""
)
SLEEP = "[sys.executable, '-S', '-c', 'import time; time.sleep(300)']"

# what the file says instead of a model
FILES: dict[str, str | bytes] = {
    "empty": "", "noise": bytes(range(256)), "null bytes": "\x00" * 10, "latin-1": "# é".encode("latin-1"),
    "UTF-16": "x = 1".encode("utf-16"), "a syntax error": "def build(:", "tabs and spaces": "if 1:\n\tx=1\n        y=2",
    "no function": "x = 1", "a function of another name": "def other(): pass", "a number": "build = 5",
    "a class that is no module": "class build: pass", "an import that is missing": "import nothing_at_all",
    "an import of itself": "import net\ndef build(): return net.build()", "deep nesting": "x = " + "(" * 3000 + ")" * 3000,
    "a million lines": "x = 1\n" * 1_000_000, "ends while it is read": "raise SystemExit(0)", "os._exit while it is read": "import os; os._exit(0)",
    "raises while it is read": "raise ValueError('a\\x1b[2J\\x1b]0;t\\x07\\x9bb')", "an endless loop while it is read": "while True: pass",
    "KeyboardInterrupt while it is read": "raise KeyboardInterrupt", "a base exception while it is read": "class E(BaseException): pass\nraise E('x')",
    "an exception whose text raises": "class E(Exception):\n    def __str__(self): raise ValueError('again')\nraise E()",
    "an exception whose text ends the process": "import os\nclass E(Exception):\n    def __str__(self): os._exit(0)\nraise E()",
    "an exception whose text is endless": "class E(Exception):\n    def __str__(self): return 'x' * 10**8\nraise E()",
    "an exception whose text is no text": "class E(Exception):\n    def __str__(self): return 5\nraise E()",
    "an exception of a hostile name": "E = type('\\x1b[2J\\n' * 3, (Exception,), {})\nraise E('x')",
    "warnings as errors": "import warnings; warnings.simplefilter('error'); warnings.warn('x')\ndef build(): pass",
}  # fmt: skip
# what build() does: (its line, seconds it may take, other exits)
BUILDS: dict[str, str] = {
    "returns None": "return None", "returns a number": "return 5", "returns a class": "return Net",
    "returns a list": "return [Net()]", "returns three things": "return (Net(), (), 5)", "returns itself": "return build",
    "wants an argument": "raise TypeError('x')", "raises nothing": "raise Exception", "raises StopIteration": "raise StopIteration",
    "raises a GeneratorExit": "raise GeneratorExit", "raises a MemoryError": "raise MemoryError",
    "raises a RecursionError": "return build()", "raises with escapes": "raise ValueError('\\x1b[2J\\x1b]0;t\\x07\\x9b\\u202e')",
    "raises a name of gadprof's": "import gadprof.errors as e; raise e.GadprofError('\\x1b[2J')",
    "raises a check that failed": "import gadprof.errors as e; raise e.CheckFailedError('x')",
    "raises a chain of a thousand": "exec('try:\\n 1/0\\nexcept Exception as e:\\n raise ValueError(\"x\") from e')",
    "exits 0": "sys.exit(0)", "exits 7": "sys.exit(7)", "exits with words": "sys.exit('words')", "os._exit 0": "os._exit(0)",
    "os._exit 1": "os._exit(1)", "aborts": "os.abort()", "kills itself": "os.kill(os.getpid(), 9)",
    "kills its group": "os.killpg(0, 9)", "stops itself": "os.kill(os.getpid(), signal.SIGSTOP)",
    "terminates itself": "os.kill(os.getpid(), 15)", "interrupts itself": "os.kill(os.getpid(), 2)",
    "a segmentation fault": "import ctypes; ctypes.string_at(0)", "sleeps": "time.sleep(1000)", "loops": "exec('while True: pass')",
    "loops deaf to signals": "exec('for n in range(1, 32):\\n  try: signal.signal(n, signal.SIG_IGN)\\n  except Exception: pass\\nwhile True: pass')",
    "fills memory": "x = []; exec('while True: x.append(bytearray(1 << 24))')", "asks for a terabyte": "bytearray(1 << 40)",
    "opens files for ever": "x = []; exec('while True: x.append(open(\"/dev/null\"))')",
    "starts threads for ever": "exec('while True: threading.Thread(target=time.sleep, args=(1000,)).start()')",
    "forks for ever": "exec('while True: os.fork()')",
    "writes a file for ever": "f = open('/dev/full', 'w'); exec('while True: f.write(\"x\" * 10**6)')",
    "floods standard output": "exec('while True: print(\"x\" * 10**6)')",
    "closes its pipes": "os.closerange(3, 100)", "closes everything": "os.closerange(0, 100)",
    "answers in our stead": "os.write(int(sys.argv[3]), b'\\x00\\x00\\x00\\x02{}')",
    "answers noise": "os.write(int(sys.argv[3]), b'\\xff' * 100)",
    "answers a length of 4 GiB": "os.write(int(sys.argv[3]), b'\\xff\\xff\\xff\\xff')",
    "answers deep JSON": "d = b'[' * 10**6; os.write(int(sys.argv[3]), len(d).to_bytes(4, 'big') + d)",
    "answers an error of its own": "d = b'{\"error\": {\"kind\": \"x\"}}'; os.write(int(sys.argv[3]), len(d).to_bytes(4, 'big') + d)",
    "answers a value that is no trace": "d = b'{\"value\": {\"macs\": -5}}'; os.write(int(sys.argv[3]), len(d).to_bytes(4, 'big') + d)",
    "answers half a message": "os.write(int(sys.argv[3]), b'\\x00\\x00\\xff\\xff{'); os._exit(0)",
}  # fmt: skip
# what forward() does
FORWARDS: dict[str, str] = {
    "raises": "raise ValueError('x')", "raises with escapes": "raise ValueError('\\x1b]0;t\\x07\\x9b2J')", "exits": "sys.exit(0)",
    "os._exit": "os._exit(0)", "aborts": "os.abort()", "loops": "exec('while True: pass')", "sleeps": "time.sleep(1000)",
    "recurses": "return self(x)", "fills memory": "y = []; exec('while True: y.append(bytearray(1 << 24))')",
    "wants another argument": "return self.conv(x, 5)", "convolves what does not fit": "x = x[:, :2]", "asks for a value": "assert x.sum().item() == 12345.5",
    "raises KeyboardInterrupt": "raise KeyboardInterrupt", "deletes its weights": "del self.conv.weight", "kills itself": "os.kill(os.getpid(), 9)",
    "sends its own stop": "os.kill(os.getpid(), signal.SIGSTOP)",
}  # fmt: skip
# what is no fault: the count has to be right all the same (one convolution: 3*4*9*36 MACs)
HARMLESS: dict[str, tuple[str, str]] = {
    "nothing": ("pass", "pass"),
    "leaves a thread": ("threading.Thread(target=time.sleep, args=(300,)).start()", "pass"),
    "leaves a process": (f"subprocess.Popen({SLEEP})", "pass"),
    "leaves a session": (f"subprocess.Popen({SLEEP}, start_new_session=True)", "pass"),
    "leaves a process from its forward": ("pass", f"subprocess.Popen({SLEEP}, start_new_session=True)"),
    "leaves a process that holds its pipes": (f"subprocess.Popen({SLEEP}, close_fds=False)", "pass"),
    "leaves an orphan": ("exec('if os.fork() == 0:\\n os.setsid()\\n if os.fork() == 0:\\n  time.sleep(300)\\n os._exit(0)')", "pass"),
    "leaves a hook at exit that sleeps": ("import atexit; atexit.register(time.sleep, 300)", "pass"),
    "leaves a hook at exit that kills": ("import atexit; atexit.register(os.abort)", "pass"),
    "prints": ("print('x' * 10**6); sys.stderr.write('y' * 10**6)", "print('z')"),
    "prints escapes": ("print('\\x1b[2J\\x1b]0;t\\x07')", "pass"),
    "prints JSON": ("print('{\"macs\": 0}')", "pass"),
    "reads standard input": ("assert sys.stdin.read() == ''", "pass"),
    "closes standard output": ("sys.stdout.close()", "pass"),
    "changes the folder": ("os.chdir('/')", "pass"),
    "replaces json.dumps": ("import json; json.dumps = lambda *a, **k: '{}'", "pass"),
    "replaces pickle.dumps": ("import pickle; pickle.dumps = lambda *a, **k: b\"cos\\nsystem\\n(S'touch owned'\\ntR.\"", "pass"),
    "changes the locale": ("import locale; locale.setlocale(locale.LC_ALL, 'C')", "pass"),
    "changes the environment": ("os.environ.clear()", "pass"),
    "sets a default device": ("torch.set_default_device('meta')", "pass"),
    "sets a default type": ("torch.set_default_dtype(torch.float64)", "pass"),
    "switches gradients off": ("torch.set_grad_enabled(False)", "pass"),
    "turns warnings into errors": ("import warnings; warnings.simplefilter('error')", "pass"),
    "sets an alarm": ("signal.alarm(300)", "pass"),
    "writes into its temporary folder": ("import tempfile; open(tempfile.mkdtemp() + '/x', 'w').write('x' * 10**6)", "pass"),
    "lowers the recursion limit": ("sys.setrecursionlimit(200)", "pass"),
    "hooks the interpreter": ("sys.excepthook = lambda *a: None; sys.settrace(lambda *a: None)", "pass"),
}  # fmt: skip
# other functions of the package that the answer travels through, replaced
ATTACKS = {
    "os.write": "os.write = lambda *a: 0",
    "sys.modules": "sys.modules.clear()",
    "builtins.open": "import builtins; builtins.open = None",
    "time.monotonic": "time.monotonic = lambda: 0.0",
    "struct.Struct": "import struct; struct.Struct = None",
    "gadprof's wire": "import gadprof.workers.wire as w; w.pack = lambda m: b'\\x00\\x00\\x00\\x02{}'",
    "gadprof's count": "import gadprof.counting.count as c; c.count = lambda *a, **k: {'macs': -1}",
    "gadprof's errors": "import gadprof.errors as e; e.GadprofError.exit_code = 0; raise e.GadprofError('x')",
    "json.dumps with a flood": "import json; json.dumps = lambda *a, **k: '[' * (1 << 27)",
    "json.dumps with escapes": "import json; json.dumps = lambda *a, **k: '{\"error\": {\"kind\": \"usage\", \"type\": \"GadprofError\", \"reason\": \"\\\\u001b[2J\"}}'",
    "json.dumps with a code 0": "import json; json.dumps = lambda *a, **k: '{\"error\": {\"kind\": \"usage\", \"type\": \"__class__\", \"reason\": \"x\"}}'",
}  # fmt: skip
# files of the current folder that stand in for modules
NEIGHBOURS = ("random.py", "types.py", "queue.py", "json.py", "click.py", "gadprof.py", "torch.py",
              "numpy.py", "sitecustomize.py", "usercustomize.py")  # fmt: skip
OWNED = "open('owned', 'w').write('x')\n"


def _net(build: str = "pass", forward: str = "pass") -> dict[str, str]:
    return {"net.py": NET.format(build=build, forward=forward)}


def right_macs(outcome: Outcome) -> str:
    import json

    if outcome.exit != 0:
        return ""
    macs = json.loads(outcome.out)["macs"]
    return "" if macs == 3 * 4 * 9 * 36 else f"counted {macs} MACs"


def cases() -> Iterator[Case]:
    """Each file before ``count``, the worst before the other commands that run models."""
    count = ("count", "net.py:build", "--input=3x8x8", "--format=json", "--timeout=30s",
             "--memory-limit=1GiB")  # fmt: skip
    for name, text in FILES.items():
        yield Case(f"file: {name}", count, files={"net.py": text}, exits=(1, 2))
    for name, line in BUILDS.items():
        yield Case(f"build {name}", count, files=_net(build=line), exits=(1, 2))
    for name, line in FORWARDS.items():
        yield Case(
            f"forward {name}", count, files=_net(forward=line), exits=(0, 1, 2), check=right_macs
        )
    for name, (build, forward) in HARMLESS.items():
        yield Case(f"harmless: {name}", (*count[:4], "--timeout=280s"), files=_net(build, forward),
                   exits=(0,), check=right_macs, limit_s=300)  # fmt: skip
    for name, line in ATTACKS.items():
        yield Case(
            f"replaces {name}", count, files=_net(build=line), exits=(0, 1, 2), check=right_macs
        )
    for name in NEIGHBOURS:
        yield Case(f"a {name} beside a built-in network", ("count", "gadnet32"), exits=(0,),
                   files={name: OWNED}, fresh=True)  # fmt: skip
        yield Case(f"a {name} beside a run of a built-in network", ("count", "gadnet32:width=8",
                   "--trace"), exits=(0,), files={name: OWNED}, fresh=True)  # fmt: skip
    for words in (("compare", "gadnet32", "net.py:build"), ("audit", "net.py:build"),
                  ("diff", "gadnet32", "net.py:build"), ("fit", "net.py:build", "--device=24GiB"),
                  ("reconcile", "net.py:build", "--claimed=7G")):  # fmt: skip
        for name, line in (("loops", BUILDS["loops"]), ("kills itself", BUILDS["kills itself"]),
                           ("raises with escapes", BUILDS["raises with escapes"])):  # fmt: skip
            yield Case(f"{words[0]}: build {name}", (*words, "--timeout=8s"), exits=(1, 2),
                       files=_net(build=line), lines=40, limit_s=240)  # fmt: skip
