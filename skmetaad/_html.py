"""Collections of tasks as notebooks show them."""

from html import escape

import numpy as np

SHOWN = 10


def table_of(collection):
    """Return the counts of the first tasks as an HTML table, below a summary."""
    head = ("task", "rows", "features", "inliers", "outliers", "unlabelled")
    lines = ["".join(f"<th>{name}</th>" for name in head)]
    for task in collection[:SHOWN]:
        y = np.zeros(len(task), np.int8) if task.y is None else task.y
        counts = [(y == label).sum() for label in (1, -1, 0)]
        cells = (task.id, len(task), task.n_features, *counts)
        lines.append("".join(f"<td>{escape(str(cell))}</td>" for cell in cells))
    rows = "".join(f"<tr>{line}</tr>" for line in lines)
    more = len(collection) - SHOWN
    rest = f"<p>and {more} more</p>" if more > 0 else ""
    return f"<p>{escape(repr(collection))}</p><table>{rows}</table>{rest}"
