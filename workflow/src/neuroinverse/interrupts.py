"""Ctrl-C and SIGTERM, such that neither is lost.

Python raises KeyboardInterrupt wherever it happens to be. Inside a finaliser, of which TensorFlow has many, it is
forgotten: long loops therefore ask `requested()` as well, and nothing of it is printed. SIGTERM, with which clusters
end jobs, is treated the same, so that temporary files are removed.
"""

import signal
import sys
import threading

_requested = threading.Event()


def install(signals=(signal.SIGINT, signal.SIGTERM)) -> None:
    """Makes these signals raise KeyboardInterrupt and be remembered; only in a process's main thread."""
    if threading.current_thread() is threading.main_thread():
        for number in signals:
            signal.signal(number, _interrupt)
        sys.unraisablehook = _hide_interrupt


def installed() -> bool:
    """Whether a KeyboardInterrupt without `requested()` is of a program's own making."""
    return signal.getsignal(signal.SIGINT) is _interrupt


def requested() -> bool:
    """Whether the process was asked to end."""
    return _requested.is_set()


def _interrupt(number, frame) -> None:
    _requested.set()
    raise KeyboardInterrupt


def _hide_interrupt(unraisable) -> None:
    if unraisable.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(unraisable)
