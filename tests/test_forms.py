"""Every result in every form, and no option named that the help does not show."""

from __future__ import annotations

import ast
import csv
import io
import json
import re
import shlex
from pathlib import Path

import click
import pytest

from gadprof.cli import COMMANDS, app
from gadprof.commands.options import RESULT_FORMS

ROOT = Path(__file__).resolve().parents[1]
# what prints no result: text for a shell, a schema, a comment that is posted
WITHOUT = {"completion", "schema", "comment"}
OTHERS = {"--gadprof-config", "--lock-gpu-clocks"}  # pytest's, nvidia-smi's


def command_of(name: str) -> click.Command:
    found = app.get_command(click.Context(app), name)  # type: ignore[attr-defined]
    assert found is not None
    return found  # type: ignore[no-any-return]


def shown_options(name: str) -> set[str]:
    return {
        word
        for item in command_of(name).params
        if isinstance(item, click.Option)
        for word in (*item.opts, *item.secondary_opts)
    } | {"--help", "--debug", "--color"}


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - WITHOUT))
def test_every_result_has_the_four_forms_in_one_order(name):
    (form,) = (item for item in command_of(name).params if item.name == "output_format")
    assert isinstance(form.type, click.Choice)
    assert tuple(form.type.choices)[:4] == RESULT_FORMS == ("table", "json", "csv", "md")
    assert "[default: table]" in form.help


QUICK = {
    "zoo": ("zoo", "--only", "HRNet-W32"),
    "check": ("check", "--no-latency", "--config", str(ROOT / "gadprof.toml")),
    "doctor": ("doctor", "--store", "off"),
    "rules": ("rules", "conv2d"),
    "devices": ("devices",),
    "diff": ("diff", "hrnet32", "hrnet32:block=cbam"),
}


@pytest.mark.parametrize("name", QUICK)
def test_csv_has_the_rows_and_a_file_gets_the_form_of_its_suffix(name, run_cli, tmp_path):
    code, out, _ = run_cli(*QUICK[name], "--format", "csv")
    assert code == 0
    head, *rows = csv.reader(io.StringIO(out))
    assert rows
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", key) for key in head), head
    assert {len(row) for row in rows} == {len(head)}
    target = tmp_path / "rows.csv"
    code, printed, _ = run_cli(*QUICK[name], "-o", str(target))
    assert (code, printed) == (0, "")
    assert next(csv.reader(io.StringIO(target.read_text()))) == head


def test_the_reading_of_every_published_figure_is_a_row_of_csv(run_cli):
    rows = list(csv.DictReader(io.StringIO(run_cli(*QUICK["zoo"], "--format", "csv")[1])))
    assert {(row["model"], row["params"]) for row in rows} == {("hrnet32", "28536113")}
    assert len(rows) == 2


def test_a_check_s_csv_has_the_exact_value_and_its_limit(run_cli):
    rows = csv.DictReader(io.StringIO(run_cli(*QUICK["check"], "--format", "csv")[1]))
    (params,) = (row for row in rows if row["model"] == "gadnet32" and row["rule"] == "max_params")
    assert (params["status"], params["limit"], params["actual"]) == ("pass", "11300000", "11087121")


CALIBRATION = "model,batch,input,latency\n" + "".join(
    f"{model},1,3x64x64,{seconds}\n"
    for model, seconds in [
        ("hrnet32:width=8", 0.021),
        ("gadnet32:width=8", 0.026),
        ("ghost-hrnet32:width=8", 0.034),
        ("hrnet32:width=16", 0.029),
        ("gadnet32:width=16", 0.033),
        ("ghost-se-hrnet32:width=8", 0.041),
    ]
)


def test_a_calibration_says_its_error_in_every_form(run_cli, tmp_path):
    (tmp_path / "times.csv").write_text(CALIBRATION)
    said = {}
    for form in RESULT_FORMS:
        code, said[form], _ = run_cli(
            *("calibrate", "--from", "csv", str(tmp_path / "times.csv")),
            *("-o", str(tmp_path / "mine.json"), "--format", form),
        )
        assert code == 0
    error = json.loads(said["json"])["error_on_what_was_left_out"]["mean_absolute_error"]
    (row,) = csv.DictReader(io.StringIO(said["csv"]))
    assert (float(row["mean_absolute_error"]), row["models"]) == (error, "6")
    assert f"{100 * error:.1f} %" in said["table"]
    assert f"{100 * error:.1f} %" in said["md"]


