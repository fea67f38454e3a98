"""check: reads a study file as the workflow does, and says what it asks for."""

import sys
from pathlib import Path

from neuroinverse import surrogates
from neuroinverse.column import specs as column
from neuroinverse.config import load_study, master_seed
from neuroinverse.errors import ConfigError
from neuroinverse.estimators.architecture import complete, layer_shapes
from neuroinverse.simulators import describe

# residuals of fewer simulations have no quantile of 90 % (conformal prediction)
LEAST_CALIBRATION = 9


def run(study: str, scale: str = "demo", simulate: int = 0, figure: Path | None = None) -> None:
    """Checks a study and prints its prior, sizes and networks; with `simulate` what its prior gives, too.

    Args:
        study: Name of a study, or path of a study file.
        scale: One of its scales.
        simulate: Draws from the prior to simulate; the guard looks at the simulator then.
        figure: PNG to write, traces of these draws.

    Raises:
        ConfigError: At the first thing that is wrong.
    """
    if simulate < 0 or (figure and not simulate):
        raise ConfigError("--simulate: give the number of draws from the prior, such as --simulate 20")
    checked = load_study(study, scale, master_seed())
    print(f"{checked.name} at scale {scale}: {checked.settings['title']}")
    for p in checked.parameters.parameters:
        print(f"  {p.name}: {p.low:g} to {p.high:g} {p.unit}, {p.scale}")
    for line in describe(checked.settings):
        print(f"  {line}")
    for dataset in checked.datasets:
        (n, sampling), shards = checked.sampling(dataset), len(checked.shards(dataset))
        words = ["" if sampling is None else f", {sampling['kind']}"]
        words += [f", {p.name} {p.low:g} to {p.high:g} {p.unit}" for p in _other(checked, dataset)]
        words += ["" if dataset in checked.report_datasets else ", not for the report"]
        words += [", too few for intervals of 90 %" if dataset == "calibration" and n < LEAST_CALIBRATION else ""]
        size = f"{n} simulations in {shards} shards, {checked.megabytes(dataset):.0f} MB"
        print(f"  {dataset}: {size}{''.join(words)}")
    for name in checked.estimators:
        settings = checked.estimator(name)
        shape = checked.input_shape(name)
        layers = ", ".join(
            f"{layer} {'×'.join(map(str, s))}" for layer, s in layer_shapes(*shape, settings["hyperparameters"])
        )
        h = complete(settings["hyperparameters"], settings["kind"])
        flow = f", flow of {h['flow_layers']} layers" if checked.is_posterior(name) else ""
        print(f"  {name}: {settings['folds']} folds; input {shape[0]}×{shape[1]}, {layers}{flow}")
    for name in surrogates.names(checked):
        signals = surrogates.signals(checked, name)
        h, channels = surrogates.hyperparameters(checked, name), len(signals[surrogates.INPUTS].channels)
        outputs = sum(len(signals[s].channels) or 1 for s in surrogates.outputs(checked, name))
        lstm = f"{h['lstm_layers']} × LSTM {h['lstm_units']}, {h['epochs']} epochs"
        print(f"  surrogate {name}: {channels} channels to {outputs} outputs and spikes; {lstm}")
    for name in column.names(checked):
        kinds = ", ".join(term["kind"] for term in column.settings_of(checked, name)["terms"])
        print(f"  objective {name}: {kinds}")
    if simulate:
        _rehearse(checked, simulate, figure)


def _rehearse(study, n: int, figure: Path | None) -> None:
    """Simulates draws from the prior, and says and draws what comes; then the guard looks at the simulator."""
    from neuroinverse.guard import examine
    from neuroinverse.rehearsal import draw_prior, prepared, say

    with prepared(study) as (library, kernel):
        draws = draw_prior(study, n, library, kernel)
        print(*say(study, draws), sep="\n")
        if figure:
            from neuroinverse.evaluation.prior_figure import prior_traces
            from neuroinverse.evaluation.style import save

            save(prior_traces(study, draws), figure)
            print(f"  traces: {figure}")
        found = examine(study.guard_spec(), library, kernel)
    for name, moved in found.parameters.items():
        print(f"  guard: {name} moves {moved['signal']} by {100 * moved['share']:.3g} % of its range")
    for warning in found.warnings:
        print(f"warning: simulator: {warning}", file=sys.stderr)
    found.refuse()
    print(f"  guard: passed, with {found.simulations} simulations more")


def _other(study, dataset: str) -> list:
    """Parameters whose range is the dataset's own."""
    pairs = zip(study.space(dataset).parameters, study.parameters.parameters, strict=True)
    return [own for own, prior in pairs if own != prior]
