"""Runs a case in a forked child, with a folder, a home and a temporary folder of its own.

Promises that nothing of a case reaches the next one: what it leaves running is found (this process
takes over orphans), named and killed; every file in its folder, and a neighbour that nobody named,
is compared with what was there. Linux only.
"""

from __future__ import annotations

import contextlib
import ctypes
import fnmatch
import hashlib
import io
import os
import pty
import resource
import shutil
import signal
import stat
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.fault_cases.case import Case, Outcome

Judged = TypeVar("Judged")
HERE = Path(__file__).resolve().parents[2]
GRACE_S = 1.0
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
MOST_OUTPUT = 1 << 20
FRESH = "import sys; sys.path.pop(0); sys.argv[0] = 'gadprof'; from gadprof.__main__ import main; main()"
# what the environment of whoever runs this must not decide
CLEARED = (
    "GADPROF_STORE", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "GITHUB_TOKEN", "TMPDIR",
    "GITHUB_STEP_SUMMARY", "GITHUB_EVENT_PATH", "GITHUB_REPOSITORY", "XDG_DATA_HOME", "TERM",
)  # fmt: skip


def take_over_orphans() -> None:
    """Let Linux hand this process what its descendants leave behind."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


def give_up_powers() -> None:
    """Let the modes of files hold for this process and what it starts, as they do for a user."""
    libc = ctypes.CDLL(None)
    libc.prctl(28, 1, 0, 0, 0)  # PR_SET_SECUREBITS, SECBIT_NOROOT
    header = struct.pack("Ii", 0x20080522, 0)
    libc.capset(header, bytes(24))


def run_case(case: Case, judged: Callable[[Outcome], Judged]) -> tuple[Outcome, Judged]:
    """Run one case to its end, and judge it while its folder is there."""
    root = Path(tempfile.mkdtemp(prefix="gadprof-fault-"))
    try:
        outcome = _run(case, root)
        return outcome, judged(outcome)
    finally:
        with contextlib.suppress(OSError):
            os.chmod(root / "work", 0o755)
        shutil.rmtree(root, ignore_errors=True)


def _run(case: Case, root: Path) -> Outcome:
    root.chmod(0o755)
    work = root / "work"
    for name in ("work", "home", "tmp", "fonts"):
        (root / name).mkdir()
    (root / "neighbour").write_text("not named by anybody")
    for name, content in case.files.items():
        place = work / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.encode(
            "utf-8", "surrogateescape"))  # fmt: skip
    if case.make is not None:
        case.make(work)
    before = _files(root)
    out, err = root / "out", root / "err"
    terminal, inside = pty.openpty() if "terminal" in (case.stdout, case.stderr) else (-1, -1)
    begun = time.monotonic()
    # a signal that comes before the child is what the case says waits for it
    before_fork = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    child = os.fork()
    if child == 0:
        try:
            _become(case, root, inside)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(99)
    signal.pthread_sigmask(signal.SIG_SETMASK, before_fork)
    if inside >= 0:
        os.close(inside)
        os.set_blocking(terminal, False)
    code, peak, shown = _wait(case, child, begun, terminal)
    seconds = time.monotonic() - begun
    left = left_running()
    if terminal >= 0:
        shown += _drain(terminal)
        os.close(terminal)
    printed = {"out": _head(out), "err": _head(err)}
    if terminal >= 0:
        printed["out" if case.stdout == "terminal" else "err"] = shown
    touched = _touched(before, _files(root), case)
    return Outcome(case, work, code, printed["out"], printed["err"], seconds, peak, left, touched)


def _become(case: Case, root: Path, inside: int) -> None:
    """The child: set up what the case says, and run it."""
    os.setsid()
    for number in ENDING:
        signal.signal(number, signal.SIG_DFL)
    os.chdir(root / "work")
    for name in CLEARED:
        os.environ.pop(name, None)
    plain = {
        "HOME": str(root / "home"), "TMPDIR": str(root / "tmp"), "GADPROF_STORE": "off",
        "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE), "TERM": "xterm", "LC_ALL": "C.UTF-8",
        "MPLCONFIGDIR": str(root / "fonts"),
    }  # fmt: skip
    for name, value in {**plain, **case.env}.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value.replace("ROOT", str(root))
    tempfile.tempdir = None
    _descriptors(case, root, inside)
    if case.user:
        give_up_powers()
    if "REMOVE_FOLDER" in case.env:
        shutil.rmtree(root / "work")
    argv = [word.replace("ROOT", str(root)) for word in case.argv]
    for limit, most in case.limits.items():
        resource.setrlimit(getattr(resource, limit), (most, most))
    if case.fresh:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
        os.execv(sys.executable, [sys.executable, "-c", FRESH, *argv])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    if case.call is not None:
        os._exit(_called(case, root / "work"))
    sys.stdout, sys.stderr = _stream(1, "strict"), _stream(2, "backslashreplace")
    from gadprof.cli import main

    try:
        main(argv)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(code)


def _stream(number: int, errors: str) -> Any:
    """A standard stream as the interpreter makes it of a descriptor."""
    raw = io.FileIO(number, "w", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", errors, line_buffering=raw.isatty())


def _called(case: Case, work: Path) -> int:
    """The exit code that an error of a call stands for; 98 for one that is no error of ours."""
    from gadprof.errors import GadprofError
    from gadprof.output import harmless

    assert case.call is not None
    try:
        case.call(work)
    except GadprofError as error:
        os.write(2, f"gadprof: {harmless(str(error))}\n".encode("utf-8", "backslashreplace"))
        return error.exit_code
    except BaseException as error:
        text = harmless(f"{type(error).__name__}: {error}\n")
        os.write(2, text.encode("utf-8", "backslashreplace"))
        return 98
    return 0


def _descriptors(case: Case, root: Path, inside: int) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    for number, kind, name in ((1, case.stdout, "out"), (2, case.stderr, "err")):
        if kind == "closed":
            os.close(number)
        elif kind == "terminal":
            size = struct.pack("HHHH", 24, case.width, 0, 0)
            import fcntl
            import termios

            fcntl.ioctl(inside, termios.TIOCSWINSZ, size)
            os.dup2(inside, number)
        elif kind == "pipe":
            reading, writing = os.pipe()
            os.close(reading)
            os.dup2(writing, number)
        else:
            path = root / name if kind == "file" else Path(kind.replace("ROOT", str(root)))
            opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK, 0o666)
            os.set_blocking(opened, True)
            os.dup2(opened, number)
    if case.stdin == "closed":
        os.close(0)
    os.closerange(3, 1024)


def _wait(case: Case, child: int, begun: float, terminal: int) -> tuple[int | None, int, bytes]:
    """The exit code (None where it hung), the peak of memory, what a terminal was shown."""
    signals, shown = sorted(case.signals), b""
    limit_s = case.limit_s * patience()
    while True:
        pid, status, usage = os.wait4(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status), usage.ru_maxrss * 1024, shown
        if terminal >= 0:
            shown += _drain(terminal)
        now = time.monotonic() - begun
        while signals and now >= signals[0][0]:
            os.kill(child, signals.pop(0)[1])
        if now > limit_s:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
                os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None, 0, shown
        time.sleep(0.004)


def _drain(terminal: int) -> bytes:
    parts = []
    with contextlib.suppress(OSError):
        while part := os.read(terminal, 1 << 16):
            parts.append(part)
    return b"".join(parts)


def patience() -> float:
    """How much longer a second takes where more wants to run than there are processors."""
    return min(20.0, max(1.0, 2 * os.getloadavg()[0] / (os.cpu_count() or 1)))


def left_running(grace_s: float = GRACE_S) -> tuple[str, ...]:
    """The processes that outlived a case by a second or so; they are killed."""
    deadline = time.monotonic() + grace_s * patience()
    while time.monotonic() < deadline:
        _reap()
        if not _descendants(os.getpid()):
            return ()
        time.sleep(0.02)
    names = []
    for _ in range(5):
        for pid in _descendants(os.getpid()):
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
                names.append(words.decode(errors="replace")[-60:].strip() or str(pid))
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
        _reap()
    return tuple(dict.fromkeys(names))


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            for word in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                found += [int(word), *_descendants(int(word))]
    return found


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(MOST_OUTPUT)
    except OSError:
        return b""


def _files(root: Path) -> dict[str, str]:
    """Every file of a case's world: what it is, how it may be used, what it holds."""
    found: dict[str, str] = {}
    for folder, folders, names in os.walk(root):
        for name in (*folders, *names):
            path = Path(folder) / name
            key = path.relative_to(root).as_posix()
            if key in ("out", "err") or key.startswith("fonts"):
                continue
            with contextlib.suppress(OSError):
                info = path.lstat()
                kind = f"{stat.S_IFMT(info.st_mode):o} {stat.S_IMODE(info.st_mode):o}"
                if stat.S_ISREG(info.st_mode):
                    data = path.read_bytes() if info.st_size < 1 << 26 else b""
                    kind += f" {info.st_size} {hashlib.sha256(data).hexdigest()[:16]}"
                elif stat.S_ISLNK(info.st_mode):
                    kind += f" {os.readlink(path)}"
                found[key] = kind
    return found


def _touched(before: Mapping[str, str], after: Mapping[str, str], case: Case) -> tuple[str, ...]:
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    if "REMOVE_FOLDER" in case.env:
        changed = [name for name in changed if not name.startswith("work")]
    elsewhere = ("home/", "tmp/")
    if case.call is not None or case.signals:  # torch's own, empty, which the program removes
        changed = [name for name in changed if not name.startswith("tmp/torchinductor_")]
    allowed = [p if p.startswith(elsewhere) else f"work/{p}" for p in case.writes]
    return tuple(
        name
        for name in sorted(changed)
        if not any(fnmatch.fnmatch(name, pattern) for pattern in allowed)
    )
