"""What comes after the last hidden layer: unit parameters alone, or with them how far each may be off.

The Gaussian head states a mean and the logarithm of a standard deviation for each unit parameter and is trained by its
negative log likelihood (Nix and Weigend 1994, ICNN 55). `beta_nll` weighs each term by the stated variance to the power
of a half, taken as a constant, lest the network give up on what it finds hard (Seitzer et al. 2022, ICLR).
"""

import math
from collections.abc import Mapping

from neuroinverse.estimators.architecture import is_gaussian

# the standard deviations that a head can state, in unit parameters, and that which it starts from
SD, START = (1e-4, 1.0), 0.5
BETA = {"nll": 0.0, "beta_nll": 0.5}


def add_head(x, hyperparameters: Mapping, n_outputs: int, bias: bool):
    """Adds the outputs to a Keras graph.

    Args:
        x: What the last hidden layer makes, shape (batch, width).
        hyperparameters: Complete hyper-parameters.
        n_outputs: Number of parameters K.
        bias: Whether the means have a bias.

    Returns:
        Unit parameters, shape (batch, K); of a Gaussian head followed by log standard deviations, (batch, 2 K).
    """
    import keras

    # float32 at the end keeps the loss exact under mixed precision
    mean = keras.layers.Dense(
        n_outputs, activation=hyperparameters["lastAct"], use_bias=bias, dtype="float32", name="unit_parameters"
    )(x)
    if hyperparameters["outAmpl"] != 1:
        mean = keras.layers.Rescaling(hyperparameters["outAmpl"], dtype="float32", name="out_ampl")(mean)
    if not is_gaussian(hyperparameters):
        return mean
    low, high = map(math.log, SD)
    middle, half = (low + high) / 2, (high - low) / 2
    start = keras.initializers.Constant(math.atanh((math.log(START) - middle) / half))
    log_sd = keras.layers.Dense(n_outputs, activation="tanh", bias_initializer=start, dtype="float32", name="spread")(x)
    log_sd = keras.layers.Rescaling(half, offset=middle, dtype="float32", name="log_sd")(log_sd)
    return keras.layers.Concatenate(dtype="float32", name="mean_and_log_sd")([mean, log_sd])


def loss(hyperparameters: Mapping):
    """What Keras compiles a network with: the name of a loss, or the likelihood of a Gaussian head."""
    name = hyperparameters["lossName"]
    if not is_gaussian(hyperparameters):
        return name
    from keras import ops

    def likelihood(true, stated):
        count = true.shape[-1]
        mean, log_sd = stated[:, :count], stated[:, count:]
        terms = log_sd + 0.5 * ops.square(mean - true) * ops.exp(-2 * log_sd)
        return ops.mean(terms * ops.stop_gradient(ops.exp(2 * BETA[name] * log_sd)), axis=-1)

    return likelihood
