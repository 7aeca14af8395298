"""gadprof diff: exact, put down to the right module, and nothing of the repository touched."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from fractions import Fraction
from pathlib import Path

import pytest

from gadprof.counting.records import Trace
from gadprof.gate.diff import OWN, ModuleFigures, Side, compare_sides, judged, side_of
from gadprof.models.counting import trace_model

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, {width}, 3, padding=1)
        self.{body} = nn.Sequential(nn.Conv2d({width}, 8, 3, padding=1, dilation=1), nn.ReLU())
        self.head = nn.Conv2d(8, 4, 1)

    def forward(self, x):
        return self.head(self.{body}(self.stem(x)))

def build():
    return Net()
"""


def module(path: str, macs: int = 0, *, kind: str = "Conv2d", out: int = 8) -> ModuleFigures:
    return ModuleFigures(path, kind, 1, 9, macs, 2 * macs, 0, ((1, 3, 4, 4),), ((1, out, 4, 4),))


def side(*modules: ModuleFigures, **totals: int) -> Side:
    return Side("a", totals, modules)


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    """A repository with a model of width 8 at tag one and of width 16 at HEAD."""
    monkeypatch.chdir(tmp_path)

    def git(*words: str) -> None:
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True,
                       capture_output=True)  # fmt: skip

    git("init", "-q", ".")
    for width, tag in ((8, "one"), (16, "two")):
        (tmp_path / "net.py").write_text(NET.format(width=width, body="body"))
        git("add", ".")
        git("commit", "-qm", tag)
        git("tag", tag)
    return tmp_path


@pytest.mark.parametrize(
    ("before", "after"),
    [("hrnet32", "gadnet32"), ("hrnet32", "hrnet32:block=cbam"), ("gadnet32", "gadnet32:d=7")],
)
def test_the_modules_differences_add_up_to_the_totals(before, after):
    found = compare_sides(side_of("a", trace_model(before)), side_of("b", trace_model(after)))
    for key in OWN:
        assert sum(change.difference[key] for change in found.changes) == found.difference[key]


def test_a_model_does_not_differ_from_itself():
    trace: Trace = trace_model("gadnet32")
    found = compare_sides(side_of("a", trace), side_of("b", trace))
    assert found.changes == ()
    assert judged(found, {"any": None}) == ()


def test_a_wider_stem_changes_the_stem_and_what_reads_it_and_nothing_else(repository, run_cli):
    code, out, err = run_cli("diff", "one", "two", "net.py:build", "--input", "3x8x8",
                             "--format", "json")  # fmt: skip
    assert (code, err) == (0, "")
    found = json.loads(out)
    changes = {change["path"]: change["difference"] for change in found["changes"]}
    # width 8 to 16: the stem's 3·3·3 weights a map, and the body's 8·3·3 weights a map read
    assert set(changes) == {"stem", "body.0"}
    assert changes["stem"]["macs"] == 8 * 27 * 64
    assert changes["stem"]["params"] == 8 * 28
    assert changes["body.0"]["macs"] == 8 * 72 * 64
    assert found["difference"]["macs"] == 8 * (27 + 72) * 64
    assert [change["kind"] for change in found["changes"]] == ["changed", "changed"]


def test_a_ref_against_the_working_tree_matches_moved_names_by_shape(repository, run_cli):
    (repository / "net.py").write_text(NET.format(width=16, body="trunk"))
    code, out, _ = run_cli("diff", "HEAD", "net.py:build", "--input", "3x8x8", "--format", "json")
    assert code == 0
    found = json.loads(out)
    assert {(c["kind"], c["before"]["path"], c["path"]) for c in found["changes"]} == {
        ("moved", "body.0", "trunk.0"),
        ("moved", "body.1", "trunk.1"),
    }
    assert set(found["difference"].values()) == {0}
    status = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True)
    assert status.stdout == " M net.py\n"  # the edit alone: nothing was checked out


