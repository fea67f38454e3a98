"""Progress of long work: a bar on a terminal, a line a minute in a log."""

import sys
import time


class Progress:
    """Counts units of work towards a total.

    Args:
        total: Units in all.
        what: What is counted, in the plural.
        every_s: Seconds between two lines in a log.
    """

    def __init__(self, total: int, what: str, every_s: float = 60.0):
        self.total, self.what, self.every_s = total, what, every_s
        self.done, self.start, self.shown = 0, time.monotonic(), time.monotonic()
        self.bar = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(total=total, unit=f" {what}", file=sys.stderr)

    def add(self, count: int = 1, note: str = "") -> None:
        """Counts `count` more units; `note` is shown beside them."""
        self.done += count
        if self.bar is not None:
            self.bar.set_postfix_str(note)
            self.bar.update(count)
            return
        now = time.monotonic()
        if now - self.shown >= self.every_s or self.done >= self.total:
            self.shown = now
            rate = self.done / max(now - self.start, 1e-9)
            left = (self.total - self.done) / max(rate, 1e-9)
            print(
                f"{self.done} of {self.total} {self.what}, {rate:.3g} per s, {left:.0f} s left {note}".rstrip(),
                file=sys.stderr,
                flush=True,
            )

    def close(self) -> None:
        """Ends the bar."""
        if self.bar is not None:
            self.bar.close()
