"""Finds the fenced Python blocks of README.md and the documentation."""

from _imports import ROOT

BUILT = {"_build", "auto_examples", "generated"}


def markdown_files():
    docs = (ROOT / "docs").rglob("*.md")
    pages = [p for p in docs if not BUILT & set(p.relative_to(ROOT).parts)]
    return [ROOT / "README.md", *sorted(pages)]


def python_blocks(path):
    """Return (line, source) of each block, in order.

    The line is that of the block's first source line, counted from 1.
    """
    blocks, start, lines = [], None, []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        fence = line.strip()
        if start is None and fence == "```python":
            start, lines = number + 1, []
        elif start is not None and fence == "```":
            blocks.append((start, "\n".join(lines) + "\n"))
            start = None
        elif start is not None:
            lines.append(line)
    if start is not None:
        raise ValueError(f"{path}: the block at line {start} is not closed")
    return blocks
