"""MetaGANDetector: scores and losses by hand, and what a user relies on."""

from itertools import product

import numpy as np
import pytest
import torch
from _plain import check_gradients, mlp, parameters, plain

from skmetaad import FewShotScorer, MetaGANDetector, PyODDetector, TaskCollection
from skmetaad.core.encoders import Dense
from skmetaad.core.gan import GAN
from skmetaad.core.train import Batch
from skmetaad.datasets import make_fleet

D, E, B = 4, 3, 2
JUDGES = ("net.", "discriminator.")


def core(**options):
    sizes = {"generator_sizes": (5,), "discriminator_sizes": (6,)}
    encoder = Dense((D, 6, E))
    return GAN(
        encoder, standardize=False, n_features=D, latent_size=B, **sizes, **options
    )


def rows():
    rng = np.random.default_rng(2)
    return rng.normal(size=(2, 5, D)), rng.normal(size=(2, 4, D))


class ByHand:
    """The method for one task in numpy, row by row."""

    def __init__(self, gan, params):
        self.gan = gan
        self.p = plain(params)

    def mean(self, rows):
        return np.mean([mlp(self.p, self.seen(r), 2, "net.") for r in rows], axis=0)

    def seen(self, row):
        return row * self.p["row_scale"]

    def given(self, x, c):
        return np.r_[x, c] if self.gan.conditional else x

    def made(self, z, c):
        return mlp(self.p, self.given(z, c), 2, "generator.")

    def encoded(self, x, c):
        return mlp(self.p, self.given(x, c), 2, "encoder.")

    def judged(self, x, c, z):
        """Return the log-odds that a row as seen is normal, and that it is real."""
        f = mlp(self.p, x, 2, "net.")
        parts = [f, c, np.abs(f - c)] if self.gan.conditional else [f]
        parts += [z] if self.gan.variant == "bigan" else []
        return mlp(self.p, np.concatenate(parts), 2, "discriminator.")

    def missed(self, x, c):
        return np.mean((self.made(self.encoded(x, c), c) - x) ** 2)

    def one(self, row, c):
        x, paired = self.seen(row), self.gan.variant == "bigan"
        judged = self.judged(x, c, self.encoded(x, c) if paired else None)
        if not paired:
            return judged[0 if self.gan.supervised else 1]
        error = np.log(self.missed(x, c) + 1e-6)
        if not self.gan.supervised:
            return 0.1 * judged[1] - 0.9 * error
        slope = np.exp(self.p["head.slope"])
        return judged[0] + self.p["head.bias"] - slope * error

    def score(self, row, support, labels):
        normal = self.mean(support[labels != -1])
        score = self.one(row, normal)
        if self.gan.conditional and (labels == -1).any():
            odd = self.mean(support[labels == -1])
            score -= np.log1p(np.exp(self.one(row, odd)))
        return score


FORMS = list(product(["gan", "bigan"], [True, False], [True, False]))


@pytest.mark.parametrize("labels", [[1, 1, 1, 1, 1], [1, 0, 1, -1, -1]])
@pytest.mark.parametrize(("variant", "conditional", "supervised"), FORMS)
def test_scores_equal_a_computation_by_hand(variant, conditional, supervised, labels):
    gan = core(variant=variant, conditional=conditional, supervised=supervised)
    params, (support, query) = parameters(gan, D), rows()
    y, mask = torch.tensor([labels] * 2), torch.ones(2, 5, dtype=torch.bool)
    state = gan.adapt(params, torch.tensor(support), y, mask)
    scores = gan.score(params, state, torch.tensor(query))
    hand = ByHand(gan, params)
    want = [
        [hand.score(row, support[t], np.array(labels)) for row in query[t]]
        for t in range(2)
    ]
    np.testing.assert_allclose(scores, want, rtol=1e-8, atol=1e-10)


def batch():
    support, query = map(torch.tensor, rows())
    labels = torch.tensor([[1, 1, -1, -1]] * 2)
    return Batch(support, torch.ones(2, 5, dtype=torch.int64), query, labels, seed=3)


def sides(gan, params, other):
    """Return by hand what the discriminator loses, and what those who mislead it do.

    Each takes the other side's parameters, and what these make, from `other`.
    """
    drawn = batch()
    softplus = lambda x: np.log1p(np.exp(x))  # noqa: E731
    noise = torch.Generator().manual_seed(drawn.seed)
    noise = torch.randn(2, 2, B, generator=noise).double().numpy()
    own, fixed = ByHand(gan, params), ByHand(gan, other)
    paired, told, misled = gan.variant == "bigan", [], []
    for t in range(2):
        support = drawn.support[t].numpy()
        c, fixed_c = own.mean(support), fixed.mean(support)
        for i in range(2):
            x, z = own.seen(drawn.query[t, i].numpy()), noise[t, i]
            code = fixed.encoded(x, fixed_c) if paired else None
            made = fixed.made(z, fixed_c)
            told.append(
                softplus(-own.judged(x, c, code)[1])
                + softplus(own.judged(made, c, z)[1])
            )
            misled.append(softplus(-fixed.judged(own.made(z, fixed_c), fixed_c, z)[1]))
            if paired:
                code = own.encoded(x, fixed_c)
                misled[-1] += softplus(fixed.judged(x, fixed_c, code)[1])
                misled[-1] += gan.cycle_weight * own.missed(x, fixed_c)
    return np.mean(told), np.mean(misled)


