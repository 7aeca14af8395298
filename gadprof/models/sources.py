"""Model strings: what they name, and how each becomes a module with example inputs.

Forms: a preset with overrides (``gadnet32:s=4,d=5``), ``timm:NAME``, ``torchvision:NAME``,
``transformers:NAME``, ``ultralytics:NAME`` or a YAML of its, ``path/to/file.py:function``,
``package.module:function``, and files: ``model.pt2`` (torch.export), TorchScript, and with
``trust:`` before it a module that was pickled whole. Arguments of the constructor follow after
commas (``timm:resnet50,num_classes=10``), inputs after ``@``. A ``model.onnx`` or
``model.tflite`` is recognised; what needs a module refuses it. The user's code runs only for the
forms that name code or trust a file. ``resolve`` imports neither torch nor the model's package;
``load`` does.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from gadprof.counting.inputs import abridged
from gadprof.errors import BuildError, GadprofError, SourceError, nearest
from gadprof.models.packages import PACKAGE_KINDS
from gadprof.networks.spec import ModelSpec, is_builtin, known_presets, parse_shape, parse_spec

if TYPE_CHECKING:
    import torch
    from torch import nn

    from gadprof.counting.inputs import Input

Kind = Literal[
    "builtin", "timm", "torchvision", "transformers", "ultralytics", "file", "package", "onnx",
    "tflite", "model file",
]  # fmt: skip

_MODEL_FILES = (".pt", ".pth", ".pt2", ".ts", ".torchscript", ".pkl")
_LONGEST = 4096  # characters of a model string, its inputs included
_ARGUMENT = re.compile(r",(?=[A-Za-z_]\w*=)")


@dataclass(frozen=True)
class Source:
    """A model string that has been understood but not built.

    ``name`` is the text as the user typed it; ``target`` is what the kind needs (a timm name, a
    path, a module); ``attribute`` is the function for file and package sources; ``spec`` is set
    for built-in models only; ``inputs`` are those that the text itself names, ``arguments`` those
    of the constructor. ``trusted`` lets a file be loaded that may run code of its own.
    """

    name: str
    kind: Kind
    target: str
    attribute: str = ""
    spec: ModelSpec | None = None
    inputs: tuple[Input, ...] = ()
    arguments: tuple[tuple[str, Any], ...] = ()
    trusted: bool = False

    @property
    def runs_user_code(self) -> bool:
        """Whether building it runs code that is no installed package's."""
        return self.kind in ("file", "package", "model file")


@dataclass(frozen=True)
class Loaded:
    """A module in eval mode with the inputs to call it with; ``inputs_from`` says who chose them,
    "" where the caller did."""

    name: str
    module: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    input_shapes: tuple[tuple[int, ...], ...]
    inputs_from: str = ""


def resolve(text: str) -> Source:
    """Understand a model string without importing torch or running any code.

    What follows ``@`` are inputs of its own. Raises UnknownNameError, SpecError, SourceError or
    InputShapeError.
    """
    if len(text) > _LONGEST:
        raise SourceError(
            f"a model string of {len(text):,} characters, more than {_LONGEST:,}: "
            f"{abridged(text)!r}; 'gadprof models' lists what can be named"
        )
    if "@" not in text:
        return replace(_resolved(text), name=text.strip())
    from gadprof.models.inputs import split_inputs

    named, inputs = split_inputs(text)
    return replace(_resolved(named), name=text.strip(), inputs=inputs)


def _resolved(text: str) -> Source:
    text = text.strip()
    if not text:
        raise SourceError("an empty model name; 'gadprof models' lists what can be named")
    if text.lower().endswith((".onnx", ".tflite")):
        return Source(text, "onnx" if text.lower().endswith(".onnx") else "tflite", text)
    prefix, colon, rest = text.partition(":")
    if colon and prefix == "trust":
        inner = _resolved(rest)
        if inner.kind != "model file":
            raise SourceError(f"{rest!r} is no file that could hold code; leave trust: away")
        return replace(inner, trusted=True)
    if not is_builtin(prefix):
        text, arguments = _arguments(text)
        if arguments:
            inner = _resolved(text)
            if inner.kind in ("builtin", "onnx", "tflite", "model file"):
                raise SourceError(f"{text!r} has no constructor that takes {arguments[0][0]!r}")
            return replace(inner, arguments=arguments)
    if text.lower().endswith(_MODEL_FILES):
        return Source(text, "model file", text)
    if text.lower().endswith((".yaml", ".yml")) and not (colon and prefix in PACKAGE_KINDS):
        return Source(text, "ultralytics", text)
    prefix, colon, rest = text.partition(":")
    if colon and prefix in PACKAGE_KINDS:
        if not rest:
            raise SourceError(f"{text!r} names no model; type for example {prefix}:resnet50")
        return Source(text, prefix, rest)  # type: ignore[arg-type]
    file_match = re.fullmatch(r"(.+\.py):([A-Za-z_]\w*)", text)
    if file_match:
        return Source(text, "file", file_match.group(1), file_match.group(2))
    if text.endswith(".py"):
        raise SourceError(f"{text!r} names no function; type {text}:build")
    if is_builtin(prefix):
        return Source(text, "builtin", prefix, spec=parse_spec(text))
    package_match = re.fullmatch(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)", text)
    if package_match and not nearest(prefix, known_presets()):
        return Source(text, "package", package_match.group(1), package_match.group(2))
    return Source(text, "builtin", prefix, spec=parse_spec(text))


