"""What NEURON prints when it fails: heard, printed on, and put into one line. NEURON 8 raises little else."""

import io
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

from neuroinverse.simulators import user_module

# words that say what went wrong, where NEURON goes on without an error
_QUIET = ("Couldn't find", "dlopen failed", "cannot open", "Cannot open", "can't open", "No such file")


class _Tee(io.TextIOBase):
    """Writes on, and keeps what was written."""

    def __init__(self, on, kept: list[str]):
        self._on, self._kept = on, kept

    def write(self, text: str) -> int:
        self._kept.append(text)
        return self._on.write(text)

    def flush(self) -> None:
        self._on.flush()


@contextmanager
def listening() -> Iterator[list[str]]:
    """Collects what NEURON and Python print, all of it sent on to standard error."""
    printed: list[str] = []
    tee = _Tee(sys.stderr, printed)
    with redirect_stdout(tee), redirect_stderr(tee):
        yield printed


def cause(printed: list[str], error: BaseException | None = None, by_python: bool = False) -> str:
    """The reason of a failure in one line.

    Args:
        printed: What `listening` collected.
        error: What was raised, if anything was.
        by_python: Whether Python code of the user's ran: its file and line are told.
    """
    lines = "".join(printed).splitlines()
    found = []
    for i, line in enumerate(lines):
        if line.startswith("NEURON: "):
            place = re.match(r"\s*(?:in (\S.*) )?near line (\d+)", lines[i + 1]) if i + 1 < len(lines) else None
            # NEURON says line 0 where it does not know
            at = f" ({place[1]}, line {place[2]})" if place and place[1] and place[2] != "0" else ""
            found.append(line.removeprefix("NEURON: ").strip() + at)
        elif any(words in line for words in _QUIET):
            found.append(line.strip())
    # what Python code called by NEURON raised is printed alone
    found += re.findall(r"(?m)^([A-Z]\w*(?:Error|Exception|Exit|Interrupt)\b.*)$", "".join(printed))[-1:]
    # of NEURON's own complaint Python hears nothing but a general word
    said = " ".join(str(error).split()) if error is not None else ""
    if error is not None and by_python:
        found.append(user_module.cause(error))
    elif error is not None and not (isinstance(error, RuntimeError) and "hocobj_call" in said and found):
        found.append(f"{type(error).__name__}: {said}" if said else type(error).__name__)
    text = "; ".join(dict.fromkeys(found))
    if "'ascii' codec" in text:
        text += "; NEURON takes letters beyond ASCII as bytes: h.load_file(os.fsencode(path))"
    return text or "NEURON gave no reason"
