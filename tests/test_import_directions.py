"""Imports run one way: theory and experiment stay apart, and nothing leans on the command line."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

import gadprof

ROOT = Path(gadprof.__file__).parent

# the parts of the package that a part may import; every other part of gadprof is refused
BASE = {"errors", "output", "results", "version"}
BELOW_MODELS = BASE | {"counting", "networks", "workers"}
BELOW_COMPARISON = BELOW_MODELS | {"audit", "formulas", "measuring", "models", "pose", "store"}
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "version": set(),
    "output": {"errors"},
    "results": {"errors"},
    "workers": BASE,
    "formulas": BASE,
    "counting": BASE,
    "networks": BASE | {"counting"},
    "models": BELOW_MODELS,
    "store": BASE,
    "audit": BELOW_MODELS | {"formulas", "models"},
    "memory": BELOW_MODELS | {"models"},
    "measuring": BASE | {"counting", "memory", "models", "workers"},
    "pose": BASE | {"models", "networks"},
    "prediction": BELOW_MODELS | {"measuring", "models", "store"},
    "sweep": BASE | {"networks", "prediction"},
    "comparison": BELOW_COMPARISON | {"memory", "prediction"},
    "api": BELOW_COMPARISON | {"comparison", "gate", "prediction", "report"},
    "cluster": BELOW_COMPARISON | {"comparison", "sweep"},
    "gate": BELOW_COMPARISON | {"comparison", "prediction"},
    "report": BELOW_COMPARISON | {"cluster", "comparison"},
    "paper": BELOW_COMPARISON | {"comparison", "report", "sweep"},
    "render": BASE,
}
# imports against the direction that are still to be cut, by the parts that they join
TO_CUT: set[tuple[str, str]] = set()
# files that import each other, still to be parted
CIRCLE_TO_CUT: set[str] = set()
COMMAND_LINE = {"cli", "commands"}


def module_name(path: Path) -> str:
    """gadprof.a.b of a file of the package."""
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


def part_of(module: str) -> str:
    """The part of the package that a module belongs to: what follows gadprof."""
    return module.split(".")[1] if "." in module else ""


def imports_of(path: Path) -> set[str]:
    """Every module of gadprof that a file imports when it runs, also inside a function."""
    found: set[str] = set()
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):  # what only a type checker reads runs nothing
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "gadprof":
            found |= {f"gadprof.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gadprof."):
            found |= {
                name if (ROOT.parent / f"{name.replace('.', '/')}.py").is_file() else node.module
                for alias in node.names
                for name in (f"{node.module}.{alias.name}",)
            }
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("gadprof.")}
    return found


@functools.cache
def graph() -> dict[str, set[str]]:
    """What each file of the package imports."""
    return {module_name(path): imports_of(path) for path in sorted(ROOT.rglob("*.py"))}


def files_imported(module: str) -> set[str]:
    """The files that a file imports; a name in a package's ``__init__`` is that file's."""
    return {name for name in graph()[module] if name in graph() and name != module}


def circle_of(module: str) -> list[str] | None:
    """A shortest way of imports from a file back to itself, or None."""
    ways = [[module]]
    seen: set[str] = set()
    for way in ways:
        for name in sorted(files_imported(way[-1])):
            if name == module:
                return [*way, name]
            if name not in seen:
                seen.add(name)
                ways.append([*way, name])
    return None


def crossings() -> set[tuple[str, str]]:
    """Every pair of different parts of which the first imports the second."""
    pairs = {
        (part_of(module), part_of(name)) for module, found in graph().items() for name in found
    }
    return {(part, other) for part, other in pairs if part != other and part in ALLOWED}


@pytest.mark.parametrize("part", sorted(ALLOWED))
def test_a_part_imports_only_what_is_below_it(part):
    reached = {other for importer, other in crossings() if importer == part}
    assert reached - ALLOWED[part] <= {other for importer, other in TO_CUT if importer == part}


def test_every_part_has_its_direction():
    parts = {part_of(module) for module in graph()} - COMMAND_LINE - {"", "__main__", "data"}
    assert parts == set(ALLOWED)


def test_a_cut_import_is_struck_off_the_list():
    assert crossings() >= TO_CUT


def test_no_file_imports_itself_through_others_even_when_it_runs():
    circles = {module for module in graph() if circle_of(module)}
    assert circles == CIRCLE_TO_CUT


def test_a_circle_through_three_files_would_be_found(monkeypatch):
    for module, names in {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}.items():
        monkeypatch.setitem(graph(), module, names)
    assert circle_of("a") == ["a", "b", "c", "a"]
    assert circle_of("d") is None


def reached_parts(part: str) -> set[str]:
    """Every part that a part imports, also through others, but for the imports still to be cut."""
    reached: set[str] = set()
    waiting = {part}
    while waiting:
        one = waiting.pop()
        found = {other for importer, other in crossings() - TO_CUT if importer == one}
        waiting |= found - reached
        reached |= found
    return reached


def test_no_part_reaches_itself_through_others():
    assert [part for part in ALLOWED if part in reached_parts(part)] == []


@pytest.mark.parametrize(
    ("part", "refused"),
    [
        ("results", set(ALLOWED) - {"errors", "results"}),
        ("render", set(ALLOWED) - BASE - {"render"}),
        ("formulas", {"counting", "measuring", "networks"}),
        ("counting", {"formulas", "networks"}),
    ],
)
def test_what_lies_below_never_reaches_what_lies_above(part, refused):
    assert reached_parts(part).isdisjoint(refused)


def test_only_the_command_line_imports_the_command_line():
    outside = {
        f"{module} imports {name}"
        for module, found in graph().items()
        for name in found
        if part_of(name) in COMMAND_LINE
        and part_of(module) not in COMMAND_LINE
        and module != "gadprof.__main__"
    }
    assert not outside


def test_counters_and_measurements_know_nothing_of_plans():
    readers = {
        module
        for module, found in graph().items()
        if part_of(module) in ("counting", "measuring")
        and any(part_of(name) in ("networks", "formulas") for name in found)
    }
    assert not readers


def test_closed_forms_are_written_without_looking_at_cost_or_modules():
    reached, waiting = set(), {"gadprof.formulas.formula", "gadprof.formulas.blocks"}
    while waiting:
        module = waiting.pop()
        reached.add(module)
        heads = graph().get(module, set())
        waiting |= {name for name in heads if part_of(name) == "formulas"} - reached
    parts = {part_of(name) for module in reached for name in graph()[module]}
    assert parts.isdisjoint({"networks", "counting", "measuring", "models", "audit"})
