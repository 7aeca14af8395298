"""Budgets: exact limits, honest latency, and a configuration that is checked key by key."""

from __future__ import annotations

import re
import subprocess
import xml.etree.ElementTree as ET
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gadprof.errors import BaselineError, ConfigError
from gadprof.gate.baseline import BaselineRow, find_baseline, read_rows
from gadprof.gate.budgets import RatioInterval, failed_model, judge
from gadprof.gate.config import MAX_CONFIG_BYTES, Budget, find_config, load_config, read_config
from gadprof.render.annotations import to_annotations, to_step_summary
from gadprof.render.junit import to_junit
from gadprof.results.plain import to_json
from gadprof.results.quantities import read_bytes, read_count, read_ratio, read_share
from gadprof.results.verdicts import CheckResult, Verdict
from gadprof.store.store import NewEntry, Store

FIGURES = {"params": 12_000_000, "macs": 3_000, "peak_activation_bytes": 64 << 20, "kernels": 7}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12M", 12_000_000),
        ("2.5M", 2_500_000),
        ("7.645003776G", 7_645_003_776),
        ("12 000 000", 12_000_000),
        ("1_000k", 1_000_000),
        (12, 12),
        (3e9, 3_000_000_000),
    ],
)
def test_a_count_is_read_exactly(text: object, value: int) -> None:
    assert read_count(text, "x") == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("64MiB", 64 << 20), ("64MB", 64_000_000), ("1.5 KiB", 1536), ("7", 7), ("8B", 8)],
)
def test_bytes_are_read_exactly(text: str, value: int) -> None:
    assert read_bytes(text, "x") == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("2%", Fraction(1, 50)), ("0.5 %", Fraction(1, 200)), (0.02, Fraction(1, 50))],
)
def test_a_share_is_read_exactly(text: object, value: Fraction) -> None:
    assert read_share(text, "x") == value


@pytest.mark.parametrize(
    "text", ["", "M", "-1", "1.5", "12Q", "12 MiB", "1e9", "12%", "nan", "9" * 100, True, None, []]
)
def test_what_is_no_count_is_refused_with_its_place(text: object) -> None:
    with pytest.raises(ConfigError, match=r"budgets\.m\.max_params"):
        read_count(text, "budgets.m.max_params")


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), True, "x"])
def test_what_is_no_ratio_is_refused(value: object) -> None:
    with pytest.raises(ConfigError):
        read_ratio(value, "x")


@given(st.integers(min_value=0, max_value=10**15))
def test_every_whole_number_survives_its_text(value: int) -> None:
    assert read_count(str(value), "x") == read_count(f"{value:_}", "x") == value


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


TABLE = """
[budgets.gadnet32]
max_params = "12M"
max_peak_bytes = "64MiB"
min_coverage = "99%"
max_growth = "2%"
max_latency_ratio = 0.8
reference = "hrnet32"

[budgets."tuned one"]
model = "gadnet32:s=4"
max_growth = { params = "0%" }
"""


def test_a_table_is_read_into_exact_budgets(tmp_path: Path) -> None:
    config = load_config(write(tmp_path / "gadprof.toml", TABLE))
    first, second = config.budgets
    assert first.limits == {"max_params": 12_000_000, "max_peak_bytes": 64 << 20}
    assert first.max_growth["macs"] == Fraction(1, 50)
    assert first.max_latency_ratio == Fraction(4, 5)
    assert (second.name, second.model) == ("tuned one", "gadnet32:s=4")
    assert second.max_growth == {"params": 0}
    assert config.line_of("gadnet32", "max_peak_bytes") == 4
    assert config.line_of("tuned one", "max_growth") == 12


@pytest.mark.parametrize("name", ["gadprof.toml", "pyproject.toml"])
def test_a_tool_table_is_read_in_either_file(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, "[tool.gadprof.budgets.m]\nmax_macs = 5\n")
    assert load_config(path).budgets[0].limits == {"max_macs": 5}


