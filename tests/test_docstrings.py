"""The docstring of every public object, checked against the numpydoc standard."""

import importlib
import inspect

import pytest
from _imports import PACKAGE, is_private, package_files, public_names
from numpydoc.validate import validate

# What the codes mean: numpydoc.validate.ERROR_MSGS.
CHECKS = {
    *("GL03", "GL05", "GL06", "GL07", "GL08", "GL10"),  # sections; GL08: none at all
    *("SS01", "SS02", "SS03", "SS04", "SS05", "SS06"),  # summary
    *("PR01", "PR02", "PR03", "PR04", "PR05", "PR06", "PR07", "PR08", "PR09", "PR10"),
    *("RT01", "RT03", "RT04", "RT05", "YD01"),  # what comes back
    *("SA02", "SA03", "SA04"),  # See Also
    "EX01",  # Examples, for classes and functions but not for methods
}
# Run or read by developers of the library, not imported by its users.
NOT_EXPORTED = (f"{PACKAGE}.core", f"{PACKAGE}.__main__")


def public_modules():
    return [
        module
        for module in package_files()
        if not is_private(module)
        and not any(f"{module}.".startswith(f"{name}.") for name in NOT_EXPORTED)
    ]


def exported():
    """Return {import path: object} of what the public modules export, each once."""
    found = {}
    for name in public_modules():
        module = importlib.import_module(name)
        for attribute in getattr(module, "__all__", ()):
            value = getattr(module, attribute)
            if inspect.isclass(value) or inspect.isroutine(value):
                found.setdefault(id(value), (f"{name}.{attribute}", value))
    return dict(found.values())


def methods(path, cls):
    """Return the import paths of the public methods and properties written by us.

    Those inherited from a class of ours that is exported too are checked there.
    """
    for name, value in vars(cls).items():
        function = getattr(value, "fget", None) or getattr(value, "__func__", value)
        if name.startswith("_") or not inspect.isroutine(function):
            continue
        if (getattr(function, "__module__", None) or "").startswith(PACKAGE):
            yield f"{path}.{name}"


EXPORTED = exported()
METHODS = [m for p, o in EXPORTED.items() if inspect.isclass(o) for m in methods(p, o)]


def faults(path, checks):
    return [
        f"{code} {text}" for code, text in validate(path)["errors"] if code in checks
    ]


def test_every_public_module_lists_its_names_and_says_what_it_is_for():
    files = package_files()
    missing = [
        name
        for name in public_modules()
        if public_names(files[name].read_text("utf-8")) is None
        or not (importlib.import_module(name).__doc__ or "").strip()
    ]
    assert not missing, f"no __all__ or no docstring: {missing}"


@pytest.mark.parametrize("path", EXPORTED)
def test_classes_and_functions_are_documented(path):
    assert not faults(path, CHECKS)


@pytest.mark.parametrize("path", METHODS)
def test_methods_are_documented(path):
    assert not faults(path, CHECKS - {"EX01"})
