"""The report as one HTML page that needs nothing else."""

from html import escape

import numpy as np

from skmetaad._compare import _charts
from skmetaad._compare._baselines import KNN
from skmetaad._compare._page_parts import SCRIPT, STYLE
from skmetaad._compare._report import LEGEND, friedman_line
from skmetaad._compare._summary import (
    FLAGGING,
    METRICS,
    costs,
    on_all_tasks,
    per_task,
)
from skmetaad.inspection import CriticalDifferenceDisplay

# How many curves are in colour at first, beside that of k-NN.
PICKED_OURS, PICKED_OTHERS = 3, 2


def write_page(path, title, command, methods, shots, results, report):
    """Write tables that sort, curves, ranks, costs, single tasks, and all remarks."""
    ran = {record.method for record in results.records}
    page = _Page([m for m in methods if m.name in ran], shots, results)
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<pre class="command">{escape(command)}</pre>',
        _list(report.facts),
        "<nav>"
        + "".join(f'<a href="#k{k}">K = {k}</a>' for k in shots)
        + '<a href="#cost">Cost</a><a href="#notes">Notes</a></nav>',
        "<h2>Scores and support rows</h2>",
        page.curves(),
        *(page.section(k) for k in shots),
        '<h2 id="cost">Cost</h2>',
        page.cost_table(),
        '<h2 id="notes">Notes</h2>',
        _list([*LEGEND, *report.notes]),
        "<details><summary>The tables as text</summary>",
        f"<pre>{escape(chr(10).join(report.tables))}</pre></details>",
    ]
    text = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>"
        + "\n".join(parts)
        + f"<script>{SCRIPT}</script></body></html>\n"
    )
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


