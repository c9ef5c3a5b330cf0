"""Three small PDFs and one bad file, and what an undisturbed batch makes of them."""

import pytest
from ase.cluster import Decahedron, Icosahedron, Octahedron

from cbldm.data.structure_files import write_gr
from cbldm.simulate import simulate_structure
from tests.batch.running import finish, start, tree


@pytest.fixture(scope="session")
def pdfs(tmp_path_factory):
    """A folder with ``scan_8.gr``, ``scan_9.gr``, ``scan_10.gr`` and ``bad.gr``."""
    folder = tmp_path_factory.mktemp("pdfs")
    clusters = [
        Octahedron("Pt", 3, 0, latticeconstant=3.92),
        Icosahedron("Pt", 2, latticeconstant=3.92),
        Decahedron("Pt", 2, 2, 0, latticeconstant=3.92),
    ]
    for number, atoms in enumerate(clusters, start=8):
        r, g, metadata = simulate_structure(
            atoms, qmin=0.8, qmax=22, qdamp=0.03, qbroad=0, uiso=0.006, delta2=0, rmax=20, rstep=0.02, noise_floor=0.05,
            seed=number,
        )  # fmt: skip
        write_gr(folder / f"scan_{number}.gr", r, g, metadata)
    (folder / "bad.gr").write_text("no PDF\n")
    return folder


@pytest.fixture(scope="session")
def undisturbed(pdfs, tmp_path_factory):
    """The files of a batch that nothing disturbed."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    code, said = finish(start(pdfs, out, "--workers", "1"))
    assert (code, said) == (0, "")
    return tree(out)
