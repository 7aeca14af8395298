"""Reports: the same data give the same bytes, every page is sound markdown, nothing is injected."""

from __future__ import annotations

import csv
import functools
import html.parser
import io
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from gadprof import cli
from gadprof.errors import ReportDataError, SourceError, SpecError, UnknownNameError
from gadprof.models.parts import by_block, by_stage
from gadprof.networks.spec import parse_spec
from gadprof.render.colors import colors_of
from gadprof.render.html import page_html
from gadprof.render.markdown import page_markdown
from gadprof.render.page_files import index_page, page_files, stale_files
from gadprof.render.plots import PLOT_FORMATS, render_plot, svg_element, tips
from gadprof.report.data import read_data
from gadprof.report.gather import Report, gather
from gadprof.report.sections.bubbles import pareto_front
from gadprof.results.page import Page, Plot, Section
from gadprof.results.plain import to_json
from gadprof.results.table import Column, Table

REPOSITORY = Path(__file__).resolve().parents[1]
MODELS = ("hrnet32", "gadnet32")

BENCH = {
    "rows": [
        {
            "model": "hrnet32",
            "latency_s": {"median": 0.24, "ci95": [0.235, 0.247], "p95": 0.26, "samples": [0.24]},
            "ratio": {"value": 1.0, "ci95": [1.0, 1.0], "to": "hrnet32"},
            "peak_bytes": 10 << 20,
        },
        {
            "model": "gadnet32",
            "latency_s": {"median": 0.3, "ci95": [0.29, 0.31], "p95": 0.33, "samples": [0.3, 0.3]},
            "ratio": {"value": 1.25, "ci95": [1.2, 1.3], "to": "hrnet32"},
            "verdict": "slower",
        },
    ],
    "machine": {"cpu": "a processor", "cores": 2, "packages": {"torch": "2.4"}},
}
AUDIT = {
    "models": [
        {
            "model": "hrnet32",
            "backends": [
                {
                    "name": "fvcore",
                    "version": "0.1.5",
                    "unit": "macs",
                    "reported": 7_685_342_208,
                    "ours": 7_645_003_776,
                    "differences": [
                        {
                            "cause": "normalisation",
                            "operations": [{"operation": "batch_norm", "calls": 2, "amount": 1}],
                            "amount": 40_338_432,
                        }
                    ],
                    "residual": 0,
                },
                {"name": "thop", "version": "1", "error": "it raised"},
            ],
        }
    ],
}


@pytest.fixture(scope="module")
def analytic() -> Report:
    return gather(MODELS)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("data")
    for name, document in (("bench", BENCH), ("audit", AUDIT)):
        (folder / f"{name}.json").write_text(json.dumps(document))
    return gather(MODELS, data=[str(folder / "bench.json"), str(folder / "audit.json")])


@pytest.fixture(scope="module")
def files(full: Report) -> dict[str, bytes]:
    return page_files(full, html=True)


def run(*arguments: str) -> tuple[int, str, str]:
    """The command line in this process: exit code, standard output, standard error."""
    outcome: dict[str, int] = {}

    import click

    @click.command(context_settings={"ignore_unknown_options": True})
    def call() -> None:
        outcome["code"] = cli.run(list(arguments))

    result = CliRunner().invoke(call, [])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return outcome["code"], result.stdout, result.stderr


def test_a_report_is_equal_when_it_is_gathered_again(analytic: Report) -> None:
    assert gather(MODELS) == analytic
    assert page_files(gather(MODELS), html=True) == page_files(analytic, html=True)


def test_an_analytic_report_holds_no_machine_no_clock_and_no_path(analytic: Report) -> None:
    import platform

    for path, data in page_files(analytic, html=True).items():
        text = data.decode()
        assert str(REPOSITORY) not in text, path
        assert platform.node() not in text or len(platform.node()) < 6, path
        assert not re.search(r"\b20\d\d-\d\d-\d\d", text), path


