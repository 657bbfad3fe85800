"""Drawing support and query rows."""

import time
from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from skmetaad.episodes import EpisodeSampler, blocks, draw_support_query

SOURCES = ("auto", "labels", "other_tasks", "synthetic")


def rng(seed=0):
    return np.random.default_rng(seed)


def fleet(n_tasks=6, n_inliers=20, n_outliers=3):
    """Return labels and codes; the rows of a task do not lie together."""
    y = np.tile(np.repeat([1, -1], [n_inliers, n_outliers]), n_tasks)
    code = np.repeat(np.arange(n_tasks), n_inliers + n_outliers)
    order = rng().permutation(len(y))
    return y[order].astype(np.int8), code[order]


@st.composite
def samplers(draw):
    """Draw labels, codes and a sampler over them, small tasks and odd ones included."""
    sizes = draw(st.lists(st.integers(1, 12), min_size=1, max_size=5))
    code = np.array(draw(st.permutations(np.repeat(range(len(sizes)), sizes).tolist())))
    labels = st.sampled_from(draw(st.sampled_from([(1,), (0, 1), (1, 1, 1, -1)])))
    y = np.array(draw(st.lists(labels, min_size=len(code), max_size=len(code))))
    low = draw(st.integers(1, 8))
    arguments = {
        "n_support": draw(st.sampled_from([low, (low, low + 4)])),
        "n_query": draw(st.integers(1, 9)),
        "negatives": draw(st.sampled_from(SOURCES)),
        "n_support_outliers": draw(st.integers(0, 3)),
        "contamination": draw(st.sampled_from([0.0, 0.2, 0.5, 0.9])),
    }
    given_y = None if draw(st.booleans()) else y.astype(np.int8)
    try:
        sampler = EpisodeSampler(given_y, code, **arguments)
        episodes = sampler.draw(20, rng(draw(st.integers(0, 99))))
    except ValueError:
        assume(False)
    y = np.ones(len(code)) if given_y is None else y
    return y, code, sampler, episodes


