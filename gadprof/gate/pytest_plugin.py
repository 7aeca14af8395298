"""A pytest plugin: the ``gadprof`` fixture, with counts and budgets as asserts.

    def test_the_backbone_stays_small(gadprof):
        assert gadprof.count(model, (1, 3, 256, 192)).macs <= 3e9
        gadprof.assert_within(model, (1, 3, 256, 192), max_params="12M", max_peak_bytes="64MiB")
        gadprof.assert_budget("gadnet32")          # as written in gadprof.toml

Promises that loading the plugin imports neither torch nor numpy; a broken budget is an
AssertionError that names every broken rule with the figure, the limit and how far apart they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gadprof.comparison.compare import Comparison
    from gadprof.counting.records import Trace
    from gadprof.networks.cost import Cost
    from gadprof.results.verdicts import CheckResult

_HINT = "gadprof: the configuration that gadprof.assert_budget reads"


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--gadprof-config FILE`` and the ini value ``gadprof_config``."""
    group = parser.getgroup("gadprof")
    group.addoption("--gadprof-config", metavar="FILE", default=None, help=_HINT)
    parser.addini("gadprof_config", _HINT, default=None)


@pytest.fixture
def gadprof(request: pytest.FixtureRequest) -> Gadprof:
    """Counts, costs and budgets of models; see ``gadprof.gate.pytest_plugin.Gadprof``."""
    config = request.config
    named = config.getoption("--gadprof-config") or config.getini("gadprof_config")
    return Gadprof(str(config.rootpath / named) if named else None)


class Gadprof:
    """What the fixture gives."""

    def __init__(self, config: str | None = None) -> None:
        self._config = config

    def count(self, module: Any, inputs: Any = (), **kwargs: Any) -> Trace:
        """Count a module exactly; ``inputs`` as in ``gadprof.count``."""
        import gadprof as public

        found: Trace = public.count(module, inputs, kwargs)
        return found

    def cost(self, model: str, input: tuple[int, ...] | None = None, *, batch: int = 1) -> Cost:
        """The analytic cost of a built-in model."""
        import gadprof as public

        found: Cost = public.cost(model, input, batch=batch)
        return found

    def compare(self, models: Sequence[str], **options: Any) -> Comparison:
        """Compare models named by model strings."""
        import gadprof as public

        found: Comparison = public.compare(models, **options)
        return found

    def assert_within(self, model: Any, inputs: Any = (), **rules: Any) -> None:
        """Assert that a module, a trace, a cost or a model string keeps the given rules.

        ``rules`` are those of a budget: ``max_params="12M"``, ``max_macs``, ``max_peak_bytes``,
        ``max_kernels``, ``min_coverage``… ``inputs`` for a module as in ``gadprof.count``, for a
        model string a shape without the batch. ``uncounted="warn"`` lets a lower bound pass with a
        warning. Raises AssertionError, ConfigError.
        """
        from gadprof.gate.budgets import judge
        from gadprof.gate.config import read_config

        __tracebackhide__ = True
        name = model if isinstance(model, str) else _name(model)
        budget = read_config({"budgets": {name: rules}}).budgets[0]
        if not budget.limits and budget.min_coverage is None:
            from gadprof.errors import ConfigError

            raise ConfigError("assert_within has no rule to judge; give for example max_macs='3G'")
        verdicts = judge(budget, self._figures(model, inputs, rules))
        told = [v for v in verdicts if v.rule == "uncounted" and v.status == "warn"]
        _warn(told)
        _assert_holds([v for v in verdicts if v.status != "pass" and v not in told], len(verdicts))

    def assert_budget(self, *names: str) -> CheckResult:
        """Assert the budgets of the configuration (those named, else all); nothing is measured.

        Raises AssertionError, ConfigError.
        """
        from gadprof.gate.check import run_check
        from gadprof.gate.config import load_config

        __tracebackhide__ = True
        result, _ = run_check(load_config(self._config), names)
        _warn([v for v in result.verdicts if v.rule == "uncounted" and v.status == "warn"])
        broken = [v for v in result.verdicts if v.status in ("fail", "error")]
        _assert_holds(broken, len(result.verdicts))
        return result

    def _figures(self, model: Any, inputs: Any, rules: Mapping[str, Any]) -> dict[str, Any]:
        from gadprof.gate.check import traced_figures

        if isinstance(model, str):
            from gadprof.comparison.compare import compare_row
            from gadprof.errors import ModelFailedError
            from gadprof.results.figures import KEYS

            traced = {"max_kernels", "min_coverage"} & set(rules)
            if not traced:
                row = compare_row(model, shapes=(tuple(inputs),) if inputs else ())
                if row.error is not None:
                    raise ModelFailedError(row.error)
                figures = {name: getattr(row, name) for name in KEYS}
                return {**figures, "uncovered": sorted(row.uncovered)}
            from gadprof.models.counting import trace_model

            model = trace_model(model, shapes=(tuple(inputs),) if inputs else ())
        if not hasattr(model, "macs"):
            model = self.count(model, inputs)
        figures = {
            name: getattr(model, name)
            for name in ("params", "macs", "flops", "activations", "peak_activation_bytes")
        }
        figures["weight_bytes"] = getattr(
            model, "weight_bytes", getattr(model, "param_bytes", None)
        )
        return {**figures, **traced_figures(model)} if hasattr(model, "forward") else figures


def _name(model: Any) -> str:
    return str(getattr(model, "name", "") or getattr(model, "model", "") or type(model).__name__)


def _warn(verdicts: Sequence[Any]) -> None:
    """Show verdicts among the warnings of the run."""
    import warnings

    for v in verdicts:
        warnings.warn(f"gadprof: {v.budget}: {v.message}", stacklevel=3)


def _assert_holds(broken: Sequence[Any], total: int) -> None:
    __tracebackhide__ = True
    if broken:
        from gadprof.results.escape import plain

        lines = [f"{v.budget}: {v.rule}: {v.message}" for v in broken]
        head = f"{len(broken)} of {total} budget rules do not hold"
        raise AssertionError("\n  ".join([head, *(plain(line, 600) for line in lines)]))
