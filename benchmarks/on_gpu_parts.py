"""The parts of the run on a card: each measures within its time and returns plain data.

Every part runs on the CPU as well, so that its code is tested without a card. A row that fails says
why and costs no other. The workers are started once and live through all parts: a load replaces
the model that they held.
"""

from __future__ import annotations

import io
import itertools
import random
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from gadprof.errors import GadprofError
from gadprof.measuring.block_pairs import WorkerPair as Workers
from gadprof.measuring.conclusions import conclude
from gadprof.measuring.entry import Entry, RunLimits
from gadprof.measuring.group_run import GroupRun
from gadprof.measuring.launcher import load as load_into
from gadprof.measuring.progress import Silent
from gadprof.measuring.result import BenchRow
from gadprof.measuring.settings import Setting
from gadprof.workers.process import WorkerFailedError

if TYPE_CHECKING:
    from gadprof.measuring.worker import Held

__all__ = ["Workers"]

ROOT = Path(__file__).parents[1]
NETWORKS = ("hrnet32", "ghost-hrnet32", "ghost-se-hrnet32", "gadnet32")
FACTORY = "gadprof.audit.verify:block_example"
# HRNet's maps at its default input: channels, height, width
MAPS = ((32, 64, 48), (64, 32, 24), (128, 16, 12), (256, 8, 6))
KERNELS = ((3, 3, 2), (3, 5, 4), (1, 3, 2))  # k, d, s
BLOCKS = ("ghost", "ghost-se", "ga", "gd")
# of every family something early, so that a run that is cut short has seen many
MODELS_TEXT = """
    resnet50 vit_base_patch16_224 efficientnet_b0 convnext_tiny mobilenetv3_large_100
    swin_tiny_patch4_window7_224 regnety_032 densenet121 hrnet_w32 mixer_b16_224 resnet18
    deit_small_patch16_224 efficientnetv2_rw_s convnext_small mobilenetv2_100 maxvit_tiny_rw_224
    regnetx_032 vgg16 dla34 pvt_v2_b1 resnext50_32x4d vit_small_patch16_224 efficientnet_b3
    convnextv2_nano mnasnet_100 coatnet_0_rw_224 ghostnet_100 inception_v3 repvgg_a2
    poolformer_s12 wide_resnet50_2 beit_base_patch16_224 tf_efficientnetv2_s convmixer_768_32
    lcnet_100 swinv2_tiny_window8_256 regnetz_040 cspresnet50 res2net50_26w_4s
    xcit_tiny_12_p16_224 resnet101 vit_tiny_patch16_224 efficientnet_lite0 edgenext_small
    mobilevit_s twins_svt_small gernet_m darknet53 dpn68 cait_xxs24_224 seresnet50
    eva02_tiny_patch14_224 mixnet_m inception_next_tiny fbnetc_100 gmlp_s16_224 rexnet_100
    vovnet39a selecsls42b volo_d1_224 resnet34 levit_128 tinynet_a focalnet_tiny_srf
    hardcorenas_a crossvit_9_240 ese_vovnet19b_dw resnest14d skresnet18 tnt_s_patch16_224
    mobileone_s1 visformer_tiny repvit_m1 coat_lite_tiny semnasnet_100 nest_tiny nf_regnet_b1
    pit_s_224 hgnet_tiny efficientformer_l1
    """
MODELS = tuple(MODELS_TEXT.split())


@dataclass(frozen=True)
class Sizes:
    """How much of everything is measured, and how long one comparison may take (s)."""

    points: int
    graphs: int
    batches: tuple[int, ...]
    networks: tuple[str, ...]
    repetitions: int
    memory_models: int
    latency_models: int
    latency_batches: tuple[int, ...]
    pair_s: float
    group_s: float
    explained: tuple[str, ...]
    compiled: bool


SMALLEST = ("timm:lcnet_035", "timm:lcnet_050")
WHOLE = Sizes(240, 48, (1, 8, 32, 128), NETWORKS, 20, 60, 80, (1, 64), 0.25, 1.2,
              ("hrnet32", "gadnet32"), True)  # fmt: skip
SMALL = Sizes(2, 1, (1,), SMALLEST, 2, 1, 1, (1, 2), 0.5, 0.5, SMALLEST, False)


