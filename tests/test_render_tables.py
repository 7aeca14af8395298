"""Tables in every language: nothing that a name holds acts as markup, and no digit is lost."""

from __future__ import annotations

import csv
import html.parser
import io
import math
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.cells import cell_len

from gadprof.render.console import to_console
from gadprof.render.csv import to_csv
from gadprof.render.latex import to_latex
from gadprof.render.markdown import to_markdown
from gadprof.render.tables import TABLE_FORMATS, render_table
from gadprof.results import escape
from gadprof.results.prompt import to_html

NASTY = [
    "<script>alert(1)</script>",
    "a|b\nc\r\nd",
    "\"quoted\" 'single' `code`",
    "**bold** _it_ [x](javascript:alert(1)) ![i](http://e.x/y.png)",
    '=HYPERLINK("http://e.x")',
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "＝1+1",
    "\\input{/etc/passwd} $x$ %c",
    "%0A::error::x",
    "\u202eevil\u2066",
    "שלום עולם",
    "\x1b[31mred\x1b]0;t\x07",
    "x" * 10_000,
    "\ud800",
    "",
    " ",
    "[bold red]rich[/]",
    "www.example.org http://example.org @someone #12 :smile: &lt;",
    "a;=1",
    "]]>",
    "{{ 7*7 }}{% x %}",
]

names = st.one_of(st.sampled_from(NASTY), st.text(st.characters(), max_size=60))


def fuzz(function):  # type: ignore[no-untyped-def]
    for name in NASTY:
        function = example(name)(function)
    return settings(deadline=None, max_examples=150)(given(names)(function))


class Tags(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self.cells and data.strip():
            self.cells[-1] += data


@fuzz
def test_a_name_stays_words_in_a_markdown_table(name: str) -> None:
    text = to_markdown(["model", "params"], [[name, 7], ["plain", 8]])
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    kinds = [token.type for token in tokens]
    assert kinds.count("table_open") == 1
    assert kinds.count("tr_open") == 3
    assert kinds.count("td_open") == 4
    inline = [token for token in tokens if token.type == "inline"]
    children = [child.type for token in inline for child in token.children or []]
    assert set(children) <= {"text", "text_special"}
    cells = ["".join(child.content for child in token.children or []) for token in inline]
    assert cells[2].replace("\u2060", "").strip() == escape.plain(name).strip()
    assert cells[3] == "7"


@fuzz
def test_a_name_stays_words_in_html(name: str) -> None:
    parser = Tags()
    parser.feed(to_html([name, "params"], [[name, 7]], caption=name))
    assert set(parser.tags) <= {"table", "caption", "thead", "tbody", "tr", "th", "td", "bdi"}
    assert parser.attributes <= {"class", "scope", "style", "data-value"}
    assert parser.cells[2].strip() == escape.plain(name).strip()


@fuzz
def test_a_name_is_never_a_spreadsheet_formula(name: str) -> None:
    text = to_csv(["model", "macs"], [[name, 3], [name, -4]])
    rows = list(csv.reader(io.StringIO(text)))
    assert [len(row) for row in rows] == [2, 2, 2]
    cell = rows[1][0]
    assert not cell.startswith(tuple("=+-@\t\r|＝＋－＠")) or re.fullmatch(r"[+-]?[\d.eE+-]+", cell)
    assert rows[2][1] == "-4"
    # a locale whose separator is the semicolon sees the same first cell
    assert len(next(csv.reader(io.StringIO(text.splitlines()[1]), delimiter=";"))) == 1


@fuzz
def test_a_name_stays_words_in_latex(name: str) -> None:
    text = to_latex(["model", "params"], [[name, 7]], caption=name, label="tab:x")
    commands = set(re.findall(r"\\([a-zA-Z]+)", text))
    allowed = {"begin", "end", "toprule", "midrule", "bottomrule", "centering", "caption", "label"}
    allowed |= {"ldots", "times", "pm", "leq", "geq", "to", "textsuperscript", "textquotedbl"}
    allowed |= {"textbackslash", "textasciitilde", "textasciicircum", "textless", "textgreater"}
    allowed |= {"textbar", "textasciigrave", "textquotesingle"}
    assert commands <= allowed
    assert not re.search(r"(?<!\\)[%#~^]", text)
    assert _balanced(text)


def _balanced(text: str) -> bool:
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", text):
        depth += 1 if brace == "{" else -1
        if depth < 0:
            return False
    return depth == 0


@fuzz
def test_a_name_cannot_start_a_second_workflow_command(name: str) -> None:
    message, title = escape.annotation_message(name), escape.annotation_property(name)
    assert not re.search(r"[\r\n]", message + title)
    assert "," not in title
    assert ":" not in title
    assert not re.search("%(?!25|0A|0D|3A|2C)", message + title)


@fuzz
def test_a_name_stays_words_on_the_terminal_and_fits(name: str) -> None:
    for width in (80, 120):
        text = to_console(["model", "params"], [[name, 28_536_113]], title="t", width=width)
        assert max(cell_len(line) for line in text.splitlines()) <= width
        assert "28,536,113" in text
        assert "\x1b" not in text


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("gadnet32:d=5", "gadnet32:d=5"),
        ("modules 1:1-1:3-1:2", "modules 1:1-1:3-1:2"),
        ("onnxruntime:int8", "onnxruntime:int8"),
        (":smile: x:+1:", "\\:smile: x\\:+1:"),
    ],
)
def test_colons_of_model_strings_stay_and_emoji_codes_are_broken(text: str, written: str) -> None:
    assert escape.markdown(text) == written


