"""Which line of a profile to mend when Slurm refuses a job."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import yaml

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


def profile_file(arguments: Sequence[str]) -> Path | None:
    """The file of the profile that a command line of Snakemake names, where it is found from the working directory."""
    name = os.environ.get("SNAKEMAKE_PROFILE")
    for i, word in enumerate(arguments):
        if word == "--profile" and i + 1 < len(arguments):
            name = arguments[i + 1]
        elif word.startswith("--profile="):
            name = word.partition("=")[2]
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
