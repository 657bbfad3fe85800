"""Checks of single arguments."""

from numbers import Integral, Real

import numpy as np


def check_count(name, value, least=1):
    """Refuse what is not a whole number, or too small a one."""
    expected = f"{name}={value!r}: expected an int, at least {least}."
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(expected)
    if value < least:
        raise ValueError(expected)


def check_chronological(value):
    """Refuse what is neither a bool nor "consecutive"."""
    known = isinstance(value, bool | np.bool_)
    if not known and not (isinstance(value, str) and value == "consecutive"):
        raise ValueError(
            f"chronological={value!r}: expected True, False or 'consecutive'."
        )


def check_share(name, value):
    """Refuse what is not a number in [0, 1)."""
    if not isinstance(value, Real):
        raise TypeError(f"{name}={value!r}: expected a number in [0, 1).")
    if not 0 <= value < 1:
        raise ValueError(f"{name}={value!r}: expected [0, 1).")


def check_draws(n_support, n_outliers, contamination, chronological):
    """Refuse what does not say how supports are drawn."""
    check_count("n_support", n_support)
    check_count("n_outliers", n_outliers, 0)
    check_share("contamination", contamination)
    check_chronological(chronological)
