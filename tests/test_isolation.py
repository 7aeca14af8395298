"""Isolation: whatever a model does to its process costs one row and one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from gadprof.audit.counter_process import CounterProcess, run_isolated

MODELS = str(Path(__file__).with_name("small_models.py"))
SHAPES = ((3, 16, 16),)
GIB = 2**30


@pytest.fixture(scope="module")
def worker():  # type: ignore[no-untyped-def]
    with CounterProcess() as process:
        yield process


@pytest.mark.parametrize(
    ("factory", "line"),
    [
        ("Raising", "ValueError: no further than here"),
        ("exits", "the model called sys.exit(3)"),
        ("leaves", "it ended its process with code 7 before it answered"),
        ("crashes", "it was killed by SIGSEGV"),
    ],
)
def test_a_hostile_model_costs_one_line(worker: CounterProcess, factory: str, line: str) -> None:
    answer = worker.count("torch", f"{MODELS}:{factory}", SHAPES, timeout_s=60)
    assert answer.reported is None
    assert answer.error == line


def test_a_model_that_hangs_is_ended_at_the_limit(worker: CounterProcess) -> None:
    worker.count("torch", f"{MODELS}:Plain", SHAPES, timeout_s=60)
    answer = worker.count("torch", f"{MODELS}:hangs", SHAPES, timeout_s=1)
    assert answer.error == "it gave no answer within 1 s; allow more with --timeout"


def test_a_model_that_takes_all_the_memory_is_stopped() -> None:
    answer = run_isolated("torch", f"{MODELS}:fills_memory", SHAPES, 1, 60, 2 * GIB)
    assert answer.error is not None
    assert answer.error.startswith("ran out of memory")


def test_what_a_model_prints_is_not_taken_for_an_answer(worker: CounterProcess) -> None:
    answer = worker.count("torch", f"{MODELS}:Noisy", SHAPES, timeout_s=60)
    assert answer.error is None
    assert answer.macs == 8 * 27 * 256 + 8 * 9 * 196 + 40


def test_a_worker_goes_on_after_a_failure(worker: CounterProcess) -> None:
    assert worker.count("torch", f"{MODELS}:leaves", SHAPES, timeout_s=60).error
    answer = worker.count("torch", f"{MODELS}:Plain", SHAPES, timeout_s=60)
    assert answer.error is None


def test_a_file_that_is_not_there_costs_one_line(worker: CounterProcess) -> None:
    answer = worker.count("torch", "nowhere.py:build", SHAPES, timeout_s=60)
    assert answer.error == "model file 'nowhere.py' does not exist"


def test_the_same_number_comes_from_a_process_of_its_own(worker: CounterProcess) -> None:
    import torch
    from small_models import Plain

    from gadprof.audit.backends import run_backend

    here = run_backend("fvcore", Plain().eval(), (torch.zeros(1, 3, 16, 16),))
    there = worker.count("fvcore", f"{MODELS}:Plain", SHAPES, timeout_s=60)
    assert there == here