@dataclass(frozen=True)
class Run:
    """Where and how long a part may run: its device, its workers, and when it must end."""

    device: str
    workers: Workers
    sizes: Sizes = WHOLE
    until: float = float("inf")
    clock: Callable[[], float] = time.perf_counter

    @property
    def on_cuda(self) -> bool:
        """Whether the device is a card."""
        return self.device.startswith("cuda")

    def left(self) -> float:
        """Seconds until the part must end."""
        return self.until - self.clock()

    def setting(self, **fields: Any) -> Setting:
        """A setting on the run's device."""
        return Setting(device=self.device, **fields)

    def hold(self, model: str, setting: Setting) -> Held:
        """A model held in this process, as a worker would hold it."""
        from gadprof.measuring.worker import serve

        request = {"operation": "load", "model": model, "factory": None}
        held, _ = serve({**request, "setting": asdict(setting)}, None)
        assert held is not None
        return held

    def build(self, model: str) -> tuple[Any, tuple[int, ...]]:
        """A model string's module on the device, and its input's shape without the batch."""
        from gadprof.models.sources import load, resolve

        loaded = load(resolve(model), device=self.device)
        return loaded.module, loaded.input_shapes[0]

    def compare(
        self,
        setting: Setting,
        members: Sequence[tuple[str, Mapping[str, Any] | None]],
        seconds: float,
        *,
        energy: bool = False,
    ) -> list[BenchRow]:
        """Interleaved rows of models (or factories) under one setting, in workers that live on."""
        entries = [
            Entry(str(number), name, setting, None if factory is None else dict(factory))
            for number, (name, factory) in enumerate(members)
        ]
        seats = itertools.count()
        limits = RunLimits(0.03, seconds, max(20.0, self.left()), warm_up_s=seconds, grace=10.0)
        group = GroupRun(
            entries,
            limits,
            share_s=seconds,
            spawn=lambda *_: self.workers.get(f"seat {next(seats)}"),
            clock=self.clock,
            seed=0,
            null=False,
            extras=(True, energy),
            progress=Silent(),
            position=(1, 1),
        )
        group.go()
        if group.interrupted:
            raise KeyboardInterrupt
        return list(conclude(group)[1].values())


def plain_row(row: BenchRow) -> dict[str, Any]:
    """A row as plain data, without its samples."""
    latency, ratio = row.latency_s, row.ratio
    return {
        "model": row.model,
        "latency_s": latency.median if latency else None,
        "latency_ci95": latency.ci95 if latency else None,
        "ratio": ratio.value if ratio else None,
        "ratio_ci95": ratio.ci95 if ratio else None,
        "peak_bytes": row.peak_bytes,
        "reserved_bytes": (row.memory or {}).get("reserved_bytes"),
        "energy_j": (row.energy or {}).get("joules_per_run"),
        "energy_absent": (row.energy or {}).get("reason", ""),
        "sensors": row.sensors,
        "error": row.error,
    }


