"""Writes the JSON Schema of every command from what the command really prints.

Run it after a command's JSON gained a key: ``python benchmarks/schemas.py [COMMAND…]``. The tests
hold real output against the files; a key that went or changed its type fails them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from gadprof.pose.synthetic import make_stick_figures

FOLDER = Path(__file__).resolve().parents[1] / "gadprof" / "data" / "schemas"
# each command's runs; {tmp} is a folder of the run's own, with what PREPARED makes in it
RUNS: dict[str, list[str]] = {
    "compare": [
        "compare hrnet32 gadnet32 nosuchmodel",
        "compare hrnet32 torchvision:mobilenet_v2 --backends fvcore",
        "compare hrnet32 gadnet32 --accuracy published",
    ],
    "count": [
        "count hrnet32",
        "count hrnet32 --by op",
        "count torchvision:mobilenet_v2 --train",
    ],
    "diff": [
        "diff hrnet32 hrnet32:block=cbam --device rtx4090 --fail-on macs",
        "diff {tmp}/compare.json hrnet32",
    ],
    "shapes": ["shapes gadnet32"],
    "formula": [
        "formula --c-in 64",
        "formula --c-in 32,64 --block ga,conv",
        "formula --c-in 8 --hw 8x8 --verify",
    ],
    "models": ["models", "models --knobs gadnet32"],
    "rules": ["rules", "rules conv"],
    "audit": ["audit gadnet32:width=8 --input 3x64x64"],
    "reconcile": [
        "reconcile hrnet32 --claimed 7.10G --params 28.5M",
        "reconcile hrnet32 --claimed 99G",
    ],
    "zoo": ["zoo"],
    "paper": ["paper"],
    "bench": [
        "bench gadnet32:width=8 hrnet32:width=8 --input 3x64x64 --time-limit 3s",
        "bench gadnet32:width=8 --input 3x64x64 --time-limit 1s --no-null --no-memory",
        "bench {tmp}/toy.py:build --input 3x64x64 --runtime onnxruntime --time-limit 1s",
    ],
    "explain": [
        "explain gadnet32:width=8 hrnet32:width=8 --input 3x64x64 --time-limit 3s",
        "explain hrnet32:width=8,modules=1-1-1,blocks=1-1-2-2 --advise --input 3x64x64 "
        "--time-limit 30s",
    ],
    "predict": [
        "predict hrnet32 gadnet32 --device rtx3090",
        "predict hrnet32 --device rtx3090 --batch 1",
        "predict hrnet32 --device samsung-galaxy-s24",
        "predict hrnet32 --device h100 --batch 512 --power 500",
    ],
    "fit": ["fit gadnet32 --device 24GiB"],
    "export": [
        "export {tmp}/toy.py:build --input 64x64 --to onnx -o {tmp}/toy.onnx",
        "export {tmp}/toy.py:build --input 64x64 --to ncnn -o {tmp}/toy.param",
    ],
    "sweep": [
        "sweep gadnet --width 16:64:8 --s 2,3 --max macs=3G",
        "sweep gadnet --width 16,32 --latency rtx3090 --front latency,params:max",
    ],
    "search": [
        "search gadnet --width 16:64:8 --s 2,3 --trials 20 --population 8",
        "search hrnet --width 8 --modules 1-1-1 --blocks 1:2-1:2-1:2-1 --stage1 8 --bottlenecks 1 "
        "--objective latency:eager --measure 5 --again 1 --reference "
        "hrnet32:width=8,modules=1-1-1,blocks=1-1-1-1",
    ],
    "report": ["report hrnet32 gadnet32 -o {tmp}/report"],
    "check": ["check --no-latency --config {root}/gadprof.toml"],
    "history": ["history --store {tmp}/store.sqlite", "history hrnet32 --store {tmp}/store.sqlite"],
    "ablate": ["ablate"],
    "doctor": ["doctor --store off"],
    "train": ["train {tmp}/toy.py:build --data {tmp} --input 64x64 --epochs 2 -o {tmp}/run"],
    "evaluate": [
        "evaluate {tmp}/toy.py:build --weights {tmp}/kept/weights.pt --data {tmp}",
        "evaluate {tmp}/toy.py:build --weights {tmp}/kept/weights.pt --data {tmp} "
        "--runtime onnxruntime",
    ],
    "detect": ["detect {tmp}/toy.py:build --weights {tmp}/kept/weights.pt --image {picture}"],
    "redundancy": ["redundancy gadnet32:width=8 --image {picture} --input 64x64"],
    "calibrate": ["calibrate --from csv {tmp}/times.csv -o {tmp}/mine.json"],
}
TOY = """from torch import nn

