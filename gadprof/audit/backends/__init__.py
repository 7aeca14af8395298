"""Which other counters can be asked, and how one is run without leaving a trace on the module.

Promises: ``run_backend`` never raises for a backend that is missing or fails (its ``error`` says
why), and the module, its hooks, flags and buffers, the random state and every function of torch
are afterwards as they were before. Refuses a name that it does not know.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from gadprof.errors import UnknownNameError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

Unit = Literal["macs", "flops", "mult-adds"]


@dataclass(frozen=True)
class Adapter:
    """One counter: where its adapter lives, which distributions hold it, and in what it counts.

    ``distributions`` are alternatives (the first installed one is used); an empty tuple means that
    it is part of gadprof. ``package`` is the module that must import. ``extra`` is the extra of
    gadprof that installs it.
    """

    name: str
    module: str
    distributions: tuple[str, ...]
    package: str
    unit: Unit
    extra: str
    about: str


@dataclass(frozen=True)
class Reported:
    """What an adapter's ``measure`` returns: the tool's own number, in the tool's own unit.

    ``params`` is None where the tool does not count them; ``uncovered`` names the operations that
    the tool itself says it could not count, with how often it met them.
    """

    reported: int | float
    params: int | None = None
    uncovered: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class BackendCount:
    """One backend's answer for one model, or the reason why there is none.

    ``reported`` is in ``unit``; ``macs`` is the same figure as multiply-accumulates (a tool that
    counts FLOPs as two a MAC is halved); both are None when ``error`` is set.
    """

    name: str
    distribution: str | None
    version: str | None
    reported: int | float | None
    unit: Unit
    macs: int | float | None
    params: int | None
    uncovered: tuple[tuple[str, int], ...]
    error: str | None


_HERE = "gadprof.audit.backends"

BACKENDS: dict[str, Adapter] = {
    "gadprof": Adapter(
        "gadprof", f"{_HERE}.ours", (), "gadprof", "macs", "", "the aten trace of this package"
    ),
    "fvcore": Adapter(
        "fvcore",
        f"{_HERE}.fvcore",
        ("fvcore",),
        "fvcore",
        "macs",
        "",
        "a jit trace; one multiply-add is one of its flops",
    ),
    "thop": Adapter(
        "thop",
        f"{_HERE}.thop",
        ("thop",),
        "thop",
        "macs",
        "",
        "hooks on known module types; shares its module with ultralytics-thop",
    ),
    "ultralytics-thop": Adapter(
        "ultralytics-thop",
        f"{_HERE}.thop",
        ("ultralytics-thop",),
        "thop",
        "macs",
        "",
        "hooks on known module types, and functional products",
    ),
    "ptflops": Adapter(
        "ptflops",
        f"{_HERE}.ptflops",
        ("ptflops",),
        "ptflops",
        "macs",
        "",
        "hooks on module types and patched functions (its pytorch engine)",
    ),
    "ptflops-aten": Adapter(
        "ptflops-aten",
        f"{_HERE}.ptflops_aten",
        ("ptflops",),
        "ptflops",
        "macs",
        "",
        "matrix products and convolutions among aten operations (its aten engine)",
    ),
    "torch": Adapter(
        "torch",
        f"{_HERE}.torch_flop_counter",
        ("torch",),
        "torch",
        "flops",
        "",
        "torch.utils.flop_counter; two flops a multiply-add",
    ),
    "torchinfo": Adapter(
        "torchinfo",
        f"{_HERE}.torchinfo",
        ("torchinfo",),
        "torchinfo",
        "mult-adds",
        "audit",
        "parameters times output size of each leaf module",
    ),
    "torchprofile": Adapter(
        "torchprofile",
        f"{_HERE}.torchprofile",
        ("torchprofile",),
        "torchprofile",
        "macs",
        "audit",
        "a jit trace with handlers for some operations",
    ),
    "calflops": Adapter(
        "calflops",
        f"{_HERE}.calflops",
        ("calflops",),
        "calflops",
        "flops",
        "audit",
        "patched functions of torch; two flops a multiply-add",
    ),
}


def adapter(name: str) -> Adapter:
    """The adapter of that name. Raises UnknownNameError with the nearest names."""
    if name not in BACKENDS:
        known = nearest(name, BACKENDS) or "; there are " + ", ".join(BACKENDS)
        raise UnknownNameError(f"no counting backend is called {name!r}{known}")
    return BACKENDS[name]


def parse_backends(text: str) -> tuple[str, ...]:
    """Read ``all`` (every installed one), ``none``, or names parted by commas, in their order.

    Raises UnknownNameError.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    if words == ["all"]:
        return installed_backends()
    if words == ["none"]:
        return ()
    if not words:
        raise UnknownNameError("no backend named; type 'all' or some of " + ", ".join(BACKENDS))
    return tuple(dict.fromkeys(_installed_twin(adapter(word).name) for word in words))