def tests(run: Run) -> dict[str, Any]:
    """``pytest -m cuda``: how many passed, and what failed."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-m", "cuda", "-p", "no:cacheprovider",
                   f"--junitxml={report}", "tests"]  # fmt: skip
        if run.sizes is SMALL:
            command[-1] = "tests/test_measuring_cuda.py"
        try:
            subprocess.run(
                command, cwd=ROOT, timeout=max(run.left(), 1.0), capture_output=True, check=False
            )
        except subprocess.TimeoutExpired:
            return {"skipped": "they did not end in their time"}
        if not report.exists():
            return {"failed": "pytest wrote no report"}
        return read_report(report)


def read_report(report: Path) -> dict[str, Any]:
    """How many tests of a JUnit file ran, and the message of each that failed."""
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    failures = {}
    for case in cases:
        for kind in ("failure", "error"):
            found = case.find(kind)
            if found is not None:
                failures[case.get("name", "")] = str(found.get("message", ""))[:300]
    skipped = sum(case.find("skipped") is not None for case in cases)
    return {"ran": len(cases) - skipped, "skipped_tests": skipped, "failures": failures}


def theory(run: Run) -> dict[str, Any]:
    """The closed forms' grid: Rs beside measured speed-up and ratio of peak memory.

    One batch in single precision and one in half precision of every point first; then CUDA graphs,
    the two other pairings, and channels last.
    """
    from gadprof.formulas.formula import formula

    points = [
        {"block": block, "inputs": {"c_in": c, "c_out": c, "k": k, "d": d, "s": s, "h": h, "w": w}}
        for k, d, s in KERNELS
        for c, h, w in MAPS
        for block in BLOCKS
    ]
    random.Random(0).shuffle(points)
    plain = [{"batch": 1, "dtype": "fp32"}, {"batch": 32, "dtype": "fp16"}]
    crossed = [{"batch": 32, "dtype": "fp32"}, {"batch": 1, "dtype": "fp16"}]
    last = [{"batch": 32, "dtype": "fp16", "channels_last": True}]
    wanted = [(point, ways) for ways in plain for point in points][: run.sizes.points]
    if run.on_cuda:
        graph = {"batch": 1, "dtype": "fp32", "cuda_graph": True}
        wanted += [(point, graph) for point in points][: run.sizes.graphs]
    more = [(point, ways) for ways in (*crossed, *last) for point in points]
    wanted += more[: max(0, run.sizes.points - len(wanted))]
    rows: list[dict[str, Any]] = []
    for point, ways in wanted:
        if run.left() < 2.0:
            break
        block, inputs = str(point["block"]), dict(point["inputs"])
        told = formula(block, **{key: v for key, v in inputs.items() if key in _inputs_of(block)})
        found = run.compare(
            run.setting(**ways),
            [
                ("conv", _factory("conv", inputs)),
                (block, _factory(block, inputs)),
            ],
            run.sizes.pair_s,
        )
        rows.append({"block": block, **inputs, **ways, "rs": told.Rs, "rs_macs": told.Rs_macs,
                     **_speed_up(*found)})  # fmt: skip
    return {"rows": rows, "planned": len(wanted)}


def _inputs_of(block: str) -> tuple[str, ...]:
    shared = ("c_in", "c_out", "k", "d", "s", "h", "w")
    return (*shared, "r") if block in ("ghost-se", "ga", "gd") else shared


def _factory(block: str, inputs: Mapping[str, int]) -> dict[str, Any]:
    used = ("c_in", "c_out", "k", "h", "w") if block == "conv" else _inputs_of(block)
    chosen = {key: value for key, value in inputs.items() if key in used}
    return {"function": FACTORY, "arguments": {"block": block, "inputs": chosen}}


def _speed_up(reference: BenchRow, block: BenchRow) -> dict[str, Any]:
    """Measured speed-up and memory ratio of a pair, or why there is none."""
    error = reference.error or block.error
    if error or block.ratio is None:
        return {"error": error or block.ratio_absent}
    low, high = block.ratio.ci95
    memory = None
    if reference.peak_bytes and block.peak_bytes:
        memory = reference.peak_bytes / block.peak_bytes
    return {
        "speed_up": 1 / block.ratio.value,
        "speed_up_ci95": [1 / high, 1 / low],
        "memory_ratio": memory,
        "latency_s": block.latency_s.median if block.latency_s else None,
    }


def networks(run: Run) -> dict[str, Any]:
    """The paper's networks by batch and way of running, ratios to the first of them."""
    ways: list[tuple[str, dict[str, Any]]] = [("eager", {})]
    if run.on_cuda:
        ways += [
            ("CUDA graph", {"cuda_graph": True}),
            ("fp16, channels last", {"dtype": "fp16", "channels_last": True}),
            ("fp16", {"dtype": "fp16"}),
            ("bf16", {"dtype": "bf16"}),
            ("channels last", {"channels_last": True}),
        ]
    groups: list[dict[str, Any]] = []
    # every way at one batch before the next batch, the two ends first
    order = sorted(run.sizes.batches, key=lambda batch: (batch not in (1, 32), batch))
    wanted = [(way, fields, batch) for batch in order for way, fields in ways]
    if run.sizes.compiled and run.on_cuda:
        wanted.append(("torch.compile", {"runtime": "compile"}, 32))
    for way, fields, batch in wanted:
        needed = 60.0 if fields.get("runtime") else 5.0
        if run.left() < (needed if run.on_cuda else 2.0):
            continue
        found = run.compare(
            run.setting(batch=batch, **fields),
            [(name, None) for name in run.sizes.networks],
            run.sizes.group_s,
            energy=way in ("eager", "fp16, channels last"),
        )
        groups.append({"way": way, "batch": batch, "rows": [plain_row(row) for row in found]})
    return {"groups": groups, "planned": len(wanted)}


