"""Tests run on one thread.

The networks are small, and threads that wait for each other on a busy machine take ten
times as long.
"""

import os

from threadpoolctl import threadpool_limits

# The libraries may be loaded already, too late for a variable to tell; processes that
# tests start read it.
threadpool_limits(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Numba, under some of PyOD's detectors, would else give torch more threads as well.
os.environ.setdefault("NUMBA_NUM_THREADS", "1")
