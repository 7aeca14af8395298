"""Imports run one way: theory and experiment stay apart, and nothing leans on the command line."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import gadprof

ROOT = Path(gadprof.__file__).parent

# the parts of the package that a part may import; every other part of gadprof is refused
ALLOWED = {
    "errors": set(),
    "plan": set(),
    "version": set(),
    "spec": {"errors"},
    "formula": {"errors", "tabular"},
    "formula_blocks": {"errors", "formula"},
    "architectures": {"errors", "plan", "spec", "units"},
    "cost": {"errors", "plan", "tabular"},
    "build": {"errors", "modules", "plan", "spec"},
    "store": {"errors", "results", "version"},
    "measuring": {"counting", "errors", "inputs", "results", "sources", "tabular"},
    "output": {"errors"},
}
# who knows what a plan is: the one counter that needs no run, and the page of published figures,
# which costs built-in networks without counting them
PLAN_READERS_OF_COUNTING = {"gadprof.counting.from_plan", "gadprof.counting.published"}
COMMAND_LINE = {"cli", "commands"}


def module_name(path: Path) -> str:
    """gadprof.a.b of a file of the package."""
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


def part_of(module: str) -> str:
    """The part of the package that a module belongs to: what follows gadprof."""
    return module.split(".")[1] if "." in module else ""


def imports_of(path: Path) -> set[str]:
    """Every module of gadprof that a file imports, at its head or inside a function."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "gadprof":
            found |= {f"gadprof.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gadprof."):
            found.add(str(node.module))
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("gadprof.")}
    return found


GRAPH = {module_name(path): imports_of(path) for path in sorted(ROOT.rglob("*.py"))}


@pytest.mark.parametrize("part", sorted(ALLOWED))
def test_a_part_imports_only_what_is_below_it(part):
    members = {module: found for module, found in GRAPH.items() if part_of(module) == part}
    assert members
    strangers = {
        f"{module} imports {name}"
        for module, found in members.items()
        for name in found
        if part_of(name) not in ALLOWED[part] | {part}
    }
    assert not strangers


def test_only_the_command_line_imports_the_command_line():
    outside = {
        f"{module} imports {name}"
        for module, found in GRAPH.items()
        for name in found
        if part_of(name) in COMMAND_LINE
        and part_of(module) not in COMMAND_LINE
        and module != "gadprof.__main__"
    }
    assert not outside


def test_counters_know_nothing_of_plans_but_for_the_named_readers():
    readers = {
        module
        for module, found in GRAPH.items()
        if part_of(module) == "counting"
        and any(part_of(name) in ("plan", "cost", "architectures", "build") for name in found)
    }
    assert readers == PLAN_READERS_OF_COUNTING


def test_closed_forms_are_written_without_looking_at_cost_or_modules():
    reached, waiting = set(), {"gadprof.formula", "gadprof.formula_blocks"}
    while waiting:
        module = waiting.pop()
        reached.add(module)
        heads = GRAPH.get(module, set())
        waiting |= {name for name in heads if part_of(name).startswith("formula")} - reached
    parts = {part_of(name) for module in reached for name in GRAPH[module]}
    assert parts.isdisjoint({"cost", "build", "plan", "modules", "counting", "architectures"})