def agreement(run: Run) -> dict[str, Any]:
    """A block against itself, again and again; and other timers beside gadprof's."""
    inputs = {"c_in": 128, "c_out": 128, "k": 3, "h": 16, "w": 12}
    same = _factory("conv", inputs)
    repeated: list[dict[str, Any]] = []
    for _ in range(run.sizes.repetitions):
        if run.left() < 6.0 and repeated:
            break
        rows = run.compare(run.setting(batch=8), [("a", same), ("b", same)], run.sizes.pair_s)
        repeated.append(_speed_up(*rows))
    timers = []
    for batch in run.sizes.batches[:3:2]:
        if run.left() < 2.0 and timers:
            break
        timers.append(_timers(run, run.sizes.networks[-1], batch))
    return {"a_a": repeated, "timers": timers}


def _timers(run: Run, model: str, batch: int) -> dict[str, Any]:
    """One model's median (s) by gadprof's timer, torch's and, where it is there, Triton's."""
    import torch
    from torch.utils.benchmark import Timer

    from gadprof.measuring.worker import release

    held = run.hold(model, run.setting(batch=batch))
    for _ in range(3):
        held.run()
    count = 30 if run.on_cuda else 3
    found: dict[str, Any] = {"model": model, "batch": batch}
    found["gadprof_s"] = median(held.sample(held.run, count)) / 1e9
    timer = Timer("run()", globals={"run": held.run}, num_threads=torch.get_num_threads())
    found["torch_s"] = timer.blocked_autorange(min_run_time=0.5).median
    if run.on_cuda:
        try:
            from triton.testing import do_bench

            found["triton_s"] = do_bench(held.run, return_mode="median") / 1e3
        except (ImportError, RuntimeError) as error:
            found["triton_absent"] = f"{type(error).__name__}: {error}"
    found["gadprof_again_s"] = median(held.sample(held.run, count)) / 1e9
    release(held)
    return found


def memory(run: Run) -> dict[str, Any]:
    """The allocator's peaks of a forward pass and a training step, predicted before measured."""
    from gadprof.memory.peaks import predict_peaks
    from gadprof.memory.step import answer

    rows = []
    batch = 8 if run.on_cuda else 1
    for model in _models(run, run.sizes.memory_models):
        for mode in ("infer", "train"):
            if run.left() < 4.0:
                return {"rows": rows, "planned": 2 * run.sizes.memory_models}
            row: dict[str, Any] = {"model": model, "mode": mode, "batch": batch}
            rows.append(row)
            try:
                step = answer({"model": row["model"], "inputs": (), "train": mode == "train",
                               "dtype": "fp32"})  # fmt: skip
                told = predict_peaks(step, batch, "none")
                row["predicted_tensor_bytes"] = told.tensor_peak_bytes
                row["predicted_allocator_bytes"] = told.allocator_peak_bytes
                worker = run.workers.get("seat 0")
                limit = max(run.left(), 5.0)
                setting = run.setting(batch=batch, mode=mode)
                load_into(worker, row["model"], setting, timeout_s=limit)
                worker.request("warmup", timeout_s=limit, slice_s=0.3, limit_s=0.3)
                use = worker.request("memory", timeout_s=limit)
                row["allocated_bytes"] = use["peak_bytes"]
                row["reserved_bytes"] = use["reserved_bytes"]
            except (GadprofError, WorkerFailedError) as error:
                row["error"] = no_room(str(error), row)
    return {"rows": rows, "planned": 2 * run.sizes.memory_models}


def _models(run: Run, count: int) -> list[str]:
    return list(SMALLEST[:count]) if run.sizes is SMALL else [f"timm:{m}" for m in MODELS[:count]]


def no_room(reason: str, row: Mapping[str, Any]) -> str:
    """An error in one line; of a card without room, with what the trace says is needed."""
    line = " ".join(reason.split())[:200]
    needs = row.get("predicted_allocator_bytes")
    if "out of memory" in line.lower() and needs:
        return f"no room: needs about {needs / 2**30:.1f} GiB by its trace ({line[:80]})"
    return line


