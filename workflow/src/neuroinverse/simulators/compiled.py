"""How the compiled engines are compiled."""

from functools import partial

import numba


def jit(function=None, **options):
    """Compiles with Numba at the first call; keeps the machine code on disk where there is a place for it.

    Args:
        function: The function; options alone give a decorator.
        options: Of `numba.njit`.
    """
    if function is None:
        return partial(jit, **options)
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:
        # neither the package's folder nor the user's cache can be written
        return numba.njit(**options)(function)
