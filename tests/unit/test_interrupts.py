"""Ctrl-C where Python would lose it."""

import signal
import subprocess
import sys

PROGRAM = """
import os, signal
from neuroinverse import interrupts

class Finalised:
    def __init__(self, action):
        self.action = action
    def __del__(self):
        self.action()

def fail():
    raise ValueError("another error")

interrupts.install()
Finalised(lambda: os.kill(os.getpid(), signal.{name}))
Finalised(fail)
print(interrupts.requested())
"""


def test_an_interrupt_inside_a_finaliser_is_remembered_in_silence():
    for name in ("SIGINT", "SIGTERM"):
        assert getattr(signal, name)
        program = PROGRAM.format(name=name)
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert done.stdout.split() == ["True"], done.stderr
        assert "KeyboardInterrupt" not in done.stderr
        assert "another error" in done.stderr, "other errors are shown as ever"
