"""The evidence behind UniversalDetector, against plain loops in float64."""

import numpy as np
import pytest
import torch
from scipy.stats import norm

from skmetaad.core import (
    columns,
    covariance,
    evidence,
    forest,
    pairs,
    ranking,
    scorer,
    universal,
)


def tensor(X):
    return torch.from_numpy(np.asarray(X, np.float64))


def described(X, outlier=None):
    X = tensor(X)[None]
    mask = torch.ones(X.shape[:2], dtype=torch.bool)
    marked = torch.zeros_like(mask)
    if outlier is not None:
        marked[0, outlier] = True
    state, seen = universal.adapt(X, mask, marked)
    return universal.awake(state), seen


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 4)) @ rng.normal(size=(4, 4))


def test_squared_distances_leave_a_rows_own_place_out(rows):
    X = tensor(rows)[None]
    absent = torch.zeros(1, 40, dtype=torch.bool)
    absent[0, -3:] = True
    found = evidence.squared_distances(X, X, absent, torch.arange(40)[None])[0]
    found = found.sqrt().numpy()
    for i in range(40):
        for j in range(40):
            want = np.inf if i == j or j >= 37 else np.linalg.norm(rows[i] - rows[j])
            assert found[i, j] == pytest.approx(want, rel=1e-5)


def described_rows(rows):
    """Return rows, which of them are in the fit, and the fit in standard units."""
    X = tensor(rows)[None]
    here, alive = (torch.ones(1, n, dtype=torch.bool) for n in rows.shape)
    return X, here, covariance.covariance_state(X, here, alive, "standard")


@pytest.mark.parametrize("shape", [(40, 4), (12, 4), (9, 30), (2, 3)])
def test_mahalanobis_of_support_rows_is_that_of_a_fit_without_them(shape):
    rows = np.random.default_rng(0).normal(size=shape) @ np.diag(
        1.0 + np.arange(shape[1])
    )
    K, d = shape
    X, here, state = described_rows(rows)
    found = covariance.mahalanobis(X, here, state, "standard")
    whole = rows - rows.mean(0)
    level = np.trace(whole.T @ whole) / d * np.eye(d)
    for ridge, q in zip(covariance.RIDGES["standard"], found, strict=True):
        for i in range(K):
            rest = np.delete(rows, i, axis=0)
            scatter = (rest - rest.mean(0)).T @ (rest - rest.mean(0)) + ridge * level
            away = rows[i] - rest.mean(0)
            want = away @ np.linalg.solve(scatter, away) * (K - 1)
            assert q[0, i].item() == pytest.approx(want, rel=1e-5)


def residual(row, rest, whole, j):
    """Return the squared residual of column j by the ridge regression on `rest`."""
    d = len(row)
    scatter = (rest - rest.mean(0)).T @ (rest - rest.mean(0))
    ridge = 0.1 * ((whole - whole.mean(0)) ** 2).sum() / d
    scatter += ridge * np.eye(d)
    others = np.delete(np.arange(d), j)
    weights = np.linalg.solve(scatter[np.ix_(others, others)], scatter[others, j])
    variance = scatter[j, j] - scatter[j, others] @ weights
    away = row - rest.mean(0)
    return (away[j] - away[others] @ weights) ** 2 / variance * len(rest)


@pytest.mark.parametrize("shape", [(40, 4), (9, 30), (3, 5)])
def test_partial_residuals_are_those_of_ridge_regressions(shape):
    rows = np.random.default_rng(0).normal(size=shape)
    X, here, state = described_rows(rows)
    query = np.random.default_rng(1).normal(size=(5, shape[1]))
    nobody = torch.zeros(1, 5, dtype=torch.bool)
    fresh = covariance.partial_residuals(tensor(query)[None], nobody, state)[0].numpy()
    own = covariance.partial_residuals(X, here, state)[0].numpy()
    for j in range(shape[1]):
        want = [residual(row, rows, rows, j) for row in query]
        np.testing.assert_allclose(fresh[:, j], want, rtol=1e-6)
        rest = [np.delete(rows, i, axis=0) for i in range(len(rows))]
        want = [residual(rows[i], rest[i], rows, j) for i in range(len(rows))]
        np.testing.assert_allclose(own[:, j], want, rtol=1e-6)


