"""Sweeps: exact against single designs, the true front, filters, resuming, refusals."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys

import numpy as np
import pytest

from gadprof.errors import SourceError, SpecError, UnknownNameError
from gadprof.networks.spec import families
from gadprof.sweep import chunks, sampling
from gadprof.sweep.chunks import check_chunk, chosen_chunks, grid_chunks
from gadprof.sweep.front import empty_front, merge
from gadprof.sweep.run import CHECKED, Filters, read_objectives, run_sweep
from gadprof.sweep.sampling import choose_sample
from gadprof.sweep.space import Places, make_space
from gadprof.sweep.tables import QUANTITIES

WIDE = {
    "width": "1:300",
    "s": "1,2,3",
    "d": "3,5",
    "k": "1,3",
    "r": "4,16",
    "bottlenecks": "0:4",
    "joints": "1,17",
    "blocks": "1:3-1:3-2-2:3",
    "modules": "1:3-1:2-1:4",
    "up": "yes,no",
    "block": "ga,basic,ghost,ghost-se",
    "transition": "conv,gd",
    "down": "conv,gd",
    "se_bias": "yes,no",
    "shortcut": "yes,no",
    "stage1": "16,64,65",
}


def test_any_design_of_a_wide_space_costs_what_it_costs_alone():
    space = make_space("gadnet", WIDE, "256x192,64x64")
    for chunk in chosen_chunks(space, QUANTITIES, choose_sample(space, 150, 5)):
        assert check_chunk(space, chunk, QUANTITIES, range(len(chunk.designs)))


def test_every_design_of_a_grid_around_special_widths_costs_what_it_costs_alone():
    texts = {
        "width": "1,2,64,255:257",
        "s": "1,2",
        "bottlenecks": "0,1,3",
        "blocks": "1:3-1-1-1",
        "modules": "1-1:3-1:4",
        "up": "yes,no",
    }
    space = make_space("gadnet", texts, "64x64")
    for chunk in grid_chunks(space, QUANTITIES, 0):
        check_chunk(space, chunk, QUANTITIES, range(0, len(chunk.designs), 11))


def test_designs_as_wide_as_a_narrow_stage_1_cost_what_they_cost_alone():
    texts = {"width": "63:65,127:129", "stage1": "16,32", "bottlenecks": "0,2"}
    space = make_space("hrnet", texts, "64x64")
    for chunk in grid_chunks(space, QUANTITIES, 0):
        assert check_chunk(space, chunk, QUANTITIES, range(len(chunk.designs)))


def brute_front(points: list[tuple[int, ...]]) -> set[tuple[int, ...]]:
    def beats(a, b):
        return a != b and all(x <= y for x, y in zip(a, b, strict=True))

    return {p for p in points if not any(beats(q, p) for q in points)}


@pytest.mark.parametrize("quantities", [2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_a_front_built_from_pieces_is_the_true_front(quantities, seed):
    draw = random.Random(seed)
    points = [tuple(draw.randint(0, 30) for _ in range(quantities)) for _ in range(400)]
    front = empty_front(quantities)
    for start in range(0, 400, 57):
        some = np.array(points[start : start + 57])
        front = merge(front, some, np.arange(start, start + len(some)))
    assert {tuple(point) for point in front.points.tolist()} == brute_front(points)
    assert all(points[d] == tuple(p) for p, d in zip(front.points, front.designs, strict=True))


def test_the_front_of_a_sweep_is_the_front_of_its_designs():
    space = make_space(
        "gadnet", {"width": "8:40:2", "s": "2,3", "blocks": "1:2-1:2-2:3-2"}, "64x64"
    )
    objectives = read_objectives("macs,params:max")
    result = run_sweep(space, objectives)
    points = {}
    for chunk in grid_chunks(space, ("params", "macs"), 0):
        macs, params = chunk.columns["macs"], chunk.columns["params"]
        for index, design in enumerate(chunk.designs.tolist()):
            points[design] = (int(macs[index]), -int(params[index]))
    expected = brute_front(list(points.values()))
    assert {(row["macs"], -row["params"]) for row in result.front} == expected
    assert result.designs == space.size
    assert result.checked > 0


def test_filters_count_what_passes():
    space = make_space("hrnet", {"width": "8:64:8"}, "64x64")
    limit = 10_000_000
    result = run_sweep(space, read_objectives("macs,params"), Filters({"params": limit}))
    costs = [space.spec_at(index)[0] for index in range(space.size)]
    import gadprof

    expected = sum(gadprof.cost(spec, input=(3, 64, 64)).params <= limit for spec in costs)
    assert result.passed == expected
    assert all(row["params"] <= limit for row in result.front)


def test_the_models_of_a_front_can_be_named_again():
    import gadprof

    space = make_space("gadnet", {"width": "16:32:8", "s": "2,3"}, "64x64")
    for row in run_sweep(space, read_objectives("macs,params:max")).front:
        assert gadprof.cost(row["model"], input=(3, 64, 64)).macs == row["macs"]


def test_a_sample_is_the_same_for_the_same_seed():
    space = make_space("gadnet", WIDE)
    first, again = choose_sample(space, 500, 7), choose_sample(space, 500, 7)
    assert (first == again).all()
    assert len(set(first.tolist())) == 500
    assert (first != choose_sample(space, 500, 8)).any()


def test_a_large_sample_is_drawn_in_runs_of_different_designs(monkeypatch):
    monkeypatch.setattr(sampling, "STRATUM", 64)
    space = make_space("gadnet", {"width": "1:997"})
    for count in (63, 64, 65, 500, 996, 997, 2000):
        found = choose_sample(space, count, 3)
        assert len(found) == min(count, 997)
        assert (np.diff(found) > 0).all()
        assert found[0] >= 0
        assert found[-1] < 997
        for start, stop in ((0, 10), (60, 200), (500, 997)):
            some = np.concatenate([[], *sampling.sampled(space, count, 3, start, stop)])
            assert (some == found[start:stop]).all()


def test_more_array_combinations_than_a_chunk_holds_are_cut(monkeypatch):
    space = make_space(
        "gadnet", {"width": "1:9", "k": "1,3", "d": "3,5", "r": "4,8,16", "blocks": "1:2-1-1-1"},
        "64x64",
    )  # fmt: skip
    whole = list(grid_chunks(space, QUANTITIES, 0))
    monkeypatch.setattr(chunks, "CHUNK", 50)
    cut = list(grid_chunks(space, QUANTITIES, 0))
    assert {len(chunk.designs) for chunk in cut} == {50, 8}
    for name in QUANTITIES:
        once, pieces = ([c.columns[name] for c in made] for made in (whole, cut))
        assert (np.concatenate(once) == np.concatenate(pieces)).all()
    assert list(chunks.chunk_ends(space)) == [chunk.designs[-1] + 1 for chunk in cut]
    later = list(grid_chunks(space, QUANTITIES, int(cut[4].designs[0])))
    assert [c.designs.tolist() for c in later] == [c.designs.tolist() for c in cut[4:]]


def test_the_rows_of_a_long_front_are_those_of_single_designs():
    space = make_space("gadnet", {"width": "8:90", "s": "2,3"}, "64x64,64x96")
    result = run_sweep(space, read_objectives("macs,params:max"))
    assert len(result.front) > 2 * CHECKED
    import gadprof

    for row in result.front[::9]:
        alone = gadprof.cost(row["model"], input=tuple(map(int, row["input"].split("x"))))
        assert all(row[name] == getattr(alone, name) for name in QUANTITIES)


@pytest.mark.parametrize("width", ["16:64", "16:20", "9:71", "16:4000:3"])
@pytest.mark.parametrize("blocks", ["1:10-1:10-1:10-1:10", "1:7-1:9-1:11-1:5"])
def test_the_pieces_for_a_cluster_end_where_the_parts_of_a_file_do(width, blocks):
    from gadprof.sweep import distributed, parquet

    space = make_space("gadnet", {"width": width, "blocks": blocks, "s": "2,3"})
    part_ends, part = [], 0
    for end in chunks.chunk_ends(space):
        if end - part >= parquet.PART_DESIGNS:
            part_ends.append(end)
            part = end
    pieces = distributed.ranges(space, None, keep=True)
    assert [start for start, _ in pieces] == [0, *(stop for _, stop in pieces[:-1])]
    assert pieces[-1][1] == space.size
    assert set(part_ends) <= {stop for _, stop in pieces}


@pytest.mark.parametrize("family", sorted(families()))
def test_every_family_can_be_swept(family):
    space = make_space(family, {"joints": "16,17"} if has_knob(family, "joints") else {})
    result = run_sweep(space, read_objectives("macs,params:max"))
    assert result.designs == space.size
    assert result.checked > 0


def has_knob(family, name):
    return any(knob.name == name for knob in families()[family].knobs)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--seed", "-1"), "--seed"),
        (("--plot", "front.bmp2"), "no svg, pdf or png"),
        (("--front", "macs,latency"), "gadprof sweep"),
        (("--max", "params=1M", "--min", "params=2M"), "no design has params"),
        (("--widht", "3"), "did you mean 'width'"),
        (("--max", "params=1", "--trials", "4"), "meets the limits"),
    ],
)
def test_a_search_that_cannot_be_is_refused(arguments, words, run_cli):
    pytest.importorskip("optuna", reason="needs gadprof[sweep]")
    code, _, err = run_cli("search", "gadnet", "--width", "16:64:8", *arguments)
    assert code == 2
    assert words in err


def test_places_are_never_written_out():
    places = Places([range(1, 10**4)] * 4)
    assert len(places) == (10**4 - 1) ** 4
    assert places[0] == (1, 1, 1, 1)
    assert places[-1] == (9999,) * 4


@pytest.mark.parametrize(
    ("texts", "error", "words"),
    [
        ({"widht": "3"}, UnknownNameError, "did you mean 'width'"),
        ({"width": "8:4"}, SpecError, "empty range"),
        ({"width": ","}, SpecError, "no design"),
        ({"width": "0,3"}, SpecError, "positive"),
        ({"blocks": "1:2-3"}, SpecError, "has 2 places"),
        ({"block": "gaa"}, SpecError, "is one of"),
        ({"width": "8:64:0"}, SpecError, "step of 0"),
    ],
)
def test_a_bad_space_is_refused(texts, error, words):
    with pytest.raises(error, match=words):
        make_space("gadnet", texts)


def test_a_space_too_large_says_its_number_and_asks_for_a_sample(run_cli):
    code, _, err = run_cli(
        "sweep", "gadnet", "--width", "1:1000", "--blocks", "1:1000-1:1000-1:1000-1:1000"
    )
    assert code == 2
    assert "1,000,000,000,000,000 designs" in err
    assert "--sample" in err


def test_a_sample_of_a_space_too_large_runs(run_cli):
    code, out, _ = run_cli(
        "sweep", "gadnet", "--width", "1:1000", "--blocks", "1:1000-1:1000-1:1000-1:1000",
        "--sample", "200", "--format", "json",
    )  # fmt: skip
    payload = json.loads(out)
    assert code == 0
    assert payload["designs"] == 200
    assert payload["space"]["designs"] == 10**15


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--max", "params=1M", "--min", "params=2M"), "no design has params"),
        (("--max", "parms=1M"), "did you mean 'params'"),
        (("--max", ""), "it is empty; type params=12M"),
        (("--front", "macs"), "two or three quantities"),
        (("--width",), "has no value"),
        (("16:64",), "knobs are options"),
        (("--max", "params=1M", "--max", "params=2M"), "leave one out"),
        (("--width", "1:10000000000"), "has 10,000,000,000 values"),
        (("--sample", "5", "--seed", "-1"), "--seed"),
        (("--plot", "front.bmp2"), "no svg, pdf or png"),
    ],
)
def test_contradictions_and_slips_are_refused(arguments, words, run_cli):
    code, _, err = run_cli("sweep", "gadnet", *arguments)
    assert code == 2
    assert words in err


SPACE = {"width": "2:40", "s": "2,3", "blocks": "1:2-1:2-1:3-1:2"}
SCRIPT = """
import sys
from gadprof.sweep import parquet
from gadprof.sweep.run import Filters, read_objectives, run_sweep
from gadprof.sweep.space import make_space
parquet.PART_DESIGNS = 300
import gadprof.sweep.chunks as chunks
chunks.CHUNK = 100
space = make_space("gadnet", {space!r}, "64x64")
front, limits = read_objectives("macs,params:max"), Filters({{"params": 3_000_000}})
store = parquet.PartStore({path!r}, space, front, limits, sample=None, seed=0)
kill_after = {kill_after}
if kill_after is not None:
    import os, signal
    seen = [0]
    def dying(state):
        seen[0] += 1
        if seen[0] == kill_after:
            os.kill(os.getpid(), signal.SIGKILL)
    run_sweep(space, front, limits, store=store, on_progress=dying)
