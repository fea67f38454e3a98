"""Why jobs of a dry run would run, in words: Snakemake prints whole specifications beside each other."""

import ast
import json
import re
from collections.abc import Iterable

from neuroinverse.provenance import NOTHING, differences

# the line before the reasons
HEADER = "Why:"
SHA256 = re.compile(r"[0-9a-f]{64}")
# so many differences of one specification are told
MOST = 6


def explain(workflow) -> list[str]:
    """Why the jobs of a dry run would run.

    Args:
        workflow: Snakemake's, after the jobs were found.

    Returns:
        A line for each rule and reason, with the first of the files concerned.
    """
    dag, found = workflow.dag, {}
    needed = set(dag.needrun_jobs(exclude_finished=False))
    levels = dag.toposorted(needed, inherit_pipe_dependencies=True)
    jobs = [job for level in levels for job in sorted(level, key=lambda job: str(job.output))]
    makers = {str(file): job.rule.name for job in jobs for file in job.output}
    for job in jobs:
        if job.output:
            words = "; ".join(_words(dag.reason(job), makers, lambda file: workflow.persistence.metadata(file)))
            found.setdefault((job.rule.name, words), []).append(str(job.output[0]))
    lines = []
    for (rule, words), files in found.items():
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        lines.append(f"{files[0]}{more} ({rule}): {words}")
    return lines


def _words(reason, makers: dict[str, str], metadata) -> list[str]:
    words = []
    if reason.forced:
        words.append("it is forced")
    if reason.missing_output:
        known = [f for f in reason.missing_output if metadata(f)]
        words.append("its output was there and is missing" if known else "it is new")
    if reason.incomplete_output:
        words.append("an interrupted job left it incomplete")
    change = reason.params_changed
    if change:
        words += changes(change.only_old, change.only_new)
    if reason.input_changed:
        words.append("it is made from other files than before")
    if reason.code_changed or reason.software_stack_changed:
        words.append("its rule or environment changed")
    newer = {str(f) for f in reason.updated_input} - {str(f) for f in reason.updated_input_run}
    if newer:
        words.append(f"{min(newer)} is newer")
    behind = sorted({makers[str(f)] for f in reason.updated_input_run if str(f) in makers})
    if behind:
        words.append(f"it follows {', '.join(behind)}")
    return words or ["it has no record of how it was made"]


def changes(before: Iterable[str], now: Iterable[str]) -> list[str]:
    """What changed between the parameters of a job.

    Args:
        before: Parameters that it had and has no more, as Snakemake keeps them: Python literals.
        now: Those that it has instead.

    Returns:
        "hyperparameters.epochs: 2 → 3" and the like.
    """
    old, new = ([s for s in map(_specification, texts) if s is not None] for texts in (before, now))
    if not (old and new):
        return [f"{_short(', '.join(sorted(before)))} → {_short(', '.join(sorted(now)))}"]
    words = [_change(*d) for d in differences(old[0], new[0])]
    more = [f"and {len(words) - MOST} more"] if len(words) > MOST else []
    return words[:MOST] + more


def _specification(text: str):
    """A parameter as JSON values; None where it is none."""
    try:
        found = json.loads(ast.literal_eval(text))
    except (ValueError, SyntaxError, TypeError):
        return None
    return found if isinstance(found, dict) else None


def _change(place: str, a, b) -> str:
    if isinstance(a, str) and isinstance(b, str) and SHA256.fullmatch(a) and SHA256.fullmatch(b):
        return f"{place.removesuffix('.sha256')} changed"
    if a == NOTHING:
        return f"{place}: {_short(b)} is new"
    if b == NOTHING:
        return f"{place}: {_short(a)} is gone"
    return f"{place}: {_short(a)} → {_short(b)}"


def _short(value) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
