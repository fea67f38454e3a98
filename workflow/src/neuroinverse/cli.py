"""The command line: one subcommand per verb. A verb's module is imported when the verb is called, not before."""

import argparse
import difflib
import importlib
import json
import os
import sys
from pathlib import Path

from neuroinverse import interrupts
from neuroinverse.errors import NeuroinverseError, ShardError
from neuroinverse.files import CLONE


def _spec(text: str) -> dict:
    try:
        return json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected JSON, as Snakemake prints it: {error}") from error


SPEC = ("--spec", {"type": _spec, "required": True, "metavar": "JSON", "help": "what the step depends on"})
OUTPUT = ("--output", {"type": Path, "required": True, "metavar": "FILE"})
THREADS = ("--threads", {"type": int, "default": 1, "metavar": "N", "help": "threads to use (1)"})

GPUS = (
    "--gpus",
    {"type": int, "default": 0, "metavar": "N", "help": "GPUs to use, data-parallel when several (0: the CPU)"},
)
# how traces of a user's are read
TRACES = (
    ("--dt-ms", {"type": float, "help": "sampling interval, where the file does not say it (that of the training)"}),
    ("--start-ms", {"type": float, "help": "protocol time of the first sample (what the file says, or 0)"}),
    ("--dataset", {"help": "path of the array in an .h5 file of another origin"}),
    ("--unit", {"help": "unit of the values, where the file does not say it (that of the training)"}),
    ("--scale", {"type": float, "default": 1.0, "help": "what values are multiplied by to be in the unit (1)"}),
)
MEMORY = ("--memory-mb", {"type": float, "default": 2000, "help": "memory for signals (2000)"})


def _path(flag: str, help: str = "", several: bool = False, required: bool = True) -> tuple[str, dict]:
    return flag, {"type": Path, "required": required, "help": help, "nargs": "+" if several else None}