def _arguments(text: str) -> tuple[str, tuple[tuple[str, Any], ...]]:
    """A text without the constructor's arguments that follow it (``,name=value``), and those.

    A value is a number, true, false, none, a Python literal such as ``(1,2)``, else a word.
    """
    import ast

    head, *rest = _ARGUMENT.split(text)
    found: dict[str, Any] = {}
    for part in rest:
        key, _, typed = part.partition("=")
        if not typed or key in found or len(typed) > 1000:
            why = "is given twice" if key in found else "has no value that could be read"
            raise SourceError(f"argument {key!r} of {abridged(head)!r} {why}; type ,{key}=1")
        words = {"true": True, "false": False, "none": None, "null": None}
        if typed.lower() in words:
            found[key] = words[typed.lower()]
            continue
        try:
            found[key] = ast.literal_eval(typed)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            found[key] = typed
    return head, tuple(found.items())


def build_module(source: Source, *, device: str = "cpu") -> nn.Module:
    """Build a source's module in eval mode with random weights on ``device`` (``meta`` allocates
    nothing).

    Raises SourceError, MissingExtraError, SpecError.
    """
    return _built(source, device)[0]


def _built(source: Source, device: str) -> tuple[nn.Module, tuple[Any, dict[str, Any]] | None]:
    """A source's module, and what its builder says to call it with, if anything."""
    import torch

    if source.kind == "builtin":
        from gadprof.networks.build import build_spec

        assert source.spec is not None
        with torch.device(device):
            return build_spec(source.spec).eval(), None
    if source.kind in ("onnx", "tflite"):
        what = "an ONNX" if source.kind == "onnx" else "a TensorFlow Lite"
        raise SourceError(
            f"{source.name!r} is {what} graph, not a torch module; this command needs a module"
        )
    from gadprof.models.builders import factory, passed, raised

    build = factory(source, device)
    where = source.target if source.kind == "file" else ""
    depth = sys.getrecursionlimit()
    try:
        with torch.device(device):
            module = build()
    except (Exception, SystemExit) as error:
        if isinstance(error, GadprofError) and not passed(error, where):
            raise
        raise BuildError(f"building {source.name!r} {raised(error, where)}") from error
    # a builder may need it deeper, and what comes after it needs it as it was
    sys.setrecursionlimit(max(depth, sys.getrecursionlimit()))
    call = None
    if isinstance(module, tuple) and 2 <= len(module) <= 3:
        module, args, kwargs = (*module, {})[:3]
        if not isinstance(kwargs, Mapping):
            raise SourceError(
                f"{source.name!r} returned {type(kwargs).__name__} for the keywords; return "
                "(module, args, kwargs)"
            )
        call = (tuple(args) if isinstance(args, (tuple, list)) else (args,), dict(kwargs))
    if not isinstance(module, torch.nn.Module):
        raise SourceError(
            f"{source.name!r} returned {type(module).__name__}, not a torch.nn.Module"
        )
    return _in_eval(module), call


def _in_eval(module: nn.Module) -> nn.Module:
    try:
        return module.eval()
    except NotImplementedError:  # an exported graph has the one mode that it was exported in
        return module


def default_shapes(source: Source, module: nn.Module | None = None) -> tuple[tuple[int, ...], ...]:
    """The input shapes (without batch) that a source is used with when none is given."""
    from gadprof.models.own_inputs import own_inputs

    if module is None or source.spec is not None:
        return (source.spec.default_input if source.spec is not None else (3, 224, 224),)
    found, _ = own_inputs(source.kind, source.target, module)
    return tuple(item.shape[1:] if item.whole else item.shape for item in found)


