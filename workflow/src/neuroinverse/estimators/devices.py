"""Where a training runs: CPU threads, one GPU or several, and at which precision."""

import os
from contextlib import AbstractContextManager, nullcontext

from neuroinverse.errors import ConfigError


def use_devices(gpus: int, precision: str, threads: int, seed: int) -> AbstractContextManager:
    """Prepares TensorFlow and Keras; call before anything else of them.

    Args:
        gpus: GPUs to use; several train data-parallel, 0 is the CPU.
        precision: Keras dtype policy: float32, mixed_float16 or mixed_bfloat16.
        threads: CPU threads for each operation.
        seed: Seed of initial weights and dropout.

    Returns:
        The scope in which the model is built and trained.

    Raises:
        ConfigError: If there are fewer GPUs than asked for: nothing falls back to the CPU in silence.
    """
    if gpus == 0:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    import keras
    import tensorflow as tf

    if tf.config.threading.get_intra_op_parallelism_threads() != threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(max(2, threads))
    found = tf.config.list_physical_devices("GPU")
    if len(found) < gpus:
        raise ConfigError(
            f"{gpus} GPUs asked for (in the profile, set-resources: train_fold: gpu: {gpus}) and {len(found)} found. "
            "Install with make setup REQUIREMENTS=envs/requirements-gpu.txt on a node with GPUs, or leave it out"
        )
    tf.config.set_visible_devices(found[:gpus], "GPU")
    for gpu in found[:gpus]:
        tf.config.experimental.set_memory_growth(gpu, True)
    keras.mixed_precision.set_global_policy(precision)
    keras.utils.set_random_seed(seed)
    if gpus > 1:
        return tf.distribute.MirroredStrategy([f"GPU:{i}" for i in range(gpus)]).scope()
    return nullcontext()
