"""Transformers for pipelines before a detector."""

from skmetaad.preprocessing._center import CenterPictures
from skmetaad.preprocessing._per_task import PerTaskTransformer

__all__ = ["CenterPictures", "PerTaskTransformer"]