def test_the_stages_and_the_blocks_add_up_to_the_whole() -> None:
    from gadprof.comparison.compare import compare_row

    for model in ("hrnet32", "gadnet32", "ghost-se-hrnet32"):
        row = compare_row(model, batch=3)
        spec = parse_spec(model)
        for parts in (by_stage(spec, (3, 256, 192), 3), by_block(spec, (3, 256, 192), 3)):
            assert sum(part.params for part in parts) == row.params
            assert sum(part.macs for part in parts) == row.macs
            assert sum(part.activations for part in parts) == row.activations


def test_the_summary_says_the_exact_saving(analytic: Report) -> None:
    words = " ".join(analytic.sections[0].words)
    assert "hrnet32 has 28.54 M parameters and takes 7.645 GMAC" in words
    assert re.search(r"gadnet32 has 1\d\.\d+ M parameters \(−\d\d\.\d %\)", words)


@pytest.mark.parametrize(
    "key",
    ["summary", "comparison", "breakdown", "counters", "latency", "theory", "maps", "environment"],
)
def test_a_full_report_has_the_section(full: Report, key: str) -> None:
    assert key in [section.key for section in full.sections]


def test_what_was_not_measured_is_not_shown(analytic: Report) -> None:
    keys = {section.key for section in analytic.sections}
    assert not keys & {"latency", "counters", "roofline"}


def test_a_measured_ratio_is_shown_with_its_interval(full: Report) -> None:
    words = " ".join(full.sections[0].words)
    assert "gadnet32 takes 1.250 × the time of hrnet32 (95 % interval 1.200 to 1.300)" in words


def test_a_counter_that_failed_shows_why_and_no_number(full: Report) -> None:
    (section,) = [section for section in full.sections if section.key == "counters"]
    row = section.tables[0].rows[1]
    assert row[1] == "thop"
    assert row[3] is None
    assert row[-1] == "it raised"
    assert [plot.kind for plot in section.plots] == ["waterfall"]


def test_the_markdown_is_sound(files: dict[str, bytes]) -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse(files["report.md"].decode())
    width = 0
    for index, token in enumerate(tokens):
        if token.type in ("thead_open", "tbody_open"):
            continue
        if token.type == "tr_open":
            cells = 0
            for later in tokens[index + 1 :]:
                if later.type == "tr_close":
                    break
                cells += later.type in ("td_open", "th_open")
            if tokens[index - 1].type == "thead_open":
                width = cells
            assert cells == width
    assert sum(token.type == "table_open" for token in tokens) >= 7
    assert sum("<details>" in token.content for token in tokens) == sum(
        "</details>" in token.content for token in tokens
    )


def test_every_link_of_the_markdown_is_a_file_of_the_report(files: dict[str, bytes]) -> None:
    targets = links(files["report.md"].decode())
    assert len(targets) >= 8
    for target in targets:
        assert target in files


def links(text: str) -> list[str]:
    found = []
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        for child in token.children or []:
            found += [str(child.attrs[key]) for key in ("href", "src") if key in child.attrs]
    return found


def test_the_json_and_the_csv_hold_the_exact_values(full: Report, files: dict[str, bytes]) -> None:
    document = json.loads(files["data/report.json"])
    assert document["comparison"]["rows"][0]["macs"] == 7_645_003_776
    rows = list(csv.DictReader(io.StringIO(files["data/report-comparison.csv"].decode())))
    assert [int(row["params"]) for row in rows] == [
        row["params"] for row in document["comparison"]["rows"]
    ]
    assert rows[0]["macs"] == "7645003776"


def test_a_reports_json_is_a_baseline(tmp_path: Path, files: dict[str, bytes]) -> None:
    from gadprof.gate.baseline import find_baseline

    (tmp_path / "base.json").write_bytes(files["data/report.json"])
    row = find_baseline(str(tmp_path / "base.json")).row("hrnet32")
    assert row.figures["params"] == 28_536_113


