"""Model strings: what they name, and how each becomes a module with example inputs.

Forms: a preset with overrides (``gadnet32:s=4,d=5``), ``timm:NAME``, ``torchvision:NAME``,
``transformers:NAME``, ``path/to/file.py:function``, ``package.module:function``. A ``model.onnx``
is recognised; what needs a module refuses it. The user's code runs only for the two forms that
name code. ``resolve`` imports neither torch nor the model's package; ``load`` does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from gadprof.errors import BuildError, GadprofError, MissingExtraError, SourceError, nearest
from gadprof.networks.spec import ModelSpec, is_builtin, known_presets, parse_shape, parse_spec

if TYPE_CHECKING:
    import torch
    from torch import nn

    from gadprof.counting.inputs import Input

Kind = Literal["builtin", "timm", "torchvision", "transformers", "file", "package", "onnx"]

PACKAGE_KINDS: dict[str, str] = {
    "timm": "zoo",
    "torchvision": "zoo",
    "transformers": "transformers",
}


@dataclass(frozen=True)
class Source:
    """A model string that has been understood but not built.

    ``name`` is the text as the user typed it; ``target`` is what the kind needs (a timm name, a
    path, a module); ``attribute`` is the function for file and package sources; ``spec`` is set
    for built-in models only; ``inputs`` are those that the text itself names.
    """

    name: str
    kind: Kind
    target: str
    attribute: str = ""
    spec: ModelSpec | None = None
    inputs: tuple[Input, ...] = ()

    @property
    def runs_user_code(self) -> bool:
        """Whether building it runs code that is no installed package's."""
        return self.kind in ("file", "package")


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
    from gadprof.models.inputs import split_inputs

    named, inputs = split_inputs(text)
    return replace(_resolved(named), name=text.strip(), inputs=inputs)


def _resolved(text: str) -> Source:
    text = text.strip()
    if not text:
        raise SourceError("an empty model name; 'gadprof models' lists what can be named")
    if text.lower().endswith(".onnx"):
        return Source(text, "onnx", text)
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
    if source.kind == "onnx":
        raise SourceError(
            f"{source.name!r} is an ONNX graph, not a torch module; this command needs a module"
        )
    factory = _factory(source)
    try:
        with torch.device(device):
            module = factory()
    except GadprofError:
        raise
    except (Exception, SystemExit) as error:
        where = source.target if source.kind == "file" else ""
        raise BuildError(f"building {source.name!r} {_raised(error, where)}") from error
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
    return module.eval(), call


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
            said = "the builder"
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


def _factory(source: Source) -> Any:
    match source.kind:
        case "timm":
            return lambda: _timm(source.target)
        case "torchvision":
            return lambda: _torchvision(source.target)
        case "transformers":
            return lambda: _transformers(source.target)
        case "file":
            return _file_function(source.target, source.attribute)
        case "package":
            return _package_function(source.target, source.attribute)
        case _:
            raise TypeError(f"no factory for source kind {source.kind}")


def _import_extra(package: str, purpose: str) -> Any:
    import importlib

    try:
        return importlib.import_module(package)
    except ImportError as error:
        if error.name and error.name.split(".")[0] == package:
            raise MissingExtraError(package, PACKAGE_KINDS[package], purpose) from error
        raise SourceError(f"importing {package} failed: {error}") from error


def _timm(name: str) -> Any:
    timm = _import_extra("timm", f"'timm:{name}'")
    if name not in timm.list_models():
        raise SourceError(
            f"timm has no model {name!r}"
            + (nearest(name, timm.list_models()) or "; see timm.list_models()")
        )
    return timm.create_model(name, pretrained=False)


def _torchvision(name: str) -> Any:
    _import_extra("torchvision", f"'torchvision:{name}'")
    from torchvision import models

    if name not in models.list_models():
        raise SourceError(
            f"torchvision has no model {name!r}"
            + (nearest(name, models.list_models()) or "; see torchvision.models.list_models()")
        )
    # no pretrained weights are fetched, for a segmentation model's backbone either
    try:
        return models.get_model(name, weights=None, weights_backbone=None)
    except (TypeError, ValueError):
        return models.get_model(name, weights=None)


def _transformers(name: str) -> Any:
    """A model class of transformers with its default configuration, or a configuration file.

    Nothing is fetched: a file is a ``config.json``, or the folder that holds one.
    """
    import os

    transformers = _import_extra("transformers", f"'transformers:{name}'")
    if os.path.isdir(name):
        name = os.path.join(name, "config.json")
    if name.endswith(".json"):
        if not os.path.isfile(name):
            raise SourceError(f"transformers configuration {name!r} does not exist")
        return _transformers_from_config(transformers, name)
    model_class = getattr(transformers, name, None)
    if model_class is None:
        names = [item for item in dir(transformers) if item.endswith(("Model", "ForCausalLM"))]
        raise SourceError(f"transformers has no class {name!r}{nearest(name, names)}")
    config_class = getattr(model_class, "config_class", None)
    if config_class is None:
        raise SourceError(
            f"transformers.{name} is not a model with a configuration of its own; name a class "
            "such as LlamaForCausalLM, or a config.json"
        )
    return model_class(config_class())


