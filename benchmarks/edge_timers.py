"""gadprof's median of a runtime's file beside that runtime's own benchmark program, in alternation.

    python benchmarks/edge_timers.py --keep FOLDER [--models hrnet32,…] [--runtimes openvino,…]

Both run the very same file with one thread, each in a process of its own, taking turns so that
drift hits both alike; subnormals are flushed in both where the program can. OpenVINO's is
``benchmark_app``, LiteRT's ``litert-benchmark``; the wheels of ONNX Runtime, ExecuTorch, ncnn and
MNN bring no program, so that theirs is the loop of their documentation, without any of gadprof's
code. Wanted: the medians within 5 %, and the A/A interval of each runtime (two processes of
hrnet32's file) holding 1 in 90 % of the repetitions; exit 1 beyond.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics as stdlib_statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from gadprof.errors import GadprofError
from gadprof.measuring import schedule
from gadprof.measuring.bench import measure
from gadprof.measuring.kept import folder_of, kept, made_empty, shared_folder
from gadprof.measuring.launcher import convert, load, measuring_worker
from gadprof.measuring.runtimes.converted import read_manifest
from gadprof.measuring.settings import Setting, installed_runtimes
from gadprof.results.plain import describe_machine

MODELS = ("hrnet32", "gadnet32", "timm:mobilenetv2_100")
WANTED = 0.05
HEAD = """
import sys, time, statistics, numpy as np
path, folder, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
x = np.load(folder + "/samples.npz")["input_0_0"]
"""
TAIL = """
for _ in range(3): run()
taken, end = [], time.perf_counter() + seconds
while time.perf_counter() < end or len(taken) < 5:
    began = time.perf_counter(); run(); taken.append(time.perf_counter() - began)
print("MEDIAN", statistics.median(taken), "s")
"""
# the loop of each runtime's documentation
LOOPS = {
    "onnxruntime": """
import onnxruntime as ort
o = ort.SessionOptions(); o.intra_op_num_threads = 1
o.add_session_config_entry("session.set_denormal_as_zero", "1")
s = ort.InferenceSession(path, o, providers=["CPUExecutionProvider"])
feed = {s.get_inputs()[0].name: x}
run = lambda: s.run(None, feed)
""",
    "executorch": """
import torch
torch.set_flush_denormal(True); torch.set_num_threads(1)
from executorch.extension.pybindings import portable_lib
portable_lib._unsafe_reset_threadpool(1)
from executorch.runtime import Runtime
m = Runtime.get().load_program(path).load_method("forward")
given = [torch.from_numpy(x)]
run = lambda: m.execute(given)
""",
    "ncnn": """
import ncnn
net = ncnn.Net(); net.opt.num_threads = 1
net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
net.opt.use_bf16_storage = False
net.load_param(path); net.load_model(path[:-5] + "bin")
mat = ncnn.Mat(x, batch_index=0).clone()
def run():
    e = net.create_extractor(); e.input("in0", mat); return e.extract("out0")
""",
    "mnn": """
import MNN
net = MNN.Interpreter(path)
s = net.createSession({"backend": "CPU", "numThread": 1, "precision": "high"})
i, o = net.getSessionInput(s), net.getSessionOutput(s)
t = MNN.Tensor(x.shape, MNN.Halide_Type_Float, x, MNN.Tensor_DimensionType_Caffe)
r = MNN.Tensor(o.getShape(), MNN.Halide_Type_Float, np.zeros(o.getShape(), "f4"),
               MNN.Tensor_DimensionType_Caffe)
def run():
    i.copyFrom(t); net.runSession(s); o.copyToHostTensor(r)
""",
}


def own_median(runtime: str, path: str, folder: str, seconds: float) -> float:
    """Seconds by the runtime's own program, or by its documentation's loop."""
    if runtime == "openvino":
        words = [program("benchmark_app"), "-m", path, "-d", "CPU", "-api", "sync"]
        # a hint would choose the streams, and refuses a number of threads beside it
        words += ["-hint", "none", "-nstreams", "1", "-nthreads", "1", "-nireq", "1"]
        words += ["-t", str(max(1, round(seconds))), "-infer_precision", "f32"]
        return read(r"Median:\s*([\d.]+) (ms|us)", said(words))
    if runtime == "litert":
        words = [program("litert-benchmark"), f"--model={path}", "--num_threads=1"]
        pattern = r"Inference \(median\):\s*([\d.]+) (ms)"
        # it takes a number of runs, and no time
        guess = read(pattern, said([*words, "--num_runs=5", "--warmup_runs=3"]))
        count = max(5, round(seconds / max(guess, 1e-5)))
        return read(pattern, said([*words, f"--num_runs={count}", "--warmup_runs=3"]))
    code = HEAD + LOOPS[runtime] + TAIL
    out = said([sys.executable, "-c", code, path, folder, str(seconds)])
    return read(r"MEDIAN ([\d.e-]+) (s)", out)


def read(pattern: str, text: str) -> float:
    """Seconds from a figure and its unit. Raises RuntimeError where the text has none."""
    found = re.search(pattern, text)
    if found is None:
        raise RuntimeError(f"no median in what it printed; its last line: {last_line(text)}")
    return float(found[1]) * {"s": 1.0, "ms": 1e-3, "us": 1e-6}[found[2]]


def last_line(text: str) -> str:
    """The last line that says anything."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "nothing")


