"""The HTML page as a reader meets it, in headless Chromium: sort, filter, hover, dark, phone.

Skipped with a word where there is no Chromium or no playwright. With ``GADPROF_SCREENSHOT=FILE``
the committed report's page is also photographed, which is the README's second picture.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_report import AUDIT, BENCH, NASTY, report_named

from gadprof.render.html import page_html
from gadprof.render.page_files import page_files
from gadprof.report.gather import gather

pytestmark = pytest.mark.browser

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
REPOSITORY = Path(__file__).resolve().parents[1]
WIDTHS = {"wide": (1280, 1400), "phone": (390, 844)}


def chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        found = shutil.which(name)
        if found:
            return found
    pytest.skip("no Chromium on the path; on Debian: apt-get install chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed; pip install playwright"
    )
    executable = chromium()
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=executable, args=list(ARGUMENTS))
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    data = []
    for name, document in (("bench", BENCH), ("audit", AUDIT)):
        (folder / f"{name}.json").write_text(json.dumps(document))
        data.append(str(folder / f"{name}.json"))
    made = gather(["hrnet32", "ghost-hrnet32", "ghost-se-hrnet32", "gadnet32"], data=data)
    (folder / "report.html").write_bytes(page_files(made, html=True)["report.html"])
    return folder / "report.html"


class Visit:
    """A page that is open, with everything that it said and asked for."""

    def __init__(self, browser: Any, path: Path, size: str = "wide", scheme: str = "light") -> None:
        width, height = WIDTHS[size]
        self.context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme
        )
        self.context.set_default_timeout(180_000)  # a busy machine, not a broken page
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.url = path.as_uri()
        self.page.goto(self.url)

    def column(self, table: str, index: int) -> list[str]:
        found: list[str] = self.page.eval_on_selector_all(
            f"table[data-table={table}] tbody tr:not([hidden]) td:nth-child({index})",
            "cells => cells.map(cell => cell.textContent)",
        )
        return found

    def background(self) -> str:
        color: str = self.page.evaluate("getComputedStyle(document.body).backgroundColor")
        return color


@pytest.fixture
def visit(browser: Any, page_file: Path) -> Iterator[Visit]:
    opened = Visit(browser, page_file)
    yield opened
    assert opened.said == []
    assert opened.asked == [opened.url]
    opened.context.close()


def test_every_plot_is_drawn_and_nothing_is_said_or_asked(visit: Visit) -> None:
    figures = visit.page.locator("figure[data-plot]")
    assert figures.count() >= 6
    assert visit.page.locator("figure[data-plot] .plot > svg").count() == figures.count()


def test_the_committed_page_is_drawn_and_asks_for_nothing(browser: Any) -> None:
    opened = Visit(browser, REPOSITORY / "reports" / "report.html")
    figures = opened.page.locator("figure[data-plot]")
    assert figures.count() >= 3
    assert opened.page.locator("figure[data-plot] .plot > svg").count() == figures.count()
    picture = os.environ.get("GADPROF_SCREENSHOT")
    if picture:
        opened.page.set_viewport_size({"width": 1180, "height": 1150})
        opened.page.screenshot(path=picture)
    assert opened.said == []
    assert opened.asked == [opened.url]
    opened.context.close()


def test_a_click_on_a_heading_sorts_by_exact_value(visit: Visit) -> None:
    original = visit.column("comparison", 1)
    head = visit.page.locator("table[data-table=comparison] th").nth(1)
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert visit.column("comparison", 1)[0] == "gadnet32"
    assert visit.column("comparison", 1)[-1] == "hrnet32"
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert visit.column("comparison", 1)[0] == "hrnet32"
    head.locator("button").click()
    assert head.get_attribute("aria-sort") is None
    assert visit.column("comparison", 1) == original


def test_gaps_sort_last_either_way(visit: Visit) -> None:
    head = visit.page.locator("table[data-table=counters] th").nth(3)
    for _ in range(2):
        head.locator("button").click()
        assert visit.column("counters", 4)[-1] == "–"


def test_words_filter_rows(visit: Visit) -> None:
    table = visit.page.locator("details.block", has=visit.page.locator("table[data-table=stages]"))
    everything = len(visit.column("stages", 1))
    table.locator("summary").click()
    table.locator("input[type=search]").fill("gadnet32 stage4")
    assert visit.column("stages", 1) == ["gadnet32"]
    assert visit.column("stages", 2) == ["stage4"]
    assert table.locator(".tools .quiet").text_content() == f"1 of {everything}"
    table.locator("input[type=search]").fill("")
    assert len(visit.column("stages", 1)) == everything


def test_hovering_a_mark_tells_its_exact_figures(visit: Visit) -> None:
    mark = visit.page.locator("figure[data-plot=macs-by-stage] g[tabindex]").first
    mark.scroll_into_view_if_needed()
    mark.hover()
    tip = visit.page.locator("#tip")
    assert tip.is_visible()
    assert "hrnet32: stem" in (tip.text_content() or "")
    assert "134,479,872 MACs" in (tip.text_content() or "")
    visit.page.mouse.move(2, 2)
    assert not tip.is_visible()


def test_a_mark_tells_its_figures_to_the_keyboard(visit: Visit) -> None:
    visit.page.locator("figure[data-plot=latency] g[tabindex]").first.focus()
    assert "95 % interval" in (visit.page.locator("#tip").text_content() or "")


def test_the_button_switches_between_light_and_dark(visit: Visit) -> None:
    light = visit.background()
    visit.page.locator("#theme").click()
    dark = visit.background()
    assert dark != light
    visit.page.locator("#theme").click()
    assert visit.background() == light


def test_a_reader_in_the_dark_gets_a_dark_page(browser: Any, page_file: Path) -> None:
    colors = []
    for scheme in ("light", "dark"):
        opened = Visit(browser, page_file, scheme=scheme)
        colors.append(opened.background())
        assert opened.said == []
        opened.context.close()
    assert colors[0] == "rgb(255, 255, 255)"
    assert sum(int(part) for part in colors[1][4:-1].split(",")) < 150


def test_the_page_fits_a_phone(browser: Any, page_file: Path) -> None:
    opened = Visit(browser, page_file, size="phone")
    assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert opened.said == []
    opened.context.close()


def test_a_printed_page_shows_everything_on_white(browser: Any, page_file: Path) -> None:
    opened = Visit(browser, page_file, scheme="dark")
    opened.page.emulate_media(media="print")
    assert opened.background() == "rgb(255, 255, 255)"
    assert not opened.page.locator("#theme").is_visible()
    assert len(opened.page.pdf()) > 20_000
    opened.context.close()


def test_the_tables_are_there_without_scripts(browser: Any, page_file: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_file.as_uri())
    assert page.locator("table[data-table=comparison] tbody tr").count() == 4
    context.close()


@pytest.mark.parametrize("name", NASTY)
def test_no_name_runs_as_a_script(browser: Any, tmp_path: Path, name: str) -> None:
    path = tmp_path / "nasty.html"
    path.write_bytes(page_html(report_named(name)).encode())
    opened = Visit(browser, path)
    dialogs: list[str] = []
    opened.page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    assert opened.page.locator("figure[data-plot] .plot > svg").count() == 2
    for mark in opened.page.locator("figure [tabindex]").all()[:3]:
        mark.focus()
    assert opened.page.locator("#tip *").count() == 0
    assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert dialogs == []
    assert opened.said == []
    assert opened.asked == [opened.url]
    opened.context.close()


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from gadprof.counting.model_page import model_page
    from gadprof.models.counting import trace_model

    path = tmp_path_factory.mktemp("model") / "count.html"
    path.write_text(page_html(model_page(trace_model("gadnet32:width=8"))), encoding="utf-8")
    return path


def test_the_icicle_zooms_into_a_module_by_mouse_and_keyboard(
    browser: Any, model_file: Path
) -> None:
    opened = Visit(browser, model_file)
    bars = opened.page.locator(".icicle button")
    assert bars.first.text_content() == "gadnet32:width=8"
    stage = opened.page.locator(".icicle button", has_text="stage4").first
    stage.click()
    assert bars.first.text_content() == "stage4"
    assert opened.page.locator("tr.found td").first.text_content().strip() == "stage4"
    opened.page.keyboard.press("Escape")
    assert bars.first.text_content() == "gadnet32:width=8"
    opened.page.locator(".icicle button", has_text="stage4").first.focus()
    assert "% of gadnet32:width=8" in (opened.page.locator("#tip").text_content() or "")
    opened.page.keyboard.press("Enter")
    assert bars.first.text_content() == "stage4"
    assert opened.said == []
    assert opened.asked == [opened.url]
    opened.context.close()


def test_the_icicles_widths_are_the_modules_shares(browser: Any, model_file: Path) -> None:
    from gadprof.models.parts import by_stage
    from gadprof.networks.spec import parse_spec

    parts = by_stage(parse_spec("gadnet32:width=8"), (3, 256, 192), 1)
    (stage,) = [part for part in parts if part.name == "stage4"]
    opened = Visit(browser, model_file)
    for name, share in (
        ("MACs", stage.macs / sum(part.macs for part in parts)),
        ("params", stage.params / sum(part.params for part in parts)),
    ):
        opened.page.locator("select").select_option(label=name)
        bar = opened.page.locator(".icicle button", has_text="stage4").first
        width = bar.evaluate("bar => parseFloat(bar.style.width)")
        assert width == pytest.approx(100 * share, abs=0.01)
    opened.context.close()


@pytest.mark.parametrize("size", ["wide", "phone"])
def test_no_bar_of_the_icicle_reaches_beyond_it(browser: Any, model_file: Path, size: str) -> None:
    opened = Visit(browser, model_file, size=size)
    beyond = opened.page.evaluate(
        """() => {
          const end = document.querySelector(".icicle").getBoundingClientRect().right;
          const bars = [...document.querySelectorAll(".icicle button")];
          return Math.max(...bars.map((bar) => bar.getBoundingClientRect().right)) - end;
        }"""
    )
    assert beyond <= 1
    opened.context.close()


def test_a_phone_shows_the_columns_that_matter_and_names_the_others(
    browser: Any, model_file: Path
) -> None:
    opened = Visit(browser, model_file, size="phone")
    heads = opened.page.locator("table[data-table=modules] thead th")
    shown = [head.text_content() for head in heads.all() if head.is_visible()]
    assert shown == ["module", "params", "MACs", "share", "bytes"]
    note = opened.page.locator(".left-out").first
    assert note.text_content() == "Not shown at this width: type, calls, FLOPs, activations."
    plot = opened.page.locator("figure[data-plot=memory] .plot")
    assert plot.evaluate("plot => plot.scrollWidth <= plot.clientWidth")
    opened.context.close()
    opened = Visit(browser, model_file)
    heads = opened.page.locator("table[data-table=modules] thead th")
    assert heads.count() == 9
    assert all(head.is_visible() for head in heads.all())
    assert not opened.page.locator(".left-out").first.is_visible()
    opened.context.close()


def test_a_model_page_fits_a_phone_and_prints_without_its_tools(
    browser: Any, model_file: Path
) -> None:
    opened = Visit(browser, model_file, size="phone")
    assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    opened.page.emulate_media(media="print")
    assert not opened.page.locator(".icicle").is_visible()
    assert opened.page.locator("figure[data-plot=memory] svg text", has_text="stage4").is_visible()
    opened.context.close()


def test_a_table_is_copied_with_exact_values(browser: Any, page_file: Path) -> None:
    opened = Visit(browser, page_file)
    opened.context.grant_permissions(["clipboard-read", "clipboard-write"])
    block = opened.page.locator(
        "details.block", has=opened.page.locator("table[data-table=comparison]")
    )
    block.locator("button", has_text="copy CSV").click()
    opened.page.wait_for_timeout(200)
    lines = opened.page.evaluate("navigator.clipboard.readText()").splitlines()
    assert lines[0].startswith("model,parameters,MACs")
    assert lines[1].startswith("hrnet32,28536113,7645003776")
    opened.context.close()


def test_the_main_table_fits_a_window_of_1280_pixels(browser: Any, page_file: Path) -> None:
    opened = Visit(browser, page_file)
    box = opened.page.locator(".scroll", has=opened.page.locator("table[data-table=comparison]"))
    assert box.evaluate("box => box.scrollWidth <= box.clientWidth")
    opened.context.close()


def test_a_step_of_a_waterfall_leads_to_its_row_of_the_ledger(visit: Visit) -> None:
    step = visit.page.locator("figure[data-plot=ledger-1] [role=link]").first
    for act in (lambda: step.click(), lambda: step.press("Enter")):
        visit.page.locator("details:has(table[data-table=ledger])").evaluate("d => d.open = false")
        act()
        found = visit.page.locator("table[data-table=ledger] tr.found td").all_text_contents()
        assert found[:3] == ["hrnet32", "fvcore", "normalisation"]
        assert visit.page.locator("table[data-table=ledger]").is_visible()


@pytest.mark.parametrize("media", ["screen", "print"])
def test_every_table_fits_its_box_on_a_desk_and_on_paper(visit: Visit, media: str) -> None:
    visit.page.emulate_media(media=media)
    if media == "print":
        visit.page.set_viewport_size({"width": 1000, "height": 1400})
    wide = visit.page.evaluate(
        "[...document.querySelectorAll('.scroll')].filter(b => b.scrollWidth > b.clientWidth + 1)"
        ".map(b => b.firstElementChild.dataset.table)"
    )
    assert wide == []
