"""What cases of several classes put into their folders, and how a case's name shows a text."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

RUNS = b"cposix\nsystem\n(S'touch owned'\ntR."  # a pickle that runs a command


def sparse_terabyte(path: Path) -> None:
    """A file of 2^40 bytes that takes no room."""
    with path.open("wb") as stream:
        stream.truncate(1 << 40)


def zipped(content: Mapping[str, bytes]) -> bytes:
    """A zip archive of these members."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return held.getvalue()


def shown(text: str, most: int) -> str:
    """A text in ASCII, with its length where it is cut."""
    escaped = text.encode("unicode_escape").decode()[:most]
    return escaped if len(text) <= most else f"{escaped}…{len(text)}"