def _installed_twin(name: str) -> str:
    """``thop`` is what users call either of two distributions: the one that is installed."""
    twins = ("thop", "ultralytics-thop")
    if name == "thop" and distribution_of(name) is None and distribution_of(twins[1]) is not None:
        return twins[1]
    return name


def distribution_of(name: str) -> tuple[str, str] | None:
    """The installed distribution and version that a backend would use, or None.

    Two distributions own the module ``thop``; where both are installed, the one whose recorded
    checksum matches the file on disk is the one that would run.
    """
    from gadprof.results.plain import package_version
    from gadprof.version import __version__

    entry = adapter(name)
    if not entry.distributions:
        return "gadprof", __version__
    for distribution in entry.distributions:
        version = package_version(distribution)
        if version is not None and _owns_its_files(distribution, entry.package):
            return distribution, version
    return None


def installed_backends() -> tuple[str, ...]:
    """The names of the backends that can run here, ours first."""
    return tuple(name for name in BACKENDS if distribution_of(name) is not None)


def run_backend(
    name: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None
) -> BackendCount:
    """Count a module in this process with one backend; ``error`` is set where that failed.

    The module is used as it stands (its device and, for the tools that do not change it, its
    mode) and left untouched. Raises UnknownNameError only.
    """
    entry = adapter(name)
    found = distribution_of(name)
    if found is None:
        return failed(name, not_installed(name))
    from gadprof.audit.backends.restore import everything_restored, quiet

    try:
        with everything_restored(module), quiet():
            measure: Callable[..., Reported] = importlib.import_module(entry.module).measure
            result = measure(module, args, dict(kwargs or {}))
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # a model may call sys.exit, a tool may assert
        return failed(name, describe_error(error))
    return BackendCount(
        name=name,
        distribution=found[0],
        version=found[1],
        reported=result.reported,
        unit=entry.unit,
        macs=to_macs(result.reported, entry.unit),
        params=result.params,
        uncovered=result.uncovered,
        error=None,
    )


def failed(name: str, error: str) -> BackendCount:
    """The answer of a backend that gave none."""
    distribution, version = distribution_of(name) or (None, None)
    unit = adapter(name).unit
    return BackendCount(name, distribution, version, None, unit, None, None, (), error)


def not_installed(name: str) -> str:
    """One line that says how to get a backend that is not there."""
    entry = adapter(name)
    wanted = f"'gadprof[{entry.extra}]'" if entry.extra else entry.distributions[0]
    clash = ""
    if entry.package == "thop":
        other = "ultralytics-thop" if name == "thop" else "thop"
        clash = f" (both it and {other} own the module 'thop': uninstall {other} first)"
    return f"{entry.distributions[0]} is not installed; type: pip install {wanted}{clash}"


def to_macs(reported: float, unit: Unit) -> int | float:
    """A figure in a tool's unit as multiply-accumulates; exact for whole numbers."""
    if unit != "flops":
        return reported
    if isinstance(reported, int) and reported % 2 == 0:
        return reported // 2
    return reported / 2


def describe_error(error: BaseException) -> str:
    """An exception as one short line; one that a tool wrapped is shown as what it was."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, SystemExit):
        return f"the model called sys.exit({error.code if error.code is not None else ''})"
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) or "can't allocate memory" in text:
        return f"ran out of memory: {text[:200] or 'MemoryError'}"
    if len(text) > 300:
        text = text[:297] + "..."
    if text:
        return f"{type(error).__name__}: {text}"
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    where = f" in {frames[-1].name} ({os.path.basename(frames[-1].filename)})" if frames else ""
    line = f": {frames[-1].line}" if frames and frames[-1].line else ""
    return f"{type(error).__name__}{where}{line}"


def _owns_its_files(distribution: str, package: str) -> bool:
    """Whether a distribution's files are the ones that would be imported.

    Asked only where two distributions own one module: it must be found in this distribution's
    folder, and its recorded checksum must be that of the file there.
    """
    from importlib import metadata, util

    owners = {
        owner
        for entry in BACKENDS.values()
        if entry.package == package
        for owner in entry.distributions
    }
    if len(owners) < 2 or len([owner for owner in owners if _files(owner)]) < 2:
        return True
    import base64
    import hashlib

    spec = util.find_spec(package)
    installed = metadata.distribution(distribution)
    if spec is None or not spec.origin:
        return True
    folder = os.path.dirname(os.path.realpath(spec.origin))
    if os.path.realpath(str(installed.locate_file(package))) != folder:
        return False
    for path in installed.files or ():
        if path.name == "profile.py" and path.hash is not None:
            digest = hashlib.new(path.hash.mode, path.read_binary()).digest()
            return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == path.hash.value
    return True


def _files(distribution: str) -> bool:
    from importlib import metadata

    try:
        return bool(metadata.files(distribution))
    except metadata.PackageNotFoundError:
        return False
