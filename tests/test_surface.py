"""What a person reads of every command: lines that fit, names that are near, numbers that agree."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from gadprof.cli import COMMANDS
from gadprof.results.page import page_of
from gadprof.results.table import Column, Table
from gadprof.results.verdicts import CheckResult, Verdict

ROOT = Path(__file__).resolve().parents[1]


def help_of(name: str) -> str:
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text: str = module.help_of(name)
    return text


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_commands_help_fits_80_columns(name):
    assert [line for line in help_of(name).splitlines() if len(line) > 80] == []


def test_what_can_be_named_takes_one_line_each_at_80_columns(run_cli, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = run_cli("models")[1].splitlines()
    assert [line for line in lines if line.startswith(" ")] == []
    assert max(map(len, lines)) <= 120  # notes of a pipe are not wrapped, rows are
    assert sum(line.startswith("gadnet32 ") for line in lines) == 1


# each with a light example of its own, at both widths that are promised
LIGHT = {
    "compare": ("hrnet32", "gadnet32", "ghost-hrnet32"),
    "count": ("hrnet32:width=8", "--depth", "3"),
    "diff": ("hrnet32", "hrnet32:block=cbam"),
    "shapes": ("hrnet32",),
    "models": (),
    "rules": ("conv2d",),
    "zoo": ("--only", "HRNet-W32"),
    "devices": (),
    "check": ("--no-latency", "--config", str(ROOT / "gadprof.toml")),
    "ablate": ("--overrides", "width=8"),
    "sweep": ("gadnet", "--width", "16,32"),
}


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", sorted(LIGHT))
def test_no_line_of_a_result_is_wider_than_the_terminal(name, width, run_cli, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    code, out, _ = run_cli(name, *LIGHT[name])
    assert code == 0
    assert [line for line in out.splitlines() if len(line) > width] == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("compare", "--formt", "json", "hrnet32"), "gadprof compare has no option '--formt'; did "
         "you mean '--format'"),
        (("bench", "--xyzzy", "3"), "'--xyzzy'; 'gadprof bench --help' lists the options"),
        (("audit", "hrnet32", "--ouput", "x"), "did you mean '--output'"),
        (("rules", "conv2dd"), "did you mean 'aten.conv2d'"),
        (("rules", "xyzzy"), "; 'gadprof rules' lists them, and gadprof.rule adds one of yours"),
        (("zoo", "--only", "xyzzy"), "; 'gadprof zoo' shows every row"),
        (("fit", "hrnet32", "--device", "rtx309"), "give its memory, for example 24GiB; did you "
         "mean 'rtx3090'"),
        (("count", "hrnet32", "--input", "3x64x64:flot32"), "'flot32'; did you mean 'float32'"),
    ],
)  # fmt: skip
def test_a_word_that_is_not_known_gets_the_nearest_or_else_a_way_out(words, told, run_cli):
    code, _, err = run_cli(*words)
    assert code == 2
    assert told in err
    assert "--out'" not in err  # a hidden spelling is nobody's advice
    hint = err.partition("did you mean")[2]
    assert "; " not in hint  # nothing follows the question


def test_an_error_is_not_told_twice_where_a_terminal_shows_it_already(run_cli, monkeypatch):
    from gadprof.output import Output

    told = run_cli("compare", "hrnet32", "hrnet23")[2]
    assert told.count("unknown model 'hrnet23'") == 1  # a pipe's reader has the other stream
    monkeypatch.setattr(Output, "seen", property(lambda self: self.form == "table"))
    out, err = run_cli("compare", "hrnet32", "hrnet23")[1:]
    assert err == ""
    assert out.count("unknown model 'hrnet23'") == 1
    assert "unknown model 'hrnet23'" in run_cli("compare", "hrnet32", "hrnet23", "--format=csv")[2]


def test_a_prediction_beside_the_counts_is_not_silent_work(run_cli, monkeypatch):
    from gadprof.comparison import predicted
    from gadprof.render.progress import Working

    told: list[str] = []
    during: list[tuple[str, ...]] = []
    begin, end = Working.__enter__, Working.__exit__

    def entered(self: Any) -> Any:
        told.append(self._what)
        return begin(self)

    def left(self: Any, *error: Any) -> None:
        told.remove(self._what)
        end(self, *error)

    monkeypatch.setattr(Working, "__enter__", entered)
    monkeypatch.setattr(Working, "__exit__", left)
    monkeypatch.setattr(
        predicted, "with_predictions", lambda made, *_, **__: during.append(tuple(told)) or made
    )
    assert run_cli("compare", "hrnet32", "gadnet32", "--device", "rtx3090")[0] == 0
    assert during == [("predicting",)]


def test_what_a_rule_found_stays_in_a_narrow_table():
    from gadprof.commands.check import _page
    from gadprof.render.console import page_console

    broken = Verdict("gadnet32", "gadnet32", "max_growth.peak_activation_bytes", "fail",
                     "10,813,440 bytes of live maps, limit 9,000,000: 20.1 % over")  # fmt: skip
    text = page_console(_page(CheckResult((broken,))), width=80)
    assert text.startswith("✗ 1 rule: 1 broken")
    assert "20.1 % over" in text
    assert max(map(len, text.splitlines())) <= 80


def test_words_stand_over_a_pages_only_table():
    table = Table("t", "", (Column("a", "a"),), (("x",),))
    assert page_of(table, document={}, name="t", words="a verdict").sections[0].words == (
        "a verdict",
    )
    assert page_of(table, document={}, name="t").sections[0].words == ()
