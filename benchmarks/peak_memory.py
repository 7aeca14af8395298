"""Peak activation memory as a trace predicts it, against torch's CPU allocator in a real run.

python benchmarks/peak_memory.py [--train] [--model NAME ...] [--write FILE.json]
python benchmarks/peak_memory.py --page reports/peak-memory.md --data FILE.json [--data FILE.json]

Predicted: ``allocator_peak_bytes`` of a count on the meta device, which is the most that live maps
(the model's input included) and a kernel's own buffers held at once; weights are in neither.
Measured: every allocation and release of torch's CPU allocator in one real run, replayed, plus the
input; float32, one thread, oneDNN on, as torch is by default. ``--train`` is a forward and a
backward pass in training mode from a gradient of ones, weight gradients included, from none.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from gadprof.render.markdown import page_markdown
from gadprof.results.cells import percent_text, share_text
from gadprof.results.page import Page, Section
from gadprof.results.table import Column, Table

WITHIN = 0.02

# small members of many families whose training step is quick; a smaller input where one can be
TRAINED = (
    "hrnet32", "gadnet32", "ghost-hrnet32", "torchvision:alexnet", "torchvision:vgg11_bn",
    "torchvision:resnet18", "torchvision:resnet50", "torchvision:resnext50_32x4d",
    "torchvision:densenet121", "torchvision:squeezenet1_1", "torchvision:mobilenet_v2",
    "torchvision:mobilenet_v3_small", "torchvision:shufflenet_v2_x0_5", "torchvision:mnasnet0_5",
    "torchvision:efficientnet_b0", "torchvision:swin_t", "torchvision:vit_b_32",
    "timm:seresnet18", "timm:res2net50_14w_8s", "timm:ghostnet_100", "timm:lcnet_050",
    "timm:mixnet_s", "timm:dla34", "timm:hrnet_w18_small", "timm:repvgg_a0", "timm:mobilevit_xxs",
    "timm:levit_128s", "timm:poolformer_s12", "timm:convnextv2_atto", "timm:caformer_s18",
    "timm:vit_tiny_patch16_224", "timm:cait_xxs24_224", "timm:xcit_nano_12_p16_224",
    "timm:pit_ti_224", "timm:twins_svt_small", "timm:pvt_v2_b0", "timm:mixer_s32_224",
    "timm:resmlp_12_224", "timm:gmlp_s16_224", "timm:eca_nfnet_l0", "timm:starnet_s1",
    "timm:repvit_m0_9",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One model: bytes of activations alone, with kernels' buffers, and as they were recorded."""

    model: str
    input: tuple[int, ...]
    peak_activation_bytes: int
    predicted_bytes: int
    measured_bytes: int
    error: float


def compared(model: str, shapes: tuple[tuple[int, ...], ...], *, train: bool) -> Row:
    """Predict and measure one model at batch 1. Raises GadprofError and what the model raises."""
    import torch

    from gadprof.counting.count import count
    from gadprof.measuring.probes.memory import peak_of, recorded_changes
    from gadprof.models.sources import load

    loaded = load(model, shapes=shapes)
    module = loaded.module.train(train)
    trace = count(module, loaded.args, loaded.kwargs, train=train)
    if trace.device != "meta":
        raise RuntimeError(f"traced on the CPU ({trace.note})")

    def run() -> Any:
        if not train:
            with torch.inference_mode():
                return module(*loaded.args, **loaded.kwargs)
        output = module(*loaded.args, **loaded.kwargs)
        wanted = [item for item in _tensors(output) if item.requires_grad]
        torch.autograd.backward(wanted, [torch.ones_like(item) for item in wanted])
        return output

    given = sum(item.numel() * item.element_size() for item in loaded.args)
    measured = peak_of(recorded_changes(run)) + given
    return Row(
        model,
        tuple(loaded.args[0].shape),
        trace.peak_activation_bytes,
        trace.allocator_peak_bytes,
        measured,
        trace.allocator_peak_bytes / measured - 1,
    )


def _tensors(value: Any) -> list[Any]:
    if hasattr(value, "requires_grad"):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [item for part in value or () for item in _tensors(part)]


METHOD = (
    "Predicted from a trace on the meta device: the most that live maps, the input included, and "
    "the buffers of convolution kernels held at once; weights are in neither. Allocated: every "
    "allocation and release of torch's CPU allocator in one real run, replayed, plus the input. "
    "Float32, batch 1, one thread, oneDNN on, as torch is by default. A training step is a forward "
    "and a backward pass from a gradient of ones, weight gradients included."
)


