"""Every result shows itself in a notebook and becomes a DataFrame, through one place."""

from __future__ import annotations

import html.parser
from typing import Any

import pytest

import gadprof
from gadprof.audit.audit import Audit, AuditRow
from gadprof.audit.ledger import Difference
from gadprof.report.gather import gather
from gadprof.results.tabular import Tabular

SMALL = "hrnet32:width=8,modules=1-1-1"
SHAPE = (3, 64, 64)


class Cells(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)


def audit(name: str = "m") -> Audit:
    row = AuditRow(
        "fvcore", "fvcore", "0.1", 12, "macs", 10, (Difference("bias", (), 2),), 0, 5, (), None
    )
    return Audit(name, ((3, 8, 8),), 1, 10, 5, "", (row,))


def results() -> dict[str, Any]:
    return {
        "cost": gadprof.cost(SMALL, SHAPE),
        "count": gadprof.count(gadprof.build(SMALL), (1, *SHAPE)),
        "comparison": gadprof.compare([SMALL, "gadnet32:width=8"], SHAPE),
        "formula": gadprof.formula("ga", c_in=64, c_out=64),
        "audit": audit(),
        "report": gather([SMALL], shapes=(SHAPE,)),
    }


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return results()


@pytest.mark.parametrize("key", ["cost", "count", "comparison", "formula", "audit", "report"])
def test_a_result_is_a_table_in_a_notebook_and_a_frame(made: dict[str, Any], key: str) -> None:
    result = made[key]
    assert isinstance(result, Tabular)
    parser = Cells()
    parser.feed(result._repr_html_())
    assert parser.tags.count("table") >= 1
    frame = result.to_pandas()
    assert len(frame) >= 1
    assert parser.tags.count("td") >= len(frame.columns) // 2


def test_a_frame_holds_exact_integers(made: dict[str, Any]) -> None:
    cost = made["cost"].to_pandas()
    assert cost.loc[0, "macs"] == made["cost"].macs
    assert cost["macs"].dtype == "int64"
    trace = made["count"].to_pandas()
    assert trace.loc[trace["depth"] == 0, "macs"].item() == made["cost"].macs
    assert made["comparison"].to_pandas().loc[0, "params"] == made["cost"].params
    terms = made["formula"].to_pandas()
    assert terms.loc[terms["counted"], "params"].sum() == made["formula"].GP
    assert made["audit"].to_pandas().loc[0, "reported"] == 12


def test_a_benchmark_and_an_explanation_are_frames_too() -> None:
    from gadprof.measuring.bench import BenchResult
    from gadprof.measuring.explain.explain import Explanation
    from gadprof.measuring.explain.explained import PartTime
    from gadprof.measuring.explain.roofline import Peaks
    from gadprof.measuring.result import BenchRow
    from gadprof.measuring.settings import Setting
    from gadprof.results.plain import Machine

    nowhere = Machine("", 1, None, "", "", {})
    bench = BenchResult((BenchRow("m", Setting(), error="it fell"),), (), 0.02, 1.0, False, nowhere)
    assert bench.to_pandas().loc[0, "model"] == "m"
    assert "<table" in bench._repr_html_()
    part = PartTime("3×3 convolution", 0.5, 1.0, 1.0, 4, 8, 2, 4.0, 0.25, 0.5, "memory")
    from gadprof.measuring.explain.explain import Explained

    model = Explained("m", 0.5, None, 0.5, 1.0, 4, 8, 2, 4.0, 0.25, (part,), (part,))
    peaks = Peaks("here", 1.0, 1.0, True, "")
    explained = Explanation((model,), Setting(), peaks, {}, ("why",), (), nowhere)
    assert explained.to_pandas().loc[0, "seconds"] == 0.5
    assert "why" in explained._repr_html_()


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a|b", "\u202eevil", "x" * 10_000])
def test_no_name_gets_into_the_notebook_as_markup(name: str) -> None:
    parser = Cells()
    page = audit(name)._repr_html_()
    parser.feed(page)
    table = {"table", "caption", "thead", "tbody", "tr", "th", "td", "bdi"}
    assert set(parser.tags) <= table | {"p", "small", "br"}
    assert len(page) < 5_000


def test_a_type_without_a_rule_is_refused() -> None:
    class Odd(Tabular):
        pass

    with pytest.raises(TypeError, match="no table rule for Odd"):
        Odd().to_pandas()
