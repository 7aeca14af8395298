"""The command line: one line for bad use, the right exit code, nothing else on standard output."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys

import pytest

from gadprof.cli import COMMANDS, main


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
        (("compare",), "MODEL... is missing; type for example: gadprof compare hrnet32 gadnet32"),
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


def test_one_unknown_model_is_told_once_and_without_a_table(run_cli):
    code, out, err = run_cli("compare", "hrnet23")
    assert (code, out) == (2, "")
    assert err.count("hrnet23") == 1
    assert "did you mean 'hrnet32'" in err


def test_thop_is_the_distribution_that_is_installed(monkeypatch):
    from gadprof.audit import backends

    monkeypatch.setattr(
        backends, "distribution_of", lambda name: None if name == "thop" else (name, "1")
    )
    assert backends.parse_backends("thop,fvcore") == ("ultralytics-thop", "fvcore")
    monkeypatch.setattr(backends, "distribution_of", lambda name: None)
    assert backends.parse_backends("thop") == ("thop",)  # neither: its own way out is told


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (("predict", "gadnet32", "--image", "x.jpg"), "give --weights"),
        (("evaluate", "gadnet32", "--weights", "x", "--torch-device", "cpu"), "--data"),
        (("redundancy", "--image", "x.jpg", "--figure", "x.txt"), "--plot x.txt is not"),
        (("sweep", "gadnet", "--show", "0"), "--limit"),
        (("paper", "--nearest", "3"), "--limit goes with --search"),
    ],
)
def test_a_former_spelling_still_reaches_its_command(old, new, run_cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run_cli(*old)
    assert (code, out) == (2, "")
    assert new in err


def test_a_fault_of_ours_is_one_line_with_exit_2_and_debug_shows_it(run_cli, monkeypatch):
    from gadprof.networks import spec

    def broken() -> dict[str, object]:
        raise RuntimeError("unforeseen\nin two lines")

    monkeypatch.setattr(spec, "presets", broken)
    code, out, err = run_cli("models")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "this is a fault of gadprof: RuntimeError: unforeseen in two lines" in err
    with pytest.raises(RuntimeError):
        run_cli("models", "--debug")


def test_a_working_line_says_nothing_where_there_is_no_terminal(capsys):
    from gadprof.render.progress import Working

    with Working("counting", 3) as work:
        work.at("a\x1b[2J", 1)
    assert capsys.readouterr() == ("", "")


def test_a_working_line_shows_what_is_worked_on_and_leaves_no_trace():
    """On a terminal, after its delay; a name's control codes are shown, not obeyed."""
    import os
    import pty
    import subprocess
    import sys

    script = (
        "from gadprof.render import progress\n"
        "progress.DELAY_S = 0.0\n"
        "with progress.Working('counting', 4) as work:\n"
        "    work.at('evil\\x07net', 1); input()\n"
    )
    leader, follower = pty.openpty()
    working = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stderr=follower
    )
    os.close(follower)
    shown = b""
    while b"net" not in shown:
        shown += os.read(leader, 4096)
    working.communicate(b"\n", timeout=60)
    assert working.returncode == 0
    with contextlib.suppress(OSError):  # the terminal's end
        while part := os.read(leader, 4096):
            shown += part
    os.close(leader)
    assert shown.endswith(b"\x1b[2K")
    text = shown.decode()
    assert "counting evil<U+0007>net" in text
    assert "\x07" not in text


def test_an_interrupt_while_the_program_is_being_loaded_ends_in_one_line(tmp_path):
    (tmp_path / "click.py").write_text("raise KeyboardInterrupt\n")  # Ctrl-C at its import
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
    script += "from gadprof.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "gadprof: interrupted\n")


INTERRUPTED = """
import signal, sys, time, weakref

class Interrupting:
    def __set_name__(self, owner, name):
        signal.raise_signal(signal.SIGINT)

class Left:
    pass

class Finalised:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

def in_a_callback():
    left = Left()
    kept = weakref.ref(left, lambda _: signal.raise_signal(signal.SIGINT))
    del left

def in_a_finaliser():
    Finalised()

def in_the_making_of_a_class():
    type("Made", (), {"member": Interrupting()})

def command(*words, **options):
    globals()[sys.argv[1]]()
    time.sleep(30)

import gadprof.cli
setattr(gadprof.cli if sys.argv[2] == "loading" else gadprof.cli.app, "main", command)
from gadprof.__main__ import main
main()
"""


@pytest.mark.parametrize("place", ["loading", "running"])
@pytest.mark.parametrize("where", ["in_a_callback", "in_a_finaliser", "in_the_making_of_a_class"])
def test_ctrl_c_ends_a_command_where_python_would_drop_it(where: str, place: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, where, place],
        capture_output=True,
        text=True,
        timeout=20,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert (done.returncode, done.stderr) == (130, "gadprof: interrupted\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("train", "gadnet32", "--data", "x", "-o", ""),
            "'' names no folder; name one, or leave -o",
        ),
        (
            ("train", "gadnet32", "--data", "", "--images", "x"),
            "no folder; name one, or leave --data",
        ),
        (
            ("report", "gadnet32", "--data", "x", "--data="),
            "no file; name one, or leave --data out",
        ),
        (("count", "gadnet32", "--store="), "no file; name one, or leave --store out"),
        (("count", "gadnet32", "--weights="), "no file; name one, or leave --weights out"),
    ],
)
def test_an_empty_name_of_a_file_is_no_option_left_out(words, said, run_cli):
    code, out, errors = run_cli(*words)
    assert (code, out) == (2, "")
    assert said in errors


def test_a_summary_into_a_variable_that_is_not_set_is_left_out(run_cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gadprof.toml").write_text('[budgets.gadnet32]\nmax_macs = "9G"\n')
    assert run_cli("check", "--summary", "")[0] == 0


@pytest.mark.parametrize("size", ["9" * 5000, "\u00b2", "-1", "", "eighty"])
def test_a_size_that_no_terminal_has_is_as_none(size, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", size)
    monkeypatch.setenv("LINES", size)
    with pytest.raises(SystemExit) as end:
        main(["compare", "gadnet32"])
    assert end.value.code == 0
    assert "gadnet32" in capsys.readouterr().out


def test_torchs_folder_for_what_it_compiles_goes_where_it_is_empty(tmp_path, monkeypatch):
    for name in ("torchinductor_me", "mine"):
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(folder))
        with pytest.raises(SystemExit):
            main(["--version"])
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]  # which somebody named
