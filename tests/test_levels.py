"""What evidence of UniversalDetector is set against, by plain numpy."""

import numpy as np
import pytest
import torch

from skmetaad.core import levels, scorer

N_EVIDENCE = scorer.N_EVIDENCE


def tensor(X):
    return torch.from_numpy(np.asarray(X, np.float64))


@pytest.fixture
def evidence():
    """Evidence of seven rows, with ties and an extreme, and values' of two columns."""
    rng = np.random.default_rng(0)
    found = rng.normal(size=(7, N_EVIDENCE)).round(5)
    found[3, :5] = found[2, :5]
    found[4, :9] += 30
    return found, rng.normal(size=(7, 2, 3))


def own_levels(found, values, n_absent=0):
    """Return the state of rows, some more of which are absent."""
    parts = [
        np.concatenate([part, np.full((n_absent, *part.shape[1:]), 5.0)])
        for part in (found, values)
    ]
    present = torch.arange(len(parts[0])) < len(found)
    state = levels.own_levels(*(tensor(part)[None] for part in parts), present[None])
    return state | {"count": torch.tensor([len(found)])}


def standing_by_hand(x, rest, n):
    """Return z and tail of one evidence beside the rest, where the support has n."""
    m = len(rest)
    low, middle, high, last = (
        np.sort(rest)[round((m - 1) * q)] for q in (0.1, 0.5, 0.9, 1.0)
    )
    spread = max((high - low) / 2.56, (last - middle) / 4) + 1e-2 + 2 / m
    z = (x - middle) / spread
    z = np.clip(4 + 2 * np.log(z / 4) if z > 4 else z, -4, 16)
    above = ((rest > x).sum() + (rest == x).sum() / 2) * n / m
    return z, -1 - np.log((above + 0.5) / (n + 1))


@pytest.mark.parametrize("n_absent", [0, 3])
@pytest.mark.parametrize("inside", [True, False])
def test_evidence_is_set_against_that_of_all_other_rows(evidence, inside, n_absent):
    found, values = evidence
    state = own_levels(found, values, n_absent)
    own = torch.arange(7)[None] if inside else torch.full((1, 7), -1)
    seen = levels.standing(tensor(found)[None], own, state)[0].numpy()
    labels = range(scorer.LABELS.start, scorer.LABELS.stop)
    for i in set(range(N_EVIDENCE)) - set(labels):
        for j in range(7):
            rest = np.delete(found[:, i], j) if inside else found[:, i]
            want = standing_by_hand(found[j, i], rest, 7)
            assert seen[j, [i, N_EVIDENCE + i]] == pytest.approx(want, abs=1e-9)
    # Labels' evidence has no level.
    assert (seen[:, labels] == found[:, labels]).all()
    assert (seen[:, [N_EVIDENCE + i for i in labels]] == 0).all()


@pytest.mark.parametrize("inside", [True, False])
def test_values_are_centred_on_those_of_all_other_rows(evidence, inside):
    found, values = evidence
    own = torch.arange(7)[None] if inside else torch.full((1, 7), -1)
    seen = levels.value_standing(tensor(values)[None], own, own_levels(found, values))
    for j in range(7):
        rest = np.delete(values, j, axis=0) if inside else values
        want = (values[j] - rest.mean(0)) / (rest.std(0) + 0.25)
        assert seen[0, j].numpy() == pytest.approx(want.clip(-4, 8), abs=1e-9)


def test_a_single_row_is_set_against_itself(evidence):
    found, values = (part[:1] for part in evidence)
    state = own_levels(found, values)
    for own in (0, -1):
        own = torch.tensor([[own]])
        seen = levels.standing(tensor(found)[None], own, state)
        z, tail = seen[0, 0].split(N_EVIDENCE)
        z[scorer.LABELS] = 0
        assert (z == 0).all()
        assert tail.isfinite().all()
        assert (levels.value_standing(tensor(values)[None], own, state) == 0).all()
