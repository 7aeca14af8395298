"""What ``gadprof.toml`` or ``[tool.gadprof]`` in ``pyproject.toml`` says, checked key by key.

Promises a frozen Config in exact base units; refuses an unknown key (naming the nearest), a wrong
type, a file that is not plain UTF-8 TOML, and a file too large or too deep to be one.

    baseline = "main"              # what max_growth is measured against
    uncounted = "fail"             # or "warn": a total that some operation is missing from
    [budgets.gadnet32]             # a table a model; ``model = "…"`` names another model string
    max_params = "12M"
    max_growth = "2%"
    [report]
    models = ["hrnet32", "gadnet32"]
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

from gadprof.errors import ConfigError, nearest, os_reason
from gadprof.results.figures import KEYS
from gadprof.results.quantities import read_bytes, read_count, read_ratio, read_share
from gadprof.results.verdicts import Status

MAX_CONFIG_BYTES = 256 << 10
FILE_NAMES = ("gadprof.toml", "pyproject.toml")

# rule -> the figure that it limits from above
COUNT_RULES = {
    "max_params": "params",
    "max_macs": "macs",
    "max_flops": "flops",
    "max_activations": "activations",
    "max_kernels": "kernels",
}
BYTE_RULES = {"max_peak_bytes": "peak_activation_bytes", "max_weight_bytes": "weight_bytes"}

_BUDGET_KEYS = (
    "model",
    "input",
    "batch",
    *COUNT_RULES,
    *BYTE_RULES,
    "min_coverage",
    "max_growth",
    "max_latency_ratio",
    "reference",
    "uncounted",
)
_REPORT_KEYS = ("models", "title", "input", "batch", "backends", "data")
_ROOT_KEYS = ("budgets", "report", "baseline", "baseline_file", "store", "waivers", "uncounted")
_WAIVER_KEYS = ("budget", "rule", "reason")


@dataclass(frozen=True)
class Budget:
    """What one model may cost; ``limits`` maps a rule's name to its exact integer limit.

    ``min_coverage`` and ``max_latency_ratio`` are fractions; ``max_growth`` maps a figure to the
    share by which it may exceed the baseline. ``uncounted`` is what a lower bound earns: ``fail``
    or ``warn``.
    """

    name: str
    model: str
    input_texts: tuple[str, ...] = ()
    batch: int = 1
    limits: Mapping[str, int] = field(default_factory=dict)
    min_coverage: Fraction | None = None
    max_growth: Mapping[str, Fraction] = field(default_factory=dict)
    max_latency_ratio: Fraction | None = None
    reference: str | None = None
    uncounted: Status = "fail"

    @property
    def rules(self) -> int:
        """How many rules a model has to keep."""
        others = (self.min_coverage, self.max_latency_ratio)
        return len(self.limits) + len(self.max_growth) + sum(rule is not None for rule in others)


@dataclass(frozen=True)
class Waiver:
    """A broken rule that is let pass, and why; ``rule`` may name a rule of several figures."""

    budget: str
    rule: str
    reason: str


@dataclass(frozen=True)
class ReportSettings:
    """What ``gadprof report`` shows when the command line does not say."""

    models: tuple[str, ...] = ()
    title: str | None = None
    input_texts: tuple[str, ...] = ()
    batch: int = 1
    backends: tuple[str, ...] = ()
    data: tuple[str, ...] = ()


@dataclass(frozen=True)
class Config:
    """A checked configuration; ``path`` is None when there was no file."""

    path: Path | None = None
    budgets: tuple[Budget, ...] = ()
    report: ReportSettings = ReportSettings()
    baseline: str | None = None
    baseline_file: str | None = None
    store: str | None = None
    waivers: tuple[Waiver, ...] = ()
    text: str = ""

    def line_of(self, budget: str, key: str) -> int | None:
        """The line of a budget's key in the file, for an annotation; None when not found."""
        inside, header = False, None
        for number, line in enumerate(self.text.splitlines(), 1):
            stripped = line.strip()
            if stripped.startswith("["):
                inside = stripped.strip("[] ").replace('"', "").endswith(f"budgets.{budget}")
                header = number if inside else header
            elif inside and stripped.partition("=")[0].strip() == key:
                return number
        return header


