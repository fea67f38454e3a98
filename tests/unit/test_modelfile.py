"""The saved estimator stands alone: Keras opens it, and it describes itself."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from tiny import SPACE, make_model, metadata, traces

from neuroinverse.errors import NeuroinverseError
from neuroinverse.estimators import cnn
from neuroinverse.estimators.modelfile import MEMBER, read_metadata, save_model


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A saved estimator, the unit model in it, and some signals, shape (n, time, 1)."""
    path = tmp_path_factory.mktemp("model") / "model.keras"
    unit = make_model({"lastAct": "tanh", "outAmpl": 1.2})
    save_model(cnn.to_physical_model(unit, SPACE), metadata(), path)
    theta, _ = SPACE.draw(1, "tiny/test", np.arange(7))
    return path, unit, traces(theta)[..., None]


ALONE = """
import sys
sys.modules["neuroinverse"] = None
import keras, numpy as np
model = keras.models.load_model(sys.argv[1])
assert not [m for m in sys.modules if m.startswith("neuroinverse.")]
np.save(sys.argv[3], model.predict(np.load(sys.argv[2]), verbose=0))
"""


def test_keras_alone_gives_physical_parameters(saved, tmp_path):
    path, unit, signals = saved
    np.save(tmp_path / "x.npy", signals)
    command = [sys.executable, "-c", ALONE, str(path), str(tmp_path / "x.npy"), str(tmp_path / "y.npy")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    physical = np.load(tmp_path / "y.npy")
    ours = keras.models.load_model(path).predict(signals, verbose=0)
    np.testing.assert_allclose(physical, ours, rtol=1e-6)
    # one parameter is linear, the other logarithmic
    np.testing.assert_allclose(physical, SPACE.to_physical(unit.predict(signals, verbose=0)), rtol=1e-5)
    assert np.ptp(physical, axis=0).min() > 0, "the answer must depend on the signal"


def test_the_description_needs_no_keras(saved):
    code = f"import sys\nfrom neuroinverse.estimators.modelfile import read_metadata\nfrom pathlib import Path\n\
print(read_metadata(Path({str(saved[0])!r}))['signal']['dt_ms'], 'keras' in sys.modules, 'tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0.5", "False", "False"]


def test_the_description_comes_back(saved):
    assert read_metadata(saved[0]) == json.loads(json.dumps(metadata()))


def test_damaged_files_are_refused(saved, tmp_path):
    path, _, _ = saved
    whole = path.read_bytes()
    damaged = tmp_path / "damaged.keras"
    with pytest.raises(NeuroinverseError, match="does not exist"):
        read_metadata(damaged)
    damaged.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(NeuroinverseError, match=r"is damaged .*run its target again"):
        read_metadata(damaged)
    place = whole.index(b'"signal"')
    damaged.write_bytes(whole[:place] + b"#" + whole[place + 1 :])
    with pytest.raises(NeuroinverseError, match="is damaged"):
        read_metadata(damaged)


def test_a_foreign_model_is_refused(tmp_path):
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)]).save(tmp_path / "foreign.keras")
    with pytest.raises(NeuroinverseError, match=f"without {MEMBER}: it was not trained by neuroinverse"):
        read_metadata(tmp_path / "foreign.keras")


def test_a_failed_save_leaves_nothing(saved, tmp_path):
    class Breaks:
        def save(self, path):
            path.write_bytes(b"half")
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        save_model(Breaks(), {}, tmp_path / "model.keras")
    assert list(tmp_path.iterdir()) == []
