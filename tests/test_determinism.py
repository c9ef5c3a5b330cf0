"""The same seed and input give the same results.json, less the times: in any process, on any number of threads."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from cbldm.data.clusters import cubic, decahedron, hexagonal, icosahedron, octahedron
from cbldm.data.pdf_files import pdf_from_arrays
from cbldm.parallel import n_threads, steady
from cbldm.physics.debye import debye_gr
from cbldm.pipeline import solve
from cbldm.results import results
from cbldm.types import Instrument

CLUSTERS = {
    "fcc": octahedron(5, 1), "decahedron": decahedron(3, 2, 0), "icosahedron": icosahedron(3),
    "hcp": hexagonal(4, 3, 4), "large": hexagonal(6, 4, 6), "bcc": cubic("bcc", 3, 3, 3), "sc": cubic("sc", 2, 2, 2),
}  # fmt: skip
#: Run by a process of its own: solves what it is told and prints the result.
SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
from test_determinism import outcome
print(outcome({name!r}, {source!r}, {samples}))
"""


def outcome(name, source, samples):
    """results.json less the times, and every coordinate to the last bit."""
    r = np.arange(0, 25.005, 0.02)
    g = debye_gr(r, 2.8 * CLUSTERS[name].positions, Instrument(0.8, 24.0, 0.03), 0.006, delta2=1.5)
    g = g + 0.02 * np.sin(9.1 * r)
    pdf = pdf_from_arrays(r, g, element="Au", qmin=0.8, qmax=24.0, qdamp=0.03)
    solution = solve(pdf, samples=samples, candidates=2, source=source)
    found = results(solution)
    del found["seconds"]
    places = [candidate.atoms.positions.ravel().tolist() for candidate in solution.candidates]
    return json.dumps([found, places])


def elsewhere(name, source, samples, *, threads, hashes, root):
    """The same in another process, with other threads and another order of sets."""
    script = SCRIPT.format(folder=str(root / "tests"), name=name, source=source, samples=samples)
    changed = {"OMP_NUM_THREADS": str(threads), "PYTHONHASHSEED": str(hashes)}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ | changed
    )
    return done.stdout.strip()


def test_another_process_with_two_threads_and_another_hash_seed_agrees(root):
    here = outcome("hcp", "cbldm", 4)
    assert here == elsewhere("hcp", "cbldm", 4, threads=2, hashes=7, root=root)


@pytest.mark.slow
@pytest.mark.parametrize("name", CLUSTERS)
def test_every_motif_agrees_on_one_and_two_threads(name, root):
    one, two = (elsewhere(name, "all", 16, threads=n, hashes=n, root=root) for n in (1, 2))
    assert one == two


def blas_threads():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_torch_and_blas_count_with_one_thread_and_get_their_own_back():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with threadpool_limits(2, user_api="blas"):
            assert blas_threads() == {2}
            with steady(), steady():
                assert (torch.get_num_threads(), n_threads(), blas_threads()) == (1, 2, {1})
            assert torch.get_num_threads() == n_threads() == 2
            assert blas_threads() == {2}
    finally:
        torch.set_num_threads(before)