@fuzz
def test_every_escape_gives_text_that_utf8_can_hold(name: str) -> None:
    for function in (
        escape.plain,
        escape.markdown,
        escape.markdown_code,
        escape.html,
        escape.latex,
        escape.csv_cell,
        escape.annotation_message,
        escape.xml_text,
        escape.file_stem,
        escape.script_json,
    ):
        function(name).encode("utf-8")


@fuzz
def test_a_file_stem_is_plain_whatever_the_name(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", escape.file_stem(name))


@pytest.mark.parametrize("table_format", TABLE_FORMATS)
@pytest.mark.parametrize("gap", [None, math.nan, math.inf])
def test_a_gap_is_never_a_zero(table_format: str, gap: float | None) -> None:
    text = render_table(table_format, ["model", "macs", "time"], [["a", 5, gap], ["b", gap, 0.5]])
    assert "nan" not in text.lower()
    assert "inf" not in text.lower()
    if table_format == "csv":
        assert text == "model,macs,time\na,5,\nb,,0.5\n"
    else:
        assert ("--" if table_format == "latex" else escape.MISSING) in text


@pytest.mark.parametrize("table_format", TABLE_FORMATS)
def test_no_rows_is_still_a_table(table_format: str) -> None:
    assert "model" in render_table(table_format, ["model", "macs"], [])


def test_csv_keeps_every_digit() -> None:
    macs = 7_645_003_776 * 10**12 + 1
    assert str(macs) in to_csv(["m"], [[macs]])
    assert repr(0.1 + 0.2) in to_csv(["m"], [[0.1 + 0.2]])


@pytest.mark.parametrize("width", [80, 100, 120])
def test_a_table_of_many_columns_fits_loses_no_digit_and_names_what_it_leaves_out(
    width: int,
) -> None:
    headers = ["model", *(f"quantity {index}" for index in range(14))]
    rows = [[f"model{row}", *(10**9 + 17 * row + c for c in range(14))] for row in range(9)]
    text = to_console(headers, rows, width=width)
    assert max(cell_len(line) for line in text.splitlines()) <= width
    drawn, _, note = text.partition(f"not shown at {width} columns: ")
    left_out = [name.strip() for name in note.replace("\n", " ").split(",")]
    assert left_out == headers[-len(left_out) :]
    for row in rows:
        shown = row[1 : len(row) - len(left_out)]
        assert all(f"{value:,}" in drawn for value in shown)
        assert drawn.count(str(row[0])) == 1


def test_the_least_important_columns_are_left_out_first() -> None:
    headers = ["path", "kind", "channels", "height", "width"]
    rows = [["stage1.0.branches.0", "a kind of it" * 2, 32 + row, 64, 48] for row in range(9)]
    text = to_console(headers, rows, width=50, ranks=[0, 3, 0, 1, 1])
    assert text.split()[:4] == ["path", "channels", "height", "width"]
    assert "not shown at 50 columns: kind" in text


def test_rows_without_names_of_their_own_are_never_turned() -> None:
    headers = ["stage", *(f"a long quantity {index}" for index in range(8))]
    text = to_console(headers, [["stem", *range(8)], ["stem", *range(8)]], width=80)
    assert text.splitlines()[0].split()[0] == "stage"
    assert [line.split()[0] for line in text.splitlines()[2:4]] == ["stem", "stem"]
    assert "not shown at 80 columns" in text


def test_a_tree_keeps_its_levels_in_every_language() -> None:
    rows = [["model", 3], ["  stage", 2], ["    block", 1]]
    assert [line.partition("block")[0] for line in to_console(["m", "n"], rows).splitlines()][
        -1
    ] == "    "
    assert "| &nbsp;&nbsp;stage | 2 |" in to_markdown(["m", "n"], rows)
    assert "<bdi>&nbsp;&nbsp;&nbsp;&nbsp;block</bdi>" in to_html(["m", "n"], rows)


BENCH_HEADERS = ["model", "runtime", "median", "±", "spread", "ratio", "its 95 %", "verdict"]
BENCH_ROWS = [
    [
        f"hrnet32:width={8 * row}",
        "torchscript",
        "27.88 ms",
        "6.5 %",
        "9.5 %",
        f"{1.2 * row:.3f}",
        f"{1.1 * row:.3f}–{1.3 * row:.3f}",
        "slower: takes 2.42 x the time of hrnet32:width=8 (−61.1 %) and 11.09 MiB more",
    ]
    for row in range(1, 9)
]


@pytest.mark.parametrize("width", [80, 90, 100, 110, 120, 160])
def test_no_word_interval_or_number_with_its_unit_is_ever_folded(width: int) -> None:
    text = to_console(BENCH_HEADERS, BENCH_ROWS, width=width, ranks=[0, 2, 0, 1, 3, 0, 0, 0])
    drawn, _, note = text.partition(f"not shown at {width} columns: ")
    assert max(cell_len(line) for line in text.splitlines()) <= width
    for row in BENCH_ROWS:
        for name, cell in zip(BENCH_HEADERS[:-1], row[:-1], strict=True):
            assert cell in drawn or name in note
    whole = ["slower:", "hrnet32:width=8", "(−61.1 %)", "11.09 MiB"]
    assert [drawn.count(word) >= len(BENCH_ROWS) for word in whole] == [True] * 4
    assert all(name in text for name in BENCH_HEADERS)
    assert (width >= 100) == (not note)


@pytest.mark.parametrize("width", range(80, 100))
def test_no_column_vanishes_where_a_table_is_a_little_too_wide(width: int) -> None:
    headers = ["block", "c_in", "c_out", "GP", "GG", "P", "G", "Rs", "Rs limit"]
    rows = [
        ["dense", 64, 64, 67_584, 207_618_048, 36_864, 113_246_208 + row, 0.5455, 0.5455]
        for row in range(8)
    ]
    text = to_console(headers, rows, width=width)
    assert max(cell_len(line) for line in text.splitlines()) <= width
    assert text.count("dense") >= 8
    assert all(name in text for name in headers)


def test_only_the_widest_words_are_folded() -> None:
    rows = [["a name of some words", "a sentence of so many words that it does not fit"]] * 9
    text = to_console(["model", "what"], rows, width=50)
    assert text.count("a name of some words") == 9
    assert text.count("\n" + " " * 23) == 9


def test_a_long_word_is_broken_only_where_it_must_be() -> None:
    path = "a/long/path/of/a/model/" * 4
    assert path in to_console(["model", "n"], [[path, 1]] * 9, width=120)
    text = to_console(["model", "n"], [[path, 1]] * 9, width=80)
    assert max(cell_len(line) for line in text.splitlines()) <= 80
    assert "".join(line.split()[0] for line in text.splitlines()[2:4]) == path


def test_on_a_very_narrow_terminal_numbers_still_lose_no_digit() -> None:
    headers = ["a model", "quantity", "another"]
    rows = [["some words in a row", 10**15 + row, 10**16 + row] for row in range(9)]
    for width in (20, 30, 40):
        drawn = to_console(headers, rows, width=width)
        assert all(f"{row[1]:,}" in drawn for row in rows)
        assert "another" in drawn


def test_a_wide_table_of_two_models_is_turned() -> None:
    headers = ["model", *(f"a long quantity {index}" for index in range(8))]
    text = to_console(headers, [["a", *range(8)], ["b", *range(8)]], width=80)
    assert text.splitlines()[0].split() == ["model", "a", "b"]


def test_labels_of_equal_names_differ() -> None:
    labels = escape.unique_labels(["m", "m", "x" * 10_000, "x" * 10_000, "", "m"])
    assert labels[:2] == ["m", "m (2)"]
    assert len(set(labels)) == 6


def test_a_row_longer_than_its_headers_is_refused() -> None:
    with pytest.raises(ValueError, match="3 cells under 2 headers"):
        to_markdown(["a", "b"], [[1, 2, 3]])


def test_columns_of_numbers_are_aligned_right() -> None:
    text = to_markdown(["m", "n", "p", "w"], [["a", 1, "−60.7 %", "3 words"]])
    assert text.splitlines()[1] == "| :--- | ---: | ---: | :--- |"


def test_a_name_that_is_typed_again_is_whole_and_columns_leave_before_it_breaks() -> None:
    name = "dragonwing-iq-9075-evk-fp16"
    headers = ["device", "known by", "format", "covers"]
    rows = [[name, "a table of public measurements", "fp16", "95 %"]] * 2  # equal: not turned
    whole = to_console(headers, rows, width=48, ranks=(0, 1, 2, 2))
    assert name in whole
    assert "not shown at 48 columns: format, covers" in whole
    assert name not in to_console(headers, rows, width=48)


def test_a_first_column_that_is_said_to_matter_little_leaves_like_any_other() -> None:
    headers = ["source", "network", "published", "counted"]
    rows = [
        ["the source of all figures"[:24], f"network-{i}", f"{i}.4G", "7,645,003,776"]
        for i in (1, 2)
    ]
    text = to_console(headers, rows, width=45, ranks=(3, 0, 0, 0))
    assert "not shown at 45 columns: source" in text
    assert "network-1" in text
