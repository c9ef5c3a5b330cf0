"""cbldm: ranked three-dimensional structures of metal nanoparticles from a pair distribution function.

The method is CbLDM (Cao et al., arXiv 2509.01370). `solve` does everything; the command line is ``cbldm``.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from cbldm.views import Views, register

# Threads that wait by spinning make everything many times slower where cores are shared, as on a beamline machine; and
# numpy's matrices of a few hundred atoms are ten times slower on two threads than on one.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

if TYPE_CHECKING:
    from cbldm.data.pdf_files import pdf_from_arrays, read_pdf
    from cbldm.errors import CbldmError, InputError, ModelError
    from cbldm.options import Options
    from cbldm.pipeline import solve
    from cbldm.results import write_solution
    from cbldm.types import Candidate, Cluster, Fit, Instrument, Pdf, Setting, Solution

# Loaded when first used: training must not need what only solving needs, and ``cbldm --help`` should not wait.
_HOMES = {
    "cbldm.data.pdf_files": ("pdf_from_arrays", "read_pdf"),
    "cbldm.errors": ("CbldmError", "InputError", "ModelError"),
    "cbldm.options": ("Options",),
    "cbldm.pipeline": ("solve",),
    "cbldm.results": ("write_solution",),
    "cbldm.types": ("Candidate", "Cluster", "Fit", "Instrument", "Pdf", "Setting", "Solution"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Candidate",
    "CbldmError",
    "Cluster",
    "Fit",
    "InputError",
    "Instrument",
    "ModelError",
    "Options",
    "Pdf",
    "Setting",
    "Solution",
    "pdf_from_arrays",
    "read_pdf",
    "solve",
    "write_solution",
]


def _notebook() -> Views:
    from cbldm import notebook

    return notebook


register(_notebook)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("cbldm")
    if name in _HOME_OF:
        return getattr(import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module 'cbldm' has no attribute {name!r}")