def test_the_nearest_file_above_is_found_and_gadprof_toml_comes_first(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    project = write(tmp_path / "pyproject.toml", "[tool.gadprof]\n")
    assert find_config(inner) == project
    own = write(tmp_path / "gadprof.toml", "")
    assert find_config(inner) == own
    write(tmp_path / "a" / "pyproject.toml", "[project]\nname = 'x'\n")
    assert find_config(inner) == own


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[budgets.m]\nmax_parms = "1M"', "unknown key 'max_parms'; did you mean 'max_params'"),
        ("[budget.m]\nmax_params = 1", "unknown key 'budget'; did you mean 'budgets'"),
        ("[report]\nmodel = 'x'", "did you mean 'models'"),
        ('[budgets.m]\nmax_params = ["1M"]', "a list, not a number"),
        ("[budgets.m]\nmax_params = true", "true or false, not a number"),
        ('[budgets.m]\nmax_params = "12Q"', "unknown unit 'Q'; use k, K, M, G, T"),
        ('[budgets.m]\nmin_coverage = "101%"', "is above 1"),
        ("[budgets.m]\nmax_latency_ratio = 0.8", "needs reference too"),
        ('[budgets.m]\nreference = "x"', "needs max_latency_ratio too"),
        ("[budgets.m]\nbatch = 0", "not a positive integer"),
        ("[budgets.m]\nmodel = 3", "is not text"),
        ("[budgets.m]\nmax_growth = { parms = 0 }", "did you mean 'params'"),
        ("budgets = 3", "is not a table"),
        ("[budgets]\nm = 3", "is not a table"),
        ("[report]\nmodels = 3", "is not a list of texts"),
        ("= broken", "is not valid TOML"),
        ("a = " + "[" * 20_000 + "]" * 20_000, "nested too deeply|not valid TOML"),
        ("a = " + "9" * 10_000, "not valid TOML|unknown key 'a'"),
        ("#" * (MAX_CONFIG_BYTES + 1), "too large for a configuration"),
    ],
)
def test_a_configuration_that_breaks_a_rule_is_refused(
    tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        load_config(write(tmp_path / "gadprof.toml", text))


def test_a_configuration_that_is_no_text_or_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "gadprof.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_config(tmp_path / "gadprof.toml")
    for path in (tmp_path / "absent.toml", tmp_path, Path("/dev/zero")):
        with pytest.raises(ConfigError, match="is not a file"):
            load_config(path)


def budget(**table: object) -> Budget:
    return read_config({"budgets": {"m": table}}).budgets[0]


@pytest.mark.parametrize(("limit", "status"), [(11_999_999, "fail"), (12_000_000, "pass")])
def test_an_exact_limit_is_exact(limit: int, status: str) -> None:
    (verdict,) = judge(budget(max_params=limit), FIGURES)
    assert verdict.status == status
    assert verdict.actual == 12_000_000
    assert "12,000,000 parameters" in verdict.message


LOWER = {**FIGURES, "uncovered": ["my.op", "own.scan"]}


@pytest.mark.parametrize("written", [{}, {"uncounted": "fail"}, {"uncounted": "warn"}])
def test_a_limit_on_a_lower_bound_fails_or_warns_and_names_what_is_missing(
    written: dict[str, str],
) -> None:
    kept, told = judge(budget(max_macs="9G", **written), LOWER)
    assert (kept.rule, kept.status) == ("max_macs", "pass")
    assert kept.message.startswith(f"at least {FIGURES['macs']:,} MACs")
    assert (told.rule, told.status) == ("uncounted", written.get("uncounted", "fail"))
    assert "MACs: at least, for no rule counts my.op, own.scan" in told.message
    assert CheckResult((kept, told)).exit_code == (0 if told.status == "warn" else 1)


def test_parameters_are_exact_whatever_is_not_counted() -> None:
    (verdict,) = judge(budget(max_params="12M"), LOWER)
    assert verdict.status == "pass"
    assert "at least" not in verdict.message


def test_a_budget_may_warn_where_the_file_fails() -> None:
    written = {"max_macs": 1}
    config = read_config({"uncounted": "warn", "budgets": {"a": written,
                          "b": {**written, "uncounted": "fail"}}})  # fmt: skip
    assert [item.uncounted for item in config.budgets] == ["warn", "fail"]
    with pytest.raises(ConfigError, match='neither "fail" nor "warn"'):
        read_config({"uncounted": "ignore"})


def test_an_unknown_figure_is_an_error_and_never_a_pass() -> None:
    (verdict,) = judge(budget(max_flops="1G"), FIGURES)
    assert verdict.status == "error"
    assert CheckResult((verdict,)).exit_code == 1


@pytest.mark.parametrize(("now", "status"), [(1020, "pass"), (1021, "fail"), (900, "pass")])
def test_growth_is_judged_against_the_baseline(now: int, status: str) -> None:
    baseline = BaselineRow("m", {"macs": 1000}, {})
    rule = budget(max_growth={"macs": "2%"})
    (verdict,) = judge(rule, {"macs": now}, baseline=baseline, baseline_name="main")
    assert verdict.status == status
    assert "main" in verdict.message


def test_growth_without_a_baseline_cannot_be_judged() -> None:
    (verdict,) = judge(budget(max_growth="2%"), FIGURES)
    assert verdict.status == "error"
    assert "--baseline" in verdict.message


@pytest.mark.parametrize(
    ("low", "high", "status"),
    [(0.81, 0.9, "fail"), (0.79, 0.9, "warn"), (0.5, 0.81, "warn"), (0.5, 0.8, "pass")],
)
def test_latency_fails_only_where_the_whole_interval_is_beyond(
    low: float, high: float, status: str
) -> None:
    ratio = RatioInterval((low + high) / 2, low, high, "hrnet32")
    rule = budget(max_latency_ratio=0.8, reference="hrnet32")
    (verdict,) = judge(rule, {}, latency=ratio)
    assert verdict.status == status


@pytest.mark.parametrize(("coverage", "status"), [(Fraction(99, 100), "pass"), (0.98, "fail")])
def test_coverage_has_a_floor(coverage: float, status: str) -> None:
    (verdict,) = judge(budget(min_coverage="99%"), {"coverage": coverage, "uncovered": ["aten.x"]})
    assert verdict.status == status
    assert ("aten.x" in verdict.message) == (status == "fail")


NASTY = "m\n::error::x,title=y %0A </testcase> | `q`"


def result_of_everything(name: str = "m") -> CheckResult:
    return CheckResult(
        tuple(
            Verdict(name, name, f"max_{status}", status, f"{name} says {status}", 1, 2)
            for status in ("pass", "fail", "warn", "error")
        ),
        config="gadprof.toml",
    )


@given(st.one_of(st.just(NASTY), st.text(st.characters(), max_size=40)))
def test_a_name_cannot_leave_its_annotation_or_its_xml(name: str) -> None:
    result = result_of_everything(name)
    lines = to_annotations(result).splitlines()
    assert [line.split(" ")[0] for line in lines] == ["::error", "::error", "::warning", "::notice"]
    root = ET.fromstring(to_junit(result).encode())
    assert len(root.findall("./testsuite/testcase")) == 4
    assert root.attrib["failures"] == "1"
    assert root.attrib["errors"] == "1"
    assert to_step_summary(result).count("\n|") >= 4
    to_json(result).encode("utf-8", "surrogatepass")


def test_an_annotation_names_the_file_and_the_line() -> None:
    text = to_annotations(result_of_everything(), lambda verdict: 7)
    assert text.startswith("::error file=gadprof.toml,line=7,title=m%3A max_fail::m says fail\n")


def test_the_summary_counts_each_kind_of_verdict() -> None:
    result = result_of_everything()
    assert result.summary == "4 rules: 1 hold, 1 broken, 1 undecided, 1 unjudged"
    assert result.exit_code == 1
    assert CheckResult((failed_model(budget(), "it raised"),)).exit_code == 1


ROWS = {"rows": [{"model": "gadnet32", "params": 5, "macs": 7, "input": [3, 256, 192]}]}


@pytest.mark.parametrize("document", [ROWS, {"comparison": ROWS}])
def test_a_baseline_file_is_any_json_with_rows(tmp_path: Path, document: object) -> None:
    path = write(tmp_path / "base.json", to_json(document))
    row = find_baseline(str(path)).row("gadnet32")
    assert row.figures == {"params": 5, "macs": 7}
    with pytest.raises(BaselineError, match="did you mean 'gadnet32'"):
        find_baseline(f"file:{path}").row("gadnet23")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"rows": [3]}',
        b'{"rows": [{}]}',
        b'{"rows": [{"model": "m", "params": -1}]}',
        b'{"rows": [{"model": "m", "params": 1.5}]}',
        b'{"rows": [{"model": "m", "params": "1"}]}',
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_a_baseline_that_is_no_baseline_is_refused(data: bytes) -> None:
    with pytest.raises(BaselineError, match="baseline here"):
        read_rows(data, "here")


