"""The gate as a pipeline meets it: exit codes, every output, the action's steps, the assertions."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt
from unknown_operator import write_graph_with_an_unknown_operator

from gadprof import cli
from gadprof.errors import ConfigError, GadprofError, ModelFailedError
from gadprof.gate.budgets import RatioInterval
from gadprof.gate.check import run_check, traced_figures
from gadprof.gate.config import Budget, read_config

REPOSITORY = Path(__file__).resolve().parents[1]

HOLDS = '[budgets.gadnet32]\nmax_params = "12M"\nmax_macs = "3G"\n'
BROKEN = HOLDS + '[budgets.hrnet32]\nmax_params = "12M"\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    (tmp_path / ".git").mkdir()
    return tmp_path


def configure(folder: Path, text: str) -> None:
    (folder / "gadprof.toml").write_text(text)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (HOLDS, 0),
        (BROKEN, 1),
        ("[budgets.hrnet23]\nmax_params = 1\n", 2),
        ("[budgets.hrnet32]\nmax_parms = 1\n", 2),
        ("", 2),
    ],
)
def test_the_exit_code_says_what_happened(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str, code: int
) -> None:
    configure(folder, text)
    assert cli.run(["check"]) == code
    said = capsys.readouterr()
    assert len(said.err.splitlines()) == (1 if code == 2 else 0)


@pytest.mark.parametrize(("setting", "code"), [("", 1), ('uncounted = "warn"\n', 0)])
def test_a_limit_does_not_pass_on_a_lower_bound_in_silence(
    folder: Path, capsys: pytest.CaptureFixture[str], setting: str, code: int
) -> None:
    write_graph_with_an_unknown_operator(folder / "m.onnx")
    configure(folder, f'{setting}[budgets."m.onnx"]\nmax_macs = 400\n')
    assert cli.run(["check", "--format", "json"]) == code
    kept, told = json.loads(capsys.readouterr().out)["verdicts"]
    assert (kept["status"], kept["actual"]) == ("pass", 384)
    assert kept["message"].startswith("at least 384 MACs")
    assert (told["rule"], told["status"]) == ("uncounted", "fail" if code else "warn")
    assert "Mystery" in told["message"]


def test_without_any_configuration_the_way_out_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["check"]) == 2
    assert "[budgets.gadnet32]" in capsys.readouterr().err


def test_one_budget_can_be_judged_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(folder, BROKEN)
    assert cli.run(["check", "gadnet32"]) == 0
    assert cli.run(["check", "gadnet23"]) == 2
    assert "did you mean 'gadnet32'" in capsys.readouterr().err


def test_the_json_is_whole_and_alone_on_standard_output(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(folder, BROKEN)
    assert cli.run(["check", "--format", "json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    failed = [v for v in document["verdicts"] if v["status"] == "fail"]
    assert [(v["budget"], v["rule"], v["actual"], v["limit"]) for v in failed] == [
        ("hrnet32", "max_params", 28_536_113, 12_000_000)
    ]


def test_github_sees_an_error_at_the_line_of_the_rule(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(folder, BROKEN)
    assert cli.run(["check", "--format", "github"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("::error file=gadprof.toml,line=5,title=hrnet32%3A max_params::")
    assert lines[-1].startswith("::notice ")


def test_one_run_writes_every_file_a_pipeline_wants(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(folder, BROKEN)
    (folder / "summary.md").write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(folder / "summary.md"))
    words = ["check", "--junit", "j.xml", "--json", "j.json", "--save-baseline", "b.json"]
    assert cli.run(words) == 1
    root = ET.fromstring((folder / "j.xml").read_text())
    assert (root.attrib["tests"], root.attrib["failures"]) == ("3", "1")
    assert json.loads((folder / "j.json").read_text())["ok"] is False
    summary = (folder / "summary.md").read_text()
    assert summary.startswith("before\n### ✗ gadprof check: 3 rules: 2 hold, 1 broken")
    tokens = MarkdownIt("commonmark").enable("table").parse(summary)
    assert sum(token.type == "table_open" for token in tokens) == 2


def test_growth_is_judged_against_a_saved_baseline(folder: Path) -> None:
    configure(folder, '[budgets.small]\nmodel = "gadnet32:s=4"\nmax_macs = "9G"\n')
    assert cli.run(["check", "--save-baseline", "base.json"]) == 0
    kept = json.loads((folder / "base.json").read_text())
    kept["rows"][0]["macs"] -= 1
    (folder / "base.json").write_text(json.dumps(kept))
    rule = '[budgets.small]\nmodel = "gadnet32:s=4"\nmax_growth = {{ macs = "{}" }}\n'
    configure(folder, rule.format("1%"))
    assert cli.run(["check", "--baseline", "base.json"]) == 0
    configure(folder, rule.format("0%"))
    assert cli.run(["check", "--baseline", "base.json"]) == 1


@pytest.mark.parametrize("named", ["file:before.json", "before.json"])
@pytest.mark.parametrize("arguments", [[], ["--config", "../gadprof.toml"]])
def test_the_configurations_baseline_file_is_found_from_a_folder_below(
    folder: Path, monkeypatch: pytest.MonkeyPatch, named: str, arguments: list[str]
) -> None:
    rule = '[budgets.gadnet32]\nmax_growth = { params = "0%" }\n'
    configure(folder, f'baseline = "{named}"\n{rule}')
    row = {"model": "gadnet32", "input": [3, 256, 192], "batch": 1}
    kept = {"rows": [{**row, "params": 11_087_121}]}
    (folder / "before.json").write_text(json.dumps(kept))
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")
    assert cli.run(["check", "--store", "off", *arguments]) == 0
    kept = {"rows": [{**row, "params": 11_087_120}]}
    (folder / "before.json").write_text(json.dumps(kept))
    assert cli.run(["check", "--store", "off", *arguments]) == 1


def test_a_baseline_of_another_input_is_not_compared(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(folder, "[budgets.gadnet32]\ninput = '3x128x96'\nmax_macs = '9G'\n")
    assert cli.run(["check", "--save-baseline", "base.json"]) == 0
    configure(folder, "[budgets.gadnet32]\nmax_growth = '2%'\n")
    assert cli.run(["check", "--baseline", "base.json", "--format", "json"]) == 1
    said = json.loads(capsys.readouterr().out.partition("{")[2].join(["{", ""]))
    assert "the baseline's input was 3x128x96" in said["verdicts"][0]["message"]


def test_a_check_is_kept_in_the_store(folder: Path) -> None:
    configure(folder, HOLDS)
    assert cli.run(["check", "--store", "s.sqlite"]) == 0
    assert cli.run(["history", "gadnet32", "--store", "s.sqlite"]) == 0


def judged(ratio: RatioInterval | Exception) -> Any:
    config = read_config(
        {"budgets": {"gadnet32": {"max_latency_ratio": 0.9, "reference": "hrnet32"}}}
    )

    def measure(budget: Budget) -> RatioInterval:
        if isinstance(ratio, Exception):
            raise ratio
        return ratio

    return run_check(config, measure=measure)[0]


@pytest.mark.parametrize(
    ("ratio", "status", "code"),
    [
        (RatioInterval(0.8, 0.7, 0.9, "hrnet32"), "pass", 0),
        (RatioInterval(0.95, 0.85, 1.05, "hrnet32"), "warn", 0),
        (RatioInterval(1.0, 0.95, 1.05, "hrnet32"), "fail", 1),
        (ModelFailedError("it crashed"), "error", 1),
    ],
)
def test_a_latency_gates_only_where_its_interval_is_wholly_beyond(
    ratio: RatioInterval | Exception, status: str, code: int
) -> None:
    result = judged(ratio)
    assert [verdict.status for verdict in result.verdicts] == [status]
    assert result.exit_code == code


def test_exact_budgets_are_judged_without_torch(folder: Path) -> None:
    configure(folder, HOLDS)
    code = (
        "import sys; from gadprof import cli; code = cli.run(['check']);"
        "assert not {'torch', 'numpy', 'pandas', 'matplotlib'} & set(sys.modules); sys.exit(code)"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, check=False)
    assert done.returncode == 0


# --- the action ---


def action() -> dict[str, Any]:
    loaded = yaml.safe_load((REPOSITORY / "action.yml").read_text())
    assert isinstance(loaded, dict)
    return loaded


def value_of(expression: str, inputs: dict[str, str]) -> str:
    known = {
        **{f"inputs.{key}": value for key, value in inputs.items()},
        "github.action_path": str(REPOSITORY),
        "steps.check.outputs.json": "",
    }

    def replace(match: re.Match[str]) -> str:
        return next(filter(None, (known[word.strip()] for word in match[1].split("||"))), "")

    return re.sub(r"\$\{\{(.*?)\}\}", replace, expression)


def run_step(name: str, folder: Path, **given: str) -> tuple[int, dict[str, str], str]:
    """Run a step of the action as the runner does; exit code, outputs and what it printed."""
    described = action()
    inputs = {key: str(item.get("default", "")) for key, item in described["inputs"].items()}
    inputs |= {"python": sys.executable, **given}
    (step,) = [step for step in described["runs"]["steps"] if step["id"] == name]
    output = folder / "output"
    output.write_text("")
    environment = {
        **os.environ,
        **{key: value_of(str(value), inputs) for key, value in step["env"].items()},
        "PYTHONPATH": str(REPOSITORY),
        "RUNNER_TEMP": str(folder / "temp"),
        "GITHUB_OUTPUT": str(output),
        "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
    }
    (folder / "temp").mkdir(exist_ok=True)
    script = folder / "step.sh"
    script.write_text(step["run"])
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    outputs = dict(line.split("=", 1) for line in output.read_text().splitlines())
    return done.returncode, outputs, done.stdout + done.stderr


needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="the action's steps need bash")


@needs_bash
@pytest.mark.parametrize(
    ("text", "code", "result"),
    [(HOLDS, 0, "pass"), (BROKEN, 1, "fail"), ("[budget.x]\n", 2, "error")],
)
def test_the_actions_check_step_gates_and_gives_a_comment(
    folder: Path, text: str, code: int, result: str
) -> None:
    configure(folder, text)
    returned, outputs, said = run_step("check", folder)
    assert returned == code, said
    assert outputs["result"] == result
    comment = Path(outputs["summary"]).read_text()
    assert comment.startswith("### ")
    assert (folder / "summary.md").read_text() == comment
    assert ("::error" in said) == (result == "fail")
    if code != 2:
        assert json.loads(Path(outputs["json"]).read_text())["ok"] is (code == 0)
        ET.fromstring(Path(outputs["junit"]).read_text())


@needs_bash
def test_the_actions_inputs_are_words_and_never_shell(folder: Path) -> None:
    configure(folder, HOLDS)
    (folder / "odd $(touch pwned) name.toml").write_text(HOLDS)
    code, _, said = run_step("check", folder, config="odd $(touch pwned) name.toml")
    assert code == 0, said
    run_step("check", folder, budgets="$(touch pwned) ; touch pwned", baseline="`touch pwned`")
    assert not (folder / "pwned").exists()
    scripts = [step["run"] for step in action()["runs"]["steps"]]
    assert not [script for script in scripts if "${{" in script]


IMPOSTOR = """
import os, pathlib, sys
pathlib.Path({ran!r}).touch()
for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"):
    if name in os.environ:
        open(os.environ[name], "a").write("result=pass\\n")
