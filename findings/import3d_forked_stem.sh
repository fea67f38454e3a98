#!/usr/bin/env bash
# NEURON 8.2.7 and 9.0.2, Import3d: the area of a cell depends on the order of two stems in its SWC file. A soma of one point
# has two dendrites; one forks at its first point, which lies on the soma's surface. By the file the dendrites have 1025
# um2. Where the forked one comes second they have; where it comes first, its first point becomes a section of its own from
# the middle of the soma to there, a soma's radius long:
#
#     forked second: 3 sections, 1025 um2
#     forked first: 4 sections, 1088 um2
#
# Reconstructions whose first stem forks at once get membrane (and axial resistance) that they have not: the soma's radius
# times the stem's circumference. Ends with an error when this changes.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
cat > areas.py << 'EOP'
from neuron import h

h.load_file("stdrun.hoc")
h.load_file("import3d.hoc")


class Cell:
    def __str__(self):
        return "cell"


SOMA = "1 1 0 0 0 10 -1"
STRAIGHT = "{0} 3 -10 0 0 1 1", "{1} 3 -60 0 0 1 {0}"
FORKED = "{0} 3 10 0 0 1 1", "{1} 3 50 40 0 1 {0}", "{2} 3 50 -40 0 1 {0}"
for name, stems in (("forked second", (STRAIGHT, FORKED)), ("forked first", (FORKED, STRAIGHT))):
    rows, index = [SOMA], 2
    for stem in stems:
        rows += [row.format(*range(index, index + 3)) for row in stem]
        index += len(stem)
    with open("cell.swc", "w") as file:
        file.write("\n".join(rows) + "\n")
    cell, reader = Cell(), h.Import3d_SWC_read()
    reader.quiet = 1
    reader.input("cell.swc")
    h.Import3d_GUI(reader, False).instantiate(cell)
    area = sum(segment.area() for section in cell.dend for segment in section)
    print(f"{name}: {len(cell.dend)} sections, {area:.0f} um2")
    for section in list(h.allsec()):
        h.delete_section(sec=section)
EOP
for version in 8.2.7 9.0.2; do
  "${PYTHON:-python3}" -m venv "$version"
  "$version/bin/python" -m pip install --quiet --disable-pip-version-check "neuron==$version" "numpy==2.3.5" setuptools \
    2> pip.log || { cat pip.log; exit 1; }
  NEURON_MODULE_OPTIONS=-nogui "$version/bin/python" areas.py | grep "^forked" | tee seen.txt
  diff - seen.txt << 'EOS'
forked second: 3 sections, 1025 um2
forked first: 4 sections, 1088 um2
EOS
done
