"""A model string is counted by one policy: the same figures and exit code in every command."""

from __future__ import annotations

import json

import pytest

from gadprof.errors import BuildError, NeedsValuesError
from gadprof.models.counting import cost_or_trace, count_here, trace_model

USER = """
import torch
from torch import nn

class Raises(nn.Module):
    def forward(self, x):
        raise ValueError("no further")

class Branches(nn.Module):
    '''Its path depends on its own weights.'''
    def __init__(self):
        super().__init__()
        self.near, self.far = nn.Conv2d(3, 4, 1, bias=False), nn.Conv2d(3, 8, 1, bias=False)
        nn.init.constant_(self.near.weight, 1.0)
    def forward(self, x):
        return self.near(x) if self.near.weight.sum() > 11 else self.far(x)

class Reads(nn.Module):
    '''Building it reads a value.'''
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, int(torch.ones(5).sum().item()), 1, bias=False)
    def forward(self, x):
        return self.conv(x)

def refuses():
    raise ValueError("not today")
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("nets") / "net.py"
    path.write_text(USER)
    return str(path)


@pytest.mark.parametrize(("name", "code"), [("Raises", 1), ("refuses", 2), ("absent", 2)])
@pytest.mark.parametrize("command", ["count", "compare"])
def test_a_model_that_fails_ends_every_command_with_the_same_code(
    command, name, code, file, run_cli
):
    assert run_cli(command, f"{file}:{name}", "--input", "3x8x8")[0] == code


def test_a_mixed_comparison_ends_with_the_gravest_code(file, run_cli):
    code, out, _ = run_cli(
        "compare", f"{file}:Raises", f"{file}:refuses", "--input", "3x8x8", "--format", "json"
    )
    assert code == 2
    assert "exit_code" not in json.loads(out)["rows"][0]


def test_a_path_that_depends_on_weights_is_taken_with_the_models_own(file):
    trace, loaded = count_here(f"{file}:Branches", shapes=((3, 8, 8),))
    assert trace.macs == 3 * 4 * 64  # twelve ones are more than eleven
    assert trace.device == "cpu"
    assert not next(loaded.module.parameters()).is_meta


def test_a_model_that_reads_a_value_while_it_is_built_is_built_with_values(file):
    trace, _ = count_here(f"{file}:Reads", shapes=((3, 8, 8),))
    assert trace.macs == 3 * 5 * 64


def test_the_reasons_to_try_with_values_are_kinds_of_error(file):
    from gadprof.counting.count import count
    from gadprof.models.sources import build_module, load, resolve

    with pytest.raises(BuildError):
        build_module(resolve(f"{file}:Reads"), device="meta")
    loaded = load(f"{file}:Branches", shapes=((3, 8, 8),), device="meta")
    with pytest.raises(NeedsValuesError):
        count(loaded.module, loaded.args, fallback=False)


def test_a_built_in_networks_cost_and_trace_agree():
    cost, trace = cost_or_trace("hrnet32:width=8"), trace_model("hrnet32:width=8")
    assert (cost.params, cost.macs) == (trace.params, trace.macs)
