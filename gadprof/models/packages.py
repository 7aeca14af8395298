"""The packages whose models have a kind of model string, each with the extra that installs it."""

from __future__ import annotations

PACKAGE_KINDS: dict[str, str] = {
    "timm": "zoo",
    "torchvision": "zoo",
    "transformers": "transformers",
    "ultralytics": "ultralytics",
}
