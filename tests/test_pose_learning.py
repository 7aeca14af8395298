"""Training learns: held-out stick figures, from an AP of 0 to one of a half and more."""

from __future__ import annotations

from pathlib import Path

import pytest

for package in ("lightning", "cv2", "pycocotools"):
    pytest.importorskip(package, reason="needs gadprof[pose]")

from gadprof.models.sources import build_module, resolve
from gadprof.pose.coco import find_split, load_people
from gadprof.pose.evaluate import evaluate
from gadprof.pose.inference import InferenceSettings
from gadprof.pose.settings import make_settings
from gadprof.pose.synthetic import make_stick_figures
from gadprof.pose.training import RunSettings, sample_settings, train

# a thin stage 1 and few blocks leave the time for more steps
MODEL = "gadnet32:width=16,stage1=8,bottlenecks=1,modules=1-1-1,blocks=1"


@pytest.mark.slow
def test_a_short_run_on_stick_figures_lifts_the_held_out_ap_to_a_half(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    folder = make_stick_figures(tmp_path / "figures", train=256, val=24, seed=0)
    settings = make_settings(
        MODEL,
        "paper",
        {
            "height": 96, "width": 64, "epochs": 5, "batch": 8, "lr": 4e-3, "schedule": "cosine",
            "augment": False, "unbiased": True, "foreground": 5.0,
        },
    )  # fmt: skip
    source = resolve(MODEL)
    held_out = find_split(folder, "val2017")
    people = load_people(held_out)
    inference = InferenceSettings(sample_settings(settings), "dark", flip=False)
    before, _ = evaluate(build_module(source), held_out, people, inference)
    module = train(
        lambda: build_module(source),
        load_people(find_split(folder, "train2017")),
        settings,
        RunSettings(tmp_path / "run", accelerator="cpu", logger="none", save_every=5),
    )
    after, _ = evaluate(module.final, held_out, people, inference)
    assert before.ap < 0.05
    assert after.ap >= 0.5
