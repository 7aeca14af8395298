"""Each minimal module shows what it is said to show, with the counter that is installed."""

from __future__ import annotations

import pytest

from benchmarks.minimal_modules import MINIMAL, Minimal, ask
from gadprof.audit.backends import distribution_of


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("minimal", MINIMAL, ids=lambda item: f"{item.counter}-{item.kind}")
def test_a_minimal_module_shows_its_kind_and_leaves_no_residual(minimal: Minimal) -> None:
    if distribution_of(minimal.counter) is None:
        pytest.skip(f"{minimal.counter} is not installed")
    found = ask(minimal)
    assert found.ours == minimal.macs
    if isinstance(minimal.reported, str):
        assert found.error.startswith(minimal.reported)
        return
    assert found.error == ""
    assert found.reported == minimal.reported
    assert minimal.kind in found.causes
    assert found.residual == 0
