"""Host and card on one time line: which of the two sets the pace, and what each then takes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import gadprof
from gadprof.prediction.features import VIEW, features_of
from gadprof.prediction.launch import KINDS, Host, kinds_in_order, timeline
from gadprof.prediction.way import Way

SLOW = Host((1.0,) * len(KINDS), 0.0)  # a second a call


class Chain(torch.nn.Module):
    """A convolution, a view, three activations of its result."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 8, 3, bias=False)

    def forward(self, x):
        y = self.conv(x).flatten(2)
        return torch.tanh(torch.sigmoid(torch.relu(y)))


def features():
    trace = gadprof.count(Chain(), (1, 3, 8, 8))
    return features_of(trace.forward, Way(gpu=True))


def test_the_order_has_every_call_and_a_view_runs_nothing():
    found = features()
    kinds = [KINDS[kind] for kind in kinds_in_order(found)]
    assert kinds == ["convolution", "view", *["pointwise"] * 3]
    assert found.order.tolist().count(VIEW) == 1
    assert (np.bincount(found.order[found.order != VIEW]) == found.counts).all()


@pytest.mark.parametrize(
    ("each", "total"),
    [
        # five calls of a second, then the last kernel
        ((0.1, 0.1, 0.1, 0.1), 5.1),
        # the card starts after the first call and is never free again
        ((9.0, 0.1, 0.1, 0.1), 1 + 9.3),
        # the second kernel waits for its call, the third for the second
        ((0.1, 4.0, 0.1, 0.1), 3 + 4.2),
    ],
)
def test_a_kernel_starts_at_the_later_of_its_call_and_the_card_being_free(each, total):
    run = timeline(features(), np.array(each), SLOW)
    assert run.total_s == pytest.approx(total)
    assert run.host_s + run.counts @ np.array(each) == pytest.approx(total)


def test_a_pass_takes_its_once_beside_and_a_host_without_cost_leaves_the_cards_times():
    each = np.array([0.5, 0.1, 0.2, 0.3])
    free = Host((0.0,) * len(KINDS), 0.25)
    assert timeline(features(), each, free).total_s == pytest.approx(0.25 + 1.1)


def test_a_pass_ends_when_the_host_is_done_too():
    class Ends(Chain):
        def forward(self, x):
            return self.conv(x).flatten(2)

    found = features_of(gadprof.count(Ends(), (1, 3, 8, 8)).forward, Way(gpu=True))
    assert timeline(found, np.array([0.5]), SLOW).total_s == pytest.approx(2.0)
