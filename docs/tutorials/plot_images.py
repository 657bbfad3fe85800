"""
Pictures: one character is normal
=================================

A few drawings of one character are the support; for every other drawing the question
is whether it shows the same character. The tutorial takes Omniglot from the folder that
the environment variable ``SKMETAAD_DATA`` names, if it is there
(``omniglot/background.npz`` and ``omniglot/test.npz``, 28 x 28 pixels), and
scikit-learn's digits otherwise.
"""

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from pyod.models.knn import KNN
from sklearn.datasets import load_digits

from skmetaad import (
    MetaPrototypeDetector,
    PyODDetector,
    TaskCollection,
    few_shot_scores,
)

folder = Path(os.environ.get("SKMETAAD_DATA", "")) / "omniglot"
is_omniglot = (folder / "test.npz").is_file()


def characters(name):
    """Return one task per character: 20 drawings, and 60 of other characters."""
    with np.load(folder / name, allow_pickle=False) as file:
        X, character = file["X"].astype(np.float32) / 255, file["class_id"]
    return TaskCollection.from_classes(
        X.reshape(len(X), -1), character, max_outliers=60, random_state=0
    )


if is_omniglot:
    known, new = characters("background.npz"), characters("test.npz")
    known = known[np.arange(0, len(known), 3)]
    side = 28
else:
    X, digit = load_digits(return_X_y=True)
    known, new = (
        TaskCollection.from_classes(
            X[part], digit[part], max_outliers=200, random_state=0
        )
        for part in (digit < 5, digit >= 5)
    )
    side = 8
print("Omniglot" if is_omniglot else "digits", known, new, sep="\n")

# %%
# The classes of training and test are disjoint: no test character, nor digit, is seen
# in training.
#
# Training
# --------
#
# ``encoder="conv4"`` is the four-layer convolutional network of the few-shot
# literature. ``negatives="batch"`` contrasts every class with all others of a
# meta-batch, and ``augment="distort"`` makes new classes of old ones by quarter turns.
# This is a short run; the :doc:`page on Omniglot </omniglot>` has the long one.

detectors = {
    "MetaPrototype": MetaPrototypeDetector(
        encoder="conv4",
        image_shape=(side, side),
        n_channels=16,
        n_networks=1 if is_omniglot else 3,
        standardize=False,
        augment="distort",
        negatives="batch",
        n_support=(1, 5),
        n_query=10,
        n_iter=150 if is_omniglot else 100,
        early_stopping=is_omniglot,
        random_state=0,
    ),
    "nearest neighbour": PyODDetector(KNN(n_neighbors=1)),
}
shots = (2, 5, 10)
print(f"{'mean AUROC at K =':<20}" + "".join(f"{k:>7}" for k in shots))
for name, detector in detectors.items():
    detector.fit(known)
    means = [
        np.mean(list(few_shot_scores(detector, new, n_support=k).values()))
        for k in shots
    ]
    print(f"{name:<20}" + "".join(f"{mean:7.3f}" for mean in means))

# %%
# On characters, with hundreds of classes to train on, the learned embedding is far
# ahead of pixels. On digits it is not: five classes do not teach an embedding that
# carries over to five others, and the nearest neighbour on the pixels is as good or
# better.
#
# What is flagged
# ---------------
#
# Five drawings to adapt on, then the drawings it thinks least and most normal.

one = new[0]
support = one.X[one.y == 1][:5]
adapted = detectors["MetaPrototype"].adapt(support)
rest = np.concatenate([one.X[one.y == 1][5:], one.X[one.y == -1]])
order = np.argsort(adapted.score_samples(rest))

figure, axes = plt.subplots(3, 5, figsize=(6.4, 4.2), layout="constrained")
rows = (support, rest[order[-5:]], rest[order[:5]])
for line, pictures, title in zip(
    axes, rows, ("support", "most normal", "least normal"), strict=True
):
    for ax, picture in zip(line, pictures, strict=True):
        ax.imshow(picture.reshape(side, side), cmap="gray_r")
        ax.set(xticks=[], yticks=[])
    line[0].set_ylabel(title)
