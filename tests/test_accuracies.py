"""Accuracy beside cost: measured and published apart, each with what it rests on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from test_report import run

from gadprof.audit.published import rows as published_rows
from gadprof.comparison.accuracies import chosen_published, published
from gadprof.comparison.compare import compare_row
from gadprof.pose.accuracy import Accuracy, accuracies_json
from gadprof.report.gather import Report, gather
from gadprof.results.page import Section
from gadprof.store.recording import record_accuracies

MEASURED = Accuracy(
    "gadnet32", "person_keypoints_val.json", 5, 20, (256, 192), "annotated", "dark", True,
    0.625, 0.875, 0.75, -1.0, 0.625, 0.6875, weights_sha256="ab" * 32,
)  # fmt: skip


@pytest.fixture
def measured_file(tmp_path: Path) -> Path:
    path = tmp_path / "accuracy.json"
    path.write_text(accuracies_json((MEASURED, replace(MEASURED, model="hrnet32", ap=0.75))))
    return path


def section(report: Report) -> Section:
    (found,) = [part for part in report.sections if part.key == "accuracy"]
    return found


def test_every_published_accuracy_names_its_source() -> None:
    models = {model for row in published_rows() for model in row.models if row.ap is not None}
    assert {"hrnet32", "hrnet48"} <= models
    for model in models:
        for item in published(model):
            assert item.source
            assert item.url
            assert item.data
            assert 0 < item.ap < 1


@pytest.mark.parametrize("model", ["hrnet32:width=16", "gadnet32", "timm:resnet50", ""])
def test_what_no_source_prints_has_no_published_accuracy(model: str) -> None:
    assert published(model) == ()


@pytest.mark.parametrize(("shape", "ap"), [((3, 256, 192), 0.744), ((3, 384, 288), 0.758)])
def test_the_published_accuracy_is_that_of_the_counted_input(
    shape: tuple[int, int, int], ap: float
) -> None:
    (chosen,) = chosen_published([compare_row("hrnet32", shapes=(shape,))])
    assert chosen is not None
    assert (chosen.ap, chosen.input) == (pytest.approx(ap), shape[1:])
    assert chosen.data == "COCO val2017"


def test_as_many_models_as_can_be_take_their_published_accuracy_from_one_source() -> None:
    names = ("litehrnet18", "hrnet32", "pose_resnet50", "hrnet48")
    chosen = chosen_published([compare_row(name) for name in names])
    assert all(item is not None for item in chosen)
    sources = [item.source for item in chosen if item is not None]
    shared = max(set(sources), key=sources.count)
    everywhere = set.intersection(*({item.source for item in published(name)} for name in names))
    assert sources.count(shared) == (4 if everywhere else 3)


def test_compare_shows_measured_and_published_apart(measured_file: Path) -> None:
    words = ("compare", "hrnet32", "gadnet32", "--accuracy", str(measured_file))
    code, said, _ = run(*words, "--accuracy", "published", "--format", "json")
    assert code == 0
    rows = json.loads(said)["rows"]
    assert [row["accuracy"]["ap"] for row in rows] == [0.75, 0.625]
    assert rows[0]["published_accuracy"]["ap"] == pytest.approx(0.744)
    assert rows[0]["published_accuracy"]["source"].startswith("Sun et al. 2019")
    assert "published_accuracy" not in rows[1]
    _, table, _ = run(*words, "--accuracy", "published")
    assert "published AP" in table
    assert "measured on person_keypoints_val.json" in " ".join(table.split())
    _, text, _ = run(*words, "--format", "csv")
    assert text.splitlines()[0].endswith(",ap")
    assert text.splitlines()[1].endswith(",0.75")


def test_compare_takes_the_stores_accuracies(tmp_path: Path) -> None:
    store = str(tmp_path / "results.sqlite")
    record_accuracies([replace(MEASURED, ap=0.5), MEASURED], store=store)
    words = ("compare", "gadnet32", "--accuracy", "store", "--store", store, "--format", "json")
    (row,) = json.loads(run(*words)[1])["rows"]
    assert row["accuracy"]["ap"] == 0.625  # the newest
    assert row["accuracy"]["data"] == MEASURED.data


def test_an_accuracy_of_another_input_says_so_and_is_in_no_plot(tmp_path: Path) -> None:
    path = tmp_path / "accuracy.json"
    path.write_text(accuracies_json((replace(MEASURED, input=(128, 96)),)))
    _, table, _ = run("compare", "gadnet32", "--accuracy", str(path))
    assert "at 128x96, not at the counted input" in " ".join(table.split())
    made = section(gather(["gadnet32", "hrnet32"], data=[str(path)]))
    assert [plot.key for plot in made.plots] == []
    assert made.tables[0].rows[0][1] == 0.625


def test_a_report_has_two_tables_and_a_plot_of_each_kind(measured_file: Path) -> None:
    made = section(gather(["hrnet32", "hrnet48", "gadnet32"], data=[str(measured_file)]))
    first, second = made.tables
    assert (first.key, second.key) == ("accuracy", "published-accuracy")
    assert [row[0] for row in first.rows] == ["hrnet32", "gadnet32"]
    assert first.rows[1][4] is None  # -1 is COCO's mark for "no such persons"
    assert list(dict.fromkeys(row[0] for row in second.rows)) == ["hrnet32", "hrnet48"]
    assert all(row[-1] for row in second.rows)
    assert [plot.key for plot in made.plots] == ["bubbles-ap", "bubbles-published-ap"]
    measured, printed = made.plots
    assert [point["label"] for point in measured.data["points"]] == ["hrnet32", "gadnet32"]
    assert [point["label"] for point in printed.data["points"]] == ["hrnet32", "hrnet48"]


def test_the_front_keeps_the_model_that_is_cheaper_or_more_accurate(measured_file: Path) -> None:
    made = section(gather(["hrnet32", "gadnet32"], data=[str(measured_file)]))
    data = made.plots[0].data
    assert [data["points"][index]["label"] for index in data["front"]] == ["gadnet32", "hrnet32"]


@pytest.mark.parametrize("suffix", ["svg", "pdf", "png"])
def test_compare_draws_its_bubbles(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"plot.{suffix}"
    words = ("compare", "hrnet32", "hrnet48", "--accuracy", "published", "--plot", str(path))
    assert run(*words)[0] == 0
    start = {"svg": b"<?xml", "pdf": b"%PDF", "png": b"\x89PNG"}[suffix]
    assert path.read_bytes().startswith(start)
    if suffix == "svg":
        assert "Published AP against MACs" in path.read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--accuracy", "publised"), "did you mean 'published'"),
        (("--accuracy", "absent.json"), "cannot read"),
        (("--accuracy", "store"), "results store"),
        (("--plot", "x.gif"), "no svg, pdf or png"),
    ],
)
def test_bad_use_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, errors = run("compare", "hrnet32", *words)
    assert (code, out) == (2, "")
    assert said in errors
    assert len(errors.strip().splitlines()) == 1