def find_config(start: Path | None = None) -> Path | None:
    """The nearest configuration in a folder or above it, up to the repository's root."""
    folder = (start or Path.cwd()).resolve()
    for candidate in (folder, *folder.parents):
        for name in FILE_NAMES:
            path = candidate / name
            if path.is_file() and (
                name == "gadprof.toml" or _section(_parse(path)[1], path) is not None
            ):
                return path
        if (candidate / ".git").exists():
            break
    return None


def load_config(path: str | Path | None = None) -> Config:
    """Read a named file, or the nearest one; an empty Config where there is none.

    Raises ConfigError.
    """
    found = find_config() if path is None else Path(path)
    if found is None:
        return Config()
    text, document = _parse(found)
    section = _section(document, found)
    if section is None:
        raise ConfigError(f"{found} has no [tool.gadprof] table; add [tool.gadprof.budgets.MODEL]")
    return read_config(section, found, text)


def read_config(section: Mapping[str, Any], path: Path | None = None, text: str = "") -> Config:
    """Check a section that has been parsed. Raises ConfigError."""
    where = str(path) if path else "configuration"
    _known(section, _ROOT_KEYS, where)
    uncounted = _uncounted(section, where)
    budgets = _table(section.get("budgets", {}), f"{where}: budgets")
    return Config(
        path=path,
        budgets=tuple(_budget(name, table, where, uncounted) for name, table in budgets.items()),
        report=_report(_table(section.get("report", {}), f"{where}: report"), where),
        baseline=_text(section, "baseline", where),
        baseline_file=_text(section, "baseline_file", where),
        store=_text(section, "store", where),
        waivers=_waivers(section, tuple(budgets), where),
        text=text,
    )


def _parse(path: Path) -> tuple[str, dict[str, Any]]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        if not path.is_file():
            raise ConfigError(f"configuration {str(path)!r} is not a file; name one with --config")
        with path.open("rb") as stream:
            data = stream.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot read {str(path)!r}: {os_reason(error)}") from error
    if len(data) > MAX_CONFIG_BYTES:
        raise ConfigError(
            f"{path} is larger than {MAX_CONFIG_BYTES // 1024} KiB, too large for a configuration; "
            "name another with --config"
        )
    try:
        text = data.decode("utf-8")
        return text, tomllib.loads(text)
    except RecursionError as error:
        raise ConfigError(f"{path} is nested too deeply for a configuration") from error
    except ValueError as error:  # bad UTF-8, bad TOML, an integer of thousands of digits
        raise ConfigError(f"{path} is not valid TOML: {str(error)[:200]}") from error


def _section(document: Mapping[str, Any], path: Path) -> Mapping[str, Any] | None:
    tool = document.get("tool")
    section = tool.get("gadprof") if isinstance(tool, dict) else None
    if path.name == "pyproject.toml" or (section is not None and set(document) == {"tool"}):
        return None if section is None else _table(section, f"{path}: tool.gadprof")
    return document


def _uncounted(table: Mapping[str, Any], where: str, otherwise: Status = "fail") -> Status:
    """What a lower bound earns: ``fail`` or ``warn``."""
    value = table.get("uncounted", otherwise)
    if value == "fail" or value == "warn":
        return cast("Status", value)
    raise ConfigError(
        f'{where}.uncounted = {str(value)[:80]!r} is neither "fail" nor "warn"; write "fail"'
    )


