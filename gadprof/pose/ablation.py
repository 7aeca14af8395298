"""The paper's ablation (table 5): four variants counted, measured, trained and evaluated alike.

Promises one budget for all variants and seeds, and says what it was. An interval over seeds is
Student's 95 % interval of the mean, and absent for a single seed. Refuses nothing that training
does not refuse.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VARIANTS = ("hrnet32", "ghost-hrnet32", "ghost-se-hrnet32", "gadnet32")


@dataclass(frozen=True)
class Trained:
    """One variant after one seed: its COCO scores, and how long training took (s).

    The time is None where an earlier command had trained part of it or all.
    """

    seed: int
    scores: Any
    train_s: float | None
    weights_sha256: str = ""


@dataclass(frozen=True)
class Variant:
    """One row of the ablation: exact costs, and what was measured of it, if anything."""

    model: str
    params: int
    macs: int
    params_change_percent: float
    macs_change_percent: float
    latency_s: Mapping[str, Any] | None = None
    ratio: Mapping[str, Any] | None = None
    runs: tuple[Trained, ...] = ()

    @property
    def ap(self) -> tuple[float, float | None] | None:
        """Mean AP over seeds and the half width of its 95 % interval (None for one seed)."""
        if not self.runs:
            return None
        values = [float(run.scores.ap) for run in self.runs]
        return mean_and_interval(values)


def mean_and_interval(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean and the half width of Student's 95 % interval; None for a single value."""
    mean = sum(values) / len(values)
    if len(values) < 2:
        return mean, None
    from scipy.stats import t

    spread = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))
    return mean, float(t.ppf(0.975, len(values) - 1)) * spread / math.sqrt(len(values))


def variant_names(overrides: str, also: Sequence[str] = ()) -> tuple[str, ...]:
    """The four model strings and others, with the same overrides for each (``width=8``)."""
    names = dict.fromkeys((*VARIANTS, *also))
    if not overrides:
        return tuple(names)
    return tuple(f"{name}{',' if ':' in name else ':'}{overrides}" for name in names)


def train_and_score(
    model: str,
    train_split: Any,
    test_split: Any,
    changes: Mapping[str, Any],
    folder: Path,
    *,
    tell: Callable[[str], None],
) -> Trained:
    """Train one variant with the paper's preset under ``changes``, and score it.

    What ``folder`` holds of the same run is gone on with. Raises DataError and what training
    raises.
    """
    import hashlib
    import time

    from gadprof.models.sources import build_module, resolve
    from gadprof.pose.checkpoints import LAST
    from gadprof.pose.coco import load_people
    from gadprof.pose.evaluate import evaluate
    from gadprof.pose.inference import InferenceSettings
    from gadprof.pose.settings import make_settings
    from gadprof.pose.training import WEIGHTS, RunSettings, make_folder, sample_settings, train

    settings = make_settings(model, "paper", changes)
    started = time.monotonic()
    begun = (folder / LAST).exists()
    run = RunSettings(make_folder(folder), logger="none", resume=begun)
    source = resolve(model)
    module = train(lambda: build_module(source), load_people(train_split), settings, run)
    seconds = time.monotonic() - started
    inference = InferenceSettings(sample_settings(settings), "dark", flip=False)
    scores, _ = evaluate(module.final, test_split, load_people(test_split), inference)
    took = "of an earlier command's run" if begun else f"after {seconds:.0f} s"
    tell(f"{model} seed {settings.seed}: AP {scores.ap:.3f} {took}")
    digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    return Trained(settings.seed, scores, None if begun else seconds, digest)


def accuracies(
    variants: Sequence[Variant], split: Any, shape: tuple[int, ...], budget: Mapping[str, Any]
) -> list[Any]:
    """Every run's accuracy on a split, with the budget as its note. Raises DataError."""
    from gadprof.pose.accuracy import Accuracy
    from gadprof.pose.coco import load_people
    from gadprof.results.plain import describe_machine

    people = load_people(split)
    told = ", ".join(f"{key} {value}" for key, value in budget.items() if key != "seeds")
    machine = describe_machine()
    return [
        Accuracy(
            model=item.model,
            data=split.annotations.name,
            pictures=len({person.image_id for person in people}),
            persons=len(people),
            input=(shape[1], shape[2]),
            boxes="annotated",
            decoding="dark",
            flip_test=False,
            ap=run.scores.ap,
            ap50=run.scores.ap50,
            ap75=run.scores.ap75,
            apm=run.scores.apm,
            apl=run.scores.apl,
            ar=run.scores.ar,
            weights_sha256=run.weights_sha256,
            note=f"ablation: {told}, seed {run.seed}",
            machine=f"{machine.cpu}, {machine.cores} cores",
        )
        for item in variants
        for run in item.runs
    ]
