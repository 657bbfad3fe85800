"""Tables of plain text."""

from dataclasses import dataclass

import numpy as np

from skmetaad._compare._baselines import KNN, REMARKS
from skmetaad._compare._cache import versions
from skmetaad._compare._summary import (
    FLAGGING,
    METRICS,
    MIN_TASKS,
    costs,
    friedman,
)

MARK = ">"


def table(rows, header):
    """Align cells: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = []
    for row in [header, ["-" * width for width in widths], *rows]:
        first, *rest = zip(row, widths, strict=True)
        cells = [first[0].ljust(first[1]), *(cell.rjust(w) for cell, w in rest)]
        lines.append("  ".join(cells).rstrip())
    return lines


LEGEND = (
    f"{MARK} k-NN, the bar to clear. Intervals: 95 %, bootstrap over tasks (each the "
    "mean over seeds).",
    "rank: mean rank over tasks, 1 = best. W-T-L: tasks won, tied and lost against "
    "k-NN. AP: average precision, outliers positive.",
    "worse: share of tasks with an AUROC below that of k-NN (negative transfer).",
    "p: Wilcoxon's signed-rank test against k-NN, and after Holm's correction for all "
    f"methods at this K; '-' on fewer than {MIN_TASKS} tasks.",
    "own threshold: accuracy, balanced accuracy (the mean of recall and the share of "
    "inliers left alone), precision,",
    "recall and F1, outliers positive. All but the balanced one depend on the share of "
    "outliers: where it is",
    "high, flagging every row looks good.",
    "false alarms: share of the query's inliers flagged; nominal: the share that the "
    "threshold aims at.",
)


@dataclass(frozen=True)
class Report:
    """What was compared, the tables, what they mean, and remarks on methods."""

    facts: list
    tables: list
    notes: list

    def lines(self):
        return [*self.facts, "", *self.tables, "", *LEGEND, *self.notes]


def report(collection, methods, shots, seeds, results, failures, audit, max_query):
    """Return the `Report` that the command prints."""
    notes, lines = _Notes(), []
    records, summaries = results.records, results.summaries
    for k in shots:
        ordered = _ordered(k, methods, summaries["auroc"])
        lines += [*_at(k, ordered, summaries, failures, notes), ""]
        lines += [*_tests(k, ordered, summaries["auroc"])]
        lines += [friedman_line(records, k), ""]
        lines += [*_flagging(k, ordered, results), ""]
    lines += _timing(methods, records)
    facts = _head(collection, shots, seeds, records, max_query)
    facts += audit.lines()
    facts.append(f"Versions: {', '.join(f'{n} {v}' for n, v in versions().items())}.")
    return Report(facts, lines, notes.lines())


def _head(collection, shots, seeds, records, max_query):
    n_tasks = len(collection.held_out)
    n_folds = len(collection.folds)
    trained = sorted({len(fold.train) for fold in collection.folds})
    trained = f"{trained[0]} to {trained[-1]}" if len(trained) > 1 else f"{trained[0]}"
    lines = [
        f"Collection {collection.name}: {n_tasks} held-out tasks in {n_folds} "
        f"fold{'s' if n_folds > 1 else ''}, trained on {trained} other tasks, "
        f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}, at most {max_query} query "
        "rows per task.",
    ]
    lines += [f"Note: {note}" for note in collection.notes]
    for k in shots:
        n = len({(r.fold, r.task) for r in records if r.shots == k})
        if n < n_tasks:
            lines.append(
                f"Note: K = {k} on {n} of {n_tasks} tasks: the others have too few "
                "rows."
            )
    return lines


def _ordered(k, methods, summaries):
    found = {m.name: summaries.get((m.name, k)) for m in methods}
    last = {name: -one.mean if one else np.inf for name, one in found.items()}
    return sorted(methods, key=lambda m: last[m.name])


def _at(k, methods, summaries, failures, notes):
    header = [f"K = {k}"]
    for metric in METRICS.values():
        header += [metric, "95 %", "rank", "W-T-L"]
    rows = []
    for method in methods:
        name = method.name
        signs = [notes.sign(REMARKS[name])] if name in REMARKS else []
        signs += _failed(name, k, failures, summaries, notes)
        row = [f"{_mark(name)} {name}{''.join(f' [{sign}]' for sign in signs)}"]
        for metric in METRICS:
            row += _cells(summaries[metric].get((name, k)), name)
        rows.append(row)
    return table(rows, header)


def _cells(summary, name):
    if summary is None:
        return ["-", "-", "-", "-"]
    interval = f"{summary.low:.3f}-{summary.high:.3f}"
    record = f"{summary.wins}-{summary.ties}-{summary.losses}"
    return [
        f"{summary.mean:.3f}",
        interval if summary.n_tasks > 1 else "-",
        f"{summary.rank:.1f}" if np.isfinite(summary.rank) else "-",
        "" if name == KNN else record,
    ]


def _mark(name):
    return MARK if name == KNN else " "


def _tests(k, methods, summaries):
    header = [f"K = {k}, AUROC beside k-NN", "worse", "p", "p (Holm)"]
    rows = []
    for method in methods:
        found = summaries.get((method.name, k))
        if found is None or method.name == KNN:
            continue
        row = [
            _number(found.negative_transfer, ".2f"),
            _number(found.p, ".2g"),
            _number(found.p_holm, ".2g"),
        ]
        rows.append([f"  {method.name}", *row])
    return table(rows, header)


def _flagging(k, methods, results):
    header = [f"K = {k}, own threshold", *FLAGGING.values()]
    header += ["false alarms", "95 %", "nominal"]
    rows = []
    for method in methods:
        rate = results.rates.get((method.name, k))
        if rate is None:
            continue
        row = [f"{_mark(method.name)} {method.name}"]
        row += [f"{results.flags[method.name, k][metric]:.3f}" for metric in FLAGGING]
        row += [
            f"{rate.mean:.3f}",
            f"{rate.low:.3f}-{rate.high:.3f}" if np.isfinite(rate.low) else "-",
            f"{rate.contamination:g}",
        ]
        rows.append(row)
    return table(rows, header)


def _number(value, form):
    return format(value, form) if np.isfinite(value) else "-"


def friedman_line(records, k):
    """Return a line with Friedman's test at one K."""
    p, n_methods, n_tasks = friedman(records, "auroc", k)
    tasks = f"{n_tasks} task{'' if n_tasks == 1 else 's'}"
    start = f"Friedman's test of {n_methods} methods over {tasks}, K = {k}"
    if np.isnan(p):
        return f"{start}: -, it takes three methods and two tasks."
    return f"{start}: p = {p:.2g}."


