"""The audit and reconcile commands as a user meets them: tables, JSON, bad input, exit codes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from gadprof.audit.audit_list import MODELS
from gadprof.audit.ledger import name_modules
from gadprof.networks.spec import known_presets

SMALL = str(Path(__file__).with_name("small_models.py"))


def test_the_json_of_an_audit_adds_up(run_cli) -> None:  # type: ignore[no-untyped-def]
    code, out, err = run_cli(
        "audit", f"{SMALL}:Plain", "--backends", "gadprof,fvcore,torch", "--format", "json"
    )
    assert code == 0, err
    payload = json.loads(out)
    assert payload["model"] == f"{SMALL}:Plain"
    assert [row["name"] for row in payload["backends"]] == ["gadprof", "fvcore", "torch"]
    for row in payload["backends"]:
        assert {
            "name",
            "distribution",
            "version",
            "reported",
            "unit",
            "ours",
            "differences",
            "residual",
        } <= set(row)
        explained = sum(item["amount"] for item in row["differences"])
        assert row["reported"] - row["ours"] == explained + row["residual"]
        assert row["residual"] == 0
        for item in row["differences"]:
            assert sum(part["amount"] for part in item["operations"]) == item["amount"]
            assert all(part["modules"] for part in item["operations"])
    causes = {item["cause"] for item in payload["backends"][1]["differences"]}
    assert causes == {"normalisation", "pooling"}


def test_the_table_of_an_audit_fits_and_names_causes(run_cli) -> None:  # type: ignore[no-untyped-def]
    code, out, err = run_cli("audit", f"{SMALL}:Attention", "--backends", "torch")
    assert code == 0, err
    assert "fast path missed" in out
    assert all(len(line) <= 120 for line in out.splitlines())


def test_a_failing_backend_costs_its_row_and_the_others_stand(run_cli) -> None:  # type: ignore[no-untyped-def]
    code, out, err = run_cli(
        "audit",
        f"{SMALL}:hangs",
        "--input",
        "3x16x16",
        "--backends",
        "gadprof,torch",
        "--timeout",
        "12",
        "--format",
        "json",
    )
    assert code == 1
    ours, hung = json.loads(out)["backends"]
    assert ours["error"] is None
    assert ours["residual"] == 0
    assert hung["reported"] is None
    assert "gave no answer within 12 s" in hung["error"]
    assert re.search(r"^gadprof: torch on .*: it gave no answer", err, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("audit",), 2, "name at least one MODEL"),
        (("audit", "hrnet32", "--backends", "fvcor"), 2, "did you mean 'fvcore'"),
        (("audit", "hrnet33"), 2, "hrnet32"),
        (("audit", "hrnet32", "--input", "3x250x192"), 2, "250"),
        (("audit", "hrnet32", "-o", "/nowhere/page.md"), 2, "does not exist"),
        (("audit", f"{SMALL}:Raising"), 1, "no further"),
        (("audit", f"{SMALL}:Stuck", "--timeout", "8"), 1, "gave no answer within 8 s"),
        (("audit", f"{SMALL}:Quits"), 1, "ended its process with code 7"),
        (("reconcile", f"{SMALL}:Quits", "--claimed", "1G"), 1, "ended its process with code 7"),
        (("reconcile", "hrnet32"), 2, "--claimed"),
        (("reconcile", "hrnet32", "--claimed", "many"), 2, "is not a figure"),
        (("reconcile", "hrnet32", "--claimed", "7.1G", "--params", "x"), 2, "is not a figure"),
        (("reconcile", "nothing.py:build", "--claimed", "7.1G"), 2, "does not exist"),
    ],
)
def test_bad_input_costs_one_line_and_the_right_exit_code(
    run_cli, arguments: tuple[str, ...], code: int, words: str
) -> None:  # type: ignore[no-untyped-def]
    given, out, err = run_cli(*arguments)
    assert given == code, err
    assert out == ""
    assert words in err
    assert len([line for line in err.splitlines() if line.startswith("gadprof:")]) == 1
    assert "Traceback" not in err


def test_a_backend_that_is_not_installed_is_named_and_the_others_stand(run_cli) -> None:  # type: ignore[no-untyped-def]
    from gadprof.audit.backends import BACKENDS, distribution_of

    absent = [  # thop is run as the other distribution of that module where this one is absent
        name for name in BACKENDS if name != "thop" and distribution_of(name) is None
    ]
    if not absent:
        pytest.skip("every backend is installed")
    code, out, err = run_cli(
        "audit", f"{SMALL}:Plain", "--backends", f"{absent[0]},fvcore", "--format", "json"
    )
    assert code == 2
    missing, there = json.loads(out)["backends"]
    assert "type: pip install" in missing["error"]
    assert there["residual"] == 0
    assert "is not installed; type: pip install" in err


def test_reconcile_prints_json_with_the_readings_best_first(run_cli) -> None:  # type: ignore[no-untyped-def]
    code, out, err = run_cli(
        "reconcile",
        "hrnet32",
        "--claimed",
        "7.1G",
        "--params",
        "28.5M",
        "--input",
        "3x256x192",
        "--format",
        "json",
    )
    assert code == 0, err
    payload = json.loads(out)
    assert payload["readings"][0]["convention"] == "hrnet-official"
    assert payload["readings"][0]["within_digits"] is True
    assert payload["params"][0]["amount"] == 28_536_113
    assert payload["bounds"] == [7.05, 7.15]


def test_reconcile_exits_1_where_no_reading_gives_the_figure(run_cli) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = run_cli("reconcile", f"{SMALL}:Plain", "--claimed", "999G", "--input", "3x16x16")
    assert code == 1
    assert "no reading gives 999G" in out


def test_the_list_holds_every_preset_and_sixty_classifiers() -> None:
    assert set(known_presets()) <= set(MODELS)
    assert len([name for name in MODELS if name.startswith(("timm:", "torchvision:"))]) >= 60


def test_the_kept_report_is_explained_to_at_least_95_per_cent() -> None:
    path = Path(__file__).resolve().parents[1] / "reports" / "audit.json"
    models = json.loads(path.read_text())["models"]
    assert {item["model"] for item in models} == set(MODELS)
    rows = [row for item in models for row in item["backends"]]
    exact = [row for row in rows if row["residual"] == 0]
    assert len(exact) >= 0.95 * len(rows)
    presets = [item for item in models if item["model"] in known_presets()]
    assert all(row["residual"] == 0 for item in presets for row in item["backends"])
    for row in rows:
        if row["reported"] is not None:
            explained = sum(part["amount"] for part in row["differences"])
            assert row["reported"] - row["ours"] - explained == row["residual"]


def test_the_page_is_the_same_text_from_the_same_results() -> None:
    from gadprof.audit.audit import Audit, AuditRow
    from gadprof.audit.list_page import list_data, list_page
    from gadprof.render.markdown import page_markdown

    row = AuditRow("fvcore", "fvcore", "0.1", 120, "macs", 100, (), 20, 5, (), None)
    audits = (Audit("small", ((3, 8, 8),), 1, 100, 5, "", (row,)),)
    page = page_markdown(list_page(audits, {"broken": "it raised"}), str)
    assert page == page_markdown(list_page(audits, {"broken": "it raised"}), str)
    assert "0 of 1 pairs explained" in page
    assert "not understood yet" in page
    assert "it raised" in page
    assert list_data(audits, {})["models"][0]["backends"][0]["residual"] == 20


def test_module_paths_are_folded_where_only_numbers_differ() -> None:
    assert name_modules(("blocks.0.attn", "blocks.1.attn", "head")) == "blocks.*.attn, head"
    assert name_modules(tuple("abcdefgh"), 2) == "a, b, … 6 more"


def test_the_kept_page_is_the_text_of_the_kept_data() -> None:
    from gadprof.audit.audit_data import audits_of, read_data
    from gadprof.audit.list_page import list_json, list_page
    from gadprof.render.markdown import page_markdown

    folder = Path(__file__).resolve().parents[1] / "reports"
    data = read_data(folder / "audit.json")
    made = list_page(audits_of(data), data["refused"], data["versions"])
    page = page_markdown(made, str, [("JSON", "audit.json")])
    assert page.rstrip() == (folder / "audit.md").read_text().rstrip()
    assert list_json(data) == (folder / "audit.json").read_text()


@pytest.fixture
def kept_page(tmp_path: Path) -> Path:
    """A page and its data: two models, as the counter ``gadprof`` alone saw them once."""
    from gadprof.audit.audit import Audit, AuditRow
    from gadprof.audit.list_page import list_data, list_json

    row = AuditRow("gadprof", "gadprof", "0.1", 7, "macs", 7, (), 0, 5, (), None)
    audits = [Audit(f"{SMALL}:{name}", ((3, 8, 8),), 1, 7, 5, "", (row,)) for name in ("A", "B")]
    (tmp_path / "audit.json").write_text(list_json(list_data(audits, {f"{SMALL}:C": "gone"})))
    return tmp_path / "audit.md"


def test_missing_models_are_audited_and_merged_and_the_rest_kept(
    run_cli, monkeypatch, kept_page: Path
) -> None:  # type: ignore[no-untyped-def]
    from gadprof.audit import audit_list

    models = (f"{SMALL}:Plain", f"{SMALL}:B")
    data = kept_page.with_suffix(".json")
    before = json.loads(data.read_text())["models"]
    monkeypatch.setattr(audit_list, "MODELS", dict.fromkeys(models, "3x16x16"))
    code, out, err = run_cli(
        "audit", "--list", "--missing", "--backends", "gadprof", "-o", str(kept_page)
    )
    assert code == 0, err
    assert out == ""
    assert "1 audited, 2 in" in err
    after = json.loads(data.read_text())
    assert [item["model"] for item in after["models"]] == list(models)
    assert after["models"][1] == before[1]
    assert after["models"][0]["ours"] > 7
    assert after["models"][0]["backends"][0]["residual"] == 0
    assert after["refused"] == {}
    assert "Plain" in kept_page.read_text()


def test_only_names_on_the_list_are_taken_in_the_lists_order() -> None:
    from gadprof.audit.audit_data import chosen, merge, missing_from

    assert chosen(("c", "a"), ("a", "b", "c")) == ("a", "c")
    old = {"models": [{"model": "a", "n": 1}, {"model": "b", "n": 1}], "refused": {"c": "no"}}
    new = {"models": [{"model": "c", "n": 2}], "refused": {"a": "raised"}, "versions": {}}
    merged = merge(old, new, ("c", "b", "a", "d"))
    assert merged["models"] == [{"model": "c", "n": 2}, {"model": "b", "n": 1}]
    assert merged["refused"] == {"a": "raised"}
    assert missing_from(merged, ("a", "b", "c", "d")) == ("d",)


def test_counts_of_other_versions_or_counters_are_not_merged(run_cli, kept_page: Path) -> None:  # type: ignore[no-untyped-def]
    data = kept_page.with_suffix(".json")
    command = ("audit", "--list", "--only", "hrnet32", "-o", str(kept_page))
    code, _, err = run_cli(*command, "--backends", "gadprof,torch")
    assert code == 2
    assert "of the counters gadprof, not of gadprof, torch" in err
    kept = json.loads(data.read_text())
    kept["versions"]["torch"] = "0.4.1"
    data.write_text(json.dumps(kept))
    code, _, err = run_cli(*command, "--backends", "gadprof")
    assert code == 2
    assert "torch 0.4.1 there" in err
    assert "run the whole list" in err
    assert json.loads(data.read_text()) == kept
    assert not kept_page.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--only", "hrnet33", "-o", "PAGE"), "'hrnet33' is not on the list"),
        (("--only", ",", "-o", "PAGE"), "names no model"),
        (("--only", "hrnet32"), "-o PAGE.md"),
        (("--only", "hrnet32", "--missing", "-o", "PAGE"), "two ways"),
        (("--missing", "-o", "ABSENT"), "no data to merge into"),
        (("--missing", "-o", "EMPTY"), "is not the data of an audit list"),
        (("--missing", "-o", "TORN"), "is not JSON"),
    ],
)
def test_a_part_of_the_list_needs_data_to_merge_into(
    run_cli, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:  # type: ignore[no-untyped-def]
    from gadprof.audit.list_page import list_data, list_json

    (tmp_path / "PAGE.json").write_text(list_json(list_data((), {})))
    (tmp_path / "EMPTY.json").write_text("{}")
    (tmp_path / "TORN.json").write_text('{"schema')
    placed = [
        str(tmp_path / f"{text}.md") if text in ("PAGE", "ABSENT", "EMPTY", "TORN") else text
        for text in arguments
    ]
    code, out, err = run_cli("audit", "--list", *placed)
    assert code == 2
    assert out == ""
    assert words in err
    assert "Traceback" not in err


def test_a_name_that_names_nothing_is_refused_before_any_model_is_audited(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from gadprof import cli

    audited: list[str] = []
    monkeypatch.setattr("gadprof.audit.audit.audit", lambda model, **_: audited.append(model))
    assert cli.run(["audit", "gadnet32", "hrnet23", "--store=off"]) == 2
    assert "unknown model 'hrnet23'" in capsys.readouterr().err
    assert not audited


def test_a_model_that_is_refused_costs_the_others_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from gadprof import cli

    words = ["audit", "gadnet32:width=8", "x.onnx", "--backends=gadprof", "--store=off"]
    assert cli.run(words) == 2
    said = capsys.readouterr()
    assert "gadnet32:width=8" in said.out
    assert said.err.startswith("gadprof: ")
    assert "x.onnx" in said.err
