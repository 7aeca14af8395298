"""Counts as files for viewers of profiles: exact, whole, and of the published formats."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

import gadprof
from gadprof.counting.stacks import stacks_of
from gadprof.render.viewers import to_speedscope, to_trace_events
from gadprof.results.stacks import Quantity, Stacks

jsonschema = pytest.importorskip("jsonschema", reason="needs jsonschema")

# what speedscope's published format asks of a file of sampled profiles
SPEEDSCOPE = {
    "type": "object",
    "required": ["$schema", "shared", "profiles"],
    "properties": {
        "$schema": {"const": "https://www.speedscope.app/file-format-schema.json"},
        "activeProfileIndex": {"type": "integer"},
        "exporter": {"type": "string"},
        "name": {"type": "string"},
        "shared": {
            "required": ["frames"],
            "properties": {
                "frames": {
                    "type": "array",
                    "items": {"required": ["name"], "properties": {"name": {"type": "string"}}},
                }
            },
        },
        "profiles": {
            "type": "array",
            "items": {
                "required": [
                    "type", "name", "unit", "startValue", "endValue", "samples", "weights",
                ],
                "properties": {
                    "type": {"const": "sampled"},
                    "unit": {"enum": ["none", "bytes", "seconds", "nanoseconds"]},
                    "startValue": {"type": "number"},
                    "endValue": {"type": "number"},
                    "samples": {
                        "type": "array",
                        "items": {"type": "array", "items": {"type": "integer", "minimum": 0}},
                    },
                    "weights": {"type": "array", "items": {"type": "number"}},
                },
            },
        },
    },
}  # fmt: skip

# 3 x 2 x 2 MACs under a, 5 under a.b; the second operation does none
SMALL = Stacks(
    "net",
    (("net", "a", "conv"), ("net", "a", "relu"), ("net", "a", "a.b", "mm"), ("net", "c", "mm")),
    (Quantity("MACs", "MAC", (12, 0, 5, 7)), Quantity("bytes", "byte", (1, 2, 3, 4))),
)


@pytest.fixture(scope="module")
def trace():
    return gadprof.count("gadnet32:width=8")


def test_a_flame_graph_obeys_the_published_format_and_adds_up_to_the_totals(trace):
    document = json.loads(to_speedscope(stacks_of(trace)))
    jsonschema.validate(document, SPEEDSCOPE)
    frames = len(document["shared"]["frames"])
    assert [item["unit"] for item in document["profiles"]] == ["none", "none", "bytes"]
    totals = (trace.macs, trace.flops, trace.bytes_read + trace.bytes_written)
    for profile, total in zip(document["profiles"], totals, strict=True):
        assert profile["endValue"] == sum(profile["weights"]) == total
        assert len(profile["samples"]) == len(profile["weights"])
        assert max(index for stack in profile["samples"] for index in stack) < frames


def test_a_stack_goes_from_the_model_through_its_modules_to_the_operation(trace):
    document = json.loads(to_speedscope(stacks_of(trace)))
    names = [frame["name"] for frame in document["shared"]["frames"]]
    first = [names[index] for index in document["profiles"][0]["samples"][0]]
    assert first == ["gadnet32:width=8", "conv1 (Conv2d)", "aten.convolution"]


def test_a_step_without_a_weight_is_no_sample():
    (macs, moved) = json.loads(to_speedscope(SMALL))["profiles"]
    assert macs["weights"] == [12, 5, 7]
    assert moved["weights"] == [1, 2, 3, 4]


def test_a_timeline_has_each_run_of_a_module_once_around_what_it_did():
    events = json.loads(to_trace_events(SMALL))["traceEvents"]
    macs = [
        (event["name"], event["ts"], event["dur"])
        for event in events
        if event["ph"] == "X" and event["pid"] == 1
    ]
    assert macs == [
        ("net", 0, 24),
        ("a", 0, 17),
        ("conv", 0, 12),
        ("a.b", 12, 5),
        ("mm", 12, 5),
        ("c", 17, 7),
        ("mm", 17, 7),
    ]
    assert "1 µs is 1 MAC" in events[0]["args"]["name"]


def test_the_events_of_a_process_are_nested_and_the_model_spans_them_all(trace):
    events = json.loads(to_trace_events(stacks_of(trace)))["traceEvents"]
    for process, total in ((1, trace.macs), (2, trace.flops)):
        spans = [
            (event["ts"], event["ts"] + event["dur"])
            for event in events
            if event["ph"] == "X" and event["pid"] == process
        ]
        assert spans[0] == (0, total)
        for (start, end), (later, last) in pairwise(spans):
            assert later >= end or (later >= start and last <= end)


def test_weights_that_are_not_one_a_stack_are_refused():
    with pytest.raises(ValueError, match="MACs has not one weight for each stack"):
        Stacks("net", (("net",),), (Quantity("MACs", "MAC", (1, 2)),))


def test_count_writes_both_files_and_says_where_they_open(run_cli, tmp_path):
    flames, timeline = tmp_path / "c.speedscope.json", tmp_path / "c.json"
    words = ("count", "hrnet32:width=8", "--depth", "0")
    code, _, err = run_cli(*words, "--speedscope", str(flames), "--perfetto", str(timeline))
    assert code == 0
    assert "speedscope.app" in err
    assert "ui.perfetto.dev" in err
    jsonschema.validate(json.loads(flames.read_text()), SPEEDSCOPE)
    assert json.loads(timeline.read_text())["traceEvents"]
    code, _, err = run_cli(*words, "--memory", "cuda", "--speedscope", str(flames))
    assert code == 2
    assert "no counts to draw" in err
