"""Where text and bytes leave the program: standard output, standard error, or one file.

The one place that writes to a terminal, and it escapes: a control character of a name, a path or
an exception's text arrives as ``<U+001B>``, never raw. A character that the stream's encoding
lacks is replaced by a near one. A regular file is written whole or not at all (temporary file
beside it, then rename) and keeps its mode; devices, pipes, symbolic and hard links are written
through. Refuses, before any work is done, a folder that does not exist, a file that may not be
written, and a suffix that contradicts the form asked for.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from gadprof.errors import OutputError, os_reason

if TYPE_CHECKING:
    from pathlib import Path  # and at run time only where a file is written: it is slow to import

# what a file's suffix says of its form; .txt and unknown suffixes say nothing
SUFFIXES = {
    ".json": "json",
    ".csv": "csv",
    ".md": "md",
    ".markdown": "md",
    ".tex": "latex",
    ".parquet": "parquet",
    ".html": "html",
    ".htm": "html",
    ".xml": "junit",
    ".svg": "svg",
    ".pdf": "pdf",
    ".png": "png",
    ".xlsx": "xlsx",
    ".yaml": "yaml",
    ".yml": "yaml",
}
PLOTS = ("svg", "pdf", "png")


class ReaderGoneError(Exception):
    """Nobody reads standard output any more, which is no failure; no OSError, for click ends those
    of a broken pipe with the code of a failure."""


@dataclass(frozen=True)
class Output:
    """Where a command's result goes (``path``, or standard output) and in which form."""

    form: str
    path: str | None = None

    @property
    def color(self) -> bool:
        """Whether a table may use colour here."""
        return self.path is None and wants_color(sys.stdout)

    @property
    def seen(self) -> bool:
        """Whether the table and its notes are read on a terminal, where no error is told twice."""
        return self.form == "table" and self.path is None and _is_terminal(sys.stdout)

    def emit(self, text: str) -> None:
        """Write the result. Raises OutputError."""
        emit(text, self.path)


def choose_output(form: str | None, path: str | None, forms: Sequence[str]) -> Output:
    """The form that ``--format`` or the suffix of ``-o`` names; the first of ``forms`` by default.

    Raises OutputError for a suffix that contradicts the form or that no form here has.
    """
    if path is None:
        return Output(form or forms[0])
    named = SUFFIXES.get(check_writable(path).suffix.lower())
    if named is not None and named not in forms:
        if named in PLOTS:
            raise OutputError(f"{path!r} is a picture; -o writes {_listed(forms)}, --plot draws")
        raise OutputError(f"{path!r} cannot be {named} here; -o writes {_listed(forms)}")
    if named is not None and form is not None and named != form:
        raise OutputError(f"-o {path} says {named} and --format says {form}; leave one out")
    return Output(form or named or forms[0], path)


def _listed(forms: Sequence[str]) -> str:
    return ", ".join(form for form in forms if form != "github")


def check_writable(path: str | Path) -> Path:
    """Refuse a path that may not be written or whose folder is missing; returns it as a Path.

    Raises OutputError.
    """
    from pathlib import Path

    target = Path(path)
    try:
        real = _real(target)
        folder = real.parent
        if not folder.is_dir():
            shown = target.parent if not target.is_symlink() else folder
            raise OutputError(f"folder {str(shown)!r} does not exist; type: mkdir -p {shown}")
        if real.is_dir():
            raise OutputError(f"{str(target)!r} is a folder; name a file in it")
        if real.exists():
            # root may write anything: what its owner made read-only is still not to be replaced
            if not real.stat().st_mode & 0o222 or not os.access(real, os.W_OK):
                raise OutputError(
                    f"{str(target)!r} may not be written; name another file, or chmod u+w"
                )
        elif not os.access(folder, os.W_OK) or _is_kernels(folder):
            raise OutputError(f"folder {str(folder)!r} is not writable; choose another with -o")
    except (OSError, ValueError) as error:  # a name too long, a null byte, a folder out of reach
        raise OutputError(f"cannot write {str(target)[:80]!r}: {os_reason(error)}") from error
    return target


def _is_kernels(folder: Path) -> bool:
    """Whether a folder holds no files of anybody's, though root may write there."""
    return folder.parts[:2] in (("/", "proc"), ("/", "sys"))


def plot_suffix(path: str | Path) -> str:
    """The plot format that a writable path's suffix names. Raises OutputError."""
    suffix = check_writable(path).suffix.lstrip(".").lower()
    if suffix not in PLOTS:
        raise OutputError(f"{str(path)!r} is no svg, pdf or png; type for example --plot macs.svg")
    return suffix


def write_atomic(path: str | Path, content: str | bytes) -> Path:
    """Write a file whole or not at all, or through a device, pipe or link; keeps its mode.

    Raises OutputError.
    """
    target = check_writable(path)
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    real = _real(target)
    try:
        found = real.stat() if real.exists() else None
        if found is not None and _in_place(found, real.parent):
            with open(real, "wb") as stream:
                stream.write(data)
        else:
            _replace(real, data, found)
    except OSError as error:
        raise OutputError(f"cannot write {str(target)!r}: {os_reason(error)}") from error
    return target


