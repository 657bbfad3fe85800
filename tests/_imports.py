"""Reads the imports of source files without running them."""

import ast
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "skmetaad"


@dataclass(frozen=True)
class Import:
    module: str  # what is imported: a module, or the module a name is taken from
    name: str | None  # the name taken from it, when that is not a module of ours
    line: int

    def __str__(self):
        return self.module if self.name is None else f"{self.module}.{self.name}"

    def within(self, package):
        return f"{self}.".startswith(f"{package}.")


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def package_files():
    return {module_name(path): path for path in sorted((ROOT / PACKAGE).rglob("*.py"))}


def imports(source, module="__main__", *, is_package=False, modules=()):
    """Return all imports of a source text, those inside functions too.

    `modules` names our own modules, to tell a submodule from a name in a module.
    """
    found = []
    for node in _live_nodes(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [Import(alias.name, None, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = _absolute(node, module, is_package)
            for alias in node.names:
                whole = f"{origin}.{alias.name}"
                if whole in modules:
                    found.append(Import(whole, None, node.lineno))
                else:
                    found.append(Import(origin, alias.name, node.lineno))
    return found


def private_attributes(source, library):
    """Return `library.x._y` and the like: private names reached by attribute."""
    tree = ast.parse(source)
    bound = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [a for a in node.names if a.name.split(".")[0] == library]
            bound |= {a.asname or a.name.split(".")[0] for a in names}
        elif isinstance(node, ast.ImportFrom):
            if not node.level and (node.module or "").split(".")[0] == library:
                bound |= {alias.asname or alias.name for alias in node.names}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            value = node.value
            while isinstance(value, ast.Attribute):
                value = value.value
            if isinstance(value, ast.Name) and value.id in bound:
                found.append((ast.unparse(node), node.lineno))
    return found


def is_private(dotted):
    """Tell whether a part of a dotted name begins with an underscore (not two)."""
    return any(
        part.startswith("_") and not part.startswith("__") for part in dotted.split(".")
    )


def public_names(source):
    """Return the literal `__all__` of a source text, or None."""
    for node in ast.parse(source).body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(t, ast.Name) and t.id == "__all__" for t in targets):
            return set(ast.literal_eval(node.value))
    return None


def _absolute(node, module, is_package):
    if not node.level:
        return node.module
    parts = module.split(".")
    parts = parts[: len(parts) - node.level + is_package]
    return ".".join([*parts, node.module] if node.module else parts)


def _live_nodes(tree):
    """Walk the tree without `if TYPE_CHECKING:` bodies."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for branch in node.orelse:
                yield branch
                yield from _live_nodes(branch)
            continue
        yield node
        yield from _live_nodes(node)
