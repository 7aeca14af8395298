"""What leaves the program: files as they were, any kind of stream, no raw control code."""

from __future__ import annotations

import io
import json
import os
import re
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gadprof.errors import OutputError
from gadprof.output import (
    check_writable,
    choose_output,
    fitted,
    harmless,
    tell,
    write_atomic,
)

ROOT = Path(__file__).resolve().parents[1]
MODELS = ("models", "--format", "csv")


def gadprof(*arguments: str, **options) -> subprocess.CompletedProcess[bytes]:  # type: ignore[no-untyped-def]
    """Run the program as a shell does."""
    return subprocess.run(
        [sys.executable, "-m", "gadprof", *arguments], check=False, timeout=120, **options
    )


def shell(line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", line.replace("gadprof", f"{sys.executable} -m gadprof")],
        check=False, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


# --- files ----------------------------------------------------------------------------------------


def test_a_new_file_has_the_masks_mode_and_an_old_one_keeps_its_own(tmp_path):
    new, old = tmp_path / "new.csv", tmp_path / "old.csv"
    old.write_text("before")
    old.chmod(0o600)
    write_atomic(new, "after")
    write_atomic(old, "after")
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(new.stat().st_mode) == 0o666 & ~mask
    assert (stat.S_IMODE(old.stat().st_mode), old.read_text()) == (0o600, "after")


def test_a_read_only_file_is_refused_and_left_as_it_was_also_for_root(tmp_path, run_cli):
    target = tmp_path / "kept.csv"
    target.write_text("before")
    target.chmod(0o444)
    code, out, err = run_cli(*MODELS, "-o", str(target))
    assert (code, out) == (2, "")
    assert "may not be written" in err
    assert target.read_text() == "before"


def test_a_symbolic_link_stays_a_link_and_its_target_is_written(tmp_path, run_cli):
    target, link = tmp_path / "target.csv", tmp_path / "link.csv"
    target.write_text("before")
    link.symlink_to(target)
    assert run_cli(*MODELS, "-o", str(link)) == (0, "", "")
    assert link.is_symlink()
    assert "hrnet32" in target.read_text()


def test_a_hard_link_is_kept(tmp_path, run_cli):
    one, other = tmp_path / "one.csv", tmp_path / "other.csv"
    one.write_text("before")
    os.link(one, other)
    assert run_cli(*MODELS, "-o", str(one)) == (0, "", "")
    assert one.stat().st_ino == other.stat().st_ino
    assert "hrnet32" in other.read_text()


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="no /dev/null here")
def test_a_device_is_written_through(run_cli):
    before = os.stat("/dev/null")
    assert run_cli(*MODELS, "-o", "/dev/null") == (0, "", "")
    after = os.stat("/dev/null")
    assert stat.S_ISCHR(after.st_mode)
    assert (after.st_ino, after.st_rdev) == (before.st_ino, before.st_rdev)


def test_a_pipe_with_a_name_is_written_through(tmp_path, run_cli):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.append(path.read_text()), daemon=True)
    reader.start()
    assert run_cli(*MODELS, "-o", str(path)) == (0, "", "")
    reader.join(10)
    assert "hrnet32" in found[0]
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    target = tmp_path / "x.csv"
    target.write_text("before")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        write_atomic(target, "after")
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("name", ["x" * 300, "a\0b"])
def test_a_name_that_no_file_can_have_is_refused_in_one_line(name, tmp_path, run_cli):
    code, _, err = run_cli(*MODELS, "-o", str(tmp_path / name))
    assert code == 2
    assert err.startswith("gadprof: cannot write")
    assert err.count("\n") == 1


# --- the form -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "starts"),
    [
        ("x.json", "{"),
        ("x.csv", "model,"),
        ("x.md", "gadnet32 needs 62.1 % fewer MACs"),
        ("x.tex", "\\begin"),
        ("x", "gadnet32 needs 62.1 % fewer MACs"),
    ],
)
def test_the_suffix_names_the_form(name, starts, tmp_path, run_cli):
    target = tmp_path / name
    assert run_cli("compare", "hrnet32", "gadnet32", "-o", str(target))[0] == 0
    assert target.read_text().lstrip().startswith(starts)


@pytest.mark.parametrize(
    ("form", "name", "words"),
    [
        ("csv", "x.json", "-o x.json says json and --format says csv"),
        (None, "x.parquet", "cannot be parquet here; -o writes table, json"),
        (None, "x.svg", "is a picture; -o writes table, json, --plot draws"),
    ],
)
def test_a_suffix_that_contradicts_is_refused(form, name, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError) as caught:
        choose_output(form, name, ("table", "json", "csv")[: 3 if form else 2])
    assert words in str(caught.value)


