"""The report as a page: complete, on its own, and usable in a browser."""

import json
import re
import shutil
import subprocess
from html import escape, unescape
from html.parser import HTMLParser

import numpy as np
import pytest

pytest.importorskip("pyod", reason="the comparison needs PyOD")

from _comparing import compare, rows_of, save_split

from skmetaad._compare import _charts

SHOWN = ("accuracy", "balanced_accuracy", "precision", "recall", "f1")
SHOWN += ("false_alarm_rate",)


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.links = [], [], []
        self.tables, self.cell = [], None
        self.feed(text)
        assert self.open == [], "tags left open"

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [v for k, v in attrs if k in ("src", "href", "xlink:href")]
        if tag not in ("meta",):
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag == "td":
            self.tables[-1][-1].append(dict(attrs)["data-value"])

    def handle_startendtag(self, tag, attrs):
        self.links += [v for k, v in attrs if k in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    tasks = save_split(folder / "a <b> & c")
    args = ["--tasks", tasks, "--shots", "2,5", "--detectors", "metasvdd,iforest"]
    code = compare(*args, "--csv", folder / "out.csv", "--html", folder / "out.html")
    assert code == 0
    return folder


def test_the_page_is_whole_and_needs_nothing_else(run):
    text = (run / "out.html").read_text("utf-8")
    page = Page(text)
    assert page.tags.count("svg") == 2 + 3 * 2  # curves, and three for each K
    assert page.links == ["#k2", "#k5", "#cost", "#notes"]
    assert not re.search(r"url\((?!#)|@import|<link|<script src", text)
    assert "a &lt;b&gt; &amp; c" in text
    assert "<b>" not in text
    assert "--shots 2,5" in text
    assert "query rows are copies of a support row of their task" in text
    assert "rows of held-out tasks are copies of a meta-training row" in text
    assert "Friedman&#x27;s test of 3 methods over 4 tasks, K = 2: p = " in text


def test_tables_hold_the_means_of_the_results(run):
    tables = Page((run / "out.html").read_text("utf-8")).tables
    assert len(tables) == 5  # two for each K, and the costs
    rows = rows_of(run / "out.csv")
    for k, table in zip((2, 5), tables[:4:2], strict=True):
        head, *body = table
        assert head == []
        means = [float(row[1]) for row in body]
        assert means == sorted(means, reverse=True)
        for name, mean, *_ in body:
            own = [
                float(r["auroc"])
                for r in rows
                if r["method"] == name and int(r["shots"]) == k
            ]
            assert float(mean) == pytest.approx(sum(own) / len(own))


def test_no_test_is_made_on_four_tasks(run):
    table = Page((run / "out.html").read_text("utf-8")).tables[2]
    for _, *cells in table[1:]:
        losses, worse, p, holm = cells[4:8]
        assert float(worse) == float(losses) / 4
        assert (p, holm) == ("", "")


def test_tables_hold_what_the_thresholds_do(run):
    rows = rows_of(run / "out.csv")
    table = Page((run / "out.html").read_text("utf-8")).tables[3]
    for name, *cells in table[1:]:
        own = [r for r in rows if r["method"] == name and r["shots"] == "5"]
        for cell, metric in zip(cells[:6], SHOWN, strict=True):
            values = [float(r[metric]) for r in own]
            assert float(cell) == pytest.approx(sum(values) / len(values))
        assert float(cells[-1]) == 0.1


def test_the_same_results_give_the_same_page(run, tmp_path):
    args = ["--tasks", run / "a <b> & c", "--shots", "2", "--detectors", "metasvdd"]
    args += ["--cache", tmp_path / "cache", "--html", tmp_path / "out.html"]
    pages = []
    for _ in range(2):
        assert compare(*args) == 0
        pages.append((tmp_path / "out.html").read_text("utf-8"))
    assert pages[0] == pages[1]


# ------------------------------------------------------------------------------ charts


def test_names_beside_the_points_are_apart_and_near():
    wanted = np.array([10.0, 11.0, 12.0, 80.0, 99.0, 99.5])
    places = _charts._apart(wanted, 10, 0, 100)
    assert np.diff(places).min() >= 10 - 1e-9
    assert places.max() <= 100
    assert abs(places - wanted).max() <= 2 * 10  # the third of three at one height


@pytest.mark.parametrize(("low", "high"), [(0.5, 0.5), (0.98, 1.0), (0.1, 1.0)])
def test_ticks_hold_all_values_and_are_few(low, high):
    ticks = _charts._ticks(low, high)
    assert 2 <= len(ticks) <= 8
    assert ticks[0] <= low + 1e-9 and ticks[-1] >= high - 1e-9


# ----------------------------------------------------------------------------- browser

CLICK = """
<script>
  const table = document.querySelectorAll("table")[0];
  const heads = table.querySelectorAll("th button");
  const column = at => [...table.tBodies[0].rows].map(r => r.cells[at].dataset.value);
  heads[1].click(); heads[1].click();
  const key = document.querySelector(".key[aria-pressed=true]");
  key.click();
  const own = document.querySelectorAll(`.curve[data-method="${key.dataset.method}"]`);
  parent.document.title = JSON.stringify({
    ascending: column(1).map(Number),
    pressed: key.getAttribute("aria-pressed"),
    curves: [...own].map(curve => curve.classList.contains("on")),
    width: window.innerWidth,
    needed: document.documentElement.scrollWidth,
    ink: getComputedStyle(document.body).color,
    text: getComputedStyle(document.querySelector("svg text")).fill,
  });
</script></body>
"""


@pytest.fixture(scope="module")
def browse(run, tmp_path_factory):
    """Return what a script finds in the page, in a frame as wide as a screen."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")

    def found(width, *flags):
        folder = tmp_path_factory.mktemp("browser")
        text = (run / "out.html").read_text("utf-8").replace("</body>", CLICK)
        style = f"width:{width}px;height:800px;border:0"
        frame = f'<iframe style="{style}" srcdoc="{escape(text)}"></iframe>'
        page = folder / "page.html"
        page.write_text(f"<!doctype html><title></title>{frame}", "utf-8")
        command = [chromium, *FLAGS, *flags, f"--user-data-dir={folder / 'profile'}"]
        shown = subprocess.run(
            [*command, "--dump-dom", page.as_uri()],
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
        return json.loads(unescape(re.search("<title>(.*)</title>", shown.stdout)[1]))

    return found


FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update"]
FLAGS += ["--disable-sync", "--disable-quic", "--window-size=1300,900"]


@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_sorts_and_colours_and_fits_the_page(browse, width):
    found = browse(width)
    assert len(found["ascending"]) == 3
    assert found["ascending"] == sorted(found["ascending"])
    assert found["pressed"] == "false"
    assert found["curves"] == [False, False]
    assert found["width"] == width
    assert found["needed"] <= width
    assert found["ink"] == found["text"] == "rgb(0, 0, 0)"


def test_charts_are_light_on_dark_where_the_browser_is_dark(browse):
    found = browse(390, "--blink-settings=preferredColorScheme=0")
    assert found["ink"] == found["text"] == "rgb(255, 255, 255)"