def _real(target: Path) -> Path:
    """Where a path's links end; a device or pipe is its own name, for /dev/stdout has no other."""
    from pathlib import Path

    try:
        special = not stat.S_ISREG(target.stat().st_mode)
    except FileNotFoundError:
        special = False
    return target if special else Path(os.path.realpath(target))


def _in_place(found: os.stat_result, folder: Path) -> bool:
    """What a rename would break: a device or pipe, a hard link, another owner's file."""
    owner = getattr(os, "geteuid", lambda: found.st_uid)()
    return (
        not stat.S_ISREG(found.st_mode)
        or found.st_nlink > 1
        or found.st_uid != owner
        or not os.access(folder, os.W_OK)
    )


def _replace(real: Path, data: bytes, found: os.stat_result | None) -> None:
    descriptor, temporary = _temporary(real)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
            if found is None:
                mask = os.umask(0)
                os.umask(mask)
                mode = 0o666 & ~mask
            else:
                mode = stat.S_IMODE(found.st_mode)
            _uninterrupted(os.chmod, temporary, mode)
            _uninterrupted(os.replace, temporary, real)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _uninterrupted(call: Callable[..., None], *arguments: object) -> None:
    """Make a call again where a signal interrupts it, as Python itself does of open and write."""
    while True:
        try:
            return call(*arguments)
        except InterruptedError:
            continue


def _temporary(real: Path) -> tuple[int, str]:
    """An empty file to take a file's place: the one that a killed write left, else a new one.

    It is locked for as long as its descriptor is open, so that two writers take two.
    """
    import tempfile

    left = str(real.with_name(f".{real.name}.gadprof"))
    with contextlib.suppress(OSError, ImportError):  # a name too long, a lock, no locks at all
        import fcntl

        descriptor = os.open(left, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours, there = os.fstat(descriptor), os.lstat(left)
            if _is_own_file(ours) and (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino):
                return _emptied(descriptor, left, ours.st_size), left
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)
    return tempfile.mkstemp(dir=real.parent, prefix=".gadprof-")


def _emptied(descriptor: int, path: str, size: int) -> int:
    """A file of ours without what is in it; it goes where that fails."""
    try:
        if size:
            os.ftruncate(descriptor, 0)
    except OSError:
        os.unlink(path)
        raise
    return descriptor