def texts_of(path: Path) -> list[str]:
    """The string literals of a file, those of an f-string joined."""
    if path.suffix != ".py":
        return [path.read_text()]
    tree = ast.parse(path.read_text())
    return [
        "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
        if isinstance(node, ast.JoinedStr)
        else node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        or (isinstance(node, ast.Constant) and isinstance(node.value, str))
    ]


def test_no_text_tells_to_type_an_option_that_the_help_does_not_show():
    known = set().union(*map(shown_options, COMMANDS)) | OTHERS
    for path in (ROOT / "gadprof").rglob("*.py"):
        if path.parent.name == "commands":
            continue
        for text in texts_of(path):
            for option in re.findall(r"(?<![\w(;{-])--[a-z][a-z0-9-]+\b(?![=:])", text):
                # a word alone is an argument of another program
                assert option in known or text == option, (path.name, option, text)


@pytest.mark.parametrize(
    "path",
    [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "reports").glob("*.md")],
    ids=lambda path: path.name,
)
def test_every_command_line_of_a_page_has_options_of_its_command(path):
    for name, rest in re.findall(r"gadprof ([a-z]+)((?: [^\n`|#]*)?)", path.read_text()):
        if name in COMMANDS:
            for option in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+\b", rest):
                free = name in ("sweep", "search")  # their knobs are options too
                assert free or option in shown_options(name), f"gadprof {name}{rest}"


def needing() -> list[str]:
    """The commands that cannot run bare."""
    return [name for name in COMMANDS if any(item.required for item in command_of(name).params)]


@pytest.mark.parametrize("name", needing())
def test_a_bare_command_says_what_to_type_and_that_parses(name, run_cli):
    code, out, err = run_cli(name)
    assert (code, out) == (2, "")
    line = err.strip().partition("type for example: ")[2]
    words = shlex.split(line)
    assert words[:2] == ["gadprof", name], err
    assert err.count("\n") == 1
    assert line in command_of(name).get_help(click.Context(command_of(name)))
    command_of(name).make_context(name, words[2:])


def test_what_is_told_beside_a_result_is_wrapped_to_the_terminal(monkeypatch):
    from gadprof import output

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("sys.stderr", heard := Terminal())
    output.tell("gadprof: " + "a word " * 20)
    assert max(map(len, heard.getvalue().splitlines())) <= 40
    assert heard.getvalue().split() == ["gadprof:", *["a", "word"] * 20]


@pytest.mark.parametrize(
    ("arguments", "finding"),
    [
        (("sweep", "gadnet", "--width", "16,32"), "2 designs costed, 2 pass, 2 on the front of"),
        (("check", "--no-latency", "--config", str(ROOT / "gadprof.toml")), "✓ 17 rules: 17 hold"),
        (("zoo", "--only", "HRNet-W32"), "2 of 2 published complexities are exact counts"),
        (("doctor", "--store", "off"), ("Everything is installed.", "missing optional parts: ")),
    ],
)
def test_the_finding_stands_in_the_first_line(arguments, finding, run_cli):
    findings = (finding,) if isinstance(finding, str) else finding  # by what is installed
    assert any(words in run_cli(*arguments)[1].splitlines()[0] for words in findings)


@pytest.mark.parametrize("width", [80, 120])
def test_a_narrow_table_of_published_figures_keeps_both_figures_and_the_way_between(width):
    from gadprof.audit.published import rows
    from gadprof.audit.published_kept import kept_rows
    from gadprof.render.console import page_console
    from gadprof.report.zoo_page import zoo_page

    kept = kept_rows(rows())
    assert kept is not None
    text = page_console(zoo_page(kept[:12]), width=width)
    table = text[text.index("Every figure of a network") :]
    for title in ("network", "published complexity", "exact MACs", "2^30"):
        assert title in table
    assert max(map(len, text.splitlines())) <= width