os._exit(0)
"""


@needs_bash
@pytest.mark.parametrize("name", ["click", "gadprof", "torch", "json", "runpy", "pip", "random"])
def test_a_file_of_the_pull_request_does_not_stand_in_for_a_module(folder: Path, name: str) -> None:
    configure(folder, BROKEN)
    (folder / f"{name}.py").write_text(IMPOSTOR.format(ran=str(folder / "ran")))
    code, outputs, said = run_step("check", folder)
    assert (code, outputs["result"]) == (1, "fail"), said
    assert not (folder / "ran").exists()


@needs_bash
def test_a_model_of_the_pull_request_cannot_speak_to_the_runner(folder: Path) -> None:
    (folder / "net.py").write_text(
        "import os, torch\n\ndef build():\n"
        "    assert not [n for n in os.environ if n in ('GITHUB_OUTPUT', 'GITHUB_TOKEN')]\n"
        "    return torch.nn.Conv2d(3, 8, 3)\n"
    )
    configure(folder, '[budgets.net]\nmodel = "net.py:build"\ninput = "3x8x8"\nmax_params = 224\n')
    code, outputs, said = run_step("check", folder)
    assert (code, outputs["result"]) == (0, "pass"), said


@needs_bash
def test_no_verdict_is_no_pass(folder: Path) -> None:
    configure(folder, HOLDS)
    silent = folder / "silent"
    silent.write_text(f'#!/bin/sh\n[ "$1" = -I ] && exec {sys.executable} "$@"\nexit 0\n')
    silent.chmod(0o755)
    code, outputs, said = run_step("check", folder, python=str(silent))
    assert (code, outputs["result"]) == (2, "error")
    assert "ended without a verdict" in said


@needs_bash
def test_every_line_of_the_actions_budgets_is_judged(folder: Path) -> None:
    configure(folder, BROKEN)
    assert run_step("check", folder, budgets="gadnet32")[1]["result"] == "pass"
    code, outputs, said = run_step("check", folder, budgets="gadnet32\nhrnet32\n")
    assert (code, outputs["result"]) == (1, "fail"), said


def test_a_budget_without_rules_is_refused(folder: Path, capsys: Any) -> None:
    configure(folder, "[budgets.hrnet32]\nbatch = 2\n")
    assert cli.run(["check"]) == 2
    assert "budgets.hrnet32 has no rule" in capsys.readouterr().err


@needs_bash
def test_the_actions_report_step_fails_on_a_stale_page(folder: Path) -> None:
    configure(folder, '[report]\nmodels = ["gadnet32"]\n')
    assert cli.run(["report"]) == 0
    assert run_step("report", folder, report="reports")[0] == 0
    page = folder / "reports" / "report.md"
    page.write_text(page.read_text() + "edited\n")
    assert run_step("report", folder, report="reports")[0] == 1


@needs_bash
def test_the_actions_install_step_can_be_left_out(folder: Path) -> None:
    code, _, said = run_step("install", folder, install="no")
    assert (code, said) == (0, "")


def test_the_readmes_ways_into_a_pipeline_exist(folder: Path) -> None:
    import yaml

    from gadprof.gate.config import load_config

    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    action = yaml.safe_load((REPOSITORY / "action.yml").read_text(encoding="utf-8"))
    (step,) = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[0])
    assert set(step["with"]) <= set(action["inputs"])
    (table,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    path = Path("readme.toml")
    path.write_text(table)
    (budget,) = load_config(str(path)).budgets
    assert (budget.name, budget.limits["max_params"]) == ("gadnet32", 11_300_000)
    hooks = {item["id"] for item in yaml.safe_load(
        (REPOSITORY / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))}  # fmt: skip
    assert hooks == {name for name in hooks if f"`{name}`" in text}


def test_the_hooks_name_commands_that_exist() -> None:
    hooks = yaml.safe_load((REPOSITORY / ".pre-commit-hooks.yaml").read_text())
    assert [hook["id"] for hook in hooks] == ["gadprof-check", "gadprof-report"]
    for hook in hooks:
        program, command, *options = hook["entry"].split()
        assert program == "gadprof"
        known = {
            text for parameter in cli.app.get_command(None, command).params  # type: ignore[union-attr, arg-type]
            for text in parameter.opts
        }  # fmt: skip
        assert set(options) <= known


# --- the pytest plugin ---

pytest_plugins = ["pytester"]

# where gadprof is installed, its entry point has loaded the plugin already
INSTALLED = any(point.name == "gadprof" for point in metadata.entry_points(group="pytest11"))
PLUGIN = () if INSTALLED else ("-p", "gadprof.gate.pytest_plugin")


def test_loading_the_plugin_imports_nothing_heavy() -> None:
    code = (
        "import sys, gadprof.gate.pytest_plugin;"
        "assert not {'torch', 'numpy', 'pandas', 'matplotlib', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_budget_is_an_assert_with_a_good_message(pytester: pytest.Pytester) -> None:
    pytester.makefile(".toml", gadprof=BROKEN)
    pytester.makepyfile(
        """
        def test_cost(gadprof):
            assert gadprof.cost("gadnet32").macs <= 3e9

        def test_within(gadprof):
            gadprof.assert_within("gadnet32", (3, 256, 192), max_params="12M")

        def test_beyond(gadprof):
            gadprof.assert_within("hrnet32", max_params="12M", max_macs="1G")

        def test_written(gadprof):
            assert gadprof.assert_budget("gadnet32").count("pass") == 2

        def test_written_and_broken(gadprof):
            gadprof.assert_budget()

        def test_no_rule(gadprof):
            gadprof.assert_within("hrnet32")
        """
    )
    result = pytester.runpytest(*PLUGIN, "-p", "no:cacheprovider")
    result.assert_outcomes(passed=3, failed=3)
    result.stdout.fnmatch_lines(
        [
            "*AssertionError: 2 of 2 budget rules do not hold",
            "*hrnet32: max_params: 28,536,113 parameters, limit 12,000,000: 16,536,113 over*",
            "*hrnet32: max_macs: 7,645,003,776 MACs*",
            "*ConfigError: assert_within has no rule to judge*",
        ]
    )


def test_a_lower_bound_is_an_assertion_or_a_warning(pytester: pytest.Pytester) -> None:
    write_graph_with_an_unknown_operator(pytester.path / "m.onnx")
    (pytester.path / "gadprof.toml").write_text('[budgets."m.onnx"]\nmax_macs = 400\n')
    pytester.makepyfile(
        """
        import pytest

        def test_module(gadprof):
            with pytest.raises(AssertionError, match="uncounted: MACs: at least.*Mystery"):
                gadprof.assert_within("m.onnx", max_macs=400)
            with pytest.raises(AssertionError, match="uncounted: MACs: at least.*Mystery"):
                gadprof.assert_budget()
            with pytest.warns(UserWarning, match="at least.*Mystery"):
                gadprof.assert_within("m.onnx", max_macs=400, uncounted="warn")
        """
    )
    result = pytester.runpytest(*PLUGIN, "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)


def test_a_module_is_counted_in_a_test(pytester: pytest.Pytester) -> None:
    pytest.importorskip("gadprof.counting.count")
    pytester.makepyfile(
        """
        import pytest, torch

        def test_module(gadprof):
            model = torch.nn.Conv2d(3, 8, 3, bias=False)
            assert gadprof.count(model, (1, 3, 10, 10)).macs == 8 * 8 * 8 * 27
            gadprof.assert_within(model, (1, 3, 10, 10), max_params=216, max_kernels=1,
                                  min_coverage="100%")
            with pytest.raises(AssertionError, match="216 parameters, limit 215"):
                gadprof.assert_within(model, (1, 3, 10, 10), max_params=215)
        """
    )
    result = pytester.runpytest(*PLUGIN, "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)


# --- the store and baselines, from the command line ---


def test_compare_against_what_was_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep = ["--store", "s.sqlite"]
    assert cli.run(["compare", "gadnet32", "--save-as", "before", *keep]) == 0
    capsys.readouterr()
    words = ["compare", "gadnet32", "--baseline", "before", "--format", "json", *keep]
    assert cli.run(words) == 0
    document = json.loads(capsys.readouterr().out)
    (row,) = document["baseline"]["rows"]
    assert row["relative"]["macs"] == 1.0
    for output_format in ("table", "csv", "md", "latex"):
        words = ["compare", "gadnet32", "--baseline", "before", "--format", output_format, *keep]
        assert cli.run(words) == 0
    assert cli.run(["compare", "gadnet32", "--baseline", "befor", *keep]) == 2
    assert "did you mean 'before'" in capsys.readouterr().err


def test_history_lists_and_draws(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep = ["--store", "s.sqlite"]
    assert cli.run(["compare", "gadnet32", "hrnet32", *keep]) == 0
    capsys.readouterr()
    assert cli.run(["history", "gadnet32", "--format", "json", *keep]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["entries"]
    assert entry["kind"] == "cost"
    assert entry["settings"]["input"] == [[3, 256, 192]]
    assert cli.run(["history", *keep]) == 0
    assert cli.run(["history", "gadnet32", "--plot", "h.svg", *keep]) == 0
    ET.fromstring((folder / "h.svg").read_text())


def test_a_history_draws_a_line_for_each_input_and_batch(folder: Path) -> None:
    from gadprof.store.history import history_plot
    from gadprof.store.store import Store

    keep = ["--store", "s.sqlite"]
    for words in ([], ["--batch", "2"], [], ["--input", "3x128x96"]):
        assert cli.run(["compare", "gadnet32", *words, *keep]) == 0
    with Store("s.sqlite", create=False) as store:
        data = history_plot("gadnet32", store.entries("gadnet32"), "macs").data
    groups = [point["group"] for point in data["points"]]
    assert groups[0] == groups[2] == "3x256x192, batch 1"
    assert len(set(groups)) == 3
    assert [[x for x, _ in line["points"]] for line in data["lines"]] == [[1, 3]]


def test_an_error_about_a_very_long_name_stays_readable(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["report", "x" * 10_000]) == 2
    said = capsys.readouterr().err
    assert len(said) < 1600
    assert "gadprof models" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["history", "gadnet23"], "did you mean 'gadnet32'"),
        (["history", "gadnet32", "--plot", "h.gif"], "no svg, pdf or png"),
        (["history", "gadnet32", "--plot", "h.svg", "--quantity", "latency_s"], "--quantity"),
        (["history", "--plot", "h.svg"], "needs a MODEL"),
    ],
)
def test_a_history_that_is_not_there_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert cli.run(["compare", "gadnet32", "--store", "s.sqlite"]) == 0
    assert cli.run([*words, "--store", "s.sqlite"]) == 2
    assert said in capsys.readouterr().err


def test_a_comparison_is_printed_although_the_default_store_is_damaged(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "s.sqlite").write_bytes(b"not a store")
    monkeypatch.setenv("GADPROF_STORE", str(folder / "s.sqlite"))
    assert cli.run(["compare", "gadnet32"]) == 0
    said = capsys.readouterr()
    assert "gadnet32" in said.out
    assert said.err.count("\n") == 1
    assert cli.run(["compare", "gadnet32", "--store", "s.sqlite"]) == 2
    assert (folder / "s.sqlite").read_bytes() == b"not a store"


# --- completion ---


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_is_the_shells(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["completion", shell]) == 0
    assert f"_GADPROF_COMPLETE={shell}_complete" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("typed", "word", "expected"),
    [("gadprof comp", 1, "compare"), ("gadprof compare gad", 2, "gadnet32")],
)
def test_commands_and_models_complete(typed: str, word: int, expected: str) -> None:
    environment = {
        **os.environ,
        "_GADPROF_COMPLETE": "bash_complete",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(word),
        "PYTHONPATH": str(REPOSITORY),
    }
    done = subprocess.run(
        [sys.executable, "-m", "gadprof"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"plain,{expected}" in done.stdout.splitlines()


# --- traced figures ---


def test_launched_operations_leave_views_out_and_count_the_unknown() -> None:
    class Operation:
        def __init__(self, name: str, kind: str) -> None:
            self.name, self.overload, self.kind = name, "default", kind

    class Recorded:
        forward = (
            Operation("aten.convolution", "convolution"),
            Operation("aten.view", "view"),
            Operation("aten.cat", "concatenation"),
            Operation("aten.relu", "activation"),
        )
        uncovered: dict[str, int] = {"my.op": 2}  # noqa: RUF012

    figures = traced_figures(Recorded())  # type: ignore[arg-type]
    assert figures["kernels"] == 5
    assert figures["coverage"] == 0.5
    assert figures["uncovered"] == ["my.op"]


def test_every_error_of_the_gate_is_one_of_ours() -> None:
    assert issubclass(ConfigError, GadprofError)