def test_a_baseline_is_found_by_its_name_in_the_store(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with Store(path) as store:
        store.add([NewEntry("cost", "m", {"params": 5}, {"batch": 2})], name="release", machine={})
    for text in ("release", "store:release"):
        row = find_baseline(text, store=str(path)).row("m")
        assert row.figures == {"params": 5}
        assert row.settings == {"batch": 2}
    with pytest.raises(BaselineError, match="did you mean 'release'"):
        find_baseline("relase", store=str(path))


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    write(tmp_path / "gadprof-baseline.json", to_json(ROWS))
    write(tmp_path / "other.json", to_json({"rows": [{"model": "o", "macs": 1}]}))
    for command in (["init", "-q", "-b", "main"], ["add", "."], [*identity, "commit", "-qm", "x"]):
        subprocess.run(["git", *command], check=True, cwd=tmp_path)
    (tmp_path / "gadprof-baseline.json").unlink()
    return tmp_path


@pytest.mark.parametrize("text", ["main", "git:main", "HEAD", "main:gadprof-baseline.json"])
def test_a_baseline_is_read_at_a_git_ref(repository: Path, text: str) -> None:
    assert find_baseline(text).row("gadnet32").figures["params"] == 5
    assert not (repository / "gadprof-baseline.json").exists()


def test_the_file_at_a_ref_can_be_named(repository: Path) -> None:
    assert find_baseline("main:other.json").row("o").figures == {"macs": 1}
    assert find_baseline("main", file_at_ref="other.json").row("o").figures == {"macs": 1}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nowhere", "no file, no name in the results store and no git ref"),
        ("git:nowhere", "is no commit here"),
        ("git:--output=x", "is no commit here"),
        ("main:absent.json", "holds no absent.json"),
        ("absent.json", "does not exist"),
        ("git:", "names nothing"),
    ],
)
def test_a_baseline_that_is_not_there_is_named(repository: Path, text: str, words: str) -> None:
    with pytest.raises(BaselineError, match=re.escape(words)):
        find_baseline(text)