def build():
    return nn.Sequential(
        nn.Conv2d(3, 8, 5, 4, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 17, 3, 1, 1)
    )
"""
TIMES = """model,batch,input,latency
hrnet32:width=8,1,3x64x64,0.021
gadnet32:width=8,1,3x64x64,0.026
ghost-hrnet32:width=8,1,3x64x64,0.034
hrnet32:width=16,1,3x64x64,0.029
gadnet32:width=16,1,3x64x64,0.033
ghost-se-hrnet32:width=8,1,3x64x64,0.041
"""  # fmt: skip
# objects whose keys are names of things, not of fields
MAPS = {
    "packages", "backends", "uncovered", "elementwise", "totals", "latency", "refused", "by_class",
    "max", "min", "axes", "symbols", "substituted", "derived", "inputs", "verified", "hyper",
    "causes", "settings", "result", "machine_settings", "counts", "tables", "environment",
    "classes", "stages", "figures", "difference", "relative", "change_percent", "scores",
    "timings", "surrogates", "file_layers",
}  # fmt: skip
UNITS = {"_s": "seconds", "_bytes": "bytes", "_percent": "per cent", "_ratio": "a ratio"}


def main() -> None:
    wanted = sys.argv[1:] or list(RUNS)
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        prepare(folder)
        for name in wanted:
            samples = [run(line, folder) for line in RUNS[name]]
            schema = {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "title": f"gadprof {name} --format json",
                **merged(samples, ""),
            }
            if "properties" in schema:  # keypoints are a list, in COCO's own format
                schema["properties"]["schema_version"] = {"const": 1}
            (FOLDER / f"{name}.json").write_text(
                json.dumps(schema, indent=1, ensure_ascii=False) + "\n"
            )
            print(f"{name}: {len(samples)} runs", flush=True)


def prepare(folder: str) -> None:
    """The files that some runs read."""
    run(f"compare hrnet32 -o {folder}/compare.json", folder, json_out=False)
    run(f"compare hrnet32 --store {folder}/store.sqlite", folder)
    make_stick_figures(Path(folder), train=4, val=2, seed=0)
    (Path(folder) / "toy.py").write_text(TOY)
    (Path(folder) / "times.csv").write_text(TIMES)
    run(RUNS["train"][0].replace("/run", "/kept"), folder)


def run(line: str, folder: str, *, json_out: bool = True) -> Any:
    root = str(FOLDER.parents[2])
    picture = str(next(iter(sorted(Path(folder).glob("val2017/*"))), ""))
    line = line.replace("{tmp}", folder).replace("{root}", root).replace("{picture}", picture)
    words = line.split()
    more = ["--format", "json"] if json_out else []
    done = subprocess.run(
        [sys.executable, "-m", "gadprof", *words, *more], capture_output=True, text=True, cwd=folder
    )
    if done.returncode not in (0, 1, 2) or (json_out and not done.stdout):
        sys.exit(f"{line}: {done.stderr}")
    return json.loads(done.stdout) if json_out else None


def merged(samples: list[Any], key: str) -> dict[str, Any]:
    """The schema that all samples of one place obey."""
    kinds = sorted({kind_of(sample) for sample in samples})
    if "integer" in kinds and "number" in kinds:
        kinds.remove("integer")
    made: dict[str, Any] = {"type": kinds[0] if len(kinds) == 1 else kinds} if kinds else {}
    unit = next((word for end, word in UNITS.items() if key.endswith(end)), None)
    if unit:
        made["description"] = f"in {unit}"
    items = [item for sample in samples if isinstance(sample, list) for item in sample]
    if items:
        made["items"] = merged(items, "")
    objects = [sample for sample in samples if isinstance(sample, dict)]
    if objects and key in MAPS:
        values = [value for sample in objects for value in sample.values()]
        if values:
            made["additionalProperties"] = merged(values, "")
    elif objects:
        keys = dict.fromkeys(name for sample in objects for name in sample)
        made["properties"] = {
            name: merged([sample[name] for sample in objects if name in sample], name)
            for name in keys
        }
        made["required"] = [name for name in keys if all(name in sample for sample in objects)]
    return made


def kind_of(value: Any) -> str:
    if value is None:
        return "null"
    for kind, word in ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"),
                       (list, "array")):  # fmt: skip
        if isinstance(value, kind):
            return word
    return "object"


if __name__ == "__main__":
    main()
