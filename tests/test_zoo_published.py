"""Published tables: every figure's reading is found, shared, and equal to what is counted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import gadprof
from gadprof.audit.audit import observe_model
from gadprof.audit.claims import parse_claim
from gadprof.audit.conventions import read, total
from gadprof.audit.published import Row, explain_rows, rows
from gadprof.audit.published_kept import kept_rows
from gadprof.audit.reconcile import reconcile, reconcile_params
from gadprof.audit.scopes import SCOPES, scope_macs
from gadprof.report.zoo_page import zoo_page
from gadprof.results.plain import to_json

HERE = Path(__file__).resolve()
SMALL = str(HERE.with_name("small_models.py"))


def published(system: str, complexity: str, size: tuple[int, int], models: str, **more) -> Row:  # type: ignore[no-untyped-def]
    """A row of an invented table."""
    plain = Row(
        system, "", (3, *size), "", complexity, None, None, None, None, "", "a table", "", "",
        tuple(models.split()),
    )  # fmt: skip
    return replace(plain, **more)


def test_mmcvs_counter_adds_biases_norms_activations_pools_and_upsamples() -> None:
    trace, observation = observe_model(f"{SMALL}:Counted", ((3, 8, 8),))
    convolution, transposed = 3 * 4 * 9 * 8 * 8, 4 * 5 * 4 * 4 * 4
    assert trace.macs == convolution * 2 + transposed
    both = 2 * (convolution + 4 * 8 * 8)  # the convolution with its bias, run twice
    normalised, active = 2 * 4 * 8 * 8, 4 * 8 * 8
    pooled, enlarged = 4 * 8 * 8, 5 * 16 * 16
    assert total("mmcv", observation, trace) == (
        both + normalised + active + pooled + transposed + enlarged
    )


def test_torchstat_counts_a_module_once_and_one_map_of_an_upsample() -> None:
    trace, observation = observe_model(f"{SMALL}:Counted", ((3, 8, 8),))
    once = 3 * 4 * 9 * 8 * 8 + 4 * 8 * 8
    transposed = 4 * 5 * 4 * 4 * 4
    windows = 4 * 4 * 4 * 4
    normalised, active, positions = 2 * 4 * 8 * 8, 4 * 8 * 8, 16 * 16
    assert total("torchstat", observation, trace) == (
        once + normalised + active + windows + transposed + positions
    )
    reading = read("torchstat", observation, trace)
    assert reading.missed("conv", "convolution") == "module counted once although it runs twice"


@pytest.mark.parametrize(
    ("model", "claimed"), [("litehrnet18", "205.2M"), ("naive-litehrnet18", "194.8M")]
)
def test_lite_hrnets_figures_are_torchstats_in_units_of_2_to_the_20(
    model: str, claimed: str
) -> None:
    found = reconcile(model, claimed, conventions=("gadprof", "torchstat"), other_inputs=False)
    assert [(item.convention, item.giga) for item in found if item.within_digits] == [
        ("torchstat", "2^20")
    ]


def test_what_the_last_output_needs_leaves_supervision_heads_out() -> None:
    observed = observe_model("cpn50-torch:blocks=1-1-1-1,width=8,inner=4,joints=3", ((3, 64, 64),))
    (scope,) = [item for item in SCOPES if item.name == "last output alone"]
    positions = 16 * 16 + 8 * 8 + 4 * 4 + 2 * 2
    heads = (8 * 8 + 8 * 3 * 9) * positions
    assert scope_macs(scope, observed[0]) == observed[0].macs - heads
    params = observed[0].params - 4 * (8 * 8 + 2 * 8 + 8 * 3 * 9 + 2 * 3)
    scopes = [item.scope for item in reconcile_params(observed, str(params))]
    assert scopes == ["parameters that the last output needs"]


def test_a_network_of_one_output_has_no_scope_for_the_last_one() -> None:
    observed = observe_model("hrnet32:width=4,modules=1-1-1,blocks=1", ((3, 64, 64),))
    last = [item for item in SCOPES if "last output" in item.name]
    assert [scope_macs(item, observed[0]) for item in last] == [0, 0]


def test_a_table_is_read_in_the_way_that_gives_most_of_its_figures() -> None:
    small, large = "litehrnet18:modules=1-1-1", "naive-litehrnet18"
    figures = []
    for model in (small, large):
        trace, observation = observe_model(model, ((3, 64, 64),))
        figures.append(f"{total('torchstat', observation, trace) / 2**20:.3f}M")
    given = [
        published("one", figures[0], (64, 64), small),
        published("two", figures[1], (64, 64), large),
        published("three", "99G", (64, 64), large),
        published("four", figures[1], (64, 64), ""),
    ]
    found = explain_rows(given)
    assert [item.status for item in found] == [
        "explained", "explained", "not explained", "no builder",
    ]  # fmt: skip
    for item in found[:2]:
        assert item.reading is not None
        assert (item.reading.convention, item.shared, item.figures) == ("torchstat", 2, 3)
    assert found[2].nearest is not None
    assert found[2].nearest.convention == "torchstat"
    assert found[2].deviation is not None
    assert found[2].deviation < -0.99


def test_a_figure_may_be_another_one_scaled_by_the_inputs_area() -> None:
    model = "litehrnet18:modules=1-1-1"
    found = explain_rows(
        [
            published("a", "50G", (64, 64), model),
            published("a", "200.0G", (128, 128), model),
        ]
    )
    assert [item.status for item in found] == ["not explained", "scaled"]
    assert found[1].scaled_from == "50G at 64x64 x 4"


def test_every_row_of_the_data_names_its_source_and_reads() -> None:
    every = rows()
    assert len(every) > 150
    for row in every:
        assert row.paper, row
        assert row.where, row
        assert row.url.startswith("https://"), row
        assert row.complexity or row.params or row.ap is not None
        if row.complexity:
            parse_claim(row.complexity, "G")


def test_a_part_of_the_rows_prints_as_json(run_cli) -> None:  # type: ignore[no-untyped-def]
    code, out, err = run_cli("zoo", "--fresh", "--only", "Wider Naive", "--format", "json")
    assert code == 0, err
    payload = json.loads(out)
    assert payload["counts"] == {"alone": 1}  # one figure has no other to share its reading
    (row,) = payload["rows"]
    assert (row["macs"], row["params"]) == (346_050_048, 1_318_625)
    assert row["reading"]["convention"] == "torchstat"
    assert "Traceback" not in err


def test_without_fresh_the_kept_reading_answers_with_its_whole_source(run_cli) -> None:  # type: ignore[no-untyped-def]
    code, out, err = run_cli("zoo", "--only", "Wider Naive", "--format", "json")
    assert (code, err) == (0, "")
    (row,) = json.loads(out)["rows"]
    assert (row["macs"], row["params"]) == (346_050_048, 1_318_625)
    assert (row["status"], row["shared"]) == ("explained", 6)  # five more of Lite-HRNet's code


def test_what_is_kept_is_the_pages_data_and_only_of_todays_table() -> None:
    kept = kept_rows(rows())
    assert kept is not None
    data = json.loads((Path(__file__).parents[1] / "reports/data/zoo.json").read_text())
    assert json.loads(to_json(zoo_page(kept).json())) == data
    assert kept_rows(rows()[:-1]) is None


def test_the_zoo_writes_nothing_unasked(run_cli, tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    code, out, _ = run_cli("zoo", "--only", "Lite-HRNet-18")
    assert code == 0
    assert "Lite-HRNet-18" in out
    assert list(tmp_path.iterdir()) == []


def test_the_committed_page_is_that_of_the_kept_rows(run_cli) -> None:  # type: ignore[no-untyped-def]
    page = Path(__file__).parents[1] / "reports" / "zoo.md"
    code, out, err = run_cli("zoo", "--check", "-o", str(page))
    assert (code, err) == (0, "")
    assert "up to date" in out


@pytest.mark.parametrize("output_format", ["table", "md"])
def test_a_table_and_a_page_show_the_figure_its_reading_and_what_has_none(
    run_cli, monkeypatch, output_format: str
) -> None:  # type: ignore[no-untyped-def]
    from gadprof.audit import published as module

    model = "litehrnet18:modules=1-1-1"
    few = (
        published("ours", "99G", (64, 64), model, ap=50.0, data="COCO val2017"),
        published("absent", "1G", (64, 64), ""),
    )
    monkeypatch.setattr(module, "rows", lambda: few)
    code, out, err = run_cli("zoo", "--format", output_format)
    assert code == 0, err
    assert "no reading" in out
    assert f"{gadprof.cost(model, input=(3, 64, 64)).macs:,}".split(",")[0] in out
    if output_format == "md":
        assert "absent (a table" in out  # without a builder
        assert "plots/zoo-accuracy.svg" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("zoo", "--only", "Litehrnt"), "no published row holds 'Litehrnt'"),
        (("zoo", "--check", "--only", "hrnet"), "leave --only and --format out"),
        (("zoo", "-o", "/nowhere/zoo.md"), "does not exist"),
        (("zoo", "-o", "index.md"), "is no page's name"),
    ],
)
def test_bad_use_is_one_line_and_exit_code_2(
    run_cli, arguments: tuple[str, ...], words: str, tmp_path, monkeypatch
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    code, out, err = run_cli(*arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err
