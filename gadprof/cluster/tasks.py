"""What runs on a worker of a cluster: calls by name with plain arguments and plain answers.

Promises: an answer is one JSON text, whatever the task returned or raised; a measurement holds its
device alone on its host.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gadprof.errors import GadprofError, OutputError, os_reason
from gadprof.output import tell
from gadprof.results.plain import to_plain


def call(function: str, arguments: Mapping[str, Any]) -> str:
    """Run one task; the JSON of its ``value``, of the ``error`` that it raised on purpose, or of
    the ``failure`` that befell it."""
    module_name, _, name = function.partition(":")
    answer: dict[str, Any]
    try:
        answer = {
            "value": to_plain(getattr(importlib.import_module(module_name), name)(**arguments))
        }
    except GadprofError as error:
        answer = {"error": str(error), "exit_code": error.exit_code}
    except Exception as error:
        answer = {"failure": " ".join(f"raised {type(error).__name__}: {error}".split())[:300]}
    return json.dumps(answer, allow_nan=False)


def sweep_task(
    family: str,
    axes: Mapping[str, Any],
    objectives: str,
    largest: Mapping[str, int],
    smallest: Mapping[str, int],
    start: int,
    stop: int,
    sample: int | None,
    seed: int,
    keep: bool,
) -> dict[str, Any]:
    """Cost designs ``start`` to ``stop`` (positions in a sample) of a space."""
    from gadprof.sweep.distributed import sweep_range

    return sweep_range(
        family, axes, objectives, largest, smallest, start, stop,
        sample=sample, seed=seed, keep=keep,
    )  # fmt: skip


def audit_task(
    model: str,
    shapes: Sequence[Sequence[int]],
    batch: int,
    backends: Sequence[str],
    timeout_s: float,
    memory_limit_bytes: int | None = None,
) -> Any:
    """Audit one model."""
    from gadprof.audit.audit import audit

    return audit(
        model,
        shapes=tuple(tuple(shape) for shape in shapes),
        batch=batch,
        backends=tuple(backends),
        timeout_s=timeout_s,
        memory_limit_bytes=memory_limit_bytes,
    )


def bench_task(
    models: Sequence[str], setting: Mapping[str, Any], options: Mapping[str, Any]
) -> Any:
    """Measure models against the first of them, while nothing else measures on this device."""
    from gadprof.measuring.bench import measure
    from gadprof.measuring.settings import Setting
    from gadprof.results.rebuild import from_plain

    chosen = from_plain(Setting, setting)
    with device_to_itself(chosen.device):
        return measure(list(models), chosen, **options)


def machine_task() -> Any:
    """The worker's machine."""
    from gadprof.results.plain import describe_machine

    return to_plain(describe_machine())


def compare_task(model: str, shapes: Sequence[Sequence[int]], batch: int) -> Any:
    """One model's row of a comparison."""
    from gadprof.comparison.compare import compare_row

    return compare_row(model, shapes=tuple(tuple(shape) for shape in shapes), batch=batch)


@contextmanager
def device_to_itself(device: str, folder: Path | None = None) -> Iterator[None]:
    """Hold a host's device alone while something is measured on it; says when it has to wait.

    The lock lies in ``folder``, this user's own by default. Raises OutputError where another's
    file or a link is in its place.
    """
    try:
        import fcntl
    except ImportError:  # not on every system; the cluster's own slots then decide
        yield
        return
    name = device.replace(":", "-").replace("/", "-")
    path = (folder or _lock_folder()) / f"measuring-{name}.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise OutputError(f"cannot open the lock {str(path)!r} ({os_reason(error)})") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            tell(f"gadprof: waits until nothing else measures on {device} ({path})")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _lock_folder() -> Path:
    """A folder of this user's that nobody else may write to. Raises OutputError."""
    given = os.environ.get("XDG_RUNTIME_DIR")
    if given and os.path.isdir(given) and os.access(given, os.W_OK):
        folder = Path(given) / "gadprof"
    else:
        folder = Path(os.environ.get("TMPDIR") or "/tmp") / f"gadprof-locks-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(0o700)
    status = folder.lstat()
    if folder.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise OutputError(f"{str(folder)!r} is not this user's own folder; remove it")
    return folder
