"""The `compare` command: options, and what runs in which order."""

import argparse
import shlex
import sys

from skmetaad._compare._audit import audit
from skmetaad._compare._cache import Cache
from skmetaad._compare._data import InputError
from skmetaad._compare._images import digits
from skmetaad._compare._methods import check_pyod, select
from skmetaad._compare._outputs import (
    check_plot,
    check_writable,
    curves,
    write_csv,
    write_summary,
)
from skmetaad._compare._page import write_page
from skmetaad._compare._progress import Progress
from skmetaad._compare._report import report
from skmetaad._compare._run import run
from skmetaad._compare._series import SERIES
from skmetaad._compare._summary import Results

PROGRAM = "python -m skmetaad"
DESCRIPTION = """\
Meta-train every detector on training tasks, adapt it to held-out tasks with K support
rows, and rank the tasks' other rows. PyOD's detectors are fitted on the very same rows.

A directory holds one npz file per task: X_train, X_test, y_test (the support comes from
X_train, the query from X_test), or X, y, or value, label (support and query come from
the same rows); labels are 0 (normal) and 1 (anomaly). Tasks with another number of
columns form another group. A directory with background.npz and test.npz that hold X,
class_id and alphabet is read as Omniglot.
"""


def add_parser(commands):
    """Add the command's options."""
    parser = commands.add_parser(
        "compare",
        help="compare detectors with PyOD's on held-out tasks",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--tasks",
        default="digits",
        metavar="DIRECTORY",
        help="'digits' (default) or a directory of npz files",
    )
    add(
        "--detectors",
        type=_names,
        metavar="A,B",
        help="names to compare, 'ours' or 'pyod' for all of a kind (default: all); "
        "KNN is always among them",
    )
    add(
        "--shots",
        type=_shots,
        default=(1, 5, 10, 50),
        metavar="K,K",
        help="numbers of support rows (default: 1,5,10,50)",
    )
    add(
        "--outliers",
        type=_natural,
        default=0,
        metavar="N",
        help="labelled outliers beside the K support rows; PyOD's detectors take no "
        "labels and are fitted without them (default: 0)",
    )
    add(
        "--contamination",
        type=_share,
        default=0.0,
        metavar="SHARE",
        help="share of the K support rows, rounded to whole rows, that are outliers "
        "which no method is told of (default: 0)",
    )
    add(
        "--consecutive",
        action="store_true",
        help="series: the K support rows follow each other, as the first rows of a new "
        "task do, somewhere in its train part (default: drawn from all of it)",
    )
    add(
        "--seeds",
        type=_positive,
        default=3,
        metavar="N",
        help="draws of the support, and trainings (default: 3)",
    )
    add(
        "--seed",
        type=_natural,
        default=0,
        metavar="N",
        help="the first seed (default: 0)",
    )
    add(
        "--folds",
        type=_from_two,
        metavar="N",
        help="parts of the tasks held out in turn (default: 2 for digits, else 4)",
    )
    add(
        "--related",
        metavar="PATTERN",
        help="tasks in whose names this regular expression finds the same text are "
        "held out together, such as 'machine-[0-9]+'",
    )
    add(
        "--max-query",
        type=_from_two,
        default=2000,
        metavar="N",
        help="query rows per task at most; outliers fill up to half (default: 2000)",
    )
    add(
        "--max-tasks",
        type=_positive,
        metavar="N",
        help="held-out tasks at most (default: 200 for Omniglot, else all)",
    )
    add(
        "--window",
        type=_window,
        metavar="WIDTH[:STEP]",
        help="score sliding windows of series; one outlier makes a window an outlier",
    )
    add(
        "--hard",
        action="store_true",
        help="Omniglot: outliers come from the same alphabet",
    )
    add(
        "--set",
        action="append",
        default=[],
        metavar="PARAM=VALUE",
        dest="settings",
        help="set a parameter of our detectors that have it, or of one of them as "
        "DETECTOR.PARAM=VALUE; may be repeated",
    )
    add(
        "--n-jobs",
        type=_jobs,
        default=-1,
        metavar="N",
        help="processes (default: -1, one per core)",
    )
    add("--csv", metavar="FILE", help="write all results, one row per task, K and seed")
    add(
        "--summary",
        metavar="FILE",
        help="write means, tests and false alarms, one row per detector and K",
    )
    add("--plot", metavar="FILE", help="draw the curves over K")
    add("--html", metavar="FILE", help="write the report as one page")
    add(
        "--cache",
        metavar="DIRECTORY",
        help="keep finished runs here; the same command goes on where it was stopped",
    )
    add("--quiet", action="store_true", help="no progress on stderr")
    parser.set_defaults(command=compare)


