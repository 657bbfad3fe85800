"""Pictures shifted to their middle."""

from math import isqrt
from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from skmetaad._compat import Interval
from skmetaad._restore import restored_on_error
from skmetaad._rows import check_features, picture_shape


class CenterPictures(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    r"""Shift each picture by whole pixels so that its ink lies in the middle.

    The centre of mass of a picture of values :math:`x_{ij}` on the background b,

    .. math:: c = \sum_{ij} (i, j) \, |x_{ij} - b| \, / \sum_{ij} |x_{ij} - b|,

    goes to the pixel next to the picture's middle, as in MNIST [1]_. Pixels that come
    in are background, and those that go out are lost. Where a drawing was made says
    nothing then, and a network need not learn so.

    Parameters
    ----------
    image_shape : tuple of 2 or 3 ints or None, default=None
        (height, width) or (channels, height, width) of a row's picture. None: that of
        the pictures given to `fit`; or, where these are rows, a square if their number
        of features allows it, else one line of pixels.
    background : float, default=0.0
        The value of pixels without ink.

    Attributes
    ----------
    image_shape_ : tuple of 3 ints
        Channels, height and width.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns seen in `fit`, when `X` has names.

    References
    ----------
    .. [1] LeCun, Bottou, Bengio, Haffner (1998). Gradient-based Learning Applied to
       Document Recognition. Proceedings of the IEEE 86(11). :doi:`10.1109/5.726791`

    Examples
    --------
    >>> import numpy as np
    >>> from skmetaad import CenterPictures
    >>> drawing = np.zeros((1, 3, 4))
    >>> drawing[0, 0, :2] = [1.0, 2.0]
    >>> CenterPictures().fit_transform(drawing).reshape(3, 4)
    array([[0., 0., 0., 0.],
           [0., 1., 2., 0.],
           [0., 0., 0., 0.]])
    """

    _parameter_constraints = {
        "image_shape": [tuple, list, None],
        "background": [Interval(Real, None, None, closed="neither")],
    }

    def __init__(self, image_shape=None, background=0.0):
        self.image_shape = image_shape
        self.background = background

    def fit(self, X, y=None):
        """Check the rows; there is nothing to learn.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features), or of pictures
            Pictures, flattened or as (n, h, w) or (n, c, h, w).
        y : object, default=None
            Ignored.

        Returns
        -------
        self : object
            The transformer.

        Raises
        ------
        ValueError
            When `image_shape` is not that of the rows.
        """
        self._validate_params()
        given = np.shape(X)[1:] if getattr(X, "ndim", 2) in (3, 4) else None
        with restored_on_error(self):
            n_features = check_features(self, X, reset=True).shape[1]
            side = isqrt(n_features)
            if given is None:
                given = (side, side) if side**2 == n_features else (1, n_features)
            self.image_shape_ = picture_shape(self.image_shape, given, n_features)
        return self

    def transform(self, X):
        """Return the pictures with their ink in the middle.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features), or of pictures
            Pictures, as in `fit`.

        Returns
        -------
        X_new : ndarray of shape (n_rows, n_features)
            The shifted pictures, flattened.
        """
        check_is_fitted(self)
        X = check_features(self, X, reset=False)
        pictures = X.reshape(len(X), *self.image_shape_)
        ink = np.abs(pictures - self.background).sum(axis=1)
        total = ink.sum(axis=(1, 2))
        moved = pictures
        for axis in (2, 3):
            size = pictures.shape[axis]
            profile = ink.sum(axis=4 - axis)
            middle = (size - 1) / 2
            off = profile @ (np.arange(size) - middle) / np.where(total > 0, total, 1.0)
            moved = self._shifted(
                moved, np.floor(off + 0.5 + 1e-9).astype(np.intp), axis
            )
        return moved.reshape(len(moved), -1)

    def _shifted(self, pictures, by, axis):
        """Return pictures that take each pixel from `by` pixels further."""
        size = pictures.shape[axis]
        source = np.arange(size) + by[:, None]
        inside = (source >= 0) & (source < size)
        shape = [len(pictures), 1, 1, 1]
        shape[axis] = size
        at = np.clip(source, 0, size - 1).reshape(shape)
        found = np.take_along_axis(pictures, at, axis=axis)
        background = pictures.dtype.type(self.background)
        return np.where(inside.reshape(shape), found, background)
