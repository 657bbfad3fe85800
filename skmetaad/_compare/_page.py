"""The report as one HTML page that needs nothing else."""

import io
from html import escape

import numpy as np

from skmetaad._compare._baselines import KNN
from skmetaad._compare._outputs import curves
from skmetaad._compare._report import friedman_line
from skmetaad._compare._summary import METRICS, false_alarms, per_task, summarize
from skmetaad.inspection import CriticalDifferenceDisplay

STYLE = """
:root { color-scheme: light dark; --line: #8884; --mark: #0072b222; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: auto;
  padding: 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
pre, .wide { overflow-x: auto; } pre { padding: .6rem; border: 1px solid var(--line); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .6rem; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
th button { all: unset; cursor: pointer; font-weight: bold; }
th button:focus-visible { outline: 2px solid; }
tr.knn { background: var(--mark); }
pre.command { white-space: pre-wrap; overflow-wrap: anywhere; }
figure { margin: 1rem 0; overflow-x: auto; } figcaption { font-size: .9rem; }
figure svg { background: white; min-width: 38rem; max-width: 100%; height: auto; }
@media print { body { max-width: none; } figure, table { break-inside: avoid; } }
"""
LEGEND = (
    "Intervals: bootstrap over tasks. Wins and losses are tasks, against k-NN; worse: "
    "the share of tasks lost (negative transfer). p: Wilcoxon's signed-rank test "
    "against k-NN, also after Holm's correction for all methods at this K. False "
    "alarms: the share of inliers flagged at the detector's own threshold; nominal: "
    "the share it aims at."
)
SCRIPT = """
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement, body = head.closest("table").tBodies[0];
    const up = head.getAttribute("aria-sort") === "descending";
    for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = row => row.cells[head.cellIndex].dataset.value;
    const compare = (a, b) => isNaN(key(a)) || isNaN(key(b))
      ? key(a).localeCompare(key(b)) : key(a) - key(b);
    const rows = [...body.rows].sort(compare);
    body.append(...(up ? rows : rows.reverse()));
  });
}
"""


def write_page(path, command, collection, methods, shots, records, lines):
    """Write tables that sort, curves, ranks, costs, single tasks, and the text."""
    best = max(shots)
    summaries = {metric: summarize(records, metric) for metric in METRICS}
    rates = false_alarms(records)
    parts = [
        f"<h1>{escape(collection.name)}: detectors from a few rows</h1>",
        f'<pre class="command">{escape(command)}</pre>',
        "<h2>Scores</h2>",
        f"<p>{escape(LEGEND)}</p>",
        *(_table(k, methods, summaries, rates, records) for k in shots),
        "<h2>Scores and support rows</h2>",
        _figure(curves(collection.name, methods, shots, records), "Means over tasks."),
        f"<h2>Ranks, K = {best}</h2>",
        _ranks(records, best),
        f"<h2>Cost and quality, K = {best}</h2>",
        _figure(_costs(methods, records, best), "Above and to the left is better."),
        f"<h2>Every task, K = {best}</h2>",
        _figure(
            _tasks(methods, records, best), "A point is a task; lines are medians."
        ),
        "<h2>All figures, notes and the leak audit</h2>",
        f"<pre>{escape(chr(10).join(lines))}</pre>",
    ]
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(collection.name)}</title><style>{STYLE}</style></head>\n<body>"
        + "\n".join(parts)
        + f"<script>{SCRIPT}</script></body></html>\n"
    )
    with open(path, "w", encoding="utf-8") as file:
        file.write(page)


