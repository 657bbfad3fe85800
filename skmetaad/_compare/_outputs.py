"""The CSV file and the plot."""

import csv
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np

from skmetaad._compare._baselines import KNN
from skmetaad._compare._cache import versions
from skmetaad._compare._data import InputError
from skmetaad._compare._run import Record
from skmetaad._compare._summary import FLAGGING, METRICS, Rate, friedman

STATISTICS = ("low", "high", "rank", "wins", "ties", "losses")
STATISTICS += ("negative_transfer", "p", "p_holm")
NO_RATE = Rate(*[np.nan] * 4)


def check_writable(option, path):
    """Fail before the run rather than after it."""
    if path is None:
        return
    path = Path(path)
    if not path.parent.is_dir():
        raise InputError(f"{option} {path}: no such directory: {path.parent}.")
    if path.is_dir():
        raise InputError(f"{option} {path}: is a directory, expected a file.")
    is_new = not path.exists()
    try:
        with path.open("a"):
            pass
    except OSError as error:
        raise InputError(
            f"{option} {path}: cannot be written: {error.strerror}."
        ) from error
    if is_new:
        path.unlink()


def check_plot(path):
    check_writable("--plot", path)
    if path is None:
        return
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError(
            f"--plot needs matplotlib ({error}): install skmetaad[benchmarks]."
        ) from error

    known = Figure().canvas.get_supported_filetypes()
    if Path(path).suffix.lstrip(".").lower() not in known:
        raise InputError(
            f"--plot {path}: unknown kind of file: expected an ending out of "
            f"{', '.join(sorted(known))}."
        )


def write_csv(path, records):
    made_with = " ".join(f"{name}={v}" for name, v in versions().items())
    names = [*(field.name for field in fields(Record)), "versions"]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(asdict(r) | {"versions": made_with} for r in records)


def write_summary(path, results):
    """Write one row per method and K, with the statistics over tasks."""
    summaries = results.summaries
    shots = {k for _, k in summaries["auroc"]}
    p = {(m, k): friedman(results.records, m, k)[0] for m in METRICS for k in shots}
    rows = []
    for method, k in summaries["auroc"]:
        row = {"method": method, "shots": k}
        row["n_tasks"] = summaries["auroc"][method, k].n_tasks
        for metric in METRICS:
            found = summaries[metric][method, k]
            row[metric] = found.mean
            row |= {f"{metric}_{name}": getattr(found, name) for name in STATISTICS}
            row[f"{metric}_friedman_p"] = p[metric, k]
        none = dict.fromkeys(FLAGGING, np.nan)
        row |= results.flags.get((method, k), none)
        rate = results.rates.get((method, k), NO_RATE)
        row["false_alarm_rate"] = rate.mean
        row["false_alarm_rate_low"] = rate.low
        row["false_alarm_rate_high"] = rate.high
        row["contamination"] = rate.contamination
        rows.append(row)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else [])
        writer.writeheader()
        writer.writerows(rows)


def curves(title, methods, shots, summaries):
    """Return a figure of the mean of each metric over K, with its interval."""
    # Figure without pyplot: no window, and the user's backend is left alone.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    panels = figure.subplots(1, len(METRICS), sharex=True)
    place = np.arange(len(shots), dtype=float)
    shift = np.linspace(-0.18, 0.18, len(methods)) if len(methods) > 1 else [0.0]
    for axes, (metric, label) in zip(panels, METRICS.items(), strict=True):
        found = summaries[metric]
        for number, method in enumerate(methods):
            known = [i for i, k in enumerate(shots) if (method.name, k) in found]
            if not known:
                continue
            drawn = [found[method.name, shots[i]] for i in known]
            mean, low, high = np.array([(s.mean, s.low, s.high) for s in drawn]).T
            error = np.nan_to_num([mean - low, high - mean])
            axes.errorbar(
                place[known] + shift[number],
                mean,
                yerr=np.maximum(error, 0.0),
                label=method.name,
                color="black" if method.name == KNN else f"C{number % 10}",
                linestyle="-" if method.cls else "--",
                linewidth=2.0 if method.cls or method.name == KNN else 1.0,
                marker="o" if method.cls else ".",
                capsize=2,
            )
        axes.set_xticks(place, [str(k) for k in shots])
        axes.set_xlabel("support rows K")
        axes.set_ylabel(f"{label}, mean over tasks, 95 % interval")
    panels[0].set_title(title, loc="left")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize="small")
    return figure
