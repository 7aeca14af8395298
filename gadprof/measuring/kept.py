"""Where a model's converted file lies, so that rows and runs that need the same one share it.

Promises: the name says everything that the file depends on (the model string and its own file's
content, the inputs, the calibration pictures, the runtime, the precision, the versions of what
converts and quantises); a folder counts only once its
manifest is written, which is last. Refuses nothing: what is half written is made anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import replace
from typing import Any

from gadprof.errors import DataError
from gadprof.measuring.runtimes.calibration import PICTURES, find_pictures
from gadprof.measuring.runtimes.converted import MANIFEST, read_manifest
from gadprof.measuring.settings import PACKAGES, Setting
from gadprof.version import __version__

# runtime -> the distribution that makes its integers, where that is not the runtime's own
QUANTISERS = {"openvino": "nncf", "litert": "ai-edge-quantizer", "executorch": "torchao"}
# what a distribution is called whose package has another name
DISTRIBUTIONS = {"ai_edge_litert": "ai-edge-litert", "litert_torch": "litert-torch", "MNN": "mnn"}


def shared_folder(root: str, model: str, setting: Setting, factory: dict[str, Any] | None) -> str:
    """The folder below ``root`` for the files in fp32 of which a model's other files are made."""
    return folder_of(root, model, replace(setting, runtime="onnx", dtype="fp32"), factory)


def folder_of(root: str, model: str, setting: Setting, factory: dict[str, Any] | None) -> str:
    """The folder below ``root`` for a model's file under a setting."""
    told = [
        model,
        _content(model),
        factory,
        setting.runtime,
        setting.dtype,
        setting.batch,
        setting.input_shapes,
        setting.seed,
        setting.calibration,
        _pictures(setting),
        setting.device,
        versions(setting.runtime, setting.dtype),
    ]
    text = json.dumps(told, default=str, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    words = "".join(char if char.isalnum() else "-" for char in model)[-40:].strip("-")
    return os.path.join(root, f"{words}-{setting.runtime}-{setting.dtype}-{digest}")


def versions(runtime: str, dtype: str) -> list[str | None]:
    """The versions of gadprof, torch, the runtime's packages and for integers its quantiser."""
    from gadprof.results.plain import package_version

    names = [DISTRIBUTIONS.get(name, name) for name in PACKAGES.get(runtime, ())]
    if dtype == "int8" and runtime in QUANTISERS:
        names.append(QUANTISERS[runtime])
    return [__version__, *(package_version(name) for name in ("torch", *names))]


def _pictures(setting: Setting) -> list[tuple[str, int, int]]:
    """Name, bytes and time of change (ns) of each picture that calibrates; none in fp32."""
    if setting.dtype == "fp32" or not setting.calibration:
        return []
    try:
        paths = find_pictures(setting.calibration)[:PICTURES]
        found = [(path, os.stat(path)) for path in paths]
    except (DataError, OSError):
        return []  # the converter says what is wrong with the folder
    return [(os.path.basename(path), state.st_size, state.st_mtime_ns) for path, state in found]


def _content(model: str) -> str | None:
    """A digest of the file that a model string names, None where it names none."""
    path = model.partition("@")[0]
    for candidate in (path, path.rpartition(":")[0]):
        if candidate and os.path.isfile(candidate):
            digest = hashlib.sha256()
            with open(candidate, "rb") as stream:
                while part := stream.read(1 << 20):
                    digest.update(part)
            return digest.hexdigest()
    return None


def kept(folder: str) -> dict[str, Any] | None:
    """What a worker needs to load the file of a folder, or None where there is none."""
    if not os.path.exists(os.path.join(folder, MANIFEST)):
        return None
    return {"folder": folder, "input_shapes": read_manifest(folder)["input_shapes"]}


def made_empty(folder: str) -> None:
    """Make the folder anew, without what an earlier attempt left."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
