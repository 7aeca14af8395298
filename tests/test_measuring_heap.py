"""A worker keeps the memory that its model frees: page faults do not tell processes apart."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gadprof.measuring.probes.heap import KEPT, heap_policy

FAULTS = """
import resource, sys
import torch
from gadprof.measuring.probes.heap import keep_heap
if sys.argv[1] == "keep":
    assert keep_heap()
def run():
    x = torch.empty(40 * 2**20, dtype=torch.uint8).fill_(1)
for _ in range(20):
    run()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    run()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(policy: str) -> int:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FAULTS, policy],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.skipif(heap_policy() != KEPT, reason="the C library is not glibc")
def test_memory_that_is_freed_and_taken_again_costs_no_page_faults():
    # blocks of 40 MiB are always mapped afresh by glibc's default
    assert faults("default") > 100
    assert faults("keep") < 50