def explained(run: Run) -> dict[str, Any]:
    """Kernels by class, launch-bound share and roofline, as ``gadprof explain`` says them."""
    from gadprof.measuring.explain.explain import explain
    from gadprof.render.tables import render

    batch = 32 if run.on_cuda else 1
    found = explain(
        run.sizes.explained,
        run.setting(batch=batch),
        time_limit_s=min(6 * run.sizes.group_s, max(1.0, run.left() / 6)),
        timeout_s=max(run.left(), 20.0),
    )
    return {
        "models": list(run.sizes.explained),
        "batch": batch,
        "page": render(found.page(), "md"),
        "peaks": found.peaks,
    }


def latency(run: Run) -> dict[str, Any]:
    """Latency of timm models in both layouts, each predicted before it is measured."""
    from gadprof.measuring.explain.roofline import sheets

    card = ""
    if run.on_cuda:
        import torch

        name = torch.cuda.get_device_name(run.device)
        card = known_card(name, list(sheets()))
    models = _models(run, run.sizes.latency_models)
    rows: list[dict[str, Any]] = []
    for model in models:
        if run.left() < 2.0:
            break
        rows += _latencies(run, model, card)
    return {"card": card, "dtype": "amp" if run.on_cuda else "fp32", "rows": rows,
            "planned": len(models)}  # fmt: skip


def known_card(name: str, keys: Sequence[str]) -> str:
    """The data sheet whose name is in a card's own, "" where none is."""
    text = "".join(name.lower().split()).replace("-", "")
    found = [key for key in keys if key.replace("-", "") in text]
    return max(found, key=len, default="")


def _latencies(run: Run, model: str, card: str) -> list[dict[str, Any]]:
    """One model's rows: predicted first, then measured in this process."""
    import torch

    from gadprof.measuring.runtimes.eager import step
    from gadprof.measuring.worker import wall_samples
    from gadprof.prediction.api import predict_trace
    from gadprof.prediction.fits import find_fit
    from gadprof.prediction.tracing import trace_of

    rows: list[dict[str, Any]] = []
    amp: dict[str, Any] = {"dtype": "fp16", "amp": True} if run.on_cuda else {}
    sample: Callable[[Callable[[], Any], int], list[int]] = wall_samples
    if run.on_cuda:
        from gadprof.measuring.probes.cuda import EventTimer

        sample = EventTimer(torch.cuda).sample
    try:
        module, shape = run.build(model)
        trace = trace_of(model) if card else None
    except Exception as error:
        return [{"model": model, "error": f"{type(error).__name__}: {str(error)[:200]}"}]
    for layout, batch in itertools.product(("nchw", "nhwc"), run.sizes.latency_batches):
        row: dict[str, Any] = {"model": model, "batch": batch, "layout": layout,
                               "input": list(shape)}  # fmt: skip
        rows.append(row)
        if trace is not None:
            try:
                told = predict_trace(model, trace, find_fit(card, layout), batch)
                row["refused"] = told.refused
                row["predicted_s"] = (told.predicted_latency_s or {}).get("value")
                row["predicted_ci95"] = (told.predicted_latency_s or {}).get("interval95")
            except GadprofError as error:
                row["refused"] = str(error)
        try:
            kind = torch.channels_last if layout == "nhwc" else torch.contiguous_format
            module = module.to(memory_format=kind)
            place = next(module.parameters()).device
            x = torch.randn(batch, *shape, device=place).to(memory_format=kind)
            call = step(module, (x,), {}, run.setting(batch=batch, **amp))
            for _ in range(3):
                call()
            once = sample(call, 1)[0] / 1e9
            count = max(5, min(30, int(0.15 / once))) if run.on_cuda else 3
            row["latency_s"] = median(sample(call, count)) / 1e9
        except RuntimeError as error:
            row["error"] = " ".join(str(error).split())[:200]
    return rows


def calibration_files(found: Mapping[str, Any]) -> dict[str, str]:
    """For each layout the lines that ``gadprof calibrate`` reads, where any was measured."""
    files = {}
    for layout in ("nchw", "nhwc"):
        out = io.StringIO()
        out.write("model,batch,input,latency\n")
        lines = 0
        for row in found.get("rows", ()):
            if row.get("layout") == layout and row.get("latency_s"):
                shape = "x".join(map(str, row["input"]))
                out.write(f"{row['model']},{row['batch']},{shape},{row['latency_s']:.6g}\n")
                lines += 1
        if lines:
            files[layout] = out.getvalue()
    return files
