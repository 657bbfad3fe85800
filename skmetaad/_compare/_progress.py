"""Progress on stderr: a bar on a terminal that has tqdm, else plain lines."""

import time


class Progress:
    """Counts finished steps; call it with a label and its seconds."""

    def __init__(self, total, stream, quiet=False):
        self.total, self.stream, self.quiet = total, stream, quiet
        self.done, self.start = 0, time.perf_counter()
        self.bar = None if quiet else _bar(total, stream)

    def __call__(self, label, seconds):
        self.done += 1
        if self.bar is not None:
            self.bar.set_postfix_str(label)
            self.bar.update()
        elif not self.quiet and self._is_due():
            elapsed = time.perf_counter() - self.start
            print(
                f"{self.done}/{self.total} after {elapsed:.0f} s: {label} "
                f"({seconds:.1f} s)",
                file=self.stream,
                flush=True,
            )

    def close(self):
        if self.bar is not None:
            self.bar.close()

    def _is_due(self):
        every = max(1, self.total // 20)
        return self.done % every == 0 or self.done == self.total


def _bar(total, stream):
    if not stream.isatty():
        return None
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm(total=total, file=stream, unit="run", leave=False)
