"""Titles and captions of the figures, in the order of a report.

workflow/report/<name>.rst holds the same captions for `snakemake --report`; a test holds the two together.
"""

CAPTIONS = {
    "examples": (
        "Test traces",
        "Recorded signal of test simulations, with their true parameters and the ensemble's prediction ± stated "
        "error (one standard deviation). From top to bottom the five have a larger and larger error: they lie at the "
        "5th, 27.5th, 50th, 72.5th and 95th percentile of the test set. Bottom: the stimulus, where there is one.",
    ),
    "predicted_true": (
        "Predicted against true parameters",
        "Ensemble mean against the truth for every test simulation (counted in hexagons where there are many), with "
        "the line of identity. r² is the coefficient of determination on the scale of the prior; rmse is in the "
        "unit of the parameter.",
    ),
    "residuals": (
        "Errors",
        "Distribution of predicted minus true, in unit parameters: the prior spans −1 to 1, so that 0.02 is 1 % of "
        "its range. Each axis holds at least 99 % of the test set; the rest is counted as beyond.",
    ),
    "residual_correlation": (
        "Correlation of errors",
        "Correlation between the errors of different parameters. Two parameters with strongly correlated errors "
        "compensate each other: the signal determines a combination of them better than each by itself.",
    ),
    "error_map": (
        "Error over parameter space",
        "Mean absolute error, in unit parameters, in dependence on the true parameters. Where it is larger, the "
        "signal says less about the parameter, or the training set is too sparse.",
    ),
    "learning_curves": (
        "Learning curves",
        "Loss of every fold after each epoch, on its training set and on the part that it holds out. A validation "
        "loss that rises while the training loss falls is overfitting; one that still falls asks for more epochs.",
    ),
    "coverage": (
        "Honesty of the stated intervals",
        "How often the truth lies within the stated interval, against how often it should. On the diagonal the "
        "interval is honest, below it too narrow, above it too wide. The stated error read as Gaussian misses heavy "
        "tails, the spread over folds alone what all folds get wrong together.",
    ),
}

# of the verb transfer, where a study asks for it
TRANSFER = (
    "Errors on other datasets",
    "Distribution of predicted minus true on the test set and on further datasets, in unit parameters: the range of "
    "the training spans −1 to 1. The datasets of a column share its axis, which holds at least 98 % of each; the rest "
    "is counted as beyond.",
)

# of the verb rank_trials, where a study asks for a search
SEARCH = (
    "Loss of the trials",
    "Mean squared error in unit parameters over the fold that a trial did not see, with the weights of its best "
    "epoch, in the order of the ranking after the first tier, by optimizer. Trials that diverged or failed are "
    "left out. Where finalists are shown, a line leads from the loss of the first tier to that after the training "
    "to the end.",
)

# of the verb stability, where a study asks for it
STABILITY = (
    "Loss of the repeats",
    "Mean squared error in unit parameters over the fold that a repeat did not see, with the weights of its best "
    "epoch, for each of the best designs trained again from other initial weights and on other folds. Hollow: the "
    "validation loss had not converged. Bars: mean and standard deviation over repeats.",
)

# of the verb network_states, where a study asks for it
NETWORK = {
    "example_states": (
        "Example networks",
        "Spikes of sampled neurons (excitatory blue, inhibitory red), rates of both populations, the LFP at each "
        "contact around its mean, and its power spectra, the deeper the contact the paler. Times count from the start "
        "of the recording.",
    ),
    "phase_diagram": (
        "Phase diagram",
        "Mean firing rate of excitatory neurons, coefficient of variation of their interspike intervals, and "
        "synchrony, the standard deviation over the mean of the rate that all neurons share, in bins of 1 ms. Blank "
        "where too few neurons spike. Frames are the boxes from which parameters are drawn.",
    ),
    "errors_by_state": (
        "Error by state of the network",
        "Mean absolute error on the test set, by the state of the network that was recorded: irregular where the "
        "coefficient of variation of interspike intervals is above 0.4, synchronous where synchrony is above 0.55. In "
        "brackets the number of test networks.",
    ),
}

# of the verb cross, where a study asks for it
CROSS = {
    "roc": (
        "The warning",
        "Share of traces that score above a threshold, against the share of the study's own test traces that do: of "
        "traces of other studies (left), and of its own test traces that were distorted (right). The vertical line is "
        "where the warning stands, at 1 % false alarms. Dotted: a score that tells nothing.",
    ),
    "distributions": (
        "Predicted parameters",
        "Distribution of the ensemble's predictions in unit parameters, on the study's own test traces (left) and on "
        "those of other studies; no truth is used. Dashed: the uniform prior. Beyond the range −1 to 1 (red) no "
        "training trace had a parameter: the number is the share of predictions there. The outermost bars also hold "
        "what lies further out.",
    ),
    "correlations": (
        "Correlations between predictions",
        "Correlation, over the traces of a study, between the predictions of different parameters. The prior draws "
        "them independently: on known traces they are uncorrelated but for errors that compensate each other. A dash "
        "where a prediction is the same for all traces.",
    ),
    "pairs": (
        "Pairs of predictions",
        "The pairs of parameters whose predictions are most strongly correlated in one of the studies, the strongest "
        "of each in turn, with their correlation r. The square is the range of the training; the darker, the more "
        "traces. Traces further out are drawn at the edge.",
    ),
}