def _is_own_file(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_uid == os.geteuid()


def check_folder(folder: str | Path) -> Path:
    """Refuse what is no folder and cannot become one, for want of a name or of its own parent.

    Raises OutputError.
    """
    from pathlib import Path

    target = Path(folder)
    try:
        if not str(folder):
            raise OutputError("'' names no folder; type for example -o reports, or -o . for here")
        if target.exists() and not target.is_dir():
            raise OutputError(f"{str(target)!r} is not a folder; name another with -o")
        if not target.parent.is_dir():
            raise OutputError(
                f"folder {str(target.parent)!r} does not exist; type: mkdir -p {target.parent}"
            )
    except (OSError, ValueError) as error:  # a name too long, a null byte, a folder out of reach
        raise OutputError(f"cannot write {str(target)[:80]!r}: {os_reason(error)}") from error
    return target


def write_folder(folder: str | Path, files: Mapping[str, bytes]) -> None:
    """Write several files below a folder, each whole or not at all, making the folders they need.

    Raises OutputError, also for what ``check_folder`` refuses.
    """
    target = check_folder(folder)
    for name in files:
        place = target / name
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot make {str(place.parent)!r}: {os_reason(error)}") from error
        check_writable(place)
    for name, content in files.items():
        write_atomic(target / name, content)


def write_together(files: Mapping[str, bytes]) -> None:
    """Write files that are one thing only together; where one fails, all are as they were.

    Raises OutputError.
    """
    from pathlib import Path

    before: dict[str, bytes | None] = {}
    for path in files:
        try:
            before[path] = Path(path).read_bytes() if Path(path).is_file() else None
        except OSError as error:
            raise OutputError(
                f"cannot read {path!r}, to put it back: {os_reason(error)}"
            ) from error
    begun: list[str] = []
    try:
        for path, content in files.items():
            begun.append(path)
            write_atomic(path, content)
    except BaseException:
        for path in begun:
            with contextlib.suppress(OSError, OutputError):
                old = before[path]
                if old is not None:
                    write_atomic(path, old)
                elif Path(path).is_file():
                    os.unlink(path)
        raise


def append_text(path: str | Path, text: str) -> None:
    """Add text to the end of a file that another program reads later. Raises OutputError."""
    try:
        with open(check_writable(path), "a", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise OutputError(f"cannot append to {str(path)!r}: {os_reason(error)}") from error


def emit(text: str, output: str | Path | None = None) -> None:
    """Print to standard output, or write to a file when one is named. Raises OutputError."""
    if not text.endswith("\n"):
        text += "\n"
    if output is not None:
        write_atomic(output, text)
        return
    if sys.stdout is None:
        raise OutputError("standard output is closed; write to a file with -o")
    if sys.stdout.isatty() and not _is_json(text):
        import shutil

        text = wrapped(text, shutil.get_terminal_size((80, 24)).columns)
    try:
        sys.stdout.write(fitted(harmless(text, sgr=wants_color(sys.stdout)), sys.stdout))
        sys.stdout.flush()
    except BrokenPipeError as error:
        _abandon(sys.stdout)
        raise ReaderGoneError from error
    except (OSError, ValueError) as error:
        _abandon(sys.stdout)
        raise OutputError(f"cannot write to standard output: {os_reason(error)}") from error


def wrapped(text: str, width: int) -> str:
    """Prose that is wider than a terminal, wrapped at words; a table's lines stay as they are."""
    import textwrap

    lines = []
    for line in text.split("\n"):
        body = line.lstrip(" ")
        if len(line) <= width or "   " in body or "\x1b" in line or "─" in line or "|" in body[:1]:
            lines.append(line)
            continue
        indent = " " * (len(line) - len(body))
        lines += textwrap.wrap(
            line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        )
    return "\n".join(lines)


def tell(text: str) -> None:
    """Say something on standard error: a word beside the result, never the result itself.

    A line that somebody's long name makes too long loses its middle.
    Nothing in it is a command to the runner of a workflow, which reads such lines (``::…``,
    ``##[…]``) on both streams.
    """
    if sys.stderr is None:
        return
    text = re.sub(r"(?m)^(\s*):(?=:)|#(?=#\[)", r"\g<0> ", text)
    with contextlib.suppress(OSError, ValueError):
        lines = "\n".join(map(_shortened, text.split("\n")))
        if sys.stderr.isatty():
            import shutil

            lines = wrapped(lines, shutil.get_terminal_size((80, 24)).columns)
        sys.stderr.write(fitted(harmless(lines), sys.stderr) + "\n")
        sys.stderr.flush()


def _shortened(line: str) -> str:
    """Of a very long line the beginning, and the end, which holds the way out."""
    return line if len(line) <= 1500 else f"{line[:1000]} … {line[-400:]}"


def _abandon(stream: TextIO) -> None:
    """Let what a failed stream still holds go nowhere, so that the interpreter's end is silent."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


# C0 without tab and newline, DEL and C1, line and paragraph marks, bidirectional marks, surrogates
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_SGR = r"(\x1b\[[0-9;]*m)"


def harmless(text: str, *, sgr: bool = False) -> str:
    """Text whose control characters are shown, not obeyed: ``<U+001B>``; JSON gets ``\\u001b``.

    With ``sgr`` the codes that only change colour and weight stay.
    """
    if not _CONTROL.search(text):
        return text
    if _is_json(text):
        return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    parts = re.split(_SGR, text) if sgr else [text]
    shown = [
        part if number % 2 else _CONTROL.sub(lambda match: f"<U+{ord(match[0]):04X}>", part)
        for number, part in enumerate(parts)
    ]
    return "".join(shown)


# the near ones of what tables and prose use, for streams that know ASCII or a code page alone
_NEAR = str.maketrans(
    {
        "–": "-", "—": "-", "−": "-", "─": "-", "━": "-", "│": "|", "×": "x", "µ": "u", "…": "...",
        "·": "*", "²": "2", "±": "+-", "≥": ">=", "≤": "<=", "→": "->", "≈": "~", "✓": "ok",
        "✗": "x", "∑": "sum", "“": '"', "”": '"', "‘": "'", "’": "'", "\u2060": "", "\u00a0": " ",
        "▲": "^", "▼": "v", "█": "#", "°": "deg", "¦": "|", "\u202f": " ",
    }
)  # fmt: skip


def fitted(text: str, stream: TextIO) -> str:
    """Text that a stream's encoding can write: near characters first, escapes for the rest."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
        return text
    except (UnicodeEncodeError, LookupError):
        pass
    if _is_json(text):
        escaped = (
            char if char.isascii() else "".join(f"\\u{unit:04x}" for unit in _units(char))
            for char in text
        )
        return "".join(escaped)
    return text.translate(_NEAR).encode(encoding, "backslashreplace").decode(encoding)


def _is_json(text: str) -> bool:
    return text.startswith(("{\n", "[\n", "{}", "[]"))


def _units(character: str) -> list[int]:
    data = character.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(data[index : index + 2], "big") for index in range(0, len(data), 2)]


def wants_color(stream: TextIO | None) -> bool:
    """Whether a stream shows colour: as ``--color`` says, else on a terminal without NO_COLOR."""
    from click import get_current_context

    context = get_current_context(silent=True)
    if context is not None and context.color is not None:
        return context.color
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return _is_terminal(stream)


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()