def test_a_sweep_writes_its_front_by_suffix_and_its_designs_as_parquet(tmp_path, run_cli):
    pytest.importorskip("pyarrow", reason="needs gadprof[sweep]")
    front, designs = tmp_path / "s.csv", tmp_path / "s.parquet"
    space = ("sweep", "gadnet", "--width", "16:32:8", "--s", "2,3")
    assert run_cli(*space, "-o", str(front))[:2] == (0, "")
    assert front.read_text().startswith("model,params,macs")
    code, out, _ = run_cli(*space, "--format", "csv", "-o", str(designs))
    assert (code, out) == (0, front.read_text())
    assert designs.read_bytes()[:4] == b"PAR1"


# --- streams --------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("command", ["count hrnet32", "compare hrnet32", "models", "--help"])
def test_a_full_disk_under_standard_output_is_one_line_and_not_0(command):
    done = shell(f"gadprof {command} > /dev/full")
    assert done.returncode == 2
    assert "No space left" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_closed_standard_output_is_one_line_and_not_0():
    done = shell("gadprof count hrnet32 --store off >&-")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "standard output is closed" in done.stderr


def test_a_reader_that_has_gone_is_no_fault():
    done = shell("set -o pipefail; gadprof models --format json | head -c 10")
    assert done.stderr == ""


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1"])
@pytest.mark.parametrize("command", [("compare", "hrnet32", "gadnet32"), ("check", "--help")])
def test_a_poor_encoding_gets_near_characters(encoding, command):
    done = gadprof(*command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding})
    assert (done.returncode, done.stderr) == (0, b"")
    done.stdout.decode(encoding)


def test_json_stays_json_in_a_poor_encoding_and_with_control_codes():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    text = '{\n "µ": "\x9b31m 😀"\n}'
    assert json.loads(fitted(harmless(text), stream)) == json.loads(text)
    assert fitted(harmless(text), stream).isascii()


# --- control codes --------------------------------------------------------------------------------

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\x90q\x9c\u202e"


def raw_codes(text: str) -> list[str]:
    """Every control character but the line's end and the tab."""
    return [
        char for char in text if (ord(char) < 32 and char not in "\n\t") or 127 <= ord(char) < 160
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ("compare", f"hrnet32:{EVIL}"),
        ("count", f"{EVIL}.py:build"),
        ("shapes", EVIL),
        ("check", "--config", f"/nowhere/{EVIL}.toml"),
        ("compare", "hrnet32", "-o", f"/nowhere{EVIL}/x.md"),
        ("compare", "hrnet32", EVIL, "--format", "json"),
        ("compare", "hrnet32", EVIL, "--format", "md"),
        ("formula", "--cin", EVIL),
        (EVIL,),
    ],
)
def test_no_control_code_of_a_name_reaches_the_terminal(arguments, run_cli):
    code, out, err = run_cli(*arguments)
    assert code == 2
    assert raw_codes(out + err) == []


def test_no_control_code_of_an_exception_reaches_the_terminal(tmp_path, run_cli):
    source = tmp_path / "evil.py"
    source.write_text(f"def build():\n    raise RuntimeError({EVIL!r})\n")
    for command in ("count", "compare"):
        code, out, err = run_cli(command, f"{source}:build")
        assert code in (1, 2)
        assert "owned" in err
        assert raw_codes(out + err) == []


def test_colour_is_there_where_it_is_asked_for_and_nothing_else(run_cli):
    plain = run_cli("compare", "hrnet32", "gadnet32")[1]
    coloured = run_cli("--color", "always", "compare", "hrnet32", "gadnet32")[1]
    assert "\x1b[" not in plain
    assert "\x1b[1m" in coloured
    assert "\x1b[" not in run_cli("compare", "hrnet32", "gadnet32", "--color=never")[1]


def test_only_one_file_writes_to_a_terminal():
    """Everything else hands its text to gadprof.output, which escapes it."""
    import ast

    import gadprof as package

    root = Path(package.__file__).parent
    child = {"measuring/worker.py", "audit/counter_worker.py"}  # their streams are pipes
    found = []
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if name == "output.py" or name in child:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called in (
                "print",
                "click.echo",
                "click.secho",
                "sys.stdout.write",
                "sys.stderr.write",
            ):
                found.append(f"{name}:{node.lineno}: {called}")
    assert found == []


def test_prose_is_wrapped_to_a_terminal_and_a_tables_lines_are_not():
    from gadprof.output import wrapped

    table = "model   params   " + "x" * 90
    text = f"  {'word ' * 30}\n{table}\n{'y' * 120}"
    made = wrapped(text, 80).split("\n")
    assert max(len(line) for line in made[:-2]) <= 80
    assert all(line.startswith("  word") for line in made[:-2])
    assert made[-2:] == [table, "y" * 120]  # nothing that has no blank is broken


