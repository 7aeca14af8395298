"""What is written: over devices, links and other people's files, into full and missing places."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.fault_cases.case import Case, Make, Outcome

# how commands write, and under which name
WRITERS: dict[str, tuple[tuple[str, ...], str]] = {
    "compare": (("compare", "gadnet32", "-o"), "out.json"),
    "count": (("count", "gadnet32", "-o"), "out.csv"),
    "shapes": (("shapes", "gadnet32", "-o"), "out.md"),
    "plot": (("compare", "gadnet32", "hrnet32", "--plot"), "out.svg"),
    "baseline": (("check", "--save-baseline"), "out.json"),
    "junit": (("check", "--junit"), "out.xml"),
    "summary": (("check", "--summary"), "out.md"),
    "front": (("sweep", "gadnet", "--width=8:12", "-o"), "out.json"),
}
CONFIG = {"gadprof.toml": '[budgets.gadnet32]\nmax_macs = "9G"\n'}


def _old(name: str) -> Make:
    return lambda work: (work / name).write_text("old")


def _mode(name: str, mode: int) -> Make:
    def make(work: Path) -> None:
        (work / name).write_text("old")
        (work / name).chmod(mode)

    return make


def _link(name: str) -> Make:
    def make(work: Path) -> None:
        (work / "target").write_text("old")
        (work / name).symlink_to("target")

    return make


def _hard(name: str) -> Make:
    def make(work: Path) -> None:
        (work / "other").write_text("old")
        os.link(work / "other", work / name)

    return make


def _read_only(work: Path) -> None:
    work.chmod(0o555)


def _kept_mode(name: str, mode: int) -> Callable[[Outcome], str]:
    def check(outcome: Outcome) -> str:
        found = stat.S_IMODE((outcome.folder / name).stat().st_mode)
        return "" if found == mode else f"mode {found:o}"

    return check


def _still_link(name: str) -> Callable[[Outcome], str]:
    def check(outcome: Outcome) -> str:
        if not (outcome.folder / name).is_symlink():
            return "the link was replaced"
        return "" if (outcome.folder / "target").read_text() != "old" else "its target is stale"

    return check


def _still_hard(name: str) -> Callable[[Outcome], str]:
    def check(outcome: Outcome) -> str:
        whole = (outcome.folder / "other").stat().st_ino == (outcome.folder / name).stat().st_ino
        return "" if whole else "the hard link was broken"

    return check


def _old_or_none(name: str) -> Callable[[Outcome], str]:
    """A write that failed leaves what was there."""

    def check(outcome: Outcome) -> str:
        place = outcome.folder / name
        text = place.read_text(errors="replace") if place.exists() else "old"
        return "" if text == "old" or outcome.exit == 0 else "half a file"

    return check


def _device(path: str) -> Callable[[Outcome], str]:
    def check(outcome: Outcome) -> str:
        return "" if stat.S_ISCHR(os.stat(path).st_mode) else "the device was replaced"

    return check


def _over(name: str, path: str) -> Iterator[Case]:
    """What may lie where a writer writes; of the command line the target alone."""
    suffix = Path(path).suffix
    appends = name == "summary"  # adds to what is there
    yield Case("a new file", (path,), exits=(0,), writes=(path,))
    yield Case("an old file", (path,), exits=(0,), writes=(path,), make=_old(path))
    yield Case("a private file", (path,), exits=(0,), writes=(path,), make=_mode(path, 0o600),
               check=_kept_mode(path, 0o600))  # fmt: skip
    yield Case("a read-only file", (path,), make=_mode(path, 0o444))
    yield Case("a link", (path,), exits=(0,), writes=("target",), make=_link(path),
               check=_still_link(path))  # fmt: skip
    yield Case("a link to nothing", (path,), exits=(0,), writes=("gone",),
               make=lambda w: (w / path).symlink_to("gone"))  # fmt: skip
    yield Case("a link to itself", (path,), make=lambda w: (w / path).symlink_to(path))
    yield Case("a link to a missing folder", (path,),
               make=lambda w: (w / path).symlink_to("nothing/x"))  # fmt: skip
    yield Case("a hard link", (path,), exits=(0,), writes=(path, "other"), make=_hard(path),
               check=_still_hard(path))  # fmt: skip
    yield Case("a folder", (path,), make=lambda w: (w / path).mkdir())
    yield Case("a missing folder", (f"nothing/{path}",))
    yield Case("a path through a file", (f"f/{path}",), make=_old("f"))
    yield Case("a name too long", ("x" * 300 + suffix,))
    yield Case("a path too long", ("x/" * 3000 + path,))
    # an empty summary is none, as where a workflow's runner gives none
    yield Case("an empty name", ("",), exits=(0,) if appends else (2,))
    yield Case("a name of escapes", (f"\x1b[2J\x1b]0;t\x07{suffix}",), exits=(0, 2),
               writes=("*" + suffix,))  # fmt: skip
    yield Case("a name of bytes", (f"\udcff{suffix}",), exits=(0, 2), writes=("*" + suffix,))
    yield Case("a folder that may not be written", (path,), user=True, make=_read_only)
    yield Case("a disk that is full", (path,), limits={"RLIMIT_FSIZE": 600}, make=_old(path),
               exits=(0, 2), check=_old_or_none(path) if not appends else None,
               writes=(path,))  # fmt: skip
    yield Case("no descriptor left", (path,), limits={"RLIMIT_NOFILE": 3}, exits=(0, 2),
               writes=(path,), lines=9)  # fmt: skip
    yield Case("a kernel's folder", (f"/proc/{path}",))
    if name != "plot":
        yield Case("the null device", ("/dev/null",), exits=(0,), check=_device("/dev/null"))
        yield Case("a full device", ("/dev/full",), exits=(2,), check=_device("/dev/full"))


def cases() -> Iterator[Case]:
    """Each writer over each thing that may lie there."""
    for name, (words, path) in WRITERS.items():
        for case in _over(name, path):
            yield replace(case, name=f"{name}: {case.name}", argv=(*words, *case.argv),
                          files=CONFIG, lines=max(2, case.lines))  # fmt: skip
    for words in (("compare", "gadnet32"), ("count", "gadnet32"), ("models",), ("devices",),
                  ("formula", "--c-in=32"), ("schema", "count"), ("rules",), ("--help",),
                  ("--version",), ("completion", "bash"), ("zoo",), ("shapes", "gadnet32"),
                  ("count", "--help")):  # fmt: skip
        shown = " ".join(words)
        yield Case(f"standard output is full: {shown}", words, stdout="/dev/full")
        yield Case(f"standard output is closed: {shown}", words, stdout="closed", exits=(0, 2),
                   fresh=True)  # fmt: skip
        yield Case(f"nobody reads on: {shown}", words, stdout="pipe", exits=(0,))
        yield Case(f"standard error is full: {shown}", words, stderr="/dev/full", exits=(0,))
        yield Case(f"standard error is closed: {shown}", words, stderr="closed", exits=(0,),
                   fresh=True)  # fmt: skip
    for words in (("compare", "nothing"), ("count", "nothing"), ("nothing",)):
        yield Case(f"an error whose stream is full: {words}", words, stderr="/dev/full")
        yield Case(f"an error whose stream is closed: {words}", words, stderr="closed", fresh=True)
    for name, make in (("a folder", lambda w: (w / "out").mkdir()), ("a file", _old("out")),
                       ("a link to nothing", lambda w: (w / "out").symlink_to("gone")),
                       ("a pipe", lambda w: os.mkfifo(w / "out"))):  # fmt: skip
        # files that a report does not write stay as they are
        yield Case(f"report into {name}", ("report", "gadnet32:width=8", "-o", "out"),
                   exits=(0,) if name == "a folder" else (2,), make=make,
                   writes=("out/*",), lines=2)  # fmt: skip
    for name in ("", "../x", "a/b", "/etc/x", "\x1b[2J", "x" * 300, ".", "..", "nul\udcff", "-x"):
        yield Case(f"a report named {name[:20].encode('unicode_escape').decode()!r}",
                   ("report", "gadnet32:width=8", "-o", "out", f"--name={name}"), exits=(0, 2),
                   writes=("out", "out/*"))  # fmt: skip
