"""Everything public is on the API pages, and nothing else is."""

import importlib
import re

import pytest
from _imports import PACKAGE, ROOT
from test_docstrings import EXPORTED, public_modules

PAGE = (ROOT / "docs" / "api.rst").read_text("utf-8")


def listed(page):
    """Return the names under `autosummary`, with the package in front."""
    names, inside = [], False
    for line in page.splitlines():
        if line.startswith(".. autosummary::"):
            inside = True
        elif line and not line.startswith(" "):
            inside = False
        elif inside and re.fullmatch(r" +[\w.]+", line):
            names.append(f"{PACKAGE}.{line.strip()}")
    return names


def resolved(path):
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


LISTED = listed(PAGE)


def test_the_list_is_read():
    page = ".. autosummary::\n   :toctree: x\n\n   A\n   b.C\n\nText\n\n   d\n"
    assert listed(page) == ["skmetaad.A", "skmetaad.b.C"]


@pytest.mark.parametrize("path", EXPORTED)
def test_a_public_name_is_on_the_api_page(path):
    assert any(resolved(name) is resolved(path) for name in LISTED), path


def test_every_public_module_is_covered():
    exported = {
        (module, name)
        for module in public_modules()
        for name in importlib.import_module(module).__all__
    }
    known = {id(resolved(name)) for name in LISTED}
    missing = [
        f"{module}.{name}"
        for module, name in sorted(exported)
        if id(resolved(f"{module}.{name}")) not in known
    ]
    assert not missing


def test_names_on_the_api_page_are_public_and_there_once():
    public = {id(resolved(path)) for path in EXPORTED}
    assert [name for name in LISTED if id(resolved(name)) not in public] == []
    objects = [id(resolved(name)) for name in LISTED]
    assert len(objects) == len(set(objects))