def _transformers_from_config(transformers: Any, path: str) -> Any:
    """The first architecture that a configuration names, else a causal or a plain model."""
    config = transformers.AutoConfig.from_pretrained(path, local_files_only=True)
    for architecture in getattr(config, "architectures", None) or ():
        model_class = getattr(transformers, architecture, None)
        if model_class is not None:
            return model_class(config)
    if type(config) in transformers.MODEL_FOR_CAUSAL_LM_MAPPING:
        return transformers.AutoModelForCausalLM.from_config(config)
    return transformers.AutoModel.from_config(config)


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
    elif source.kind == "package":
        folder = os.getcwd()
    else:
        return
    import torch  # noqa: F401

    if folder not in sys.path:
        packages = (i for i, entry in enumerate(sys.path) if entry.endswith("-packages"))
        sys.path.insert(next(packages, len(sys.path)), folder)


def _file_function(path: str, attribute: str) -> Any:
    import importlib.util
    import os
    import sys

    if not os.path.isfile(path):
        raise SourceError(f"model file {path!r} does not exist")
    module_spec = importlib.util.spec_from_file_location(
        "gadprof_user_" + re.sub(r"\W", "_", os.path.abspath(path)), path
    )
    assert module_spec is not None
    assert module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[module_spec.name] = module
    folder = os.path.dirname(os.path.abspath(path))
    sys.path.insert(0, folder)
    try:
        module_spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        sys.modules.pop(module_spec.name, None)
        raise SourceError(_told(error, path)) from error
    finally:
        sys.path.remove(folder)
    return _attribute(module, attribute, path)


def _package_function(package: str, attribute: str) -> Any:
    import importlib

    try:
        module = importlib.import_module(package)
    except (Exception, SystemExit) as error:
        absent = error.name if isinstance(error, ModuleNotFoundError) else None
        if absent and f"{package}.".startswith(f"{absent}."):
            raise SourceError(
                f"unknown model '{package}:{attribute}': no module {absent!r} can be imported and "
                "no preset has that name; 'gadprof models' lists the presets"
            ) from error
        # its own line: the deepest that is not the import system's
        told = _told(error, _last_file(error) or package)
        raise SourceError(f"importing {package} raised {told}") from error
    return _attribute(module, attribute, package)


def _attribute(module: Any, attribute: str, where: str) -> Any:
    function = getattr(module, attribute, None)
    if function is None:
        names = [name for name in vars(module) if callable(getattr(module, name))]
        raise SourceError(f"{where} has no function {attribute!r}{nearest(attribute, names)}")
    if not callable(function):
        raise SourceError(f"{where}:{attribute} is not callable")
    return function


def _told(error: BaseException, path: str) -> str:
    """What a user's file raised on import, at its own line: ``net.py:4: ValueError: …``.

    A syntax error has its column too; where another file raised, its line follows.
    """
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        file = path if _same_file(error.filename, path) else error.filename
        column = f":{error.offset}" if error.offset else ""
        return f"{file}:{error.lineno}{column}: {type(error).__name__}: {error.msg}"
    own, last = _places(error, path)
    return f"{own or path}: {_words(error)}" + (f" (raised at {last})" if last != own else "")


def _raised(error: BaseException, path: str) -> str:
    """What a function raised, with its line in the user's file where there is one."""
    own, _ = _places(error, path) if path else (None, None)
    verb = "" if isinstance(error, SystemExit) else "raised "
    return verb + _words(error) + (f" (at {own})" if own else "")


def _words(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"called sys.exit({'' if error.code is None else repr(error.code)})"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _places(error: BaseException, path: str) -> tuple[str | None, str | None]:
    """The deepest line of ``path`` that an error passed, and the line that raised it, if any."""
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    own = next((f for f in reversed(frames) if _same_file(f.filename, path)), None)
    # the import system's own frames say nothing to the user
    shown = [f for f in frames if not f.filename.startswith("<frozen")]
    last = shown[-1] if shown and own is not None else None
    if last is None or own is None:
        return None, None
    here = f"{path}:{own.lineno}"
    return here, here if last is own else f"{last.filename}:{last.lineno}"


def _last_file(error: BaseException) -> str | None:
    """The file that raised an error, the import system's own aside."""
    import traceback

    names = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    inside = [name for name in names if name.startswith("<frozen")]
    return names[-1] if inside and not names[-1].startswith("<frozen") else None


def _same_file(name: str, path: str) -> bool:
    import os

    return os.path.abspath(name) == os.path.abspath(path)


def parse_shapes(texts: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
    """Read every ``--input`` of a command that takes pictures alone. Raises InputShapeError."""
    return tuple(parse_shape(text) for text in texts)


def given_inputs(
    models: Sequence[str], texts: Sequence[str]
) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    """Models and shapes of a command line whose ``--input`` is meant for every model.

    What a shape alone does not say goes with each model's string (``model@ids=7:int64``); a model
    that carries inputs keeps its own. Raises InputShapeError.
    """
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
