"""Claims about the fit of predicted CUDA memory: which rows count, and what is found in them."""

from __future__ import annotations

import csv
import json
import pickle
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gadprof.memory.allocator import MIB
from gadprof.memory.peaks import run_steps
from gadprof.memory.step import answer

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import gpu_memory
from gpu_memory import Row, judged

BATCHES = (8, 16, 32, 64, 128)


def rows(*measured_mib: int, fake_mib: int = 100) -> list[Row]:
    """One model's rows, whose fake tensors grow with the batch."""
    return [
        Row("m", batch, mib * MIB, fake_mib * batch * MIB)
        for batch, mib in zip(BATCHES, measured_mib, strict=True)
    ]


@pytest.mark.parametrize(
    ("measured", "kept"),
    [
        ((2500, 3400, 5000, 8200, 14600), (8, 16, 32, 64, 128)),
        ((2035, 2035, 2035, 2035, 2035), ()),  # the same at every batch
        ((2500, 3400, 5000, 8200, 3900), (8, 16, 32, 64)),  # less than its tensors
        ((2500, 3400, 5000, 39000, 39000), (8, 16, 32)),  # a full card
        ((9000, 3400, 5000, 8200, 14600), (8, 16, 32, 64, 128)),  # one large workspace
    ],
)
def test_a_row_counts_unless_the_table_alone_shows_that_it_did_not_finish(
    measured: tuple[int, ...], kept: tuple[int, ...]
) -> None:
    found = judged(rows(*measured))
    assert tuple(row.batch for row in found if not row.unfinished) == kept


def test_the_fit_finds_the_numbers_that_a_table_was_made_with(tmp_path: Path) -> None:
    models, context, copies = ("lcnet_035", "test_resnet", "test_vit"), 1680, 2.0
    multiples = {**gpu_memory.START, "dense": 2.5}
    table, cache = tmp_path / "peaks.csv", tmp_path / "cache"
    cache.mkdir()
    with table.open("w", newline="") as stream:
        lines = csv.writer(stream)
        lines.writerow(["model", "batch", "measured_mib", "fake_tensor_peak_mib"])
        for model in models:
            request = {"model": f"timm:{model}", "inputs": (), "train": True, "dtype": "fp32"}
            step = answer(request)
            (cache / f"{model}.step").write_bytes(pickle.dumps(step))
            for batch in BATCHES:
                reserved = run_steps(step, batch, "sgd-momentum", multiples).reserved_peak
                whole = reserved / MIB + context + copies * step.input_bytes * batch / MIB
                lines.writerow([model, batch, whole, reserved / MIB / 2])
    output, page = tmp_path / "fit.json", tmp_path / "page.md"
    options = ["--peaks", table, "--cache", cache, "-o", output, "--page", page]
    done = CliRunner().invoke(gpu_memory.main, [str(option) for option in options])
    assert done.exit_code == 0, done.output
    found = json.loads(output.read_text())
    assert found["multiples"] == multiples
    assert found["context_bytes"] == context * MIB
    assert found["input_copies"] == copies
    assert found["cv"]["rows"] == len(models) * len(BATCHES)
    text = page.read_text()
    assert text.startswith("# Predicted CUDA memory of training\n\nThe peak of a training step")
    assert "0 of 15" in text  # no row is far off
