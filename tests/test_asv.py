"""The benchmarks of asv run, with the smallest of their parameters."""

import importlib
import inspect
import itertools
import json
import sys

import pytest
from _imports import ROOT

FOLDER = ROOT / "benchmarks" / "asv"
MODULES = sorted(p.stem for p in (FOLDER / "suite").glob("[!_]*.py"))
KINDS = ("time_", "peakmem_", "track_")


def load(module):
    sys.path.insert(0, str(FOLDER))
    try:
        return importlib.import_module(f"suite.{module}")
    finally:
        sys.path.remove(str(FOLDER))


def classes():
    found = []
    for module in map(load, MODULES):
        for name, cls in inspect.getmembers(module, inspect.isclass):
            if cls.__module__ == module.__name__ and not name.startswith("_"):
                found.append(pytest.param(cls, id=f"{module.__name__}.{name}"))
    return found


def params_of(cls):
    """Return the lists of values, one for each parameter."""
    params = getattr(cls, "params", [])
    return params if not params or isinstance(params[0], list) else [params]


@pytest.mark.parametrize("cls", classes())
def test_benchmarks_run(cls):
    if cls.__name__.startswith("PyOD"):
        pytest.importorskip("pyod")
        pytest.importorskip("tqdm")
    names = [name for name in dir(cls) if name.startswith(KINDS)]
    assert names
    # Every detector, and the smallest of what is a number.
    values = [p if isinstance(p[0], str) else p[:1] for p in params_of(cls)]
    made = cls()
    cached = [made.setup_cache()] if hasattr(cls, "setup_cache") else []
    for params in itertools.product(*values):
        params = (*cached, *params)
        made.setup(*params)
        for name in names:
            value = getattr(made, name)(*params)
            assert not name.startswith("track_") or 0.5 < value <= 1


@pytest.mark.parametrize("cls", classes())
def test_parameters_are_named_and_ascend(cls):
    params = params_of(cls)
    assert len(getattr(cls, "param_names", [])) == len(params)
    for values in params:
        assert isinstance(values[0], str) or values == sorted(values)


def test_the_configuration_names_what_is_there():
    found = json.loads((FOLDER / "asv.conf.json").read_text("utf-8"))
    assert (FOLDER / found["benchmark_dir"]).is_dir()
    assert (FOLDER / found["repo"]).resolve() == ROOT
