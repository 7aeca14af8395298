"""A report's measured sections, on what the commands really wrote (tests/recorded).

The files are the output of, at --input 3x128x96 and with --format json:
bench, explain and audit --backends fvcore of hrnet32:width=8 gadnet32:width=8, and
formula --block ga,ghost --cin 32,64 --hw 32x24 --d 3 --measure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gadprof.report.data import read_data
from gadprof.report.gather import Report, gather
from gadprof.results.page import Section

RECORDED = Path(__file__).resolve().parent / "recorded"
MODELS = ("hrnet32:width=8", "gadnet32:width=8")
SHAPE = ((3, 128, 96),)


def recorded(name: str) -> Any:
    return json.loads((RECORDED / f"{name}.json").read_text())


def section(report: Report, key: str) -> Section:
    (found,) = [part for part in report.sections if part.key == key]
    return found


@pytest.fixture(scope="module")
def report() -> Report:
    names = ("bench", "audit", "explain", "formula")
    data = [str(RECORDED / f"{name}.json") for name in names]
    return gather(MODELS, shapes=SHAPE, data=data)


def cells(report: Report, key: str, table: str) -> list[dict[str, Any]]:
    (found,) = [item for item in section(report, key).tables if item.key == table]
    keys = [column.key for column in found.columns]
    return [dict(zip(keys, row, strict=True)) for row in found.rows]


def test_every_recorded_file_is_recognised() -> None:
    found = read_data([str(path) for path in sorted(RECORDED.glob("*.json"))])
    assert set(found.latency) == set(found.audits) == set(MODELS)
    assert {profile["model"] for profile in found.profiles} == set(MODELS)
    assert len(found.formula_points) == 4


def test_the_latency_stands_with_its_input_and_setting(report: Report) -> None:
    rows = cells(report, "latency", "latency")
    bench = recorded("bench")["rows"]
    assert [row["median_s"] for row in rows] == [r["latency_s"]["median"] for r in bench]
    assert [row["ratio_high"] for row in rows] == [r["ratio"]["ci95"][1] for r in bench]
    assert {row["input"] for row in rows} == {"3×128×96"}
    assert {row["setting"] for row in rows} == {"cpu fp32 eager 1 thread"}


def test_the_measured_speed_up_is_one_over_the_measured_ratio(report: Report) -> None:
    (row,) = cells(report, "theory", "theory")
    ratio = recorded("bench")["rows"][1]["ratio"]
    assert row["speed_up"] == 1 / ratio["value"]
    assert (row["speed_up_low"], row["speed_up_high"]) == (
        1 / ratio["ci95"][1],
        1 / ratio["ci95"][0],
    )
    comparison = cells(report, "comparison", "comparison")
    assert row["fewer_macs"] == pytest.approx(comparison[0]["macs"] / comparison[1]["macs"])
    assert row["share_of_theory"] == pytest.approx(row["speed_up"] / row["fewer_macs"])


def test_every_measured_block_stands_beside_its_theory(report: Report) -> None:
    rows = cells(report, "theory", "blocks-measured")
    points = recorded("formula")["points"]
    assert [row["Rs_macs"] for row in rows] == [point["Rs_macs"] for point in points]
    assert [row["speed_up"] for row in rows] == [p["measured"]["speed_up"] for p in points]
    (plot,) = [plot for plot in section(report, "theory").plots if plot.key == "blocks"]
    assert {point["group"] for point in plot.data["points"]} == {"ga", "ghost"}


def test_a_profiles_classes_and_its_whole_stand_under_the_measured_roof(report: Report) -> None:
    explained = recorded("explain")
    rows = cells(report, "roofline", "roofline")
    for model in explained["models"]:
        own = [row for row in rows if row["model"] == model["model"]]
        assert own[0]["part"] == "(all)"
        assert own[0]["time_s"] == model["latency_s"]
        assert [row["part"] for row in own[1:]] == [part["name"] for part in model["by_class"]]
        assert sum(row["time_s"] for row in own[1:]) == pytest.approx(model["latency_s"])
        assert sum(row["flops"] or 0 for row in own[1:]) == own[0]["flops"] == model["flops"]
    (plot,) = section(report, "roofline").plots
    (line,) = plot.data["lines"]
    peaks = explained["peaks"]
    assert line["points"][1:] == [
        [peaks["flops_per_s"] / peaks["bytes_per_s"], peaks["flops_per_s"]],
        [line["points"][2][0], peaks["flops_per_s"]],
    ]
    assert line["points"][0][1] == pytest.approx(line["points"][0][0] * peaks["bytes_per_s"])
    assert all(row["flops"] for row in plot_rows(rows, plot.data["points"]))


def plot_rows(rows: list[dict[str, Any]], points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    drawn = {(point["x"], point["y"]) for point in points}
    return [row for row in rows if (row["flops_per_byte"], row["flops_per_s"]) in drawn]


def test_an_audits_ledger_adds_up_on_the_page(report: Report) -> None:
    counters = cells(report, "counters", "counters")
    ledger = cells(report, "counters", "ledger")
    counted = {row["model"]: row["macs"] for row in cells(report, "comparison", "comparison")}
    for row in counters:
        steps = [item["amount"] for item in ledger if item["model"] == row["model"]]
        assert counted[row["model"]] + sum(steps) + row["residual"] == row["reported"]
        assert all(item["operations"] > 0 for item in ledger)


def test_a_measurement_of_another_input_is_shown_and_set_against_no_count(tmp_path: Path) -> None:
    made = gather(MODELS, shapes=((3, 256, 192),), data=[str(RECORDED / "bench.json")])
    assert {row["input"] for row in cells(made, "latency", "latency")} == {"3×128×96"}
    assert [row["speed_up"] for row in cells(made, "theory", "theory")] == [None]
    (bubbles,) = section(made, "comparison").plots
    assert bubbles.key == "bubbles-activations"


def test_every_setting_of_a_swept_benchmark_has_its_row(tmp_path: Path) -> None:
    document = recorded("bench")
    for row in [dict(row) for row in document["rows"]]:
        row["settings"] = {**row["settings"], "batch": 8}
        document["rows"].append(row)
    path = tmp_path / "swept.json"
    path.write_text(json.dumps(document))
    made = gather(MODELS, shapes=SHAPE, data=[str(path)])
    assert [row["batch"] for row in cells(made, "latency", "latency")] == [1, 8, 1, 8]
    labels = [row["label"] for row in section(made, "latency").plots[0].data["rows"]]
    assert len(set(labels)) == 4


def test_what_a_data_file_holds_of_other_models_is_said() -> None:
    made = gather(["hrnet32:width=16"], shapes=SHAPE, data=[str(RECORDED / "bench.json")])
    assert any("gadnet32:width=8" in words for words in section(made, "environment").words)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "fast", None, [1]])
def test_a_figure_that_is_no_number_is_a_gap(tmp_path: Path, value: Any) -> None:
    document = recorded("bench")
    row = document["rows"][1]
    row["ratio"] = {**row["ratio"], "value": value, "ci95": [value, value]}
    row["latency_s"] = {**row["latency_s"], "p95": value, "ci95": value}
    path = tmp_path / "odd.json"
    path.write_text(json.dumps(document))
    made = gather(MODELS, shapes=SHAPE, data=[str(path)])
    shown = cells(made, "latency", "latency")[1]
    assert (shown["ratio"], shown["p95_s"], shown["median_low_s"]) == (None, None, None)
    assert [item["speed_up"] for item in cells(made, "theory", "theory")] == [None]


def test_every_model_has_a_ledger_before_any_has_two(tmp_path: Path) -> None:
    document = recorded("audit")
    for model in document["models"]:
        (backend,) = model["backends"]
        model["backends"] = [{**backend, "name": f"counter {index}"} for index in range(9)]
    path = tmp_path / "audit.json"
    path.write_text(json.dumps(document))
    plots = section(gather(MODELS, shapes=SHAPE, data=[str(path)]), "counters").plots
    assert sorted(plot.data["model"] for plot in plots) == sorted([*MODELS] * 3)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value[:3])
    found = []
    for key, item in items:
        found.append((*path, key))
        if isinstance(item, (dict, list)):
            found += places(item, (*path, key))
    return found


@pytest.fixture(scope="module")
def drawn_once() -> Iterator[None]:
    """A plot of a page is drawn once, as the same plot gives the same bytes each time."""
    from gadprof.render import html

    kept: dict[str, bytes] = {}
    draw = html.render_plot

    def drawn(*given: Any) -> bytes:
        key = repr(given)
        if key not in kept:
            kept[key] = draw(*given)
        return kept[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(html, "render_plot", drawn)
        yield


ODD = (None, "x", "</script>", [], [1], {"a": 1}, float("nan"), -1, 10**30, True)


@pytest.mark.parametrize("name", ["bench", "audit", "explain", "formula"])
def test_no_broken_value_in_a_data_file_breaks_the_page(
    tmp_path: Path, name: str, drawn_once: None
) -> None:
    import random

    from gadprof.errors import GadprofError
    from gadprof.render.html import page_html
    from gadprof.render.markdown import page_markdown

    chance = random.Random(name)
    path = tmp_path / "odd.json"
    for _ in range(10):
        document = recorded(name)
        for place in chance.sample(places(document), 6):
            holder = document
            try:
                for key in place[:-1]:
                    holder = holder[key]
                holder[place[-1]] = chance.choice(ODD)
            except (TypeError, KeyError, IndexError):
                continue  # an earlier change took the place away
        path.write_text(json.dumps(document))
        try:
            made = gather(MODELS, shapes=SHAPE, data=[str(path)])
        except GadprofError:
            continue
        page = page_html(made)
        assert page.count("</script>") == 3  # tips, links and the code
        page_markdown(made, lambda plot: f"{plot.key}.svg")
