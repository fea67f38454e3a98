"""The saved estimator: one .keras file that maps physical signals to physical parameters and describes itself.

The file is an ordinary Keras model, loadable with Keras alone. A member of the archive, neuroinverse.json, holds the
parameter table with the training range, the signal with its sampling, the feature chain, and how the training went.
"""

import json
import zipfile
from pathlib import Path

from neuroinverse.errors import NeuroinverseError
from neuroinverse.files import atomic

MEMBER = "neuroinverse.json"


def save_model(model, metadata: dict, path: Path) -> None:
    """Writes a model and its description as one file, whole or not at all.

    Args:
        model: Keras model, physical signal in, physical parameters out.
        metadata: JSON values.
        path: The .keras file.
    """
    with atomic(path) as temporary:
        model.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(MEMBER, json.dumps(metadata, indent=1))


def read_metadata(path: Path) -> dict:
    """Reads the description in a model file, without Keras.

    Raises:
        NeuroinverseError: If the file is missing, damaged, or not an estimator of this project.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read(MEMBER))
    except FileNotFoundError as error:
        raise NeuroinverseError(f"{path} does not exist") from error
    except KeyError as error:
        raise NeuroinverseError(
            f"{path} is a Keras model without {MEMBER}: it was not trained by neuroinverse"
        ) from error
    except (zipfile.BadZipFile, ValueError) as error:
        raise NeuroinverseError(f"{path} is damaged ({error}); remove it and run its target again") from error