VERBS = {
    "compile_mechanisms": (
        "compile MOD files for NEURON",
        [
            ("--spec", SPEC[1] | {"required": False}),
            OUTPUT,
            _path("--sources", "MOD files (all of the package)", several=True, required=False),
        ],
    ),
    "compute_kernel": ("compute what one spike of a population adds to the LFP", [SPEC, OUTPUT]),
    "check_simulator": (
        "look with a few simulations whether parameters act and simulations repeat",
        [
            SPEC,
            OUTPUT,
            THREADS,
            _path("--library", "compiled mechanisms", required=False),
            _path("--kernel", "what compute_kernel made", required=False),
        ],
    ),
    "simulate_shard": (
        "simulate one shard",
        [
            SPEC,
            OUTPUT,
            THREADS,
            _path("--library", "compiled mechanisms", required=False),
            _path("--kernel", "what compute_kernel made", required=False),
            _path("--proposal", "what propose wrote", required=False),
        ],
    ),
    "index_dataset": (
        "verify shards and join them",
        [SPEC, OUTPUT, _path("--shards", "folder of the shards")],
    ),
    "train_fold": (
        "train one of k networks",
        [
            SPEC,
            OUTPUT,
            THREADS,
            GPUS,
            MEMORY,
            _path("--dataset", "the training dataset, or those of several rounds", several=True),
            _path("--history", "CSV to write"),
        ],
    ),
    "ensemble_folds": (
        "predict the test dataset with all folds, with a calibrated error",
        [
            SPEC,
            OUTPUT,
            _path("--calibration-dataset"),
            _path("--test-dataset"),
            _path("--calibration", "JSON to write"),
            _path("--models", several=True),
        ],
    ),
    "evaluate": (
        "measure and draw how good the answers are",
        [
            SPEC,
            _path("--predictions"),
            _path("--train-dataset"),
            _path("--test-dataset"),
            _path("--models", several=True),
            _path("--histories", several=True),
            _path("--calibration", "the ensemble's error model"),
            _path("--metrics", "JSON to write"),
            _path("--figures", "folder to write"),
        ],
    ),
    "propose": (
        "draw parameters from a posterior, or from the prior where the posterior is high",
        [
            SPEC,
            OUTPUT,
            _path("--models", several=True),
            _path("--observation", "a dataset, or a recording"),
        ],
    ),
    "check_posterior": (
        "check and draw a posterior: calibration, predictions, the answer at the observation",
        [
            SPEC,
            _path("--models", several=True),
            _path("--histories", several=True),
            _path("--train-datasets", several=True),
            _path("--test-dataset"),
            _path("--predictive-dataset", "simulations of draws from the posterior"),
            _path("--observation", "a dataset, or a recording"),
            _path("--samples", "parquet to write, draws from the posterior at the observation"),
            _path("--metrics", "JSON to write"),
            _path("--figures", "folder to write"),
        ],
    ),
    "posterior": (
        "draw from the posterior of traces of yours",
        [
            _path("--model", "a posterior's folder"),
            _path("--input", ".csv, .npy or .h5"),
            ("--samples", {"type": int, "default": 10_000, "metavar": "N", "help": "draws per trace (10000)"}),
            _path("--output", "parquet to write, the draws"),
            _path("--summary", "CSV to write (standard output)", required=False),
            _path("--figure", "PNG to write, the pairs of the first trace", required=False),
            *TRACES,
            ("--seed", {"type": int, "default": 0, "help": "seed of the draws (0)"}),
        ],
    ),
    "scaling": (
        "gather the error at several training sizes, and draw it out to larger ones",
        [
            SPEC,
            OUTPUT,
            _path("--metrics", several=True),
            _path("--predictions", several=True),
            _path("--page", "HTML to write"),
            _path("--figure", "PNG to write"),
        ],
    ),
    "train_trial": (
        "train one network of a search",
        [
            SPEC,
            OUTPUT,
            THREADS,
            GPUS,
            MEMORY,
            _path("--dataset"),
            _path("--history", "CSV to write"),
            _path("--ranking", "ranking.json for a finalist, finalists.json for a repeat", required=False),
        ],
    ),
    "rank_trials": (
        "write the table of a search, by loss",
        [
            SPEC,
            OUTPUT,
            _path("--folder", "folder of the search"),
            _path("--table", "CSV to write"),
            _path("--page", "HTML to write"),
            _path("--figure", "PNG to write"),
            _path("--ranking", "ranking.json of the first tier, for the second", required=False),
        ],
    ),
    "stability": (
        "measure and draw how much the best networks of a search vary when trained again",
        [
            SPEC,
            OUTPUT,
            _path("--folder", "folder of the search"),
            _path("--table", "CSV to write"),
            _path("--page", "HTML to write"),
            _path("--figure", "PNG to write"),
            _path("--network", "YAML to write, the chosen design"),
        ],
    ),
    "transfer": (
        "measure and draw an ensemble's error on further datasets",
        [
            SPEC,
            OUTPUT,
            _path("--figure", "PNG to write"),
            _path("--datasets", "the test dataset and the further ones", several=True),
            _path("--models", several=True),
            _path("--calibration", "the ensemble's error model"),
        ],
    ),
    "cross": (
        "give an ensemble the test traces of other studies: what it says of what it does not know",
        [
            SPEC,
            OUTPUT,
            _path("--datasets", "test datasets: the study's own, then those of the others", several=True),
            _path("--models", several=True),
            _path("--calibration", "the ensemble's error model"),
            _path("--page", "HTML to write"),
            _path("--figures", "folder to write"),
        ],
    ),
    "train_surrogate": (
        "train a network to do what a simulator does",
        [
            SPEC,
            OUTPUT,
            THREADS,
            GPUS,
            MEMORY,
            _path("--datasets", "what it is trained on", several=True),
            _path("--calibration-dataset"),
            _path("--base", "the surrogate (.keras) that it goes on from", required=False),
            _path("--history", "CSV to write"),
        ],
    ),
    "check_surrogate": (
        "measure and draw how far a surrogate does what the simulator does",
        [
            SPEC,
            _path("--model", "the surrogate (.keras)"),
            _path("--history", "CSV of its training"),
            _path("--test-dataset"),
            _path("--metrics", "JSON to write"),
            _path("--figures", "folder to write"),
        ],
    ),
    "optimise": (
        "search for the gains of a column's projections that serve an objective",
        [
            SPEC,
            OUTPUT,
            THREADS,
            _path("--surrogates", "of the cells (.keras)", several=True),
            _path("--found", "HDF5 to write, the gains for simulate_shard"),
        ],
    ),
    "check_objective": (
        "measure and draw what the gains found do in the simulator and in the surrogates",
        [
            SPEC,
            _path("--surrogates", "of the cells (.keras)", several=True),
            _path("--search", "what optimise found"),
            _path("--start-dataset", "simulations before"),
            _path("--found-dataset", "simulations with the gains found"),
            _path("--metrics", "JSON to write"),
            _path("--network", "hnn-core's network file to write"),
            _path("--figures", "folder to write"),
        ],
    ),
    "network_states": (
        "measure and draw what the networks of a study do",
        [
            SPEC,
            OUTPUT,
            _path("--examples", "dataset of the example states"),
            _path("--phase", "dataset of the phase diagram"),
            _path("--test-dataset"),
            _path("--predictions", several=True),
            _path("--figures", "folder to write"),
        ],
    ),
    "report": (
        "write the report of a study",
        [
            SPEC,
            OUTPUT,
            _path("--datasets", several=True),
            _path("--metrics", "metrics.json of its estimators", several=True, required=False),
            _path("--figures", "folders of the figures of its estimators", several=True, required=False),
            _path("--transfers", "transfer.json of the estimators that have one", several=True, required=False),
            _path("--network", "states.json of a study of networks", required=False),
            _path("--surrogates", "metrics.json of its surrogates", several=True, required=False),
            _path("--objectives", "metrics.json of its objectives", several=True, required=False),
        ],
    ),
    "report_index": (
        "write the page over all studies",
        [
            OUTPUT,
            _path("--metrics", several=True),
            _path("--reports", several=True),
        ],
    ),
    "predict": (
        "infer the parameters of traces of yours",
        [
            _path("--model", "an estimator's folder, or one .keras file"),
            _path("--input", ".csv, .npy or .h5"),
            _path("--output", "CSV to write (standard output)", required=False),
            *TRACES,
            (
                "--level",
                {"type": float, "default": 0.9, "help": "how often low to high is to hold the truth (0.9)"},
            ),
        ],
    ),
    "inspect": (
        "say what a file or a folder holds",
        [("file", {"type": Path, "help": "any file of the project's, a study, a recording, or a folder of results"})],
    ),
    "plan": (
        "say what a study needs: simulations, bytes, core-hours, jobs",
        [
            ("study", {"nargs": "?", "help": "name, or path of a study file (all)"}),
            ("--scale", {"default": "paper", "help": "a scale of the study (paper)"}),
        ],
    ),
    "why": (
        "say of each job that a target needs why it would run",
        [
            (
                "target",
                {
                    "nargs": "*",
                    "default": (),
                    "help": "files, as for snakemake (all that is configured)",
                },
            )
        ],
    ),
    "check": (
        "check a study file, print its sizes; with --simulate, look at traces of its prior",
        [
            ("study", {"help": "name, or path of a study file"}),
            ("--scale", {"default": "demo", "help": "a scale of the study (demo)"}),
            ("--simulate", {"type": int, "default": 0, "metavar": "N", "help": "simulate N draws from the prior (0)"}),
            _path("--figure", "PNG to write, their traces", required=False),
        ],
    ),
}

