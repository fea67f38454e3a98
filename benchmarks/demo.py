"""What a newcomer waits for: clones the checkout, empties the cache, runs `make demo`, records time and peak memory.

The peak is that of all processes of the run together (sum of proportional set sizes, sampled twice a second).

    python benchmarks/demo.py
"""

import os
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from neuroinverse.records import write_record

ROOT = Path(__file__).parents[1]


def family(root_pid: int) -> list[int]:
    """Process ids of a process and all that it started."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError):
            continue
    members, grown = {root_pid}, True
    while grown:
        new = {pid for pid, parent in parents.items() if parent in members} - members
        members |= new
        grown = bool(new)
    return sorted(members)


def proportional_bytes(pid: int) -> int:
    """Memory of a process, shared pages divided among their users (bytes)."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def main() -> None:
    """Runs the demo in a fresh clone and writes docs/records/demo.json."""
    with tempfile.TemporaryDirectory() as folder:
        clone, home = Path(folder) / "clone", Path(folder) / "home"
        home.mkdir()
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("UV_", "XDG_", "VIRTUAL_ENV"))}
        environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
        start = time.monotonic()
        run = subprocess.Popen(["make", "demo"], cwd=clone, env=environment)
        peak = 0

        def watch():
            nonlocal peak
            while run.poll() is None:
                peak = max(peak, sum(map(proportional_bytes, family(run.pid))))
                time.sleep(0.5)

        watcher = threading.Thread(target=watch)
        watcher.start()
        installed = None
        while run.poll() is None:
            if installed is None and (clone / ".venv/.installed").exists():
                installed = time.monotonic() - start
            time.sleep(0.2)
        watcher.join()
        seconds = time.monotonic() - start
        reports = [clone / f"results/{study}/demo/report.html" for study in ("hh_point_2", "izhikevich")]
        missing = [str(r) for r in reports if not r.is_file()]
        if run.returncode or missing:
            raise SystemExit(f"make demo failed with {run.returncode}; missing: {missing}")
        figures = {"wall_seconds": seconds, "install_seconds": installed, "peak_memory_gb": peak / 1e9}
        write_record("demo", "python benchmarks/demo.py", figures)


if __name__ == "__main__":
    main()
