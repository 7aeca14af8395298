"""How each kind of model string is built: packages by name, the user's code, model files.

Promises that no weights are fetched and that the constructor arguments of a string reach the
constructor alone. An error in the user's code is told with its own line.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gadprof.errors import MissingExtraError, SourceError, nearest
from gadprof.models.packages import PACKAGE_KINDS

if TYPE_CHECKING:
    from gadprof.models.sources import Source


def factory(source: Source, device: str) -> Callable[[], Any]:
    """What builds a source's module when it is called: (module, args, kwargs), or it alone.

    Files that name code are imported here. Raises SourceError or MissingExtraError.
    """
    target, arguments = source.target, dict(source.arguments)
    match source.kind:
        case "timm":
            return lambda: _timm(target, arguments)
        case "torchvision":
            return lambda: _torchvision(target, arguments)
        case "transformers":
            return lambda: _transformers(target, arguments)
        case "ultralytics":
            return lambda: _ultralytics(target, arguments)
        case "file":
            function = _file_function(target, source.attribute)
            return lambda: function(**arguments)
        case "package":
            function = _package_function(target, source.attribute)
            return lambda: function(**arguments)
        case "model file":
            from gadprof.models.model_files import load_model_file

            return lambda: load_model_file(target, trusted=source.trusted, device=device)
        case _:
            raise TypeError(f"no factory for source kind {source.kind}")


def _without_weights(name: str, arguments: dict[str, Any]) -> None:
    """Refuse arguments that would fetch weights."""
    for key in ("pretrained", "weights", "weights_backbone", "checkpoint_path"):
        if arguments.get(key):
            raise SourceError(
                f"{name}: weights are never fetched, and no count depends on them; leave {key} away"
            )


def _import_extra(package: str, purpose: str) -> Any:
    import importlib

    try:
        return importlib.import_module(package)
    except ImportError as error:
        if error.name and error.name.split(".")[0] == package:
            raise MissingExtraError(package, PACKAGE_KINDS[package], purpose) from error
        raise SourceError(f"importing {package} failed: {error}") from error


def _timm(name: str, arguments: dict[str, Any]) -> Any:
    timm = _import_extra("timm", f"'timm:{name}'")
    if name not in timm.list_models():
        raise SourceError(
            f"timm has no model {name!r}"
            + (nearest(name, timm.list_models()) or "; see timm.list_models()")
        )
    _without_weights(f"timm:{name}", arguments)
    return timm.create_model(name, **{**arguments, "pretrained": False})


def _torchvision(name: str, arguments: dict[str, Any]) -> Any:
    _import_extra("torchvision", f"'torchvision:{name}'")
    from torchvision import models

    if name not in models.list_models():
        raise SourceError(
            f"torchvision has no model {name!r}"
            + (nearest(name, models.list_models()) or "; see torchvision.models.list_models()")
        )
    _without_weights(f"torchvision:{name}", arguments)
    import warnings

    given = {**arguments, "weights": None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of how weights are drawn
        # no pretrained weights are fetched, for a segmentation model's backbone either
        try:
            return models.get_model(name, **given, weights_backbone=None)
        except (TypeError, ValueError):
            return models.get_model(name, **given)


def _transformers(name: str, arguments: dict[str, Any]) -> Any:
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
        return _transformers_from_config(transformers, name, arguments)
    model_class = getattr(transformers, name, None)
    if model_class is None:
        names = [item for item in dir(transformers) if item.endswith(("Model", "ForCausalLM"))]
        hint = nearest(name, names) or "; name a model's class, as in transformers:BertModel"
        raise SourceError(f"transformers has no class {name!r}{hint}")
    config_class = getattr(model_class, "config_class", None)
    if config_class is None:
        raise SourceError(
            f"transformers.{name} is not a model with a configuration of its own; name a class "
            "such as LlamaForCausalLM, or a config.json"
        )
    return model_class(config_class(**arguments))


def _transformers_from_config(transformers: Any, path: str, arguments: dict[str, Any]) -> Any:
    """The first architecture that a configuration names, else a causal or a plain model."""
    config = transformers.AutoConfig.from_pretrained(path, local_files_only=True, **arguments)
    for architecture in getattr(config, "architectures", None) or ():
        model_class = getattr(transformers, architecture, None)
        if model_class is not None:
            return model_class(config)
    if type(config) in transformers.MODEL_FOR_CAUSAL_LM_MAPPING:
        return transformers.AutoModelForCausalLM.from_config(config)
    return transformers.AutoModel.from_config(config)


def _ultralytics(name: str, arguments: dict[str, Any]) -> Any:
    """A model of ultralytics from its YAML, one of the package's or the user's."""
    import os

    path = name if name.endswith((".yaml", ".yml")) else f"{name}.yaml"
    if os.sep in path and not os.path.isfile(path):
        raise SourceError(f"ultralytics configuration {path!r} does not exist")
    tasks = _ultralytics_tasks(f"'ultralytics:{name}'")
    try:
        table = {**tasks.yaml_model_load(path), **arguments}
    except FileNotFoundError as error:
        raise SourceError(
            f"ultralytics has no configuration {path!r}; type for example ultralytics:yolo11n"
        ) from error
    kinds = {
        "classify": tasks.ClassificationModel,
        "segment": tasks.SegmentationModel,
        "pose": tasks.PoseModel,
        "obb": tasks.OBBModel,
    }
    task = tasks.guess_model_task(table)
    return kinds.get(task, tasks.DetectionModel)(table, verbose=False)


def _ultralytics_tasks(purpose: str) -> Any:
    """The package's models, imported without leaving its settings in the user's home."""
    import contextlib
    import importlib
    import io
    import os
    import tempfile

    before = os.environ.get("YOLO_CONFIG_DIR")
    with tempfile.TemporaryDirectory(prefix="gadprof-") as folder:
        os.environ["YOLO_CONFIG_DIR"] = before or folder
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                _import_extra("ultralytics", purpose)
                return importlib.import_module("ultralytics.nn.tasks")
        finally:
            os.environ.pop("YOLO_CONFIG_DIR")
            if before is not None:
                os.environ["YOLO_CONFIG_DIR"] = before


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
        hint = nearest(attribute, names) or f"; it has {', '.join(names[:8]) or 'none'}"
        raise SourceError(f"{where} has no function {attribute!r}{hint}")
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


def raised(error: BaseException, path: str) -> str:
    """What a function raised, with its line in the user's file where there is one."""
    own, _ = _places(error, path) if path else (None, None)
    verb = "" if isinstance(error, SystemExit) else "raised "
    return verb + _words(error) + (f" (at {own})" if own else "")


def passed(error: BaseException, path: str) -> bool:
    """Whether an error came through the user's file."""
    return bool(path) and _places(error, path)[0] is not None


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
