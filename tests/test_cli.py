"""The command line: one line for bad use, the right exit code, nothing else on standard output."""

from __future__ import annotations

import json

import pytest

from gadprof.cli import COMMANDS


def test_help_lists_every_command_without_importing_any(run_cli):
    code, out, _ = run_cli("--help")
    assert code == 0
    for name in COMMANDS:
        assert name in out


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_in_the_table_exists_and_helps(name, run_cli):
    code, out, _ = run_cli(name, "--help")
    assert code == 0
    assert f"gadprof {name}" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("comparr", "hrnet32"), "did you mean 'compare'"),
        (("compare",), "Missing argument"),
        (("compare", "hrnet23"), "did you mean 'hrnet32'"),
        (("compare", "hrnet32", "--input", "250x192"), "try 256"),
        (("compare", "hrnet32", "--input", "axb"), "is not a shape"),
        (("compare", "hrnet32", "--batch", "0"), "--batch"),
        (("compare", "hrnet32", "-o", "/no/such/folder/x.md"), "mkdir -p /no/such/folder"),
        (("compare", "hrnet32:width=x"), "is not an integer"),
        (("shapes", "hrnet32:nope=1"), "has no knob 'nope'"),
        (("formula", "--cin", "-3"), "positive"),
        (("models", "--knobs", "hrnet33"), "did you mean"),
        (("compare", "missing.py:build"), "does not exist"),
    ],
)
def test_bad_use_gets_one_line_and_exit_2(arguments, words, run_cli):
    code, _, err = run_cli(*arguments)
    assert code == 2
    assert words in err
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_a_row_that_fails_costs_the_others_nothing(run_cli):
    code, out, err = run_cli("compare", "hrnet32", "hrnet99", "gadnet32", "--format", "json")
    rows = json.loads(out)["rows"]
    assert code == 2
    assert [row["model"] for row in rows] == ["hrnet32", "hrnet99", "gadnet32"]
    assert "unknown model" in rows[1]["error"]
    assert rows[2]["params"] == 11_087_121
    assert "error" not in rows[0]
    assert err.count("\n") == 1


def test_compare_as_json_has_its_keys(run_cli):
    code, out, _ = run_cli("compare", "hrnet32", "gadnet32", "--format", "json")
    assert code == 0
    payload = json.loads(out)
    assert payload["schema_version"] == 1
    assert {"rows", "machine", "convention"} <= set(payload)
    first, second = payload["rows"]
    for name in (
        "params", "macs", "flops", "activations", "peak_activation_bytes", "weight_bytes",
    ):  # fmt: skip
        assert isinstance(first[name], int)
        assert second["relative"][name] == second[name] / first[name]


@pytest.mark.parametrize("output_format", ["table", "md", "csv", "latex"])
def test_compare_writes_each_format_to_a_file(output_format, run_cli, tmp_path):
    target = tmp_path / "out.txt"
    code, out, err = run_cli(
        "compare", "hrnet32", "gadnet32", "--format", output_format, "-o", str(target)
    )
    assert (code, out, err) == (0, "", "")
    assert "gadnet32" in target.read_text()


def test_csv_holds_exact_integers(run_cli):
    _, out, _ = run_cli("compare", "hrnet32", "--format", "csv")
    assert "7645003776" in out


def test_a_refused_command_leaves_no_half_written_file(run_cli, tmp_path):
    target = tmp_path / "out.json"
    code, _, _ = run_cli("shapes", "hrnet32:width=zero", "-o", str(target))
    assert code == 2
    assert list(tmp_path.iterdir()) == []


def test_shapes_lists_the_four_branches(run_cli):
    code, out, _ = run_cli("shapes", "gadnet32", "--format", "json")
    assert code == 0
    maps = json.loads(out)["maps"]
    last = [item for item in maps if item["path"].startswith("stage4.1.branches.")]
    assert [(m["channels"], m["height"], m["width"]) for m in last] == [
        (32, 64, 48), (64, 32, 24), (128, 16, 12), (256, 8, 6),
    ]  # fmt: skip


def test_debug_shows_the_traceback(run_cli):
    from gadprof.errors import UnknownNameError

    with pytest.raises(UnknownNameError):
        run_cli("--debug", "shapes", "hrnet99")
