"""The Python surface: named by dir, printed as tables, and one model is no list of letters."""

from __future__ import annotations

import subprocess
import sys

import pytest

import gadprof

PUBLIC = (
    "audit", "bench", "build", "compare", "cost", "count", "diff", "explain", "formula", "predict",
    "report", "rule", "spec",
)  # fmt: skip


def test_dir_lists_every_public_function_and_each_is_one():
    assert set(PUBLIC) | {"GadprofError", "__version__"} == set(gadprof.__all__)
    assert set(gadprof.__all__) <= set(dir(gadprof))
    for name in PUBLIC:
        function = getattr(gadprof, name)
        assert callable(function)
        assert function.__doc__


@pytest.mark.parametrize(
    "first",
    [
        "gadprof.audit",
        "from gadprof import audit, report",
        "import gadprof.audit.ledger as ledger",
        "import gadprof.audit.audit, gadprof.report.gather",
        "import gadprof.report.sections.exact as exact",
    ],
)
def test_a_name_is_the_function_and_the_package_in_whichever_order_they_are_asked_for(first):
    script = (
        f"import gadprof, inspect, sys\n{first}\n"
        "import gadprof.audit.claims as claims, gadprof.report.data as data\n"
        "from gadprof.audit import page\n"
        "assert gadprof.audit.claims is claims and gadprof.report.data is data\n"
        "assert gadprof.report('hrnet32', title='One').title == 'One'\n"
        "for name in ('audit', 'report'):\n"
        "    called, function = getattr(gadprof, name), getattr(gadprof.api, name)\n"
        "    assert inspect.signature(called) == inspect.signature(function)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_one_string_is_one_model():
    assert [row.model for row in gadprof.compare("hrnet32").rows] == ["hrnet32"]
    assert [row.model for row in gadprof.predict("hrnet32", "rtx3090").rows] == ["hrnet32"]


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (lambda: gadprof.compare(["hrnet32", "gadnet32"]), ("hrnet32", "28.54 M")),
        (lambda: gadprof.cost("hrnet32"), ("hrnet32", "7.645 G")),
        (lambda: gadprof.count("hrnet32"), ("conv1", "Conv2d")),
        (lambda: gadprof.formula("ga", c_in=64, c_out=64), ("primary", "196,608")),
        (lambda: gadprof.predict("hrnet32", "rtx3090"), ("rtx3090", "hrnet32")),
        (lambda: gadprof.diff("hrnet32", "hrnet32:joints=16"), ("final_layer", "−98,304")),
    ],
)
def test_print_shows_the_table_that_a_person_reads(result, words):
    text = str(result())
    for word in words:
        assert word in text
    assert "Machine(" not in text
    assert "\x1b" not in text


def test_a_diff_in_python_is_that_of_the_command(run_cli):
    import json

    _, out, _ = run_cli("diff", "hrnet32", "hrnet32:joints=16", "--format", "json")
    found = gadprof.diff("hrnet32", "hrnet32:joints=16")
    assert json.loads(out)["difference"] == found.difference
    assert found.to_pandas()["macs"].tolist() == [-98304]


def test_a_side_that_no_file_or_ref_can_be_called_is_refused():
    with pytest.raises(gadprof.GadprofError):
        gadprof.diff("a\0b", "hrnet32")


def test_a_report_is_a_page_of_data():
    found = gadprof.report("hrnet32", title="One")
    assert found.title == "One"
    assert any(section.tables for section in found.page().sections)


@pytest.mark.parametrize("batch", [0, -1, 2**70])
def test_a_cost_of_no_batch_is_refused(batch: int) -> None:
    with pytest.raises(gadprof.GadprofError, match="size"):
        gadprof.cost("gadnet32", batch=batch)
