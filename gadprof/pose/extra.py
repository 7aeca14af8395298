"""Whether the packages of ``gadprof[pose]`` are there; refuses with the line to type otherwise."""

from __future__ import annotations

import importlib

from gadprof.errors import MissingExtraError

# import name -> distribution name
PACKAGES: dict[str, str] = {
    "cv2": "opencv-python-headless",
    "pycocotools": "pycocotools",
    "lightning": "lightning",
    "scipy": "scipy",
}


def require(purpose: str, *names: str) -> None:
    """Import the named packages, to fail early; raises MissingExtraError with a way out."""
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise MissingExtraError(PACKAGES[name], "pose", purpose) from error
