"""The fixed list of models that every counter is audited on, and how it is audited in one go.

Small members of as many families as timm and torchvision have: plain, grouped, squeeze-excite,
densely connected, searched, transformer, window and linear attention, mixer, hybrid and recurrent
networks, and every preset of gadprof. Inputs are no larger than a model needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from gadprof.counting.audit import Audit, explain, look
from gadprof.counting.backends import BackendCount
from gadprof.counting.isolation import DEFAULT_TIMEOUT_S, Worker
from gadprof.errors import GadprofError
from gadprof.spec import known_presets, parse_shape

# model string -> input, "" for the model's own
_CLASSIFIERS: dict[str, str] = {}

MODELS: Mapping[str, str] = {**dict.fromkeys(known_presets(), ""), **_CLASSIFIERS}


def audit_models(
    models: Mapping[str, str],
    backends: Sequence[str],
    *,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    memory_limit_bytes: int | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> tuple[tuple[Audit, ...], dict[str, str]]:
    """Audit many models: one process a backend, which takes the models one after another.

    Also returns the models that could not be traced, with the reason.
    """
    shapes = {name: (parse_shape(text),) if text else () for name, text in models.items()}
    answers: dict[tuple[str, str], BackendCount] = {}
    for backend in backends:
        with Worker(memory_limit_bytes) as worker:
            for index, name in enumerate(models, start=1):
                progress(f"{backend}: {index} of {len(models)}: {name}")
                answers[backend, name] = worker.count(
                    backend, name, shapes[name], timeout_s=timeout_s
                )
    audits: list[Audit] = []
    refused: dict[str, str] = {}
    for index, name in enumerate(models, start=1):
        progress(f"explaining {index} of {len(models)}: {name}")
        try:
            trace, observation = look(name, shapes[name])
        except GadprofError as error:
            refused[name] = str(error)
            continue
        rows = tuple(explain(answers[backend, name], trace, observation) for backend in backends)
        inputs = tuple(shape[1:] for shape in trace.input_shapes)
        audits.append(Audit(name, inputs, 1, trace.macs, trace.params, trace.note, rows))
    return tuple(audits), refused
