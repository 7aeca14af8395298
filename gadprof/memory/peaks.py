"""The predicted peak of CUDA memory of a step: of its tensors, of the allocator, of the process.

``predict_peaks`` runs the step's births and deaths through the imitated allocator: weights and
buffers first, then two steps with their workspaces and the optimiser's updates; later steps repeat
the second. Promises three figures that are never confused: the *tensor peak* (all live tensors and
workspaces at their highest, ``max_memory_allocated``), the *allocator peak* (what torch has
reserved, fragmentation included: ``max_memory_reserved``) and the *process peak* (what a monitor
shows: context, libraries and the loader's batches as well). Each is a prediction; the interval is
that of unseen model families.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any, Literal

from gadprof.memory.allocator import BLOCK, Allocator, Block
from gadprof.memory.step import BIRTH, DEATH, Step
from gadprof.memory.workspaces import workspace

Optimizer = Literal["none", "sgd", "sgd-momentum", "adam", "adamw"]

# states that an optimiser keeps for each weight, and passing copies of all weights that one update
# of torch's default implementation makes (the first of them for the weight decay)
STATES: Mapping[str, int] = {"none": 0, "sgd": 0, "sgd-momentum": 1, "adam": 2, "adamw": 2}
COPIES: Mapping[str, int] = {"none": 0, "sgd": 1, "sgd-momentum": 1, "adam": 2, "adamw": 1}
OPTIMIZERS: tuple[Optimizer, ...] = ("sgd-momentum", "sgd", "adam", "adamw", "none")
STEPS = 2
COEFFICIENTS = "cuda_memory.json"


@dataclass(frozen=True)
class Coefficients:
    """What was fitted to measured peaks: the process's constant, and the workspaces' multiples.

    ``context_bytes`` is what CUDA, its libraries and torch's kernels hold before a model;
    ``input_copies`` how many batches the loader keeps on the card beside the step's own, and
    ``multiples`` are the workspaces'. ``ratio`` gives quantiles of measured by predicted peak, of
    model families that the fit had not seen, by their share in percent (``2.5``, ``97.5``).
    ``least_ratio`` times what a step cannot do without was above the measured peak in one row of
    two hundred. ``cv`` describes the errors.
    """

    context_bytes: int
    input_copies: float
    multiples: Mapping[str, float]
    ratio: Mapping[str, float]
    least_ratio: float
    cv: Mapping[str, Any]
    source: str


@lru_cache(maxsize=1)
def coefficients() -> Coefficients:
    """The coefficients that gadprof carries."""
    text = resources.files("gadprof.data").joinpath(COEFFICIENTS).read_text("utf-8")
    plain = json.loads(text)
    plain.pop("schema_version")
    plain.pop("written_by")
    return Coefficients(**plain)


@dataclass(frozen=True)
class Peaks:
    """Predicted bytes at the highest, and what they are made of.

    ``interval95`` is of ``process_peak_bytes``. ``weight_bytes`` are weights and buffers;
    ``transient_bytes`` is the tensor peak without weights, buffers and optimiser states: saved
    tensors, gradients, workspaces. ``overhead_bytes`` is what fragmentation adds. ``least_bytes``
    is the bound below which the step does not fit.
    """

    model: str
    batch: int
    train: bool
    optimizer: str
    dtype: str
    tensor_peak_bytes: int
    allocator_peak_bytes: int
    process_peak_bytes: int
    interval95: tuple[int, int]
    weight_bytes: int
    gradient_bytes: int
    optimizer_bytes: int
    transient_bytes: int
    overhead_bytes: int
    context_bytes: int
    loader_bytes: int
    least_bytes: int


def predict_peaks(
    step: Step,
    batch: int,
    optimizer: Optimizer = "sgd-momentum",
    *,
    fitted: Coefficients | None = None,
) -> Peaks:
    """The three peaks of a step at a batch.

    ``optimizer`` plays no part in a forward pass. ``fitted`` replaces gadprof's own coefficients.
    """
    found = fitted or coefficients()
    kind: Optimizer = optimizer if step.train else "none"
    allocator = run_steps(step, batch, kind, found.multiples)
    trained = sum(size for size, yes in zip(step.weights, step.trainable, strict=True) if yes)
    weights = sum(step.weights) + sum(step.buffers)
    states = STATES[kind] * trained
    loader = round(found.input_copies * step.input_bytes * batch)
    process = allocator.reserved_peak + loader + found.context_bytes
    low, high = (round(process * found.ratio[share]) for share in ("2.5", "97.5"))
    return Peaks(
        model=step.model,
        batch=batch,
        train=step.train,
        optimizer=kind if step.train else "",
        dtype=step.dtype,
        tensor_peak_bytes=allocator.allocated_peak,
        allocator_peak_bytes=allocator.reserved_peak,
        process_peak_bytes=process,
        interval95=(low, high),
        weight_bytes=weights,
        gradient_bytes=trained if step.train else 0,
        optimizer_bytes=states,
        transient_bytes=allocator.allocated_peak - weights - states,
        overhead_bytes=allocator.reserved_peak - allocator.allocated_peak,
        context_bytes=found.context_bytes,
        loader_bytes=loader,
        least_bytes=round(found.least_ratio * least_need(step, batch, kind, found, loader)),
    )


def least_need(
    step: Step, batch: int, optimizer: Optimizer, fitted: Coefficients, loader_bytes: int = 0
) -> int:
    """Bytes that a step cannot do without: its tensors in whole blocks, the loader, the context.

    No workspace and no fragmentation: with a full card cuDNN takes algorithms without the one, and
    the allocator gives back the other.
    """
    resident = sum(_blocks(size) for size in (*step.weights, *step.buffers))
    trained = sum(_blocks(s) for s, yes in zip(step.weights, step.trainable, strict=True) if yes)
    resident += STATES[optimizer] * trained
    level = peak = 0
    for kind, _, fixed, sample in step.events:
        if kind == BIRTH:
            level += _blocks(fixed + sample * batch)
            peak = max(peak, level)
        elif kind == DEATH:
            level -= _blocks(fixed + sample * batch)
    update = (1 + COPIES[optimizer]) * trained if step.train else 0
    return resident + max(peak, update) + loader_bytes + fitted.context_bytes


def _blocks(size: int) -> int:
    return max(1, -(-size // BLOCK)) * BLOCK


def run_steps(
    step: Step,
    batch: int,
    optimizer: Optimizer,
    multiples: Mapping[str, float],
    allocator: Allocator | None = None,
) -> Allocator:
    """The allocator after the steps, its peaks in it; ``allocator`` may bring a capacity."""
    memory = allocator or Allocator()
    for size in (*step.weights, *step.buffers):
        memory.allocate(size)
    spaces = [workspace(found, batch, multiples) for found in step.convolutions]
    for number in range(STEPS):
        live: dict[int, Block] = {}
        for kind, key, fixed, sample in step.events:
            if kind == BIRTH:
                live[key] = memory.allocate(fixed + sample * batch)
            elif kind == DEATH:
                if key in live:
                    memory.release(live.pop(key))
            elif spaces[key]:
                memory.release(memory.allocate(spaces[key]))
        if step.train:
            _update(memory, step, optimizer, first=number == 0)
        for block in live.values():
            memory.release(block)
    return memory


def _update(memory: Allocator, step: Step, optimizer: Optimizer, *, first: bool) -> None:
    """The optimiser's step: states at the first, copies in passing at each."""
    for decayed in (False, True):
        group: Sequence[int] = [
            size
            for size, has, trained in zip(step.weights, step.decayed, step.trainable, strict=True)
            if trained and has is decayed
        ]
        copies = [memory.allocate(size) for _ in range(COPIES[optimizer]) for size in group]
        if first:
            for _ in range(STATES[optimizer]):
                for size in group:
                    memory.allocate(size)
        for block in copies:
            memory.release(block)