def _failed(name, k, failures, summaries, notes):
    own = [f for f in failures if f.method == name and f.shots == k]
    by_reason = {}
    for failure in own:
        reason = _short(failure.reason)
        by_reason.setdefault(reason, set()).add(failure.task)
    signs = []
    for reason, tasks in by_reason.items():
        named = sorted(task for task in tasks if task is not None)
        if named and (name, k) in summaries["auroc"]:
            reason = (
                f"did not run on {len(named)} task(s), such as {named[0]}: {reason}"
            )
        signs.append(notes.sign(f"{reason}."))
    return signs


def _short(text):
    text = " ".join(text.split()).rstrip(".")
    return text if len(text) <= 200 else f"{text[:197]}..."


def _timing(methods, records):
    rows, found = [], costs(records)
    for method in methods:
        if method.name in found:
            fit, adapt, score = found[method.name]
            cells = [f"{fit:.1f}" if method.cls else "-"]
            cells += [f"{1000 * adapt:.1f}", f"{1000 * score:.1f}"]
            rows.append([f"  {method.name}", *cells])
    header = ["Time", "meta-train (s)", "adapt or fit (ms/task)", "score (ms/task)"]
    return table(rows, header)


class _Notes:
    """Numbered footnotes, each text once."""

    def __init__(self):
        self.texts = []

    def sign(self, text):
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text) + 1

    def lines(self):
        return [f"[{i}] {text}" for i, text in enumerate(self.texts, 1)]
