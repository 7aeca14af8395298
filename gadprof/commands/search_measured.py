"""``gadprof search --objective latency:RUNTIME[:PRECISION]``: the search by measured time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gadprof.commands.option_types import DURATION, MODEL, THREADS, Count
from gadprof.commands.options import cluster_option, packed, store_option
from gadprof.output import Output, tell

if TYPE_CHECKING:
    from gadprof.measuring.designs import Run
    from gadprof.measuring.result import BenchResult
    from gadprof.measuring.settings import Setting
    from gadprof.store.store import StoredResult
    from gadprof.sweep.measured import Goal, Timing

LATENCY = "latency"
# in a round and at the end: the half width to reach of a ratio's interval, sampling time a model
QUICK, TIGHT = (0.05, 15.0), (0.02, 30.0)


@dataclass(frozen=True)
class Timed:
    """What is timed, against what, how much of it, where, and where it is kept."""

    objectives: tuple[str, ...]
    measure: int
    again: int
    reference: str | None
    beside: tuple[str, ...]
    receptive_field: int
    threads: int
    timeout_s: float
    cluster: str | None
    store: str | None


def timed_options(function: Any) -> Any:
    """The options of a search by measured time, as ``timed``."""
    return packed(
        "timed",
        Timed,
        click.option(
            "--objective",
            "objectives",
            multiple=True,
            metavar="latency:RUNTIME[:PRECISION]",
            help="Search by measured time instead; repeat for the mean over several.",
        ),
        click.option(
            "--measure", type=Count(1, 10_000), default=24, show_default=True,
            help="Designs to measure.",
        ),
        click.option(
            "--again", type=Count(1, 50), default=3, show_default=True,
            help="The best so many are measured again, more tightly.",
        ),
        click.option(
            "--reference", type=MODEL, metavar="MODEL",
            help="What times are ratios to.  [default: the family's first preset]",
        ),
        click.option(
            "--beside", multiple=True, type=MODEL, metavar="MODEL",
            help="A model to measure beside the best, as in timm:resnet18@3x256x192; repeatable.",
        ),
        click.option(
            "--receptive-field", type=Count(1, 1 << 20), default=1, metavar="PIXELS",
            help="Least number of pixels, high and wide, that a place of the output sees.",
        ),
        click.option(
            "--threads", type=THREADS, default=1, show_default=True,
            help="Threads inside an operation.",
        ),
        click.option(
            "--timeout", "timeout_s", type=DURATION, default="30m", show_default=True,
            help="Kill a model that is silent this long; a runtime converts it in that time too.",
        ),
        cluster_option("Measure on a Dask scheduler, one task a design."),
        store_option,
    )(function)  # fmt: skip


def read_goals(texts: Sequence[str]) -> tuple[Goal, ...]:
    """``latency:onnxruntime:fp32`` and the like, several parted by commas. Raises GadprofError."""
    from gadprof.errors import SpecError, UnknownNameError, nearest
    from gadprof.measuring.settings import DTYPES, RUNTIMES
    from gadprof.sweep.measured import Goal

    goals = []
    for text in (part.strip() for joined in texts for part in joined.split(",")):
        what, _, rest = text.partition(":")
        runtime, _, precision = rest.partition(":")
        if what != LATENCY or not runtime:
            raise SpecError(
                f"--objective {text!r} is not latency:RUNTIME[:PRECISION]; type latency:onnxruntime"
            )
        if runtime not in RUNTIMES:
            raise UnknownNameError(
                f"--objective {text!r}: unknown runtime {runtime!r}"
                + (nearest(runtime, RUNTIMES) or f"; one of {', '.join(RUNTIMES)}")
            )
        if precision and precision not in DTYPES:
            raise UnknownNameError(
                f"--objective {text!r}: unknown precision {precision!r}; one of {', '.join(DTYPES)}"
            )
        goals.append(Goal(runtime, precision or "fp32"))
    if len(set(goals)) != len(goals):
        raise SpecError("--objective names one latency twice; leave one out")
    return tuple(goals)


def search_by_time(
    space: Any, limits: Any, timed: Timed, *, seed: int, limit: int, out: Output
) -> int:
    """Run the search and show it; 130 where Ctrl-C ended it."""
    from gadprof.commands.show import show
    from gadprof.measuring.designs import check_runnable
    from gadprof.networks.spec import families
    from gadprof.render.progress import Working
    from gadprof.results.plain import describe_machine
    from gadprof.store.store import chosen_path
    from gadprof.sweep.candidates import Wish
    from gadprof.sweep.measured import run_measured
    from gadprof.sweep.measured_page import measured_page
    from gadprof.workers.folders import private_folder

    goals = read_goals(timed.objectives)
    settings = {goal.text: _setting(goal, timed.threads) for goal in goals}
    for setting in settings.values():
        check_runnable(setting)
    reference = timed.reference or families()[space.family].presets[0].name
    for name in (reference, *timed.beside):
        _check_input(name, space.axis("input").values)
    path = chosen_path(timed.store)
    kept = _kept(path, settings, timed.cluster)
    with Working("search:", timed.measure) as work, private_folder() as folder:
        meter = _Meter(settings, timed, Path(folder), seed)
        result = run_measured(
            space, goals, Wish(limits, timed.receptive_field), reference=reference,
            measure=meter.measure, known=_kept_timings(kept, reference),
            blocks=_kept_blocks(kept), beside=timed.beside, count=timed.measure,
            again=timed.again, seed=seed, on_step=work.at,
        )  # fmt: skip
    where = f"every measurement is kept in {path}" if path else "nothing was kept (--store off)"
    show(out, measured_page(result, describe_machine(), limit=limit, where=where))
    if result.interrupted:
        way = (
            "the same command goes on from what is kept"
            if path
            else "give --store FILE to be able to go on"
        )
        tell(f"gadprof: interrupted after {len(result.designs)} designs; {way}")
        return 130
    return 0


def _check_input(name: str, shapes: Sequence[Sequence[int]]) -> None:
    """Refuse a model that is timed at another input than the designs. Raises SpecError."""
    from gadprof.errors import SpecError
    from gadprof.models.sources import resolve

    source = resolve(name)
    size = "x".join(map(str, shapes[0]))
    if source.inputs or source.spec is None:
        if len(source.inputs) != 1 or source.inputs[0].shape != tuple(shapes[0]):
            model = name.partition("@")[0]
            raise SpecError(f"{name} has to take the designs' input; type {model}@{size}")
    elif len(shapes) > 1 or tuple(shapes[0]) != source.spec.default_input:
        raise SpecError(
            f"a search by measured time takes one input size, that of {name}; leave --input out"
        )


def _setting(goal: Goal, threads: int) -> Setting:
    from gadprof.measuring.settings import read_runtime

    return read_runtime(f"{goal.runtime}:{goal.precision}", threads=threads)


class _Meter:
    """Times models here or on a cluster, and keeps what it measured."""

    def __init__(
        self, settings: Mapping[str, Setting], timed: Timed, folder: Path, seed: int
    ) -> None:
        self._settings, self._timed = settings, timed
        self._folder, self._seed = folder, seed

    def measure(self, models: Sequence[str], goal: Goal, tight: bool) -> Mapping[str, Timing]:
        """A timing for each model; the first is the reference."""
        from gadprof.measuring.designs import Run, measure_designs
        from gadprof.store.recording import MeasurementRecorder

        precision, each_s = TIGHT if tight else QUICK
        run = Run(
            tuple(models), self._settings[goal.text], precision, each_s * len(models),
            self._timed.timeout_s, launches=None if tight else 1, seed=self._seed,
        )  # fmt: skip
        if self._timed.cluster is not None:
            return timings_of(self._on_cluster(run))
        with MeasurementRecorder(self._timed.store) as recorder:
            result = measure_designs(run, self._folder, recorder.turn)
            recorder.finish(result)
        if result.interrupted:
            raise KeyboardInterrupt
        return timings_of(result)

    def _on_cluster(self, run: Run) -> BenchResult:
        from gadprof.cluster.clients import cluster_bench

        assert self._timed.cluster is not None
        options = {"memory_limit_bytes": None, **run.options}
        result: BenchResult = cluster_bench(
            self._timed.cluster, run.models, (run.setting,), options=options,
            store=self._timed.store,
        )  # fmt: skip
        return result


def timings_of(result: BenchResult) -> dict[str, Timing]:
    """The timing of every row, by model; a cluster's rows have their own reference's row before."""
    from gadprof.sweep.measured import Timing

    found: dict[str, Timing] = {}
    reference_s = None
    for row in result.rows:
        median = row.latency_s.median if row.latency_s else None
        if row.outcome == "reference":
            reference_s = median
        why = row.error or (row.ratio_absent if row.ratio is None else None)
        found[row.model] = Timing(
            row.ratio.value if row.ratio else None,
            row.ratio.ci95 if row.ratio else None,
            median, reference_s, why or None,
        )  # fmt: skip
    return found


# a goal, and an entry of the store that was measured for it
Kept = Sequence[tuple[str, "StoredResult"]]


def _kept_timings(kept: Kept, reference: str) -> dict[str, dict[str, Timing]]:
    """What earlier runs against this reference found, by goal and model.

    The reference's seconds follow from the ratio, as both are of one run.
    """
    from gadprof.sweep.measured import Timing

    found: dict[str, dict[str, Timing]] = {}
    for goal, entry in kept:
        assert entry.result is not None
        ratio, latency = entry.result.get("ratio"), entry.result.get("latency_s")
        if not ratio or not latency or entry.model == reference or ratio.get("to") != reference:
            continue
        median = latency["median"]
        found.setdefault(goal, {})[entry.model] = Timing(
            ratio["value"], tuple(ratio["ci95"]), median, median / ratio["value"]
        )
    return found


def _kept_blocks(kept: Kept) -> dict[str, dict[str, float]]:
    """The seconds of blocks that ``formula --measure`` kept, by goal and name."""
    found: dict[str, dict[str, float]] = {}
    for goal, entry in kept:
        assert entry.result is not None
        seconds = (entry.result.get("latency_s") or {}).get("median")
        if entry.model.startswith("block:") and seconds and not entry.result.get("error"):
            found.setdefault(goal, {})[entry.model] = seconds
    return found


def _kept(path: Path | None, settings: Mapping[str, Setting], cluster: str | None) -> Kept:
    """Finished measurements under one of the settings, oldest first: of this machine, or of those
    of a cluster's workers, with that version of the runtime which measured last."""
    from gadprof.measuring.settings import Setting
    from gadprof.results.plain import describe_machine, to_plain
    from gadprof.store.store import Store

    if path is None or not path.exists():
        return ()
    if cluster is None:
        machines = [to_plain(describe_machine())]
    else:
        from gadprof.cluster.clients import cluster_machines

        machines = cluster_machines(cluster)
    same = {(machine["cpu"], machine["cores"]) for machine in machines}
    wanted = {goal: to_plain(setting) for goal, setting in settings.items()}
    usual = to_plain(Setting())  # of keys that an earlier version did not have
    with Store(path, create=False) as store:
        entries = store.entries(kinds=("measurement",))
    found = [
        (goal, entry)
        for entry in entries
        if entry.result is not None
        and (entry.machine.get("cpu"), entry.machine.get("cores")) in same
        for goal, plain in wanted.items()
        if {**usual, **entry.settings} == plain
    ]
    # blocks that formula kept do not say their runtime's version
    versions = {
        goal: version
        for goal, entry in found
        if entry.result and (version := entry.result.get("runtime_version"))
    }
    return tuple(
        (goal, entry)
        for goal, entry in found
        if entry.result and entry.result.get("runtime_version") in (None, versions.get(goal))
    )