@pytest.mark.parametrize("shape", [(40, 4), (9, 30)])
def test_the_precision_is_that_of_the_ridged_covariance(shape):
    rows = np.random.default_rng(0).normal(size=shape)
    X, _, state = described_rows(rows)
    centred = rows - rows.mean(0)
    scatter = centred.T @ centred
    scatter += 0.1 * np.trace(scatter) / shape[1] * np.eye(shape[1])
    found, diagonal = covariance.precise(X, state)
    np.testing.assert_allclose(found[0], np.linalg.solve(scatter, rows.T).T, rtol=1e-6)
    np.testing.assert_allclose(diagonal[0], np.diag(np.linalg.inv(scatter)), rtol=1e-6)


def test_normal_scores_are_quantiles_of_mid_ranks():
    X = tensor([[1.0], [2.0], [2.0], [5.0]])[None]
    state = columns.sort_columns(X, torch.ones(1, 4, dtype=torch.bool))
    query = tensor([[0.0], [2.0], [3.0], [9.0]])[None]
    counts = columns.ranks(query, torch.full((1, 4), -1), state)
    n = state["known"][:, None]
    found = columns.normal_scores(*counts, n)[0, :, 0]
    np.testing.assert_allclose(found, norm.ppf([0.1, 0.5, 0.7, 0.9]), atol=1e-12)
    # The extremes of the rows themselves, among the others, are as far out.
    counts = columns.ranks(X, torch.arange(4)[None], state)
    found = columns.normal_scores(*counts, n)[0, :, 0]
    share = [-1.0, 0.0, 0.0, 1.0]
    want = norm.ppf(0.5 + 0.5 * np.array(share) * 4 / 5)
    np.testing.assert_allclose(found, want, atol=1e-12)


def test_the_core_is_the_half_that_undetected_outliers_are_not_in():
    rng = np.random.default_rng(0)
    mixed = rng.normal(size=(3, 3))
    X = np.concatenate([rng.normal(size=(60, 3)) @ mixed, 9 + rng.normal(size=(6, 3))])
    state, _ = described(X)
    core = state["core"][0]
    assert core.sum() == 33
    assert not core[60:].any()
    kept = state["support.normal"][0][core].numpy()
    np.testing.assert_allclose(state["core.mean"][0], kept.mean(0), atol=1e-9)
    again, _ = described(X[::-1].copy())
    assert (again["core"][0].flip(0) == core).all()
    # Too few rows to tell which are not of the core.
    few, _ = described(X[40:60])
    assert few["core"].all()


