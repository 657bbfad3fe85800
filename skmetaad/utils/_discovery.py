"""Discovery of the public detectors."""

import inspect


def all_detectors():
    """Return every public meta-learning detector of the package.

    Returns
    -------
    detectors : list of (str, type)
        Names and classes, sorted by name: the concrete subclasses of
        `BaseMetaDetector` exported by `skmetaad.detectors`.

    Examples
    --------
    >>> from skmetaad.utils import all_detectors
    >>> [name for name, _ in all_detectors()]  # doctest: +ELLIPSIS
    ['DeepClusteringDetector', ...]
    """
    from skmetaad import detectors
    from skmetaad.base import BaseMetaDetector

    return sorted(
        (name, cls)
        for name, cls in vars(detectors).items()
        if name in detectors.__all__
        and inspect.isclass(cls)
        and issubclass(cls, BaseMetaDetector)
    )
