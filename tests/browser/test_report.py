"""The report in a real Chromium: nothing requested, nothing logged, nothing overlapping, from phone to desk, light and dark."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from foundry.report.html import write_report

pytestmark = pytest.mark.browser
REQUIRED = os.environ.get("FOUNDRY_BROWSER") == "required"
NAMES = ("main", "capacity", "flow", "quality", "numbers", "assumptions")
WIDTHS = (390, 690, 1280)

# Texts of one figure whose boxes share more than a pixel in both directions, and texts that leave their figure.
OVERLAPS = """() => {
  const found = [];
  for (const plot of document.querySelectorAll("[data-plot]")) {
    const boxes = [...plot.querySelectorAll("text")].filter((t) => t.textContent.trim() && t.getBoundingClientRect().width > 0)
      .map((t) => [t.textContent, t.getBoundingClientRect()]);
    boxes.forEach(([first, a], i) => boxes.slice(i + 1).forEach(([second, b]) => {
      const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (width > 1 && height > 1) found.push(`${plot.dataset.plot}: "${first}" on "${second}"`);
    }));
    const own = plot.getBoundingClientRect();
    const out = ([, b]) => b.left < own.left - 1 || b.right > own.right + 1;
    boxes.filter(out).forEach(([text]) => found.push(`${plot.dataset.plot}: "${text}" is cut`));
  }
  return found;
}"""
EMPTY = """() => [...document.querySelectorAll("[data-plot]")]
  .filter((p) => !p.querySelector(".point path, .points path, .scatterlayer path, .hm image"))
  .map((p) => p.dataset.plot)"""


@pytest.fixture(scope="module")
def browser() -> Generator[Any]:
    """Debian's or any Chromium on the path."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        (pytest.fail if REQUIRED else pytest.skip)("no Chromium on the path")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


def write_folder(folder: Path, **options: Any) -> Path:
    """A report of synthetic results; the module is loaded by path because the tests are not a package."""
    path = Path(__file__).parents[1] / "foundry" / "report" / "synthetic.py"
    spec = importlib.util.spec_from_file_location("synthetic_results", path)
    assert spec is not None and spec.loader is not None
    module = sys.modules.setdefault(spec.name, importlib.util.module_from_spec(spec))
    if not hasattr(module, "write"):
        spec.loader.exec_module(module)
    return write_report(module.write(folder, **options))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("report"))


class Visit:
    """A page with what it asked for and what it complained about."""

    def __init__(self, browser: Any, path: Path, width: int) -> None:
        self.page = browser.new_page(viewport={"width": width, "height": 900})
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.complaints.append("dialog"), dialog.dismiss()))
        self.page.goto(path.as_uri())
        self.wait("() => [...document.querySelectorAll('[data-plot]')].every((p) => p.dataset.drawn)")

    def wait(self, condition: str) -> None:
        """Poll from outside: the policy of the page forbids the eval that waiting inside it needs."""
        for _ in range(200):
            if self.page.evaluate(condition):
                return
            time.sleep(0.05)
        raise AssertionError(f"never true: {condition}; {self.complaints}")

    def settled(self) -> None:
        """Two quiet looks at all sizes of text; margins follow the legend in a second pass."""
        size = "() => [...document.querySelectorAll('[data-plot] text')].map((t) => Math.round(t.getBoundingClientRect().x)).join()"
        before = None
        while before != (before := self.page.evaluate(size)):
            time.sleep(0.15)


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_overlaps_is_empty_or_scrolls_sideways(browser: Any, report: Path, width: int) -> None:
    """Every view of every figure at this width."""
    visit = Visit(browser, report, width)
    views = visit.page.evaluate("() => [...document.querySelectorAll('.views')].map((g) => g.children.length)")
    for number in range(max(views)):
        for group, count in enumerate(views):
            if 0 < number < count:
                visit.page.evaluate(f"() => document.querySelectorAll('.views')[{group}].children[{number}].click()")
        visit.settled()
        assert visit.page.evaluate(OVERLAPS) == [], f"view {number}"
        assert visit.page.evaluate(EMPTY) == [], f"view {number}"
        assert visit.page.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0
    assert visit.requests == [report.as_uri()]
    assert visit.complaints == []


def test_the_checks_see_what_they_look_for(browser: Any, report: Path) -> None:
    """A label pushed onto its neighbour, one pushed out of its figure, and a figure without marks are all found."""
    visit = Visit(browser, report, 1280)
    visit.settled()
    visit.page.evaluate("() => document.querySelector('#lead .xtick text').setAttribute('transform', 'translate(-2000, 0)')")
    visit.page.evaluate("""() => {
      const [first, second] = document.querySelectorAll("#pairs .ytick text");
      second.setAttribute("transform", first.getAttribute("transform"));
    }""")
    visit.page.evaluate("() => document.querySelectorAll('#causes .scatterlayer').forEach((layer) => layer.remove())")

    found = visit.page.evaluate(OVERLAPS)
    assert [text.partition(":")[0] for text in found] == ["pairs", "lead"]
    assert visit.page.evaluate(EMPTY) == ["causes"]