@pytest.mark.parametrize("n", [40, 20, 10, 5])
def test_the_nearest_of_few_rows_is_the_mean_over_sets_without_the_row(rows, n):
    state, _ = described(rows[:n])
    X = state["support.standard"]
    own = torch.arange(n)[None]
    d = evidence.squared_distances(X, X, ~state["present"], own)
    _, found = evidence.ball_scores(d, d.amin(-1), state, "standard")
    size = min(16, n // 2)
    sets = state["members"][0, :size].long().T.numpy()
    # Sets of fewer than four rows count as they are.
    starts = range(0, max(size - 3, 1), 4)
    for i in range(n):
        want = [
            min(np.linalg.norm(X[0, i] - X[0, j]) for j in members[at : at + 4])
            for members in sets
            if i not in members
            for at in starts
        ]
        assert found[0, i].item() == pytest.approx(np.mean(want), rel=1e-4)


def test_how_far_outside_a_value_is_and_its_tail_are_told_without_it():
    X = np.array([[0.0, 5.0], [1.0, 5.0], [2.0, 5.0], [10.0, 6.0]])
    state, _ = described(X)
    new = np.array([[12.0, 7.0], [5.0, 5.0]])
    found = []
    for rows, own in ((X, torch.arange(4)[None]), (new, torch.full((1, 2), -1))):
        rows = tensor(rows)[None]
        scaled = universal.in_scales(rows, own, state)
        found.append(universal.raw_evidence(rows, scaled, state)[0][0].numpy())
    tail, outside = ([part[..., k] for part in found] for k in (0, 3))
    most = columns.FAR
    # In spans of the other values; where these are one value, as far as can be.
    want = np.array([[1 / 9, 0], [0, 0], [0, 0], [8 / 2, most]])
    assert outside[0] == pytest.approx(np.log1p(10 * want))
    assert outside[1] == pytest.approx(np.log1p([[2, 10], [0, 0]]))
    # The least share is that of four values, to a row that is one of them and others.
    assert tail[0][:, 0] == pytest.approx(-np.log([1 / 5, 11 / 15, 11 / 15, 1 / 5]))
    assert tail[1][:, 0] == pytest.approx(-np.log([1 / 5, 3 / 5]))


def test_of_two_rows_the_other_alone_tells_no_span():
    X = tensor([[0.0], [4.0]])[None]
    state, _ = described(X[0].numpy())
    rows = universal.in_scales(X, torch.arange(2)[None], state)
    values, _, _ = universal.raw_evidence(X, rows, state)
    assert values[0, :, 0, 3].numpy() == pytest.approx(np.log1p([10.0, 10.0]))


def test_ranks_and_missing_values():
    X = tensor([[1.0], [2.0], [2.0], [np.nan]])[None]
    state = columns.sort_columns(X, torch.ones(1, 4, dtype=torch.bool))
    query = tensor([[0.0], [2.0], [3.0]])[None]
    below, equal, above = columns.ranks(query, torch.full((1, 3), -1), state)
    assert below[0, :, 0].tolist() == [0, 1, 3]
    assert equal[0, :, 0].tolist() == [0, 2, 0]
    assert above[0, :, 0].tolist() == [3, 0, 0]
    _, equal, _ = columns.ranks(X[:, 1:2], torch.tensor([[1]]), state)
    assert equal.item() == 1


def test_pairs_never_seen_together_are_rare():
    a = np.repeat([0.0, 1.0], 50)
    X = np.c_[a, a]
    state, _ = described(X)
    query = tensor([[0.0, 0.0], [0.0, 1.0]])[None]
    found = pairs.pair_rarity(
        universal.bins(query, state), torch.full((1, 2), -1), state
    )[0][0, :, 0]
    # 50 rows where 25 are expected; none where 25 are expected.
    want = [-np.log(51 / 26), -np.log(1 / 26)]
    np.testing.assert_allclose(found, want)


@pytest.mark.parametrize("n_columns", [2, 5, 16, 17, 40])
def test_pairs_of_columns_are_distinct(n_columns):
    alive = torch.ones(1, n_columns, dtype=torch.bool)
    found = pairs.pair_columns(alive)
    used = found["pair.counts"][0]
    first, second = found["pair.first"][0][used], found["pair.second"][0][used]
    assert (first < second).all()
    n_pairs = n_columns * (n_columns - 1) // 2
    assert len({*zip(first.tolist(), second.tolist(), strict=True)}) == len(first)
    assert len(first) == min(n_pairs, pairs.N_PAIRS)


def test_rows_are_found_that_equal_but_for_rounding(rows):
    rows = np.concatenate([rows, [[np.nan, *rows[5, 1:]]], 0 * rows[:1]])
    n = len(rows)
    state, _ = described(rows)
    moved = rows + 1e-12 * np.sign(rows)
    for query in (rows, rows[::-1].copy(), moved, rows.astype(np.float32), -0.0 + rows):
        own = universal.find_own(tensor(query)[None], state)[0].tolist()
        assert own == [*range(n)] or own == [*range(n)][::-1]
    others = np.concatenate([rows[[7]] + 1e-3, -rows[[3]], [[*rows[4, :-1], np.nan]]])
    assert (universal.find_own(tensor(others)[None], state) == -1).all()


def test_rows_far_from_zero_are_found_in_single_precision():
    X = 1e3 + np.random.default_rng(0).normal(size=(300, 4))
    state, _ = described(X)
    own = universal.find_own(tensor(X.astype(np.float32))[None], state)[0]
    assert (own == torch.arange(300)).all()
    fresh = 1e3 + np.random.default_rng(1).normal(size=(300, 4))
    assert (universal.find_own(tensor(fresh)[None], state) == -1).all()


def test_support_rows_score_as_what_adapt_says_of_them(rows):
    state, seen = described(rows)
    again = universal.inputs(tensor(rows)[None], state)
    np.testing.assert_allclose(again.rows, seen.rows, atol=1e-9)
    np.testing.assert_allclose(again.values, seen.values, atol=1e-9)


def test_neighbour_evidence_of_a_support_row_is_that_without_it(rows):
    X = tensor(rows)[None]
    nobody = torch.zeros(1, 40, dtype=torch.bool)
    d = evidence.squared_distances(X, X, nobody, torch.arange(40)[None])
    near, _, exists = evidence.nearest(d)
    want = np.sort(
        ((rows[:, None] - rows[None]) ** 2).sum(-1) + np.diag([np.inf] * 40), axis=1
    )[:, :10]
    assert exists.all()
    np.testing.assert_allclose(near[0], want, rtol=1e-5)


def test_isolation_gives_more_mass_to_the_middle():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    state, _ = described(X)
    found = forest.forest_score(
        tensor([[[0.0, 0.0, 0.0], [6.0, 6.0, 6.0]]]), torch.full((1, 2), -1), state
    )
    assert found[0, 0] < found[0, 1]


def test_evidence_does_not_hang_on_shift_or_a_unit_of_all_columns(rows):
    rng = np.random.default_rng(2)
    query = rng.normal(size=(1, 6, 4))
    weights = scorer.init(torch.Generator().manual_seed(0))
    weights = {name: value.double() for name, value in weights.items()}

    def score(change):
        state, _ = described(change(rows))
        seen = universal.inputs(tensor(change(query)), state)
        return scorer.anomaly(weights, seen)[0].numpy()

    want = score(lambda X: X)
    shift = np.array([3.0, 0.0, -7.0, 1e3])
    for scale in (1e-3, 50.0, 1e6):
        np.testing.assert_allclose(
            score(lambda X, by=scale: X * by + shift), want, atol=1e-4
        )


def test_columns_of_many_units_each_count_in_their_own(rows):
    X = rows * np.array([1e-6, 1.0, 1e3, 1e6])
    state, _ = described(X)
    away = universal.standard(tensor(X)[None], state)
    np.testing.assert_allclose(away[0].square().mean(0).sqrt(), 1.0, rtol=0.1)


def test_spreads_near_each_other_are_moved_together():
    spread = np.array([[0.5, 1.0, 2.0, 1.0], [1e-6, 1.0, 1e6, 3.0]])
    alive = np.array([[1, 1, 1, 0], [1, 1, 1, 1]], bool)
    found = universal.in_like_units(torch.tensor(spread), torch.tensor(alive))
    for row, counts, got in zip(spread, alive, found.numpy(), strict=True):
        level = np.log(row[counts])
        v = (4 + ((level - level.mean()) ** 2).sum()) / len(level)
        weight = 1 / (1 + (v / 0.8) ** 2)
        want = np.exp(weight * level.mean() + (1 - weight) * level)
        np.testing.assert_allclose(got[counts], want)
    assert 0.5 < found[0, 0] < 0.7
    np.testing.assert_allclose(found[1], spread[1], rtol=0.01)


def test_labelled_outliers_are_evidence(rows):
    marked = np.concatenate([rows, np.full((3, 4), 9.0)])
    state, _ = described(marked, outlier=[40, 41, 42])
    near, far = np.full((1, 4), 9.1), -np.full((1, 4), 9.1)
    query = tensor(np.concatenate([near, far]))[None]
    seen = universal.inputs(query, state)
    labels = seen.rows[0][:, scorer.LABELS]
    assert (labels[0] > labels[1]).all()
    assert (labels[0] > 0).all()
    assert seen.context[0, -1] == pytest.approx(np.log(4))


def test_fresh_rows_show_the_evidence_that_left_out_rows_do():
    """What depends on being in the support alone must not set rows apart."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(400, 4))
    X[:, 3] = rng.integers(5, size=400)
    fresh = rng.normal(size=(2000, 4))
    fresh[:, 3] = rng.integers(5, size=2000)
    state, _ = described(X)
    seen = universal.inputs(tensor(fresh)[None], state)
    share_above = (-seen.rows[0, :, scorer.N_EVIDENCE :] - 1).exp()
    labels = set(range(scorer.LABELS.start, scorer.LABELS.stop))
    for i in set(range(scorer.N_EVIDENCE)) - labels:
        # Neighbours of a support row know it, and its value is rarer without it: local
        # ratios, and the rarity of a discrete value, are a little apart.
        bound = 0.25 if i in (5, 13, 33, 34, 35) else 0.12
        assert share_above[:, i].mean() == pytest.approx(0.5, abs=bound), i


def test_fresh_rows_show_it_where_rows_are_few_and_columns_many():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 60, 30))
    seldom = rng.random((100, 60, 10)) < 0.1
    X[:, :, 20:] = np.where(seldom, X[:, :, 20:], 0.0)
    support, fresh = tensor(X[:, :10]), tensor(X[:, 10:])
    mask = torch.ones(support.shape[:2], dtype=torch.bool)
    state, _ = universal.adapt(support, mask, ~mask)
    seen = universal.inputs(fresh, universal.awake(state))
    tail = seen.rows[..., scorer.N_EVIDENCE :]
    share_above = ((-tail - 1).exp() * 11 - 0.5) / 10
    # A value that a constant column never had is as rare as can be, to no support row.
    for i in range(scorer.GROUPS["labels"].start):
        # Ranks of a left-out row keep its place free, so that it is alone in normal
        # scores and in pairs; a fresh one has no place of its own.
        bound = 0.46 if i in scorer.GROUPS["pairs"] else 0.36
        assert share_above[..., i].mean() == pytest.approx(0.5, abs=bound), i


def test_the_backbone_weighs_all_and_the_strongest_evidence():
    g = torch.Generator().manual_seed(0)
    weights = scorer.init(g)
    context = torch.randn(2, scorer.N_CONTEXT, generator=g)
    shape = weights["backbone.context"].shape
    weights["backbone.context"] = torch.randn(shape, generator=g)
    rows = torch.randn(2, 3, 2 * scorer.N_EVIDENCE, generator=g)
    seen = scorer.Inputs(rows, None, None, None, context)
    found = scorer.backbone(weights, seen).numpy()
    kept = np.delete(np.arange(scorer.N_EVIDENCE), scorer.LABELS)
    for t in range(2):
        weight = (
            weights["backbone"] + context[t] @ weights["backbone.context"]
        ).numpy()
        for r in range(3):
            row = rows[t, r].numpy()
            z = np.sort(row[kept])[::-1]
            means = [z.mean(), row[scorer.N_EVIDENCE + kept].mean()]
            means += [z[:k].mean() for k in scorer.STRONGEST]
            assert found[t, r] == pytest.approx(weight @ means, rel=1e-4)


def test_a_ranking_falls_short_of_the_better_of_its_rivals():
    good = torch.tensor([[0.0, 1.0, 2.0, 3.0]])
    bad, steep = -good, 100 * good
    assert ranking.shortfall(good * 0, [good, bad], 2).item() == pytest.approx(0.5)
    assert ranking.shortfall(steep, [good, bad], 2).item() == pytest.approx(0.0)
    assert ranking.shortfall(good * 0, [bad], 2).item() == 0.0


def test_batches_hold_narrow_tables_or_wide_ones():
    g = torch.Generator().manual_seed(0)
    wide = torch.arange(10) >= 8
    found = [wide[ranking.some_alike(wide, g)] for _ in range(200)]
    assert all(len(set(one.tolist())) == 1 for one in found)
    share = np.mean([bool(one[0]) for one in found])
    assert share == pytest.approx(0.2, abs=0.1)