# --------------------------------------------------------------------- EpisodeSampler


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(2, 15), min_size=2, max_size=4),
    n_support=st.integers(1, 9),
)
def test_chronological_episodes_take_the_support_from_earlier_rows(sizes, n_support):
    code = np.repeat(np.arange(len(sizes)), sizes)
    sampler = EpisodeSampler(
        None, code, n_support=n_support, n_query=6, chronological=True
    )
    drawn = sampler.draw(20, rng())
    first = np.searchsorted(code, np.arange(len(sizes)))
    place = drawn.support - first[drawn.task][:, None]
    half = np.maximum(np.array(sizes)[drawn.task] // 2, 1)[:, None]
    assert (place < half).all()
    inliers = drawn.query[:, drawn.query_y[0] == 1] - first[drawn.task][:, None]
    assert (inliers >= half).all()
    assert ((drawn.support >= 0).sum(axis=1) == np.minimum(half[:, 0], n_support)).all()


def test_consecutive_supports_are_neighbours_from_anywhere_in_their_half():
    code = np.repeat([0, 1, 2], [100, 100, 7])
    options = {"n_support": 5, "n_query": 4, "chronological": "consecutive"}
    drawn = EpisodeSampler(None, code, **options).draw(2000, rng())
    begin, at = np.searchsorted(code, drawn.task), drawn.support[:, :1]
    long = drawn.task < 2
    np.testing.assert_array_equal(drawn.support[long], (at + np.arange(5))[long])
    assert set((at[:, 0] - begin)[long]) == set(range(46))
    assert {tuple(row) for row in drawn.support[~long]} == {(200, 201, 202, -1, -1)}
    inliers = drawn.query[:, :2] - begin[:, None]
    assert (inliers[long] >= 50).all() and (inliers[~long] >= 3).all()


def test_only_three_ways_of_time_are_known():
    sampler = partial(EpisodeSampler, None, np.zeros(9, int), n_support=2, n_query=2)
    draw = partial(draw_support_query, np.ones(9), 2, rng=rng())
    for wrong in ("in a row", 1, None):
        for function in (sampler, draw):
            with pytest.raises(ValueError, match="expected True, False or 'consecu"):
                function(chronological=wrong)


@settings(max_examples=300, deadline=None)
@given(samplers())
def test_episodes_keep_the_rules(drawn):
    y, code, sampler, episodes = drawn
    n_extra, n_in = sampler.n_support_outliers, sampler.n_query
    n_in -= 0 if sampler.negatives_ == "synthetic" else sampler.n_query // 2
    assert episodes.query.shape == episodes.query_y.shape == (20, sampler.n_query)
    assert episodes.support.shape == episodes.support_y.shape
    assert episodes.support.dtype == episodes.query.dtype == np.int64
    assert episodes.support_y.dtype == episodes.query_y.dtype == np.int8
    n_support = episodes.support.shape[1] - n_extra
    bounds = sampler.n_support
    low, high = bounds if isinstance(bounds, tuple) else (bounds, bounds)
    assert low <= n_support <= high

    for i, task in enumerate(episodes.task):
        support, query = episodes.support[i], episodes.query[i]
        n_inliers = int(((code == task) & (y != -1)).sum())
        n_outliers = int(((code == task) & (y == -1)).sum())
        kept = support[support >= 0]
        assert len(set(kept)) == len(kept)
        assert not set(kept) & set(query)
        # Padding is where the labels are 0.
        np.testing.assert_array_equal(support >= 0, episodes.support_y[i] != 0)

        # Query: the first half inliers of the task, the rest outliers or other rows.
        assert episodes.query_y[i].tolist() == [1] * n_in + [-1] * (len(query) - n_in)
        assert (code[query[:n_in]] == task).all()
        assert (y[query[:n_in]] != -1).all()
        foreign = code[query[n_in:]] != task
        if sampler.negatives_ == "labels" and n_outliers:
            assert not foreign.any()
            assert (y[query[n_in:]] == -1).all()
        else:
            assert foreign.all()
            assert (y[query[n_in:]] != -1).all()

        # Support: as many rows as asked, but one inlier is left to the query.
        width = min(n_support, n_inliers - 1)
        first = support[:n_support]
        assert (first >= 0).sum() == width
        assert (episodes.support_y[i, :width] == 1).all()
        hidden = (code[first[:width]] != task) | (y[first[:width]] == -1)
        assert hidden.sum() <= round(sampler.contamination * n_support)
        extra = support[n_support:][support[n_support:] >= 0]
        assert (episodes.support_y[i, n_support:][support[n_support:] >= 0] == -1).all()
        assert (code[extra] == task).all()
        assert (y[extra] == -1).all()
        query_needs = sampler.negatives_ == "labels" and len(query) > n_in
        assert len(extra) == min(n_extra, max(n_outliers - query_needs, 0))


def test_rows_are_distinct_within_an_episode_where_there_are_enough():
    y, code = fleet(n_outliers=10)
    for negatives in ("labels", "synthetic"):
        sampler = EpisodeSampler(y, code, n_support=10, n_query=10, negatives=negatives)
        episodes = sampler.draw(100, rng())
        rows = np.concatenate([episodes.support, episodes.query], axis=1)
        assert all(len(set(r)) == len(r) for r in rows)


def test_the_query_repeats_rows_of_a_small_task():
    sampler = EpisodeSampler(None, np.zeros(3, int), n_support=10, n_query=6)
    episodes = sampler.draw(50, rng())
    assert ((episodes.support >= 0).sum(axis=1) == 2).all()
    assert all(len(set(q)) == 1 for q in episodes.query)


def test_contamination_is_exact_where_outliers_suffice():
    y, code = fleet(n_outliers=8)
    sampler = EpisodeSampler(y, code, n_support=10, n_query=8, contamination=0.3)
    episodes = sampler.draw(200, rng())
    assert ((y[episodes.support] == -1).sum(axis=1) == 3).all()
    assert (episodes.support_y == 1).all()


def test_contamination_takes_rows_of_other_tasks_when_nothing_is_labelled():
    _, code = fleet(n_tasks=40)
    sampler = EpisodeSampler(None, code, n_support=10, n_query=8, contamination=0.2)
    episodes = sampler.draw(200, rng())
    foreign = (code[episodes.support] != episodes.task[:, None]).sum(axis=1)
    assert foreign.max() == 2
    assert foreign.mean() > 1.9


def test_contamination_leaves_rows_clean_when_there_is_nothing_to_hide():
    sampler = EpisodeSampler(
        None, np.zeros(30, int), n_support=10, n_query=8, contamination=0.5
    )
    assert sampler.negatives_ == "synthetic"
    assert (sampler.draw(5, rng()).support >= 0).all()


def test_labelled_support_outliers_ignore_the_source_of_negatives():
    y, code = fleet()
    for negatives in SOURCES:
        sampler = EpisodeSampler(
            y, code, n_support=5, n_query=4, negatives=negatives, n_support_outliers=2
        )
        episodes = sampler.draw(50, rng())
        assert (episodes.support_y[:, 5:] == -1).all()
        assert (y[episodes.support[:, 5:]] == -1).all()


@pytest.mark.parametrize(
    ("labelled", "n_tasks", "expected"),
    [(True, 3, "labels"), (True, 1, "labels"), (False, 3, "other_tasks")]
    + [(False, 1, "synthetic")],
)
def test_auto_takes_the_best_outliers_there_are(labelled, n_tasks, expected):
    y, code = fleet(n_tasks)
    sampler = EpisodeSampler(y if labelled else None, code, n_support=2, n_query=4)
    assert sampler.negatives_ == expected
    assert sampler.n_tasks == n_tasks
    query_y = sampler.draw(3, rng()).query_y
    assert query_y.sum() == (0 if expected != "synthetic" else query_y.size)


def test_auto_mixes_labelled_tasks_and_others():
    y, code = fleet(4)
    y[code < 2] = 1
    sampler = EpisodeSampler(y, code, n_support=3, n_query=6)
    episodes = sampler.draw(100, rng())
    outliers = episodes.query[:, 3:]
    labelled = episodes.task >= 2
    assert (y[outliers[labelled]] == -1).all()
    assert (code[outliers[~labelled]] != episodes.task[~labelled, None]).all()
    strict = EpisodeSampler(y, code, n_support=3, n_query=6, negatives="labels")
    assert set(strict.draw(100, rng()).task) == {2, 3}


def test_every_task_comes_once_before_any_comes_again():
    _, code = fleet(8)
    sampler = EpisodeSampler(None, code, n_support=3, n_query=6)
    assert sorted(sampler.draw(8, rng()).task) == list(range(8))
    assert sampler.draw(50, rng()).task.shape == (50,)


def test_tasks_restricts_episodes_and_their_outliers():
    _, code = fleet(8)
    sampler = EpisodeSampler(None, code, n_support=3, n_query=6)
    episodes = sampler.draw(100, rng(), tasks=[6, 1, 6, 4])
    assert set(episodes.task) == {1, 4, 6}
    assert set(code[episodes.query].ravel()) <= {1, 4, 6}
    alone = sampler.draw(10, rng(), tasks=[3])
    assert set(alone.task) == {3}
    assert (code[alone.query[:, 3:]] != 3).all()


def test_tasks_with_one_row_are_passed_over():
    code = np.r_[np.zeros(5, int), 1, np.full(5, 2)]
    sampler = EpisodeSampler(None, code, n_support=3, n_query=4)
    assert set(sampler.draw(50, rng()).task) == {0, 2}
    with pytest.raises(ValueError, match="no task with 2 rows"):
        sampler.draw(5, rng(), tasks=[1])


def test_seeds_reproduce_episodes():
    y, code = fleet()
    sampler = EpisodeSampler(
        y, code, n_support=(2, 9), n_query=8, contamination=0.2, n_support_outliers=1
    )
    a, b, c = (sampler.draw(30, rng(seed)) for seed in (1, 1, 2))
    for name in ("task", "support", "support_y", "query", "query_y"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert a.support.shape != c.support.shape or (a.support != c.support).any()


def test_a_range_of_support_sizes_reaches_both_bounds():
    _, code = fleet(4, 40)
    sampler = EpisodeSampler(None, code, n_support=(1, 5), n_query=4)
    generator = rng()
    widths = {sampler.draw(2, generator).support.shape[1] for _ in range(200)}
    assert widths == {1, 2, 3, 4, 5}


def test_a_range_of_support_outliers_reaches_both_bounds():
    y, code = fleet()
    sampler = EpisodeSampler(y, code, n_support=3, n_query=4, n_support_outliers=(0, 2))
    generator = rng()
    drawn = [sampler.draw(2, generator).support_y for _ in range(50)]
    assert {(labels == -1).sum() for labels in drawn} == {0, 2, 4}


@pytest.mark.parametrize("n_rows", [12, 2000])  # both ways of drawing distinct rows
def test_every_row_is_equally_likely(n_rows):
    sampler = EpisodeSampler(None, np.zeros(n_rows, int), n_support=4, n_query=4)
    episodes = sampler.draw(30_000, rng())
    part = n_rows // 4
    for rows in (episodes.support, episodes.query, episodes.support[:, :1]):
        share = np.bincount(rows.ravel() // part, minlength=4) / rows.size
        np.testing.assert_allclose(share, 0.25, atol=0.015)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_support": 0}, "n_support=0"),
        ({"n_support": (3, 2)}, r"n_support=\(3, 2\)"),
        ({"n_support": (1, 2, 3)}, r"n_support=\(1, 2, 3\)"),
        ({"n_query": 0}, "n_query=0"),
        ({"n_support_outliers": -1}, "n_support_outliers=-1"),
        ({"n_support_outliers": (2, 1)}, r"n_support_outliers=\(2, 1\)"),
        ({"contamination": 1.0}, "contamination=1.0"),
        ({"negatives": "none"}, "negatives='none'"),
        ({"negatives": "labels"}, "no row is labelled"),
        ({"code": np.zeros(6, int), "negatives": "other_tasks"}, "with 1 task"),
        ({"code": np.arange(6)}, "no task has 2 rows"),
        ({"code": np.array([], int)}, "no task has 2 rows"),
        ({"y": np.ones(3)}, "y has 3 labels, code has 6"),
        ({"y": -np.ones(6)}, "no task has 2 rows"),
    ],
)
def test_sampler_refuses(change, message):
    arguments = {"y": None, "code": np.repeat([0, 1], 3)}
    arguments |= {"n_support": 2, "n_query": 2} | change
    y, code = arguments.pop("y"), arguments.pop("code")
    with pytest.raises(ValueError, match=message):
        EpisodeSampler(y, code, **arguments)


@pytest.mark.parametrize("n_rows", [20, 2000])
@pytest.mark.parametrize("labelled", [True, False])
def test_drawing_takes_well_under_a_millisecond(n_rows, labelled):
    code = np.repeat(np.arange(1000), n_rows)
    y = np.where(np.arange(len(code)) % 10, 1, -1).astype(np.int8)
    sampler = EpisodeSampler(y if labelled else None, code, n_support=5, n_query=16)
    generator, best = rng(), np.inf
    for _ in range(200):  # the fastest of many: the machine may be busy
        start = time.perf_counter()
        sampler.draw(16, generator)
        best = min(best, time.perf_counter() - start)
    assert best < 1e-3


# ----------------------------------------------------------------- draw_support_query


@given(st.data())
def test_draw_support_query(data):
    y = np.array(
        data.draw(st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=25))
    )
    n_in, n_out = int((y != -1).sum()), int((y == -1).sum())
    n_support = data.draw(st.integers(1, 26))
    n_outliers = data.draw(st.integers(0, 4))
    contamination = data.draw(st.sampled_from([0.0, 0.1, 0.3, 0.5]))
    n_query = data.draw(st.one_of(st.none(), st.integers(1, 30)))
    n_hidden = round(contamination * n_support)
    arguments = {
        "n_query": n_query,
        "n_outliers": n_outliers,
        "contamination": contamination,
    }
    if n_support - n_hidden > n_in:
        with pytest.raises(ValueError, match=f"n_support={n_support}.* {n_in} inlier"):
            draw_support_query(y, n_support, **arguments, rng=rng())
        return
    if n_hidden + n_outliers > n_out:
        with pytest.raises(ValueError, match=f"the task has {n_out}"):
            draw_support_query(y, n_support, **arguments, rng=rng())
        return
    support, query = draw_support_query(y, n_support, **arguments, rng=rng(3))
    assert len(support) == n_support + n_outliers
    assert len({*support, *query}) == len(support) + len(query)  # nothing twice
    assert (y[support[:n_support]] == -1).sum() == n_hidden
    assert (y[support[n_support:]] == -1).all()
    assert (np.diff(query) > 0).all()
    rest = len(y) - len(support)
    assert len(query) == (rest if n_query is None else min(rest, n_query))
    rest_out = n_out - n_hidden - n_outliers
    if 0 < rest_out < rest and len(query) > 1:
        drawn = (y[query] == -1).sum()
        assert 1 <= drawn < len(query)
        assert abs(drawn - len(query) * rest_out / rest) <= 1
    again = draw_support_query(y, n_support, **arguments, rng=rng(3))
    np.testing.assert_array_equal(support, again[0])
    np.testing.assert_array_equal(query, again[1])


