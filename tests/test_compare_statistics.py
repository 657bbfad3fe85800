"""What the comparison says about tasks: tests against k-NN, and false alarms."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import friedmanchisquare, wilcoxon
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    precision_score,
    recall_score,
)

pytest.importorskip("pyod", reason="the comparison needs PyOD")

from _comparing import compare, load_folder, rows_of, save_split

from skmetaad._compare._baselines import make_pyod
from skmetaad._compare._methods import Method, select
from skmetaad._compare._page import _Page
from skmetaad._compare._run import Record, run
from skmetaad._compare._summary import (
    FLAGGING,
    Results,
    against_knn,
    false_alarms,
    flagging,
    friedman,
    summarize,
)
from skmetaad.inspection._significance import friedman_p, holm, signed_rank_p

TASKS = [f"task {i}" for i in range(8)]
BASE = np.array([0.5, 0.6, 0.7, 0.8, 0.55, 0.65, 0.75, 0.85])
GAIN = np.array([0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, -0.08])


def records_of(scores, rates=0.1, contamination=0.1, shots=5):
    """Make one record per method and task; scores: {method: AUROC of each task}."""
    return [
        Record(
            *("c", "1", task, method, shots, 0, auroc, 0.5),
            *(0.8, 0.7, 0.6, 0.5, 0.55),
            *(rate, contamination, 0.0, 0.0, 0.0),
        )
        for method, values in scores.items()
        for task, auroc, rate in zip(
            TASKS, values, np.broadcast_to(rates, len(TASKS)), strict=False
        )
    ]


def table_of(scores):
    return {
        (method, 5): dict(zip(TASKS, values, strict=False))
        for method, values in scores.items()
    }


# ------------------------------------------------------------------------------- tests


def test_wilcoxon_against_knn_by_hand():
    # All 2^6 signs are as likely: six wins, or six losses, have p = 2 / 64.
    scores = {"KNN": BASE[:6], "A": BASE[:6] + GAIN[:6], "B": BASE[:6] - GAIN[:6]}
    found = against_knn(table_of(scores))
    assert found["A", 5] == pytest.approx((2 / 64, 4 / 64))
    assert found["B", 5] == pytest.approx((2 / 64, 4 / 64))
    assert np.isnan(found["KNN", 5]).all()


def test_wilcoxon_is_scipys_and_holm_steps_down():
    scores = {"KNN": BASE, "A": BASE + 0.1 * BASE, "B": BASE + GAIN, "C": BASE}
    found = against_knn(table_of(scores))
    p = [wilcoxon(0.1 * BASE).pvalue, wilcoxon(GAIN).pvalue, 1.0]
    assert [found[name, 5][0] for name in "ABC"] == pytest.approx(p)
    assert [found[name, 5][1] for name in "ABC"] == pytest.approx(
        [3 * p[0], min(1, max(3 * p[0], 2 * p[1])), 1.0]
    )


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_ties_with_knn_on_some_tasks_or_all():
    some = np.where(np.arange(8) < 6, GAIN, 1e-12)
    found = against_knn(table_of({"KNN": BASE, "A": BASE + some, "B": BASE}))
    ties = np.where(np.arange(8) < 6, GAIN, 0.0)
    assert found["A", 5][0] == pytest.approx(wilcoxon(ties).pvalue)
    assert found["B", 5] == (1.0, 1.0)
    assert signed_rank_p(np.zeros(0)) == 1.0


@pytest.mark.parametrize("n_tasks", [1, 2, 5])
def test_too_few_tasks_for_a_test(n_tasks):
    scores = {"KNN": BASE[:n_tasks], "A": BASE[:n_tasks] + 0.1}
    assert np.isnan(against_knn(table_of(scores))["A", 5]).all()


def test_a_method_is_compared_on_the_tasks_that_both_have():
    scores = {"KNN": BASE, "A": (BASE + GAIN)[:7], "B": BASE[:3]}
    found = against_knn(table_of(scores))
    assert found["A", 5] == pytest.approx((2 / 128, 2 / 128))
    assert np.isnan(found["B", 5]).all()
    without = against_knn(table_of({"A": BASE, "B": BASE}))
    assert np.isnan(list(without.values())).all()


def test_friedman_is_scipys_over_the_methods_that_have_all_tasks():
    rng = np.random.default_rng(0)
    scores = {name: rng.random(8).round(1) for name in ("KNN", "A", "B")}
    records = records_of({**scores, "C": BASE[:4]})
    p, *sizes = friedman(records, "auroc", 5)
    assert p == pytest.approx(friedmanchisquare(*scores.values())[1])
    assert sizes == [3, 8]


def test_the_page_ranks_the_methods_that_have_all_tasks():
    lacking = {("A", "task 0"), ("B", "task 1")}
    records = [
        record
        for record in records_of({"KNN": BASE, "A": BASE + GAIN, "B": BASE, "C": GAIN})
        if (record.method, record.task) not in lacking
    ]
    methods = [Method(name) for name in ("KNN", "A", "B", "C")]
    page = _Page(methods, [5], Results(records))
    assert "mean ranks by AUROC over 8 tasks" in page._ranks(5)
    records = [record for record in records if record.method in "AB"]
    page = _Page([Method("A"), Method("B")], [5], Results(records))
    assert "Too few tasks or methods to rank" in page._ranks(5)


def test_friedman_where_there_is_nothing_to_test():
    assert friedman_p(np.full((3, 4), 0.5)) == 1.0
    assert np.isnan(friedman_p(np.random.default_rng(0).random((2, 9))))
    assert np.isnan(friedman_p([[0.1], [0.2], [0.3]]))
    assert np.isnan(friedman([], "auroc", 5)[0])


def test_negative_transfer_is_the_share_of_tasks_below_knn():
    other = np.array([0.1, 0.1, 0.1, 0.0, 0.0, 0.0, -0.1, -0.1])
    found = summarize(records_of({"KNN": BASE, "A": BASE + other}), "auroc")["A", 5]
    assert (found.wins, found.ties, found.losses) == (3, 3, 2)
    assert found.negative_transfer == 0.25
    alone = summarize(records_of({"A": BASE}), "auroc")["A", 5]
    assert np.isnan(alone.negative_transfer)


# ------------------------------------------------------------------------ false alarms


def test_false_alarms_are_averaged_over_tasks():
    records = records_of({"A": BASE}, rates=np.arange(8) / 10, contamination=0.05)
    records += records_of({"B": BASE}, rates=np.nan, contamination=np.nan)
    found = false_alarms(records)
    assert list(found) == [("A", 5)]
    rate = found["A", 5]
    assert rate.mean == pytest.approx(0.35)
    assert rate.low < 0.35 < rate.high
    assert rate.contamination == 0.05


def test_what_has_no_threshold_is_not_judged_by_one():
    records = records_of({"A": BASE})
    none = dict.fromkeys(FLAGGING, np.nan)
    records += [replace(r, method="B", **none) for r in records]
    assert flagging(records) == {
        ("A", 5): pytest.approx(
            {
                "accuracy": 0.8,
                "balanced_accuracy": 0.7,
                "precision": 0.6,
                "recall": 0.5,
                "f1": 0.55,
            }
        )
    }


def test_flags_and_false_alarms_are_those_of_predict(tmp_path):
    collection = load_folder(save_split(tmp_path / "fleet"))
    methods = select(["MetaSVDD", "KNN", "LOF"], ["n_iter=3", "contamination=0.2"])
    options = dict(max_query=50, n_jobs=1, on_done=lambda *_: None)
    records, failures = run(collection, methods, [8], [0], **options)
    assert not failures
    rates = {(r.method, r.task): r.false_alarm_rate for r in records}
    nominal = {r.method: r.contamination for r in records}
    assert nominal == {"MetaSVDDDetector": 0.2, "KNN": 0.1, "LOF": 0.1}
    for fold in collection.folds:
        detector = methods[0].made(0, fold.in_order).fit(fold.train)
        for task, support, query, y in fold.drawn(8, 0, 50):
            fresh = fold.X[query[y == 1]]
            model = make_pyod("LOF", 8, 0).fit(fold.X[support])
            flagged = model.predict(fold.X[query]) == 1
            record = next(r for r in records if r.method == "LOF" and r.task == task.id)
            assert record.accuracy == accuracy_score(y == -1, flagged)
            assert record.balanced_accuracy == balanced_accuracy_score(y == -1, flagged)
            assert record.precision == precision_score(y == -1, flagged)
            assert record.recall == recall_score(y == -1, flagged)
            assert record.f1 == f1_score(y == -1, flagged)
            ours = detector.adapt(fold.X[support]).predict(fresh) == -1
            assert rates["MetaSVDDDetector", task.id] == pytest.approx(ours.mean())
            for name in ("KNN", "LOF"):
                model = make_pyod(name, 8, 0).fit(fold.X[support])
                assert rates[name, task.id] == model.predict(fresh).mean()


# ----------------------------------------------------------------------- what is shown


def cells_of(block, name):
    return next(
        line.lstrip("> ").split()
        for line in block.splitlines()
        if line.lstrip("> ").startswith(f"{name} ")
    )


def test_a_single_task_has_means_and_no_tests(capsys, tmp_path):
    args = ["--max-tasks", "1", "--shots", "5", "--detectors", "metasvdd,iforest"]
    path = tmp_path / "summary.csv"
    assert compare(*args, "--html", tmp_path / "out.html", "--summary", path) == 0
    out = capsys.readouterr().out
    block = out.split("K = 5, AUROC beside k-NN")[1].split("\n\n")[0].splitlines()
    ours = next(line for line in block if "MetaSVDD" in line).split()
    assert ours[2:4] == ["-", "-"]
    assert block[-1].startswith("Friedman's test of 3 methods over 1 task, K = 5: -")
    assert {row["auroc_p"] for row in rows_of(path)} == {"nan"}


def test_the_summary_file_holds_what_is_printed(capsys, tmp_path):
    path = tmp_path / "summary.csv"
    args = ["--shots", "2,5", "--detectors", "metasvdd,lof", "--summary", path]
    assert compare(*args) == 0
    out = capsys.readouterr().out
    rows = rows_of(path)
    assert len(rows) == 6
    for row in rows:
        name, k = row["method"], row["shots"]
        block = out.split(f"K = {k}, own threshold")[1].split("\n\n")[0]
        cells = cells_of(block, name)
        shown = [f"{float(row[metric]):.3f}" for metric in FLAGGING]
        assert cells[1:7] == [*shown, f"{float(row['false_alarm_rate']):.3f}"]
        block = out.split(f"K = {k}, AUROC beside k-NN")[1].split("\n\n")[0]
        assert f"p = {float(row['auroc_friedman_p']):.2g}." in block
        if name != "KNN":
            cells = cells_of(block, name)
            worse = int(row["auroc_losses"]) / int(row["n_tasks"])
            assert cells[1] == f"{worse:.2f}"
            assert cells[2] == f"{float(row['auroc_p']):.2g}"
            assert cells[3] == f"{float(row['auroc_p_holm']):.2g}"


def test_means_over_some_of_the_draws_are_not_compared():
    both = [
        replace(r, seed=seed, auroc=r.auroc + seed / 10)
        for r in records_of({"KNN": BASE, "PCA": BASE})
        for seed in (0, 1)
    ]
    less = [r for r in both if (r.method, r.task, r.seed) != ("PCA", TASKS[0], 1)]
    found = summarize(less, "auroc")
    assert found["KNN", 5].n_tasks == 8
    assert found["PCA", 5].n_tasks == 7
    assert (found["PCA", 5].wins, found["PCA", 5].losses) == (0, 0)
