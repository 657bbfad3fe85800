"""The recipe for Omniglot, with smaller settings: pictures of unseen alphabets."""

import os

import numpy as np
import pytest
from _benchmarks import load_benchmark
from _imports import ROOT
from sklearn.metrics import roc_auc_score

from skmetaad import MetaPrototypeDetector

pytest.importorskip("pyod", reason="the benchmark has PyOD's detectors beside ours")

FOLDER = os.environ.get("SKMETAAD_DATA") or ROOT.parent / "shared" / "data"


@pytest.fixture(scope="module")
def omniglot():
    return load_benchmark("omniglot")


@pytest.mark.slow
def test_characters_of_unseen_alphabets_are_told_apart(omniglot):
    folder = os.path.join(FOLDER, "omniglot")
    if not os.path.isdir(folder):
        pytest.skip(f"no Omniglot in {FOLDER}: set SKMETAAD_DATA")
    train, held_out, test = omniglot.load(folder)
    detector = MetaPrototypeDetector(
        encoder="conv4",
        n_channels=16,
        n_networks=1,
        standardize=False,
        augment="rotate",
        negatives="batch",
        n_support=(1, 5),
        n_query=10,
        meta_batch_size=32,
        n_iter=150,
        learning_rate=5e-3,
        random_state=0,
    ).fit(train.tasks())
    support, query = test.episodes(5, 200, hard=False)
    calibrated = detector.calibrate(held_out.tasks())
    auroc, accuracy = omniglot.measures(omniglot.decisions(calibrated, support, query))
    far = ((query[:, :, None] - support[:, None]) ** 2).sum(-1).min(-1)
    odd = np.repeat([0, 1], omniglot.N_QUERY)
    pixels = np.mean([roc_auc_score(odd, row) for row in far])
    assert auroc.mean() > 0.9
    assert auroc.mean() > pixels + 0.12
    assert accuracy.mean() > 0.8
