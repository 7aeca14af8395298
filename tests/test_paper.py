"""The page on GADNet's paper: its claims, equations, tables and search hold what they say."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path

import pytest

import gadprof
from gadprof.networks import plan as p
from gadprof.networks.blocks.gadnet import ga_block
from gadprof.networks.blocks.ghost import ghost_module
from gadprof.networks.blocks.knobs import BlockKnobs
from gadprof.networks.cost import cost_of
from gadprof.networks.spec import presets
from gadprof.paper import search as searching
from gadprof.paper.claims import CLAIMS, value_of
from gadprof.paper.equations import check_against_plan, check_against_trace
from gadprof.paper.ghosts import nearest_variants, variant
from gadprof.paper.search import AXES, Grid, Search, design_at, index_of, make_grid, run_search
from gadprof.paper.search_sections import ordinal
from gadprof.paper.systems import ABLATION, PUBLISHED, built_in, missing
from gadprof.paper.verdicts import Verdict, every_ratio, judge_all

REPORTS = Path(__file__).resolve().parents[1] / "reports"
INPUT = (3, 256, 192)


@pytest.fixture(scope="module")
def found() -> Search:
    return run_search()


@pytest.fixture(scope="module")
def grid() -> Grid:
    return make_grid()


@pytest.fixture(scope="module")
def verdicts() -> dict[str, Verdict]:
    return {item.key: item for item in judge_all()}


# --- the committed page ---------------------------------------------------------------------------


def test_the_committed_page_and_its_data_are_what_the_command_makes_now(run_cli):
    code, out, err = run_cli("paper", "--check", "-o", str(REPORTS / "gadnet-paper.md"))
    assert (code, err) == (0, ""), f"type: gadprof paper\n{err}"
    assert "up to date" in out


def test_the_index_links_the_page():
    assert "(gadnet-paper.md)" in (REPORTS / "index.md").read_text()


def test_a_changed_page_and_a_missing_data_file_are_stale(run_cli, tmp_path):
    page = tmp_path / "page.md"
    code, out, _ = run_cli("paper", "-o", str(page))
    assert code == 0
    names = sorted(path.name for path in (tmp_path / "data").iterdir())
    assert out == f"wrote {len(names) + 1} files: {page}\n"
    page.write_text(page.read_text().replace("61.15 %", "60.70 %"))
    (tmp_path / "data" / "page-table5.csv").unlink()
    code, out, err = run_cli("paper", "--check", "-o", str(page))
    assert (code, out) == (1, "")
    assert err.splitlines() == [
        f"gadprof: stale: {page}",
        f"gadprof: stale: {tmp_path / 'data' / 'page-table5.csv'}",
        f"gadprof: 2 of {len(names) + 1} files are stale; type: gadprof paper -o {page}",
    ]


# --- the search -----------------------------------------------------------------------------------


def test_the_search_covers_every_combination_of_its_axes(found):
    size = 1
    for values in AXES.values():
        size *= len(values)
    assert found.grid == size
    # rows 3, 5 and 8 leave one of 2·2, 3 and 2 values each
    assert found.obeying == size // (2 * 2 * 3 * 2)
    assert found.any_modules.designs == found.obeying
    assert found.hrnet.designs == found.obeying // len(AXES["modules"])


@pytest.mark.parametrize("number", range(12))
def test_a_design_of_the_grid_costs_what_its_plan_costs(grid, number):
    item = design_at(grid, 70001 * number)
    if not item.model:  # two operations a block: the next lower number of operations has a string
        item = design_at(grid, 70001 * number - len(AXES["k"]) * len(AXES["d"]) * len(AXES["r"]))
    cost = gadprof.cost(item.model, INPUT)
    assert (item.params, item.macs) == (cost.params, cost.macs)


def test_two_operations_a_block_add_a_ghost_module_without_attention_to_each(grid):
    base = {
        "n": 3, "modules": (1, 4, 3), "up": True, "s": 2, "down": "gd", "transition": "gd",
        "k": 3, "d": 5, "r": 16,
    }  # fmt: skip
    one, two = (design_at(grid, index_of({**base, "operations": n})) for n in (1, 2))
    knobs = BlockKnobs(3, 5, 2, 16)
    params = macs = 0
    for branch, (repeats, modules) in enumerate(zip((3, 3, 6, 6), (8, 8, 7, 3), strict=True)):
        c, shape = 32 * 2**branch, (32 * 2**branch, 64 // 2**branch, 48 // 2**branch)
        pair = cost_of(p.Sequence((ghost_module(c, c, knobs), ga_block(c, c, knobs))), shape)
        alone = cost_of(ga_block(c, c, knobs), shape)
        params += repeats * modules * (pair.params - alone.params)
        macs += repeats * modules * (pair.macs - alone.macs)
    assert (two.params - one.params, two.macs - one.macs) == (params, macs)
    assert two.model == ""


def test_the_default_is_the_preset_and_its_distance_follows_from_exact_counts(found):
    ours, theirs = gadprof.cost("gadnet32"), gadprof.cost("hrnet32")
    default = found.default
    assert default.model == "gadnet32"
    assert (default.params, default.macs) == (ours.params, ours.macs) == (11087121, 2898049856)
    errors = (
        100 * (ours.params / theirs.params - 1) + 60.7,
        100 * (ours.macs / theirs.macs - 1) + 61.2,
    )
    assert (default.params_error, default.macs_error) == pytest.approx(errors, abs=1e-4)
    assert default.distance == pytest.approx(max(map(abs, errors)), abs=1e-4)


@pytest.mark.parametrize(("d", "points"), [(1, 1.81), (3, 1.50), (5, 0.89), (7, 0.26)])
def test_each_cheap_kernel_is_as_far_from_the_claims_as_the_page_says(found, d, points):
    item = {design.d: design for design in found.kernels}[d]
    assert item.distance == pytest.approx(points, abs=0.005)
    assert ("d" in item.departures) == (d != 3)


@pytest.mark.parametrize("scope", ["hrnet", "any_modules"])
def test_the_ranking_is_sorted_and_counts_every_design_within_the_point(found, scope):
    ranking = getattr(found, scope)
    distances = [item.distance for item in ranking.close]
    assert distances == sorted(distances)
    assert len(distances) == ranking.within
    assert all(distance <= searching.WITHIN_POINTS for distance in distances)
    assert ranking.ranked[0] == ranking.close[0]
    assert ranking.close[ranking.default_rank - 1].distance == found.default.distance
    assert all(not item.broken for item in ranking.close)


@pytest.mark.parametrize("scope", ["hrnet", "any_modules"])
def test_no_design_of_the_ranking_beats_one_of_the_front(found, scope):
    ranking = getattr(found, scope)

    def sizes(item):
        return abs(item.params_error), abs(item.macs_error)

    for kept, other in itertools.product(ranking.front, (*ranking.close, *ranking.ranked)):
        a, b = sizes(kept), sizes(other)
        assert not (b[0] <= a[0] and b[1] <= a[1] and b != a)


def test_only_the_default_departs_least_and_nearest_among_the_close_designs(found):
    """What the page says of the choice: fewest departures, and of those the smallest kernel."""
    close = found.hrnet.close
    fewest = min(len(item.departures) for item in close)
    own = [item for item in close if len(item.departures) == fewest]
    assert {item.departures for item in own} == {("d",)}
    assert min(own, key=lambda item: item.d) == found.default


def test_letting_a_row_go_breaks_that_row_alone(found):
    assert [row for row, _ in found.relaxed] == ["3", "5", "8"]
    assert all(item.broken == (row,) for row, item in found.relaxed)
    plain = dict(found.relaxed)["3"]
    assert (plain.model, plain.params, plain.macs) == (
        "gadnet32:transition=conv,d=3",
        11206833,
        2921842880,
    )


def test_the_tour_tells_the_search_as_it_is(found):
    words = " ".join((REPORTS.parent / "docs" / "gadnet.md").read_text().split())
    scope, kernels = found.hrnet, {item.d: item for item in found.kernels}
    assert (
        f"a fit, not independent confirmation: {scope.within} of {scope.designs} designs" in words
    )
    assert f"the default ranks {ordinal(scope.default_rank)}" in words
    assert f"d = 5 departs from GhostNet's 3 ({kernels[3].distance:.2f} points off" in words
    assert f"within one point of both ({kernels[5].distance:.2f})" in words
    nearest = scope.ranked[0]
    assert f"d = {nearest.d} is nearest ({nearest.distance:.2f})" in words


# --- claims ---------------------------------------------------------------------------------------


def test_every_claim_has_one_verdict(verdicts):
    assert list(verdicts) == [item.key for item in CLAIMS]


@pytest.mark.parametrize(
    ("key", "word", "found_value"),
    [
        ("params", "reproduced", 61.1471),
        ("macs", "reproduced", 62.0922),
        ("params-154", "restatement", 157.3807),
        ("macs-158", "restatement", 163.7982),
        ("ghost-136", "not reproducible", 43.79),
        ("ghost-84", "not reproducible", 63.92),
        ("ap50", "not tested here", None),
        ("map", "not tested here", None),
        ("test-images", "not tested here", None),
        ("bottlenecks", "built as stated", 3),
        ("epochs", "taken as setting", 260),
    ],
)
def test_a_claim_gets_its_verdict_and_the_figure_found(verdicts, key, word, found_value):
    assert verdicts[key].word == word
    assert verdicts[key].found == found_value
    assert verdicts[key].arithmetic


@pytest.mark.parametrize(("key", "origin"), [("params-154", "params"), ("macs-158", "macs")])
def test_an_increase_restates_the_reduction_within_its_rounding(key, origin):
    # 154.45 and 157.73: the text cuts or rounds a figure that was itself rounded
    assert abs(100 / (1 - value_of(origin) / 100) - 100 - value_of(key)) < 0.5


def test_a_reproduced_claim_lies_within_the_tolerance_told(verdicts):
    for item in verdicts.values():
        assert (item.word == "reproduced") == (item.tolerance is not None)
        if item.tolerance is not None:
            assert abs(item.difference) <= item.tolerance
            assert "fit" in item.arithmetic


def test_what_is_not_reproducible_says_what_would_have_to_be_true(verdicts):
    for item in verdicts.values():
        if item.word == "not reproducible":
            assert item.would_hold


def test_no_pair_of_the_ablation_gives_136_or_84():
    for _, _, params, macs in every_ratio():
        assert abs(100 * (params - 1) - 136) > 1
        assert abs(100 * (macs - 1) - 84) > 1
    assert len(every_ratio()) == len(ABLATION) * (len(ABLATION) - 1) // 2


def test_the_nearest_ghost_variant_is_no_plain_exchange():
    number, nearest = nearest_variants()
    assert number == 2 * 2 * 12 * 3 * 2 * 2 * 4
    assert nearest[0].distance < 2 < variant("ghost-hrnet32").distance
    assert {"blocks", "down", "transition"} <= set(nearest[0].changes)
    assert variant("ghost-hrnet32").changes == ()
    cost = gadprof.cost(nearest[0].model, INPUT)
    assert (nearest[0].params, nearest[0].macs) == (cost.params, cost.macs)


# --- equations ------------------------------------------------------------------------------------


def test_every_equation_is_equal_to_the_plan_at_every_point():
    rows = check_against_plan()
    assert [row.equation for row in rows] == ["1", "5", "6", "7", "7, limit"]
    for row in rows:
        assert row.points > 80
        assert (row.equal, row.first_difference) == (row.points, "")


def test_every_traced_block_counts_what_the_closed_form_says():
    traced = check_against_trace()
    assert {item.block for item in traced} == {"ghost", "ga", "gd"}
    for item in traced:
        assert (item.traced_macs, item.traced_params) == (item.GG, item.params)
        assert item.equal


def test_a_wrong_closed_form_is_found_and_its_first_point_named(monkeypatch):
    from gadprof.formulas.formula import CLOSED_FORMS

    monkeypatch.setitem(CLOSED_FORMS, "ghost", CLOSED_FORMS["ga"])
    row = check_against_plan()[0]
    assert row.equal < row.points
    assert row.first_difference.startswith("ghost at {'c_in'")


# --- tables ---------------------------------------------------------------------------------------


def test_published_rows_are_the_development_data(data_folder):
    with open(data_folder / "published" / "published.csv", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["input_hw"] == "256x192"]
    known = {
        tuple(float(row[key]) if row[key] else None for key in ("params_m", "gflops", "ap", "ap50"))
        for row in rows
    }
    for item in PUBLISHED:
        if item.params_m is not None:
            assert (item.params_m, item.gflops, item.ap, item.ap50) in known, item.system


def test_a_system_is_either_built_in_or_named_as_missing():
    for item in PUBLISHED:
        name = built_in(item)
        assert (name is None) == (item.system in missing())
        assert name is None or name in presets()


@pytest.fixture(scope="module")
def payload(tmp_path_factory):
    from gadprof.cli import run

    target = tmp_path_factory.mktemp("paper") / "paper.json"
    assert run(["paper", "--format", "json", "-o", str(target)]) == 0
    return json.loads(target.read_text())


def test_the_json_has_a_schema_and_exact_integers(payload):
    assert payload["schema_version"] == 1
    assert set(payload) == {
        "schema_version", "title", "claims", "equations", "traced", "search", "not_built_in",
        "tables",
    }  # fmt: skip
    assert payload["search"]["default"]["params"] == 11087121
    rows = {row[0]: row for row in payload["tables"]["table5"]["rows"]}
    assert list(rows) == list(ABLATION)
    for model, row in rows.items():
        cost = gadprof.cost(model)
        assert (row[2], row[4]) == (cost.params, cost.macs)


def test_table_1_doubles_the_channels_and_only_the_last_gdblock_changes_them(payload):
    rows = payload["tables"]["table1"]["rows"]
    assert [row[1] for row in rows] == [32, 64, 128, 256]
    assert [row[2] for row in rows] == [48, 96, 192, 384]
    assert [row[4] for row in rows] == [3, 3, 6, 6]
    assert rows[3][5] == "1: 32→32→256; 2: 64→256; 3: 256"


def test_table_3_starts_at_the_stem_and_ends_at_the_heatmaps(payload):
    table = payload["tables"]["table3"]
    first, last = (
        dict(zip(table["columns"], row, strict=True))
        for row in (table["rows"][0], table["rows"][-1])
    )
    assert (first["path"], first["height"], first["width"]) == ("conv1", 128, 96)
    assert (last["path"], last["channels_32"], last["channels_48"]) == ("final_layer", 17, 17)


# --- the command ----------------------------------------------------------------------------------


def test_the_search_prints_its_counts_default_and_front(run_cli, found):
    code, out, err = run_cli("paper", "--search")
    assert (code, err) == (0, "")
    words = " ".join(out.split())
    assert f"{found.hrnet.within} of {found.hrnet.designs} designs" in words
    assert "a fit and no independent confirmation" in words
    assert "gadnet32:d=7, 0.26 points off" in words
    assert "d = 3 is 1.50 points off" in words


def test_the_search_as_json_keeps_as_many_designs_as_asked_for(run_cli):
    code, out, _ = run_cli("paper", "--search", "--nearest", "3", "--format", "json")
    document = json.loads(out)
    assert code == 0
    assert document["schema_version"] == 1
    assert len(document["search"]["hrnet"]["ranked"]) == 3
    assert document["search"]["default"]["macs"] == 2898049856


def test_the_search_as_markdown_goes_to_a_file(run_cli, tmp_path):
    target = tmp_path / "search.md"
    assert run_cli("paper", "--search", "--format", "md", "-o", str(target)) == (0, "", "")
    opening = "884,736 designs were enumerated, 36,864 obey every row that the text fixes. "
    assert target.read_text().startswith(opening)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "{folder}/none/page.md"], "does not exist; type: mkdir -p {folder}/none"),
        (["-o", "{folder}"], "is a folder; name a file in it"),
        (["-o", "{folder}/a page.md"], "is no page's name; type for example -o {folder}/a-page.md"),
        (["-o", "{folder}/page.tex"], "cannot be latex here; -o writes table, json, csv, md"),
        (["-o", "{folder}/index.md"], "is no page's name"),
        (["--search", "-o", "{folder}/none/x.md"], "does not exist; type: mkdir -p"),
        (["--format", "json", "-o", "{folder}/none/x.json"], "does not exist; type: mkdir -p"),
        (["--check", "--search"], "leave --search and --format out"),
        (["--nearest", "3"], "--limit goes with --search"),
        (["--search", "--nearest", "0"], "0 is not in the range 1 to 100,000"),
        (["--format", "xml"], "'xml' is not one of 'table', 'json', 'csv', 'md'"),
        (["gadnet32"], "unexpected extra argument"),
    ],
)
def test_bad_use_is_one_line_and_exit_2(run_cli, tmp_path, arguments, message):
    folder = str(tmp_path)
    code, out, err = run_cli("paper", *(word.replace("{folder}", folder) for word in arguments))
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert message.replace("{folder}", folder) in err
    assert list(tmp_path.iterdir()) == []


def test_the_search_imports_no_torch():
    import subprocess
    import sys

    code = (
        "import sys; from gadprof.cli import run; code = run(['paper', '--search']); "
        "sys.exit(code or ('torch' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()[-400:]
