"""The errors a user can cause, each with what was expected and the cure in its message."""


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
        self.path = path
        super().__init__(f"{path}: {problem}. {cure}")


class StorageError(NeuroinverseError):
    """There is no room for the file to be written."""
