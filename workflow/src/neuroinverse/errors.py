"""The errors a user can cause, each with what was expected and the cure in its message."""

import difflib
from collections.abc import Iterable


class NeuroinverseError(Exception):
    """Base of every error that the command line prints without a traceback."""


class ConfigError(NeuroinverseError):
    """A study, a scale or an option is wrong; raised before any long work starts."""


class ShardError(NeuroinverseError):
    """A data file is truncated, altered, of another study, or missing.

    Args:
        path: The file.
        problem: What is wrong with it.
        cure: What the user does about it.
    """

    def __init__(self, path, problem: str, cure: str):
        self.path, self.problem = path, problem
        super().__init__(f"{path}: {problem}. {cure}")


class StorageError(NeuroinverseError):
    """There is no room for the file to be written."""


class DivergedError(NeuroinverseError):
    """The loss of a training was never finite.

    Args:
        message: With the cure.
        state: The `TrainingState` at its end.
    """

    def __init__(self, message: str, state):
        self.state = state
        super().__init__(message)


def require_known(where: str, given: Iterable[str], names: Iterable[str]) -> None:
    """Refuses names that are not among those known.

    Args:
        where: Place in the study file.
        given: The names there.
        names: Those that are known.

    Raises:
        ConfigError: At the first unknown name, with the one that was probably meant.
    """
    names = list(names)
    for name in given:
        if name not in names:
            close = difflib.get_close_matches(str(name), names, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(names)}"
            raise ConfigError(f"{where}: {name!r} is unknown ({hint})")
