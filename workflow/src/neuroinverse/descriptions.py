"""Descriptions of parameters stand in reports and change no result: specifications leave them out.

Specifications of earlier versions held them. Results that were made with such a one keep its words, as Snakemake
recorded them, whatever the study's file says now: they are not made again for a word, nor is what is built on them.
"""

import ast
import json
from collections.abc import Callable, Iterable

from neuroinverse.parameters import ParameterSpace

# gives what Snakemake recorded of the params of the job that made a file
Record = Callable[[str], Iterable[str]]


def nothing(file: str) -> tuple[str, ...]:
    """The record where there is none."""
    return ()


def table(study, estimator: str, space: ParameterSpace) -> list[dict]:
    """Parameters as they stand in specifications of an estimator.

    Args:
        study: The `Study`.
        estimator: Whose training it is: "cnn", or "cnn@2000".
        space: Its parameters, or those of a dataset that it proposes.
    """
    folder = f"results/{study.name}/{study.scale}/{estimator}"
    folds = [f"{folder}/fold-{k}/model.keras" for k in study.folds(estimator)]
    spec = _recorded(study.record, [*folds, f"{folder}/search/trial-0/result.json"])
    words = {row["name"]: row["description"] for row in spec.get("parameters", ()) if "description" in row}
    return [row | {"description": words.get(row["name"], "")} for row in space.to_table()]


def _recorded(record: Record, files: Iterable[str]) -> dict:
    """The specification that the first of some files was made with, as far as one is known."""
    for file in files:
        for text in record(file):
            try:
                spec = json.loads(ast.literal_eval(text))
            except (ValueError, SyntaxError, TypeError):
                # another param
                continue
            if isinstance(spec, dict):
                return spec
    return {}
