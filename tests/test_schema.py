"""Every command's JSON obeys its published schema, and the schemas say something."""

from __future__ import annotations

import io
import json

import pytest
from test_forms import CALIBRATION

from gadprof.cli import COMMANDS
from gadprof.commands.schema import commands_with_schema

jsonschema = pytest.importorskip("jsonschema", reason="needs jsonschema")

WITHOUT = {"completion", "comment", "schema"}  # what has no JSON of its own

RUNS = {
    "compare": ("compare", "hrnet32", "gadnet32", "nosuchmodel"),
    "count": ("count", "gadnet32", "--by", "stage"),
    "diff": ("diff", "hrnet32", "hrnet32:joints=16", "--fail-on", "any"),
    "shapes": ("shapes", "hrnet32"),
    "formula": ("formula", "--c-in", "32", "--block", "ga"),
    "models": ("models",),
    "reconcile": ("reconcile", "hrnet32:modules=1-1-1,blocks=1", "--claimed", "1.95G"),
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


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with stick figures, a small network, its weights and the JSON of its training."""
    pytest.importorskip("cv2")
    pytest.importorskip("lightning")
    import contextlib

    from test_pose_training import TOY

    from gadprof.cli import run
    from gadprof.pose.synthetic import make_split

    folder = tmp_path_factory.mktemp("trained")
    make_split(folder, "train2017", 2, 1)
    make_split(folder, "val2017", 2, 2)
    (folder / "toy.py").write_text(TOY)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = run(
            [
                *("train", f"{folder / 'toy.py'}:build", "--data", str(folder), "--epochs", "1"),
                *("--input", "64x64", "-o", str(folder / "run"), "--format", "json"),
            ]
        )
    assert code == 0
    (folder / "train.json").write_text(printed.getvalue())
    return folder


@pytest.mark.parametrize("name", ["train", "evaluate", "detect", "redundancy", "calibrate"])
def test_the_json_of_training_and_what_follows_it_obeys_its_schema(name, trained, run_cli):
    model, weights = f"{trained / 'toy.py'}:build", str(trained / "run" / "weights.pt")
    picture = str(next((trained / "val2017").iterdir()))
    times = trained / "times.csv"
    times.write_text(CALIBRATION)
    lines = {
        "evaluate": ("evaluate", model, "--weights", weights, "--data", str(trained)),
        "detect": ("detect", model, "--weights", weights, "--image", picture),
        "redundancy": ("redundancy", "gadnet32:width=8", "--image", picture, "--input", "64x64"),
        "calibrate": ("calibrate", "--from", "csv", str(times), "-o", str(trained / "mine.json")),
    }
    if name == "train":
        out = (trained / "train.json").read_text()
    else:
        out = run_cli(*lines[name], "--format", "json")[1]
    document = json.loads(out)
    assert document
    jsonschema.validate(document, schema_of(name, run_cli))


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


def test_doctor_tells_of_a_store_that_cannot_be_looked_up(monkeypatch):
    from gadprof.commands import doctor

    monkeypatch.setenv("GADPROF_STORE", "x" * 5000)
    (finding,) = doctor._store(None)
    assert finding.state == "missing"
    assert "File name too long" in finding.found


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
