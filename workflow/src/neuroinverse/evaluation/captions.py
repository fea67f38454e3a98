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

# of the verb scaling, where a study asks for it
SCALING = (
    "Error against training size",
    "Left: mean squared error on the test set of every fold (dashes), their mean, and of the ensemble, with the power "
    "law fitted to each (dashed) and the band that the scatter of the folds gives it, which holds the law in nine of "
    "ten cases. Published errors where the study names some. Right: training time of a fold.",
)
