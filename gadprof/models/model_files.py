"""Model files that torch writes: exported programs, TorchScript, and modules pickled whole.

Promises that a file's kind is read from its contents, and that nothing in it is unpickled beyond
plain tensors unless it is trusted: a pickle names code and runs it while it is loaded. Refuses a
file of weights alone, and says what it holds.
"""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import torch
from torch import nn

from gadprof.counting.scripted import Scripted
from gadprof.errors import SourceError
from gadprof.results.files import load_tensors

FileKind = Literal["exported", "script", "pickle"]


def load_model_file(path: str, *, trusted: bool, device: str) -> Any:
    """The module that a file holds, with its example inputs where it has them.

    Raises SourceError.
    """
    kind = kind_of_file(path)
    try:
        if kind == "exported":
            return _exported(path, device)
        if kind == "script":
            return Scripted(_load_script(path, device))
    except SourceError:
        raise
    except Exception as error:
        words = " ".join(str(error).split())[:200]
        raise SourceError(f"{path} cannot be loaded: {type(error).__name__}: {words}") from error
    return _pickled(path, trusted)


def kind_of_file(path: str) -> FileKind:
    """What a file is, by its contents. Raises SourceError."""
    if not os.path.isfile(path):
        raise SourceError(f"model file {path!r} does not exist")
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        with open(path, "rb") as stream:
            if stream.read(1) == b"\x80":  # a pickle, as torch wrote it before 1.6
                return "pickle"
        raise SourceError(f"{path} is no model file of torch, or it is truncated") from None
    if any("/code/" in name for name in names):
        return "script"
    if any(name.endswith(("archive_format", "serialized_exported_program.json")) for name in names):
        return "exported"
    if any(name.endswith("data.pkl") for name in names):
        return "pickle"
    raise SourceError(f"{path} is a zip file that torch did not write")


# --- exported programs ----------------------------------------------------------------------------


def _exported(path: str, device: str) -> tuple[nn.Module, tuple[Any, ...], dict[str, Any]]:
    with _tensors_alone(), torch.device("cpu"):
        program = torch.export.load(path)
    module = program.module()
    for name in ("train", "eval"):  # it has the one mode that it was exported in
        setattr(module, name, _ModeOf(module))
    if device not in ("cpu", "meta"):  # counting makes twins on meta of what is here
        module = module.to(device)
    args, kwargs = program.example_inputs or ((), {})
    return module, tuple(args), dict(kwargs)


class _ModeOf:
    """Takes the place of ``train`` and ``eval``, which an exported graph refuses."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __call__(self, mode: bool = True) -> nn.Module:
        return self.module


@contextlib.contextmanager
def _tensors_alone() -> Iterator[None]:
    """Let torch load nothing but tensors, whatever a file asks for."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


# --- TorchScript ----------------------------------------------------------------------------------


def _load_script(path: str, device: str) -> Any:
    import warnings

    load: Any = torch.jit.load
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch would rather have export
        return load(path, map_location=device)


# --- pickles --------------------------------------------------------------------------------------


def _pickled(path: str, trusted: bool) -> nn.Module:
    """A module that was pickled whole, or the one that a checkpoint of ultralytics holds."""
    if not trusted:
        raise SourceError(_why_not(path))
    held = torch.load(path, map_location="cpu", weights_only=False)
    if isinstance(held, Mapping):
        for key in ("ema", "model", "module", "net"):
            if isinstance(held.get(key), nn.Module):
                held = held[key]
                break
    if not isinstance(held, nn.Module):
        raise SourceError(
            f"{path} holds {_contents(held)}, no module; name the code that builds it"
        )
    half = any(item.dtype is torch.float16 for item in held.parameters())
    return held.float() if half else held


def _why_not(path: str) -> str:
    """Why a pickle that nobody trusts is not loaded: it holds code, or no model at all."""
    import pickle

    try:
        held = load_tensors(path, "meta")
    except pickle.UnpicklingError:
        return (
            f"{path} holds a module that was pickled whole: loading it runs whatever code it "
            f"names; if you know where it comes from, type --trust (or trust:{path})"
        )
    except Exception as error:
        words = " ".join(str(error).split())[:200]
        return f"{path} cannot be read: {type(error).__name__}: {words}"
    return (
        f"{path} holds {_contents(held)}, no model; name the code that builds it (net.py:build), "
        "for no count depends on weights"
    )


def _contents(held: Any) -> str:
    if isinstance(held, Mapping):
        tensors = sum(isinstance(item, torch.Tensor) for item in held.values())
        return f"{tensors} tensors" if tensors else f"a dict of {', '.join(map(str, held))}"[:80]
    return f"a {type(held).__name__}"