@pytest.mark.parametrize("conditional", [True, False])
@pytest.mark.parametrize("variant", ["gan", "bigan"])
def test_each_side_of_the_duel_descends_on_its_own_loss(variant, conditional):
    gan = core(variant=variant, conditional=conditional)
    params, drawn = parameters(gan, D), batch()
    names = [k for k in params if "." in k and not k.startswith("head.")]

    def duel(params):
        return gan.duel(params, gan.adapt(params, *drawn.given), drawn)

    def own_side(name):
        side = 0 if name.startswith(JUDGES) else 1
        return lambda moved: sides(gan, moved, params)[side]

    assert duel(params).item() == pytest.approx(
        sum(sides(gan, params, params)), rel=1e-9
    )
    check_gradients(duel, params, names, of=own_side)


@pytest.mark.parametrize("variant", ["gan", "bigan"])
def test_the_loss_is_the_duel_and_if_supervised_the_separation(variant):
    drawn = batch()
    for supervised in (True, False):
        gan = core(variant=variant, supervised=supervised, adversarial_weight=0.3)
        params = parameters(gan, D)
        state = gan.adapt(params, *drawn.given)
        duel = gan.duel(params, state, drawn)
        apart = gan.separated(params, state, drawn)
        want = apart + 0.3 * duel if supervised else duel
        torch.testing.assert_close(gan.loss(params, drawn), want)
    other = gan.duel(params, state, drawn._replace(seed=4))
    assert other != duel  # noise is the batch's own


@pytest.fixture(scope="module")
def fleet():
    return make_fleet(60, 150, 20, random_state=2)


def bare(tasks):
    """Return the tasks' normal rows, without labels."""
    kept = [np.asarray(t.X)[np.asarray(t.y) == 1] for t in tasks]
    code = np.repeat(np.arange(len(kept)), list(map(len, kept)))
    return TaskCollection.from_arrays(np.concatenate(kept), task=code)


@pytest.mark.slow
def test_without_any_outlier_it_is_far_above_the_nearest_neighbour(fleet):
    knn = pytest.importorskip("pyod.models.knn").KNN(n_neighbors=1)
    gan = MetaGANDetector(negatives="generated", n_iter=1000, random_state=0)
    gan.fit(bare(fleet[:45]))
    scorer = FewShotScorer(n_support=10)
    ours = scorer(gan, fleet[45:])
    assert ours > 0.9
    assert ours > scorer(PyODDetector(knn).fit(fleet[:45]), fleet[45:]) + 0.3


def test_generated_negatives_leave_labelled_outliers_unseen(fleet):
    params = {"negatives": "generated", "n_iter": 3, "random_state": 0}
    X = np.concatenate([t.X for t in fleet[:6]])
    y = np.concatenate([t.y for t in fleet[:6]])
    code = np.repeat(np.arange(6), 150)
    moved = X + 5 * (y == -1)[:, None]
    one, two = (
        MetaGANDetector(**params).fit(rows, y, task=code).meta_ for rows in (X, moved)
    )
    for name, value in one.items():
        np.testing.assert_array_equal(value, two[name], err_msg=name)


@pytest.mark.parametrize("negatives", ["auto", "generated"])
@pytest.mark.parametrize("variant", ["gan", "bigan"])
def test_early_stopping_watches_the_separation_of_held_out_tasks(
    fleet, variant, negatives, monkeypatch
):
    duel = GAN.duel

    def trained(*args):
        assert torch.is_grad_enabled()  # held-out tasks have no part in it
        return duel(*args)

    monkeypatch.setattr(GAN, "duel", trained)
    det = MetaGANDetector(
        variant=variant,
        negatives=negatives,
        n_iter=50,
        early_stopping=True,
        random_state=0,
    ).fit(fleet[:10])
    found = det.history_["validation_loss"]
    # The duel is beyond: two log-odds of zero are 2 log 2 alone.
    assert len(found) == 2
    assert (found < 2 * np.log(2)).all() or negatives == "generated"


def test_the_support_matters_only_to_a_conditional_one(fleet):
    params = {"standardize": False, "n_iter": 5, "random_state": 0}
    new = fleet[50]
    for conditional in (True, False):
        det = MetaGANDetector(conditional=conditional, **params).fit(fleet[:10])
        one, two = (
            det.adapt(new.X[rows]).score_samples(new.X)
            for rows in (slice(0, 10), slice(10, 20))
        )
        assert np.allclose(one, two) == (not conditional)


@pytest.mark.parametrize("name", ["generator_sizes", "discriminator_sizes"])
def test_bad_sizes_are_named(fleet, name):
    with pytest.raises(ValueError, match=rf"{name}=\(0,\): expected one or more pos"):
        MetaGANDetector(**{name: (0,)}).fit(fleet[:3])


def test_only_this_detector_generates_its_negatives(fleet):
    from skmetaad import RelationNetworkDetector

    with pytest.raises(ValueError, match="'negatives' parameter"):
        RelationNetworkDetector(negatives="generated").fit(fleet[:3])
