"""The saved estimator: one .keras file that maps physical signals to physical parameters and describes itself.

The file is an ordinary Keras model, loadable with Keras alone. A member of the archive, neuroinverse.json, holds the
parameter table with the training range, the signal with its sampling, the feature chain, and how the training went;
another, trace_range.json, what the training traces are like.
"""

import json
import zipfile
from pathlib import Path

from neuroinverse.errors import ConfigError, NeuroinverseError
from neuroinverse.estimators.trace_range import TraceRange
from neuroinverse.files import atomic

MEMBER, RANGE = "neuroinverse.json", "trace_range.json"


def save_model(model, metadata: dict, path: Path, trace_range: TraceRange | None = None) -> None:
    """Writes a model and its description as one file, whole or not at all.

    Args:
        model: Keras model, physical signal in, physical parameters out.
        metadata: JSON values.
        path: The .keras file.
        trace_range: What the training traces are like.
    """
    with atomic(path) as temporary:
        model.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(MEMBER, json.dumps(metadata, indent=1))
            if trace_range is not None:
                archive.writestr(RANGE, json.dumps(trace_range.to_dict()), zipfile.ZIP_DEFLATED)


def signal_table(signal) -> dict:
    """A signal as JSON values.

    Args:
        signal: `Signal`.
    """
    return {
        "name": signal.name,
        "unit": signal.unit,
        "dt_ms": signal.dt_ms,
        "shape": list(signal.shape),
        "t0_ms": signal.t0_ms,
        "channels": list(signal.channels),
    }


def family(metadata: dict) -> str:
    """Whether a model is a "regressor", a "posterior" or a "surrogate"."""
    if metadata.get("kind") == "surrogate":
        return "surrogate"
    return "posterior" if metadata.get("outputs") == ["gain"] else "regressor"


_SERVED = {
    "regressor": "is a regressor; ask it with: neuroinverse predict",
    "posterior": "is a posterior; ask it with: neuroinverse posterior",
    "surrogate": "is a surrogate, which does what a simulator does and infers nothing",
}


def model_files(model: Path, wanted: str) -> list[Path]:
    """The .keras files of an estimator, each of the family that is asked for.

    Args:
        model: An estimator's folder, or one .keras file.
        wanted: See `family`.

    Raises:
        ConfigError: If there are none, or they are of another family: it says what serves them.
    """
    if not model.exists():
        raise ConfigError(f"{model} does not exist; give the folder of a {wanted}, such as results/STUDY/demo/cnn")
    files = sorted(model.glob("fold-*/model.keras")) if model.is_dir() else [model]
    # of a surrogate, or of one fold
    alone = model / "model.keras"
    if not files and not alone.is_file():
        folders = sorted(p.parent.parent.name for p in model.glob("*/fold-0/model.keras"))
        hint = f"; there are {', '.join(folders)} in it" if folders else ""
        raise ConfigError(
            f"{model}: no models, it has no fold-*/model.keras; give the folder of a {wanted}, such as "
            f"results/STUDY/demo/cnn{hint}"
        )
    files = files or [alone]
    for file in files:
        require_family(model, read_metadata(file), wanted)
    return files


def require_family(model: Path, metadata: dict, wanted: str) -> None:
    """Refuses a model of another family, and says what serves it.

    Raises:
        ConfigError: If it is one.
    """
    found = family(metadata)
    if found != wanted:
        raise ConfigError(f"{model} {_SERVED[found]}; expected the folder of a {wanted}")


def read_metadata(path: Path) -> dict:
    """Reads the description in a model file, without Keras.

    Raises:
        NeuroinverseError: If the file is missing, damaged, or not an estimator of this project.
    """
    content = _read(path, MEMBER)
    if content is None:
        raise NeuroinverseError(f"{path} is a Keras model without {MEMBER}: it was not trained by neuroinverse")
    return content


def read_trace_range(path: Path) -> TraceRange | None:
    """Reads what the training traces of a model are like; None for a file that does not say.

    Raises:
        NeuroinverseError: If the file is missing or damaged.
    """
    content = _read(path, RANGE)
    return content and TraceRange.from_dict(content)


def _read(path: Path, member: str) -> dict | None:
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read(member)) if member in archive.namelist() else None
    except FileNotFoundError as error:
        raise NeuroinverseError(f"{path} does not exist") from error
    except (zipfile.BadZipFile, ValueError) as error:
        raise NeuroinverseError(f"{path} is damaged ({error}); remove it and run its target again") from error
