"""why: says of each job that targets need why it would run."""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from neuroinverse.config import require_root
from neuroinverse.errors import NeuroinverseError
from neuroinverse.files import CLONE
from neuroinverse.reasons import HEADER


def run(target: Sequence[str] = ()) -> None:
    """Prints a line for each rule and reason, of a dry run.

    Args:
        target: Files to make, rules, or options of Snakemake; those of the configuration when empty.

    Raises:
        NeuroinverseError: If Snakemake refuses the targets; the message is what it said.
    """
    require_root()
    command = [Path(sys.executable).with_name("snakemake"), "--snakefile", CLONE / "Snakefile"]
    command += ["--profile", CLONE / "profiles" / "local", "--dry-run", "--quiet", "all", "--", *target]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        # its message, without the banner before it and where it stands in our files
        said = re.search(r"\w*(?:Error|Exception)\b.*", done.stdout + done.stderr, re.DOTALL)
        said = re.split(r"\n *(?:Wildcards|Traceback|Using profile|File)\b", said[0] if said else done.stderr)[0]
        raise NeuroinverseError(" ".join(said.split()))
    print(done.stdout.partition(f"\n{HEADER}\n")[2].strip() or "nothing would run: all is there, and as the study says")