def test_dark_theme_and_back(browser: Any, report: Path) -> None:
    """The figures follow the theme by the exact swap of colours; the way back is the light page."""
    visit = Visit(browser, report, 1280)
    colour = "() => document.querySelector('#lead .scatterlayer path.js-line').style.stroke"
    light = visit.page.evaluate(colour)
    visit.page.click("#theme")
    visit.wait(f"() => ({colour})() !== '{light}'")
    visit.settled()

    assert visit.page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(16, 23, 31)"
    assert visit.page.evaluate(OVERLAPS) == []
    visit.page.click("#theme")
    visit.wait(f"() => ({colour})() === '{light}'")
    assert visit.complaints == []


def test_a_view_brings_its_own_sentence(browser: Any, report: Path) -> None:
    visit = Visit(browser, report, 1280)
    before = visit.page.inner_text("#cost .takeaway")
    visit.page.click("#cost .views button:nth-child(2)")

    assert visit.page.inner_text("#cost .takeaway") != before
    assert visit.page.inner_text("#cost .takeaway") in visit.page.get_attribute("#cost [data-plot]", "aria-label")
    assert visit.page.get_attribute("#cost .views button:nth-child(2)", "aria-pressed") == "true"


def test_no_vendor_button_and_named_controls(browser: Any, report: Path) -> None:
    """Four buttons on a figure and none that sends anything; every control and figure has a name."""
    visit = Visit(browser, report, 1280)
    visit.page.hover("#cost [data-plot]")
    titles = visit.page.evaluate("() => [...document.querySelectorAll('#cost .modebar-btn')].map((b) => b.dataset.title)")

    assert len(titles) == 4 and not [t for t in titles if "hare" in t or "loud" in t or "Plotly" in t]
    nameless = "() => [...document.querySelectorAll('button, a')].filter((b) => !b.textContent.trim() && !b.dataset.title).length"
    assert visit.page.evaluate(nameless) == 0
    assert visit.page.evaluate("() => [...document.querySelectorAll('[data-plot]')].every((p) => p.getAttribute('aria-label').length > 40)")
    assert visit.page.evaluate("() => document.querySelectorAll('h1').length") == 1
    for name in NAMES:
        assert visit.page.query_selector(f"#{name}") and visit.page.query_selector(f"nav a[href='#{name}']")


def test_print_fits_the_paper(browser: Any, report: Path, tmp_path: Path) -> None:
    """Light, at most 15 pages, each figure redrawn to the width of the text."""
    visit = Visit(browser, report, 1280)
    visit.page.click("#theme")
    visit.settled()
    pdf = visit.page.pdf(path=tmp_path / "report.pdf", format="A4", prefer_css_page_size=True, print_background=True)

    assert 1 <= max(int(count) for count in re.findall(rb"/Count (\d+)", pdf)) <= 15
    assert visit.complaints == []
    visit.page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    assert visit.page.evaluate("() => [...document.querySelectorAll('[data-plot] .main-svg')].every((s) => s.clientWidth <= 690)")
    assert visit.page.evaluate("() => document.documentElement.dataset.theme") == "light"
    assert visit.page.evaluate(OVERLAPS) == []
    visit.page.evaluate("() => dispatchEvent(new Event('afterprint'))")
    assert visit.page.evaluate("() => document.documentElement.dataset.theme") == "dark"


@pytest.mark.parametrize("width", [390, 1280])
def test_hostile_and_long_names(browser: Any, tmp_path: Path, width: int) -> None:
    """Markup in a name is text, 64 characters and Chinese fit, nothing runs."""
    hostile = "<img src=x onerror=alert(1)> & a name of 64 characters, " + "x" * 8
    visit = Visit(browser, write_folder(tmp_path, names=(hostile, "自动化细胞工厂生产线"), replications=5, cause="<b>" + "y" * 61), width)
    visit.settled()

    assert visit.page.evaluate("() => document.querySelectorAll('main img').length") == 0
    assert visit.page.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0
    assert visit.page.evaluate(OVERLAPS) == []
    assert visit.complaints == []


@pytest.mark.parametrize("options", [{"replications": 1}, {"released": False}, {"names": ("only_one",)}, {"names": ("a_1", "b_2", "c_3")}])
def test_degenerate_folders(browser: Any, tmp_path: Path, options: dict[str, Any]) -> None:
    """No interval, no dose, one scenario, three scenarios: no empty figure, no overlap, no word of the machine."""
    visit = Visit(browser, write_folder(tmp_path, **({"replications": 6} | options)), 1280)
    visit.settled()

    assert visit.page.evaluate(OVERLAPS) == []
    assert visit.page.evaluate(EMPTY) == []
    assert not {"nan", "undefined", "None"} & set(visit.page.inner_text("main").replace(",", " ").split())
    assert visit.complaints == []
