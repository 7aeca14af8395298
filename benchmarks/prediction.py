"""What a prediction costs beyond its trace: 20 models, and hrnet32 alone.

    python benchmarks/prediction.py [--device NAME] [--repeats N]

CPU time of this process, torch on one thread, everything imported before. Targets: 20 models in at
most 1.3 times the time of their traces; hrnet32 traced and predicted within 0.15 s, and on every
device within 0.3 s. The smallest of
the repeats is the one that a loaded machine disturbed least; the median is printed beside it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from statistics import median

import click
import torch

from gadprof.prediction.api import predict, predict_everywhere, predict_trace
from gadprof.prediction.fits import find_fit
from gadprof.prediction.tracing import trace_of
from gadprof.results.plain import describe_machine

MODELS = (
    *("hrnet32", "hrnet48", "gadnet32", "gadnet48", "ghost-hrnet32", "ghost-se-hrnet32"),
    *("gadnet32:s=4", "gadnet32:d=3", "hrnet32:width=16", "gadnet32:width=16"),
    *("timm:resnet18", "timm:resnet50", "timm:vgg11", "timm:mobilenetv3_small_100"),
    *("timm:efficientnet_b0", "timm:convnext_tiny", "timm:vit_tiny_patch16_224"),
    *("timm:regnety_008", "timm:densenet121", "timm:mixer_s32_224"),
)


def cpu_seconds(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    """The smallest and the median CPU time of a call."""
    times = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times), median(times)


@click.command()
@click.option("--device", default="rtx3090", show_default=True)
@click.option("--repeats", type=click.IntRange(min=1), default=5, show_default=True)
def main(device: str, repeats: int) -> None:
    """Print both figures beside their targets."""
    torch.set_num_threads(1)
    fit = find_fit(device, None)
    traces = [trace_of(model) for model in MODELS]  # also warms everything up
    for model, trace in zip(MODELS, traces, strict=True):
        predict_trace(model, trace, fit, 256)
    tracing, tracing_median = cpu_seconds(lambda: [trace_of(m) for m in MODELS], repeats)
    whole, whole_median = cpu_seconds(lambda: predict(MODELS, device, batch=256), repeats)
    one, one_median = cpu_seconds(lambda: predict(["hrnet32"], device, batch=256), 2 * repeats)
    click.echo(
        f"{len(MODELS)} models: traced in {tracing:.2f} s (median {tracing_median:.2f}), predicted "
        f"in {whole:.2f} s (median {whole_median:.2f}), {whole / tracing:.2f} x (at most 1.3)"
    )
    click.echo(f"hrnet32: {one:.3f} s (median {one_median:.3f}; at most 0.15)")
    all_s, all_median = cpu_seconds(lambda: predict_everywhere(["hrnet32"]), repeats)
    click.echo(f"hrnet32, every device: {all_s:.3f} s (median {all_median:.3f}; at most 0.3)")
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    click.echo(f"on {describe_machine().cpu}, {os.cpu_count()} cores, load {load}")


if __name__ == "__main__":
    main()
