"""A real Slurm of one node on loopback, for tests: installs, starts and stops it.

    python tests/slurm/cluster.py install
    python tests/slurm/cluster.py start [--folder DIR]     prints the SLURM_CONF to export
    python tests/slurm/cluster.py status [--folder DIR]
    python tests/slurm/cluster.py stop [--folder DIR]

Everything it writes is below its folder, but for a link in /etc/slurm, and a line in /etc/hosts where the host's name
does not resolve; ports and the socket of munge are its own. It needs Linux and root: slurmd starts jobs, and GPUs are
played by character devices.
"""

import argparse
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PACKAGES = ("munge", "slurmctld", "slurmd", "slurm-client")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")
SYSTEM_PATH = "/usr/sbin:/sbin"
# where programs look that are not told: the executor plugin drops SLURM_CONF from the environment of its steps
ETC = Path("/etc/slurm/slurm.conf")
FOLDER = Path(tempfile.gettempdir()) / "neuroinverse-slurm"

CPU_PARTITION, GPU_PARTITION, ACCOUNT = "short", "accel", "lab"
GPUS = 4
# the node pretends to be larger than a small machine is: jobs wait for one another less, and tests are quicker
CPUS, LEAST_MEMORY_MB = 16, 16000

SLURM_CONF = """
ClusterName=ci
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld_port}
SlurmdPort={d_port}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
AuthInfo=socket={folder}/run/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/ctld
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.log
# without cgroups, which containers seldom have
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
# an impossible request is refused; else it waits for ever
EnforcePartLimits=ALL
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=sched_interval=5,sched_min_interval=0,batch_sched_delay=0,bf_interval=5
JobRequeue=0
# finished jobs stay listed long enough to be counted
MinJobAge=3600
KillWait=5
DefMemPerCPU=500
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
GresTypes=gpu
# what a database of accounts does elsewhere
JobSubmitPlugins=lua
AccountingStorageType=accounting_storage/none
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory_mb} Gres=gpu:{gpus} Features=cpu,gpu State=UNKNOWN
PartitionName={cpu_partition} Nodes={host} Default=YES MaxTime=24:00:00 DefaultTime=10 State=UP
PartitionName={gpu_partition} Nodes={host} MaxTime=24:00:00 DefaultTime=10 State=UP
"""

JOB_SUBMIT_LUA = """
function slurm_job_submit(job, partitions, uid)
    if job.account ~= "{account}" then
        return slurm.ESLURM_INVALID_ACCOUNT
    end
    return slurm.SUCCESS
end

function slurm_job_modify(job, record, partitions, uid)
    return slurm.SUCCESS
end
"""


class Unavailable(Exception):
    """Why there can be no Slurm here."""


