"""Benchmarks for asv; each class names its parameters from small to large."""

import sys
from pathlib import Path

# The scripts beside this folder, which the suite takes parts from.
sys.path.append(str(Path(__file__).parents[2]))
