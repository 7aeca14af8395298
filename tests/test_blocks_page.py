"""Where blocks pay is said from intervals alone, in words, as a table and as a heat map."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gadprof.commands.formula_runtimes import groups_of
from gadprof.formulas.formula import Formula, formula
from gadprof.measuring import block_groups
from gadprof.measuring.block_groups import BlockGroup
from gadprof.measuring.block_pairs import MeasuredPair
from gadprof.measuring.settings import Setting
from gadprof.report.blocks_page import bytes_a_mac, heat, point_table, verdict, words

SIZES = ((32, 64, 48), (64, 32, 24), (128, 16, 12), (256, 8, 6))
ORT = Setting(runtime="onnxruntime")


def points_of(*blocks: str) -> list[Formula]:
    return [formula(block, c_in=c, c_out=c, h=h, w=w) for block in blocks for c, h, w in SIZES]


def pair(speed_up: float | None, half: float = 0.05) -> MeasuredPair:
    if speed_up is None:
        return MeasuredPair(None, None, None, error="the runtime refused it")
    return MeasuredPair(speed_up, (speed_up - half, speed_up + half), None, 1e-3 / speed_up, 1e-3)


@pytest.mark.parametrize(
    ("speed_ups", "said"),
    [
        ((1.2, 1.3, 1.4, 1.5), "pays at every size"),
        ((0.8, 0.7, 0.6, 0.5), "pays at no size, is slower at every size"),
        ((0.8, 1.02, 0.6, 0.5), "pays at no size"),
        ((0.8, 1.3, 1.4, 1.5), "pays from 64 ch. 32×24 up"),
        ((1.3, 1.3, 1.02, 0.5), "pays up to 64 ch. 32×24"),
        ((1.3, 0.9, 1.4, 0.5), "pays at 32 ch. 64×48, 128 ch. 16×12"),
        ((None, None, None, None), "the runtime refused it"),
        ((1.2, None, 1.4, 1.5), "pays at every size that was measured"),
        ((0.8, 0.7, None, 0.5), "pays at no size, is slower at every size that was measured"),
        ((0.8, 1.3, None, 1.5), "pays at 64 ch. 32×24, 256 ch. 8×6"),
    ],
)
def test_a_designer_reads_where_a_block_pays(
    speed_ups: tuple[float | None, ...], said: str
) -> None:
    pairs = [pair(value) for value in speed_ups]
    assert verdict(points_of("ghost"), pairs, "ghost") == said


def test_blocks_that_pay_alike_share_a_clause() -> None:
    points = points_of("ghost", "ga")
    said = words(points, [(ORT, [pair(1.5)] * 8)])
    assert said == ["In onnxruntime: ghost, ga pay at every size."]
    said = words(points, [(ORT, [pair(0.5)] * 8)])
    assert said == ["In onnxruntime: ghost, ga pay at no size, are slower at every size."]


# ghost at 64 channels: 18,720 weights against 36,864; at twice the speed a MAC takes
# 36864 / 18720 / 2 times the convolution's time
def test_time_a_mac_is_of_the_block_over_the_convolutions() -> None:
    points = [formula("ghost", c_in=64, c_out=64, h=32, w=24)]
    table = point_table(points, [(ORT, [pair(2.0)])])
    keys, rows = table.exact()
    row = dict(zip(keys, rows[0], strict=True))
    assert row["mac_time_ratio"] == pytest.approx(36_864 / 18_720 / 2)
    assert row["mac_s"] == pytest.approx(0.5e-3 / (18_720 * 32 * 24))


# a 1x1 of 8 x 8 channels at 4x4: reads 8·16 inputs and 64 weights, writes 8·16, in fp32; then
# normalisation (reads and writes 8·16 and reads 4·8) and ReLU (reads and writes 8·16)
def test_bytes_a_mac_worked_out_by_hand() -> None:
    point = formula("conv", c_in=8, c_out=8, k=1, h=4, w=4)
    convolution = 128 + 64 + 128
    normalisation, relu = 128 + 32 + 128, 128 + 128
    wanted = 4 * (convolution + normalisation + relu) / (64 * 16)
    assert bytes_a_mac(point) == pytest.approx((wanted, wanted))


def test_a_heat_map_has_a_cell_a_block_and_size_and_marks_what_is_unsure() -> None:
    from gadprof.render.plots import render_plot

    points = points_of("ghost", "ga")
    pairs = [pair(v) for v in (0.5, 1.0, 1.5, 2.0, None, 1.2, 0.9, 4.0)]
    plot = heat(points, pairs, ORT)
    assert plot.data["lines"] == ["ghost", "ga"]
    assert [cell["value"] for cell in plot.data["cells"][0]] == [0.5, 1.0, 1.5, 2.0]
    assert [cell["sure"] for cell in plot.data["cells"][0]] == [True, False, True, True]
    assert plot.data["cells"][1][0] == {"value": None, "sure": False}
    svg = render_plot(plot, "svg").decode()
    assert all(text in svg for text in ("0.50", "4.00", "–", "ghost", "256 ch. 8×6"))


def test_blocks_of_one_size_share_one_convolution_and_a_stride_has_its_own() -> None:
    groups = groups_of([*points_of("ghost", "ga"), formula("gd", c_in=32, c_out=32)])
    assert [len(group.names) for group in groups] == [3, 3, 3, 3, 2]
    assert all(group.names[0].startswith("block:conv:") for group in groups)
    assert "stride=2" in groups[-1].names[0]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[BlockGroup]:
    asked: list[BlockGroup] = []

    def measure(group: BlockGroup, *_: object, **__: object) -> dict[str, MeasuredPair]:
        asked.append(group)
        return {name: pair(2.0 if "ghost" in name else 0.5) for name in group.names[1:]}

    monkeypatch.setattr(block_groups, "measure_group", measure)
    return asked


COMMAND = ("formula", "--block", "ghost,ga", "--at", "32:64x48,64:32x24", "--measure",
           "--runtime", "onnxruntime,openvino:int8", "--store", "off")  # fmt: skip


def test_the_command_says_it_for_each_runtime_and_writes_a_page(
    measured: list[BlockGroup], run_cli: Any, tmp_path: Path
) -> None:
    page = tmp_path / "blocks.md"
    code, out, err = run_cli(*COMMAND, "--page", str(page))
    assert code == 0
    flat = " ".join(out.split())
    assert (
        "In onnxruntime: ga pays at no size, is slower at every size; ghost pays at every" in flat
    )
    assert "In openvino int8: ga pays" in flat
    text = page.read_text()
    assert "| ghost | pays at every size | pays at every size |" in text
    assert (tmp_path / "plots").is_dir()
    document = json.loads((tmp_path / "data" / "blocks.json").read_text())
    assert [one["setting"]["dtype"] for one in document["runtimes"]] == ["fp32", "int8"]
    assert len(measured) == 4
    assert str(page.name) in err


def test_points_of_a_stopped_page_are_not_measured_again_those_of_a_whole_one_are(
    measured: list[BlockGroup],
    run_cli: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = block_groups.measure_group

    def stopped(group: BlockGroup, setting: Setting, **options: Any) -> dict[str, MeasuredPair]:
        if len(measured) == 3:
            raise KeyboardInterrupt
        return whole(group, setting, **options)

    page = str(tmp_path / "blocks.md")
    monkeypatch.setattr(block_groups, "measure_group", stopped)
    assert run_cli(*COMMAND, "--page", page)[0] == 130
    monkeypatch.setattr(block_groups, "measure_group", whole)
    assert run_cli(*COMMAND, "--page", page)[0] == 0
    assert len(measured) == 4
    assert not list((tmp_path / "data").glob("*.part.jsonl"))
    run_cli(*COMMAND, "--page", page)
    assert len(measured) == 8


def test_the_store_holds_the_convolution_beside_its_blocks(
    run_cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gadprof.store.store import Store

    def measure(group: BlockGroup, setting: Setting, **options: Any) -> dict[str, MeasuredPair]:
        for place, name in enumerate(group.names):
            options["on_turn"](place, name, setting, [1e-3])
        return {name: pair(2.0) for name in group.names[1:]}

    monkeypatch.setattr(block_groups, "measure_group", measure)
    path = tmp_path / "store.sqlite"
    command = ("formula", "--block", "ghost", "--c-in", "8", "--measure", "--runtime", "eager")
    assert run_cli(*command, "--store", str(path))[0] == 0
    with Store(path, create=False) as store:
        entries = store.entries(kinds=("measurement",))
    medians = {e.model.split(":")[1]: e.result and e.result["latency_s"] for e in entries}
    assert medians == {"conv": {"median": 1e-3}, "ghost": {"median": 0.5e-3}}


@pytest.mark.parametrize(
    ("words_", "said"),
    [
        (
            ("--at", "32:64x48", "--c-in", "32"),
            "--at says the channels and sizes; leave --c-in out",
        ),
        (("--at", "64x48"), "'64x48' is not C:HxW; type 64:32x24"),
        ((), "no channels; type for example --c-in 64, or --at 64:32x24"),
        (("--c-in", "8", "--runtime", "eager"), "--runtime is where --measure times blocks"),
        (("--c-in", "8", "--measure", "--runtime", "onnx"), "unknown runtime 'onnx'"),
        (("--c-in", "8", "--measure", "--runtime", "eager:int8"), "eager has no int8 here"),
        (("--c-in", "8", "--measure", "--runtime", "eager,eager"), "or one twice"),
        (
            ("--block", "conv", "--c-in", "8", "--k", "3,5", "--measure", "--runtime", "eager"),
            "conv comes twice at 8 ch. 64×48, with another k; --runtime takes a block once a size",
        ),
    ],
)
def test_bad_use_is_one_line(run_cli: Any, words_: tuple[str, ...], said: str) -> None:
    code, out, err = run_cli("formula", *words_)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
