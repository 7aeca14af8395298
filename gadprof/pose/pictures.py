"""Reading pictures whole or not at all, never as a partly grey one.

Decoders fill what a truncated file lacks with grey and carry on; here such a file is refused with
its name. Pictures are uint8 arrays, height x width x 3, blue-green-red, in the file's own
orientation (COCO's annotations are drawn on that, whatever the EXIF tag says).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from gadprof.errors import DataError
from gadprof.results.files import read_file

MOST_BYTES = 1 << 30
Picture = NDArray[np.uint8]


def read_picture(path: str | Path) -> Picture:
    """Read one picture, height x width x 3, BGR.

    Raises DataError where the file is missing, truncated or not a picture.
    """
    data = read_file(path, "picture", DataError, most_bytes=MOST_BYTES)
    fault = truncation(data)
    if fault:
        raise DataError(f"picture '{path}' is {fault}; copy or download it again")
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    picture: Any = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags) if data else None
    if picture is None:
        raise DataError(f"'{path}' is not a picture that can be decoded; use a JPEG or PNG file")
    return np.asarray(picture, dtype=np.uint8)


def truncation(data: bytes) -> str:
    """What is wrong with a JPEG or PNG file's end, or the empty string."""
    if not data:
        return "an empty file"
    if data.startswith(b"\xff\xd8"):
        scan = _first_scan(data)
        # an end-of-image marker cannot occur inside the scan: FF is stuffed with 00 there
        if scan is None or data.find(b"\xff\xd9", scan) < 0:
            return "a truncated JPEG (no end-of-image marker)"
    elif data.startswith(b"\x89PNG") and data.find(b"IEND", -64) < 0:
        return "a truncated PNG (no end chunk)"
    return ""


def _first_scan(data: bytes) -> int | None:
    """Where a JPEG's first scan begins: past the headers, whose thumbnails hold markers too."""
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            return None
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker == 0xDA:
            return position + 2
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return None
