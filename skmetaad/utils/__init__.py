"""Discovery of detectors and checks for new ones."""

from skmetaad.utils._discovery import all_detectors

__all__ = ["all_detectors"]