def load(
    source: Source | str,
    *,
    shapes: tuple[tuple[int, ...], ...] = (),
    batch: int = 1,
    device: str = "cpu",
    dtype: torch.dtype | None = None,
    seed: int = 0,
    inputs: tuple[Input, ...] = (),
) -> Loaded:
    """Build a source and its example inputs (random normal from ``seed``; nothing on meta).

    ``shapes`` are without batch; empty means the source's own default. ``inputs`` say the same
    with types and keywords, and are then all that the model is called with; what the model string
    itself names comes before both. Raises GadprofError.
    """
    import torch

    from gadprof.counting.inputs import Input
    from gadprof.models.inputs import call_of

    if isinstance(source, str):
        source = resolve(source)
    given = source.inputs or inputs or tuple(map(Input, shapes))
    if source.spec is not None and given and not given[0].file:
        source.spec.check_input(picture(given[0].shape))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module, call = _built(source, device)
        if dtype is not None:
            module = module.to(dtype)
        if call is not None and not given:
            args, kwargs = _on(call, device, dtype)
            said = "the file's example inputs" if source.kind == "model file" else "the builder"
        else:
            given, said = _inputs_for(source, module, given)
            args, kwargs = call_of(given, batch, device=device, default=dtype)
    tensors = _tensors((args, kwargs))
    shown = tuple(tuple(tensor.shape[1:]) for tensor in tensors)
    return Loaded(source.name, module, args, kwargs, shown, said)


def _inputs_for(
    source: Source, module: nn.Module, given: tuple[Input, ...]
) -> tuple[tuple[Input, ...], str]:
    """What a module is called with, and who says so ("" where the caller does)."""
    from gadprof.counting.inputs import Input
    from gadprof.models.own_inputs import by_main_keyword, own_inputs, settle, takes_keywords

    if source.spec is not None:
        given = given or (Input(source.spec.default_input),)
    if not given:
        return own_inputs(source.kind, source.target, module)
    if takes_keywords(module) and all(item.plain for item in given):
        return by_main_keyword(module, [settle("", module, item).shape for item in given]), ""
    return tuple(settle(source.kind, module, item) for item in given), ""


def picture(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape with three channels where only height and width are given."""
    return (3, *shape) if len(shape) == 2 else shape


def _on(call: tuple[Any, dict[str, Any]], device: str, dtype: torch.dtype | None) -> Any:
    """What a builder returned, on a device and in a type."""
    import torch
    from torch.utils import _pytree as pytree

    def moved(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(device, dtype if tensor.is_floating_point() else None)

    return pytree.tree_map_only(torch.Tensor, moved, call)


def _tensors(call: Any) -> list[torch.Tensor]:
    """Every tensor of arguments, keywords included, in order."""
    import torch
    from torch.utils import _pytree as pytree

    return [item for item in pytree.tree_leaves(call) if isinstance(item, torch.Tensor)]


def find_beside(text: str) -> None:
    """Let the code that a model string names import what lies beside it, later too.

    For a process of its own, whose import path has no current folder. What lies there comes after
    the standard library and before installed packages, but torch and what it needs are loaded
    first. Does nothing for any other string.
    """
    import os
    import sys

    try:
        source = resolve(text)
    except GadprofError:
        return
    if source.kind == "file":
        folder = os.path.dirname(os.path.abspath(source.target))
    elif source.kind == "package" or source.trusted:
        folder = os.getcwd()
    else:
        return
    import torch  # noqa: F401

    if folder not in sys.path:
        packages = (i for i, entry in enumerate(sys.path) if entry.endswith("-packages"))
        sys.path.insert(next(packages, len(sys.path)), folder)


def parse_shapes(texts: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
    """Read every ``--input`` of a command that takes pictures alone. Raises InputShapeError."""
    return tuple(parse_shape(text) for text in texts)


def trusted(text: str) -> str:
    """A model string whose file may run code of its own while it is loaded."""
    source = resolve(text)
    return f"trust:{text}" if source.kind == "model file" and not source.trusted else text


def given_inputs(
    models: Sequence[str], texts: Sequence[str]
) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    """Models and shapes of a command line whose ``--input`` is meant for every model.

    What a shape alone does not say goes with each model's string (``model@ids=7:int64``); a model
    that carries inputs keeps its own. Raises InputShapeError.
    """
    if not texts:
        return tuple(models), ()
    from gadprof.models.inputs import parse_inputs, split_inputs

    inputs = parse_inputs(texts)
    if all(item.plain for item in inputs):
        pictures = all(_takes_pictures(model) for model in models)
        return tuple(models), tuple(
            picture(item.shape) if pictures else item.shape for item in inputs
        )
    tail = "".join(f"@{item.text}" for item in inputs)
    return tuple(name if split_inputs(name)[1] else name + tail for name in models), ()


def _takes_pictures(model: str) -> bool:
    try:
        return resolve(model).kind in ("builtin", "timm", "torchvision")
    except GadprofError:
        return True  # said where the model is used