def _budget(name: str, table: Any, where: str, uncounted: Status) -> Budget:
    place = f"{where}: budgets.{name}"
    table = _table(table, place)
    _known(table, _BUDGET_KEYS, place)
    limits = {
        key: reader(table[key], f"{place}.{key}")
        for rules, reader in ((COUNT_RULES, read_count), (BYTE_RULES, read_bytes))
        for key in rules
        if key in table
    }
    coverage = table.get("min_coverage")
    share = None if coverage is None else read_share(coverage, f"{place}.min_coverage")
    if share is not None and share > 1:
        raise ConfigError(f'{place}.min_coverage = {coverage!r} is above 1; write "99%"')
    ratio = table.get("max_latency_ratio")
    reference = _text(table, "reference", place)
    if (ratio is None) != (reference is None):
        missing = "reference" if reference is None else "max_latency_ratio"
        example = '"hrnet32"' if reference is None else "0.8"
        raise ConfigError(f"{place} needs {missing} too; add {missing} = {example}")
    return Budget(
        name=name,
        model=_text(table, "model", place) or name,
        input_texts=_texts(table, "input", place),
        batch=_positive(table, "batch", place),
        limits=limits,
        min_coverage=share,
        max_growth=_growth(table.get("max_growth", {}), f"{place}.max_growth"),
        max_latency_ratio=(
            None if ratio is None else read_ratio(ratio, f"{place}.max_latency_ratio")
        ),
        reference=reference,
        uncounted=_uncounted(table, place, uncounted),
    )


def _growth(value: Any, where: str) -> Mapping[str, Fraction]:
    """One share for every figure, or a table ``{ params = "1%", macs = "0%" }``."""
    if not isinstance(value, dict):
        share = read_share(value, where)
        return dict.fromkeys(KEYS, share)
    _known(value, KEYS, where)
    return {key: read_share(item, f"{where}.{key}") for key, item in value.items()}


def _report(table: Mapping[str, Any], where: str) -> ReportSettings:
    place = f"{where}: report"
    _known(table, _REPORT_KEYS, place)
    return ReportSettings(
        models=_texts(table, "models", place),
        title=_text(table, "title", place),
        input_texts=_texts(table, "input", place),
        batch=_positive(table, "batch", place),
        backends=_texts(table, "backends", place),
        data=_texts(table, "data", place),
    )


def _waivers(
    section: Mapping[str, Any], budgets: tuple[str, ...], where: str
) -> tuple[Waiver, ...]:
    listed = section.get("waivers", [])
    if not isinstance(listed, list):
        raise ConfigError(f"{where}: waivers is not a list; write [[waivers]] above each")
    found = []
    for table in listed:
        place = f"{where}: waivers"
        table = _table(table, place)
        _known(table, _WAIVER_KEYS, place)
        texts = {key: _text(table, key, place) for key in _WAIVER_KEYS}
        for key, text in texts.items():
            if text is None:
                raise ConfigError(f'{place} needs {key}; write {key} = "…"')
        if texts["budget"] not in budgets:
            raise ConfigError(
                f"{place} name the budget {texts['budget']!r}"
                + (nearest(str(texts["budget"]), budgets) or f"; there are {', '.join(budgets)}")
            )
        found.append(Waiver(*(str(texts[key]) for key in _WAIVER_KEYS)))
    return tuple(found)


def _known(table: Mapping[str, Any], keys: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in keys:
            raise ConfigError(
                f"{where} has the unknown key {key[:80]!r}"
                + (nearest(key[:80], keys) or f"; it takes {', '.join(keys)}")
            )


def _table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where} = {str(value)[:80]!r} is not a table; write [budgets.MODEL]")
    return value


def _text(table: Mapping[str, Any], key: str, where: str) -> str | None:
    value = table.get(key)
    if value is not None and (not isinstance(value, str) or not value.strip()):
        raise ConfigError(f'{where}.{key} = {str(value)[:80]!r} is not text; write {key} = "…"')
    return value


def _texts(table: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    value = table.get(key, [])
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(item, str) for item in values):
        raise ConfigError(f'{where}.{key} is not a list of texts; write {key} = ["…"]')
    return tuple(values)


def _positive(table: Mapping[str, Any], key: str, where: str) -> int:
    value = table.get(key, 1)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{where}.{key} = {str(value)[:80]!r} is not a positive integer; write 1")
    return value
