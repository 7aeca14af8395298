"""What the two sides of a diff name: a model string, a model at a git ref, or kept figures.

Promises that nothing of the working tree is touched: a ref's files are unpacked into a folder of
their own, which goes when the count is done. Kept figures are a JSON file that ``gadprof count``
wrote (with modules) or any baseline (totals alone). Refuses a model that no ref can change.
"""

from __future__ import annotations

import contextlib
import io
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gadprof.errors import BaselineError, GadprofError, SourceError
from gadprof.gate.baseline import find_baseline, git, is_commit
from gadprof.gate.diff import ModuleFigures, Side, side_of
from gadprof.results.files import read_json
from gadprof.workers.folders import private_folder

Shapes = tuple[tuple[int, ...], ...]
HERE = "."  # the working tree, where a ref is asked for


def sides(
    words: Sequence[str],
    *,
    shapes: Shapes = (),
    batch: int = 1,
    devices: Sequence[str] = (),
    timeout_s: float = 300.0,
    memory_limit_bytes: int | None = None,
    store: str | None = None,
) -> tuple[Side, Side]:
    """``A B`` (models, kept figures, or a ref and a model), or ``REF REF MODEL``.

    A ref of ``.`` is the working tree. Raises GadprofError.
    """
    bounds = {"timeout_s": timeout_s, "memory_limit_bytes": memory_limit_bytes}
    given = {"shapes": shapes, "batch": batch, **bounds}
    if len(words) == 3:
        refs, model = words[:2], words[2]
    elif _names_a_ref(words[0]):
        refs, model = (words[0], HERE), words[1]
    else:
        name = _model_of(words)
        first = _side(words[0], devices, store, given, other=name)
        return first, _side(words[1], devices, store, given, other=name)
    found = [_side_at(ref, model, devices, given) for ref in refs]
    return found[0], found[1]


def _model_of(words: Sequence[str]) -> str | None:
    """The model that kept figures of several models are asked for."""
    models = [word for word in words if not is_kept(word)]
    return models[0] if models else None


def _names_a_ref(word: str) -> bool:
    from gadprof.models.sources import resolve

    if is_kept(word) or word == HERE:
        return word == HERE
    with contextlib.suppress(GadprofError):
        resolve(word)
        return False
    return is_commit(word)


def is_kept(word: str) -> bool:
    """Whether a text names kept figures."""
    return word.lower().endswith(".json") or word.partition(":")[0] in ("file", "store", "git")


def _side(
    word: str,
    devices: Sequence[str],
    store: str | None,
    given: dict[str, Any],
    *,
    other: str | None,
) -> Side:
    if is_kept(word):
        return _kept(word, store, other)
    from gadprof.models.counting import trace_model

    return _with_latency(side_of(word, trace_model(word, **given)), word, devices, given)


def _side_at(ref: str, model: str, devices: Sequence[str], given: dict[str, Any]) -> Side:
    """A model as its file was at a ref."""
    from gadprof.models.counting import trace_model

    if ref == HERE:
        side = _side(model, devices, None, given, other=None)
        return replace(side, name=f"{model} here")
    with checked_out(ref, model) as there:
        side = _with_latency(side_of(model, trace_model(there, **given)), there, devices, given)
    return replace(side, name=f"{model} at {ref}")


@contextlib.contextmanager
def checked_out(ref: str, model: str) -> Iterator[str]:
    """The model string of the same file at a ref, unpacked into a folder that goes afterwards.

    Raises SourceError or BaselineError.
    """
    from gadprof.models.sources import resolve

    source = resolve(model)
    if source.kind not in ("file", "onnx"):
        raise SourceError(
            f"{model!r} is the same at every git ref; name a file of the repository, for example "
            "my_model.py:build"
        )
    if not is_commit(ref):
        raise BaselineError(f"{ref!r} is no commit here; fetch it or name another git ref")
    top = Path(_output("rev-parse", "--show-toplevel"))
    path = Path(source.target)
    try:
        inside = path.resolve().relative_to(top.resolve())
    except ValueError as error:
        raise SourceError(f"{source.target!r} does not lie in the repository {top}") from error
    archive = git("-C", str(top), "archive", "--format=tar", ref)
    if archive.returncode != 0:
        words = archive.stderr.decode(errors="replace").strip().splitlines()
        raise BaselineError(f"git cannot read {ref!r}: {words[-1] if words else 'no reason given'}")
    with private_folder("gadprof-ref-") as folder:
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
            _unpack(tar, folder)
        there = Path(folder) / inside
        if not there.is_file():
            raise SourceError(f"git ref {ref!r} has no {inside.as_posix()}; it may have moved")
        rest = model[len(source.target) :] if model.startswith(source.target) else ""
        yield f"{there}{rest or ':' + source.attribute}"