def page(results: list[dict[str, Any]]) -> str:
    """The page of some results, as Markdown."""
    first = results[0]
    count = len(first["rows"])
    worst = max(first["rows"], key=lambda row: abs(row["error"]))
    words = (
        f"The peak of {first['what']} that a trace predicts lies within "
        f"{share_text(first['within'], 0)} of what torch allocated for {first['near']} of {count} "
        f"models, and equals it to the byte for {first['equal']}. The largest error is "
        f"{percent_text(1 + worst['error'], 2)}, of {worst['model']}."
    )
    sections = [
        Section("summary", "Summary", (words,)),
        Section("method", "What was compared", (METHOD,)),
        *(_section(result) for result in results),
    ]
    command = "python benchmarks/peak_memory.py --page reports/peak-memory.md"
    command += "".join(f" --data reports/data/{name}" for name in DATA_FILES[: len(results)])
    made = Page("peak-memory", TITLE, tuple(sections), {}, command)
    return page_markdown(made, str, [(name, f"data/{name}") for name in DATA_FILES[: len(results)]])


TITLE = "Peak activation memory, predicted and allocated"
DATA_FILES = ("peak-memory.json", "peak-memory-train.json")


def _section(result: dict[str, Any]) -> Section:
    rows = result["rows"]
    live = sum(
        abs(row["peak_activation_bytes"] / row["measured_bytes"] - 1) <= result["within"]
        for row in rows
    )
    columns = (
        Column("model", "model"),
        Column("input", "input"),
        Column("peak_activation_bytes", "live maps (bytes)", "count"),
        Column("predicted_bytes", "predicted (bytes)", "count"),
        Column("measured_bytes", "allocated (bytes)", "count"),
        Column("error", "error", "change", digits=2),
    )
    cells = tuple(
        (
            row["model"],
            "x".join(map(str, row["input"])),
            row["peak_activation_bytes"],
            row["predicted_bytes"],
            row["measured_bytes"],
            1 + row["error"],
        )
        for row in sorted(rows, key=lambda row: -abs(row["error"]))
    )
    words = [
        f"{result['near']} of {len(rows)} models within {share_text(result['within'], 0)} "
        f"({share_text(result['near'] / len(rows))}), {result['equal']} equal to the byte; without "
        f"the kernels' buffers {live}. torch {result['torch']}, {result['cpu']} "
        f"({result['capability']}).",
    ]
    words += [f"Left out: {model}, {reason}" for model, reason in result["left_out"].items()]
    kind = result["what"].capitalize()
    table = Table("rows", f"{kind}, the largest errors first", columns, cells)
    return Section("rows", kind, tuple(words), (table,))


@click.command()
@click.option("--page", "page_file", type=click.Path(dir_okay=False), help="Write a page instead.")
@click.option("--data", multiple=True, type=click.Path(exists=True), help="What the page shows.")
@click.option("--train", is_flag=True, help="A training step instead of a forward pass.")
@click.option("--model", "models", multiple=True, help="These models instead of the list.")
@click.option("--write", type=click.Path(dir_okay=False), help="Leave the result as JSON too.")
def main(
    page_file: str | None,
    data: tuple[str, ...],
    train: bool,
    models: tuple[str, ...],
    write: str | None,
) -> None:
    """Compare model after model and state the share that is within 2 %."""
    if page_file:
        results = [json.loads(Path(name).read_text(encoding="utf-8")) for name in data]
        Path(page_file).write_text(page(results), encoding="utf-8")
        return
    import warnings

    import torch

    from gadprof.audit.audit_list import MODELS
    from gadprof.networks.spec import parse_shape
    from gadprof.results.plain import describe_machine

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows: list[Row] = []
    left_out: dict[str, str] = {}
    for model in models or (TRAINED if train else tuple(MODELS)):
        text = MODELS.get(model, "")
        try:
            row = compared(model, (parse_shape(text),) if text else (), train=train)
        except Exception as error:
            left_out[model] = " ".join(f"{type(error).__name__}: {error}".split())
            click.echo(f"{model}: left out, {left_out[model]}")
            continue
        rows.append(row)
        click.echo(
            f"{model:40s} live {row.peak_activation_bytes:13,d}  predicted "
            f"{row.predicted_bytes:13,d}  measured {row.measured_bytes:13,d}  {row.error:+.2%}"
        )
    near = sum(abs(row.error) <= WITHIN for row in rows)
    exact = sum(row.error == 0 for row in rows)
    machine = describe_machine(("torch", "timm", "torchvision"))
    capability = torch.backends.cpu.get_cpu_capability()
    click.echo(
        f"{near} of {len(rows)} within {WITHIN:.0%} ({near / max(len(rows), 1):.1%}), {exact} "
        f"equal to the byte; torch {importlib.metadata.version('torch')}, {machine.cpu} "
        f"({capability})"
    )
    if write:
        result = {
            "schema_version": 1,
            "what": "training step" if train else "inference",
            "torch": importlib.metadata.version("torch"),
            "cpu": machine.cpu,
            "capability": capability,
            "system": platform.system(),
            "threads": 1,
            "within": WITHIN,
            "near": near,
            "equal": exact,
            "rows": [asdict(row) for row in rows],
            "left_out": left_out,
        }
        Path(write).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