def _table(k, methods, summaries, rates, records):
    names = ["method"]
    for label in METRICS.values():
        names += [label, "95 %", "rank", "wins", "losses"]
        if label == METRICS["auroc"]:
            names += ["worse", "p", "p (Holm)", "false alarms", "nominal"]
    head = "".join(f'<th scope="col"><button>{name}</button></th>' for name in names)
    rows = []
    for method in methods:
        if (method.name, k) not in summaries["auroc"]:
            continue
        rate = rates.get((method.name, k))
        cells = [f'<td data-value="{escape(method.name)}">{escape(method.name)}</td>']
        for metric in METRICS:
            found = summaries[metric][method.name, k]
            cells += [
                _cell(found.mean, ".3f"),
                _cell(found.low, ".3f", found.high),
                _cell(found.rank, ".1f"),
                _cell(found.wins, "d"),
                _cell(found.losses, "d"),
            ]
            if metric == "auroc":
                cells += [
                    _cell(found.negative_transfer, ".2f"),
                    _cell(found.p, ".2g"),
                    _cell(found.p_holm, ".2g"),
                    _cell(rate.mean if rate else np.nan, ".3f"),
                    _cell(rate.contamination if rate else np.nan, "g"),
                ]
        mark = ' class="knn"' if method.name == KNN else ""
        mean = summaries["auroc"][method.name, k].mean
        rows.append((-mean, f"<tr{mark}>{''.join(cells)}</tr>"))
    body = "".join(row for _, row in sorted(rows, key=lambda pair: pair[0]))
    return (
        f'<h3>K = {k}</h3><div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div><p>{friedman_line(records, k)}</p>"
    )


def _cell(value, form, end=None):
    """Return a cell that sorts by value, last where there is none."""
    if not np.isfinite(value):
        return '<td data-value="Infinity">-</td>'
    text = format(value, form) if end is None else f"{value:{form}}-{end:{form}}"
    return f'<td data-value="{value}">{text}</td>'


def _ranks(records, k):
    scores = {
        m: v for (m, shots), v in per_task(records, "auroc").items() if shots == k
    }
    most = max(len(tasks) for tasks in scores.values())
    full = {m: tasks for m, tasks in scores.items() if len(tasks) == most}
    if len(full) < 2 or most < 2:
        return "<p>Too few tasks or methods to rank.</p>"
    order = sorted(next(iter(full.values())))
    table = {m: np.round([tasks[t] for t in order], 9) for m, tasks in full.items()}
    figure = _new(10, 1.5 + 0.3 * len(table))
    drawn = CriticalDifferenceDisplay.from_predictions(table, ax=figure.subplots())
    p = drawn.friedman_p_
    return _figure(
        figure,
        f"Mean ranks by AUROC over {most} tasks. Bars join methods that Wilcoxon's "
        "signed-rank test with Holm's correction does not tell apart at 5 %. "
        f"Friedman's test: p = {p:.2g}.",
    )


def _costs(methods, records, k):
    figure = _new(8, 5)
    axes = figure.subplots()
    for method in methods:
        own = [r for r in records if r.method == method.name and r.shots == k]
        if own:
            cost = 1000 * np.mean([r.adapt_seconds + r.score_seconds for r in own])
            quality = np.mean([r.auroc for r in own])
            axes.scatter(cost, quality, marker="o" if method.cls else "x", color="C0")
            axes.annotate(
                method.name, (cost, quality), xytext=(5, 3), textcoords="offset points"
            )
    axes.set_xscale("log")
    axes.set(xlabel="adapt or fit, and score (ms per task)", ylabel="AUROC")
    axes.margins(x=0.25)
    return figure


def _tasks(methods, records, k):
    found = per_task(records, "auroc")
    names = [m.name for m in methods if (m.name, k) in found]
    names.sort(key=lambda name: np.median(list(found[name, k].values())))
    figure = _new(8, 1 + 0.35 * len(names))
    axes = figure.subplots()
    for place, name in enumerate(names):
        values = np.array(list(found[name, k].values()))
        shift = np.linspace(-0.25, 0.25, len(values))
        axes.scatter(values, place + shift, s=8, alpha=0.6, color="C0")
        axes.vlines(np.median(values), place - 0.35, place + 0.35, color="black")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("AUROC")
    return figure


def _new(width, height):
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _figure(figure, caption):
    text = io.StringIO()
    # No date: the same results give the same page.
    figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    picture = svg[svg.index("<svg") :].replace("<svg", '<svg role="img"', 1)
    return f"<figure>{picture}<figcaption>{escape(caption)}</figcaption></figure>"
