"""Reconstructed cells in NEURON."""

from neuroinverse.errors import NeuroinverseError


class _Cell:
    """What Import3d hangs sections on."""

    def __str__(self):
        return "cell"


def load_swc(h, path: str) -> list[tuple[str, object]]:
    """Sections of an SWC file through NEURON's Import3d, soma first, without the axon.

    The axon stays only where a dendrite grows from it.

    Args:
        h: NEURON's interpreter.
        path: The file.

    Returns:
        Kind ("soma", "basal", "apical" or "axon") and section, for every section.

    Raises:
        NeuroinverseError: If NEURON cannot make a cell with a soma of it.
    """

    def refuse(problem: str):
        return NeuroinverseError(
            f"{path}: NEURON's Import3d {problem}. Load the file in NEURON's Import3d tool to see where it fails, "
            "correct it, or give another SWC file"
        )

    h.load_file("stdrun.hoc")
    h.load_file("import3d.hoc")
    before = set(h.allsec())
    cell = _Cell()
    try:
        reader = h.Import3d_SWC_read()
        reader.quiet = 1
        reader.input(path)
        h.Import3d_GUI(reader, False).instantiate(cell)
    except Exception as error:
        for section in set(h.allsec()) - before:
            h.delete_section(sec=section)
        raise refuse(f"cannot load it ({error})") from error
    kinds = (("soma", "soma"), ("dend", "basal"), ("apic", "apical"), ("axon", "axon"))
    sections = [(kind, s) for name, kind in kinds for s in getattr(cell, name, ())]
    known = {s for _, s in sections}
    sections += [("basal", s) for s in set(h.allsec()) - before - known]
    axons = {s for kind, s in sections if kind == "axon"}
    bare = {s for s in axons if set(s.subtree()) <= axons}
    sections = [(kind, s) for kind, s in sections if s not in bare]
    for section in bare:
        h.delete_section(sec=section)
    if not sections or sections[0][0] != "soma":
        for _, section in sections:
            h.delete_section(sec=section)
        raise refuse("makes no soma of it")
    return sections
