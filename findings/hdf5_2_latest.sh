#!/usr/bin/env bash
# HDF5 2.0.0 (h5py 3.16.0), libver="latest": what it writes no HDF5 of 1.14 can read, though every feature used is one of
# 1.10. A virtual dataset over such a file reads as fill values, without an error. Seen with h5py 3.15.1 (HDF5 1.14.6):
#
#     plain: KeyError: 'Unable to synchronously open object (bad version number for layout message)'
#     virtual: [0.0, 0.0]
#     bounds v108, v110: [1.0, 2.0]
#
# A user sees errors, or zeros for data, wherever files move to a machine with an older library. The documentation of
# libver="latest" promises no other; "v110", or bounds of the oldest reader wanted, are what a portable file needs.
# Ends with an error when this changes.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
for version in 3.16.0 3.15.1; do
  "${PYTHON:-python3}" -m venv "$version"
  "$version/bin/python" -m pip install --quiet --disable-pip-version-check "h5py==$version" "numpy==2.3.5" 2> pip.log || { cat pip.log; exit 1; }
done

3.16.0/bin/python - << 'EOF'
import h5py
import numpy as np

assert h5py.version.hdf5_version == "2.0.0", h5py.version.hdf5_version
for name, libver in (("latest", "latest"), ("bounds", ("v108", "v110"))):
    with h5py.File(f"{name}.h5", "w", libver=libver) as file:
        file.create_dataset("x", data=[1.0, 2.0], chunks=(2,), fletcher32=True)
layout = h5py.VirtualLayout((2,), np.float64)
layout[:] = h5py.VirtualSource("latest.h5", "x", (2,), np.float64)
with h5py.File("virtual.h5", "w", libver=("v108", "v110")) as file:
    file.create_virtual_dataset("x", layout)
EOF

3.15.1/bin/python - << 'EOF' | tee seen.txt
import h5py

assert h5py.version.hdf5_version == "1.14.6", h5py.version.hdf5_version


def read(name):
    try:
        with h5py.File(f"{name}.h5") as file:
            return file["x"][:].tolist()
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"


print("plain:", read("latest"))
print("virtual:", read("virtual"))
print("bounds v108, v110:", read("bounds"))
EOF

diff - seen.txt << 'EOF'
plain: KeyError: 'Unable to synchronously open object (bad version number for layout message)'
virtual: [0.0, 0.0]
bounds v108, v110: [1.0, 2.0]
EOF