@pytest.mark.parametrize(
    ("done", "total", "seconds", "words"),
    [
        (0, None, 5, "counting · 5 s"),
        (1, 4, 30, "counting · 1 of 4 · 30 s · about 1 min 30 s left"),
        (4, 4, 30, "counting · 4 of 4 · 30 s"),
        (1, 100, 90, "counting · 1 of 100 · 1 min 30 s · about 2 h 28 min left"),
    ],
)
def test_a_progress_line_says_how_far_and_how_long(done, total, seconds, words):
    from gadprof.render.progress import Working

    work = Working("counting", total)
    work.at("", done)
    assert work._words(work._started + seconds) == words


def test_colour_means_something(run_cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gadprof.toml").write_text(
        '[budgets.hrnet32]\nmax_params = "29M"\nmax_macs = "1G"\n'
    )
    code, out, _ = run_cli("--color", "always", "check")
    assert code == 1
    assert "\x1b[1;31m✗ 2 rules" in out  # the verdict first, bold and red
    assert "\x1b[32m✓" in out
    bare = re.sub(r" *$", "", re.sub(r"\x1b\[[0-9;]*m", "", out), flags=re.MULTILINE)
    assert bare == run_cli("check")[1]  # colour adds nothing and takes nothing away


@pytest.mark.parametrize(
    ("environment", "asked", "coloured"),
    [({}, "auto", False), ({"NO_COLOR": "1"}, "always", True), ({"NO_COLOR": "1"}, "auto", False)],
)
def test_colour_is_asked_for_before_it_is_forbidden(
    environment, asked, coloured, run_cli, monkeypatch
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert ("\x1b[" in run_cli("--color", asked, "compare", "hrnet32")[1]) == coloured


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a::b\n::set-output name=x::y", "a::b\n: :set-output name=x::y"),
        ("  ::error::z", "  : :error::z"),
        ("q ##[add-path]/evil", "q # #[add-path]/evil"),
        ("# heading ## and ::", "# heading ## and ::"),
    ],
)
def test_no_word_on_standard_error_is_a_command_to_a_workflows_runner(
    text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tell(text)
    assert capsys.readouterr().err == f"{said}\n"


def test_what_a_killed_write_left_is_gone_after_the_next_one(tmp_path: Path) -> None:
    (tmp_path / ".a.txt.gadprof").write_text("half of something longer")
    write_atomic(tmp_path / "a.txt", "whole")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.txt": "whole"}


@pytest.mark.parametrize("held", ["a link", "another writer's", "a hard link"])
def test_a_temporary_that_is_not_ours_is_left_alone(tmp_path: Path, held: str) -> None:
    import fcntl

    left, other = tmp_path / ".a.txt.gadprof", tmp_path / "other"
    other.write_text("other")
    if held == "a link":
        left.symlink_to(other)
    elif held == "a hard link":
        os.link(other, left)
    else:
        left.write_text("other")
    with left.open() as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        write_atomic(tmp_path / "a.txt", "whole")
    assert (tmp_path / "a.txt").read_text() == "whole"
    assert other.read_text() == left.read_text() == "other"
    assert len(list(tmp_path.iterdir())) == 3


def test_eight_writers_of_one_file_leave_one_of_their_texts(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    texts = [str(number) * 1000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: write_atomic(tmp_path / "a.txt", text), texts * 5))
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() in texts


@pytest.mark.parametrize("folder", ["/proc", "/proc/self", "/sys"])
def test_a_folder_of_the_kernels_is_refused_before_any_work(folder: str) -> None:
    if not Path(folder).is_dir():
        pytest.skip(f"needs {folder}")
    with pytest.raises(OutputError, match="is not writable"):
        check_writable(f"{folder}/a.json")


def test_a_line_that_a_name_makes_too_long_keeps_both_ends(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tell(f"gadprof: {'x' * 100_000} is unknown; try another")
    line = capsys.readouterr().err
    assert len(line) < 1600
    assert line.startswith("gadprof: xxx")
    assert line.endswith("is unknown; try another\n")


@pytest.mark.parametrize("words", [["compare", "gadnet32"], ["models"], ["--version"], ["--help"]])
def test_a_reader_that_has_gone_is_no_failure(words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "gadprof", *words],
        env={**os.environ, "GADPROF_STORE": "off"}, stdout=writing, stderr=subprocess.PIPE,
        text=True, check=False,
    )  # fmt: skip
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_a_command_works_on_is_shown_without_its_control_characters() -> None:
    from gadprof.render.progress import Working

    work = Working("counting \x1b[2J\x9b31m.onnx")
    work.at("\x1b]0;t\x07")
    assert not set(work._words(time.monotonic())) & set("\x1b\x9b\x07")
    assert not set(Working("counting \x1b[2J")._words(time.monotonic())) & set("\x1b")


def test_sixty_fuzzed_names_reach_a_terminal_without_a_control_byte() -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/terminal_names.py", "--names", "60"],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert "names shown on a terminal, 0 raw control bytes" in done.stdout, (
        done.stdout + done.stderr
    )