PLOTS = (
    Plot("s", "scatter", "t", "MACs", "accuracy", "a", {
        "points": [{"label": "m", "x": 3, "y": 1.5, "size": 7, "y_low": 1.0, "y_high": 2.0}] * 2,
        "front": [0, 1], "size_label": "parameters", "diagonal": True}),
    Plot("l", "scatter", "t", "FLOPs a byte", "FLOPs a second", "a", {
        "points": [{"label": "m", "x": 3, "y": 1e9}],
        "lines": [{"label": "roof", "points": [[0.1, 1e8], [10, 1e10]]}],
        "x_log": True, "y_log": True}),
    Plot("b", "stacked", "t", "MACs", "", "a", {
        "bars": [{"label": "m", "parts": [{"name": f"p{i}", "value": i} for i in range(12)]}]}),
    Plot("w", "waterfall", "t", "MACs", "", "a", {
        "model": "m",
        "start": {"label": "ours", "value": 100}, "end": {"label": "theirs", "value": 103},
        "steps": [{"label": "bias", "value": 5}, {"label": "resize", "value": -2}]}),
    Plot("i", "intervals", "t", "seconds", "", "a", {
        "rows": [{"label": "m", "value": 0.2, "low": 0.1, "high": 0.3},
                 {"label": "n", "value": None, "low": None, "high": None}]}),
)  # fmt: skip


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.key)
@pytest.mark.parametrize("plot_format", PLOT_FORMATS)
def test_a_plot_has_the_same_bytes_each_time(plot: Plot, plot_format: str) -> None:
    first = render_plot(plot, plot_format)
    assert first == render_plot(plot, plot_format)
    if plot_format == "svg":
        root = ET.fromstring(first)
        assert root.tag.endswith("svg")
        assert b"<text" in first  # vector text, not outlines
        assert not re.search(rb"<dc:date>", first)


def test_drawing_a_plot_leaves_the_users_matplotlib_as_it_was() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    render_plot(PLOTS[0])
    assert dict(matplotlib.rcParams) == before


def test_small_parts_are_stacked_together_and_none_is_lost() -> None:
    from gadprof.render.plots import stack_groups

    bars = PLOTS[2].data["bars"]
    groups = stack_groups(bars)
    assert groups[-1][0] == "other"
    assert sorted(name for _, members in groups for name in members) == sorted(
        part["name"] for part in bars[0]["parts"]
    )


@pytest.mark.parametrize(
    ("costs", "front"),
    [
        ([(1, 5), (2, 3), (3, 4), (4, 1)], [0, 1, 3]),
        ([(2, 2), (1, 1)], [1]),
        ([(1, 1), (1, 1)], [0]),
        ([], []),
    ],
)
def test_the_front_holds_what_no_other_beats(
    costs: list[tuple[float, float]], front: list[int]
) -> None:
    assert pareto_front(costs) == front


# --- names that bite ---

NASTY = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "a|b\n| c |\r\n# heading",
    "{{ 7 * 7 }}{% raw %}",
    "\u202eevil",
    "$x$ \\frac{1}{2}",
    "]]><!--",
    "x" * 10_000,
    "\ud800\udfff\x00",
    "",
    "שלום עולם",
)


def report_named(name: str) -> Page:
    """A small report that shows a name at every place where a name can stand."""
    columns = (Column("model", name), Column("macs", "MACs", "scaled"), Column("t", "t", "seconds"))
    table = Table("t", name, columns, ((name, 5, None), (name, None, 0.25)), name or "n", True)
    plots = tuple(
        Plot(p.key, p.kind, name, p.x_label, p.y_label, name, renamed(p.data, name))
        for p in (PLOTS[0], PLOTS[2])
    )
    section = Section("s", "A section", (name,), (table,), plots, (name,))
    summary = Section("summary", "Summary", (name,))
    document = {"models": [name], "words": name}
    return Page("report", name, (summary, section), document, name or "n")


