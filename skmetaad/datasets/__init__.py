"""Task collections: generated ones, and loaders of folders."""

from skmetaad.datasets._directory import load_directory
from skmetaad.datasets._fleet import make_fleet
from skmetaad.datasets._tables import make_tables

__all__ = ["load_directory", "make_fleet", "make_tables"]
