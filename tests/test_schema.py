"""Every command's JSON obeys its published schema, and the schemas say something."""

from __future__ import annotations

import json

import pytest

from gadprof.cli import COMMANDS
from gadprof.commands.schema import commands_with_schema

jsonschema = pytest.importorskip("jsonschema", reason="needs jsonschema")

# what has no JSON of its own, or needs data, a picture or trained weights to make any
WITHOUT = {
    "completion",
    "comment",
    "schema",
    "train",
    "evaluate",
    "detect",
    "redundancy",
    "calibrate",
}

RUNS = {
    "compare": ("compare", "hrnet32", "gadnet32", "nosuchmodel"),
    "count": ("count", "gadnet32", "--by", "stage"),
    "diff": ("diff", "hrnet32", "hrnet32:joints=16", "--fail-on", "any"),
    "shapes": ("shapes", "hrnet32"),
    "formula": ("formula", "--c-in", "32", "--block", "ga"),
    "models": ("models",),
    "reconcile": ("reconcile", "hrnet32", "--claimed", "7.10G"),
    "zoo": ("zoo", "--only", "HRNet-W32"),
    "devices": ("devices",),
    "rules": ("rules", "conv2d"),
    "predict": ("predict", "gadnet32", "--device", "rtx4090"),
    "sweep": ("sweep", "gadnet", "--width", "16,32", "--s", "2,3"),
    "ablate": ("ablate",),
    "doctor": ("doctor", "--store", "off"),
}


def schema_of(name: str, run_cli) -> dict:  # type: ignore[no-untyped-def, type-arg]
    code, out, err = run_cli("schema", name)
    assert (code, err) == (0, "")
    found: dict = json.loads(out)  # type: ignore[type-arg]
    jsonschema.Draft202012Validator.check_schema(found)
    return found


def test_every_command_with_json_has_a_schema():
    assert set(commands_with_schema()) == set(COMMANDS) - WITHOUT


@pytest.mark.parametrize("name", RUNS)
def test_real_output_obeys_the_schema(name, run_cli):
    schema = schema_of(name, run_cli)
    _, out, _ = run_cli(*RUNS[name], "--format", "json")
    jsonschema.validate(json.loads(out), schema)


@pytest.mark.parametrize(
    ("name", "break_it"),
    [
        ("compare", lambda d: d.pop("rows")),
        ("compare", lambda d: d["rows"][0].update(params="28M")),
        ("compare", lambda d: d.update(schema_version=2)),
        ("shapes", lambda d: d["maps"][0].pop("channels")),
        ("formula", lambda d: d.update(GP=1.5)),
        ("models", lambda d: d.update(models={})),
    ],
)
def test_output_that_lost_a_key_or_changed_a_type_does_not(name, break_it, run_cli):
    schema = schema_of(name, run_cli)
    document = json.loads(run_cli(*RUNS[name], "--format", "json")[1])
    break_it(document)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema)


def test_schema_lists_what_there_is_and_refuses_what_there_is_not(run_cli):
    code, out, _ = run_cli("schema")
    assert code == 0
    assert "gadprof schema compare" in out
    code, out, err = run_cli("schema", "compar")
    assert (code, out) == (2, "")
    assert "did you mean 'compare'" in err


def test_doctor_names_what_is_missing_and_the_command_that_brings_it(run_cli, monkeypatch):
    from gadprof.results import plain

    here = plain.package_version
    monkeypatch.setattr(
        plain, "package_version", lambda name: None if name == "timm" else here(name)
    )
    code, out, _ = run_cli("doctor", "--store", "off", "--format", "json")
    assert code == 0
    found = {item["name"]: item for item in json.loads(out)["findings"]}
    assert (found["timm"]["state"], found["timm"]["remedy"]) == (
        "missing",
        "pip install 'gadprof[zoo]'",
    )
    assert found["torch"]["state"] == "ok"
    assert found["threads"]["found"]
    assert found["results"]["found"] == "off"


def test_doctor_without_a_core_package_exits_1(run_cli, monkeypatch):
    from gadprof.results import plain

    here = plain.package_version
    monkeypatch.setattr(
        plain, "package_version", lambda name: None if name == "ptflops" else here(name)
    )
    code, out, _ = run_cli("doctor", "--store", "off")
    assert code == 1
    assert "gadprof cannot work without ptflops" in " ".join(out.split())
