"""The tutorials and the landing picture, as far as they need not be run."""

import sys
from importlib.metadata import version

import pytest
from _imports import ROOT
from _markdown import python_blocks

DOCS = ROOT / "docs"
TUTORIALS = sorted((DOCS / "tutorials").glob("*.py"))


@pytest.fixture
def extension(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))

    def load(name):
        monkeypatch.delitem(sys.modules, name, raising=False)
        return __import__(name)

    return load


def test_the_gallery_has_an_order_for_every_tutorial(extension):
    names = [path.stem for path in TUTORIALS]
    assert sorted(extension("pages").ORDER) == names


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_compares_with_the_nearest_neighbour_and_fixes_seeds(path):
    source = path.read_text("utf-8")
    compile(source, str(path), "exec")
    assert "KNN(n_neighbors=1)" in source
    assert "random_state=" in source and "default_rng()" not in source


def test_the_landing_picture_finds_its_figures(extension, tmp_path):
    landing = extension("landing")
    table = landing.read_table()
    for collection in landing.PANELS:
        for curve in table[collection].values():
            assert len(curve) == 4 and all(0 < value <= 1 for value in curve.values())
    for mode in landing.INK:
        landing.draw(tmp_path / f"{mode}.svg", table, mode)
        drawn = (tmp_path / f"{mode}.svg").read_text("utf-8")
        assert 10_000 < len(drawn) < 100_000
        kept = (DOCS / "_static" / f"landing_{mode}.svg").read_text("utf-8")
        if f"Matplotlib v{version('matplotlib')}," in kept:  # others draw otherwise
            assert drawn == kept, "the table changed: run python docs/_ext/landing.py"


def test_the_landing_page_shows_the_answer_in_a_few_lines():
    ((_, source),) = python_blocks(DOCS / "index.md")
    assert sum(bool(line.strip()) for line in source.splitlines()) <= 15
