"""ONNX files counted from their graph against the torch count of the network that was exported.

Prints, for each network and exporter, parameters, MACs and FLOPs of both counts and whether they
are equal; exits 1 where parameters or MACs are not. Weights are drawn at random first: exporters
store equal tensors once and leave out biases of zeros, which fresh networks are full of and
trained ones are not. Batch normalisation is exported as it is (unfused).

    python benchmarks/onnx_against_torch.py [MODEL …] [--exporter dynamo|script]
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
import warnings
from pathlib import Path

import torch

import gadprof
from gadprof.counting.onnx.graph import count_onnx
from gadprof.models.sources import load

MODELS = (
    "hrnet32",
    "gadnet32",
    "ghost-se-hrnet32",
    "timm:mobilenetv2_100",
    "torchvision:resnet50",
    "torchvision:vit_b_16",
)


def with_random_weights(module: torch.nn.Module) -> torch.nn.Module:
    """The module with no two weights alike, as after training."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.uniform_(0.5, 1.5)
        for buffer in module.buffers():
            if buffer.is_floating_point():
                buffer.uniform_(0.5, 1.5)
    return module.eval()


def export(module: torch.nn.Module, sample: torch.Tensor, path: Path, exporter: str) -> None:
    """Export without folding batch normalisations."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if exporter == "dynamo":
            torch.onnx.export(
                module, (sample,), str(path), dynamo=True, optimize=False, verbose=False
            )
        else:
            torch.onnx.export(
                module, (sample,), str(path), dynamo=False,
                training=torch.onnx.TrainingMode.PRESERVE,
            )  # fmt: skip


def main() -> int:
    """Compare every network under every exporter."""
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="*", default=list(MODELS))
    parser.add_argument("--exporter", choices=("dynamo", "script"), action="append")
    options = parser.parse_args()
    print(f"torch {torch.__version__}")
    failed = 0
    for name in options.models:
        loaded = load(name)
        module = with_random_weights(loaded.module)
        torch_count = gadprof.count(module, loaded.args)
        for exporter in options.exporter or ("dynamo", "script"):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.onnx"
                export(module, loaded.args[0], path, exporter)
                start = time.perf_counter()
                found = count_onnx(str(path))
                took_s = time.perf_counter() - start
            equal = (found.params, found.macs) == (torch_count.params, torch_count.macs)
            failed += not equal or bool(found.uncovered)
            print(
                f"{name} {exporter}: params {found.params} (torch {torch_count.params}), "
                f"MACs {found.macs} (torch {torch_count.macs}), "
                f"FLOPs {found.flops} (torch {torch_count.flops}, "
                f"{found.flops - torch_count.flops:+d}), uncovered {dict(found.uncovered)}, "
                f"{'equal' if equal else 'DIFFERENT'}, counted in {took_s:.2f} s",
                flush=True,
            )
            if found.flops != torch_count.flops:
                ours, theirs = found.elementwise(), torch_count.elementwise()
                print(f"  elementwise: graph {ours}, torch {theirs}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