def program(name: str) -> str:
    """A program of the path, or the one beside this Python."""
    return shutil.which(name) or str(Path(sys.executable).with_name(name))


def said(words: list[str]) -> str:
    """What a program prints, one thread for every library. Raises RuntimeError where it fails.

    Its C library keeps freed memory, as that of gadprof's processes does (``probes.heap``).
    """
    heap = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "-1"}
    environment = {**os.environ, **heap, "OMP_NUM_THREADS": "1"}
    name = Path(words[0]).name
    try:
        done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=900)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RuntimeError(f"{name}: {error}") from error
    text = done.stdout + done.stderr
    if done.returncode:
        raise RuntimeError(f"{name} ended with {done.returncode}: {last_line(text)}")
    return text


def compared(
    model: str, runtime: str, keep: str, rounds: int, seconds: float
) -> tuple[float, float]:
    """The medians (s) of gadprof and of the runtime's own program, over alternating rounds."""
    setting = Setting(runtime=runtime)
    folder = folder_of(keep, model, setting, None)
    if kept(folder) is None:
        made_empty(folder)
        with measuring_worker() as worker:
            shared = shared_folder(keep, model, setting, None)
            convert(worker, model, setting, folder=folder, shared=shared, timeout_s=1800)
    path = read_manifest(folder)["path"]
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(rounds):
        theirs.append(own_median(runtime, path, folder, seconds))
        with measuring_worker() as worker:
            load(worker, model, setting, timeout_s=600, converted=kept(folder))
            ours.append(_median(worker, seconds))
    return stdlib_statistics.median(ours), stdlib_statistics.median(theirs)


def _median(worker: Any, seconds: float) -> float:
    finished, latency_s = False, 0.0
    while not finished:
        warm = worker.request("warmup", timeout_s=600, slice_s=1.0, limit_s=5.0)
        finished, latency_s = warm["finished"], warm["last_median_s"]
    taken: list[int] = []
    while sum(taken) < seconds * 1e9 or len(taken) < 5:
        count = schedule.turn_samples(latency_s)
        taken += worker.request("sample", timeout_s=600, count=count, refresh=1)["samples_ns"]
    return stdlib_statistics.median(taken) / 1e9


def against_itself(runtime: str, model: str, keep: str, repetitions: int) -> int:
    """In how many repetitions the interval of a file's ratio to itself holds 1."""
    held = 0
    for seed in range(repetitions):
        result = measure(
            [model, model],
            Setting(runtime=runtime),
            time_limit_s=8,
            null=False,
            memory=False,
            energy=False,
            seed=seed,
            keep=keep,
        )
        ratio = result.rows[1].ratio
        held += ratio is not None and ratio.ci95[0] <= 1 <= ratio.ci95[1]
    return held


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", required=True)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--runtimes", default="")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--repetitions", type=int, default=0, help="of A/A, each about 15 s")
    given = parser.parse_args()
    keep = os.path.abspath(given.keep)
    runtimes = given.runtimes.split(",") if given.runtimes else installed_runtimes()[1:]
    machine = describe_machine()
    print(f"{machine.cpu}, {machine.cores} cores, load average {os.getloadavg()[0]:.1f}")
    bad = 0
    for runtime in runtimes:
        for model in given.models.split(","):
            try:
                ours, theirs = compared(model, runtime, keep, given.rounds, given.seconds)
            except (RuntimeError, GadprofError) as error:
                bad += 1
                print(f"{runtime:12} {model:22} not compared: {error}", flush=True)
                continue
            gap = ours / theirs - 1
            bad += not abs(gap) <= WANTED
            print(
                f"{runtime:12} {model:22} gadprof {1e3 * ours:8.2f} ms, its own "
                f"{1e3 * theirs:8.2f} ms: {100 * gap:+.1f} %",
                flush=True,
            )
        if given.repetitions:
            first = given.models.split(",")[0]
            held = against_itself(runtime, first, keep, given.repetitions)
            bad += held < 0.9 * given.repetitions
            print(f"{runtime:12} A/A holds 1 in {held} of {given.repetitions}", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