def test_kept_counts_hold_their_modules(run_cli, tmp_path):
    kept = tmp_path / "kept.json"
    assert run_cli("count", "hrnet32", "-o", str(kept))[0] == 0
    _, same, _ = run_cli("diff", str(kept), "hrnet32", "--format", "json")
    assert json.loads(same)["changes"] == []
    _, out, _ = run_cli("diff", str(kept), "hrnet32:blocks=4-4-4-5", "--format", "json")
    found = json.loads(out)
    assert {change["kind"] for change in found["changes"]} == {"appeared"}
    assert all(".branches.3.4" in change["path"] for change in found["changes"])
    assert found["difference"]["params"] == sum(c["difference"]["params"] for c in found["changes"])


def test_a_baseline_has_totals_alone_and_says_so(run_cli, tmp_path):
    kept = tmp_path / "base.json"
    run_cli("compare", "hrnet32", "ghost-hrnet32", "-o", str(kept))
    assert run_cli("diff", str(kept), "gadnet32")[0] == 2  # it has no row of that model
    code, out, _ = run_cli("diff", f"file:{kept}", "hrnet32")
    assert code == 0
    assert "modules are not known" in " ".join(out.split())


@pytest.mark.parametrize(
    ("limit", "code"),
    [("macs", 1), ("macs=1%", 0), ("params=0%", 1), ("any", 1), ("params=1%,macs=0.1%", 1)],
)
def test_fail_on_decides_the_exit_code(limit, code, run_cli):
    # the other block adds 0.65 % parameters and 0.17 % MACs
    found, out, err = run_cli("diff", "hrnet32", "hrnet32:block=cbam", "--fail-on", limit)
    assert found == code
    assert ("✗" in out.splitlines()[0]) == bool(code)
    assert bool(err) == bool(code)


def test_fail_on_a_latency_names_the_device(run_cli):
    words = ("diff", "hrnet32", "hrnet32:width=48", "--device", "rtx4090")
    code, _, err = run_cli(*words, "--fail-on", "latency=5%")
    assert code == 1
    assert "predicted latency on rtx4090 +" in err
    assert run_cli("diff", "hrnet32", "gadnet32", "--fail-on", "latency")[0] == 2


def test_growth_is_judged_exactly_at_its_limit():
    found = compare_sides(side(macs=1000, params=10), side(macs=1020, params=10))
    assert judged(found, {"macs": Fraction(2, 100)}) == ()
    assert len(judged(found, {"macs": Fraction(19, 1000)})) == 1
    assert judged(found, {"params": None}) == ()


def test_names_that_moved_are_matched_by_figures_before_shapes():
    before = side(module("a", 5), module("b", 7))
    after = side(module("x", 7), module("y", 6))
    found = {(c.kind, c.before.path, c.path) for c in compare_sides(before, after).changes}  # type: ignore[union-attr]
    assert found == {("moved", "b", "x"), ("changed", "a", "y")}


def test_what_has_another_type_appeared_and_went():
    found = compare_sides(side(module("a", 5)), side(module("b", 5, kind="Linear")))
    assert {(c.kind, c.path) for c in found.changes} == {("went", "a"), ("appeared", "b")}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("one", "nowhere", "net.py:build"), "'nowhere' is no commit here"),
        (("one", "two", "hrnet32"), "is the same at every git ref"),
        (("one", "two", "other.py:build"), "has no other.py"),
        (("hrnet32",), "name two sides"),
        (("hrnet32", "gadnet32", "--fail-on", "mac"), "did you mean 'macs'"),
        (("hrnet32", "gadnet32", "--fail-on", "macs=-1"), "is not a quantity"),
    ],
)
def test_bad_use_is_one_line_and_exit_2(words, message, repository, run_cli):
    code, out, err = run_cli("diff", *words)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_a_module_that_was_wrapped_moved_and_nothing_appeared():
    before = side(module("conv", 5))
    holder = dataclasses.replace(module("conv", 0, kind="Sequential"), params=0)
    after = side(holder, module("conv.0", 5))
    (change,) = compare_sides(before, after).changes
    assert (change.kind, change.path) == ("moved", "conv.0")
