"""What lacks an operation is marked "at least" wherever its totals are shown, and in every JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from unknown_operator import write_graph_with_an_unknown_operator

from gadprof import cli
from gadprof.render.comment import comment_body
from gadprof.results.cells import scaled
from gadprof.results.figures import AtLeast, total
from gadprof.results.plain import to_json
from gadprof.results.verdicts import BaseChange, CommentData

NOTE = "m.onnx: what is marked at least is a lower bound, ratios to it not settled"


@pytest.fixture
def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own, with a graph of 384 counted MACs and 24 parameters."""
    monkeypatch.chdir(tmp_path)
    write_graph_with_an_unknown_operator(tmp_path / "m.onnx")
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert cli.run(list(words)) == 0
    return capsys.readouterr().out


def test_a_mark_is_for_people_and_only_where_operations_add_up() -> None:
    assert isinstance(total("macs", 384, True), AtLeast)
    assert not isinstance(total("macs", 384, False), AtLeast)
    assert not isinstance(total("params", 24, True), AtLeast)
    assert total("macs", None, True) is None
    assert to_json({"macs": AtLeast(384)}) == to_json({"macs": 384})
    assert scaled(AtLeast(384)) == "384"


@pytest.mark.parametrize("form", ["table", "md"])
def test_a_comparison_marks_a_lower_bound(
    graph: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    out = said(capsys, "compare", "m.onnx", "--format", form)
    assert "at least 384" in out
    assert "at least 24" not in out
    if form == "table":
        assert NOTE in " ".join(out.split())
        assert "Mystery x1" in out


def test_a_comparison_says_it_to_programs(graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("compare", "m.onnx", "gadnet32", "--format")
    rows = json.loads(said(capsys, *words, "json"))["rows"]
    assert (rows[0]["at_least"], rows[0]["macs"], rows[1]["at_least"]) == (True, 384, False)
    header, first, second = said(capsys, *words, "csv").splitlines()[:3]
    at = header.split(",").index("at_least")
    assert (first.split(",")[at], second.split(",")[at]) == ("true", "false")
    assert "at least" not in first


def test_a_comparison_of_whole_counts_has_no_mark(capsys: pytest.CaptureFixture[str]) -> None:
    assert "at least" not in said(capsys, "compare", "gadnet32")
    assert "at_least" not in said(capsys, "compare", "gadnet32", "--format", "csv")


def test_a_diff_marks_the_side_that_lacks_something(
    graph: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = said(capsys, "diff", "m.onnx", "m.onnx")
    assert "at least 384" in out
    assert NOTE in " ".join(out.split())
    document = json.loads(said(capsys, "diff", "m.onnx", "gadnet32", "--format", "json"))
    assert [document[side]["at_least"] for side in ("before", "after")] == [True, False]
    assert list(document["before"]["uncovered"].values()) == [1]


def test_kept_figures_stay_lower_bounds(graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (graph / "kept.json").write_text(said(capsys, "compare", "m.onnx", "--format", "json"))
    out = said(capsys, "compare", "m.onnx", "--baseline", "kept.json")
    assert out.split("against baseline")[1].count("at least 384") == 2  # then and now
    document = json.loads(said(capsys, "diff", "kept.json", "m.onnx", "--format", "json"))
    assert document["before"]["at_least"] is True


def test_a_report_marks_a_lower_bound(graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "report", "m.onnx", "-o", "out")
    page = next((graph / "out").glob("*.md")).read_text()
    assert "takes at least 384MAC (at least " in page
    assert "at least 384" in page
    assert NOTE.partition(":")[2] in page


def test_a_comment_marks_the_side_that_lacks_something() -> None:
    change = BaseChange(
        "m", {"macs": 300, "params": 20}, {"macs": 384, "params": 24}, after_at_least=True
    )
    body = comment_body(CommentData((), "main", (change,)))
    assert "| MACs | 300 | at least 384 |" in " ".join(body.split())
    assert "| parameters | 20 | 24 |" in " ".join(body.split())


def test_a_prediction_marks_the_macs(graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["predict", "m.onnx", "--device", "rtx3090", "--batch", "1"]
    assert cli.run(words) == 1  # refused: nobody measured that operator; its MACs are shown
    assert "at least 384" in capsys.readouterr().out
    cli.run([*words, "--format", "json"])
    assert json.loads(capsys.readouterr().out)["rows"][0]["at_least"] is True


def test_growth_of_a_lower_bound_settles_nothing(
    graph: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["diff", "m.onnx", "m.onnx", "--fail-on", "macs"]) == 1
    words = "macs of m.onnx is a lower bound, for no rule counts own_ops.Mystery"
    assert words in capsys.readouterr().err
    assert cli.run(["diff", "m.onnx", "m.onnx", "--fail-on", "params"]) == 0
    assert cli.run(["diff", "m.onnx", "m.onnx", "--fail-on", "macs", "--uncounted", "warn"]) == 0


def test_an_audit_marks_our_own_lower_bound() -> None:
    import torch

    from gadprof.audit.audit import Audit, explain_all
    from gadprof.audit.observe import observe
    from gadprof.audit.page import audit_page, audit_payload
    from gadprof.counting.count import count
    from gadprof.render.tables import render

    class Tangents(torch.nn.Module):
        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return z.tan() @ z

    model, inputs = Tangents(), (torch.zeros(2, 2, dtype=torch.complex64),)
    trace = count(model, inputs)
    seen = explain_all((), trace, observe(model, inputs))
    audit = Audit("tangents", seen.input_shapes, 1, seen.ours, 0, "", (), seen.uncovered)
    text = render(audit_page([audit]), "table")
    assert "at least 32 MACs by our count" in text
    assert "aten.tan x1" in " ".join(text.split())
    assert audit_payload(audit)["at_least"] is True
