"""Weights in and out: what a file holds, whose architecture it is, and a refusal when it differs.

Three kinds of file are read, always with ``weights_only=True``: the weights that training exports,
training checkpoints, and a plain state dict such as HRNet's official ones.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gadprof.errors import DataError
from gadprof.results.files import load_tensors, read_file

MOST_BYTES = 64 << 30

KIND = "gadprof-pose-weights"


@dataclass(frozen=True)
class Weights:
    """A state dict, the model string it was trained as (empty: unknown) and how.

    ``settings`` holds height, width, sigma and the like where the file tells them.
    """

    path: str
    model: str
    state: Mapping[str, torch.Tensor]
    settings: Mapping[str, Any] = field(default_factory=dict)
    sha256: str = ""


def weights_bytes(model: str, module: nn.Module, settings: Mapping[str, Any]) -> bytes:
    """The content of a weights file."""
    state = {key: value.detach().cpu() for key, value in module.state_dict().items()}
    buffer = io.BytesIO()
    torch.save(
        {"kind": KIND, "model": model, "settings": dict(settings), "state_dict": state}, buffer
    )
    return buffer.getvalue()


def read_weights(path: str | Path) -> Weights:
    """Read a weights file of any of the three kinds. Raises DataError."""
    data = read_file(path, "weights", DataError, most_bytes=MOST_BYTES)
    try:
        content = load_tensors(io.BytesIO(data))
    except Exception as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise DataError(
            f"'{path}' is not a weights file that can be read safely ({reason}); give a file that "
            "'gadprof train' wrote, or a state dict"
        ) from error
    digest = hashlib.sha256(data).hexdigest()
    if not isinstance(content, dict):
        raise DataError(f"'{path}' holds a {type(content).__name__}, not weights")
    if content.get("kind") == KIND:
        return Weights(
            str(path), content["model"], content["state_dict"], content["settings"], digest
        )
    if "pytorch-lightning_version" in content:
        settings = content.get("gadprof_settings", {})
        state = content["state_dict"]
        prefix = (
            "average.module." if any(k.startswith("average.module.") for k in state) else "net."
        )
        chosen = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        return Weights(str(path), str(settings.get("model", "")), chosen, settings, digest)
    state = content.get("state_dict", content)
    if not isinstance(state, Mapping) or not all(
        isinstance(value, torch.Tensor) for value in state.values()
    ):
        raise DataError(f"'{path}' holds no state dict; give a file that 'gadprof train' wrote")
    plain = {key.removeprefix("module."): value for key, value in state.items()}
    return Weights(str(path), "", plain, {}, digest)


def load_into(module: nn.Module, weights: Weights, model: str) -> None:
    """Put weights into a module, whole or not at all.

    Raises DataError where a tensor is missing, unknown or of another shape, or not finite.
    """
    own = module.state_dict()
    given = dict(weights.state)
    for key, value in own.items():
        # older files lack BatchNorm's step counters, which evaluation never reads
        if key.endswith("num_batches_tracked") and key not in given:
            given[key] = value
    wrong = [
        key for key, value in own.items() if key not in given or given[key].shape != value.shape
    ]
    extra = [key for key in given if key not in own]
    if wrong or extra:
        trained = f"are of {weights.model!r}" if weights.model else "are of another architecture"
        raise DataError(
            f"weights '{weights.path}' {trained}, not of {model!r}: {len(wrong)} of {len(own)} "
            f"tensors are missing or of another shape, {len(extra)} are unknown (first: "
            f"{(wrong or extra)[0]}); name the model that they were trained as"
        )
    for key, value in given.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise DataError(f"weights '{weights.path}' hold values that are not finite, in {key}")
    module.load_state_dict(given)