def _unpack(tar: tarfile.TarFile, folder: str) -> None:
    """Plain files, folders and links that stay inside; a link that leads out is left out."""
    if hasattr(tarfile, "data_filter"):
        tar.extractall(folder, filter=_inside)
    else:
        safe = [m for m in tar.getmembers() if m.isfile() or m.isdir()]
        tar.extractall(folder, [m for m in safe if ".." not in Path(m.name).parts])


def _inside(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
    try:
        return tarfile.data_filter(member, folder)
    except tarfile.FilterError:
        return None


def _output(*arguments: str) -> str:
    done = git(*arguments)
    if done.returncode != 0:
        raise BaselineError("this folder is in no git repository; name two models instead")
    return done.stdout.decode().strip()


def _kept(word: str, store: str | None, model: str | None) -> Side:
    """Kept figures: a count's JSON with its modules, or one row of a baseline."""
    path = Path(word.removeprefix("file:"))
    if path.is_file():
        document = _document(path)
        if isinstance(document.get("modules"), list) and "model" in document:
            return _counted(document, word)
    found = find_baseline(word, store=store)
    row = found.rows[0] if len(found.rows) == 1 else found.row(model or "")
    return Side(f"{row.model} in {found.origin}", dict(row.figures), None, at_least=row.at_least)


def _document(path: Path) -> dict[str, Any]:
    document = read_json(path, "baseline", BaselineError)
    return document if isinstance(document, dict) else {}


def _counted(document: dict[str, Any], word: str) -> Side:
    """A side from ``gadprof count --format json``, whose modules hold what lies below them."""
    try:
        lines = document["modules"]
        totals = {key: int(document[key]) for key in ("params", "macs", "flops", "activations")}
        totals["peak_activation_bytes"] = int(document["peak_activation_bytes"])
        totals["weight_bytes"] = int(document["weight_bytes"])
        root = str(document["model"])
        whole = {("" if not line["depth"] else str(line["name"])): line for line in lines}
        below: dict[str, list[int]] = {path: [0, 0, 0, 0] for path in whole}
        keys = ("params", "macs", "flops", "activations")
        for path, line in whole.items():
            if path:
                sums = below[path.rpartition(".")[0]]
                for index, key in enumerate(keys):
                    sums[index] += int(line[key])
        modules = []
        for path, line in whole.items():
            own = [int(line[key]) - below[path][index] for index, key in enumerate(keys)]
            kind, calls = str(line["type"]), int(line["calls"])
            params, macs, flops, activations = own
            modules.append(ModuleFigures(path, kind, calls, params, macs, flops, activations))
    except (KeyError, TypeError, ValueError) as error:
        raise BaselineError(f"{word!r} is no count of gadprof ({error}); write it anew") from error
    missing = document.get("uncovered")
    uncovered = {str(name): int(n) for name, n in (missing or {}).items()}
    return Side(
        f"{root} in {word}", totals, tuple(modules),
        at_least=bool(uncovered), uncovered=uncovered,
    )  # fmt: skip


def _with_latency(side: Side, model: str, devices: Sequence[str], given: dict[str, Any]) -> Side:
    """The side with its predicted latency on every device; a refusal says why."""
    if not devices:
        return side
    from gadprof.prediction.api import predict

    latency, refused = {}, {}
    for device in devices:
        bounds = {key: given[key] for key in ("timeout_s", "memory_limit_bytes")}
        rows, _ = predict([model], device, shapes=given["shapes"], bounds=bounds)
        row = rows[0]
        if row.predicted_latency_s is None:
            refused[device] = row.error or row.refused or "refused"
        else:
            low, high = row.predicted_latency_s["interval95"]
            latency[device] = (row.predicted_latency_s["value"], low, high)
    return replace(side, latency=latency, refused=refused)