# of neural posteriors; two have names of their own, since coverage and pairs are other figures
POSTERIOR = {
    "marginals": (
        "Posterior of each parameter",
        "Distribution of each parameter given the observation, over the range of the prior, relative to the prior's "
        "density (dashed, 1). Above it the observation makes a value more probable than it was, below it less. "
        "Vertical lines mark single parameter sets, such as the truth where it is known.",
    ),
    "posterior_pairs": (
        "Posterior of pairs of parameters",
        "Below the diagonal the joint distribution of two parameters given the observation, with the outlines of the "
        "smallest regions that hold 50 % and 90 % of it; above the diagonal their correlation; on the diagonal single "
        "parameters. Dots mark single parameter sets in the colours of the legend.",
    ),
    "conditional_pairs": (
        "Conditional posterior of pairs of parameters",
        "Distribution of one parameter (diagonal) and of two given the observation, where all others are held at the "
        "point that is marked. Narrow ridges are parameters that compensate each other. Below, the correlation of two "
        "parameters with all others held, averaged over points of the posterior.",
    ),
    "sbc": (
        "Ranks of the truth",
        "Distribution function of the truth's rank among the posterior's samples, less that of uniform ranks, over "
        "the test set (simulation-based calibration). Curves of exact posteriors stay in the grey band, all of them "
        "in 95 % of cases; red ones leave it. Above on the left and below on the right the posterior is too narrow, "
        "the other way round too wide; all above it is too high, all below too low.",
    ),
    "posterior_coverage": (
        "Expected coverage",
        "How often the truth lies within a region of all parameters together, against how often it should. Left: "
        "regions of highest posterior density; below the diagonal posteriors are too narrow. Right: the share of "
        "samples nearer to a random point than the truth (TARP); above on the left and below on the right of the "
        "diagonal they are too narrow. Grey: where 95 % of exact posteriors lie at each level.",
    ),
    "predictive": (
        "Predictions from the posterior",
        "The observation, and simulations with parameters from its posterior, each kind on a line of its own. Below, "
        "features of many simulations less those of the observation, in standard deviations over the training set: "
        "median, middle 50 % and 95 %. Dots are the single simulations of the same colour, triangles those beyond the "
        "axis. Undefined: the share of simulations that lack a feature, or that the observation lacks it.",
    ),
    "contraction": (
        "Contraction and z-score",
        "Every test observation by how much its posterior is narrower than the prior (1: all, 0: not at all) and by "
        "how far its mean is from the truth in its own standard deviations. On the right near zero the data inform "
        "and the answer is right, on the left they say nothing; beyond the grey band on the right the posterior is "
        "too sure.",
    ),
}

# of the verb scaling, where a study asks for it
SCALING = (
    "Error against training size",
    "Left: mean squared error on the test set of every fold (dashes), their mean, and of the ensemble, with the power "
    "law fitted to each (dashed) and the band that the scatter of the folds gives it, which holds the law in nine of "
    "ten cases. Published errors where the study names some. Right: training time of a fold.",
)

# of a surrogate
SURROGATE = {
    "overlay": (
        "Surrogate over simulation",
        "Test simulations that no training saw: what the simulator recorded, and what the surrogate makes of the same "
        "events from a state of rest. Spikes of both stand above their voltage.",
    ),
    "output_correlations": (
        "Correlation of every output",
        "Pearson correlation between surrogate and simulator over all test simulations laid end to end, with its 95 % "
        "interval over simulations. Beside it the root mean squared error in the unit of the output.",
    ),
    "drift": (
        "Drift over a rollout",
        "Correlation and bias in consecutive parts of the test simulations. A surrogate keeps its own state and is "
        "never told the simulator's: errors that add up would show as a correlation that falls with time.",
    ),
    "learning_curves": (
        "Learning curve",
        "Loss after each epoch, on standardized outputs.",
    ),
}

# of an objective of a column
OBJECTIVE = {
    "spectra": (
        "Spectra of the dipole",
        "Power spectral density of the column's current dipole before and after the search, mean of logarithms over "
        "drives with its 95 % interval, in the simulator and in the network of surrogates under the same drives; "
        "dashed the target, where there is one.",
    ),
    "search_history": (
        "Searches",
        "Lowest loss so far against the work done, in rollouts of the network of surrogates. Every search is measured "
        "under the same drives, which none has used. A rollout with its gradient counts as two.",
    ),
    "gains": (
        "Gains of the projections",
        "Factor on the weights of every projection, within the bounds of the search. Blue: from excitatory cells; "
        "red: from inhibitory ones.",
    ),
    "activity": (
        "Activity under one drive",
        "Spikes of all cells and the summed dipole of the first drive. Simulator and surrogates are given the same "
        "events; before and after have different ones. The grey beginning is left out of every measure.",
    ),
}