else:
    run_sweep(space, front, limits, store=store)
"""


def sweep_in_process(path, kill_after=None) -> int:
    script = SCRIPT.format(space=SPACE, path=str(path), kill_after=kill_after)
    return subprocess.run([sys.executable, "-c", script], check=False, timeout=120).returncode


def test_a_killed_sweep_resumes_and_ends_with_the_same_bytes(tmp_path):
    pytest.importorskip("pyarrow", reason="needs gadprof[sweep]")
    whole, broken = tmp_path / "whole.parquet", tmp_path / "broken.parquet"
    assert sweep_in_process(whole) == 0
    assert sweep_in_process(broken, kill_after=7) == -9
    assert not broken.exists()
    assert list((tmp_path / "broken.parquet.parts").glob("part-*.parquet"))
    assert sweep_in_process(broken, kill_after=3) == -9
    assert sweep_in_process(broken) == 0
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (whole, broken)]
    assert digests[0] == digests[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.parquet", "whole.parquet"]


def test_a_sweep_killed_before_its_very_last_step_ends_with_the_same_bytes(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow", reason="needs gadprof[sweep]")
    from gadprof.sweep import parquet

    space, front = make_space("gadnet", SPACE, "64x64"), read_objectives("macs,params:max")

    def sweep(path):
        store = parquet.PartStore(str(path), space, front, Filters(), sample=None, seed=0)
        return run_sweep(space, front, store=store)

    whole, broken = tmp_path / "whole.parquet", tmp_path / "broken.parquet"
    expected = sweep(whole)
    real = parquet.os.replace

    def dies(source, target):
        if str(target) == str(broken):
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(parquet.os, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        sweep(broken)
    monkeypatch.setattr(parquet.os, "replace", real)
    assert sweep(broken).front == expected.front
    assert broken.read_bytes() == whole.read_bytes()
    monkeypatch.setattr("gadprof.sweep.run.chunks_of", None)  # whole: nothing is costed again
    again = sweep(broken)
    assert (again.front, again.passed, again.checked) == (
        expected.front, expected.passed, expected.checked,
    )  # fmt: skip


def test_the_parquet_file_holds_exactly_what_passes(run_cli, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs gadprof[sweep]")
    path = tmp_path / "designs.parquet"
    code, out, _ = run_cli(
        "sweep", "gadnet", "--width", "8:16:4", "--blocks", "1:2-1-2-2", "--block", "ga,basic",
        "--input", "64x64", "--max", "params=2M", "-o", str(path), "--format", "json",
    )  # fmt: skip
    assert code == 0
    table = parquet.read_table(path).to_pylist()
    assert len(table) == json.loads(out)["passed"]
    import gadprof

    for row in table:
        spec = f"gadnet32:width={row['width']},block={row['block']},blocks={row['blocks_1']}-1-2-2"
        assert gadprof.cost(spec, input=(3, 64, 64)).params == row["params"] <= 2_000_000


def test_another_sweeps_file_is_refused(run_cli, tmp_path):
    pytest.importorskip("pyarrow", reason="needs gadprof[sweep]")
    path = str(tmp_path / "designs.parquet")
    assert run_cli("sweep", "gadnet", "--width", "8,16", "-o", path)[0] == 0
    code, _, err = run_cli("sweep", "gadnet", "--width", "8,24", "-o", path)
    assert code == 2
    assert "holds another sweep" in err


def test_a_finished_sweep_is_not_run_again(tmp_path):
    pytest.importorskip("pyarrow", reason="needs gadprof[sweep]")
    path = tmp_path / "designs.parquet"
    assert sweep_in_process(path) == 0
    before = path.read_bytes()
    assert sweep_in_process(path) == 0
    assert path.read_bytes() == before


def test_a_width_beyond_64_bits_is_refused():
    space = make_space("hrnet", {"width": "8,1000000"})
    with pytest.raises(SpecError, match="64-bit"):
        run_sweep(space, read_objectives("macs,params"))


def test_another_kind_of_file_is_refused(tmp_path):
    pytest.importorskip("pyarrow", reason="needs gadprof[sweep]")
    from gadprof.sweep.parquet import PartStore

    path = tmp_path / "x.parquet"
    path.write_bytes(b"PAR1 not really")
    space = make_space("gadnet", {})
    with pytest.raises(SourceError, match="holds another sweep"):
        PartStore(str(path), space, read_objectives("macs,params"), Filters(), sample=None, seed=0)


def test_a_search_finds_the_same_front_for_the_same_seed_and_nears_the_exact_one():
    pytest.importorskip("optuna", reason="needs gadprof[sweep]")
    from gadprof.sweep.search import run_search

    space = make_space(
        "gadnet", {"width": "8:40:4", "s": "2,3", "blocks": "1:2-1:2-2-2:3"}, "64x64"
    )
    objectives = read_objectives("macs,params:max")
    limits = Filters({"params": 8_000_000})
    first = run_search(space, objectives, limits, trials=150, population=24, seed=1)
    again = run_search(space, objectives, limits, trials=150, population=24, seed=1)
    assert first.front == again.front
    assert first.exact is not None
    assert 0.7 < first.reached <= 1.0
    assert all(row["params"] <= 8_000_000 for row in first.front)


def rows_of(macs: list[int]) -> list[dict[str, int]]:
    return [{"macs": value, "params": 10 * value} for value in macs]


def test_the_rows_shown_are_those_nearest_the_budget_in_their_order():
    from gadprof.commands.sweep import nearest_budget
    from gadprof.sweep.run import Filters

    rows = rows_of([10, 20, 30, 40, 50])
    assert nearest_budget(rows, Filters({"macs": 50}, {}), 2) == rows[3:]
    assert nearest_budget(rows, Filters({}, {"macs": 10}), 2) == rows[:2]
    assert nearest_budget(rows, Filters({"macs": 50}, {}), 9) == rows


def test_without_a_budget_the_rows_shown_are_spread_over_the_front():
    from gadprof.commands.sweep import nearest_budget
    from gadprof.sweep.run import Filters

    rows = rows_of(list(range(101)))
    shown = [row["macs"] for row in nearest_budget(rows, Filters({}, {}), 5)]
    assert shown == [0, 25, 50, 75, 100]


def test_a_sweep_over_several_inputs_shows_each_rows_input(run_cli):
    words = ("sweep", "gadnet", "--width", "16,32", "--s", "2,3")
    one = run_cli(*words, "--input", "256x192", "--format", "csv")[1]
    two = run_cli(*words, "--input", "256x192,384x288", "--format", "csv")[1]
    assert "input" not in one.splitlines()[0]
    assert two.splitlines()[0].startswith("model,input,")


def test_the_note_says_which_rows_are_shown(run_cli):
    code, out, _ = run_cli(
        "sweep", "gadnet", "--width", "8:64:2", "--s", "2,3,4", "--max", "macs=3G", "--limit", "5"
    )
    assert code == 0
    words = " ".join(out.split())
    assert "5 of" in words
    assert "nearest macs 3,000,000,000" in words
