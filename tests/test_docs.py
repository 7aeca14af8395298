"""The documentation: it builds without a warning, and what it names exists."""

from __future__ import annotations

import html
import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import gadprof
from gadprof.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(gadprof.__file__).parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
OPEN_ENDED = ("sweep", "search")  # knobs are options of theirs


def commands_of(page: Path) -> list[list[str]]:
    """Every ``gadprof …`` of a page's blocks and code spans, in words."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    parts = [part.strip() for line in [*lines, *spans] for part in line.split("&&")]
    found = []
    for part in parts:
        words = shlex.split(part, comments=True)
        if words and words[0].rpartition("/")[2] == "gadprof":
            found.append(words[1:])
    return found


EVERY = [
    pytest.param(words, id=f"{page.stem}: {' '.join(words)[:60]}")
    for page in PAGES
    for words in commands_of(page)
    if words and words[0] != "COMMAND"
]


@pytest.mark.parametrize("words", EVERY)
def test_a_command_of_the_pages_exists_with_its_options(words):
    assert words[0] in COMMANDS, words
    module, _, attribute = COMMANDS[words[0]][0].partition(":")
    command = getattr(importlib.import_module(module), attribute)
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    asked = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)} - {"--help"}
    if words[0] in OPEN_ENDED:
        from gadprof.networks.spec import families

        known |= {f"--{knob.name}" for knob in families()["gadnet"].knobs}
    assert asked <= known


def test_there_are_commands_to_check():
    assert len(EVERY) > 60


def test_the_readme_is_two_screens_with_both_set_up_commands_first():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 100
    first, second = (text.index(f"<!-- set up and {word} -->") for word in ("run", "test"))
    assert first < second < text.index("![")
    assert "python3 -m venv" in text[second : second + 120]


def script(name: str) -> Any:
    """A script of the documentation as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_readmes_picture_shows_what_its_command_prints():
    picture = script("picture")
    svg = (ROOT / "docs" / "compare.svg").read_text(encoding="utf-8")
    heights = re.findall(r'<text[^>]* y="([\d.]+)"[^>]*>([^<]*)</text>', svg)
    lines: dict[str, str] = {}
    for height, text in heights:
        lines[height] = lines.get(height, "") + html.unescape(text)
    drawn = ["".join(line.split()) for line in lines.values()]
    told = ["".join(line.split()) for line in picture.printed("never").splitlines()]
    assert [line for line in told if line and line not in drawn] == []


def test_the_readmes_budgets_pass_as_written(tmp_path, monkeypatch, run_cli):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text(table)
    code, _, err = run_cli("check")
    assert (code, err) == (0, "")


def test_the_architecture_names_every_room_and_every_file_that_it_names_exists():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")} - {"data"}
    assert {room for room in rooms if f"`{room}/`" not in text} == set()
    for name in re.findall(r"`([\w/]+(?:\.py|/))`", text):
        roots = (PACKAGE, ROOT, *PACKAGE.glob("*/"), ROOT / "tests")
        assert any((root / name).exists() for root in roots), name
    for name in re.findall(r"`((?:\w+/)+\w+)`", text):
        assert any((PACKAGE / f"{name}{end}").exists() for end in (".py", "")), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        if "://" not in target and target != "commands.md":
            assert (page.parent / target).exists(), target


@pytest.mark.slow
def test_the_notebook_shows_what_its_cells_give_today():
    nbformat = pytest.importorskip("nbformat", reason="needs gadprof[docs]")
    pytest.importorskip("nbclient", reason="needs gadprof[docs]")
    pytest.importorskip("ipykernel", reason="needs gadprof[docs]")
    notebook = script("notebook")
    kept = nbformat.read(notebook.NOTEBOOK, as_version=4)
    shown = notebook.outputs(kept)
    assert len(shown) == 6
    assert all(texts and all(texts) for texts in shown)
    assert notebook.outputs(notebook.executed()) == shown


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("material", reason="needs gadprof[docs]")
    pytest.importorskip("mkdocstrings", reason="needs gadprof[docs]")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(tmp_path / "site")],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "site" / "commands" / "index.html").read_text(encoding="utf-8")
    assert all(f"gadprof {name}" in page for name in COMMANDS)
    notebook = (tmp_path / "site" / "notebook" / "index.html").read_text(encoding="utf-8")
    assert "62.1 % fewer than hrnet32" in notebook
    api = (tmp_path / "site" / "api" / "index.html").read_text(encoding="utf-8")
    assert all(f"gadprof.api.{name}" in api for name in ("count", "compare", "diff", "bench"))
