"""What the weights of UniversalDetector are trained on."""

import numpy as np
import pytest
from _benchmarks import load_benchmark

from skmetaad import Task, TaskCollection, UniversalDetector
from skmetaad.core.draws import draws


@pytest.fixture(scope="module")
def pictures():
    return load_benchmark("pictures")


@pytest.fixture(scope="module")
def drawings(tmp_path_factory):
    """Write twenty drawings of each of 90 characters, all of one shade."""
    ids = np.repeat(np.arange(90), 20)
    X = np.broadcast_to(ids[:, None, None] + 1, (len(ids), 28, 28)).astype(np.uint8)
    path = tmp_path_factory.mktemp("pictures") / "background.npz"
    np.savez_compressed(path, X=X, class_id=ids)
    return path


def test_inliers_are_of_other_characters_than_outliers(pictures, drawings, monkeypatch):
    monkeypatch.setattr(pictures, "look", lambda X, rng: X[:, 0, :4])
    apart = np.random.default_rng(0).permutation(90)[: pictures.N_KEPT_APART]
    for task in pictures.picture_tables(drawings, 30):
        shade = np.round(task.X[:, 0] * 255).astype(int) - 1
        inlier, outlier = set(shade[task.y == 1]), set(shade[task.y == -1])
        assert len(outlier) == pictures.N_OTHERS
        assert (task.y == 1).sum() == 20 * len(inlier)
        assert not inlier & outlier
        assert not (inlier | outlier) & set(apart)


def test_looks_are_tables_of_at_most_200_columns(pictures):
    rng = np.random.default_rng(0)
    X = rng.random((30, 28, 28))
    widths = {pictures.look(X, rng).shape[1] for _ in range(60)}
    assert {49, 196} < widths
    assert max(widths) <= 200


def test_weights_are_trained_on_tables_of_any_width(pictures, drawings):
    tasks = pictures.picture_tables(drawings, 3)
    rng = np.random.default_rng(0)
    narrow = [type(t)(f"{t.id} cut", t.X[:, :5] + rng.random(5), t.y) for t in tasks]
    trained = UniversalDetector(random_state=0).meta_fit(
        TaskCollection(tasks + narrow), n_iter=3, n_draws=2, n_members=1
    )
    task = tasks[0]
    found = trained.fit(task.X[task.y == 1]).score_samples(task.X)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("n_inliers", [10, 60, 105, 150])
def test_tables_of_few_or_of_uneven_numbers_of_rows_set_thresholds(n_inliers):
    rng = np.random.default_rng(0)
    tasks = [
        Task(i, rng.normal(size=(n + 5, 4)), np.repeat([1, -1], [n, 5]))
        for i, n in enumerate((n_inliers, n_inliers + 3, n_inliers))
    ]
    det = UniversalDetector(random_state=0)
    det = det.meta_fit(tasks, n_iter=1, n_draws=1, n_members=1).fit(tasks[0].X)
    assert np.isfinite(det.offset_)


def test_every_second_draw_is_of_a_task_made_of_the_table():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(300, 5)), 9 + rng.normal(size=(40, 5))
    found = list(draws(table, 200, rng))
    assert {draw.query.shape[1] for draw in found[1::2]} == {4}
    given = found[::2]
    assert {draw.query.shape[1] for draw in given} == {5}
    for draw in given:
        np.testing.assert_array_equal((draw.query > 5).all(axis=1), draw.outlier)
        assert draw.outlier.any()
    labelled = [(draw.support_y == -1).any() for draw in found]
    assert 0.1 < np.mean(labelled) < 0.3
    hidden = [(d.support[d.support_y == 1] > 5).all(axis=1).any() for d in given]
    assert 0.2 < np.mean(hidden) < 0.4
