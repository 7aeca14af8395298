"""Tiny models that misbehave, each in one way; the measuring tests name them by file."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

import torch
from torch import nn

CALLS_BEFORE = 30  # past loading, checking and most of the warm-up


class Good(nn.Module):
    """A linear layer; ``act`` is what a subclass does wrong before it runs."""

    example_input_shapes = ((8,),)

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if self.calls > CALLS_BEFORE:
            self.act()
        return self.linear(x)

    def act(self) -> None:
        pass


class Crash(Good):
    def act(self) -> None:
        os.abort()


class Killed(Good):
    def act(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Hang(Good):
    def act(self) -> None:
        print("about to hang", file=sys.stderr, flush=True)
        time.sleep(1000)


class BigAllocation(Good):
    def act(self) -> None:
        self.kept: Any = torch.ones(1 << 40, dtype=torch.uint8)


class Growing(Good):
    def act(self) -> None:
        self.kept: Any = []
        while True:
            self.kept.append(os.urandom(1 << 10) * (8 << 10))


class Nan(Good):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x) * float("nan")


class Fork(Good):
    def act(self) -> None:
        if self.calls in (CALLS_BEFORE + 1, CALLS_BEFORE + 40) and os.fork() == 0:
            self.linear(torch.zeros(1, 8))


class Flood(Good):
    def act(self) -> None:
        sys.stdout.write("o" * 5000 + "\n")
        sys.stdout.flush()
        sys.stderr.write("e" * 5000 + "\n")


class Exits(Good):
    def act(self) -> None:
        sys.exit(3)


class Raises(Good):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise ValueError("this model cannot run")
