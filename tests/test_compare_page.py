"""The report as a page: complete, on its own, and usable in a browser."""

import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

pytest.importorskip("pyod", reason="the comparison needs PyOD")

from _comparing import compare, rows_of, save_split

VOID = {"meta", "path", "use", "rect", "stop", "clippath"}


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
    assert page.tags.count("svg") == 4
    assert all(link.startswith("#") for link in page.links)
    assert not re.search(r"url\((?!#)|@import|<link|<script src", text)
    assert "a &lt;b&gt; &amp; c" in text
    assert "<b>" not in text
    assert "--shots 2,5" in text
    assert "query rows are copies of a support row of their task" in text
    assert "rows of held-out tasks are copies of a meta-training row" in text
    assert "Friedman&#x27;s test of 3 methods over 4 tasks, K = 2: p = " in text


def test_tables_hold_the_means_of_the_results(run):
    tables = Page((run / "out.html").read_text("utf-8")).tables
    assert len(tables) == 2
    rows = rows_of(run / "out.csv")
    for k, table in zip((2, 5), tables, strict=True):
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


def test_tables_hold_the_false_alarms_and_no_test_on_four_tasks(run):
    rows = rows_of(run / "out.csv")
    table = Page((run / "out.html").read_text("utf-8")).tables[1]
    for name, *cells in table[1:]:
        worse, p, holm, alarms, nominal = map(float, cells[5:10])
        own = [r for r in rows if r["method"] == name and r["shots"] == "5"]
        rates = [float(r["false_alarm_rate"]) for r in own]
        assert alarms == pytest.approx(sum(rates) / len(rates))
        assert worse == float(cells[4]) / 4
        assert (p, holm, nominal) == (float("inf"), float("inf"), 0.1)


def test_the_same_results_give_the_same_pictures(run, tmp_path):
    assert "dc:date" not in (run / "out.html").read_text("utf-8")


CLICK = """
<script>
  const heads = document.querySelectorAll("table")[0].querySelectorAll("th button");
  heads[1].click(); heads[1].click();
  const rows = [...document.querySelectorAll("table")[0].tBodies[0].rows];
  document.title = "sorted " + rows.map(r => r.cells[1].dataset.value).join(" ")
    + " wide " + (document.documentElement.scrollWidth > window.innerWidth);
</script></body>
"""


def test_a_browser_sorts_the_tables_and_fits_the_page_on_a_phone(run, tmp_path):
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    page = tmp_path / "page.html"
    text = (run / "out.html").read_text("utf-8")
    page.write_text(text.replace("</body>", CLICK), "utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    flags += ["--disable-background-networking", "--disable-component-update"]
    flags += ["--disable-sync", "--disable-quic", "--window-size=500,800"]
    flags += [f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    found = subprocess.run(
        [chromium, *flags, page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    title = re.search(r"<title>sorted (.*) wide (\w+)</title>", found.stdout)
    values = [float(value) for value in title[1].split()]
    assert values == sorted(values)
    assert len(values) >= 3
    assert title[2] == "false"