def environment(folder: Path = FOLDER) -> dict[str, str]:
    """Variables by which clients find this cluster."""
    return {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": f"{os.environ['PATH']}:{SYSTEM_PATH}"}


def missing() -> list[str]:
    """Programs that are not installed."""
    return [program for program in PROGRAMS if not shutil.which(program, path=f"{os.environ['PATH']}:{SYSTEM_PATH}")]


def check() -> None:
    """Checks that there can be one.

    Raises:
        Unavailable: If not; with what is missing.
    """
    _check_machine()
    if missing():
        raise Unavailable(f"{', '.join(missing())} missing; to install: python tests/slurm/cluster.py install")


def _check_machine() -> None:
    if not sys.platform.startswith("linux"):
        raise Unavailable(f"Slurm runs on Linux, this is {sys.platform}")
    if os.geteuid() != 0:
        raise Unavailable("a Slurm of one's own needs root")


def install() -> None:
    """Installs what is missing with apt.

    Raises:
        Unavailable: If that is not possible here.
    """
    _check_machine()
    if not missing():
        return
    if not shutil.which("apt-get"):
        raise Unavailable(f"{', '.join(missing())} missing, and there is no apt-get to install {', '.join(PACKAGES)}")
    # runlevel 1 keeps the packages' scripts from starting daemons of their own
    variables = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    command = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *PACKAGES]
    for step in (["apt-get", "update", "--quiet"], command):
        done = subprocess.run(step, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        # lists that are a little old may do: what counts is whether the packages come
        if done.returncode and step is command:
            raise Unavailable(f"{' '.join(step)} failed:\n{done.stdout[-1000:]}")
    if missing():
        raise Unavailable(f"{', '.join(missing())} missing after {' '.join(command)}")


def start(folder: Path = FOLDER, cpus: int = CPUS, seconds: float = 60) -> None:
    """Starts munged, slurmctld and slurmd, and waits until the node takes jobs; does nothing where they run.

    Args:
        folder: State, logs and sockets; made if missing.
        cpus: Cores that the node has in Slurm's eyes.
        seconds: How long to wait.

    Raises:
        Unavailable: If another Slurm is set up, or a daemon does not come up; with the end of its log.
    """
    folder = folder.resolve()
    if is_up(folder):
        return
    stop(folder)
    _free_link()
    host = resolvable_host()
    for name in ("run", "log", "ctld", "spool"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    _configure(folder, host, cpus)
    ETC.parent.mkdir(exist_ok=True)
    ETC.symlink_to(folder / "slurm.conf")
    run, log = folder / "run", folder / "log"
    munged = ["munged", "--force", f"--socket={run}/munge.socket", f"--key-file={folder}/munge.key"]
    munged += [f"--pid-file={run}/munged.pid", f"--log-file={log}/munged.log", f"--seed-file={run}/munged.seed"]
    for command in (munged, ["slurmctld"], ["slurmd", "-N", host]):
        done = _client(folder, *command)
        if done.returncode:
            raise Unavailable(f"{command[0]} does not start: {done.stdout.strip()}\n{_last_words(folder)}")
        _wait(lambda name=command[0]: _pid(folder, name), folder, seconds, command[0])
    _wait(lambda: is_up(folder), folder, seconds, "the node")


def stop(folder: Path = FOLDER, seconds: float = 20) -> None:
    """Ends all jobs, then each daemon by the id in its own file; does nothing where none runs, but removes the link."""
    folder = folder.resolve()
    if _pid(folder, "slurmctld") and _pid(folder, "slurmd"):
        _client(folder, "scancel", "--state=PENDING,RUNNING,SUSPENDED", "--user=root", timeout=20)
        end = time.monotonic() + seconds
        while _client(folder, "squeue", "--noheader", timeout=20).stdout.strip() and time.monotonic() < end:
            time.sleep(0.2)
    for name in ("slurmd", "slurmctld", "munged"):
        pid, end = _pid(folder, name), time.monotonic() + seconds
        if pid:
            os.kill(pid, signal.SIGTERM)
            while _pid(folder, name) and time.monotonic() < end:
                time.sleep(0.1)
            if _pid(folder, name):
                os.kill(pid, signal.SIGKILL)
        (folder / "run" / f"{name}.pid").unlink(missing_ok=True)
    if ETC.is_symlink() and ETC.readlink() == folder / "slurm.conf":
        ETC.unlink()


def is_up(folder: Path = FOLDER) -> bool:
    """Whether the controller answers and the node takes jobs; a node that is down is resumed."""
    if not (_pid(folder, "munged") and _pid(folder, "slurmctld") and _pid(folder, "slurmd")):
        return False
    if _client(folder, "scontrol", "ping", timeout=20).returncode:
        return False
    states = set(_client(folder, "sinfo", "--noheader", "--format=%T", timeout=20).stdout.split())
    if states & {"down", "down*", "drained", "draining", "drained*"}:
        _client(folder, "scontrol", "update", f"nodename={socket.gethostname().split('.')[0]}", "state=resume")
    return bool(states) and states <= {"idle", "mixed", "allocated", "completing"}


def resolvable_host() -> str:
    """This machine's short name; is entered in /etc/hosts where it does not resolve to loopback."""
    host = socket.gethostname().split(".")[0]
    try:
        local = socket.gethostbyname(host).startswith("127.")
    except OSError:
        local = False
    if not local:
        with Path("/etc/hosts").open("a") as file:
            file.write(f"127.0.0.1 {host}\n")
    return host


def _free_link() -> None:
    """Removes the link that a killed test has left; refuses to touch anything else."""
    if not os.path.lexists(ETC):
        return
    owner = ETC.readlink().parent if ETC.is_symlink() else ETC.parent
    if owner.parent != Path(tempfile.gettempdir()).resolve():
        raise Unavailable(f"another Slurm is set up in {ETC}")
    if _pid(owner, "slurmctld"):
        raise Unavailable(f"another one runs; end it with: python tests/slurm/cluster.py stop --folder {owner}")
    ETC.unlink()


def edit_profile(file: Path) -> None:
    """Edits profiles/slurm/config.yaml as it tells its user: the two lines, and the block that asks for GPUs.

    The cluster's GPUs are none that TensorFlow knows: they are asked for as `gres`, of which trainings are not told.
    """
    content = file.read_text()
    for old, new in (
        (r"( slurm_account: )my_account(?= +# EDIT)", rf"\g<1>{ACCOUNT}"),
        (r"( slurm_partition: )cpu(?= +# EDIT)", rf"\g<1>{CPU_PARTITION}"),
        (r"# (set-resources:\n)# ( +train_fold:\n)", r"\1\2"),
        (r"# ( +slurm_partition: )gpu(?= )", rf"\g<1>{GPU_PARTITION}"),
        (r"# ( +)gpu: 1(?= )", r"\1gres: gpu:1"),
    ):
        content, n = re.subn(old, new, content)
        assert n == 1, f"{file}: {n} places where it has {old}"
    assert content.count("# EDIT") == 2, f"{file}: other lines want editing too"
    file.write_text(content)


def _configure(folder: Path, host: str, cpus: int) -> None:
    """Writes slurm.conf, gres.conf, cgroup.conf, munge's key, and the devices that play GPUs."""
    memory_kb = int(Path("/proc/meminfo").read_text().split("MemTotal:")[1].split()[0])
    ctld_port, d_port = _free_ports(2)
    content = SLURM_CONF.format(
        host=host,
        folder=folder,
        ctld_port=ctld_port,
        d_port=d_port,
        memory_mb=max(LEAST_MEMORY_MB, int(0.9 * memory_kb / 1024)),
        cpus=cpus,
        gpus=GPUS,
        cpu_partition=CPU_PARTITION,
        gpu_partition=GPU_PARTITION,
    )
    (folder / "slurm.conf").write_text(content.lstrip())
    (folder / "job_submit.lua").write_text(JOB_SUBMIT_LUA.format(account=ACCOUNT).lstrip())
    # devices are needed: without File= jobs get no CUDA_VISIBLE_DEVICES
    (folder / "gres.conf").write_text(f"NodeName={host} Name=gpu File={folder}/gpu[0-{GPUS - 1}]\n")
    for i in range(GPUS):
        device = folder / f"gpu{i}"
        if not device.exists():
            # what /dev/null is
            os.mknod(device, 0o600 | 0o020000, os.makedev(1, 3))
    key = folder / "munge.key"
    key.unlink(missing_ok=True)
    with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "wb") as file:
        file.write(secrets.token_bytes(1024))


def _free_ports(n: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def _client(folder: Path, *command: str, timeout: float = 60) -> subprocess.CompletedProcess:
    """Runs a program of Slurm's; standard error is part of what it prints."""
    variables = os.environ | environment(folder)
    program = shutil.which(command[0], path=variables["PATH"])
    if program is None:
        return subprocess.CompletedProcess(command, 127, f"{command[0]} is not installed")
    try:
        return subprocess.run(
            [program, *command[1:]],
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired as error:
        return subprocess.CompletedProcess(command, 124, str(error))


def _pid(folder: Path, name: str) -> int | None:
    """Id of a daemon of this cluster, None when it does not run."""
    try:
        pid = int((folder / "run" / f"{name}.pid").read_text())
        # an id may have been given to another process since
        return pid if Path(f"/proc/{pid}/comm").read_text().strip() == name else None
    except (OSError, ValueError):
        return None


def _wait(what, folder: Path, seconds: float, name: str) -> None:
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            raise Unavailable(f"{name} did not come up in {seconds:g} s\n{_last_words(folder)}")
        time.sleep(0.1)


def _last_words(folder: Path) -> str:
    """Ends of the daemons' logs."""
    return "\n".join(f"{f.name}: {f.read_text()[-800:]}" for f in sorted((folder / "log").glob("*.log")))


def main() -> None:
    """Runs a command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=("install", "start", "stop", "status"))
    parser.add_argument("--folder", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    try:
        if arguments.command in ("install", "start"):
            install()
        if arguments.command == "start":
            start(arguments.folder)
            print(f"export SLURM_CONF={environment(arguments.folder.resolve())['SLURM_CONF']}")
        elif arguments.command == "stop":
            stop(arguments.folder)
        elif arguments.command == "status":
            up = is_up(arguments.folder.resolve())
            print(_client(arguments.folder.resolve(), "sinfo").stdout if up else "not running")
            sys.exit(not up)
    except Unavailable as error:
        sys.exit(f"no Slurm here: {error}")


if __name__ == "__main__":
    main()