# verbs that no rule runs, in the order in which they are met
TOOLS = ("check", "plan", "why", "inspect", "predict", "posterior")


class _Version(argparse.Action):
    """Prints versions, of packages that are not imported for it."""

    def __call__(self, parser, *_):
        from neuroinverse.provenance import revision, version

        packages = ", ".join(f"{p} {version(p)}" for p in ("neuron", "keras", "tensorflow", "snakemake"))
        print(f"neuroinverse {version('neuroinverse')} (revision {revision()}); {packages}")
        parser.exit()


def make_parser() -> argparse.ArgumentParser:
    """The parser of all subcommands."""
    parser = argparse.ArgumentParser(
        prog="neuroinverse",
        description="Which parameters produced these traces? "
        f"You type {', '.join(TOOLS[:-1])} and {TOOLS[-1]}; the workflow (snakemake) runs the other verbs.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print versions")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb in [*TOOLS, *(v for v in VERBS if v not in TOOLS)]:
        help, arguments = VERBS[verb]
        sub = verbs.add_parser(verb, help=help, description=help)
        for flag, options in arguments:
            sub.add_argument(flag, **options)
    return parser


def _refuse_typos(parser: argparse.ArgumentParser, argv: list[str]) -> None:
    """Ends with the verb or the option that was probably meant; argparse would list all verbs, and no option."""
    verb = argv[0] if argv else "--help"
    if verb.startswith("-"):
        return
    if verb not in VERBS:
        close = difflib.get_close_matches(verb, VERBS, n=1)
        parser.error(f"there is no verb {verb!r}" + (f"; did you mean {close[0]!r}?" if close else "; see --help"))
    known = [flag for flag, _ in VERBS[verb][1] if flag.startswith("--")] + ["--help"]
    for word in argv[1:]:
        flag = word.partition("=")[0]
        if word == "--":
            return
        if flag.startswith("--") and not any(k.startswith(flag) for k in known):
            close = difflib.get_close_matches(flag, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(known)}"
            parser.error(f"{verb} has no option {flag}; {hint}")


def main(argv: list[str] | None = None) -> int:
    """Runs one verb.

    Returns:
        0 when it went well; 1 after an error of the user's, printed without a traceback; 130 after Ctrl-C.
    """
    parser = make_parser()
    _refuse_typos(parser, sys.argv[1:] if argv is None else argv)
    arguments = {k: v for k, v in vars(parser.parse_args(argv)).items() if v is not None}
    verb = arguments.pop("verb")
    interrupts.install()
    try:
        importlib.import_module(f"neuroinverse.stages.{verb}").run(**arguments)
    except NeuroinverseError as error:
        if isinstance(error, ShardError):
            _put_aside(error)
        print(f"error: {error}{_elsewhere(arguments)}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # the reader of a pipe, such as `head`, has seen enough; nothing more can be printed, at exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print("interrupted; nothing half-written is left", file=sys.stderr)
        return 130
    return 0


def _elsewhere(arguments: dict) -> str:
    """Where a file is that was not found: paths are relative, and someone runs a verb outside the clone."""
    given = [p for value in arguments.values() for p in (value if isinstance(value, list) else [value])]
    missing = [p for p in given if isinstance(p, Path) and not p.is_absolute() and not p.exists()]
    there = [p for p in missing if CLONE is not None and (CLONE / p).exists()]
    return f". {there[0]} is in {CLONE}: run there, or give its full path" if there else ""


def _put_aside(error: ShardError) -> None:
    path = Path(error.path)
    if path.parent.parent.name == "shards":
        from neuroinverse.shards import put_aside

        put_aside(path)


if __name__ == "__main__":
    sys.exit(main())
