"""Whatever text, file or name arrives: an answer or one line, and nothing touched beside it."""

from __future__ import annotations

import importlib
import random
from pathlib import Path

import fuzz_targets as fuzz
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("onnx", reason="needs gadprof[onnx]")


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz") / "scratch"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def watch(scratch: Path) -> fuzz.Watch:
    importlib.import_module("matplotlib.font_manager")  # which makes its folder in the home
    for name, target in fuzz.TARGETS.items():  # what is imported late may write its own caches
        for path in (fuzz.CORPUS / name).glob("seed-*"):
            fuzz.ends_well(target, path.read_bytes(), scratch)
    return fuzz.Watch(scratch.parent)


def inputs(name: str) -> st.SearchStrategy[bytes]:
    """Words of the target's grammar in any order, changed copies of its kept inputs, any bytes."""
    seeds = [path.read_bytes() for path in sorted((fuzz.CORPUS / name).iterdir())]
    made = [st.builds(changed, st.sampled_from(seeds), st.integers(0, 2**32))]
    if words := fuzz.words_of(name):
        made.append(st.lists(st.sampled_from(words), max_size=14).map(b"".join))
    return st.one_of(*made, st.binary(max_size=40))


def changed(data: bytes, seed: int) -> bytes:
    """The data with a few bytes replaced, left out or doubled."""
    draw = random.Random(seed)
    content = bytearray(data)
    for _ in range(draw.randint(0, 4)):
        place = draw.randrange(len(content) + 1)
        match draw.randrange(3):
            case 0:
                content[place : place + 1] = bytes([draw.randrange(256)])
            case 1:
                del content[place : place + draw.randint(1, 4)]
            case _:
                content[place:place] = content[place : place + draw.randint(1, 8)]
    return bytes(content)


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_any_input_ends_in_an_answer_or_in_one_line(
    name: str, scratch: Path, watch: fuzz.Watch
) -> None:
    @settings(
        max_examples=30,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs(name))
    def ends_well(data: bytes) -> None:
        with watch.watching():
            fuzz.ends_well(fuzz.TARGETS[name], data, scratch)

    ends_well()


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_every_kept_input_ends_in_an_answer_or_in_one_line(
    name: str, scratch: Path, watch: fuzz.Watch
) -> None:
    kept = sorted((fuzz.CORPUS / name).iterdir())
    assert kept
    for path in kept:
        with watch.watching():
            fuzz.ends_well(fuzz.TARGETS[name], path.read_bytes(), scratch)


def test_the_kept_inputs_are_small() -> None:
    sizes = [path.stat().st_size for path in fuzz.CORPUS.rglob("*") if path.is_file()]
    assert sum(sizes) < 200_000
    assert max(sizes) <= 4096
