"""Who may import whom, read from the source."""

import subprocess
import sys
import textwrap

import pytest
from _imports import (
    PACKAGE,
    ROOT,
    imports,
    is_private,
    package_files,
    private_attributes,
    public_names,
)
from _markdown import markdown_files, python_blocks

FILES = package_files()
IMPORTS = {
    module: imports(
        path.read_text("utf-8"),
        module,
        is_package=path.name == "__init__.py",
        modules=FILES,
    )
    for module, path in FILES.items()
}
CORE, BASE, DETECTORS = f"{PACKAGE}.core", f"{PACKAGE}.base", f"{PACKAGE}.detectors"
OPTIONAL = ["pyod", "pandas", "matplotlib", "rich", "skops", "tqdm"]


def modules_of(*names):
    """Return the modules that carry these names, as a file or as a package."""
    roots = [f"{PACKAGE}.{name}" for name in names]
    return [m for m in FILES if any(f"{m}.".startswith(f"{r}.") for r in roots)]


def violations(modules, forbidden):
    return [
        f"{FILES[module].relative_to(ROOT)}:{imported.line} imports {imported}"
        for module in modules
        for imported in IMPORTS[module]
        if forbidden(imported)
    ]


def loaded_by(module):
    """Return {module of ours: chain of imports} that loading a module may load.

    The package's own `__init__` is left out unless a name is taken from it: Python
    loads it for every submodule, and it exports everything.
    """
    chains, todo = {module: [module]}, [module]
    while todo:
        current = todo.pop()
        for imported in IMPORTS[current]:
            parts = imported.module.split(".")
            reached = {".".join(parts[:end]) for end in range(2, len(parts) + 1)}
            if imported.module == PACKAGE and imported.name != "__version__":
                reached.add(PACKAGE)
            for name in reached & FILES.keys() - chains.keys():
                chains[name] = [*chains[current], name]
                todo.append(name)
    return chains


def torch_chains(modules):
    return [
        " -> ".join([*chain, "torch"])
        for module in modules
        for name, chain in loaded_by(module).items()
        if any(imported.within("torch") for imported in IMPORTS[name])
    ]


def is_detector_file(module):
    """Tell an estimator's file from a base that several of them share.

    The estimators are what `detectors/__init__.py` takes names from.
    """
    return any(i.module == module for i in IMPORTS.get(DETECTORS, []))


def test_the_layers_are_there_to_be_checked():
    layers = ["base", "compose", "core", "detectors"]
    layers += ["episodes", "metrics", "model_selection", "tasks"]
    assert [name for name in layers if not modules_of(name)] == []


def test_core_imports_only_torch_numpy_and_itself():
    allowed = ("torch", "numpy", CORE, *sys.stdlib_module_names)
    found = violations(
        modules_of("core"), lambda i: not any(i.within(name) for name in allowed)
    )
    assert not found, "\n".join(found)


def test_tasks_episodes_metrics_and_model_selection_load_no_torch():
    found = torch_chains(modules_of("tasks", "episodes", "metrics", "model_selection"))
    assert not found, "\n".join(found)


def test_base_loads_no_detector_and_no_torch():
    found = torch_chains([BASE])
    found += [
        " -> ".join(chain)
        for name, chain in loaded_by(BASE).items()
        if f"{name}.".startswith(f"{DETECTORS}.")
    ]
    assert not found, "\n".join(found)


def test_compose_thresholds_and_inspection_know_no_detector_and_no_torch():
    modules = modules_of("compose", "thresholds", "inspection")
    found = violations(
        modules,
        lambda i: i.within(DETECTORS) or i.within(CORE) or i.module == PACKAGE,
    )
    found += torch_chains(modules)
    assert not found, "\n".join(found)


def test_only_detectors_import_both_base_and_core():
    both = [
        module
        for module in FILES
        if any(i.within(BASE) for i in IMPORTS[module])
        and any(i.within(CORE) for i in IMPORTS[module])
        and not module.startswith(f"{DETECTORS}.")
    ]
    assert not both, f"import both base and core: {both}"


def test_no_detector_imports_another():
    files = [m for m in modules_of("detectors") if m != DETECTORS]
    found = violations(
        files,
        lambda i: i.module in (PACKAGE, DETECTORS) or is_detector_file(i.module),
    )
    assert not found, "\n".join(found)


def test_only_compat_imports_private_names_of_scikit_learn():
    others = [module for module in FILES if module != f"{PACKAGE}._compat"]
    found = violations(others, lambda i: i.within("sklearn") and is_private(str(i)))
    for module in others:
        source = FILES[module].read_text("utf-8")
        for name, line in private_attributes(source, "sklearn"):
            found.append(f"{FILES[module].relative_to(ROOT)}:{line} uses {name}")
    assert not found, "\n".join(found)


# Single steps and parts of a network have no public names: what times and ablates them.
TIMES_CORE = {
    "benchmarks/maml_step.py",
    "benchmarks/maml_memory.py",
    "benchmarks/ablate_universal.py",
}


def outside_sources():
    for folder in ("benchmarks", "docs"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT), 1, path.read_text("utf-8")
    for path in markdown_files():
        for line, source in python_blocks(path):
            yield path.relative_to(ROOT), line, source


def test_benchmarks_and_documentation_use_public_names_only():
    found = []
    for path, start, source in outside_sources():
        used = [
            (imported.line, str(imported))
            for imported in imports(source, modules=FILES)
            if imported.within(PACKAGE)
            and not _is_public(imported)
            and not (str(path) in TIMES_CORE and imported.within(CORE))
        ]
        used += [(line, name) for name, line in private_attributes(source, PACKAGE)]
        found += [f"{path}:{start + line - 1} uses {name}" for line, name in used]
    assert not found, "\n".join(found)


def _is_public(imported):
    if is_private(str(imported)) or imported.within(CORE):
        return False
    if imported.module not in FILES:
        return False
    if imported.name is None or imported.name.startswith("__"):
        return True
    exported = public_names(FILES[imported.module].read_text("utf-8"))
    return exported is None or imported.name in exported


def test_importing_the_package_needs_no_optional_library():
    # scikit-learn tries pandas and rich on its own account, so "is it loaded" would
    # say nothing about us: the libraries are made unimportable instead.
    code = f"""
        import importlib.abc, sys

        class Absent(importlib.abc.MetaPathFinder):
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in {OPTIONAL!r}:
                    raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

        sys.meta_path.insert(0, Absent())
        import {PACKAGE}
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr


def test_importing_the_package_loads_nothing_beyond_what_its_dependencies_load():
    code = """
        import sys
        import sklearn.callback, sklearn.utils.estimator_checks, scipy.stats, torch

        before = set(sys.modules)
        import skmetaad

        new = {name.split(".")[0] for name in set(sys.modules) - before}
        print(*sorted(new))
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert not set(OPTIONAL) & set(result.stdout.split())


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import torch.nn as nn", "torch.nn"),
        ("from . import inner", "skmetaad.core.inner"),
        ("from ..base import BaseMetaDetector", "skmetaad.base.BaseMetaDetector"),
        ("def f():\n    from torch import nn", "torch.nn"),
    ],
)
def test_imports_are_read_whatever_their_form(source, expected):
    modules = {"skmetaad.core.inner", "skmetaad.base"}
    found = imports(source, "skmetaad.core.train", modules=modules)
    assert [str(i) for i in found] == [expected]