class _Page:
    """The parts of the page that show results."""

    def __init__(self, methods, shots, results):
        self.names = [m.name for m in methods]
        self.ours = {m.name for m in methods if m.cls}
        self.shots, self.results = shots, results
        self.summaries = results.summaries
        self.tasks = per_task(results.records, "auroc")
        self.picked = self._picked()
        # Neighbours in this order have colours of their own.
        self.names.sort(key=lambda name: name not in self.picked)

    def _picked(self):
        found = self.summaries["auroc"]
        means = {
            name: [s.mean for (m, _), s in found.items() if m == name]
            for name in self.names
        }
        order = {name: (-len(own), -np.mean(own)) for name, own in means.items()}
        best = sorted((n for n in self.names if n != KNN), key=order.get)
        ours = [name for name in best if name in self.ours][:PICKED_OURS]
        others = [name for name in best if name not in self.ours][:PICKED_OTHERS]
        return {KNN, *ours, *others}

    def curves(self):
        keys = "".join(
            f'<button class="key c{number % _charts.COLOURS}" '
            f'aria-pressed="{str(name in self.picked).lower()}" '
            f'data-method="{number}">{escape(_charts.short(name))}</button>'
            for number, name in enumerate(self.names)
        )
        panels = "".join(
            _figure(
                _charts.curves(
                    self.names,
                    self.shots,
                    self.summaries[metric],
                    label,
                    self.picked,
                    self.ours,
                ),
                f"{label}, mean over tasks with its 95 % interval.",
            )
            for metric, label in METRICS.items()
        )
        return (
            f'<div class="charts">{panels}</div><div class="keys">{keys}</div>'
            '<p class="small">Press a name to colour its curve. Solid lines: our '
            "detectors.</p>"
        )

    def section(self, k):
        """Return the tables and the charts of one K."""
        there = [n for n in self.names if (n, k) in self.summaries["auroc"]]
        there.sort(key=lambda name: -self.summaries["auroc"][name, k].mean)
        points, spent = {}, [r for r in self.results.records if r.shots == k]
        for name, (_, adapt, score) in costs(spent).items():
            cost = 1000 * (adapt + score)
            points[name] = cost, self.summaries["auroc"][name, k].mean
        tasks = {name: list(self.tasks[name, k].values()) for name in there}
        charts = [
            _figure(_charts.strips(tasks, KNN), "AUROC of every task, and the median."),
            _figure(
                _charts.costs(points, KNN, self.ours),
                "AUROC against the time to adapt (or fit) and score one task: above "
                "and to the left is better. Large points: our detectors.",
            ),
        ]
        return (
            f'<h2 id="k{k}">K = {k}</h2><h3>Ranking rows</h3>{self._ranking(k, there)}'
            f'<p class="small">{friedman_line(self.results.records, k)}</p>'
            f"<h3>At the detectors' own thresholds</h3>{self._thresholds(k, there)}"
            f'<div class="charts">{self._ranks(k)}{"".join(charts)}</div>'
        )

    def _ranking(self, k, there):
        head = ["method", METRICS["auroc"], "95 %", "rank", "wins", "losses", "worse"]
        head += ["p", "p (Holm)", METRICS["average_precision"], "95 %", "rank"]
        rows = []
        for name in there:
            found, other = (self.summaries[metric][name, k] for metric in METRICS)
            cells = [
                *(_cell(found.mean, ".3f"), _cell(found.low, ".3f", found.high)),
                *(_cell(found.rank, ".1f"), _cell(found.wins), _cell(found.losses)),
                *(_cell(found.negative_transfer, ".2f"), _cell(found.p, ".2g")),
                *(_cell(found.p_holm, ".2g"), _cell(other.mean, ".3f")),
                *(_cell(other.low, ".3f", other.high), _cell(other.rank, ".1f")),
            ]
            rows.append((name, cells))
        return _table(head, rows)

    def _thresholds(self, k, there):
        head = ["method", *FLAGGING.values(), "false alarms", "95 %", "nominal"]
        rows = []
        for name in there:
            if (name, k) not in self.results.rates:
                continue
            rate, flags = self.results.rates[name, k], self.results.flags[name, k]
            cells = [_cell(flags[metric], ".3f") for metric in FLAGGING]
            cells += [_cell(rate.mean, ".3f"), _cell(rate.low, ".3f", rate.high)]
            rows.append((name, [*cells, _cell(rate.contamination, "g")]))
        return _table(head, rows)

    def _ranks(self, k):
        scores = {name: v for (name, shots), v in self.tasks.items() if shots == k}
        names, table = on_all_tasks(scores)
        if len(names) < 2 or table.shape[1] < 2:
            return "<p>Too few tasks or methods to rank.</p>"
        display = CriticalDifferenceDisplay(dict(zip(names, table, strict=True)))
        n_tasks = table.shape[1]
        text = (
            f"Critical differences: mean ranks by AUROC over {n_tasks} tasks. Bars at "
            "the right join methods that Wilcoxon's signed-rank test with Holm's "
            "correction does not tell apart at 5 %."
        )
        if 2.0 ** (1 - n_tasks) * len(display.p_values_) > display.alpha:
            text += (
                f" With {len(names)} methods, {n_tasks} tasks cannot tell any two "
                "apart: compare fewer methods, or on more tasks."
            )
        return _figure(_charts.ranks(display, KNN), text)

    def cost_table(self):
        head = ["method", "meta-train (s)", "adapt or fit (ms/task)", "score (ms/task)"]
        rows = []
        for name, (fit, adapt, score) in costs(self.results.records).items():
            cells = [_cell(fit if name in self.ours else np.nan, ".1f")]
            cells += [_cell(1000 * adapt, ".1f"), _cell(1000 * score, ".1f")]
            rows.append((name, cells))
        return _table(head, rows)


def _table(head, rows):
    """Return a table that sorts; rows: [(method, cells after its name)]."""
    names = "".join(f'<th scope="col"><button>{name}</button></th>' for name in head)
    body = "".join(
        f'<tr{" class=knn" * (name == KNN)}><td data-value="{escape(name)}">'
        f"{escape(name)}</td>{''.join(cells)}</tr>"
        for name, cells in rows
    )
    return (
        f'<div class="wide"><table><thead><tr>{names}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(value, form="d", end=None):
    """Return a cell that sorts by value, last where there is none."""
    if not np.isfinite(value):
        return '<td data-value="">-</td>'
    text = format(value, form) if end is None else f"{value:{form}}-{end:{form}}"
    return f'<td data-value="{value}">{text}</td>'


def _list(lines):
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def _figure(svg, caption):
    return f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"