def renamed(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return {k: name if k == "label" else renamed(v, name) for k, v in value.items()}
    return [renamed(item, name) for item in value] if isinstance(value, list) else value


class Markup(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.script = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]
        assert not [value for name, value in attrs if name in ("src",) and value]

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "script" and data.strip().startswith("{"):
            self.script += data


def tags_of(page: str) -> list[str]:
    parser = Markup()
    parser.feed(page)
    return parser.tags


@functools.cache
def drawn() -> dict[str, bytes]:
    return {plot.key: render_plot(plot) for plot in report_named("plain").plots}


@functools.cache
def plain_tags() -> list[str]:
    return tags_of(page_html(report_named("plain"), drawn()))


def nasty(function):  # type: ignore[no-untyped-def]
    for name in NASTY:
        function = example(name)(function)
    text = st.text(st.characters(), max_size=40)
    return settings(deadline=None, max_examples=40)(given(text)(function))


@nasty
def test_no_name_adds_a_tag_to_the_html_page(name: str) -> None:
    page = page_html(report_named(name), drawn())
    page.encode("utf-8")
    assert tags_of(page) == plain_tags()


@pytest.mark.parametrize("name", NASTY)
def test_a_name_in_a_figure_of_the_page_is_text_alone(name: str) -> None:
    for plot in report_named(name).plots:
        element = svg_element(render_plot(plot), plot.key)
        tags = {part.tag.partition("}")[2] for part in ET.fromstring(element).iter()}
        assert tags <= {"svg", "g", "path", "defs", "use", "clipPath", "rect", "text", "style"}


def test_ids_of_two_figures_in_one_page_stay_apart() -> None:
    elements = [svg_element(render_plot(PLOTS[0]), key) for key in ("one", "two")]
    ids = [set(re.findall(r'\bid="([^"]+)"', text)) for text in elements]
    assert {name for name in ids[0] & ids[1] if not name.startswith("tip-")} == set()
    for text, known in zip(elements, ids, strict=True):
        assert set(re.findall(r'(?:href="|url\()#([^")]+)', text)) <= known


def test_every_mark_of_a_figure_has_its_tip() -> None:
    for plot in PLOTS:
        drawn = re.findall(rf'id="tip-{plot.key}-(\d+)"', render_plot(plot).decode())
        assert sorted(map(int, drawn)) == list(range(len(tips(plot)))), plot.key


def test_a_stage_and_a_model_have_one_colour_in_every_figure() -> None:
    other = colors_of(["stage4", "hrnet48", "stem"])
    assert other["stage4"] == colors_of(["stem", "stage4"])["stage4"]
    assert other["hrnet48"] == colors_of(["gadnet32", "hrnet32"])["hrnet32"]
    assert len(set(colors_of(["hrnet32", "hrnet48", "a", "b", "c"]).values())) == 5


@nasty
def test_no_name_breaks_the_plots_data_in_the_page(name: str) -> None:
    page = page_html(report_named(name), drawn())
    block = re.search(r'<script type="application/json" id="tips">(.*?)</script>', page, re.DOTALL)
    assert block is not None
    assert set(json.loads(block.group(1))) == {"s", "b"}


def structure(name: str) -> list[str]:
    """What a CommonMark parser sees in the page that shows a name everywhere."""
    page = page_markdown(report_named(name), lambda plot: f"plots/{plot.key}.svg")
    page.encode("utf-8")
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(page)
    kinds = [token.type for token in tokens]
    kinds += [
        child.type
        for token in tokens
        for child in token.children or []
        if child.type not in ("text", "text_special", "code_inline")
    ]
    return kinds


def shows_something(name: str) -> bool:
    return any(character.isprintable() and not character.isspace() for character in name)


@nasty
def test_no_name_adds_structure_to_the_markdown_page(name: str) -> None:
    if shows_something(name):
        assert structure(name) == structure("plain")


@pytest.mark.parametrize(
    "name",
    ["-", "- x", "--", "---", "- - -", "+", "+ x", "#", "## x", "1.", "1. x", "1) x", "=", "===",
     "> x", "* x", "~~~", "    x", "[ ] x", "| x", ":--", "<!-- x", "&lt;b&gt;"],
)  # fmt: skip
def test_a_name_that_begins_a_list_a_rule_or_a_heading_is_words(name: str) -> None:
    assert structure(name) == structure("plain")


@settings(deadline=None, max_examples=60)
@given(st.text("-+#=*.)>1 \t\n\u2028x", min_size=1, max_size=6).filter(shows_something))
def test_no_marks_at_a_lines_start_add_structure(name: str) -> None:
    assert structure(name) == structure("plain")


@pytest.mark.parametrize("name", NASTY)
def test_every_plot_draws_any_name(name: str) -> None:
    plot = report_named(name).sections[1].plots[0]
    ET.fromstring(render_plot(plot))


@pytest.mark.parametrize("name", NASTY)
def test_the_json_of_any_name_is_json(name: str) -> None:
    files = page_files(report_named(name), html=True)
    json.loads(files["data/report.json"])


def test_two_models_of_one_name_stay_apart() -> None:
    made = gather(["gadnet32", "gadnet32"])
    (comparison,) = [section for section in made.sections if section.key == "comparison"]
    assert [row[0] for row in comparison.tables[0].rows] == ["gadnet32", "gadnet32 (2)"]
    assert made.title == "gadnet32 against gadnet32 (2)"


# --- bad input ---


def test_zero_models_are_refused_with_a_way_out() -> None:
    with pytest.raises(SpecError, match="gadprof report hrnet32 gadnet32"):
        gather([])


@pytest.mark.parametrize("model", ["hrnet23", "gadnet32:zz=3", "", "x.py", "timm:"])
def test_a_model_string_that_names_nothing_is_refused(model: str) -> None:
    with pytest.raises((SpecError, UnknownNameError, SourceError)):
        gather([model])


@pytest.mark.parametrize("model", ["hrnet23", "gadnet32:zz=3", "", "x.py", "timm:"])
def test_one_model_string_that_names_nothing_is_left_out_and_told(model: str) -> None:
    found = gather(["gadnet32:width=8", model])
    assert [row.model for row in found.rows] == ["gadnet32:width=8"]
    assert len(found.failures) == 1
    assert found.exit_code == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not JSON"),
        ("[]", "is not an object"),
        ("{}", "holds nothing a report shows"),
        ('{"rows": [1]}', "holds nothing a report shows"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_a_data_file_that_is_not_gadprofs_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "data.json"
    path.write_text(text)
    with pytest.raises(ReportDataError, match=words):
        read_data([str(path)])


def test_a_data_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReportDataError, match="cannot read"):
        read_data([str(tmp_path / "absent.json")])


# --- the command ---


def test_a_report_is_written_found_fresh_and_found_stale(tmp_path: Path) -> None:
    folder = tmp_path / "reports"
    words = ("report", *MODELS, "-o", str(folder))
    assert run(*words)[0] == 0
    assert (folder / "report.html").is_file()
    assert run(*words, "--check")[0] == 0
    page = folder / "report.md"
    page.write_text(page.read_text().replace("28.54", "28.55"))
    held = page.read_bytes()
    code, _, errors = run(*words, "--check")
    assert code == 1
    assert f"stale: {page}" in errors
    assert page.read_bytes() == held


def test_a_missing_file_is_stale(tmp_path: Path) -> None:
    code, _, errors = run("report", *MODELS, "-o", str(tmp_path / "reports"), "--check")
    assert code == 1
    assert "stale" in errors
    assert not (tmp_path / "reports").exists()


def test_two_folders_get_the_same_bytes(tmp_path: Path) -> None:
    made = []
    for name in "ab":
        (tmp_path / name).mkdir()
        folder = tmp_path / name / "reports"
        assert run("report", *MODELS, "-o", str(folder))[0] == 0
        made.append({p.relative_to(folder): p.read_bytes() for p in folder.rglob("*.*")})
    assert made[0] == made[1]
    assert len(made[0]) > 10


def test_a_plot_of_another_matplotlib_is_not_stale(tmp_path: Path, files: dict[str, bytes]) -> None:
    name = "plots/report-bubbles-latency.svg"
    (tmp_path / "plots").mkdir()
    other = re.sub(rb"Matplotlib v[0-9.]+", b"Matplotlib v1.0", files[name]) + b"<!-- moved -->"
    (tmp_path / name).write_bytes(other)
    assert stale_files(tmp_path, {name: files[name]}) == []
    (tmp_path / name).write_bytes(files[name] + b"<!-- edited -->")
    assert stale_files(tmp_path, {name: files[name]}) == [name]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("report", "hrnet23"), "did you mean 'hrnet32'"),
        (("report", "hrnet32", "--name", "../x"), "is no file name here"),
        (("report", "hrnet32", "-o", "absent/deeper/reports"), "mkdir -p"),
        (("report", "hrnet32", "-o", ""), "'' names no folder; name one, or leave -o out"),
        (("report", "hrnet32", "-o", "x" * 300), "File name too long"),
        (("report", "hrnet32", "--config", "absent.toml"), "is not a file"),
        (("report", "hrnet32", "--data", "absent.json"), "cannot read"),
        (("report",), "no models"),
    ],
)
def test_bad_use_is_one_line_and_exit_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, errors = run(*words)
    assert code == 2
    assert said in errors
    assert len(errors.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("in the way")
    code, _, errors = run("report", "hrnet32", "-o", str(tmp_path / "reports"))
    assert code == 2
    assert (tmp_path / "reports").read_text() == "in the way"
    assert len(errors.strip().splitlines()) == 1


def test_the_configuration_names_the_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gadprof.toml").write_text('[report]\nmodels = ["gadnet32"]\ntitle = "One"\n')
    assert run("report")[0] == 0
    assert (tmp_path / "reports" / "report.md").read_text().startswith("# One\n")


# --- the reports of this project ---


def test_the_index_links_every_generated_page() -> None:
    folder = REPOSITORY / "reports"
    targets = links((folder / "index.md").read_text(encoding="utf-8"))
    pages = {path.name for path in folder.glob("*.md")} - {"index.md"}
    assert pages <= set(targets), "type: gadprof report --index-only"
    for target in targets:
        assert (folder / target).is_file(), target


def test_the_index_is_what_the_command_makes() -> None:
    folder = REPOSITORY / "reports"
    assert (folder / "index.md").read_bytes() == index_page(folder), (
        "type: gadprof report --index-only"
    )


def test_the_committed_report_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    code, said, errors = run("report", "--check")
    assert code == 0, f"{said}{errors}; type: gadprof report"


def test_the_project_keeps_its_own_budgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    code, said, errors = run("check", "--no-latency")
    assert code == 0, said + errors


def test_a_links_target_in_any_committed_page_exists() -> None:
    folder = REPOSITORY / "reports"
    for page in folder.glob("*.md"):
        for target in links(page.read_text(encoding="utf-8")):
            if "://" not in target and not target.startswith(("#", "mailto:")):
                path = target.partition("#")[0]
                assert (folder / path).exists(), f"{page.name} links {target}"


def test_the_json_document_has_its_schema_version(files: dict[str, bytes]) -> None:
    assert json.loads(files["data/report.json"])["schema_version"] >= 1
    assert json.loads(to_json({"x": float("nan")}))["x"] is None


def test_neither_the_hash_seed_nor_the_locale_nor_the_clock_changes_a_byte(tmp_path: Path) -> None:
    import os
    import subprocess
    import sys

    made = []
    for seed, zone, name in (("0", "UTC", "a"), ("7", "Asia/Tokyo", "b")):
        folder = tmp_path / name / "reports"
        folder.parent.mkdir()
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone, "LC_ALL": "C"}
        environment["PYTHONPATH"] = os.pathsep.join(sys.path)
        words = [sys.executable, "-m", "gadprof", "report", *MODELS, "-o", "reports"]
        subprocess.run(words, check=True, cwd=folder.parent, env=environment, capture_output=True)
        made.append({p.relative_to(folder): p.read_bytes() for p in folder.rglob("*.*")})
    assert made[0] == made[1]
