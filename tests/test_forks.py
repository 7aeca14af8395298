"""A fork's pull request: its code runs without rights, its words reach the comment as words."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml", reason="needs PyYAML")

from script_modules import module_at  # noqa: E402
from test_check import action, needs_bash, run_step  # noqa: E402
from test_comment import forge  # noqa: E402, F401  (a fixture)

REPOSITORY = Path(__file__).resolve().parents[1]
LOCKS = REPOSITORY / "requirements"
FORGED = (
    "x\n::set-output name=result::pass\n##[add-path]/evil\n<img src=x> @everyone "
    "<!-- gadprof comment --> [a](//b)"
)
HOSTILE = f"""
import os, sys
FORGED = {FORGED!r}

def build():
    for number in (1, 2):
        os.write(number, FORGED.encode())
    raise ValueError(FORGED)
"""


def recipes() -> list[dict[str, Any]]:
    text = (REPOSITORY / "docs" / "gate.md").read_text(encoding="utf-8")
    return [yaml.safe_load(part) for part in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]


@needs_bash
def test_a_forks_words_reach_the_comment_escaped(
    forge: Any,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    untrusted, trusted = tmp_path / "untrusted", tmp_path / "trusted"
    untrusted.mkdir()
    trusted.mkdir()
    name = json.dumps(f"net {FORGED}")
    (untrusted / "gadprof.toml").write_text(
        f'[budgets.{name}]\nmodel = "net.py:build"\nmax_params = 1\n'
        "[budgets.gadnet32]\nmax_params = 1\n"
    )
    (untrusted / "net.py").write_text(HOSTILE)
    code, outputs, said = run_step("check", untrusted)
    assert (code, outputs["result"]) == (1, "fail"), said
    assert not re.search(r"^\s*::(?!error|warning|notice)", said, re.MULTILINE)
    assert not [line for line in said.splitlines() if "##[" in line and line[:2] != "::"]
    (trusted / "event.json").write_text(json.dumps({"pull_request": {"number": 7}}))
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(trusted / "event.json"))
    code, _, said = run_step(
        "comment", trusted, **{"comment-data": outputs["json"], "token": "secret"}
    )
    assert code == 0, said
    (comment,) = forge.comments
    lines = comment["body"].splitlines()
    assert [line for line in lines if line.startswith("<!--")] == [lines[0]]
    assert "::set-output" not in {line[:12] for line in lines}
    words = re.sub(r"(`+)[^`].*?\1", "", comment["body"])
    assert not re.search(r"(?<!\\)<img|@\w|(?<!\\)\[a\]", words)


def test_a_job_that_comments_a_strangers_data_runs_nothing_else() -> None:
    conditions = {step["id"]: step.get("if", "") for step in action()["runs"]["steps"]}
    assert "inputs.comment-data != ''" in conditions["comment"]
    assert "inputs.comment-data == ''" in conditions["check"]
    assert "inputs.comment-data == ''" in conditions["report"]


def test_the_second_job_has_no_code_of_the_stranger() -> None:
    _, untrusted, trusted = recipes()
    assert untrusted["permissions"] == {"contents": "read"}
    steps = [step for job in trusted["jobs"].values() for step in job["steps"]]
    assert not any("checkout" in step.get("uses", "") or "run" in step for step in steps)
    (download,) = [step for step in steps if "download" in step["uses"]]
    assert download["with"]["path"].startswith("${{ runner.temp }}/")


def test_every_action_of_others_is_named_by_its_commit() -> None:
    pages = [REPOSITORY / "README.md", REPOSITORY / "action.yml", *REPOSITORY.glob("docs/*.md")]
    used = [
        found
        for page in pages
        for found in re.findall(r"uses: (\S+)@(\S+)", page.read_text(encoding="utf-8"))
    ]
    assert len(used) >= 6
    for name, version in used:
        wanted = "COMMIT" if name == "OWNER/gadprof" else "[0-9a-f]{40}"
        assert re.fullmatch(wanted, version), f"{name}@{version}"


# --- what the action installs ---


def pip_calls(folder: Path, **given: str) -> list[list[str]]:
    """What the install step asks of pip, on a Python that installs nothing."""
    calls = folder / "calls"
    fake = folder / "python"
    fake.write_text(
        f'#!/bin/sh\n[ "$1" = -I ] && exec {sys.executable} "$@"\n'
        f'shift 2\nprintf "%s\\n" "$*" >> {calls}\n'
    )
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    code, _, said = run_step("install", folder, python=str(fake), **given)
    assert code == 0, said
    return [line.split() for line in calls.read_text().splitlines()]


@needs_bash
def test_nothing_is_installed_without_its_hash(tmp_path: Path) -> None:
    *pinned, own = pip_calls(tmp_path)
    assert pinned
    for call in pinned:
        assert call[:2] == ["pip", "install"]
        assert {"--require-hashes", "--no-deps"} <= set(call)
    assert {"--no-deps", "--no-build-isolation", str(REPOSITORY)} <= set(own)


@needs_bash
def test_what_the_workflow_names_is_installed_instead(tmp_path: Path) -> None:
    (call,) = pip_calls(tmp_path, install="gadprof==0.1.0")
    assert call[-1] == "gadprof==0.1.0"


@pytest.mark.parametrize("lock", ["ci", "action", "build"])
def test_every_entry_of_a_lock_has_a_version_and_a_hash(lock: str) -> None:
    text = (LOCKS / f"{lock}.lock").read_text()
    found = lacking_module().entries(text)
    assert found
    for name, lines, _ in found:
        assert re.match(r"\S+==\S+", lines), name
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", lines), name
    assert "://" not in text


@pytest.mark.parametrize(("lock", "extra"), [("action", ()), ("ci", ("dev",))])
def test_a_lock_holds_what_the_project_declares(lock: str, extra: tuple[str, ...]) -> None:
    module = lacking_module()
    tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11")
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(item for name in extra for item in extras[name])]
    own = {item for text in wanted if text.startswith("gadprof[")
           for name in re.findall(r"\[(.*)\]", text)[0].split(",")
           for item in extras[name]}  # fmt: skip
    names = {module.plain(re.split("[<>=!~]", text)[0]) for text in {*wanted, *own}} - {"gadprof"}
    locked = {name for name, _, _ in module.entries((LOCKS / f"{lock}.lock").read_text())}
    assert names <= locked


LOCK = """\
click==8.1 \\
    --hash=sha256:aa
    # via
    #   gadprof (pyproject.toml)
    #   thing