@given(st.data())
def test_draw_support_query_in_order_of_time(data):
    y = np.array(
        data.draw(st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=25))
    )
    inliers = np.flatnonzero(y != -1)
    half = len(inliers) // 2
    n_support = data.draw(st.integers(1, 13))
    options = {"chronological": True, "rng": rng(0)}
    if n_support > half:
        with pytest.raises(ValueError, match=f"has {half} inlier rows before half"):
            draw_support_query(y, n_support, **options)
        return
    support, query = draw_support_query(y, n_support, **options)
    assert set(support) <= set(inliers[:half]) and len(set(support)) == n_support
    np.testing.assert_array_equal(query, np.arange(inliers[half], len(y)))
    odd = np.flatnonzero(y[: inliers[half]] == -1)
    both = {"n_outliers": len(odd), **options}
    support, again = draw_support_query(y, n_support, **both)
    assert set(support[n_support:]) == set(odd)
    np.testing.assert_array_equal(again, query)
    with pytest.raises(ValueError, match="labelled outliers, .* before half"):
        draw_support_query(y, n_support, **both | {"n_outliers": len(odd) + 1})
    both |= {"chronological": "consecutive"}
    support, again = draw_support_query(y, n_support, **both)
    begin = np.searchsorted(inliers, support[0])
    np.testing.assert_array_equal(support[:n_support], inliers[begin:][:n_support])
    assert support[:n_support].max() < inliers[half]
    np.testing.assert_array_equal(again, query)
    if len(query) > 1:
        few = draw_support_query(y, n_support, n_query=1, **options)[1]
        assert len(few) == 1 and few[0] in query


