"""How long calls take."""

import statistics
import time


def seconds(call, repeats):
    """Return the median of the seconds that call() takes."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
