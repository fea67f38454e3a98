"""Titles and captions of the figures, in the order of a report.

workflow/report/<name>.rst holds the same captions for `snakemake --report`; a test holds the two together.
"""

CAPTIONS = {
    "examples": (
        "Test traces",
        "Recorded signal of test simulations, with their true parameters and the ensemble's prediction ± stated "
        "error (one standard deviation). From top to bottom the five have a larger and larger error: they lie at the "
        "5th, 27.5th, 50th, 72.5th and 95th percentile of the test set. Bottom: the stimulus.",
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
        "Honesty of the stated error",
        "How often the truth lies within the stated error, against how often it should. On the diagonal the error "
        "is honest, below it too small, above it too large. The spread over folds alone leaves out what all folds "
        "get wrong together.",
    ),
}