def test_draw_support_query_draws_other_rows_from_other_seeds():
    y = np.ones(200)
    a, b = (draw_support_query(y, 10, rng=rng(seed))[0] for seed in (0, 1))
    assert set(a) != set(b)


def test_codes_are_ints_and_chance_a_generator():
    with pytest.raises(TypeError, match="code has dtype <U1"):
        EpisodeSampler(None, ["a", "a"], n_support=1, n_query=1)
    with pytest.raises(TypeError, match="rng=0"):
        draw_support_query(np.ones(4), 2, rng=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": None}, r"y has shape \(\)"),
        ({"n_support": 0}, "n_support=0"),
        ({"n_support": 4}, "n_support=4.*3 inlier rows"),
        ({"n_outliers": -1}, "n_outliers=-1"),
        ({"n_outliers": 2}, "n_outliers=2.*the task has 1"),
        ({"n_query": 0}, "n_query=0"),
        ({"contamination": -0.1}, "contamination=-0.1"),
    ],
)
def test_draw_support_query_refuses(change, message):
    arguments = {"y": np.array([1, 1, 0, -1]), "n_support": 2} | change
    with pytest.raises(ValueError, match=message):
        draw_support_query(**arguments, rng=rng())


# ----------------------------------------------------------------------------- blocks