def compare(options):
    """Run the comparison and print the report; return the exit code."""
    check_pyod()
    check_writable("--csv", options.csv)
    check_writable("--summary", options.summary)
    check_plot(options.plot)
    check_writable("--html", options.html)
    methods = select(options.detectors, options.settings)
    collection = _collection(options)
    if options.consecutive:
        collection = collection.with_consecutive()
    collection = collection.with_outliers(options.outliers, options.contamination)
    if options.detectors is None and not collection.in_order:
        methods = [method for method in methods if method.name not in SERIES]
    seeds = range(options.seed, options.seed + options.seeds)
    shots = _usable(options.shots, collection, seeds, options.max_query)
    overlap = audit(collection, shots, seeds, options.max_query)
    cache = _cache(options, collection.name, shots)
    n_runs = len(methods) * len(collection.folds) * len(seeds)
    progress = Progress(n_runs, sys.stderr, options.quiet)
    try:
        records, failures = run(
            collection,
            methods,
            shots,
            seeds,
            max_query=options.max_query,
            n_jobs=options.n_jobs,
            on_done=progress,
            cache=cache,
        )
    finally:
        progress.close()
    results = Results(records)
    found = report(
        collection, methods, shots, seeds, results, failures, overlap, options.max_query
    )
    try:
        if not records and (options.plot or options.html):
            raise InputError("no method ran on any task: there is nothing to draw.")
        if options.csv:
            write_csv(options.csv, records)
        if options.summary:
            write_summary(options.summary, results)
        if options.plot:
            figure = curves(collection.name, methods, shots, results.summaries)
            figure.savefig(options.plot, dpi=150)
        if options.html:
            command = f"{PROGRAM} {shlex.join(options.given)}"
            title = f"{collection.name}: detectors from a few rows"
            write_page(options.html, title, command, methods, shots, results, found)
    except OSError as error:
        raise InputError(f"the results could not be written: {error}") from error
    finally:  # after the files, since whoever reads may close the pipe
        print("\n".join(found.lines()), flush=True)
    ran = {record.method for record in records}
    return 0 if all(method.name in ran for method in methods if method.cls) else 1


def _cache(options, *common):
    if options.cache is None:
        return None
    try:
        return Cache(options.cache, *common, options.max_query)
    except OSError as error:
        raise InputError(f"--cache {options.cache}: {error}") from error


def _collection(options):
    if options.tasks == "digits":
        for name in ("window", "hard", "related"):
            if getattr(options, name):
                raise InputError(f"--{name} does not go with --tasks digits.")
        return digits(
            n_folds=2 if options.folds is None else options.folds,
            max_tasks=options.max_tasks,
            seed=options.seed,
        )
    from skmetaad._compare._folders import UNREADABLE, load

    try:
        return load(
            options.tasks,
            n_folds=options.folds,
            max_tasks=options.max_tasks,
            seed=options.seed,
            window=options.window,
            hard=options.hard,
            related=options.related,
        )
    except InputError:
        raise
    except UNREADABLE as error:
        raise InputError(f"--tasks {options.tasks}: {error}") from error


def _usable(shots, collection, seeds, max_query):
    """Drop each K that no task has rows for; fail when none is left."""
    largest = max((task.max_support for task in collection.held_out), default=0)
    if not largest:
        raise InputError(
            f"{collection.name} has no held-out task with both inliers and outliers."
        )
    left = [
        k
        for k in shots
        if any(
            next(fold.drawn(k, seed, max_query), None)
            for fold in collection.folds
            for seed in seeds
        )
    ]
    dropped = [k for k in shots if k not in left]
    if not left:
        raise InputError(
            f"--shots {','.join(map(str, shots))}: too many support rows for every "
            f"task: expected at most {largest} for {collection.name}."
        )
    if dropped:
        collection.notes.append(
            f"K = {', '.join(map(str, dropped))} is left out: no task has more than "
            f"{largest} rows for the support."
        )
    return left


def _names(text):
    return [name for name in text.split(",") if name.strip()]


def _shots(text):
    return tuple(dict.fromkeys(sorted(_positive(k) for k in text.split(","))))


def _number(least, words):
    def parse(text):
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"{text!r}: expected {words}")
        return value

    return parse


_positive = _number(1, "a whole number from 1")
_natural = _number(0, "a whole number from 0")
_from_two = _number(2, "a whole number from 2")


def _share(text):
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a share from 0, below 1")
    return value


def _jobs(text):
    value = _number(-(10**9), "a whole number other than 0")(text)
    if value == 0:
        raise argparse.ArgumentTypeError("'0': expected a whole number other than 0")
    return value


def _window(text):
    width, _, step = text.partition(":")
    return _positive(width), _positive(step or "1")
