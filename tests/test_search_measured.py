"""A search by measured time chooses, learns, stops and goes on as it says, with times handed in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from gadprof.errors import DataError, SpecError
from gadprof.networks.plan_trace import count_node, count_plan
from gadprof.networks.receptive import receptive_field
from gadprof.networks.spec import parse_spec, plan_of
from gadprof.prediction.surrogate import features_of_block, features_of_design, learn
from gadprof.sweep.candidates import Wish, lengths_of, neighbours, passing, places_of, spread
from gadprof.sweep.measured import Goal, MeasuredSearch, Timing, run_measured
from gadprof.sweep.measured_page import answer, best_model, document, measured_page
from gadprof.sweep.run import Filters
from gadprof.sweep.space import Space, make_space

SPACE = {"width": "8,16,24", "modules": "1-1:2-1", "blocks": "1:2-1:2-1-1:2"}
ORT = Goal("onnxruntime")
REFERENCE = "hrnet32"


@lru_cache
def seconds_of(model: str) -> float:
    """A made-up processor: 10 GMAC a second and 20 µs an operation."""
    spec = parse_spec(model)
    trace = count_plan(spec, spec.default_input)
    assert trace is not None
    return trace.macs / 1e10 + 2e-5 * len(trace.operations)


class Meter:
    """Times by the made-up processor; remembers what it was asked, may be told to stop."""

    def __init__(self, stop_after: int | None = None, refuses: str = "") -> None:
        self.asked: list[str] = []
        self.tight: list[str] = []
        self.stop_after, self.refuses = stop_after, refuses

    def __call__(self, models: Sequence[str], goal: Goal, tight: bool) -> Mapping[str, Timing]:
        assert models[0] == REFERENCE
        (self.tight if tight else self.asked).extend(models[1:])
        if self.stop_after is not None and len(self.asked) > self.stop_after:
            raise KeyboardInterrupt
        usual = seconds_of(REFERENCE)
        found = {}
        for model in models:
            if self.refuses and self.refuses in model:
                found[model] = Timing(None, error="it does not run")
                continue
            ratio = seconds_of(model) / usual
            found[model] = Timing(ratio, (ratio * 0.99, ratio * 1.01), ratio * usual, usual)
        return found


def searched(meter: Meter, **options: Any) -> MeasuredSearch:
    given: dict[str, Any] = {"count": 8, "seed": 1, "reference": REFERENCE, **options}
    wish = given.pop("wish", Wish(Filters(smallest={"params": 1_000_000})))
    space = given.pop("space", make_space("hrnet", SPACE))
    return run_measured(space, given.pop("goals", (ORT,)), wish, measure=meter, **given)


def fastest_of_all(space: Space, least_params: int) -> float:
    from gadprof.networks.cost import cost_of

    found = []
    for number in range(space.size):
        spec, shape = space.spec_at(number)
        if cost_of(plan_of(spec), shape).params >= least_params:
            found.append(seconds_of(spec.name))
    return min(found)


@pytest.fixture(scope="module")
def whole() -> MeasuredSearch:
    """One search to its end."""
    return searched(Meter())


def test_it_finds_the_fastest_design_with_a_sixth_of_the_measurements() -> None:
    meter = Meter()
    result = searched(meter)
    assert result.costed == 48
    assert len(meter.asked) == len(set(meter.asked)) == 8
    best = best_model(result)
    assert best is not None
    assert seconds_of(best) <= 1.03 * fastest_of_all(result.space, 1_000_000)
    assert all(row.params >= 1_000_000 for row in result.designs)
    assert [row.ratio for row in result.designs] == sorted(row.ratio or 9 for row in result.designs)
    assert set(meter.tight) == {row.model for row in result.designs[:3]}


def test_the_error_of_predictions_is_of_designs_left_out(whole: MeasuredSearch) -> None:
    surrogate = whole.surrogates[ORT.text]
    assert surrogate.networks == 8
    assert surrogate.blocks == 0
    assert 0 < surrogate.median_error < 0.1
    assert surrogate.median_error <= surrogate.error_90
    assert surrogate.rank > 0.8


def test_several_objectives_share_their_geometric_mean() -> None:
    class Twice(Meter):
        def __call__(self, models: Sequence[str], goal: Goal, tight: bool) -> Mapping[str, Timing]:
            found = dict(super().__call__(models, goal, tight))
            if goal.runtime == "openvino":
                found = {
                    name: Timing(4 * t.ratio if t.ratio and name != REFERENCE else t.ratio,
                                 t.ci95, t.latency_s, t.reference_s)
                    for name, t in found.items()
                }  # fmt: skip
            return found

    row = searched(Twice(), goals=(ORT, Goal("openvino")), count=6).designs[0]
    one = row.timings["latency:onnxruntime"].ratio
    other = row.timings["latency:openvino"].ratio
    assert one is not None
    assert other == pytest.approx(4 * one)
    assert row.ratio == pytest.approx(2 * one)


def test_what_was_kept_is_not_measured_again_and_leads_to_the_same_designs(
    whole: MeasuredSearch,
) -> None:
    kept = {ORT.text: {row.model: row.timings[ORT.text] for row in whole.designs}}
    again = Meter()
    resumed = searched(again, known=kept)
    assert again.asked == []
    assert {row.model for row in resumed.designs} == {row.model for row in whole.designs}


def test_an_interrupt_keeps_what_was_measured() -> None:
    result = searched(Meter(stop_after=7))
    assert result.interrupted
    assert len(result.designs) == 5
    assert result.best == {}
    assert "not measured again" in answer(result)


def test_a_design_that_fails_costs_its_own_row_alone() -> None:
    result = searched(Meter(refuses="width=8"), wish=Wish(Filters()))
    failed = [row for row in result.designs if row.ratio is None]
    assert failed
    assert all("width=8" in row.model for row in failed)
    assert result.designs[-1].ratio is None
    assert "width=8" not in (best_model(result) or "width=8")


def test_a_goal_with_too_few_timings_to_learn_from_ends_no_search() -> None:
    class Half(Meter):
        def __call__(self, models: Sequence[str], goal: Goal, tight: bool) -> Mapping[str, Timing]:
            self.refuses = "width=8" if goal.runtime == "openvino" else ""
            return super().__call__(models, goal, tight)

    goals = (ORT, Goal("openvino"))
    result = searched(Half(), goals=goals, wish=Wish(Filters()), count=6)
    assert set(result.surrogates) == {ORT.text}
    assert len(result.designs) == 6
    assert result.designs[0].ratio is not None


# 0.02 s at a ratio of 0.5 was taken beside a reference of 0.04 s, whatever other runs lie near
def test_kept_timings_have_the_reference_of_their_run_and_the_newest_version(
    tmp_path: Path,
) -> None:
    from gadprof.commands.search_measured import _kept, _kept_timings
    from gadprof.measuring.settings import Setting
    from gadprof.results.plain import to_plain
    from gadprof.store.store import NewEntry, Store

    setting = Setting(runtime="onnxruntime")

    def entry(model: str, seconds: float, ratio: float | None, version: str) -> NewEntry:
        to = {"value": ratio, "ci95": [ratio, ratio], "to": REFERENCE} if ratio else None
        result = {"latency_s": {"median": seconds}, "ratio": to, "runtime_version": version}
        return NewEntry("measurement", model, result, to_plain(setting))

    path = tmp_path / "store.sqlite"
    with Store(path) as store:
        store.add([
            entry("old", 0.02, 0.5, "onnxruntime 1"),
            entry(REFERENCE, 0.04, None, "onnxruntime 2"),
            entry("design", 0.02, 0.5, "onnxruntime 2"),
            entry(REFERENCE, 0.09, None, "onnxruntime 2"),
        ])  # fmt: skip
    kept = _kept_timings(_kept(path, {ORT.text: setting}, None), REFERENCE)
    assert kept == {ORT.text: {"design": Timing(0.5, (0.5, 0.5), 0.02, 0.04)}}


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (("--trials", "9", "--objective", "latency:eager"), "--trials is of a search by costs"),
        (("--population", "9", "--objective", "latency:eager"), "--population is of a search by"),
        (("--measure", "9"), "--measure is of measured time; add --objective latency:RUNTIME"),
        (("--again", "2"), "--again is of measured time"),
        (("--beside", "hrnet32"), "--beside is of measured time"),
        (("--objective", "latency:eager", "--input", "64x64"), "takes one input size, that of"),
    ],
)
def test_options_of_the_other_search_are_refused(
    run_cli: Any, typed: tuple[str, ...], words: str
) -> None:
    code, out, err = run_cli("search", "hrnet", *typed, "--store", "off")
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["timm:resnet18", "hrnet32@3x64x64"])
def test_a_model_beside_the_designs_takes_their_input(name: str) -> None:
    from gadprof.commands.search_measured import _check_input

    model = name.partition("@")[0]
    _check_input(f"{model}@3x256x192", [(3, 256, 192)])
    with pytest.raises(SpecError, match=f"the designs' input; type {model}@3x256x192"):
        _check_input(name, [(3, 256, 192)])


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (
            Wish(Filters(largest={"params": 10})),
            "none of 48 designs meets the limits; loosen --max",
        ),
        (Wish(Filters(), 5000), "sees 5000 pixels; lower --receptive-field"),
    ],
)
def test_limits_that_nothing_meets_are_said_in_one_line(wish: Wish, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        searched(Meter(), wish=wish)


def test_every_design_sees_what_was_asked_for() -> None:
    result = searched(Meter(), wish=Wish(Filters(), 511), count=6)
    for row in result.designs:
        trace = count_plan(parse_spec(row.model), (3, 256, 192))
        assert trace is not None
        assert min(receptive_field(trace)) == row.receptive_field >= 511


# 3x3 at stride 2 sees 3 pixels 2 apart; the second 3 + 2·2 = 7, 4 apart; a basic block adds
# 2 · 2 · 4 = 16
def test_a_receptive_field_worked_out_by_hand() -> None:
    from gadprof.networks import plan as p
    from gadprof.networks.blocks.knobs import BlockKnobs, conv_bn
    from gadprof.networks.blocks.residual import basic_block
    from gadprof.networks.blocks.squeeze import se_basic_block

    stem = (conv_bn(3, 8, 3, 2), conv_bn(8, 8, 3, 2))
    fields = []
    for more in ((), (basic_block(8, BlockKnobs()),), (se_basic_block(8, BlockKnobs()),)):
        trace = count_node(p.Sequence((*stem, *more)), (3, 64, 64))
        assert trace is not None
        fields.append(receptive_field(trace))
    # a scale from the whole map adds nothing
    assert fields == [(7, 7), (23, 23), (23, 23)]


def test_up_sampling_halves_the_step_of_what_follows() -> None:
    from gadprof.networks import plan as p

    node = p.Sequence((p.Conv(3, 4, 3, 2), p.Upsample(2), p.Conv(4, 4, 3)))
    trace = count_node(node, (3, 32, 32))
    assert trace is not None
    assert receptive_field(trace) == (5, 5)


def test_neighbours_differ_by_one_step_in_one_place() -> None:
    space = make_space("hrnet", SPACE)
    lengths = lengths_of(space)
    for number in (0, 17, space.size - 1):
        own = places_of(space, number)
        near = [places_of(space, other) for other in neighbours(space, number)]
        steps = sum((at > 0) + (at < size - 1) for at, size in zip(own, lengths, strict=True))
        assert len(near) == steps
        assert all(sum(abs(a - b) for a, b in zip(own, one, strict=True)) == 1 for one in near)


def test_the_first_designs_lie_in_far_corners() -> None:
    space = make_space("hrnet", {"width": "8:40:8", "modules": "1-1:3-1"})
    chosen = spread(space, range(space.size), 3)
    assert chosen[0] == 0
    assert chosen[1] == space.size - 1
    assert len(set(chosen)) == 3


def test_a_large_space_is_drawn_from_by_seed() -> None:
    space = make_space("hrnet", SPACE)
    first, costed, passed = passing(space, Filters(), seed=3, pool=20)
    assert (len(first), costed, passed) == (20, 48, 48)
    assert first == passing(space, Filters(), seed=3, pool=20)[0]
    assert first != passing(space, Filters(), seed=4, pool=20)[0]


def test_a_surrogate_needs_five_networks_beside_blocks() -> None:
    block = "block:ga:c_in=32,c_out=32,k=3,d=3,s=2,r=16,h=16,w=12,stride=1"
    made = features_of_block(block)
    spec = parse_spec("hrnet32")
    trace = count_plan(spec, spec.default_input)
    own = features_of_design(trace.forward)
    with pytest.raises(DataError, match="1 networks were measured and a prediction needs 5"):
        learn({"hrnet32": 0.1, block: 1e-4}, {"hrnet32": own, block: made})
    assert features_of_block("block:ccw:c_in=32,c_out=32,k=3,d=3,s=2,r=16,h=16,w=12") is None


def test_the_page_has_the_answer_first_and_the_document_every_measurement(
    whole: MeasuredSearch,
) -> None:
    from gadprof.render.tables import render
    from gadprof.results.plain import describe_machine

    result = whole
    page = measured_page(result, describe_machine(), limit=4, where="kept in a.sqlite")
    text = render(page, "table", width=80)
    best = best_model(result)
    assert best is not None
    first = text.lstrip().replace("\n", " ")
    assert first.startswith(f"{best} is ")
    assert "4 of 8 rows are shown" in text
    assert "kept in a.sqlite" in text
    plain = json.loads(render(page, "json"))
    assert plain["fastest"] == best
    assert len(plain["measured"]) == 8
    again = {row["model"]: row for row in plain["again"] if row["objective"] == ORT.text}
    assert again[best]["ratio"] < 1
    assert document(result, describe_machine())["costed"] == 48


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        ("latency", "is not latency:RUNTIME[:PRECISION]; type latency:onnxruntime"),
        ("macs:onnxruntime", "is not latency:RUNTIME[:PRECISION]"),
        ("latency:onnxruntim", "unknown runtime 'onnxruntim'; did you mean 'onnxruntime'"),
        ("latency:onnxruntime:int3", "unknown precision 'int3'; one of fp32"),
        ("latency:eager,latency:eager", "names one latency twice"),
    ],
)
def test_a_wrong_objective_is_refused_in_one_line(run_cli: Any, objective: str, words: str) -> None:
    code, out, err = run_cli("search", "hrnet", "--objective", objective, "--store", "off")
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


def test_a_runtime_that_is_not_installed_is_refused_before_anything_is_costed(
    run_cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "openvino", None)
    code, _, err = run_cli("search", "hrnet", "--objective", "latency:openvino", "--store", "off")
    assert code == 2
    assert "needs openvino; type: pip install 'gadprof[openvino]'" in err


def test_a_precision_that_a_runtime_lacks_is_refused(run_cli: Any) -> None:
    code, _, err = run_cli("search", "hrnet", "--objective", "latency:eager:int8", "--store", "off")
    assert code == 2
    assert "eager has no int8 here, but fp32, fp16, bf16" in err


def test_front_and_plot_do_not_go_with_an_objective(run_cli: Any) -> None:
    code, _, err = run_cli(
        "search", "hrnet", "--objective", "latency:eager", "--front", "macs,params"
    )
    assert code == 2
    assert "--front and --plot are of costs" in err


def test_a_real_search_is_kept_and_goes_on(
    run_cli: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gadprof.commands import search_measured
    from gadprof.measuring import designs

    monkeypatch.setattr(search_measured, "TIGHT", (0.02, 0.2))
    command = (
        "search", "hrnet", "--width", "8", "--modules", "1-1-1", "--blocks", "1:2-1-1-1",
        "--stage1", "8", "--bottlenecks", "1", "--objective", "latency:eager", "--measure", "2",
        "--again", "1", "--reference", "hrnet32:width=8,modules=1-1-1,blocks=1-1-1-1", "--store",
        str(tmp_path / "store.sqlite"), "--format", "json",
    )  # fmt: skip
    code, out, err = run_cli(*command)
    assert (code, err) == (0, "")
    rows = json.loads(out)["measured"]
    assert len(rows) == 2
    timing = rows[0]["timings"]["latency:eager"]
    assert timing["ci95"][0] <= timing["ratio"] <= timing["ci95"][1]

    def stopped(run: designs.Run, *_: object) -> Any:
        assert run.launches is None  # what was measured in the rounds is known
        raise KeyboardInterrupt

    monkeypatch.setattr(designs, "measure_designs", stopped)
    code, out, err = run_cli(*command)
    assert code == 130
    assert "interrupted after 2 designs; the same command goes on from what is kept" in err
    assert {row["model"] for row in json.loads(out)["measured"]} == {row["model"] for row in rows}


def test_the_preset_that_a_search_found_keeps_its_limits() -> None:
    from gadprof.networks.cost import cost_of

    found, reference = (
        cost_of(plan_of(parse_spec(name)), (3, 256, 192)) for name in ("edge-hrnet32", "gadnet32")
    )
    assert found.params <= reference.params
    assert found.macs <= reference.macs
    traces = [count_plan(parse_spec(n), (3, 256, 192)) for n in ("edge-hrnet32", "gadnet32")]
    assert all(trace is not None for trace in traces)
    own, other = (trace for trace in traces if trace is not None)
    assert own.output_shapes == other.output_shapes == ((1, 17, 64, 48),)
    # every place sees all of a picture of 256 pixels
    assert min(receptive_field(own)) >= 2 * 256 - 1


def test_the_page_of_that_preset_is_made_of_its_data() -> None:
    import runpy

    root = Path(__file__).parents[1]
    made = runpy.run_path(str(root / "benchmarks" / "edge_search.py"))
    data = json.loads((root / "reports" / "data" / "edge-search.json").read_text())
    data.pop("schema_version")
    files = made["page_files"](made["page_of"](data))
    for name, content in files.items():
        assert (root / "reports" / name).read_bytes() == content, name


def test_the_making_of_that_page_keeps_each_runtime_as_it_ends_and_refuses_half_a_search(
    tmp_path: Path,
) -> None:
    import runpy

    from click.testing import CliRunner

    root = Path(__file__).parents[1]
    main = runpy.run_path(str(root / "benchmarks" / "edge_search.py"))["main"]

    def said(*typed: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, ["-o", str(tmp_path), *typed])
        return result.exit_code, result.output

    code, text = said()
    assert code == 2
    assert "holds no search yet; give --search FILE and --command TEXT" in text
    half = tmp_path / "half.json"
    half.write_text(json.dumps({"surrogates": {}, "interrupted": True}))
    assert "--search FILE and --command TEXT go together" in said("--search", str(half))[1]
    code, text = said("--search", str(half), "--command", "gadprof search")
    assert code == 2
    assert "came to its end" in text

    path = tmp_path / "data" / "edge-search.json"
    path.parent.mkdir()
    path.write_text((root / "reports" / "data" / "edge-search.json").read_text())

    def measured(runtime: str, keep: str | None) -> dict[str, Any]:
        if runtime == "second":
            raise DataError("it does not run")
        return {"version": "1", "rows": {}}

    main.callback.__globals__["measured"] = measured
    assert said("--measure", "first", "--measure", "second")[0] == 1
    assert json.loads(path.read_text())["measured"]["first"]["version"] == "1"
