"""Let atheris look for bytes that the reader of PDF files can neither read nor refuse; pytest does not collect this.

Needs ``pip install atheris``. Ten minutes from the small corpus beside it, what is found on the way kept elsewhere:

    mkdir -p /tmp/found
    python tests/fuzz/atheris_reader.py -max_total_time=600 -max_len=8192 -timeout=20 /tmp/found tests/fuzz/corpus
"""

import sys
import tempfile
from pathlib import Path

import atheris
import numpy as np

with atheris.instrument_imports(include=["cbldm.data"]):
    from cbldm.data.pdf_files import read_pdf

from cbldm.errors import InputError

FOLDER = tempfile.TemporaryDirectory()
SUFFIXES = (".gr", ".fgr", ".csv", ".dat")


def read_anything(data: bytes) -> None:
    """A curve with r in order and G finite, or one line; whatever else happens is a bug."""
    path = Path(FOLDER.name) / f"a{SUFFIXES[len(data) % len(SUFFIXES)]}"
    path.write_bytes(data)
    try:
        pdf = read_pdf(path, element="Pt", qmax=22.0)
    except InputError as error:
        if "\n" in str(error):
            raise AssertionError("a refusal of more than one line") from error
        return
    if not (np.diff(pdf.r) > 0).all() or not np.isfinite(pdf.g).all():
        raise AssertionError("a curve that is none")


if __name__ == "__main__":
    atheris.Setup(sys.argv, read_anything)
    atheris.Fuzz()
