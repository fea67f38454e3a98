"""What to mend when there is no Slurm, and which line of a profile when it refuses a job."""

import getpass
import itertools
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import yaml

from neuroinverse.errors import ConfigError

# what sbatch says; the resource it is about; the option it came by; what shows the possible values
REASONS = (
    (
        r"invalid account",
        "slurm_account",
        r" -A '?([^\s']+)",
        "sacctmgr -n show associations user=$USER format=account",
    ),
    (r"invalid partition", "slurm_partition", r" -p '?([^\s']+)", "sinfo -s"),
    (r"invalid qos", "qos", r" --qos='?([^\s']+)", "sacctmgr -n show associations user=$USER format=account,qos"),
    (r"invalid feature", "constraint", r" -C '?([^\s']+)", "sinfo -o '%P %f'"),
    (r"memory specification", "mem_mb", r" --mem (\d+)", "sinfo -o '%P %m'"),
    (r"time limit", "runtime", r" -t '?([^\s']+)", "sinfo -o '%P %l'"),
    (r"generic resource|gres", "gpu", r" --gpus=(\S+)", "sinfo -o '%P %G'"),
    (r"cpu count|more processors", "cpus_per_task", r" --cpus-per-task=(\d+)", "sinfo -o '%P %c'"),
)
# what Snakemake does with these needs no cluster
NO_JOBS = re.compile(
    r"-[a-zA-Z]*n[a-zA-Z]*|--(dry-?run|lint|report|summary|detailed-summary|unlock|list-.*|cleanup-.*|dag|rulegraph|"
    r"filegraph|d3dag|archive|delete-.*|print-compilation|touch|help|version)(=.*)?|-[tlhSD]"
)
ANSWER_SECONDS = 30
REFUSAL = re.compile(
    r"Error in rule (\w+):\n\s+message: SLURM sbatch failed\. The error message was '(.*?)'\.\n"
    r"\s+sbatch call:\n\s+(sbatch .*?)(?: --wrap|\n)",
    re.DOTALL,
)


def advice(log: str, arguments: Sequence[str]) -> list[str]:
    """Reads Snakemake's log for jobs that sbatch has refused.

    Args:
        log: What Snakemake has printed.
        arguments: Its command line, which names the profile.

    Returns:
        One sentence per cause: the profile's line to mend, what Slurm says of it, and the command that shows what would
        do. Empty where sbatch refused nothing.
    """
    profile = profile_file(arguments)
    return list(dict.fromkeys(_sentence(profile, *refusal) for refusal in REFUSAL.findall(log)))


def require_slurm(arguments: Sequence[str]) -> None:
    """Refuses a run that is to submit jobs and cannot, before Snakemake looks for jobs.

    Args:
        arguments: Snakemake's command line.

    Raises:
        ConfigError: If there is no Slurm here, its controller does not answer, or it does not know the account or the
            partition of the profile.
    """
    profile = profile_file(arguments)
    tree = yaml.compose(profile.read_text()) if profile else None
    executor = _option(arguments, "-e", "--executor") or getattr(_find(tree, ["executor"]), "value", None)
    if executor != "slurm" or any(NO_JOBS.fullmatch(word) for word in arguments):
        return
    cure = "To run on this machine instead: --profile profiles/local"
    if not shutil.which("sbatch"):
        raise ConfigError(
            f"there is no Slurm here: no sbatch on PATH. {cure}; on a cluster, run on a login node, where Slurm's "
            "commands are (some sites: module load slurm)"
        )
    partitions, trouble = _ask("sinfo", "--all", "--noheader", "--format=%R")
    if trouble:
        raise ConfigError(f"Slurm does not answer (sinfo: {trouble}). Try again when it does, or ask its site. {cure}")
    if _option(arguments, "--default-resources"):
        return
    accounts, _ = _ask(
        "sacctmgr", "--noheader", "--parsable2", "show", "associations", f"user={getpass.getuser()}", "format=account"
    )
    listed = (("account", accounts, "sacctmgr show associations"), ("partition", partitions, "sinfo -s"))
    for what, known, command in listed:
        key = f"slurm_{what}"
        node = _find(tree, ["default-resources", key])
        # several may stand there, with commas between; a site may have no database of accounts
        unknown = [name for name in node.value.split(",") if name.lower() not in map(str.lower, known)] if node else []
        if known and unknown:
            raise ConfigError(
                f"{profile}, line {node.start_mark.line + 1}: {key}: {node.value}: invalid {what}: Slurm has none of "
                f"that name for you; there are {', '.join(known)} ({command})"
            )


def _option(arguments: Sequence[str], *names: str) -> str | None:
    """The value of an option on a command line, the last one given."""
    found = None
    for word, after in itertools.pairwise([*arguments, ""]):
        name, _, value = word.partition("=")
        found = (value or after) if name in names else found
    return found


def _ask(*command: str) -> tuple[list[str], str]:
    """The lines that one of Slurm's commands prints, each once, and what went wrong; neither where there is none."""
    if not shutil.which(command[0]):
        return [], ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS)
    except subprocess.TimeoutExpired:
        return [], f"nothing within {ANSWER_SECONDS} s"
    if done.returncode:
        return [], " ".join(done.stderr.split()) or f"exit status {done.returncode}"
    return list(dict.fromkeys(filter(None, done.stdout.splitlines()))), ""


def profile_file(arguments: Sequence[str]) -> Path | None:
    """The file of the profile that a command line of Snakemake names, where it is found from the working directory."""
    name = _option(arguments, "--profile") or os.environ.get("SNAKEMAKE_PROFILE")
    if not name:
        return None
    # the bare name is a link in the root of the repository: users edit the file behind it
    file = Path(name).resolve() / "config.yaml"
    if not file.is_file():
        return None
    return file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file


def _sentence(profile: Path | None, rule: str, message: str, call: str) -> str:
    said = " ".join(message.split())
    for pattern, key, option, command in REASONS:
        if re.search(pattern, message, re.IGNORECASE):
            found = re.search(option, call)
            value = found[1] if found else "?"
            return f"{_place(profile, rule, key, value)}: Slurm refuses it ({said}). What would do: {command}"
    return f"Slurm refuses jobs of rule {rule} ({said}); they were submitted with: {call}"


def _place(profile: Path | None, rule: str, key: str, value: str) -> str:
    """Where a resource of a rule is set: the file, the line, the key and the value."""
    if profile:
        tree = yaml.compose(profile.read_text())
        keys = [("set-resources", rule, key), ("default-resources", key)]
        if key == "cpus_per_task":
            keys.insert(1, ("set-threads", rule))
        for path in keys:
            node = _find(tree, path)
            if node is not None:
                return f"{profile}, line {node.start_mark.line + 1}: {path[-1]}: {value} (rule {rule})"
    where = profile or "the profile"
    return f"{key}: {value} of rule {rule} (its own; set another under set-resources: {rule}: in {where})"


def _find(node, path: Sequence[str]):
    """The node of a parsed YAML file at a path of keys, None where there is none."""
    for key in path:
        items = node.value if isinstance(node, yaml.MappingNode) else []
        node = next((value for name, value in items if name.value == key), None)
        if node is None:
            return None
    return node