@given(
    st.lists(st.integers(0, 6), max_size=40),
    st.integers(1, 12),
    st.booleans(),
)
def test_blocks_cover_every_row_once(code, max_rows, split):
    code = np.array(code, dtype=np.int64)
    seen, rows_of = [], {}
    for tasks, rows in blocks(code, 8, max_rows=max_rows, split=split):
        assert rows.shape[0] == len(tasks) == len(set(tasks))
        there = rows >= 0
        assert there.any(axis=1).all()
        assert there.sum() * 2 >= there.size  # padding is at most half
        if split:
            assert rows.size <= max_rows
        else:
            assert rows.size <= max_rows or len(tasks) == 1
        for task, row, here in zip(tasks, rows, there, strict=True):
            assert (np.diff(here.astype(int)) <= 0).all()  # padding comes last
            assert (code[row[here]] == task).all()
            rows_of.setdefault(int(task), []).extend(row[here].tolist())
        seen += rows[there].tolist()
    assert sorted(seen) == list(range(len(code)))
    assert all(found == sorted(found) for found in rows_of.values())
    assert set(rows_of) == set(code.tolist())


def test_blocks_are_few():
    code = np.repeat(np.arange(1000), np.arange(1000) % 100 + 1)
    assert len(list(blocks(code, 1000, max_rows=10**6))) <= 7
    assert len(list(blocks(code, 1000, max_rows=10**4))) < 20


def test_blocks_refuse_no_rows():
    with pytest.raises(ValueError, match="max_rows=0"):
        next(blocks(np.zeros(3, int), 1, max_rows=0))


def test_contamination_of_small_tasks_is_of_the_rows_they_give():
    code = np.repeat([0, 1], [20, 40])
    y = np.where(np.arange(60) % 20 < 3, 1, -1)  # 3 inliers, 17 outliers; 6 and 34
    y[code == 1] *= -1
    sampler = EpisodeSampler(y, code, n_support=10, n_query=4, contamination=0.4)
    episodes = sampler.draw(50, rng())
    hidden = ((y[episodes.support] == -1) & (episodes.support >= 0)).sum(axis=1)
    np.testing.assert_array_equal(hidden, np.where(episodes.task == 0, 1, 4))
