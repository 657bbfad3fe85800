"""Figures that texts quote are those of the recorded runs."""

import csv
import re

import pytest
from _imports import ROOT

from skmetaad.utils import all_detectors

RESULTS = ROOT / "benchmarks" / "results"
OURS = [name.removesuffix("Detector") for name, _ in all_detectors()]
PYOD = "KNN LOF IForest ECOD COPOD OCSVM KDE PCA HBOS INNE GMM".split()
SETTINGS = {  # of the README's table: of the recorded run
    "inliers, up to 2,000": "one-class",
    "the same and 5 labelled outliers": "one-class, 5 labels",
    "50 inliers": "K=50",
    "10 inliers": "K=10",
    "the unlabelled rows to be ranked": "unsupervised",
}


def rows_of(path, first):
    """Return the table whose header begins with `first`, a dict per row."""
    lines = iter(path.read_text("utf-8").splitlines())
    head = next(line for line in lines if line.startswith(f"| {first} |"))
    names = [cell.strip() for cell in head.strip("|").split("|")]
    next(lines)
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        cells = [cell.strip().replace("*", "") for cell in line.strip("|").split("|")]
        rows.append(dict(zip(names, cells, strict=True)))
    return rows


MAIN = rows_of(RESULTS / "README.md", "collection")


def best_of_pyod(collection, shots):
    """Return the best AUROC of those that ran on every task."""
    with (RESULTS / f"{collection}.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["shots"] == shots]
    n_tasks = max(int(row["n_tasks"]) for row in rows)
    return max(
        float(row["auroc"])
        for row in rows
        if row["method"] in PYOD and int(row["n_tasks"]) == n_tasks
    )


def recorded(collection):
    """Return {(method, K): AUROC} of a run whose figures stand in a CSV."""
    with (RESULTS / f"{collection}.csv").open(newline="") as file:
        return {
            (row["method"].removesuffix("Detector"), row["shots"]): float(row["auroc"])
            for row in csv.DictReader(file)
            if row["auroc"]
        }


@pytest.mark.parametrize(
    "row", [r for r in MAIN if (RESULTS / f"{r['collection']}.csv").exists()], ids=str
)
def test_the_main_table_has_what_was_recorded(row):
    found = recorded(row["collection"])
    names = {name: name for name in (*OURS, "KNN")} | {"1-NN": "KNN (nearest)"}
    for column, method in names.items():
        if row[column]:
            assert float(row[column]) == pytest.approx(
                found[method, row["K"]], abs=6e-4
            )
    value, name = re.fullmatch(r"([\d.]+) \((\w+)\)", row["best PyOD"]).groups()
    assert float(value) == pytest.approx(found[name, row["K"]], abs=6e-4)
    assert found[name, row["K"]] >= best_of_pyod(row["collection"], row["K"])


@pytest.mark.parametrize("name", ["DeepClustering", "MetaGAN"])
def test_a_page_quotes_the_recorded_runs(name):
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    page = ROOT / "docs" / "detectors" / f"{snake}.md"
    shown = rows_of(page, "AUROC at K =")
    assert len(shown) > 3
    for row in shown:
        found = recorded(row.pop("AUROC at K ="))
        for shots, auroc in row.items():
            assert float(auroc) == pytest.approx(found[name, shots], abs=6e-4)


def test_the_table_of_false_alarms_has_what_was_recorded():
    shown = rows_of(RESULTS / "README.md", "false alarms")
    assert len(shown) > 14
    for row in shown:
        with (RESULTS / f"{row.pop('false alarms')}.csv").open(newline="") as file:
            rates = {
                found["method"].removesuffix("Detector"): found["false_alarm_rate"]
                for found in csv.DictReader(file)
                if found["shots"] == row["K"]
            }
        del row["K"]
        for method, share in row.items():
            assert float(share) == pytest.approx(float(rates[method]), abs=6e-3)


def test_the_readme_quotes_the_main_table():
    main = {row["collection"]: row for row in MAIN if row["K"] == "10"}
    shown = rows_of(ROOT / "README.md", "collection")
    assert len(shown) > 5
    for row in shown:
        name = row["collection"].lower()
        name = re.sub(r" \(.*", "", name).replace(", windows of 8 steps", "_windows")
        name = name.replace(", rows in a row", "_consecutive")
        whole = main[name]
        assert row["MetaPrototype"] == whole["MetaPrototype"]
        assert row["MAMLAutoencoder"] == whole["MAMLAutoencoder"]
        assert row["1-NN"] == whole["1-NN"] and row["best PyOD"] == whole["best PyOD"]
        others = {n: whole[n] for n in OURS if whole[n]}
        del others["MetaPrototype"], others["MAMLAutoencoder"]
        best = max(others, key=others.get)
        assert row["best of our others"] == f"{others[best]} ({best})"


def test_texts_quote_the_recorded_run_of_the_universal_detector():
    text = (RESULTS / "universal.txt").read_text("utf-8")
    shown = rows_of(ROOT / "README.md", "fitted to")
    assert [row["fitted to"] for row in shown] == list(SETTINGS)
    for row in shown:
        found = universal_table(text, SETTINGS[row["fitted to"]], "adbench + oddbench")
        assert row["UniversalDetector"] == found.pop("UniversalDetector")[0]
        assert row["KNN (k=5)"] == found["KNN (k=5)"][0]
        found = {n: v for n, v in found.items() if not n.startswith("sklearn")}
        best = max(found, key=lambda n: found[n][0])
        inside = best.replace(" (", ", ").strip(")")
        assert row["best of PyOD"] == f"{found[best][0]} ({inside})"
    card = rows_of(ROOT / "docs" / "detectors" / "universal.md", "setting")
    assert len(card) == 20
    for row in card:
        which = "adbench + " if row["collection"] == "all" else row["collection"] + ":"
        found = universal_table(text, row["setting"], which)
        for name in ("UniversalDetector", "KNN (k=5)"):
            assert row[name] == "{} ({})".format(*found[name])


def universal_table(text, setting, collection):
    """Return {method: (AUROC, average precision)} of one table."""
    part = text.split(f"\n{setting}, {collection}", 1)[1].split("\n\n")[0]
    lines = re.findall(r"^(.+?) {2,}(0\.\d+) +(0\.\d+) ", part, re.MULTILINE)
    return {name: (auroc, ap) for name, auroc, ap in lines}
