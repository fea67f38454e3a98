"""What a study's pages depend on: the specifications of `report` and `network_states`."""

from neuroinverse import surrogates
from neuroinverse.column import specs as column
from neuroinverse.provenance import digest, leaves
from neuroinverse.simulators import make_simulator
from neuroinverse.versions import VERSIONS


def report_spec(study) -> dict:
    """Specification of `report`."""
    spec = {
        "version": VERSIONS["report"],
        "study": study.name,
        "scale": study.scale,
        "title": study.settings["title"],
        "question": study.settings["question"],
        "references": study.settings.get("references", []),
        "estimators": study.estimators,
        "evaluations": _evaluations(study),
        "settings": {k: v for k, v in study.settings.items() if k != "scales"},
        "command": f"snakemake --profile profiles/local results/{study.name}/{study.scale}/report.html",
    }
    further = {
        "departures": _departures(study),
        "transfers": {e: digest(study.transfer_spec(e)) for e in study.transferred},
        "network": digest(network_spec(study)) if study.network_datasets else None,
        "surrogates": {s: digest(surrogates.check_spec(study, s)) for s in surrogates.reported(study)},
        "objectives": {o: digest(column.check_spec(study, o)) for o in column.names(study)},
    }
    return spec | {key: value for key, value in further.items() if value}


def network_spec(study) -> dict:
    """Specification of `network_states`."""
    network, examples = study.settings["network"], study.network_datasets[0]
    return {
        "version": VERSIONS["network_states"],
        "study": study.name,
        "scale": study.scale,
        "datasets": [digest(study.dataset_spec(d)) for d in study.network_datasets],
        **make_simulator(study.scenario(examples)).populations,
        "boxes": network.get("boxes", {}),
        "estimators": study.estimators,
        "evaluations": _evaluations(study),
    }


def _departures(study) -> list[str]:
    """What this scale changes beside sizes: settings of the simulator and the protocol, as "key value"."""
    own = study.settings["scales"][study.scale] if study.scale != "paper" else {}
    return [line for key in ("simulator", "protocol") for line in leaves(own.get(key, {}), key)]


def _evaluations(study) -> list[dict]:
    """What the estimators infer, and the digests of their evaluations: whole, they would outgrow a command line."""
    return [{"parameters": study.table(e), "sha256": digest(study.evaluate_spec(e))} for e in study.estimators]
