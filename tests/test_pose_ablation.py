"""The ablation: exact costs beside trained accuracy, with an honest interval."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from gadprof.pose.ablation import Trained, Variant, mean_and_interval, variant_names
from gadprof.pose.pages import ablation_page
from gadprof.render.markdown import page_markdown
from gadprof.store.store import Store


def test_the_four_variants_are_counted_exactly(run_cli, tmp_path):
    code, _, _ = run_cli("ablate", "-o", str(tmp_path))
    payload = json.loads((tmp_path / "ablation.json").read_text())
    assert code == 0
    assert [item["params"] for item in payload["variants"]] == [
        28_536_113, 15_942_449, 16_118_577, 11_087_121,
    ]  # fmt: skip
    assert "gadnet32" in (tmp_path / "ablation.md").read_text()


def test_overrides_reach_every_variant():
    assert all(name.endswith(":width=8") for name in variant_names("width=8"))
    also = variant_names("width=8", ["edge-hrnet32", "hrnet32:block=ga"])[4:]
    assert also == ("edge-hrnet32:width=8", "hrnet32:block=ga,width=8")


def test_another_network_stands_beside_the_four(run_cli):
    code, out, _ = run_cli("ablate", "--also", "edge-hrnet32", "--format", "json")
    rows = json.loads(out)["variants"]
    assert code == 0
    assert [rows[0]["model"], rows[4]["model"]] == ["hrnet32", "edge-hrnet32"]
    assert (rows[4]["params"], rows[4]["macs"]) == (10_235_633, 2_107_342_848)
    assert "beside them edge-hrnet32" in run_cli("ablate", "--also", "edge-hrnet32")[1]


def test_one_seed_has_no_interval_and_two_equal_ones_have_none_wide():
    assert mean_and_interval([0.5]) == (0.5, None)
    pytest.importorskip("scipy", reason="needs gadprof[bench]")
    assert mean_and_interval([0.5, 0.5]) == (0.5, 0.0)
    mean, half = mean_and_interval([0.4, 0.6])
    assert mean == pytest.approx(0.5)
    assert half == pytest.approx(12.706 * 0.1, rel=1e-3)


def page_text(*arguments):
    return page_markdown(ablation_page(*arguments), str)


def variant(model: str, *scores: float) -> Variant:
    runs = tuple(Trained(n, SimpleNamespace(ap=ap), 1.0) for n, ap in enumerate(scores))
    return Variant(f"{model}:width=8", 10, 20, 0.0, 0.0, runs=runs)


def test_the_page_says_which_accuracies_the_seeds_tell_apart():
    pytest.importorskip("scipy", reason="needs gadprof[bench]")
    machine = SimpleNamespace(cpu="a processor", cores=2, system="a system")
    near = [variant("hrnet32", 0.5, 0.7), variant("gadnet32", 0.6, 0.7)]
    page = page_text(near, {"epochs": 4, "data": "sticks (9 persons)"}, machine)
    assert page.startswith("# Ablation on sticks: the four variants")
    assert "epochs 4, data sticks (9 persons)" in page
    assert "Each with width=8." in page
    assert "| hrnet32 | 10 | 0.0 % | 20 | 0.0 % | 60.0 % | 127.1 % | 50.0 %, 70.0 % |" in page
    assert "All intervals of AP overlap" in page
    far = [variant("hrnet32", 0.5, 0.501), variant("gadnet32", 0.9, 0.901)]
    assert "do not overlap: gadnet32 above hrnet32." in page_text(far, {}, machine)
    alone = [variant("hrnet32", 0.5), variant("gadnet32", 0.6)]
    assert "may be chance" in page_text(alone, {}, machine)


@pytest.mark.slow
def test_with_data_every_variant_is_trained_and_scored(run_cli, tmp_path):
    pytest.importorskip("lightning", reason="needs gadprof[pose]")
    pytest.importorskip("pycocotools", reason="needs gadprof[pose]")
    from gadprof.pose.synthetic import make_stick_figures

    data = make_stick_figures(tmp_path / "figures", train=6, val=3)
    (tmp_path / "out").mkdir()
    store = tmp_path / "results.sqlite"
    arguments = (
        "ablate", "--overrides", "width=2,modules=1-1-1,blocks=1-1-1-1", "--input", "64x64",
        "--data", str(data), "--epochs", "1", "--batch", "6", "--seeds", "0,1",
        "--runs", str(tmp_path / "runs"), "-o", str(tmp_path / "out"), "--store", str(store),
    )  # fmt: skip
    code, _, err = run_cli(*arguments)
    payload = json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert code == 0, err
    assert [len(item["runs"]) for item in payload["variants"]] == [2, 2, 2, 2]
    assert "One budget for all" in (tmp_path / "out" / "ablation.md").read_text()
    with Store(store) as opened:
        kept = opened.entries(kinds=("accuracy",))
    assert len(kept) == 8
    assert kept[-1].settings["note"].endswith("seed 1")

    # finished runs are not trained again
    code, _, err = run_cli(*arguments)
    assert code == 0, err
    second = json.loads((tmp_path / "out" / "ablation.json").read_text())
    for before, after in zip(payload["variants"], second["variants"], strict=True):
        for run, rerun in zip(before["runs"], after["runs"], strict=True):
            assert rerun["weights_sha256"] == run["weights_sha256"]
            assert rerun["scores"] == run["scores"]
            assert rerun["train_s"] is None
            assert run["train_s"] > 0


@pytest.mark.parametrize("seeds", ["a", "-3", "1,1", ""])
def test_seeds_that_are_no_seeds_are_refused(run_cli, seeds: str):
    code, _, err = run_cli("ablate", "--seeds", seeds)
    assert code == 2
    assert "type for example 0,1,2" in err


def test_an_override_that_no_variant_has_is_refused(run_cli):
    code, _, err = run_cli("ablate", "--overrides", "widht=8")
    assert code == 2
    assert "did you mean 'width'" in err
