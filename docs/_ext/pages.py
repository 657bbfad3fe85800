"""Joins the pages: links to files outside docs/, API members, order of tutorials."""

import re
from pathlib import Path

# Files outside docs/ that are pages of the site.
ELSEWHERE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/results/README.md": "results.md",
}
ORDER = (
    "plot_server_fleet",
    "plot_card_fraud",
    "plot_images",
    "plot_time_series",
    "plot_beside_pyod",
    "plot_search_over_tasks",
    "plot_labelled_anomalies",
)


def tutorial_order(file):
    """Sort the tutorials as `ORDER` has them, unknown ones last."""
    name = Path(file).stem
    return ORDER.index(name) if name in ORDER else len(ORDER)


def relink(app, docname, source):
    """Lead links to files outside docs/ to the pages made of them, papers to arXiv."""
    if app.env.doc2path(docname, base=False).suffix != ".md":
        return
    source[0] = re.sub(
        r"(?<![\[/\w])arXiv:(\d{4}\.\d{4,5})",
        r"[arXiv:\1](https://arxiv.org/abs/\1)",
        source[0],
    )
    depth = docname.count("/")
    for file, page in ELSEWHERE.items():
        outside = re.escape("../" * (depth + 1) + file)
        source[0] = re.sub(
            rf"\]\({outside}(#[^)]*)?\)",
            lambda m, page=page: f"]({'../' * depth}{page}{m[1] or ''})",
            source[0],
        )


def skip_foreign(app, what, name, value, skip, options):
    """Leave out what scikit-learn and others bring into a class."""
    if what != "class" or skip:
        return None
    value = getattr(value, "fget", None) or value
    module = getattr(value, "__module__", None) or ""
    ours = module.startswith("skmetaad") and not re.fullmatch(r"set_\w+_request", name)
    return None if ours else True


def escape(app, what, name, value, options, lines):
    """Escape what in a parameter's type would be read as markup."""
    for i, line in enumerate(lines):
        line = re.sub(r"(shape \(\w+)_,", r"\1\\_,", line)
        if re.match(r"\s*\*\*\w+\*\* : .*default=", line):
            line = line.replace('"**/*', r'"\*\*/\*')
        lines[i] = line


def setup(app):
    app.connect("source-read", relink)
    app.connect("autodoc-skip-member", skip_foreign)
    app.connect("autodoc-process-docstring", escape, priority=900)  # after numpydoc
    return {"parallel_read_safe": True, "parallel_write_safe": True}
