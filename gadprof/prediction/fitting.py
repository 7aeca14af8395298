"""Fitting the latency model to measurements, and its error on families that were left out.

Promises coefficients that depend on the rows, the prior and the seed alone. With a prior (another
device's coefficients) every coefficient is held near it, the more so the fewer the rows are, except
for one common factor of speed, which is free. Errors come from rows of families that the fit never
saw. Needs torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gadprof.prediction.features import CLASSES, ModelFeatures
from gadprof.prediction.model import REACH, TERMS, Coefficients, amounts

Floats = NDArray[np.float64]
START = {"gpu": (4e13, 6e11, 5e-6), "cpu": (5e11, 3e10, 5e-6)}
STEPS, RATE = 160, 0.04
LOSS, BEND = 20.0, 0.05  # Huber's loss: linear beyond 5 %
HELD = {"offset": 1e-3, "shape": 2e-3, "shared": 1e-3, "base": 1e-3}
LOOSE = 0.4  # the share of those penalties where there is no prior; the base is free then
REFERENCE_ROWS = 1000  # the number of rows at which the penalties above hold as they stand


@dataclass(frozen=True)
class Measured:
    """One measurement: seconds of a forward pass of the whole batch, and the model's features."""

    model: str
    family: str
    batch: int
    seconds: float
    features: ModelFeatures


@dataclass(frozen=True)
class Prepared:
    """All rows' operations as tensors, sorted by class; ``owner`` is the row of each."""

    sizes: tuple[int, ...]
    terms: torch.Tensor
    log_work: torch.Tensor
    log_bytes: torch.Tensor
    counts: torch.Tensor
    owner: torch.Tensor
    log_seconds: torch.Tensor


def prepare(rows: Sequence[Measured]) -> Prepared:
    """The tensors that a fit reads, for all rows."""
    at = [amounts(row.features, row.batch) for row in rows]
    classes = np.concatenate([row.features.classes for row in rows])
    owner = np.repeat(np.arange(len(rows)), [len(row.features.classes) for row in rows])
    order = np.argsort(classes, kind="stable")

    def tensor(parts: list[Any]) -> torch.Tensor:
        return torch.tensor(np.concatenate(parts)[order], dtype=torch.float32)

    return Prepared(
        tuple(np.bincount(classes, minlength=len(CLASSES)).tolist()),
        tensor([a.terms for a in at]),
        tensor([a.log_work for a in at]),
        tensor([a.log_bytes for a in at]),
        tensor([row.features.counts for row in rows]),
        torch.tensor(owner[order]),
        torch.tensor([np.log(row.seconds) for row in rows], dtype=torch.float32),
    )


def log_seconds(values: dict[str, torch.Tensor], data: Prepared) -> torch.Tensor:
    """The predicted log-seconds of every row; ``values`` are the fields of Coefficients."""
    weights = values["shape"] + values["shared"]
    forms, start = [], 0
    for index, size in enumerate(data.sizes):
        if size:
            part = data.terms[start : start + size]
            forms.append(part @ weights[index] + values["offset"][index])
            start += size
    form = REACH * torch.tanh(torch.cat(forms) / REACH)
    by_work = torch.exp(data.log_work - values["base"][0] - form[:, 0])
    by_bytes = torch.exp(data.log_bytes - values["base"][1] - form[:, 1])
    each = torch.sqrt(by_work**2 + by_bytes**2 + 1e-30) + torch.exp(values["base"][2])
    totals = torch.zeros(len(data.log_seconds)).index_add(0, data.owner, each * data.counts)
    return torch.log(totals)


def start_of(kind: str) -> Coefficients:
    """Coefficients to begin from where there is no other device's."""
    return Coefficients(
        np.log(np.array(START[kind])),
        np.zeros((len(CLASSES), 2)),
        np.zeros((len(CLASSES), TERMS, 2)),
        np.zeros((TERMS, 2)),
    )


def fit_coefficients(
    rows: Sequence[Measured], kind: str, prior: Coefficients | None = None, *, steps: int = STEPS
) -> Coefficients:
    """Coefficients fitted to all rows, from a prior or from nothing."""
    data = prepare(rows)
    torch.manual_seed(0)
    begin = {
        name: torch.tensor(getattr(prior or start_of(kind), name), dtype=torch.float32)
        for name in HELD
    }
    moves = {name: torch.zeros_like(value).requires_grad_() for name, value in begin.items()}
    common = torch.zeros(())
    if prior is not None:
        with torch.no_grad():  # the free factor of speed, to begin near
            common = (log_seconds(begin, data) - data.log_seconds).median()
    common = common.clone().requires_grad_()
    faster = torch.tensor([1.0, 1.0, -1.0])
    scale = REFERENCE_ROWS / len(rows) if prior is not None else 1.0
    held = dict(HELD)
    if prior is None:
        held = {name: LOOSE * value for name, value in HELD.items()} | {"base": 0.0}

    def values() -> dict[str, torch.Tensor]:
        found = {name: begin[name] + moves[name] for name in begin}
        found["base"] = found["base"] + common * faster
        return found

    optimiser = torch.optim.Adam([*moves.values(), common], lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    for _ in range(steps):
        optimiser.zero_grad()
        error = log_seconds(values(), data) - data.log_seconds
        loss = LOSS * torch.nn.functional.huber_loss(error, torch.zeros_like(error), delta=BEND)
        for name, move in moves.items():
            loss = loss + scale * held[name] * move.pow(2).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        found = {name: value.double().numpy() for name, value in values().items()}
    return Coefficients(**found)


def predict_rows(found: Coefficients, rows: Sequence[Measured]) -> Floats:
    """Predicted log-seconds of every row."""
    with torch.no_grad():
        values = {name: torch.tensor(getattr(found, name), dtype=torch.float32) for name in HELD}
        return np.asarray(log_seconds(values, prepare(rows)).numpy(), dtype=np.float64)


def folds_of(families: Sequence[str], folds: int) -> NDArray[np.int64]:
    """Which fold each row is left out in; a family is never split."""
    names = sorted(set(families))
    order = np.random.default_rng(0).permutation(len(names))
    fold = {names[place]: index % folds for index, place in enumerate(order)}
    return np.array([fold[name] for name in families], dtype=np.int64)


def left_out_errors(
    rows: Sequence[Measured],
    fit: Callable[[Sequence[Measured]], Coefficients],
    folds: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Floats:
    """log(predicted / measured) of each row by a fit that saw no row of its family, (n,)."""
    fold = folds_of([row.family for row in rows], folds)
    gaps = np.zeros(len(rows))
    measured = np.log([row.seconds for row in rows])
    for index in range(int(fold.max()) + 1):
        inside = [row for row, place in zip(rows, fold, strict=True) if place != index]
        outside = [row for row, place in zip(rows, fold, strict=True) if place == index]
        gaps[fold == index] = predict_rows(fit(inside), outside) - measured[fold == index]
        progress(index + 1, int(fold.max()) + 1)
    return gaps
