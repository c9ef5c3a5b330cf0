"""What diffpy.utils reads, the reader reads as the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cbldm.data.pdf_files import read_pdf

parsers = pytest.importorskip("diffpy.utils.parsers", reason="needs diffpy.utils, of the extra bench")
CORPUS = Path(__file__).parent / "corpus"
#: Files that diffpy.utils reads by itself, and the columns whose sum is the observed G.
OBSERVED = {
    "mantid.gr": [1], "nomad.gr": [1], "pdfgetn.gr": [1], "pdfgetx2.gr": [1], "pdfgetx3.gr": [1], "pdfgui.fgr": [1, 4],
    "pdfgui.gr": [1], "srfit.dat": [2], "xpdfsuite.gr": [1],
}  # fmt: skip


def check(path: Path, columns: list[int], **options: float) -> None:
    table = parsers.load_data(path)
    pdf = read_pdf(path, element="Pt", **options)
    np.testing.assert_array_equal(pdf.r, table[:, 0])
    np.testing.assert_array_equal(pdf.g, table[:, columns].sum(axis=1))


@pytest.mark.parametrize("name", sorted(OBSERVED))
def test_the_corpus_gives_the_same_numbers(name: str, tmp_path: Path) -> None:
    # diffpy.utils reads UTF-8 alone.
    path = tmp_path / name
    path.write_text((CORPUS / name).read_text(encoding="latin-1"), encoding="utf-8")
    check(path, OBSERVED[name])


@pytest.mark.parametrize("folder", ["experimental", "simulated"])
def test_measured_and_simulated_files_give_the_same_numbers(shared_data: Path, folder: str) -> None:
    for path in sorted((shared_data / folder).glob("*.gr")):
        check(path, [1], **({} if folder == "experimental" else {"qmax": 25.0}))


@pytest.mark.parametrize("seed", range(50))
def test_tables_of_any_numbers_give_the_same_numbers(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    r = np.cumsum(random.uniform(0.05, 0.2, 120))
    g = np.sin(8 * r) * 10.0 ** random.integers(-5, 5) * random.uniform(0.5, 1, 120)
    style = ["%.18e", "%.6f", "%.5g", "%+.4e"][seed % 4]
    path = tmp_path / "a.gr"
    np.savetxt(path, np.column_stack([r, g, 0 * r, 0 * r + 0.1]), fmt=style, delimiter=[" ", "\t", "   "][seed % 3])
    check(path, [1], qmax=22.0)
