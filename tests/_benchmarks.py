"""Loads the scripts in benchmarks/, which are no package."""

import importlib.util

from _imports import ROOT


def load_benchmark(name):
    path = ROOT / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