scipy==1.0 ; python_version < '3.11' \\
    --hash=sha256:bb
    # via gadprof (pyproject.toml)
scipy==2.0 ; python_version >= '3.11' \\
    --hash=sha256:cc
    # via gadprof (pyproject.toml)
numpy==2.0 \\
    --hash=sha256:dd
    # via scipy
"""


@pytest.mark.parametrize(
    ("wanted", "installed", "left"),
    [
        (["gadprof"], set(), ["click==8.1", "scipy==1.0", "scipy==2.0", "numpy==2.0"]),
        (["gadprof"], {"scipy"}, ["click==8.1"]),
        (["gadprof"], {"numpy"}, ["click==8.1", "scipy==1.0", "scipy==2.0"]),
        (["click"], set(), ["click==8.1"]),
        (["click"], {"click"}, []),
    ],
)
def test_what_is_installed_stays_and_what_lacks_comes_with_what_it_needs(
    wanted: list[str], installed: set[str], left: list[str]
) -> None:
    found = lacking_module().lacking(LOCK, wanted, installed)
    assert [entry.split()[0] for entry in found] == left
    assert all("--hash" in entry and "#" not in entry for entry in found)


def lacking_module() -> Any:
    return module_at(LOCKS / "lacking.py")


def test_a_link_that_leads_out_of_the_repository_is_left_out_of_a_refs_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gadprof.gate.diff_sides import checked_out

    (tmp_path / "net.py").write_text("def build(): ...\n")
    (tmp_path / "outside").symlink_to("/etc/hostname")
    (tmp_path / "inside").symlink_to("net.py")
    monkeypatch.chdir(tmp_path)
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b")
    for words in (("init", "-q"), ("add", "."), ("commit", "-qm", "one")):
        subprocess.run([*git, *words], check=True)
    with checked_out("HEAD", "net.py:build") as there:
        folder = Path(there.partition(":")[0]).parent
        assert sorted(path.name for path in folder.iterdir()) == ["inside", "net.py"]
