"""Runs the Python blocks of README.md and the documentation."""

import sys
from types import ModuleType

import pytest
from _imports import ROOT
from _markdown import markdown_files, python_blocks

PAGES = {str(p.relative_to(ROOT)): p for p in markdown_files() if python_blocks(p)}


@pytest.mark.parametrize("page", PAGES)
def test_blocks_of_a_page_run_one_after_the_other(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    main = ModuleType("__main__")  # so that classes of a page can be pickled
    monkeypatch.setitem(sys.modules, "__main__", main)
    for line, source in python_blocks(PAGES[page]):
        # Empty lines ahead, so that a traceback shows the line of the page.
        code = compile("\n" * (line - 1) + source, str(PAGES[page]), "exec")
        exec(code, vars(main))


def test_readme_shows_an_example():
    assert "README.md" in PAGES


@pytest.mark.parametrize("number", [1, 2])
def test_readme_marks_the_commands_that_ci_runs(number):
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    begin = lines.index(f"<!-- ci: command {number} -->")
    assert lines[begin + 1] == "```bash"
    command = lines[begin + 2 : lines.index("<!-- ci: end -->", begin) - 1]
    assert "python -m venv" in " ".join(command)
