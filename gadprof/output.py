"""Where text and bytes leave the program: standard output, or one atomic file write.

A file is written whole or not at all (temporary file beside it, then rename), and a folder that
does not exist is refused before any work is done.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from gadprof.errors import OutputError


def check_writable(path: str | Path) -> Path:
    """Refuse a path whose folder is missing or unwritable; returns it as a Path.

    Raises OutputError.
    """
    target = Path(path)
    folder = target.parent
    if not folder.is_dir():
        raise OutputError(f"folder {str(folder)!r} does not exist; type: mkdir -p {folder}")
    if target.is_dir():
        raise OutputError(f"{str(target)!r} is a folder; name a file in it")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"folder {str(folder)!r} is not writable; choose another with -o")
    return target


def plot_suffix(path: str | Path) -> str:
    """The plot format that a writable path's suffix names. Raises OutputError."""
    suffix = check_writable(path).suffix.lstrip(".").lower()
    if suffix not in ("svg", "pdf", "png"):
        raise OutputError(f"{str(path)!r} is no svg, pdf or png; type for example --plot macs.svg")
    return suffix


def write_atomic(path: str | Path, content: str | bytes) -> Path:
    """Write a file whole or not at all. Raises OutputError."""
    target = check_writable(path)
    data = content.encode() if isinstance(content, str) else content
    try:
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        raise OutputError(f"cannot write {str(target)!r}: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, target)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise OutputError(f"cannot write {str(target)!r}: {error.strerror}") from error
    return target


def write_folder(folder: str | Path, files: Mapping[str, bytes]) -> None:
    """Write several files below a folder, each whole or not at all, making the folders they need.

    The folder's own parent must exist. Raises OutputError.
    """
    target = Path(folder)
    if not target.parent.is_dir():
        raise OutputError(
            f"folder {str(target.parent)!r} does not exist; type: mkdir -p {target.parent}"
        )
    for name in files:
        place = target / name
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot make {str(place.parent)!r}: {error.strerror}") from error
        check_writable(place)
    for name, content in files.items():
        write_atomic(target / name, content)


def append_text(path: str | Path, text: str) -> None:
    """Add text to the end of a file that another program reads later. Raises OutputError."""
    try:
        with open(check_writable(path), "a", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise OutputError(f"cannot append to {str(path)!r}: {error.strerror}") from error


def emit(text: str, output: str | Path | None = None) -> None:
    """Print to standard output, or write to a file when one is named."""
    if not text.endswith("\n"):
        text += "\n"
    if output is None:
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        write_atomic(output, text)
