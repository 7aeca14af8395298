"""A result's table is written once: what programs read is exact, what people read follows."""

from __future__ import annotations

import itertools
import json

import pytest

import gadprof
from gadprof.counting.model_page import MOST_ROWS, alive_table, memory_plot, model_page
from gadprof.models.counting import trace_model
from gadprof.render.tables import render
from gadprof.results.cells import fitting
from gadprof.results.figures import FIGURES, KEYS
from gadprof.results.page import page_of
from gadprof.results.table import Column, Table

TABLE = Table(
    "t",
    "A title",
    (
        Column("model", "model", rank=0),
        Column("macs", "MACs", "scaled", rank=0),
        Column("macs_relative", "to first", "factor"),
        Column("peak_bytes", "peak", "bytes"),
        Column("ratio", "ratio", "ratio", digits=3),
        Column("ci95", "its 95 %", "interval", place="shown"),
        Column("low", "from", "ratio", place="exact"),
        Column("nothing", "nothing"),
        Column("words", "verdict", place="page"),
    ),
    (
        ("a", 7_645_003_776, 1.0, 1 << 20, 1.0, None, None, None, "reference"),
        ("b", 2_898_049_856, 0.379, 3 << 19, 1.25, (1.2, 1.3), 1.2, None, "slower"),
    ),
    notes=("A note.",),
)
PAGE = page_of(TABLE, document={"n": 1}, name="t")


def test_programs_get_keys_and_every_digit() -> None:
    keys, rows = TABLE.exact()
    assert keys == ["model", "macs", "macs_relative", "peak_bytes", "ratio", "low", "nothing"]
    assert rows[1] == ["b", 2_898_049_856, 0.379, 3 << 19, 1.25, 1.2, None]
    assert render(PAGE, "csv").splitlines()[2] == "b,2898049856,0.379,1572864,1.25,1.2,"


def test_people_get_units_intervals_and_no_empty_column() -> None:
    shown = TABLE.shown()
    assert shown.titles == ["model", "MACs", "peak", "ratio", "its 95 %", "verdict"]
    assert shown.cells[0][1:4] == ["7.645 G", "1 MiB", "1.000"]
    assert shown.cells[1][1] == "2.898 G  0.379× (−62.1 %)"
    assert shown.cells[1][4] == "1.200–1.300"


def test_what_the_notes_say_is_no_column_on_a_terminal() -> None:
    text = render(PAGE, "table", width=100)
    assert "verdict" not in text
    assert text.startswith("A title")
    assert text.rstrip().endswith("A note.")
    assert "| slower |" in render(PAGE, "md")


def test_json_is_the_document_and_html_holds_the_exact_values() -> None:
    assert json.loads(render(PAGE, "json"))["n"] == 1
    assert 'data-value="2898049856"' in render(PAGE, "html")
    with pytest.raises(ValueError, match="'xml' is no format"):
        render(PAGE, "xml")


def test_a_row_that_does_not_fit_its_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="a row has 1 cells under 2 columns"):
        Table("t", "", (Column("a", "a"), Column("b", "b")), (("x",),))


@pytest.mark.parametrize(
    ("width", "kept"),
    [(100, [0, 1, 2, 3]), (42, [0, 1, 3]), (30, [0, 1]), (1, [0, 1])],
)
def test_the_columns_of_the_greatest_rank_leave_first(width: int, kept: list[int]) -> None:
    assert fitting([10, 10, 20, 12], [0, 0, 2, 1], width) == kept


def test_the_six_figures_have_one_spelling() -> None:
    from gadprof.comparison.compare import ComparedRow
    from gadprof.networks.cost import Cost

    assert tuple(figure.key for figure in FIGURES) == KEYS
    for key in KEYS:
        assert key in ComparedRow.__dataclass_fields__
        assert hasattr(Cost, key) or key in Cost.__dataclass_fields__
    assert [figure.kind for figure in FIGURES if figure.key.endswith("_bytes")] == ["bytes"] * 2


def test_a_printed_result_is_its_table_and_fits_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    text = str(gadprof.compare(["hrnet32", "gadnet32"]))
    assert all(len(line) <= 70 for line in text.splitlines())
    assert "7.645 G" in text
    assert "(not shown: " in text


def test_the_maps_alive_at_the_peak_add_up_to_it() -> None:
    trace = trace_model("hrnet32:width=8")
    rows = alive_table(trace).rows
    # three maps of 256 channels in the first Bottleneck, and what its forward still names: the
    # picture (3 x 256 x 192) and the stem's map (64 x 64 x 48)
    assert [row[3] for row in rows] == [4 * 256 * 64 * 48] * 3 + [
        4 * (3 * 256 * 192 + 64 * 64 * 48)
    ]
    assert rows[-1][0] == "held by a name, read no more"
    assert sum(row[3] for row in rows) == trace.peak_activation_bytes == 10_813_440
    assert sum(row[4] for row in rows) == pytest.approx(1.0)


def test_the_timeline_keeps_its_peak_however_it_is_thinned() -> None:
    trace = trace_model("hrnet32:width=8")
    plot = memory_plot(trace)
    assert plot is not None
    assert len(plot.data["steps"]) < len(trace.operations)
    assert max(value for _, value in plot.data["steps"]) == trace.peak_activation_bytes
    spans = plot.data["spans"]
    assert spans[0]["start"] == 0
    assert spans[-1]["end"] == len(trace.operations)
    assert all(a["end"] == b["start"] for a, b in itertools.pairwise(spans))


def test_a_models_page_opens_with_its_cost_and_keeps_to_a_size() -> None:
    page = model_page(trace_model("gadnet32"))
    assert (
        page.sections[0]
        .words[0]
        .startswith("gadnet32 takes 2.898 GMAC for 11.09 M parameters at 1×3×256×192: stage4 does")
    )
    (tree,) = page.sections[1].tables
    assert len(tree.rows) <= MOST_ROWS
    assert len(render(page, "html")) < 1_500_000
